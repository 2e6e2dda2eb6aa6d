"""A broker's list of instruments is downloaded, read, and put in the place of the one that is kept.

1. Whatever fails, the list that is kept stays as it is.
2. A file that does not come is tried again, but not when it was asked for too often.
3. Nothing is held in memory: files are downloaded to the disk, and rows go to the new list as they
   are read.
4. Only one process at a time changes a list; who comes meanwhile waits.
5. Where a file does not come the list that is kept is better, for some days; else what does come is
   better than nothing. It is then called a day old, so that a whole one is due at once.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, NamedTuple
from urllib.parse import unquote, urlsplit

from hub.brokers.base import Broker, Listing, Source
from hub.core.errors import BrokerError, HubError, Malformed
from hub.core.model import Fault
from hub.core.settings import Account, Settings
from hub.instruments import store
from hub.runtime import http
from hub.runtime.log import log

MOST_BYTES = 512 << 20
"""Longest file that is downloaded."""
PAUSES_S = (1.0, 4.0)
"""How long to wait before a file is tried again."""
_DAY_S = 86_400.0
_LOOK_S = 0.2
"""How often it is tried whether another update is over."""
_BETTER_S = 4 * 86_400.0
"""For how long a whole list is better than a newer one without one of its files."""
_STEP = 1000
"""After how many rows they are told."""


class Progress(NamedTuple):
    """How far an update is: the source that it is at, how many bytes of it have come and of how
    many (0: unknown), and how many rows have been read in all. Before the first source it may be
    that it waits."""

    source: str
    bytes: int
    whole: int
    rows: int


Tell = Callable[[Progress], None]


async def update(broker: Broker, where: str, path: Path, tell: Tell) -> int:
    """Put a new list at `path`; how many instruments are in it.

    `where` is an address or a folder in which the broker's files are by their names, or, where
    there is but one, that file; empty is the broker's own address. A list of its own that has less
    than half of what there was replaces nothing. `tell` is called often, and from another thread
    while rows are read. Raises HubError with a sentence.
    """
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.callback(os.close, await _lock(path, tell))
            files: list[tuple[str, IO[bytes]]] = []
            missed: list[BrokerError] = []
            for source, places in _places(broker, where):
                try:
                    file = await _first(places, source, path.parent, tell)
                except BrokerError as error:
                    missed.append(error)
                    continue
                files.append((source.name, stack.enter_context(file)))
            count, made_s = _kept(path)
            _see(missed, files, made_s)
            rows = _rows(broker, files, tell)
            least = 1 if where else max(broker.instruments.least, count // 2)
            built_at = time.time() - (_DAY_S if missed else 0.0)
            return await asyncio.to_thread(store.write, path, broker.title, rows, built_at, least)
        except OSError as error:
            at = error.filename or path.parent
            raise HubError(
                f"the list of {broker.title} cannot be kept: {error.strerror} ({at})"
            ) from None


def where_of(broker: str, settings: Settings) -> str:
    """What the settings say of where the files of this broker are; empty for its own address."""
    account: Account = getattr(settings, broker)
    return account.instruments_url


def _places(broker: Broker, where: str) -> Iterator[tuple[Source, list[str]]]:
    """Each source with the addresses, or paths, of its file."""
    sources = broker.instruments.sources
    for source in sources:
        urls = [url for url in (source.url, source.other) if url]
        if not where:
            yield source, urls
        elif len(sources) == 1 and _is_file(where):
            yield source, [where]
        else:
            yield source, [f"{where.rstrip('/')}/{_name(url)}" for url in urls]


def _is_file(where: str) -> bool:
    """Whether an address or path is of a file, and not of where files are."""
    if "://" in where:
        return "." in urlsplit(where).path.rpartition("/")[2]
    return Path(where).expanduser().is_file()


def _see(missed: list[BrokerError], files: list[tuple[str, IO[bytes]]], made_s: float) -> None:
    """Rule 5."""
    if missed and (not files or time.time() - made_s < _BETTER_S):
        raise missed[0]
    for error in missed:
        log.warning("%s; what is in it is not in the list", error)


def _kept(path: Path) -> tuple[int, float]:
    """How many instruments are in the list that is there, and when it was made, in epoch seconds;
    zeros when there is none."""
    try:
        with store.Store(path) as there:
            return there.count, float(there.built)
    except store.Unusable:
        return 0, 0.0


async def _first(places: list[str], source: Source, folder: Path, tell: Tell) -> IO[bytes]:
    """The file from the first place that has it. Raises HubError."""
    for place in places[:-1]:
        with suppress(HubError):
            return await _file(place, source, folder, tell)
    return await _file(places[-1], source, folder, tell)


async def _file(place: str, source: Source, folder: Path, tell: Tell) -> IO[bytes]:
    """The file of a source, open at its begin."""
    if place.startswith(("/", "~/")):
        return await asyncio.to_thread(_open, place)
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # who asked closes it
    try:
        await _download(place, file, lambda had, whole: tell(Progress(source.name, had, whole, 0)))
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


async def _download(url: str, file: IO[bytes], progress: Callable[[int, int], None]) -> None:
    """Rule 2. What is no address at all is not tried again either."""
    for pause_s in (*(PAUSES_S if http.is_safe(url) else ()), None):
        try:
            await http.download(url, file, MOST_BYTES, progress)
        except BrokerError as error:
            again = error.fault is Fault.NETWORK and not isinstance(error, http.NotThere)
            if pause_s is None or not again:
                raise
            await asyncio.sleep(pause_s)
            file.seek(0)
            file.truncate()
        else:
            return


def _rows(broker: Broker, files: list[tuple[str, IO[bytes]]], tell: Tell) -> Iterator[Listing]:
    count = 0
    for name, file in files:
        tell(Progress(name, 0, 0, count))
        try:
            for listing in broker.instruments.read(name, file):
                yield listing
                count += 1
                if count % _STEP == 0:
                    tell(Progress(name, 0, 0, count))
        except Malformed as error:
            raise HubError(
                f"the file {name} of {broker.title} is no list of instruments: {error}; the list "
                "that was there stays, try again later"
            ) from None
    yield from broker.instruments.fixed


def _open(place: str) -> IO[bytes]:
    path = Path(place).expanduser()
    try:
        return path.open("rb")
    except OSError as error:
        raise HubError(
            f"{path} cannot be read: {error.strerror}; put the broker's file there, or take the "
            "folder out of the settings"
        ) from None


def _name(url: str) -> str:
    """The name of a file: the last part of its address."""
    return unquote(urlsplit(url).path).rpartition("/")[2]


async def _lock(path: Path, tell: Tell) -> int:
    """The file that is locked as long as it is open. A thread that waits for it could not be
    given up."""
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        while not _is_locked(lock):
            tell(Progress("waits for another update", 0, 0, 0))
            await asyncio.sleep(_LOOK_S)
    except BaseException:
        os.close(lock)
        raise
    return lock


def _is_locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
