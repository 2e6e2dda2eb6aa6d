"""Where an account's credentials come from: the forms of `<broker>.credentials`.

1. A source is read anew each time, and what it says is kept nowhere.
2. Its name is for people and says where it is, never what is in it: of a command it tells the
   program alone.
3. What is in a file counts only if nobody but its owner can read it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shlex
import time
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from hub.auth.keystore import default_path
from hub.brokers.base import Broker
from hub.core.errors import ConfigError, HubError, Malformed
from hub.core.settings import Account, Settings
from hub.credentials import text
from hub.credentials.openalgo import OpenAlgoSource
from hub.credentials.said import Said
from hub.runtime import command
from hub.runtime.ownfile import OwnFile

COMMAND_S = 20.0
"""What a command may take."""
AGAIN_S = 60.0
"""How often a command is asked whether it says something else, at most."""


class Source(Protocol):
    """A place where the credentials of one account are."""

    name: str
    """What people call it."""
    login: str
    """Who else logs in, so that nobody does here; empty for none."""

    async def read(self) -> Said:
        """What it says. Raises HubError."""

    async def stamp(self) -> Hashable:
        """Tells what it says now from what it said before, cheaply; what cannot be read has its
        error for a stamp."""


class FileSource:
    """A file of NAME=value lines, or of JSON."""

    login = ""

    def __init__(self, path: Path, broker: str) -> None:
        self.name = str(path)
        self._file = OwnFile(path)
        self._broker = broker

    async def read(self) -> Said:
        """What is in the file. Raises HubError."""
        found = await asyncio.to_thread(self._file.read)
        if found is None:
            raise HubError(f"{self.name} is not there")
        return Said(found[0], _parsed(found[1], self._broker, self.name))

    async def stamp(self) -> Hashable:
        """The stamp of the file; None where there is none."""
        try:
            return await asyncio.to_thread(self._file.stamp)
        except HubError as error:
            return str(error)


class EnvironmentSource:
    """The environment of this process: names with the broker's before them."""

    name = "the environment"
    login = ""

    def __init__(self, environ: Mapping[str, str], broker: str) -> None:
        self._said = text.named(environ.items(), broker, alone=True)

    async def read(self) -> Said:
        """What is set."""
        return Said(None, self._said)

    async def stamp(self) -> Hashable:
        """Always the same: nobody changes it from outside."""
        return None


class UsualSource(FileSource):
    """The file that is looked for when none is named, and the environment, which is stronger. The
    file may be missing where the environment says something that is one of `fields`."""

    def __init__(
        self, path: Path, broker: str, environ: Mapping[str, str], fields: frozenset[str]
    ) -> None:
        super().__init__(path, broker)
        said = text.named(environ.items(), broker, alone=True)
        self._over = {name: value for name, value in said.items() if name in fields}

    async def read(self) -> Said:
        """What is in the file, and the environment's over it. Raises HubError."""
        if self._over and await self.stamp() is None:
            return Said(None, self._over)
        stamp, fields = await super().read()
        return Said(stamp, {**fields, **self._over})


class CommandSource:
    """A command that prints credentials, run without a shell."""

    login = ""

    def __init__(self, line: str, broker: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._command = shlex.split(line)
        if not self._command:
            raise ValueError("no command is named")
        self.name = f"command:{Path(self._command[0]).name}"
        self._broker = broker
        self._clock = clock
        self._stamp = ""
        self._next = clock()

    async def read(self) -> Said:
        """What it prints now. Raises HubError."""
        self._next = self._clock() + AGAIN_S
        try:
            printed = await command.output(self._command, COMMAND_S)
        except HubError as error:
            self._stamp = str(error)
            raise
        self._stamp = hashlib.sha256(printed).hexdigest()
        return Said(self._stamp, _parsed(printed, self._broker, f"what {self.name} prints"))

    async def stamp(self) -> Hashable:
        """Tells what it printed last; it is run for this once a minute."""
        if self._clock() >= self._next:
            with suppress(HubError):
                await self.read()
        return self._stamp


class NoSource:
    """That of a broker that wants no credentials."""

    name = "none needed"
    login = ""

    async def read(self) -> Said:
        """Nothing."""
        return Said(None, {})

    async def stamp(self) -> Hashable:
        """Always the same."""
        return None


def sources_of(
    broker: Broker, settings: Settings, environ: Mapping[str, str] = os.environ
) -> list[Source]:
    """The sources of this broker's accounts, in the order of the settings. Raises ConfigError."""
    if not broker.fields:
        return [NoSource()]
    account: Account = getattr(settings, broker.name)
    return [_source(given, broker, settings, environ) for given in account.credentials or [""]]


def folder(settings: Settings, environ: Mapping[str, str] = os.environ) -> Path:
    """Where credentials and sessions are that nobody has given a place: beside the API keys."""
    keys = Path(settings.keys.file) if settings.keys.file else default_path(environ)
    return keys.parent


def usual_file(name: str, settings: Settings, environ: Mapping[str, str] = os.environ) -> Path:
    """Where the credentials of a broker are that nobody has given a place."""
    return folder(settings, environ) / f"{name}.env"


def _source(given: str, broker: Broker, settings: Settings, environ: Mapping[str, str]) -> Source:
    name = broker.name
    form, colon, rest = given.partition(":")
    try:
        if form == "command" and colon:
            return CommandSource(rest, name)
        if form == "openalgo" and colon:
            return OpenAlgoSource(rest.strip(), name, settings.openalgo.path)
        if form == "env" and colon:
            return (
                FileSource(_path(rest, environ), name) if rest else EnvironmentSource(environ, name)
            )
        if given:
            return FileSource(_path(given, environ), name)
    except ValueError as error:
        raise ConfigError([f"{name}.credentials = {_shown(given)}: {error}"]) from None
    fields = frozenset(field.name for field in broker.fields)
    return UsualSource(usual_file(name, settings, environ), name, environ, fields)


def _path(given: str, environ: Mapping[str, str]) -> Path:
    home = environ.get("HOME")
    path = Path(home, given[2:]) if home and given.startswith("~/") else Path(given)
    if not path.is_absolute():
        raise ValueError("it is no whole path; begin it with / or ~/")
    return path


def _shown(given: str) -> str:
    """Rule 2: the line of a command may hold what is secret."""
    return "'command:...'" if given.startswith("command:") else repr(given)


def _parsed(content: bytes, broker: str, name: str) -> dict[str, str]:
    try:
        return text.parse(content, broker)
    except Malformed as error:
        raise HubError(f"{name} cannot be understood: {error}") from None
