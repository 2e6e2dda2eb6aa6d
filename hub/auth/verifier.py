"""Whose key is it: asked by every client that connects, answered with as little argon2 as can be.

1. argon2 runs in a thread, never on the loop, and once for all who ask about one key at a time.
2. Only a well-formed key with a known id costs an argon2 (records.py says why that is safe),
   and of those only a bounded number wait; what comes beyond is refused and not remembered.
3. An answer holds for one state of the file. A changed file ends all of them, also those
   still being worked out, so a revoked key works no longer than the next look at the file.
4. A key is not kept: what is remembered carries a hash of it, keyed afresh in each process.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import secrets
import shlex
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import argon2

from hub.auth.keystore import Contents, Hasher, KeyStore, default_hasher
from hub.auth.records import Entry, id_of
from hub.core.errors import KeyStoreError
from hub.core.model import Identity

LOOK_S = 1.0
"""Least time between two looks at the file."""

_THREADS = 2


class _Answer(NamedTuple):
    good: bool
    until: float


class Verifier:
    """Answers for the keys in the file at `store_path`; used by one loop, in its thread.

    `cache_s` is how long an answer is remembered, `max_answers` how many, oldest out first.
    `max_waiting` bounds the verifications that run or wait for a thread. The counters:
    `checked` verifications by argon2, `remembered` answers given without, `overrun` keys refused
    because too many were waiting.
    """

    def __init__(
        self,
        store_path: Path,
        cache_s: float,
        executor: Executor | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        hasher: Hasher | None = None,
        max_answers: int = 10_000,
        max_waiting: int = 1000,
    ) -> None:
        self._hasher = hasher or default_hasher()
        self._store = KeyStore(store_path, self._hasher)
        self._cache_s = cache_s
        self._owns_executor = executor is None
        self._executor = executor or ThreadPoolExecutor(_THREADS, "hub-auth")
        self._clock = clock
        self._max_answers = max_answers
        self._max_waiting = max_waiting
        self._digest_key = secrets.token_bytes(32)
        self._contents = Contents(None, {})
        self._trouble = "it was not read yet"
        self._next_look = -math.inf
        self._answers: dict[bytes, _Answer] = {}
        self._flights: dict[bytes, asyncio.Future[bool]] = {}
        self._waiting: set[asyncio.Future[bool]] = set()
        self._closed = False
        self.checked = self.remembered = self.overrun = 0

    def __repr__(self) -> str:
        trouble = ", unreadable" if self._trouble else ""
        return (
            f"<Verifier {len(self._contents.entries)} keys{trouble}, {len(self._answers)} "
            f"answers, {len(self._waiting)} waiting, {self.checked} checked, "
            f"{self.remembered} remembered, {self.overrun} overrun>"
        )

    async def verify(self, api_key: str) -> Identity | None:
        """Tell whose key this is; None for no one's, and for one too many at a time.

        Raises KeyStoreError while the file cannot be used; then no key is good. Its text is for
        the log and not for the client: it names the file.
        """
        self._look()
        entry = self._contents.entries.get(id_of(api_key))
        if entry is None:
            return None
        digest = self._digest(api_key)
        answer = self._answers.get(digest)
        if answer and self._clock() < answer.until:
            self.remembered += 1
            return entry.identity if answer.good else None
        flight = self._flights.get(digest) or self._take_off(digest, entry, api_key)
        return entry.identity if flight and await self._landing(flight, entry) else None

    def forget(self) -> None:
        """Drop all answers, and those being worked out when they come."""
        self._answers.clear()
        self._flights.clear()

    def close(self) -> None:
        """End: who waits gets None, and nothing is verified any more. Idempotent."""
        self._closed = True
        self.forget()
        for flight in self._waiting:
            flight.cancel()
        if self._owns_executor:
            self._executor.shutdown(wait=False, cancel_futures=True)

    def _look(self) -> None:
        """Read the file if it changed; a stat at most once in LOOK_S, and a read seldom.

        Both happen on the loop, so that an old answer cannot slip through in between.
        """
        now = self._clock()
        if now >= self._next_look:
            self._next_look = now + LOOK_S
            self._read_if_changed()
        if self._trouble:
            raise KeyStoreError(self._trouble)

    def _read_if_changed(self) -> None:
        try:
            if self._store.stamp() == self._contents.stamp and not self._trouble:
                return
            self._contents, self._trouble = self._store.load(), ""
        except KeyStoreError as error:
            self._contents, self._trouble = Contents(None, {}), str(error)
        self.forget()

    def _take_off(self, digest: bytes, entry: Entry, api_key: str) -> asyncio.Future[bool] | None:
        """Start a verification that others may join; None when there are too many."""
        if self._closed or len(self._waiting) >= self._max_waiting:
            self.overrun += 1
            return None
        flight = asyncio.get_running_loop().run_in_executor(
            self._executor, _matches, self._hasher, entry, api_key
        )
        self.checked += 1
        self._waiting.add(flight)
        self._flights[digest] = flight
        flight.add_done_callback(lambda landed: self._landed(digest, landed))
        return flight

    def _landed(self, digest: bytes, flight: asyncio.Future[bool]) -> None:
        """Remember the answer, unless it was forgotten before it was there."""
        self._waiting.discard(flight)
        failed = flight.cancelled() or flight.exception() is not None
        if self._flights.get(digest) is not flight:
            return
        del self._flights[digest]
        if failed or self._cache_s <= 0:
            return
        self._answers.pop(digest, None)  # the new one is the youngest
        while len(self._answers) >= self._max_answers:
            del self._answers[next(iter(self._answers))]
        self._answers[digest] = _Answer(flight.result(), self._clock() + self._cache_s)

    async def _landing(self, flight: asyncio.Future[bool], entry: Entry) -> bool:
        """Wait for a flight, which goes on when this waiter is cancelled; look again after it."""
        await asyncio.wait((flight,))
        if flight.cancelled() or not flight.result():
            return False
        self._look()
        return self._contents.entries.get(entry.id) == entry

    def _digest(self, api_key: str) -> bytes:
        return hashlib.blake2b(api_key.encode(), key=self._digest_key, digest_size=32).digest()


def _matches(hasher: Hasher, entry: Entry, api_key: str) -> bool:
    """Run in a thread. Raises KeyStoreError when the hash itself is no good."""
    try:
        return hasher.verify(entry.hash, api_key)
    except argon2.exceptions.VerifyMismatchError:
        return False
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        raise KeyStoreError(
            f"the hash of key {entry.name!r} is damaged; "
            f"type `hub keys revoke {shlex.quote(entry.name)}` and add it anew"
        ) from None
