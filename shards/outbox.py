"""What is pending for one client that cannot take it yet.

1. A client that keeps up has nothing here: its frames go straight to its socket.
2. Behind, it is owed lines, not frames: the newest value of each topic when its turn comes, so
   memory is bounded by its own subscriptions and it never gets an old value after a newer one.
   With each line goes the number of ticks that it was spared.
3. Order updates are kept whole and in order; past their limit, by number or by size, the client is
   closed, not skipped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from hub.core.hot import Line

MOST_EVENT_BYTES = 64 << 20
"""Order updates that one client may be owed, in bytes."""


class Outbox:
    """The lines and order updates that one session is owed."""

    __slots__ = (
        "_event_bytes",
        "_events",
        "_lines",
        "_max_events",
        "behind",
        "conflated",
        "last",
    )

    def __init__(self, max_events: int) -> None:
        self.behind = False
        self.last = False
        self.conflated = 0
        self._lines: dict[Line, int] = {}
        self._events: deque[bytes] = deque()
        self._event_bytes = 0
        self._max_events = max_events

    def __repr__(self) -> str:
        state = "behind" if self.behind else "in step"
        return (
            f"<Outbox {state}, {len(self._lines)} lines and {len(self._events)} order "
            f"updates owed, {self.conflated} conflated>"
        )

    def __len__(self) -> int:
        return len(self._lines) + len(self._events)

    def fall_behind(self) -> None:
        """The socket takes no more for now."""
        self.behind = True

    def owes(self, line: Line) -> bool:
        """Whether this line is owed."""
        return line in self._lines

    def owing(self) -> Iterable[Line]:
        """The lines that are owed."""
        return self._lines

    def finish(self) -> None:
        """The session is sent away: what is owed is the last of it, or ticks that go on would keep
        it here for ever."""
        self.last = True

    def owe(self, lines: Iterable[Line]) -> None:
        """Ticks of these lines have come while the session is behind."""
        owed = self._lines
        for line in lines:
            if line in owed:
                owed[line] += 1
                self.conflated += 1
            elif not self.last:
                owed[line] = 0

    def forget(self, line: Line) -> None:
        """The session is sent this line no more."""
        self._lines.pop(line, None)

    def owe_event(self, frame: bytes) -> bool:
        """An order update has come; False when there are too many and the session must go."""
        size = self._event_bytes + len(frame)
        if len(self._events) >= self._max_events or size > MOST_EVENT_BYTES:
            return False
        self._events.append(frame)
        self._event_bytes = size
        return True

    def settle(
        self, frame_of: Callable[[Line, int], bytes | None], budget_bytes: int
    ) -> tuple[list[bytes], list[bytes]]:
        """What to send now that there is room, about `budget_bytes` of it: order updates first,
        then the lines in the order their newest values came.

        `frame_of` makes the frame, or piece of a batch, of a line as it is now and of the number
        of ticks spared before it, None when the session no longer gets it. When nothing is left
        the session is in step again.
        """
        events: list[bytes] = []
        frames: list[bytes] = []
        while self._events and budget_bytes > 0:
            events.append(self._events.popleft())
            budget_bytes -= len(events[-1])
            self._event_bytes -= len(events[-1])
        for line in sorted(self._lines, key=lambda line: line.seq):
            if budget_bytes <= 0:
                break
            frame = frame_of(line, self._lines.pop(line))
            if frame is not None:
                frames.append(frame)
                budget_bytes -= len(frame)
        self.behind = bool(self._lines or self._events)
        return events, frames
