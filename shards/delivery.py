"""What one client is sent, and what it is owed instead.

1. A client that keeps up gets every tick; what is sent leaves in the order in which it came.
2. One that is behind gets the newest value per topic, and every order update.
3. One that asked for a rate is owed the ticks of its topics by its pacer, behind or not: from there
   they go out when their time has come, or into the outbox while the client is behind. Topics
   without a rate are not held up by that, and lose none of their ticks.
4. Until a reply is sent nothing that follows it is: it is withheld, or owed.
5. Ticks that were spared are counted, and told to who asked for it.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Iterable, Sequence
from itertools import chain
from typing import Protocol

from hub.core import forms, frames
from hub.core.hot import Line, Sink
from hub.core.model import MODES, highest_up_to
from hub.core.settings import Websocket
from shards import protocol
from shards.desk import Desk
from shards.fanout import frame
from shards.outbox import Outbox
from shards.pacer import Pacer


class Wire(Protocol):
    """What a session needs of its connection."""

    address: str

    @property
    def high_bytes(self) -> int:
        """How much may be left unsent."""

    def known(self) -> None:
        """The client has authenticated."""

    def write(self, data: bytes) -> int:
        """Send whole frames; the descriptor that the next may be written to at once, -1 for none
        because something has to go first."""

    def close(self, code: int, reason: str) -> None:
        """Close with a code and a reason."""

    def pay(self) -> None:
        """Send what is owed, unless the socket takes no more."""

    def hold(self, *, reading: bool) -> None:
        """Read the client's messages, or leave them where they are."""

    def spawn(self, work: Awaitable[None]) -> None:
        """Run something that takes time, as long as the connection lives."""

    def now_s(self) -> float:
        """The time by which ticks are paced."""

    def wake(self, after_s: float) -> None:
        """Call `fall_due` after a while; only the last such wish counts."""


