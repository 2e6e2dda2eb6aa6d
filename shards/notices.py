"""What clients are told of stale symbols: those who asked for it, and nobody else. Pure.

1. A client is told of each symbol and mode that it holds and that becomes stale, and when it is so
   no more; of what is stale when it begins to hold it, right after its reply.
2. It is owed keys, not messages: what it is told is the state when its turn comes, and never the
   same twice running.
3. What it ceases to hold it is told nothing more of, and knows nothing of.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from hub.core.index import Index, Variant
from hub.core.model import MODES, Stale
from shards import protocol
from shards.tickets import Client


class _Asker:
    """A client that asked: the stale modes of each key that it knows of, the keys it is owed."""

    def __init__(self) -> None:
        self.knows: dict[bytes, int] = {}
        self.owed: dict[bytes, None] = {}


class Notices:
    """What is stale, by feed, and who is owed what of it."""

    def __init__(self, index: Index[Client]) -> None:
        self._index = index
        self._stale: dict[str, dict[bytes, int]] = defaultdict(dict)
        self._askers: dict[Client, _Asker] = {}

    def __repr__(self) -> str:
        return f"<Notices {sum(map(len, self._stale.values()))} stale, {len(self._askers)} ask>"

    def take(self, feed: str, rows: Iterable[Stale], *, replace: bool) -> Sequence[bytes]:
        """What a feed's host says; with `replace` nothing else of that feed is stale. The keys that
        may be news."""
        stale = self._stale[feed]
        changed = dict.fromkeys(stale if replace else ())
        if replace:
            stale.clear()
        for key, modes in rows:
            changed[key] = None
            if modes:
                stale[key] = modes
            else:
                stale.pop(key, None)
        return list(changed)

    def attend(self, client: Client) -> None:
        """A client asks to be told, or does not any more, by its `options`."""
        if not client.options.stale_info:
            self.leave(client)
        elif client not in self._askers:
            self._askers[client] = _Asker()
            self.owe(client, list(self._index.held(client)))

    def leave(self, client: Client) -> None:
        """A client is gone."""
        self._askers.pop(client, None)

    def holds(self, client: Client, key: bytes) -> None:
        """A client begins to hold a key in another mode."""
        if client in self._askers:
            self.owe(client, [key])

    def left(self, client: Client, key: bytes) -> None:
        """A client ceases to hold a key in some mode."""
        asker = self._askers.get(client)
        if asker is not None:
            modes = asker.knows.pop(key, 0) & self._index.modes(client, key)
            if modes:
                asker.knows[key] = modes

    def owe(self, client: Client, keys: Iterable[bytes]) -> bool:
        """Of these keys a client is owed those that are not as it knows; whether it is owed any."""
        asker = self._askers.get(client)
        if asker is None:
            return False
        held = self._index.held(client)
        for key in keys:
            variant = held.get(key)
            if variant is not None and self._modes(key, variant) != asker.knows.get(key, 0):
                asker.owed[key] = None
        return bool(asker.owed)

    def owes(self, client: Client) -> bool:
        """Whether a client is owed something."""
        asker = self._askers.get(client)
        return asker is not None and bool(asker.owed)

    def due(self, client: Client, most: int) -> list[bytes]:
        """What to tell a client now, about `most` messages; it counts as told."""
        asker = self._askers.get(client)
        found: list[bytes] = []
        held = self._index.held(client)
        while asker is not None and asker.owed and len(found) < most:
            key = next(iter(asker.owed))
            del asker.owed[key]
            variant = held.get(key)
            if variant is None:
                continue
            now, before = self._modes(key, variant), asker.knows.pop(key, 0)
            if now:
                asker.knows[key] = now
            found += [
                protocol.stale(variant, mode, is_stale=bool(now & mode.bit))
                for mode in MODES
                if (now ^ before) & mode.bit
            ]
        return found

    def _modes(self, key: bytes, variant: Variant) -> int:
        """In which of its modes a key that is held like this is stale."""
        return self._stale[variant.feed].get(key, 0) & variant.modes
