"""One account of a broker: its credentials whenever they are asked for, and its logins.

1. Credentials are read anew each time, and what a login has brought is laid over them.
2. What is missing is told with where it was looked for and what to do, and nothing that is there
   is told at all.
3. A login that the broker has refused is not tried again with the same credentials for some
   minutes: accounts are locked after a few.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from hub.brokers.base import Addresses, Broker, Login
from hub.core.errors import BrokerError, HubError
from hub.core.model import Fault
from hub.core.settings import Account, Settings
from hub.credentials.session import Session, SessionFile, mark_of
from hub.credentials.sources import FileSource, Source, folder, sources_of
from hub.runtime import http

LOGIN_S = 30.0
"""What a login may take."""
REST_S = 600.0
"""Rule 3."""


class Found(NamedTuple):
    """What there is of an account: the credentials as a whole, the session among them, if any, and
    the names of the needed fields that are missing."""

    credentials: dict[str, str]
    session: Session | None
    missing: tuple[str, ...]

    def __repr__(self) -> str:
        return f"<Found {', '.join(self.credentials)}>"


class Provider:
    """The credentials of one account. All of it belongs to one event loop."""

    def __init__(
        self,
        broker: Broker,
        source: Source,
        sessions: SessionFile,
        addresses: Addresses,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.broker = broker
        self.name = source.name
        self._source = source
        self._sessions = sessions
        self._addresses = addresses
        self._clock = clock
        self._reason = "no time"
        self._own_stamp: Hashable = None
        self._stamps: tuple[Hashable, Hashable] = (None, None)
        self._refused: tuple[str, float, BrokerError] | None = None

    def __repr__(self) -> str:
        return f"<Provider {self.broker.name} {self.name}, asked for at {self._reason}>"

    @property
    def logs_in(self) -> bool:
        """Whether `login` needs nobody at a browser."""
        login = self.broker.login
        return login is not None and login.visit is None and not self._source.login

    @property
    def renewal(self) -> str:
        """What its owner does for another session, in words."""
        if self._source.login:
            return f"log in at {self._source.login}"
        if self.broker.login is not None:
            return f"type `hub login {self.broker.name}`"
        return f"change {self.name}"

    async def get(self, reason: str = "start") -> dict[str, str]:
        """The credentials as they are now; `reason` is told by `repr`. Raises BrokerError (AUTH)
        when they cannot be read, or a needed field is missing."""
        self._reason = reason
        found = await self.find()
        if found.missing:
            raise BrokerError(Fault.AUTH, self._lack(found.missing))
        return found.credentials

    async def find(self) -> Found:
        """What there is, whether or not it is enough. Raises BrokerError (AUTH) when it cannot be
        read."""
        session_stamp = await self._session_stamp()
        own = await self._own()
        self._stamps = self._own_stamp, session_stamp
        try:
            session = await asyncio.to_thread(self._sessions.load, own)
        except HubError as error:
            raise BrokerError(Fault.AUTH, str(error)) from None
        credentials = own | (session.fields if session else {})
        missing = tuple(
            field.name
            for field in self.broker.fields
            if field.needed and not credentials.get(field.name)
        )
        return Found(credentials, session, missing)

    async def changed(self) -> bool:
        """Whether there are others than those that were asked for last. It takes a stat or two; a
        command is run for it once a minute."""
        return (await self._source.stamp(), await self._session_stamp()) != self._stamps

    async def visit(self) -> str:
        """The address to open in a browser for a login; empty when none is needed. Raises
        BrokerError."""
        login, own = await self._needed()
        return login.visit(own, self._addresses) if login.visit else ""

    async def login(self, answer: str = "") -> Session:
        """Log in and keep what it brings. `answer` is the address that the browser was led to, or
        the code in it, where `visit` gives an address. Raises BrokerError."""
        login, own = await self._needed()
        if login.visit and not answer:
            raise BrokerError(
                Fault.AUTH,
                f"{self.broker.title} wants a login in a browser; {self.renewal}",
            )
        mark = mark_of(own)
        if self._refused and not answer and self._refused[0] == mark:
            _, until, error = self._refused
            if self._clock() < until:
                raise error
        try:
            return await self._log_in(login, own, code_of(login, answer))
        except BrokerError as error:
            if error.fault is Fault.AUTH:
                self._refused = mark, self._clock() + REST_S, error
            raise

    async def forget(self) -> bool:
        """Forget the session; whether there was one. Raises BrokerError."""
        try:
            return await asyncio.to_thread(self._sessions.remove)
        except HubError as error:
            raise BrokerError(Fault.AUTH, str(error)) from None

    async def _log_in(self, login: Login, own: dict[str, str], code: str) -> Session:
        now = self._clock()
        request = login.request(own, self._addresses, code, now)
        fields = login.take(await http.fetch(request, LOGIN_S), own)
        try:
            return await asyncio.to_thread(self._sessions.save, own, fields, now)
        except HubError as error:
            raise BrokerError(Fault.AUTH, str(error)) from None

    async def _needed(self) -> tuple[Login, dict[str, str]]:
        """The login, and the credentials that it is made with."""
        login, elsewhere = self.broker.login, self._source.login
        if elsewhere:
            raise BrokerError(
                Fault.AUTH,
                f"{elsewhere} logs in to {self.broker.title} for {self.name}; log in there, or "
                "name another source of credentials in the settings",
            )
        if not self.broker.fields:
            raise BrokerError(Fault.AUTH, f"{self.broker.title} needs no login")
        if login is None:
            raise BrokerError(
                Fault.AUTH,
                f"{self.broker.title} has no login that the hub could do; make a token as "
                f"docs/feeds/{self.broker.name}.md says, and put it in {self.name}",
            )
        own = await self._own()
        missing = [name for name in login.needs if not own.get(name)]
        if missing:
            raise BrokerError(
                Fault.AUTH,
                f"{self.name} has no {_listed(missing)}, which a login needs; add what is "
                f"missing, as docs/feeds/{self.broker.name}.md tells",
            )
        return login, own

    async def _own(self) -> dict[str, str]:
        """What the source says of this broker's fields."""
        try:
            self._own_stamp, said = await self._source.read()
        except HubError as error:
            self._stamps = await self._source.stamp(), await self._session_stamp()
            own = [field.name for field in self.broker.fields if field.needed and not field.kept]
            needed = own or (self.broker.login.needs if self.broker.login else ())
            raise BrokerError(
                Fault.AUTH,
                f"the credentials of {self.broker.title} cannot be read: {error}; it has to say "
                f"{_listed(needed)}, as docs/feeds/{self.broker.name}.md tells",
            ) from None
        names = {field.name for field in self.broker.fields}
        return {name: value for name, value in said.items() if name in names}

    def _lack(self, missing: tuple[str, ...]) -> str:
        kept = {field.name for field in self.broker.fields if field.kept}
        advice = "add what is missing"
        if self._source.login or (self.broker.login is not None and kept.issuperset(missing)):
            advice = self.renewal
        return (
            f"{self.name} has no {_listed(missing)}; {advice}, as "
            f"docs/feeds/{self.broker.name}.md tells"
        )

    async def _session_stamp(self) -> Hashable:
        try:
            return await asyncio.to_thread(self._sessions.stamp)
        except HubError as error:
            return str(error)


