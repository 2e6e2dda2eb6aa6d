"""What machines tell each other by NATS. Pure.

    beat      everybody, once a second: who is there, with which feeds
    ask       an edge asks an ingest: hello, renew, interest, values, bye; each is replied to
    told      an ingest replies, or tells an edge of results
    ticks     a number, the number of the message before on the same subject, and a batch

An edge has a lease at each ingest and renews it once a second. An ingest that does not know it says
so (`Who`), and the edge says hello and all it wants again, as a process does at its router.
Ticks are numbered through one stay of the ingest's uplink: a hole tells of what was lost, and what
comes with a number that was passed already came by a way that is no more.
"""

from __future__ import annotations

import struct
from typing import Annotated, Any, NamedTuple

import msgspec

from hub.core.errors import Malformed
from hub.core.model import Mode, Offer, Result, Want

VERSION = 1
"""Of these messages: a machine of another is not talked to, and named in the log."""

SILENT_S = 5.0
"""Silence of an ingest after which its feeds are gone: longer than NATS takes to connect anew."""

LEASE_S = 3.0
"""The same of an edge, for what it wants; it lingers a while at the feeds as for any other."""

INGEST, EDGE = "ingest", "edge"
ACTIVE, STANDBY = "active", "standby"
_HEADER = struct.Struct(">QQ")
_FeedName = Annotated[str, msgspec.Meta(pattern=r"\A[^@\x00-\x20]+@[^\x00-\x1f]+\Z", max_length=60)]
"""Short enough for the name of a link to the router, and like no process of an edge's own."""
_Count = Annotated[int, msgspec.Meta(ge=0)]
_Name = Annotated[str, msgspec.Meta(min_length=1)]
_ALL_MODES = sum(mode.bit for mode in Mode)


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """Who of those that stand in for each other runs a feed: `state` is ACTIVE or STANDBY."""

    state: str
    holder: str = ""
    revision: int = 0
    left_s: float = 0.0


class Announced(msgspec.Struct, frozen=True, kw_only=True):
    """A feed of an ingest: `name` is what all machines call it, the offer is its host's own. One
    that was gone has another `life`, and nothing of what was wanted of it before."""

    name: _FeedName
    offer: Offer
    life: _Count = 0
    keys: _Count = 0
    lease: Lease | None = None


class Leased(msgspec.Struct, frozen=True, kw_only=True):
    """What an ingest holds for an edge."""

    edge: str
    keys: _Count
    left_s: float


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """A machine says that it is there. `since_s` is the time (epoch) its process began, `stay` what
    the subjects of an ingest's ticks begin with."""

    machine: str
    role: str
    epoch: int
    version: int = VERSION
    hub: str = ""
    stay: str = ""
    since_s: float = 0.0
    shards: _Count = 0
    figures: dict[str, float] = {}
    feeds: tuple[Announced, ...] = ()
    leases: tuple[Leased, ...] = ()
    problem: str = ""


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """An edge wants a lease."""

    machine: str
    epoch: int


class Renew(msgspec.Struct, frozen=True, tag="renew"):
    """An edge is there."""

    lease: int


class Interest(msgspec.Struct, frozen=True, tag="interest"):
    """What an edge wants of a feed, as its host is told. All that it wants is told in parts, from
    the `first` to the `last`: what was not in them is wanted no more."""

    lease: int
    feed: _Name
    wants: tuple[Want, ...]
    first: bool = False
    last: bool = False


class Values(msgspec.Struct, frozen=True, tag="values"):
    """An edge has missed something: what it wants is to be sent as it stands now."""

    lease: int


class Bye(msgspec.Struct, frozen=True, tag="bye"):
    """An edge leaves."""

    lease: int


class Welcome(msgspec.Struct, frozen=True, tag="welcome"):
    """A lease, the edge's number, which its subjects follow from, and the number of the newest
    message of ticks: what is missing before that is no hole."""

    lease: int
    number: _Count
    newest: _Count


class Taken(msgspec.Struct, frozen=True, tag="taken"):
    """An edge's word was taken; `newest` as in Welcome, before what follows from the word."""

    newest: _Count