class Delivery(Sink):
    """The way of everything to one client. While nothing is to go before a tick, `fd` is its
    socket."""

    __slots__ = (
        "_desk",
        "_kept",
        "_pacer",
        "_parts",
        "_wakes_s",
        "_wire",
        "_withheld",
        "_withheld_bytes",
        "behind_since_s",
        "form",
        "options",
        "outbox",
    )

    def __init__(self, wire: Wire, desk: Desk, limits: Websocket) -> None:
        super().__init__()
        self.outbox = Outbox(limits.max_order_updates)
        self.form = forms.PLAIN
        self.options = protocol.NO_OPTIONS
        self._wire = wire
        self._desk = desk
        self._kept: dict[Line, Line] = {}  # what lines knew that know nothing any more
        self._pacer: Pacer | None = None
        self._parts = False
        self._wakes_s = math.inf
        self._withheld: list[tuple[bytes, Sequence[Line]]] | None = None
        self._withheld_bytes = 0
        self.behind_since_s = 0.0  # by the wire's time, while it is behind

    # From the fan-out and the desk.

    def deliver(self, data: bytes, lines: Sequence[Line]) -> None:
        """Ticks: straight to the socket, or owed while it takes no more."""
        if self._pacer is None:
            self._pass_on(data, lines)
            return
        free = self._pacer.take(lines)
        if len(free) == len(lines):
            self._pass_on(data, lines)
        elif free:
            self._pass_some(frames.split(data), lines, free)
        self._pay_due()

    def deliver_batch(self, batch: bytes, pieces: Sequence[bytes], lines: Sequence[Line]) -> None:
        """The same for ticks that are known one by one, too."""
        free = self._pacer.take(lines) if self._pacer is not None else range(len(lines))
        if len(free) == len(lines):
            self._pass_on(batch, lines)
        elif free:
            self._pass_some(pieces, lines, free)
        self._pay_due()

    def show(self, pieces: Sequence[bytes], lines: Sequence[Line]) -> None:
        """First values, which no rate holds up."""
        if self._pacer is not None:
            for line in lines:
                self._pacer.hurry(line)
        self.deliver_batch(forms.joined(pieces, self.form), pieces, lines)

    def unsent(self, data: bytes, sent: int) -> None:
        """The socket took only so many bytes of this, if any."""
        self._write(data[sent:])

    def owes(self, line: Line) -> bool:
        """Whether a tick of this line has come that the client could not be sent yet."""
        return self.outbox.owes(line) or (self._pacer is not None and self._pacer.owes(line))

    def owing(self) -> Iterable[Line]:
        """The lines of which ticks have come that the client could not be sent yet."""
        return chain(self.outbox.owing(), self._pacer.owing() if self._pacer is not None else ())

    def keep(self, line: Line, as_it_was: Line) -> None:
        """The value of a line that is owed is void for all others now: it is paid all the same."""
        self._kept[line] = as_it_was

    def deliver_event(self, frame: bytes) -> None:
        """An order update, which is never skipped."""
        if not self.outbox.behind:
            self._write(frame)
        elif not self.outbox.owe_event(frame):
            self._overrun()
            self._wire.close(protocol.TRY_AGAIN_LATER, "too many order updates unread")

    def part(self) -> None:
        """It is sent away: it gets what it is owed yet, and no newer ticks if it is behind. What
        follows a reply that is being confirmed is owed as well."""
        self._parts = True
        if self._withheld is None:
            self._finish()

    @property
    def owed(self) -> bool:
        """Whether something has to be sent before it may go."""
        return self.outbox.behind or self._withheld is not None

    @property
    def withheld_bytes(self) -> int:
        """How much waits for a reply that goes first."""
        return self._withheld_bytes if self._withheld else 0

    def event_lost(self) -> None:
        """An order update was lost on its way here: the client has to look for itself."""
        self._wire.close(protocol.TRY_AGAIN_LATER, "order updates were lost")

    def answered(self) -> None:
        """One of the session's tickets is complete, or confirmed."""
        raise NotImplementedError

    def notify(self) -> int:
        """Send some of what is owed of stale symbols; how many."""
        raise NotImplementedError

    def _in_step(self) -> None:
        """Nothing is owed any more, or withheld."""
        raise NotImplementedError

    def _overrun(self) -> None:
        """There are too many order updates for it."""
        raise NotImplementedError

    def withhold(self) -> None:
        """A reply is being confirmed: first values and ticks come already, and follow it."""
        self._withheld, self._withheld_bytes = [], 0
        self.fd = -1

    def limit(self, key: bytes, max_rate: float) -> None:
        """So many ticks a second of each topic of this key; 0 as the session has it."""
        if max_rate or self._pacer is not None:
            self._paced().limit(key, max_rate, self._desk.latest.of(key))

    def ceases(self, key: bytes, modes: int) -> None:
        """The session is about to hold this key in these modes only: nothing else of it is owed
        any more, and who comes back begins anew."""
        if self._pacer is None and not self.outbox:
            return
        if self._pacer is not None:
            self._pacer.ceases(key, [mode for mode in MODES if not modes & mode.bit])
        for line in self._desk.latest.of(key):
            if not highest_up_to(modes, line.mode):
                self.outbox.forget(line)
                self._kept.pop(line, None)
                if self._pacer is not None:
                    self._pacer.forget(line)
        if self._pacer is not None and not modes:
            self._pacer.limit(key, 0, ())

    # From the socket.

    def blocked(self) -> None:
        """The socket takes no more for now, or nothing is to be sent."""
        self._fall_behind()
        self.fd = -1

    def unblocked(self, budget_bytes: int) -> bool:
        """There is room again: pay what is owed, and say whether something is left to pay. What
        may be of symbols whose reply has not been sent has to wait for it."""
        if self._withheld is not None:
            return False
        updates, ticks = self.outbox.settle(self._frame_of, budget_bytes)
        if updates or ticks:
            self._write(b"".join((*updates, forms.joined(ticks, self.form))))
        if not self.outbox.behind:
            self._in_step()
        return self.outbox.behind

    def fall_due(self) -> None:
        """The time has come for which `wake` was asked."""
        self._wakes_s = math.inf
        self._pay_due()

    # For the session.

    def _adopt(self, options: protocol.Options) -> None:
        """The client has asked for this."""
        self.options = options
        if options.max_rate or self._pacer is not None:
            self._paced().set_default(options.max_rate)
            self._pay_due()

    def _release(self) -> list[tuple[bytes, Sequence[Line]]]:
        """The reply is about to be sent: what was withheld has to follow it."""
        withheld, self._withheld = self._withheld, None
        return withheld or []

    def _follow(self, withheld: list[tuple[bytes, Sequence[Line]]]) -> None:
        """The reply has been sent."""
        for data, lines in withheld:
            self._pass_on(data, lines)
        if self._parts:
            self._finish()
        self._pay_due()
        if self.outbox.behind or self.outbox.last:
            self._wire.pay()

    def _write(self, data: bytes) -> None:
        fd = self._wire.write(data)
        waits = self.outbox.behind or self._withheld is not None or self._pacer is not None
        self.fd = -1 if waits else fd

    # Below: details.

    def _fall_behind(self) -> None:
        if not self.outbox.behind:
            self.behind_since_s = self._wire.now_s()
        self.outbox.fall_behind()

    def _finish(self) -> None:
        """What is owed now is the last of it."""
        if self._pacer is not None and self.outbox.behind:
            for line, ticks in self._pacer.all():
                self.outbox.owe([line] * ticks)
        self.outbox.finish()
        self._pay_due()

    def _pay_due(self) -> None:
        """Send the ticks whose time has come, newest values all of them; ask to be woken for the
        next ones. While a reply is being confirmed they wait for it."""
        if self._pacer is None or self._withheld is not None:
            return
        pacer, now_s = self._pacer, self._wire.now_s()
        due = pacer.all() if self.outbox.last else pacer.due(now_s)
        if self.outbox.behind:
            for line, ticks in due:
                self.outbox.owe([line] * ticks)
        elif due:
            due.sort(key=lambda owed: owed[0].seq)
            self.outbox.conflated += sum(ticks - 1 for _, ticks in due)
            found = [self._frame_of(line, ticks - 1) for line, ticks in due]
            pieces = [piece for piece in found if piece is not None]
            if pieces:
                self._write(forms.joined(pieces, self.form))
        self._await_due(pacer)

    def _pass_on(self, data: bytes, lines: Sequence[Line]) -> None:
        """Ticks that no rate holds up."""
        if self.outbox.behind:
            self.outbox.owe(lines)
        elif self._withheld is not None:
            self._withhold(self._withheld, data, lines)
        else:
            self._write(data)

    def _pass_some(
        self, pieces: Sequence[bytes], lines: Sequence[Line], places: Sequence[int]
    ) -> None:
        """The same for ticks among others."""
        data = forms.joined([pieces[place] for place in places], self.form)
        self._pass_on(data, [lines[place] for place in places])

    def _withhold(
        self, withheld: list[tuple[bytes, Sequence[Line]]], data: bytes, lines: Sequence[Line]
    ) -> None:
        """Withhold ticks, up to as much as a socket may; beyond that their lines are owed."""
        withheld.append((data, lines))
        self._withheld_bytes += len(data)
        if self._withheld_bytes > self._wire.high_bytes:
            self._fall_behind()
            for _, kept in withheld:
                self.outbox.owe(kept)
            withheld.clear()

    def _paced(self) -> Pacer:
        """The pacer, from now on there is one: nothing goes to the socket by itself any more."""
        if self._pacer is None:
            self._pacer = Pacer()
            self.fd = -1
        return self._pacer

    def _await_due(self, pacer: Pacer) -> None:
        """Be woken when the next tick falls due, if not before."""
        next_s = pacer.next_s()
        if next_s < self._wakes_s:
            self._wakes_s = next_s
            self._wire.wake(max(0.0, next_s - self._wire.now_s()))

    def _frame_of(self, line: Line, spared: int) -> bytes | None:
        """A line's newest value as a piece of what this session is sent, None when it is not any
        more; so many ticks of it were spared."""
        kept = self._kept.pop(line, line)
        shown = kept if line.payload is None else line
        variant = self._desk.index.held(self).get(line.key)
        tag = highest_up_to(variant.modes, line.mode) if variant is not None else 0
        if variant is None or not tag or line not in self._desk.latest.of(line.key):
            return None
        if shown.payload is None:
            return None
        if self._pacer is not None:
            if not self._pacer.passes(line, tag, spared):
                return None
            spared += self._pacer.sent(line, tag, self._wire.now_s())
        return frame(shown, variant, spared if self.options.conflation_info else 0)