def providers(
    broker: Broker, settings: Settings, environ: Mapping[str, str] = os.environ
) -> list[Provider]:
    """The accounts of a broker, in the order of `<broker>.credentials`. Raises ConfigError."""
    account: Account = getattr(settings, broker.name)
    usual = broker.channels[0].addresses
    addresses = Addresses(account.url or usual.url, account.api_url or usual.api)
    given = account.credentials or [""]
    return [
        Provider(broker, source, SessionFile(_session_path(source, one, broker, settings, environ)),
                 addresses)
        for source, one in zip(sources_of(broker, settings, environ), given, strict=False)
    ]  # fmt: skip


def code_of(login: Login, answer: str) -> str:
    """The code in the address that the browser was led to; an answer that is no address is the
    code itself. Raises BrokerError when the address has none."""
    answer = answer.strip()
    if not login.code or "://" not in answer:
        return answer
    try:
        parts = urlsplit(answer)
    except ValueError:
        parts = urlsplit("")
    for said in (parts.query, parts.fragment):
        if values := parse_qs(said).get(login.code):
            return values[0]
    raise BrokerError(
        Fault.AUTH,
        f"there is no {login.code} in that address; give the one that the browser shows after the "
        "login, as a whole",
    )


def _session_path(
    source: Source, given: str, broker: Broker, settings: Settings, environ: Mapping[str, str]
) -> Path:
    """Beside a file; else where the file would be, told apart by what the setting says."""
    if isinstance(source, FileSource):
        return Path(f"{source.name}.session")
    mark = mark_of({broker.name: given})[:8]
    return folder(settings, environ) / f"{broker.name}-{mark}.session"


def _listed(names: tuple[str, ...] | list[str]) -> str:
    upper = [name.upper() for name in names]
    return " and ".join(upper) if len(upper) < 3 else f"{', '.join(upper[:-1])} and {upper[-1]}"
