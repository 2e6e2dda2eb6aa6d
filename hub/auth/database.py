"""OpenAlgo's database: who has an API key, and which broker that user is logged in to.

1. It is read and never changed. No file is made beside it either: one that were the hub's
   could keep OpenAlgo from its own database.
2. Each read opens it anew, so that one put in its place is noticed.
3. No error tells the password of a URL, nor anything else of a URL that is not understood.

SQLite's `mode=ro` alone does not do for rule 1. In WAL mode a reader makes the missing -wal and
-shm, and leaves them, so it gets them read-only (`readonly_shm`), which SQLite can do since 3.22.
Where they are missing because no process has the database open it is read as a file at rest
(`immutable`), and again if it did not rest after all.
"""

from __future__ import annotations

import re
import sqlite3
import stat
import sys
from collections.abc import Iterable
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import quote, unquote

import msgspec

from hub.core.errors import KeyStoreError

BUSY_S = 2.0
"""How long a read waits for a lock or a connection; SDKs give up after 5 s."""

_SQL = (
    "SELECT api_keys.user_id, api_keys.api_key_hash, auth.broker, auth.is_revoked "
    "FROM api_keys LEFT JOIN auth ON auth.name = api_keys.user_id"
)
_LOGINS = "SELECT name, broker, is_revoked, user_id, auth, feed_token FROM auth"
_TRIES = 3
_SQLITE = re.compile(r"sqlite(?:\+pysqlite)?:///(?P<path>[^?]*)(?:\?.*)?", re.DOTALL)
_PLAIN = re.compile(r"([\w+]+://)(?:[^@/?#]*@)?([\w.-]*(?::\d+)?(?:/[\w.-]*)?)(?:\?[^@]*)?")
"""A URL of which it is certain what is no secret. A password may hold anything but an @."""
_TIMEOUTS = {"psycopg", "psycopg2", "pymysql", "mysqldb"}
"""SQLAlchemy's names of the drivers that take `connect_timeout`."""

_Raw: TypeAlias = tuple[Any, ...]


class KeyRow(msgspec.Struct, frozen=True):
    """A user's API key as OpenAlgo keeps it, and the user's login.

    `broker` is that of the login, also of a revoked one; empty when there is none.
    """

    user: str
    key_hash: str
    broker: str
    revoked: bool

    @property
    def active_broker(self) -> str:
        """The broker the user is logged in to; empty for none."""
        return "" if self.revoked else self.broker

    def __repr__(self) -> str:
        return f"<KeyRow {self.user!r} {self.broker!r}{', revoked' if self.revoked else ''}>"


class LoginRow(msgspec.Struct, frozen=True):
    """A user's login to a broker as OpenAlgo keeps it: `client` is what the broker calls the user,
    the tokens are encrypted."""

    user: str
    broker: str
    revoked: bool
    client: str
    auth: str
    feed_token: str

    def __repr__(self) -> str:
        return f"<LoginRow {self.user!r} {self.broker!r}{', revoked' if self.revoked else ''}>"


class Database:
    """The database at `url`, OpenAlgo's DATABASE_URL; a relative file is the `checkout`'s.

    SQLite is read with the standard library, all else with SQLAlchemy, if that is installed.
    """

    def __init__(self, url: str, checkout: Path) -> None:
        url = url.strip()
        self._source: _File | _Server
        if found := _SQLITE.fullmatch(url):
            self._source = _File(_path(found["path"], checkout))
        else:
            self._source = _Server(url)

    def __repr__(self) -> str:
        return f"<Database {self.shown}>"

    @property
    def shown(self) -> str:
        """Where it is, without what may be secret."""
        return self._source.shown

    @property
    def file(self) -> Path | None:
        """The file it is, if it is one."""
        return self._source.path if isinstance(self._source, _File) else None

    def rows(self) -> list[KeyRow]:
        """Everyone's key. Blocks: a busy database for BUSY_S, another one's network for longer.

        Raises KeyStoreError when it cannot be read. A row that names no user, has no hash or
        holds what cannot be printed is left out: it would get into keys and logs.
        """
        found = (_row(*raw) for raw in self._source.read(_SQL))
        return [row for row in found if row is not None]

    def logins(self) -> list[LoginRow]:
        """Everyone's login. It blocks and raises as `rows` does, and leaves out as it does."""
        found = (_login(*raw) for raw in self._source.read(_LOGINS))
        return [row for row in found if row is not None]


class _Stamp(NamedTuple):
    """Tells one state of a file at rest from another."""

    inode: int
    size_bytes: int
    modified_ns: int


