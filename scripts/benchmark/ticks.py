"""The ticks: Quote payloads that carry their number and the time they were sent, at fixed offsets.

Tick `n` is of symbol `n % symbols`, so a number names its topic and its place in that topic.
All payloads of a load have the same size, and so have the frames that clients read.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from hub.core import frames
from hub.core.index import Variant
from hub.core.model import Mode
from scripts.benchmark.loads import Load

EXCHANGE = "NSE"
PROBE = "PROBE"
"""A symbol that is ticked before the load begins, to see that the whole way is open."""

PROBE_TOPIC = f"{EXCHANGE}_{PROBE}_QUOTE".encode()
PROBE_PAYLOAD = b'{"probe": true}'

_MARK = b'{"number": "'
_DIGITS = 12
_BETWEEN = b'", "sent_ns": "'
_TIME_DIGITS = 19
_PACKED_MARK = b"\xa6number\xac"  # in msgpack: the name, and the length of the digits
_PACKED_BETWEEN = b"\xa7sent_ns\xb3"
_FORMAT = _MARK + b"%012d" + _BETWEEN + b"%019d"
_QUOTE = (
    '", "symbol": "%s", "exchange": "NSE", "mode": 2, "ltp": 2931.45, "open": 2905.0, '
    '"high": 2944.9, "low": 2899.15, "close": 2910.3, "volume": 4182736, "pad": "'
)


class Ticks:
    """Makes the ticks of a load."""

    def __init__(self, load: Load) -> None:
        names = self.names = symbols(load)
        self._symbols = load.symbols
        self._topics = [f"{EXCHANGE}_{name}_QUOTE".encode() for name in names]
        self._tails = [_tail(name, load.payload_bytes) for name in names]
        variants = (Variant(Mode.QUOTE.bit, EXCHANGE, name, "bus") for name in names)
        self._around = [frames.market_data(variant, Mode.QUOTE) for variant in variants]

    def message(self, number: int, now_ns: int) -> tuple[bytes, bytes]:
        """Topic and payload, as adapters publish them."""
        symbol = number % self._symbols
        return self._topics[symbol], _FORMAT % (number, now_ns) + self._tails[symbol]

    def frame(self, number: int, now_ns: int) -> bytes:
        """The same tick as the frame that a client reads."""
        head, tail = self._around[number % self._symbols]
        return frames.tick(head, self.message(number, now_ns)[1], tail)


class Layout(NamedTuple):
    """Where the number and the time stand in frames of one size."""

    numbers: Struct
    number_at: int  # where its digits begin
    time_at: int

    def read_numbers(self, block: bytes) -> list[int]:
        """The numbers of the frames in a block."""
        return [int(digits) for (digits,) in self.numbers.iter_unpack(block)]

    def read_time_ns(self, block: bytes, index: int) -> int:
        """When the tick in this frame of a block was sent."""
        start = index * self.numbers.size + self.time_at
        return int(block[start : start + _TIME_DIGITS])


def layout(frame: bytes) -> Layout | None:
    """The layout of frames like this one, JSON or msgpack; None when it is no tick of ours."""
    for mark, between in ((_MARK, _BETWEEN), (_PACKED_MARK, _PACKED_BETWEEN)):
        found = frame.find(mark)
        if found >= 0:
            at = found + len(mark)
            rest = len(frame) - at - _DIGITS
            return Layout(Struct(f"{at}x{_DIGITS}s{rest}x"), at, at + _DIGITS + len(between))
    return None


def symbols(load: Load) -> list[str]:
    """The symbols of a load; all names have the same length."""
    return [f"SYM{number:06d}" for number in range(load.symbols)]


def smallest_payload() -> int:
    """The least size a payload can have, in bytes."""
    return len(_FORMAT % (0, 0)) + len(_tail(f"SYM{0:06d}", 0))


def _tail(symbol: str, payload_bytes: int) -> bytes:
    tail = (_QUOTE % symbol).encode()
    room = payload_bytes - len(_FORMAT % (0, 0)) - len(tail) - len(b'"}')
    return tail + b"x" * max(room, 0) + b'"}'
