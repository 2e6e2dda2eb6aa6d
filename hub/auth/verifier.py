"""Whose key is it: asked by every client that connects, and again while it stays.

1. A change of the file holds from the next look at it, which is at most LOOK_S later for who
   logs in. Whoever is connected is looked at again within `cache_s` of a change.
2. While the file cannot be used no key is good, and no grant ends: only a file that was read
   and has not the entry any more ends one.
3. A key is not kept, nor anything of it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from hub.auth.keystore import Contents, KeyStore
from hub.auth.records import id_of
from hub.core.errors import KeyStoreError
from hub.core.model import Identity

LOOK_S = 1.0
"""Least time between two looks at the file for those who log in."""


class Grant(NamedTuple):
    """What a good key gives: who presents it. `proof` is what that rests on, for `stands`."""

    identity: Identity
    key_id: str
    proof: object = None


class Verifier:
    """Answers for the keys in the file at `store_path`, which need not exist.

    `cache_s` is within how many seconds `changed`, asked once a second, tells of a change.
    """

    def __init__(
        self, store_path: Path, cache_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = KeyStore(store_path)
        self._cache_s = cache_s
        self._clock = clock
        self._contents = self._told = Contents(None, {})
        self._trouble = "it was not read yet"
        self._next_look = self._next_check = -math.inf

    def __repr__(self) -> str:
        trouble = ", unreadable" if self._trouble else ""
        return f"<Verifier {len(self._contents.entries)} keys{trouble}>"

    async def grant(self, api_key: str) -> Grant | None:
        """What this key gives; None when it is no one's.

        Raises KeyStoreError while the file cannot be used. Its text is for the log and not for
        the client: it names the file.
        """
        self._look()
        if self._trouble:
            raise KeyStoreError(self._trouble)
        entry = self._contents.entries.get(id_of(api_key))
        if entry is None or not entry.is_of(api_key):
            return None
        return Grant(entry.identity, entry.id, entry)

    def stands(self, grant: Grant) -> bool:
        """Whether the very entry of this grant is in the file, as it was last read."""
        contents = self._contents
        return contents.stamp is None or contents.entries.get(grant.key_id) == grant.proof

    def changed(self) -> bool:
        """Whether the file was read anew since this was last asked, so grants may have ended."""
        now = self._clock()
        if now >= self._next_check:
            self.forget()
            self._look()
            self._next_check = now + self._cache_s / 2
        told, self._told = self._told, self._contents
        return told is not self._contents

    def forget(self) -> None:
        """Look at the file at the next question, however short ago the last look was."""
        self._next_look = self._next_check = -math.inf

    def close(self) -> None:
        """Nothing is held that would have to be given back."""

    def _look(self) -> None:
        """Read the file if it changed; when it cannot be read, what was read last is kept."""
        now = self._clock()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_S
        try:
            if self._trouble or self._store.stamp() != self._contents.stamp:
                self._contents, self._trouble = self._store.load(), ""
        except KeyStoreError as error:
            self._trouble = str(error)
