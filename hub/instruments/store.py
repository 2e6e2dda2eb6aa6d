"""A broker's list of instruments, kept in a file of SQLite.

1. A list is written to a new file, which takes the place of the old one as a whole or not at all.
2. A store that is open reads the list that it was opened with, whatever takes its place; `stale`
   tells that there is a newer one.
3. Of two listings of the same name the first one counts.
4. A listing that SQLite cannot hold, with a number beyond 64 bits or half a character, is left out.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import quote

from rapidfuzz import fuzz, process

from hub.brokers import names
from hub.brokers.base import Listing
from hub.core.errors import HubError
from hub.instruments import ranking
from hub.runtime.paths import place

_FORMAT = 1
_COLUMNS = ", ".join(Listing._fields)
_FIND = f"SELECT {_COLUMNS} FROM listing WHERE exchange = ? AND symbol = ?"  # noqa: S608  # names
_MARKS = ", ".join("?" * len(Listing._fields))
_PUT = f"INSERT OR IGNORE INTO listing VALUES ({_MARKS})"  # noqa: S608  # question marks
_SCHEMA = f"""
    CREATE TABLE listing ({_COLUMNS}, PRIMARY KEY (exchange, symbol)) WITHOUT ROWID;
    CREATE TABLE about (format, title, built);
    CREATE TABLE served (exchange, count);
"""
_BUSY_S = 5.0
_AT_ONCE = 1000


class Stamp(NamedTuple):
    """Tells one list from the one that takes its place."""

    inode: int
    size_bytes: int
    modified_ns: int


class Unusable(HubError):
    """There is no list of instruments, or none that can be read; the text says what to do."""


def folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the lists are: in systemd's directory of state for this service; else in this user's
    directory of data; else, for a user without a home, in the machine's."""
    xdg = ("XDG_DATA_HOME", ".local/share")
    return place(environ, "STATE_DIRECTORY", xdg, "/var/lib") / "instruments"


def path_of(broker: str, environ: Mapping[str, str] = os.environ) -> Path:
    """The file of this broker's list, which need not exist."""
    return folder(environ) / f"{broker}.sqlite"


def stamp_of(path: Path) -> Stamp | None:
    """The stamp of the list that is there now; None when there is none."""
    with suppress(OSError):
        status = path.stat()
        return Stamp(status.st_ino, status.st_size, status.st_mtime_ns)
    return None


