"""The nouns: modes, instruments, identities, and what is wanted of a feed."""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import NamedTuple, Self


class Mode(IntEnum):
    """How much detail a tick carries. The numbers are those of the client protocol."""

    bit: int
    """This mode in a set of modes: LTP 1, QUOTE 2, DEPTH 4."""

    LTP = 1
    QUOTE = 2
    DEPTH = 3

    def __new__(cls, value: int) -> Self:
        """The bit is made once: it is looked at for every row of every subscribe."""
        mode = int.__new__(cls, value)
        mode._value_ = value
        mode.bit = 1 << (value - 1)
        return mode

    @property
    def label(self) -> str:
        """The name replies to clients carry: `LTP`, `Quote`, `Depth`."""
        return _LABELS[self]

    @classmethod
    def from_client(cls, value: object) -> Mode:
        """The mode a client names: JSON 1, 2, 3 or a label in any case with blanks around.

        Raises ValueError with a sentence for the client.
        """
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 3:
            return cls(value)
        if isinstance(value, str):
            mode = _BY_LABEL.get(value.strip().upper())
            if mode is not None:
                return mode
        raise ValueError(f"mode {value!r} is not one of 1 (LTP), 2 (Quote), 3 (Depth)")


_LABELS = {Mode.LTP: "LTP", Mode.QUOTE: "Quote", Mode.DEPTH: "Depth"}
MODES = tuple(Mode)
"""All of them: to walk through an enumeration is slow."""

_BY_LABEL = {mode.name: mode for mode in Mode}


def lowest(modes: int) -> int:
    """The lowest mode number in a set of modes; 0 for the empty set."""
    return (modes & -modes).bit_length()


def highest_up_to(modes: int, mode: int) -> int:
    """The highest mode number of the set that is <= `mode`; 0 when there is none.

    This is the rule by which a tick of `mode` is tagged for a client that holds `modes`.
    """
    return (modes & ((1 << mode) - 1)).bit_length()


class Instrument(NamedTuple):
    """Exchange and symbol as the client wrote them. Never made by splitting a key."""

    exchange: str
    symbol: str

    @property
    def key(self) -> bytes:
        """`EXCHANGE_SYMBOL`, the only thing that is hashed and looked up."""
        return f"{self.exchange}_{self.symbol}".encode()


class Want(NamedTuple):
    """What somebody below wants of one key: the modes as a set of bits, 0 = nothing any more.

    `depth` is the number of levels asked for in Depth mode (5 unless a client asked for more).
    Exchange and symbol are empty for account keys.
    """

    key: bytes
    modes: int
    depth: int = 5
    exchange: str = ""
    symbol: str = ""


FULL = "MAX_CAPACITY_REACHED"
"""The code of a result that is an error only because the feed's source takes no more keys."""


class Result(NamedTuple):
    """A feed's answer for one key and one set of modes.

    `error` is empty on success, else a sentence for the client. `depth` is the number of levels
    the feed really delivers, 0 when it does not say. `code` is the error code clients read, where
    the protocol leaves a choice, or FULL.
    """

    key: bytes
    modes: int
    error: str = ""
    depth: int = 0
    code: str = ""


class Quiet(NamedTuple):
    """What a shard hears nothing of: a key, the modes that have had no tick for longer than is
    usual, and how long that is. No modes tell that it is quiet no more."""

    key: bytes
    modes: int
    after_s: float


class Stale(NamedTuple):
    """What a feed's host calls stale: a key, and in which modes; no modes, no more."""

    key: bytes
    modes: int


NOBODY = "\x1f"
"""No user has this name: names hold no control characters."""


class Offer(NamedTuple):
    """What a feed announces of itself: whom it serves, and what can be had of it.

    It serves users of the named brokers, and of all brokers when none is named; when users are
    named, only those. `symbols` is the number of keys it takes, 0 for no limit. `shared` tells
    that its ticks are for all it serves; those of a feed that is not are bound to their origin.
    With `logins` it has to be told which users are there, and at which broker: it wants the key
    `topics.login` of each, and answers for it like for any other.
    """

    feed: str
    brokers: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    symbols: int = 0
    depth_levels: tuple[int, ...] = (5,)
    shared: bool = True
    logins: bool = False

    def serves(self, identity: Identity) -> bool:
        """Whether this user's ticks may come from here."""
        return (
            (not self.brokers or identity.broker in self.brokers)
            and (not self.users or identity.user in self.users)
            and (bool(identity.broker) or not self.logins)
        )


class Fault(Enum):
    """Why a broker does not give what it is asked for: it refuses the credentials; the account is
    logged in elsewhere; it was asked too often; it has no room; or it was not reached, or left."""

    AUTH = "auth"
    EVICTED = "evicted"
    RATE = "rate"
    CAPACITY = "capacity"
    NETWORK = "network"


class Isolation(Enum):
    """Whose ticks a feed's are that is not shared: its user's alone, those of all users of the
    same broker, or everybody's."""

    USER = "user"
    BROKER = "broker"
    NONE = "none"

    def origin(self, identity: Identity) -> str:
        """The origin that a user is entitled to; empty for what is everybody's."""
        return {"user": identity.user, "broker": identity.broker, "none": ""}[self.value]


class Identity(NamedTuple):
    """Who a session is: the user (owner of account events) and the broker its ticks come from."""

    user: str
    broker: str
