"""What a tick costs in a broker's codec: `python -m scripts.benchmark.codecs angel zerodha`.

The fake servers of tests/brokers encode what 3,000 instruments send in some seconds; a codec reads
it, merges it and makes JSON of it, as it does in a feed. Nothing goes over a socket. Times are CPU
times. Beside each batch runs a plain program that unpacks some numbers and dumps the same payloads
with `json`: the ratio of both depends less on the machine than the time does.
"""

from __future__ import annotations

import importlib
import json
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import click
import msgspec

from hub.brokers import catalogue
from hub.brokers.base import Change, Codec, Limits, Listing, Subscription
from scripts.benchmark import usage

MODES = {1: "LTP", 2: "Quote", 3: "Depth"}
_SERVERS = {"flattrade": "noren", "shoonya": "noren"}
_BATCH = 500
_NUMBERS = struct.Struct("<16q")
_Frames = Sequence[str | bytes]


class Cost(NamedTuple):
    """What one codec cost in one mode: microseconds a tick, and how often a batch of the plain
    program fits into one of its own; `taken` of `ticks` were published, beside full snapshots."""

    broker: str
    mode: str
    ticks: int
    taken: int
    p50_us: float
    p99_us: float
    ratio: float
    malformed: int

    @property
    def whole(self) -> bool:
        """Whether all came out that went in."""
        return self.taken >= self.ticks and not self.malformed


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("brokers", nargs=-1, type=click.Choice(catalogue.NAMES))
@click.option("--symbols", type=click.IntRange(1, 100_000), default=3000, show_default=True)
@click.option(
    "--rate",
    type=click.IntRange(1, 100),
    default=5,
    show_default=True,
    help="Ticks a second of each symbol.",
)
@click.option(
    "--seconds",
    type=click.IntRange(1, 60),
    default=4,
    show_default=True,
    help="So many seconds' worth of ticks.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def main(
    brokers: tuple[str, ...],
    symbols: int,
    rate: int,
    seconds: int,
    as_json: bool,  # noqa: FBT001  # click's flags are positional
) -> None:
    """Measure the codecs of BROKERS, of all when none is named.

    Exits with 1 when a codec published less than it was sent, or could not read some of it.
    """
    costs = [
        measure(name, mode, symbols, symbols * rate * seconds)
        for name in brokers or catalogue.NAMES
        for mode in MODES
    ]
    if as_json:
        value = {"machine": usage.machine(), "costs": [cost._asdict() for cost in costs]}
        click.echo(msgspec.json.format(msgspec.json.encode(value)))
    else:
        click.echo("\n".join(table(costs)))
        click.echo(f"{symbols:,} symbols, batches of about {_BATCH} ticks; {usage.machine()}")
    sys.exit(0 if all(cost.whole for cost in costs) else 1)


def table(costs: Sequence[Cost]) -> Iterator[str]:
    """A line for each codec and mode."""
    yield (
        f"{'broker':<10} {'mode':<6} {'us/tick p50':>11} {'p99':>7} {'x plain':>8} "
        f"{'ticks':>8} {'taken':>8} {'unread':>7}"
    )
    for cost in costs:
        yield (
            f"{cost.broker:<10} {cost.mode:<6} {cost.p50_us:>11.2f} {cost.p99_us:>7.2f} "
            f"{cost.ratio:>8.2f} {cost.ticks:>8} {cost.taken:>8} {cost.malformed:>7}"
        )


def measure(name: str, mode: int, symbols: int, ticks: int) -> Cost:
    """Send so many ticks of so many symbols through that broker's codec."""
    server: Any = importlib.import_module(f"tests.brokers.{server_of(name)}")
    listings, frames = server.sample(symbols, mode, ticks)
    channel = catalogue.get(name).channels[0]
    codec = channel.codec(server.CREDENTIALS, channel.addresses)
    subs = _subscriptions(listings, mode)
    rest = _let_in(codec, frames)
    _ask(codec, channel.limits, subs)
    bench = _Bench(codec)
    for batch in _batches(rest, ticks):
        bench.run(batch)
    return Cost(name, MODES[mode], ticks, bench.taken, *bench.figures(), malformed=codec.malformed)


def server_of(name: str) -> str:
    """The module of the fake server that speaks as that broker does."""
    return f"{_SERVERS.get(name, name)}_server"


def _subscriptions(listings: Sequence[Listing], mode: int) -> list[Subscription]:
    subs = [Subscription(listing) for listing in listings]
    for sub in subs:
        sub.mode = mode
    return subs


def _let_in(codec: Codec, frames: _Frames) -> _Frames:
    """Read what lets the client in; the frames after that."""
    if codec.ask() is None:
        codec.endpoint(None)
    codec.opened()
    at = 0
    while not codec.ready:
        codec.receive(frames[at], _now_ms(), _nobody)
        at += 1
    return frames[at:]


def _ask(codec: Codec, limits: Limits, subs: Sequence[Subscription]) -> None:
    for at in range(0, len(subs), limits.per_message):
        codec.change([Change(sub, 0, sub.mode) for sub in subs[at : at + limits.per_message]])


def _batches(frames: _Frames, ticks: int) -> Iterator[_Frames]:
    """Frames in portions of about a batch of ticks."""
    size = max(1, len(frames) * _BATCH // ticks)
    for at in range(0, len(frames), size):
        yield frames[at : at + size]


class _Bench:
    """Batches through a codec and through a plain program, in turn."""

    def __init__(self, codec: Codec) -> None:
        self.taken = 0
        self._codec = codec
        self._payloads: list[bytes] = []
        self._own_us: list[float] = []
        self._plain_us: list[float] = []

    def run(self, frames: _Frames) -> None:
        """Time one batch; one that brings no tick counts as nothing."""
        self._payloads.clear()
        spent_us = _timed(self._read, frames)
        count = len(self._payloads)
        if not count:
            return
        self.taken += count
        self._own_us.append(spent_us / count)
        values = [json.loads(payload) for payload in self._payloads]
        self._plain_us.append(_timed(_plain, values) / count)

    def figures(self) -> tuple[float, float, float]:
        """The median and the 99th percentile of a tick's microseconds, and the ratio of medians."""
        if not self._own_us:
            return 0.0, 0.0, 0.0
        own, plain = sorted(self._own_us), sorted(self._plain_us)
        middle = len(own) // 2
        return own[middle], own[len(own) * 99 // 100], own[middle] / plain[middle]

    def _read(self, frames: _Frames) -> None:
        receive, now_ms, take = self._codec.receive, _now_ms(), self._take
        for frame in frames:
            receive(frame, now_ms, take)

    def _take(self, _sub: Subscription, _mode: int, data: bytes, _at_ms: int, _seq: int) -> None:
        self._payloads.append(data)


def _plain(values: Sequence[Any]) -> None:
    """What the same payloads cost with the standard library alone."""
    unpack, dumps, numbers = _NUMBERS.unpack, json.dumps, bytes(_NUMBERS.size)
    for value in values:
        unpack(numbers)
        dumps(value).encode()


def _timed(work: Callable[[Any], None], argument: object) -> float:
    begun_ns = time.thread_time_ns()
    work(argument)
    return (time.thread_time_ns() - begun_ns) / 1000


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _nobody(_sub: Subscription, _mode: int, _data: bytes, _at_ms: int, _seq: int) -> None:
    """What comes before anything was asked for is nobody's."""


if __name__ == "__main__":
    main(prog_name="python -m scripts.benchmark.codecs")
