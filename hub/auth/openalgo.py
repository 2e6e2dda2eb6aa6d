"""Whose OpenAlgo key is it: verifier.py's answers from OpenAlgo's own database.

OpenAlgo hashes a key and a pepper with Argon2, which is slow by design, and its rows do not tell
which of them a key belongs to. So each is tried, and what came of it is remembered.

1. The loop never waits: all reading and all hashing is done in one thread, and a read waits for
   one hash at most. That thread and those in which Argon2 hashes are less urgent than the loop, or
   its ticks would wait for them where cores are few.
2. A key is hashed once, however many present it: those who come meanwhile wait for the same
   answer, and if one of them leaves the others still get it.
3. What is remembered of a key is a keyed hash, under a key that dies with the process. It counts
   while the row that was read last has the same hash text; for a refused key, while all have.
4. Rows are read again at most LOOK_S before whoever logs in is answered. Whoever is connected is
   looked at within `cache_s` of a change, or two seconds if that is less.
5. A grant ends when its key is changed or deleted, or its user is logged in to another broker. A
   login that is revoked ends none, nor does a database that cannot be read.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, ParamSpec, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import error_to_str

from hub.auth.database import Database, KeyRow
from hub.auth.verifier import LOOK_S, Grant
from hub.core.errors import KeyStoreError
from hub.core.model import Identity

MIN_PEPPER = 32
"""Shortest pepper that OpenAlgo starts with, in characters."""
MAX_KEY = 1024
"""Longest API key that is looked at, in characters; OpenAlgo makes them of 64."""
MAX_WAITING = 64
"""Different keys that may wait to be hashed: a few seconds of work."""
MAX_REFUSED = 1000
"""Refused keys that are remembered."""

_NICER = 10
"""How much less urgent than the loop its threads are, in steps of nice(2)."""
_P = ParamSpec("_P")
_T = TypeVar("_T")
_NO_MEMORY = error_to_str(-22)  # ARGON2_MEMORY_ALLOCATION_ERROR: says nothing about the key


class _Seen(NamedTuple):
    """What was read last: rows by user (None before the first), and why the last read failed."""

    rows: Mapping[str, KeyRow] | None
    hashes: frozenset[str]
    trouble: str


class _Match(NamedTuple):
    """Whose key it was when it was hashed."""

    user: str
    key_hash: str


class OpenAlgoVerifier:
    """Answers for the keys in OpenAlgo's `database`, hashed with its API_KEY_PEPPER.

    `cache_s` is as in Verifier. Raises KeyStoreError for a pepper that OpenAlgo would not take.
    All but the constructor belongs to one event loop.
    """

    def __init__(
        self,
        database: Database,
        pepper: str,
        cache_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if len(pepper) < MIN_PEPPER:
            raise KeyStoreError(
                f"API_KEY_PEPPER in OpenAlgo's .env has {len(pepper)} characters, and OpenAlgo "
                f"demands {MIN_PEPPER} or more; put the one there that its keys were made with"
            )
        self._database = database
        self._pepper = pepper
        self._cache_s = cache_s
        self._clock = clock
        self._thread = ThreadPoolExecutor(
            max_workers=1, thread_name_prefix="openalgo-keys", initializer=_stand_back
        )
        self._closed = False
        # Of all that is here the thread sets `_seen` alone, as a whole.
        self._seen = self._told = _Seen(None, frozenset(), "OpenAlgo's keys were not read yet")
        self._reading: Future[None] | None = None
        self._next_look = self._next_check = -math.inf
        self._cache_key = secrets.token_bytes(32)
        self._good: dict[bytes, _Match] = {}
        self._refused: dict[bytes, None] = {}  # in the order they came
        self._refused_by: frozenset[str] = frozenset()
        self._flights: dict[bytes, asyncio.Task[str]] = {}
        self._turn = asyncio.Lock()

    def __repr__(self) -> str:
        seen = self._seen
        trouble = ", unreadable" if seen.trouble else ""
        return f"<OpenAlgoVerifier {len(seen.rows or ())} keys{trouble}>"

    async def grant(self, api_key: str) -> Grant | None:
        """What this key gives; None when it is no one's. The broker is empty without a login.

        Raises KeyStoreError while the database cannot be used, or when too many wait already.
        Its text is for the log and not for the client.
        """
        digest = self._digest(api_key)
        if digest is None:
            return None
        while True:
            seen = await self._look()
            if seen.trouble:
                raise KeyStoreError(seen.trouble)
            row = self._known(digest, seen)
            if row is not None:
                return Grant(Identity(row.user, row.active_broker), f"openalgo:{row.user}", row)
            if digest in self._refused and self._refused_by == seen.hashes:
                return None
            # Answered from what was read last when it is known, however long that took: a grant
            # from older rows would miss the change that was told meanwhile.
            await self._hashed(digest, api_key)

    def stands(self, grant: Grant) -> bool:
        """Rule 5, by the rows as they were last read."""
        rows, proof = self._seen.rows, grant.proof
        if rows is None or not isinstance(proof, KeyRow):
            return rows is None
        row = rows.get(proof.user)
        if row is None or row.key_hash != proof.key_hash:
            return False
        return not proof.active_broker or row.active_broker in {"", proof.active_broker}

    def changed(self) -> bool:
        """Whether other rows were read since this was last asked, so grants may have ended.

        Returns at once; what a read that it starts finds is told when it is asked again.
        """
        now = self._clock()
        if now >= self._next_check and not self._closed and self._read_anew():
            self._next_check = now + self._cache_s / 2
        told, self._told = self._told, self._seen
        return told.rows != self._told.rows

    def forget(self) -> None:
        """Read the rows at the next question, however short ago the last read was."""
        self._next_look = self._next_check = -math.inf
        self._reading = None  # it began before what this is about

    def close(self) -> None:
        """End the thread, after what it is at. Whoever still waits is cancelled."""
        self._closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _digest(self, api_key: str) -> bytes | None:
        """What stands for a key; None for a text that cannot be one."""
        if not 1 <= len(api_key) <= MAX_KEY:
            return None
        try:
            return hashlib.blake2b(api_key.encode(), key=self._cache_key).digest()
        except UnicodeEncodeError:
            return None

    async def _look(self) -> _Seen:
        """The rows as they were at most LOOK_S ago, or as they are when they are read now."""
        if self._clock() >= self._next_look:
            self._read_anew()
        if self._reading is not None and not self._reading.done():
            await asyncio.shield(asyncio.wrap_future(self._reading))
        return self._seen

    def _read_anew(self) -> bool:
        """Start a read; False when one is under way, which is not followed by another."""
        if self._reading is not None and not self._reading.done():
            return False
        self._reading = self._in_thread(self._read)
        self._next_look = self._clock() + LOOK_S
        return True

    def _read(self) -> None:
        """In the thread. When the rows cannot be read, those that were read last are kept."""
        try:
            rows = {row.user: row for row in self._database.rows()}
        except KeyStoreError as error:
            self._seen = self._seen._replace(trouble=str(error))
        else:
            self._seen = _Seen(rows, frozenset(row.key_hash for row in rows.values()), "")

    def _in_thread(self, job: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        if self._closed:
            raise KeyStoreError("OpenAlgo's keys are not looked at any more: the hub is leaving")
        return self._thread.submit(job, *args, **kwargs)

    def _known(self, digest: bytes, seen: _Seen) -> KeyRow | None:
        """The row of a key that was good once, if it still is."""
        match = self._good.get(digest)
        row = (seen.rows or {}).get(match.user) if match else None
        return row if row is not None and match and row.key_hash == match.key_hash else None

    async def _hashed(self, digest: bytes, api_key: str) -> None:
        """Wait until it is remembered whose key this is, by rows that may be older by then."""
        flight = self._flights.get(digest)
        if flight is None:
            if len(self._flights) >= MAX_WAITING:
                raise KeyStoreError(
                    f"too many different API keys at once: {MAX_WAITING} wait to be checked"
                )
            flight = asyncio.create_task(self._hash(digest, api_key + self._pepper))
            self._flights[digest] = flight
            flight.add_done_callback(lambda _: self._flights.pop(digest))
        trouble = await asyncio.shield(flight)
        if trouble:
            raise KeyStoreError(trouble)

    async def _hash(self, digest: bytes, secret: str) -> str:
        """What kept it from an answer. Raised, it would be nobody's when all who waited left."""
        async with self._turn:  # of all hashes one is in the thread, so that a read gets in
            seen = self._seen
            try:
                for row in (seen.rows or {}).values():
                    if await asyncio.wrap_future(self._in_thread(_opens, row.key_hash, secret)):
                        self._remember_good(digest, row)
                        return ""
            except KeyStoreError as error:
                return str(error)
            self._remember_refused(digest, seen)
            return ""

    def _remember_good(self, digest: bytes, row: KeyRow) -> None:
        """Remember it, and nothing that counts no more: never more keys than rows."""
        seen = self._seen
        for old in [old for old in self._good if self._known(old, seen) is None]:
            del self._good[old]
        self._good[digest] = _Match(row.user, row.key_hash)

    def _remember_refused(self, digest: bytes, seen: _Seen) -> None:
        if self._refused_by != seen.hashes:
            self._refused.clear()
            self._refused_by = seen.hashes
        self._refused[digest] = None
        while len(self._refused) > MAX_REFUSED:
            del self._refused[next(iter(self._refused))]


def _stand_back() -> None:
    """Let this thread, and those it starts, have what the loop leaves. On Linux each has a niceness
    of its own."""
    with contextlib.suppress(OSError):  # a sandbox may forbid even this
        me = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, me, os.getpriority(os.PRIO_PROCESS, me) + _NICER)


def _opens(key_hash: str, secret: str) -> bool:
    """Whether this is the hash of the secret; a hash that is none is nobody's."""
    try:
        return PasswordHasher().verify(key_hash, secret)
    except InvalidHashError:
        return False
    except VerificationError as error:
        if str(error) == _NO_MEMORY:
            raise KeyStoreError("there is no memory to check an OpenAlgo key with") from None
        return False