def write(
    path: Path, title: str, listings: Iterable[Listing], built_at: float, least: int = 1
) -> int:
    """Put these listings in the place of those at `path`, durably; how many they are.

    `title` is what people call the broker, `built_at` is in epoch seconds. Raises Unusable, with
    the old list in its place, when there are fewer than `least`; so does all that `listings`
    raises, and OSError. Only one process at a time may write.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)  # left by one that died
    try:
        count = _write(new, title, listings, built_at)
        if count < least:
            raise Unusable(
                f"the list of {title} has {count} instruments, and a good one has {least} or more; "
                "nothing was replaced, try again later"
            )
        _sync(new)
        new.replace(path)
    except sqlite3.Error as error:
        raise Unusable(f"{new} cannot be written: {error}; see that there is room") from None
    finally:
        new.unlink(missing_ok=True)
    _sync(path.parent)
    return count


class Store:
    """The list at `path`, for reading. Any thread may use it. Raises Unusable, also later: a file
    may be damaged behind its begin."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stamp = stamp_of(path)
        self._symbols: tuple[str, list[str]] = ("", [])
        try:
            self._base = sqlite3.connect(
                f"file:{quote(str(path))}?mode=ro",
                uri=True, timeout=_BUSY_S, check_same_thread=False,
            )  # fmt: skip
            form, self.title, self.built = self._rows("SELECT format, title, built FROM about")[0]
            self.served: dict[str, int] = dict(self._rows("SELECT exchange, count FROM served"))
        except (sqlite3.Error, IndexError, ValueError):
            raise Unusable(_unusable(path)) from None
        if form != _FORMAT:
            self.close()
            raise Unusable(_unusable(path))

    def __repr__(self) -> str:
        return f"<Store {self.path}: {self.count} instruments>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def count(self) -> int:
        """How many instruments there are."""
        return sum(self.served.values())

    @property
    def stale(self) -> bool:
        """Whether another list has taken the place of this one."""
        return stamp_of(self.path) not in {self.stamp, None}

    def find(self, exchange: str, symbol: str) -> Listing | None:
        """The instrument of that name."""
        try:
            rows = self._rows(_FIND, exchange, symbol)
        except UnicodeEncodeError:  # half a character: rule 4
            return None
        return Listing(*rows[0]) if rows else None

    def near(self, exchange: str, symbol: str, most: int = 3) -> list[str]:
        """The symbols of that exchange that look most like this one, the nearest first. It takes
        a time that a loop has not: tens of milliseconds."""
        whose, symbols = self._symbols
        if whose != exchange:
            query = "SELECT symbol FROM listing WHERE exchange = ?"
            symbols = [name for (name,) in self._rows(query, exchange)]
            self._symbols = exchange, symbols  # at once: another thread may ask for another one
        found = process.extract(
            symbol.upper(), symbols, scorer=fuzz.ratio, limit=most, score_cutoff=50
        )
        return [name for name, _, _ in found]

    def unknown(self, exchange: str, symbol: str, today: date) -> str:
        """Why there is no such instrument, in a sentence. As slow as `near`."""
        if exchange not in self.served:
            has = ", ".join(self.served)
            return f"{self.title} does not serve {exchange}; it serves {has}"
        expiry = names.expiry_of(symbol)
        if expiry is not None and expiry < today:
            return f"{exchange}:{symbol} expired on {expiry:%d %b %Y}"
        near = self.near(exchange, symbol)
        sentence = f"there is no {exchange}:{symbol} at {self.title}"
        if not near:
            return sentence
        are = f"nearest are {', '.join(near)}" if len(near) > 1 else f"nearest is {near[0]}"
        return f"{sentence}; {are}"

    def search(
        self, text: str, exchange: str = "", most: int = 20, today: str = ""
    ) -> list[Listing]:
        """The instruments that have all words of `text` in their symbol, their broker's symbol or
        their name, in any order of the words: the best first, as hub/instruments/ranking.py says.
        Those that expired before `today` (YYYY-MM-DD) come last. Nothing for no words."""
        words = text.upper().replace(":", " ").split()
        if not words:
            return []
        query = f"SELECT {_COLUMNS} FROM listing WHERE "  # noqa: S608  # names of columns
        where = ["instr(upper(symbol || ' ' || broker_symbol || ' ' || name), ?) > 0"] * len(words)
        values = [*words]
        if exchange:
            where.append("exchange = ?")
            values.append(exchange)
        found = [Listing(*row) for row in self._rows(query + " AND ".join(where), *values)]
        return ranking.best(found, words, most, today)

    def close(self) -> None:
        """Read no more."""
        self._base.close()

    def _rows(self, query: str, *values: str) -> list[Any]:
        try:
            return self._base.execute(query, values).fetchall()
        except sqlite3.DatabaseError:
            raise Unusable(_unusable(self.path)) from None


def _write(path: Path, title: str, listings: Iterable[Listing], built_at: float) -> int:
    with closing(sqlite3.connect(path)) as base:
        # The file counts for nothing before it is whole, so a journal would save nothing.
        base.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_SCHEMA}")
        rows = iter(listings)
        while some := list(islice(rows, _AT_ONCE)):
            _put(base, some)
        base.execute("INSERT INTO about VALUES (?, ?, ?)", (_FORMAT, title, built_at))
        base.execute("INSERT INTO served SELECT exchange, count(*) FROM listing GROUP BY exchange")
        base.commit()
        (count,) = base.execute("SELECT total(count) FROM served").fetchone()
    return int(count)


def _put(base: sqlite3.Connection, rows: list[Listing]) -> None:
    """Rule 4."""
    try:
        base.executemany(_PUT, rows)
    except (OverflowError, UnicodeEncodeError):
        for row in rows:  # those that are there already are ignored
            with suppress(OverflowError, UnicodeEncodeError):
                base.execute(_PUT, row)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _unusable(path: Path) -> str:
    problem = "cannot be read" if path.exists() else "is not there"
    return (
        f"the list of instruments {path} {problem}; type `hub instruments update {path.stem}` "
        "to download it"
    )
