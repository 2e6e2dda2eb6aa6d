"""The lease of a feed that two machines could run: who may log in at the broker. Pure.

A lease is one key of a bucket that compares revisions; `now_s` is a clock that goes on while the
process or its machine is suspended. A lease is L seconds long.

1. A lease counts from before it was written: from the sending of a renewal, and of a take from the
   sending of the look before it. So its holder believes that it ends before anyone else does.
2. It is renewed ten times in L: the servers of a cluster may take half of it to agree on a leader.
   Not renewed after 2/3 L its feed has to stop, and has until the lease's end to do so; once that
   has begun, the lease is not renewed any more.
3. A key that says something of a holder is written over only when it has said just that for L and
   a little, by the own clock, from when it was first heard. What a server's clock says, or when it
   lets values expire, is of no account.
4. The same goes for a key that is not there, in a bucket that is not there or was made anew: its
   holder may still count on it. Only a holder's own word that it has left, which it gives when its
   feed has stopped, is taken up at once.
5. A renewal that is refused, or not answered, is followed by a look. If the key has the holder's
   own word (its answer was lost) or is gone, it is renewed by what is there; if it has anybody
   else's the lease is lost at once.
6. A host whose feed has stopped, and which finds its own word that it holds (that it has left was
   never heard), says again that it has left.

So of two hosts one at most is active if their clocks go equally fast within a few percent, and if
NATS loses nothing that it has acknowledged, or all of it and is away for 2/3 L then.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, NamedTuple

import msgspec

from hub.core.subjects import escape

_LITTLE = 1 / 20
_MOST_S = 1.0
"""What rule 3 adds to L, as a part of it and at most: clocks differ, and processes take to die."""


class State(Enum):
    """Where a host stands with its lease."""

    WAITING = "standby"
    HELD = "active"
    ENDING = "stopping"


class Holder(msgspec.Struct, frozen=True, array_like=True):
    """What the key says: who has written it, for how long, and whether to say that it has left.
    `count` tells one of a life's values from another."""

    machine: str
    pid: int
    epoch: int
    length_s: Annotated[float, msgspec.Meta(gt=0, le=60)]
    count: int = 0
    left: bool = False


class Seen(NamedTuple):
    """The key at one moment. If nothing is there: no value, the revision to write over, and when
    the bucket was made, which tells it from one that has had the key and was lost."""

    revision: int = 0
    value: bytes = b""
    bucket: str = ""


class Lease:
    """One host's part: it is told what the bucket answers, and says what to write and when."""

    def __init__(self, machine: str, pid: int, epoch: int, length_s: float) -> None:
        self._me = Holder(machine, pid, epoch, length_s)
        self._count = 0
        self._seen: Seen | None = None
        self._since_s = 0.0
        self._asked_s = 0.0
        self._stopped = False
        self.length_s = length_s
        self.state = State.WAITING
        self.revision = 0
        """What was seen or written last."""
        self.until_s = float("-inf")
        """The end of the lease as its holder believes it."""
        self.holder: Holder | None = None
        """Who the key names, as far as it is known."""
        self.sure = False
        """Whether `revision` is what a renewal has to name, without a look before it."""

    def __repr__(self) -> str:
        who = self.holder.machine if self.holder else "nobody"
        return f"<Lease {self.state.value} revision {self.revision} of {who}>"

    def looked(self, asked_s: float, now_s: float, seen: Seen) -> int | None:
        """The bucket's answer to a look that was sent at `asked_s`. The revision to write over
        right now, None when there is nothing to write."""
        if seen != self._seen:
            self._seen, self._since_s = seen, now_s
            self.holder, self.revision = _read(seen.value), seen.revision
        self._asked_s = asked_s
        if not self._mine:
            self._stopped = False
        if self.state is State.WAITING:
            in_time = now_s < asked_s + self.length_s * 2 / 3
            return seen.revision if in_time and now_s >= self.free_s else None
        if seen.value and not self._mine:
            self.state = State.ENDING
            return None
        return seen.revision

    @property
    def owes(self) -> bool:
        """Whether the key has this host's own word of holding though its feed has stopped."""
        return self._stopped and self._mine and not self._left

    @property
    def free_s(self) -> float:
        """When the key may be written over if nothing more is heard of it."""
        return float("-inf") if self._left else self._since_s + self._patience_s

    @property
    def _left(self) -> bool:
        return self.holder is not None and self.holder.left

    @property
    def _patience_s(self) -> float:
        longest_s = max(self.length_s, self.holder.length_s if self.holder else 0.0)
        return longest_s + min(longest_s * _LITTLE, _MOST_S)

    @property
    def _mine(self) -> bool:
        named, me = self.holder, self._me
        return named is not None and (named.epoch, named.pid, named.machine) == (
            me.epoch,
            me.pid,
            me.machine,
        )

    def value(self, *, left: bool = False) -> bytes:
        """What to write; each time something else."""
        self._count += 1
        me = msgspec.structs.replace(self._me, count=self._count, left=left)
        return msgspec.msgpack.encode(me)

    def written(self, sent_s: float, now_s: float, seen: Seen) -> None:
        """The bucket has taken what was sent at `sent_s`, under the revision of `seen`."""
        self._seen, self._since_s = seen, now_s
        self.holder, self.revision = _read(seen.value), seen.revision
        from_s = self._asked_s if self.state is State.WAITING else sent_s
        if self._left:
            self._stopped = False
        over = self.state is State.ENDING or now_s >= from_s + self.length_s * 2 / 3
        if over or self._left:
            return
        self.state, self.sure, self._stopped = State.HELD, True, False
        self.until_s = from_s + self.length_s

    def unanswered(self) -> None:
        """A renewal was refused, or nobody knows what became of it."""
        self.sure = False

    @property
    def renew_s(self) -> float:
        """When a lease that is held is to be renewed."""
        return self.until_s - self.length_s * 9 / 10

    @property
    def stop_s(self) -> float:
        """When the feed has to stop unless it is renewed before."""
        return self.until_s - self.length_s / 3

    def must_stop(self, now_s: float) -> bool:
        """Whether the feed has to stop now; once it has to, there is no way back."""
        if self.state is State.HELD and now_s >= self.stop_s:
            self.state = State.ENDING
        return self.state is State.ENDING

    def stopped(self) -> None:
        """The feed has left the broker."""
        self.state, self.sure, self._stopped = State.WAITING, False, True
        self.until_s = float("-inf")


def key(standby: str, feed: str) -> str:
    """The key of a feed's lease in the bucket, and the end of a subject."""
    return f"{escape(standby)}.{escape(feed)}".replace("%", "=")  # which buckets take


def _read(value: bytes) -> Holder | None:
    """Who a value names; None for what is nobody's word, which is waited for like any holder."""
    try:
        return msgspec.msgpack.decode(value, type=Holder)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
