"""What comes to the hub's processes by the bus, the ingest, the control link and the stream:
whatever it is, nothing raises but what is caught and counted, and what comes behind it is read."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
from hypothesis import example, given
from hypothesis import strategies as st

from hub.core import codec, stream, topics
from hub.core.codec import Message
from hub.core.settings import Bus, Hub, Settings
from hub.feeds.host import FeedHost
from hub.monitor.monitor import Monitor
from hub.router import Router
from hub.runtime.control import ControlLink
from shards.shard import Shard

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBERS = st.integers(-2, 3) | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats()
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXTS | st.binary(max_size=4), inner)
    ),
    max_leaves=6,
)
KEYS = st.sampled_from(
    [b"NSE_A", b"NSE_B", b"\x1falice\x1fNSE_A", b"@orders:alice", b"@login:x:alice", b"", b"x\xff"]
)
WANTS = st.tuples(KEYS, st.integers(0, 7), st.integers(0, 50), TEXTS, TEXTS, TEXTS, TEXTS)
RESULTS = st.tuples(KEYS, st.integers(0, 7), TEXTS, TEXTS)
OFFERS = st.tuples(
    st.sampled_from(["bus", "sim", "x"]), st.lists(TEXTS, max_size=2), st.lists(TEXTS, max_size=1),
    st.integers(0, 5), st.lists(st.integers(0, 20), max_size=2), st.booleans(), st.booleans(),
)  # fmt: skip
NAMES = (
    "router", "shard-0", "shard-1", "shard-2", "shard--1", "shard-x", "feed-bus", "feed-sim",
    "feed-", "monitor", "cli-1", "supervisor", "", "x",
)  # fmt: skip
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "version": st.just(stream.VERSION),
    "lease": st.integers(1, 4),
    "epoch": st.integers(1, 3),
    "pid": st.integers(1, 1 << 22),
    "to": st.sampled_from(NAMES),
    "from": st.sampled_from(NAMES),
    "feed": st.sampled_from(["", "bus", "sim", "x"]),
    "feeds": st.lists(OFFERS, max_size=3),
    "offer": OFFERS,
    "wants": st.lists(WANTS, max_size=3),
    "results": st.lists(RESULTS, max_size=3),
    "keys": st.lists(KEYS, max_size=3),
    "live": st.lists(KEYS, max_size=2),
    "other": st.lists(KEYS, max_size=2),
    "stay": st.binary(max_size=4),
    "stream": st.just(stream.token(7, 1)),
    "number": st.integers(0, 5),
    "question": st.integers(0, 5),
    "replace": st.booleans(),
    "shard": st.integers(0, 2),
    "user": TEXTS,
    "kind": TEXTS,
    "why": TEXTS,
    "over_s": st.floats(0, 100),
    "hottest": st.lists(st.tuples(KEYS, st.floats(0, 100)), max_size=3),
    "slowest": st.lists(st.dictionaries(TEXTS, VALUES), max_size=2),
    "figures": st.dictionaries(st.sampled_from(["in", "out", "started_s", "children"]), VALUES),
}
KINDS = (
    "hello", "welcome", "refused", "who", "bye", "beat", "pulse", "interest", "results",
    "released", "invalidate", "status", "usage", "absent", "board", "look", "looked",
)  # fmt: skip


RIGHT: Message = {
    "version": stream.VERSION, "lease": 1, "epoch": 1, "pid": 1, "to": "router", "from": "router",
    "feed": "sim", "feeds": [["bus"], ["sim"]], "offer": ["sim"], "wants": [[b"NSE_A", 1]],
    "results": [[b"NSE_A", 1]], "keys": [b"NSE_A"], "live": [b"NSE_A"], "other": [], "stay": b"",
    "stream": stream.token(7, 1), "number": 1, "question": 1, "replace": False, "shard": 0,
    "user": "alice", "kind": "ALL", "why": "so", "over_s": 60.0, "figures": {"in": 1},
    "hottest": [[b"NSE_A_LTP", 2.5]],
    "slowest": [
        {"behind": True, "conflated": 1, "unsent_bytes": 5, "out_s": 0.5, "share": 0.1}
    ],
}  # fmt: skip


@st.composite
def messages(draw: Callable[[Any], Any]) -> Message:
    """Control messages: all fields right, but some of them other than usual, of another form or
    missing."""
    made = {"t": draw(st.sampled_from(KINDS) | TEXTS)} | RIGHT
    for name in draw(st.lists(st.sampled_from([*FIELDS]), max_size=4)):
        made[name] = draw(st.one_of(FIELDS[name], FIELDS[name], VALUES))
    for name in draw(st.lists(st.sampled_from([*FIELDS]), max_size=2)):
        made.pop(name, None)
    return made


SAID = st.lists(st.tuples(st.sampled_from(NAMES) | TEXTS, messages()), max_size=12)
HELLO = {"t": "hello", "version": stream.VERSION, "pid": 1, "epoch": 1}
INTEREST = {
    "t": "interest", "lease": 1, "feed": "", "wants": [], "number": 1, "replace": True,
}  # fmt: skip
PAYLOADS = (
    st.sampled_from([b"{}", b'{"user_id": "alice"}', b"[" * 3000, b'{"a": NaN}', b"\xff"])
    | VALUES.map(repr).map(str.encode)
    | st.binary(max_size=20)
)
TOPICS = (
    st.builds(topics.of, KEYS, st.sampled_from([1, 2, 3]))
    | st.sampled_from([b"x_y_orders", b"CACHE_INVALIDATE_ALL_x", b"a_positions", b"NSE_A_ltp"])
    | st.binary(max_size=20)
)
PAIRS = st.lists(st.tuples(TOPICS, PAYLOADS), max_size=8).map(
    lambda pairs: [part for pair in pairs for part in pair]
)
PARTS = (
    PAIRS.map(lambda pairs: [codec.pack(pairs)])
    | PAIRS.map(lambda pairs: [stream.TICKS, codec.pack(pairs)])
    | st.tuples(
        st.just(stream.VALUES), st.binary(max_size=3), st.sampled_from([b"0", b"1", b"-1", b"x"]),
        PAIRS.map(codec.pack),
    ).map(list)
    | st.lists(st.binary(max_size=12) | VALUES.map(msgpack.packb), min_size=1, max_size=4)
)  # fmt: skip


@contextmanager
def room() -> Iterator[Path]:
    """A directory with a name short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="hub-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


