"""Account events between machines: how they are written, where, and which of them have come. Pure.

1. A key tells what an event is: a user's order update, changed credentials (topics.INVALIDATED), or
   with topics.ALL_ORDERS that something of everybody was lost. One without content (orders.LOST)
   stands for what was lost under its key.
2. Whoever sends events numbers them, in one sequence, and sends those of a key in their order. So
   of a key whatever is not above what has come, has come.
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from hub.core import topics
from hub.core.errors import Malformed
from hub.core.orders import LOST
from hub.core.subjects import escape

_MOST_SEEN = 10_000


class Envelope(msgspec.Struct, frozen=True):
    """An account event, and who has sent it: the machine, and the epoch of its process."""

    machine: str
    epoch: int
    number: int
    key: bytes
    payload: bytes

    @property
    def ident(self) -> str:
        """What no other event has, and this one has each time that it is sent."""
        return f"{self.machine}.{self.epoch:x}.{self.number}"


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Envelope)


def encode(envelope: Envelope) -> bytes:
    """As it travels: a map of msgpack."""
    return _ENCODER.encode(envelope)


def decode(data: bytes) -> Envelope:
    """What has travelled. Raises Malformed."""
    try:
        envelope = _DECODER.decode(data)
    except msgspec.MsgspecError as error:
        raise Malformed(f"not an account event: {error}") from None
    key = envelope.key
    of_all = key == topics.ALL_ORDERS and envelope.payload == LOST
    if not (of_all or key == topics.INVALIDATED or key.startswith(topics.ORDERS)):
        raise Malformed(f"{key[:80]!r} is no key of account events")
    return envelope


def subject(prefix: str, key: bytes) -> str:
    """Where an event of this key goes: below `everything`."""
    if key == topics.INVALIDATED:
        return f"{prefix}.events.invalidate"
    if key == topics.ALL_ORDERS:
        return f"{prefix}.events.lost"
    return f"{prefix}.events.orders.{_token(key.removeprefix(topics.ORDERS))}"


def everything(prefix: str) -> str:
    """The subjects of all events."""
    return f"{prefix}.events.>"


def _token(name: bytes) -> str:
    if len(name) > topics.MAX_KEY_BYTES:
        return "%-" + blake2b(name, digest_size=16).hexdigest()
    return escape(name)


class Seen:
    """Tells events that have come from those that come again: of each key the newest number, for
    the 10,000 keys that had one last."""

    def __init__(self, most: int = _MOST_SEEN) -> None:
        self._most = most
        self._newest: dict[tuple[str, int, bytes], int] = {}

    def __repr__(self) -> str:
        return f"<Seen {len(self._newest)} keys>"

    def is_new(self, event: Envelope) -> bool:
        """Whether an event has not come before; from now on it has."""
        sequence = (event.machine, event.epoch, event.key)
        before = self._newest.pop(sequence, -1)
        self._newest[sequence] = max(before, event.number)
        if len(self._newest) > self._most:
            del self._newest[next(iter(self._newest))]
        return event.number > before