class Who(msgspec.Struct, frozen=True, tag="who"):
    """This lease is none."""

    lease: int


class Results(msgspec.Struct, frozen=True, tag="results"):
    """A feed's answers; `machine` is its ingest, which calls it `feed`."""

    machine: str
    feed: str
    results: tuple[Result, ...]


Ask = Hello | Renew | Interest | Values | Bye
Told = Welcome | Taken | Who | Results
_beats = msgspec.msgpack.Decoder(Beat)
_asks = msgspec.msgpack.Decoder(Ask)
_told = msgspec.msgpack.Decoder(Told)
encode = msgspec.msgpack.encode


def beat(data: bytes) -> Beat:
    """A beat. Raises Malformed."""
    return _read(_beats, data)  # type: ignore[no-any-return]  # as the decoder says


def ask(data: bytes) -> Ask:
    """What an edge asks. Raises Malformed."""
    asked: Ask = _read(_asks, data)
    if isinstance(asked, Interest):
        for want in asked.wants:
            if not 0 <= want.modes <= _ALL_MODES:
                raise Malformed(f"not a message of another machine's hub: modes {want.modes}")
    return asked


def told(data: bytes) -> Told:
    """What an ingest replies or tells. Raises Malformed."""
    return _read(_told, data)  # type: ignore[no-any-return]  # as the decoder says


def lease(told: Any) -> Lease:
    """What a feed's host tells of its lease. Raises Malformed."""
    try:
        return msgspec.convert(told, Lease)
    except msgspec.ValidationError as error:
        raise Malformed(f"not a lease: {error}") from None


def _read(decoder: msgspec.msgpack.Decoder[Any], data: bytes) -> Any:
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise Malformed(f"not a message of another machine's hub: {error}") from None


class Ticks(NamedTuple):
    """A message of ticks: its number, that of the one before on its subject (0 for none), and its
    batch, which may be empty: then it only tells that nothing was lost."""

    number: int
    before: int
    again: bool
    batch: bytes


_AGAIN = 1 << 63
EMPTY = b"\x90"
"""A batch of nothing."""


def head(number: int, before: int, *, again: bool = False) -> bytes:
    """What goes before the batch; `again` tells that its values may have come before."""
    return _HEADER.pack(number | _AGAIN * again, before)


def ticks(data: bytes) -> Ticks:
    """A message of ticks. Raises Malformed when it is too short."""
    if len(data) <= _HEADER.size:
        raise Malformed(f"a message of ticks holds {len(data)} bytes")
    number, before = _HEADER.unpack_from(data)
    return Ticks(number & ~_AGAIN, before, bool(number & _AGAIN), data[_HEADER.size :])


_NEVER = 1 << 63


def count(batch: bytes) -> int:
    """How many ticks a batch holds, by its first bytes alone; 0 for what is no batch."""
    first = batch[0]
    if first & 0xF0 == 0x90:
        return (first & 0x0F) // 2
    width = {0xDC: 2, 0xDD: 4}.get(first, 0)
    return int.from_bytes(batch[1 : 1 + width], "big") // 2


class Holes:
    """What an edge has been sent of one ingest's ticks: finds what is missing, and what is late."""

    def __init__(self) -> None:
        self.found = 0
        self.late = 0
        self._newest = 0
        self._since = _NEVER
        self._missing = 0
        self._last: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<Holes {self.found} found, {self.late} late, at {self._newest}>"

    def doubt(self) -> None:
        """What is missing from here on will be made up for, until it `begin`s anew."""
        self._since = _NEVER
        self._missing = 0
        self._last.clear()

    def begin(self, newest: int) -> None:
        """What came up to this number has been made up for, or will be."""
        self._since = newest
        self.found += self._missing > newest

    def take(self, subject: str, number: int, before: int) -> bool:
        """A message has come: whether it is to be used. `found` counts the holes."""
        if number <= self._newest:
            self.late += 1
            return False
        self._newest = number
        if before > self._last.get(subject, 0):
            self._missing = max(self._missing, before)
            self.found += before > self._since
        self._last[subject] = number
        return True


def name_of(feed: str, machine: str) -> str:
    """What all machines call a feed."""
    return f"{feed}@{machine}"