def run(main: Callable[[Path], Any]) -> None:
    """Run with a room; an error in a callback fails it."""
    errors: list[dict[str, Any]] = []

    async def watched(path: Path) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, error: errors.append(error))
        await main(path)

    with room() as path:
        asyncio.run(watched(path))
    assert errors == []


def settings(path: Path) -> Settings:
    hub = Hub(runtime_dir=str(path), shards=2, feeds=["sim", "bus"])
    return Settings(hub=hub, bus=Bus(port=0))


@given(said=SAID, bus=st.lists(PAIRS, max_size=3), ingest=st.lists(PARTS, max_size=4))
@example(said=[("feed-x", HELLO | {"epoch": float("inf")})], bus=[], ingest=[])
@example(said=[("shard-0", INTEREST | {"number": float("inf")})], bus=[], ingest=[])
def test_whatever_comes_to_the_router_in_any_order_nothing_of_it_is_a_fault(
    said: list[tuple[str, Message]], bus: list[list[bytes]], ingest: list[list[bytes]]
) -> None:
    async def main(path: Path) -> None:
        router = Router("router", settings(path))
        await router.start()
        try:
            for name in ("shard-0", "feed-sim"):
                hello = HELLO | {"offer": [name.removeprefix("feed-")]}
                router._switch._take([name.encode(), codec.encode(hello)])
            for sender, told in said:
                router._switch._take([sender.encode(), codec.encode(told)])
                if bus:
                    router._take_bus(bus.pop(), 0)
                if ingest:
                    router._take_ingest(ingest.pop())
                router._flush()
            for pairs in bus:
                router._take_bus(pairs, 1)
            for parts in ingest:
                router._take_ingest(parts)
            router._tend()
            while router._routing.unprepared:
                router._prepare()
            codec.encode({"t": "beat", "figures": router._figures()})
            assert router._figures()["faults"] == 0
            before = router._figures()["in"]
            router._take_ingest([codec.pack([b"NSE_END_LTP", b"{}"])])
            assert router._figures()["in"] == before + 1
        finally:
            await router.drain()

    run(main)


