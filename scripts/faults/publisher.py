"""The publisher of a run of faults: ticks and order updates with a sequence of each topic's own.

Tick `n` is of symbol `n % symbols`, and number `n // symbols` there. It drops nothing by itself:
its queue has no bound, so that what is lost is lost by the hub, or with its router.
"""

from __future__ import annotations

import sys
import time

import msgspec

from hub.runtime import links
from scripts.benchmark import leash

EXCHANGE = "NSE"
_STEP_S = 0.002


class Source(msgspec.Struct, frozen=True):
    """What is published: ticks per second over all symbols, order updates per second and user."""

    symbols: int
    rate: int
    users: list[str]
    orders_rate: float

    @property
    def period_ns(self) -> int:
        """The time from one tick of a topic to the next."""
        return 10**9 * self.symbols // self.rate


def name(number: int) -> str:
    """The symbol of this number."""
    return f"C{number:05d}"


def topic(symbol: str) -> str:
    """What the ledger calls the topic of a symbol."""
    return f"{EXCHANGE}:{symbol}"


def main(source: Source, address: str) -> None:
    """Publish from `start` until `stop`, then say what was the last of each."""
    heard = leash.hold(longest_s=0)
    sock = links.connect(links.PUB, address, queue=0)
    leash.say("ready")
    while "start" not in heard:
        time.sleep(_STEP_S)
    topics = [f"{EXCHANGE}_{name(n)}_QUOTE".encode() for n in range(source.symbols)]
    tails = [_tail(name(n)) for n in range(source.symbols)]
    start_ns, sent, orders = time.monotonic_ns(), 0, 0
    longest_ns = last_ns = 0
    while "stop" not in heard:
        now_ns = time.monotonic_ns()
        longest_ns = max(longest_ns, now_ns - last_ns if last_ns else 0)
        last_ns = now_ns
        due = (now_ns - start_ns) * source.rate // 10**9
        for n in range(sent, due):
            seq, symbol = divmod(n, source.symbols)
            data = b'{"seq": %10d, "sent_ns": %19d%b' % (seq, time.monotonic_ns(), tails[symbol])
            sock.send_multipart((topics[symbol], data))
        sent = max(sent, due)
        if orders < (now_ns - start_ns) * source.orders_rate / 1e9:
            for user in source.users:
                sock.send_multipart(_order(user, orders, time.monotonic_ns()))
            orders += 1
        time.sleep(_STEP_S)
    last = [(sent - 1 - n) // source.symbols for n in range(source.symbols)]
    leash.say("last", seqs=last, orders=orders - 1, ticks=sent, longest_ms=longest_ns / 1e6)
    leash.wait_for("end", heard)
    sock.close()


def _tail(symbol: str) -> bytes:
    rest = f', "symbol": "{symbol}", "exchange": "{EXCHANGE}", "mode": 2, "ltp": 2931.45, '
    more = '"open": 2905.0, "high": 2944.9, "low": 2899.15, "close": 2910.3, "volume": 4182736}'
    return (rest + more).encode()


def _order(user: str, seq: int, now_ns: int) -> tuple[bytes, bytes]:
    update = {"type": "order_update", "user_id": user, "seq": seq, "sent_ns": now_ns}
    return f"ANALYZE_{user}_orders".encode(), msgspec.json.encode(update)


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=Source), sys.argv[2])
