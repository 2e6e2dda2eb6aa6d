"""What is left subscribed in an adapter when a symbol comes down to a lower mode.

1. A pool that goes up to a higher mode of a symbol leaves the lower one subscribed in its adapter,
   and never releases it there.
2. When it comes down it subscribes the lower one once more, as the worker does without a pool. Some
   adapters keep that as a second subscription, and pass every tick on for each.

Runs in the checkout's interpreter: see `worker.py` for what may be imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .worker_wants import Held, Want, modes_of


class Leftovers:
    """Of one pool: the modes its adapters have beside those it will release itself, by key."""

    def __init__(self) -> None:
        self._modes: dict[bytes, set[int]] = {}

    def __repr__(self) -> str:
        return f"<Leftovers of {len(self._modes)} keys>"

    def went_up(self, key: bytes, held: Held, mode: int) -> None:
        """The pool had these modes of a key, and has subscribed one more."""
        highest = max(modes_of(held.modes), default=mode)
        if highest < mode:
            self._modes.setdefault(key, set()).add(highest)

    def left(self, want: Want, held: Held, dropped: Sequence[int], adapter: Any) -> list[int]:
        """The modes to unsubscribe at the adapter itself, now that the pool has dropped some and
        has these; one that the adapter has more than once, so often. While a symbol has modes, what
        else there is of it stays: some adapters have one subscription for all modes."""
        modes = self._modes.get(want.key)
        if modes is None or not dropped:
            return []
        highest = max(modes_of(held.modes), default=0)
        if dropped[-1] > highest:
            modes.discard(dropped[-1])
        if highest:
            return [highest] * (copies(adapter, want, highest) - 1)
        del self._modes[want.key]
        counts = {mode: max(mode in modes, copies(adapter, want, mode)) for mode in (1, 2, 3)}
        return [mode for mode, count in counts.items() for _ in range(count)]

    def clear(self) -> None:
        """Nothing is subscribed any more."""
        self._modes.clear()


def holder(pool: Any, want: Want) -> Any:
    """The adapter of a pool that has a symbol, None when none has it."""
    for mode in (1, 2, 3):
        index = pool.subscription_map.get((want.symbol, want.exchange, mode))
        if index is not None:
            return pool.adapters[index]
    return None


def copies(adapter: Any, want: Want, mode: int) -> int:
    """How often an adapter has a mode of a symbol, as far as it can be seen."""
    entries = getattr(adapter, "subscriptions", None)
    if not isinstance(entries, dict):
        return 0
    same = {"symbol": want.symbol, "exchange": want.exchange, "mode": mode}.items()
    return sum(isinstance(entry, dict) and same <= entry.items() for entry in [*entries.values()])