class Kept:
    """A way out that keeps nothing, and a gateway nobody is at."""

    def send(self, told: Any) -> bool:
        if isinstance(told, dict):
            codec.encode(told)
        return True

    def send_surely(self, parts: list[bytes]) -> None:
        assert all(isinstance(part, bytes) for part in parts)

    def reset(self, *, open_: bool) -> None:
        assert open_


def handlers(path: Path) -> Iterator[tuple[str, dict[str, Any], Callable[[Message], None], Any]]:
    """Each role's handlers of control messages, as its `start` names them."""
    shard: Any = Shard("shard-0", settings(path))
    host: Any = FeedHost("feed-bus", settings(path))
    monitor: Any = Monitor("monitor", settings(path))
    for role in (shard, host, monitor):
        role._control = role._ingest = Kept()
    answers = {"results": shard._take_results, "pulse": shard._take_pulse}
    yield "shard-0", answers, shard._welcomed, shard
    told = {"interest": host._take_interest, "invalidate": host._take_invalidate}
    yield "feed-bus", told, host._welcomed, host
    asked = {
        "beat": monitor._take_beat,
        "board": monitor._answer_board,
        "looked": monitor._take_looked,
        "status": monitor._status,
        "usage": monitor._usage,
    }
    yield "monitor", asked, lambda _: None, monitor


@given(said=st.lists(messages() | VALUES, max_size=12))
@example(said=[{"t": "usage", "from": "cli-1", "over_s": float("nan")}])
@example(said=[{"t": "usage", "from": "cli-1", "over_s": float("inf")}])
@example(said=[{"t": "looked", "from": "shard-x", "hottest": [], "slowest": []}])
@example(said=[{"t": "looked", "from": "shard-0", "hottest": [], "slowest": [{"behind": True}]}])
@example(said=[{"t": "beat", "from": "supervisor", "pid": 1, "figures": {"children": {"x": {}}}}])
@example(said=[{"t": "welcome", "version": stream.VERSION, "lease": [1], "stream": b""}])
def test_whatever_the_router_tells_a_process_nothing_of_it_is_a_fault(said: list[Any]) -> None:
    async def main(path: Path) -> None:
        for name, told, welcomed, role in handlers(path):
            link = ControlLink(name, path, handlers=told, welcomed=welcomed)
            try:
                for one in said:
                    link._take([codec.encode(one)])
            finally:
                link._sock.close(linger=0)
            if isinstance(role, Monitor):
                role._board.take(1.0, 2.0)
                role._board.board(1.0, 2.0)
                role._board.metrics(1.0, 2.0)

    run(main)


STREAM = st.tuples(
    st.sampled_from([*b"tkaocqvfix"]).map(lambda kind: bytes((kind,))),
    st.sampled_from([stream.token(7, 1), stream.token(7, 1), b"", b"x"]),
    st.lists(
        st.binary(max_size=12)
        | PAIRS.map(codec.pack)
        | messages().map(codec.encode)
        | VALUES.map(msgpack.packb),
        max_size=3,
    ),
).map(lambda made: [made[0] + made[1], *made[2]])


@given(said=st.lists(STREAM | st.lists(st.binary(max_size=8), min_size=1), max_size=10))
def test_whatever_comes_by_its_stream_a_shard_reads_on(said: list[list[bytes]]) -> None:
    async def main(path: Path) -> None:
        shard: Any = Shard("shard-0", settings(path))
        shard._control = shard._ingest = Kept()
        shard._welcomed({"t": "welcome", "lease": 1, "stream": stream.token(7, 1)})
        for parts in said:
            shard._take(parts)
            shard._desk.fanout.flush()
        shard._take([stream.KEEP + stream.token(7, 1), codec.pack([b"NSE_END_LTP", b'{"a": 1}'])])
        (line,) = shard._desk.latest.of(b"NSE_END")
        assert json.loads(line.payload) == {"a": 1}

    run(main)
