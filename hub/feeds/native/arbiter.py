"""Which of the copies of a tick is the first, where a symbol is had from several accounts. Pure.

1. A tick passes that is newer than the last one that has passed, whoever brings it: by the
   exchange's time, and by the broker's number where the same broker brings both.
2. Who has brought the last one may bring another of the same time; from others it is a copy.
3. A source that says no time is heard only while the others are silent: for `STALE_S` nothing of
   whoever brought the last one.
4. So nothing is delivered twice or in a wrong order, and who is stale is made up for at once.
"""

from __future__ import annotations

from hub.brokers.base import Subscription

STALE_S = 3.0


class _Last:
    """What has passed last of one key."""

    __slots__ = ("account", "at_ms", "heard_s", "number")

    def __init__(self) -> None:
        self.account, self.at_ms, self.number, self.heard_s = -1, 0, 0, 0.0


class Arbiter:
    """The ticks of all keys."""

    def __init__(self) -> None:
        self._last: dict[bytes, _Last] = {}
        self.copies = 0
        self.taken_over = 0

    def __repr__(self) -> str:
        return f"<Arbiter {len(self._last)} keys, {self.copies} copies left out>"

    def passes(self, sub: Subscription, at_ms: int, number: int, now_s: float) -> bool:
        """Whether a tick is to be published."""
        last = self._last.get(sub.key)
        if last is None:
            last = self._last[sub.key] = _Last()
        if not self._is_news(last, sub.account, at_ms, number, now_s):
            self.copies += 1
            return False
        if last.account != sub.account:
            self.taken_over += last.account >= 0 and now_s - last.heard_s > STALE_S
            last.account, last.number = sub.account, 0
        last.heard_s = now_s
        if at_ms:
            last.at_ms = at_ms
        if number:
            last.number = number
        return True

    def forget(self, key: bytes) -> None:
        """Nobody wants this key any more."""
        self._last.pop(key, None)

    @staticmethod
    def _is_news(last: _Last, account: int, at_ms: int, number: int, now_s: float) -> bool:
        if last.account < 0:
            return True
        if account == last.account:
            if at_ms and at_ms < last.at_ms:
                return False
            return not (number and at_ms == last.at_ms and number <= last.number)
        if at_ms > last.at_ms:
            return True
        return now_s - last.heard_s > STALE_S and (not at_ms or at_ms >= last.at_ms)
