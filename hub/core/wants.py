"""What one shard wants of one feed: counted, told upward in batches, answered per key.

1. A key is wanted in a mode exactly while something below holds or awaits it.
2. What is told is the state, not the step: all modes wanted of a key from now on, none to end it.
3. Only a difference from what was told last is told again, except after an error.
"""

from __future__ import annotations

from itertools import islice

from hub.core.model import Mode, Result, Want


class _Record:
    """One key: how often each mode is wanted, what was told, what the feed has confirmed."""

    __slots__ = (
        "confirmed",
        "counts",
        "depth",
        "exchange",
        "good_depth",
        "modes",
        "stale",
        "symbol",
        "told",
        "told_depth",
    )

    def __init__(self, exchange: str, symbol: str) -> None:
        self.counts = [0, 0, 0]
        self.modes = 0  # those that are counted
        self.exchange = exchange
        self.symbol = symbol
        self.depth = 0
        self.good_depth = 5
        self.told = 0
        self.told_depth = 0
        self.confirmed = 0
        self.stale = False


class Wants:
    """One shard's interest in the keys of one feed."""

    def __init__(self) -> None:
        self._records: dict[bytes, _Record] = {}
        self._touched: dict[bytes, None] = {}

    def __repr__(self) -> str:
        return f"<Wants {len(self._records)} keys, {len(self._touched)} to tell>"

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, key: bytes) -> bool:
        return key in self._records

    def modes(self, key: bytes) -> int:
        """The set of modes in which a key is wanted."""
        record = self._records.get(key)
        return record.modes if record else 0

    def told(self, key: bytes) -> int:
        """The set of modes in which the router was last told that this key is wanted."""
        record = self._records.get(key)
        return record.told if record else 0

    def add(
        self, key: bytes, mode: Mode, *, depth: int = 5, exchange: str = "", symbol: str = ""
    ) -> bool:
        """One more holder of a key in a mode. Returns whether the feed has confirmed it already;
        if not, a result will come."""
        record = self._records.get(key)
        if record is None:
            record = self._records[key] = _Record(exchange, symbol)
        record.counts[mode - 1] += 1
        record.modes |= mode.bit
        if depth > record.depth:  # noqa: PLR1730  # twice as fast, for each row of a subscribe
            record.depth = depth
        if record.confirmed & mode.bit and record.depth == record.told_depth:
            return True
        self._touched[key] = None
        return False

    def remove(self, key: bytes, mode: Mode) -> None:
        """One holder less."""
        record = self._records[key]
        record.counts[mode - 1] -= 1
        if not record.counts[mode - 1]:
            record.modes &= ~mode.bit
        self._touched[key] = None

    def settle(self, result: Result) -> None:
        """Take a feed's answer."""
        record = self._records.get(result.key)
        if record is None:
            return
        if result.error:
            record.confirmed &= ~result.modes
            record.depth = record.good_depth
            record.stale = True
        else:
            record.confirmed |= result.modes & record.told
            record.good_depth = max(record.good_depth, record.told_depth)

    def ask_again(self) -> None:
        """Tell once more what is wanted and was refused, or lost since."""
        self._touched |= dict.fromkeys(
            key for key, record in self._records.items() if record.stale and record.modes
        )

    @property
    def untold(self) -> bool:
        """Whether `take` may have something to tell."""
        return bool(self._touched)

    def take(self, most: int | None = None) -> list[Want]:
        """What has changed since it was last told, of up to `most` keys; from now on it counts
        as told."""
        changes = []
        for key in list(islice(self._touched, most)):
            del self._touched[key]
            record = self._records[key]
            modes = record.modes
            deeper = bool(modes) and record.depth > record.told_depth
            if modes != record.told or deeper or record.stale:
                changes.append(self._tell(key, record, modes))
            if not modes:
                del self._records[key]
        return changes

    def everything(self) -> list[Want]:
        """All that is wanted, for a router that knows nothing; from now on it counts as told.

        What was confirmed stays so: the feed behind a new router is mostly the old one.
        """
        self._touched.clear()
        ended = [key for key, record in self._records.items() if not record.modes]
        for key in ended:
            del self._records[key]
        return [self._tell(key, record, record.modes) for key, record in self._records.items()]

    def doubt(self) -> None:
        """The feed is gone: nothing is confirmed until it answers again."""
        for record in self._records.values():
            record.confirmed = 0

    @staticmethod
    def _tell(key: bytes, record: _Record, modes: int) -> Want:
        record.told = modes
        record.told_depth = record.depth
        record.confirmed &= modes
        record.stale = False
        return Want(key, modes, record.depth, record.exchange, record.symbol)