class _File:
    """An SQLite database."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shown = str(path)

    def read(self, query: str) -> list[_Raw]:
        if str(self.path).endswith(":memory:"):
            raise KeyStoreError("DATABASE_URL names a database in memory, which no one else sees")
        try:
            for _ in range(_TRIES):
                raw = self._try(query)
                if raw is not None:
                    return raw
        except FileNotFoundError:
            raise KeyStoreError(
                f"there is no {self.path}; start OpenAlgo once, or correct its DATABASE_URL"
            ) from None
        except (OSError, ValueError, sqlite3.Error) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise KeyStoreError(f"OpenAlgo's {self.path} cannot be read: {why}") from error
        raise KeyStoreError(f"OpenAlgo's {self.path} cannot be read: it changes all the time")

    def _try(self, query: str) -> list[_Raw] | None:
        """None when a process opened or left the database meanwhile, so that it counts for nothing.

        One that leaves it in the very moment of a read can make SQLite leave an empty -wal. It is
        of no harm where the hub runs as OpenAlgo's user or as root, as its feed must anyway.
        """
        before = self._at_rest()
        try:
            how = "mode=ro&readonly_shm=1" if before is None else "immutable=1"
            raw = _select(self.path, how, query)
        except sqlite3.DatabaseError:
            if self._at_rest() == before:
                raise
            return None
        return raw if before is None or self._at_rest() == before else None

    def _at_rest(self) -> _Stamp | None:
        """The stamp of a WAL database that no process has open; None for any other one."""
        status = self.path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a file")
        # Closing it ends the locks that this process has on it: no other thread may be reading.
        with self.path.open("rb") as file:
            wal_mode = file.read(20)[18:] == b"\2\2"  # sqlite.org/fileformat2.html
        if not wal_mode or self._has_log():
            return None
        return _Stamp(status.st_ino, status.st_size, status.st_mtime_ns)

    def _has_log(self) -> bool:
        """Whether there is a -wal, and not an empty one left alone."""
        try:
            size_bytes = Path(f"{self.path}-wal").stat().st_size
        except FileNotFoundError:
            return False
        return size_bytes > 0 or Path(f"{self.path}-shm").exists()


class _Server:
    """A database of any other kind, by way of SQLAlchemy."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.shown = _shown(url)

    def read(self, query: str) -> list[_Raw]:
        try:
            # An optional extra: most checkouts are on SQLite.
            import sqlalchemy  # noqa: F401, PLC0415
        except ModuleNotFoundError:
            raise KeyStoreError(
                f"{self.shown} is not SQLite and needs SQLAlchemy with the driver that "
                f"OpenAlgo uses; type `{sys.executable} -m pip install SQLAlchemy DRIVER`"
            ) from None
        try:
            return self._select(query)
        except ModuleNotFoundError as error:
            raise KeyStoreError(
                f"{self.shown} needs the driver {error.name}; install the one that OpenAlgo uses"
            ) from None
        except Exception as error:  # noqa: BLE001  # drivers raise what they like
            # Not chained: the texts of these errors may hold the URL.
            raise KeyStoreError(
                f"OpenAlgo's {self.shown} cannot be read: {self._told(error)}"
            ) from None

    def _select(self, query: str) -> list[_Raw]:
        from sqlalchemy import create_engine, make_url, pool, text  # noqa: PLC0415  # as above

        url = make_url(self._url)
        options: dict[str, Any] = {}
        if url.get_driver_name() in _TIMEOUTS and "connect_timeout" not in url.query:
            options["connect_timeout"] = int(BUSY_S)
        engine = create_engine(url, poolclass=pool.NullPool, connect_args=options)
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def _told(self, error: Exception) -> str:
        """What the driver said, if that holds nothing of the URL that may be secret."""
        from sqlalchemy import make_url  # noqa: PLC0415  # as above
        from sqlalchemy.exc import DBAPIError  # noqa: PLC0415

        kind = type(error).__name__
        if not isinstance(error, DBAPIError):
            return kind
        url = make_url(self._url)
        secrets = [str(url.password or ""), *chain(*url.normalized_query.values())]
        said = " ".join(str(error.orig).split())
        hidden = any(secret and secret in said for secret in secrets)
        return kind if hidden else f"{kind}: {said}"


def _select(path: Path, how: str, query: str) -> list[_Raw]:
    uri = f"file:{quote(str(path))}?{how}"
    with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_S)) as connection:
        return connection.execute(query).fetchall()


def _path(text: str, checkout: Path) -> Path:
    """The file of an SQLite URL. SQLAlchemy decodes its name since 2.1, and not before."""
    literal = checkout / text
    if "%" in text and not literal.exists():
        return checkout / unquote(text)
    return literal


def _shown(url: str) -> str:
    if found := _PLAIN.fullmatch(url):
        return found[1] + found[2]
    scheme = re.match(r"[a-z0-9+]+(?=://)", url)
    return f"the {scheme[0]} database of DATABASE_URL" if scheme else "DATABASE_URL"


def _row(user: object, key_hash: object, broker: object, revoked: object) -> KeyRow | None:
    texts = (user, key_hash, "" if broker is None else broker)
    if not _printable(texts) or not user or not key_hash:
        return None
    return KeyRow(str(user), str(key_hash), str(texts[2]), bool(revoked))


def _login(user: object, broker: object, revoked: object, *rest: object) -> LoginRow | None:
    texts = [user, *("" if text is None else text for text in (broker, *rest))]
    if not _printable(texts) or not user:
        return None
    named, at, client, auth, feed_token = map(str, texts)
    return LoginRow(named, at, bool(revoked), client, auth, feed_token)


def _printable(texts: Iterable[object]) -> bool:
    return all(isinstance(text, str) and text.isprintable() for text in texts)
