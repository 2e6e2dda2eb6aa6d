"""Any history gives the same in both twins of hub.core.hot."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hub.core.errors import Malformed
from tests.hub.core.kit import Router, Shard, waiting

HISTORY = st.lists(
    st.one_of(
        st.tuples(st.just("offer"), st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)))),
        st.tuples(st.just("change"), st.integers(0, 5)),
        st.tuples(st.just("take"), st.none()),
        st.tuples(st.just("turn"), st.integers(0, 2)),
    ),
    max_size=20,
)
PAYLOADS = (b"{}", b'{"a":1}', b"no", b'{"a": NaN}', b'{"\xc3\xa4":2}', b"\xff", b"[1]", b"{}" * 99,
            b'{"a":"' + b"x" * 120 + b'"}', b'{"a":"' + b"y" * 9000 + b'"}')  # fmt: skip


@settings(max_examples=200)
@given(history=HISTORY)
def test_any_history_of_a_router_gives_the_same(twins: tuple[Any, Any], history: Any) -> None:
    assert router_told(twins[0], history) == router_told(twins[1], history)


def router_told(twin: Any, history: Any) -> list[object]:
    router = Router(twin, 3)
    routes: dict[bytes, tuple[Any, ...]] = {}
    told: list[object] = []

    def resolve(topic: bytes) -> tuple[bytes, tuple[Any, ...]]:
        number = int(topic[1:])
        if number == 3:
            raise Malformed("a stray")
        if number == 4:
            raise LookupError("on purpose")
        if number == 5:
            routes.clear()
        found = routes[topic] = tuple(router.groups[: number % 3 + 1])
        return topic, found

    for step, value in history:
        if step == "offer":
            strays: list[tuple[bytes, bytes]] = []
            pairs = [part for topic, n in value for part in (b"T%d" % topic, PAYLOADS[n])]
            try:
                told.append(twin.route(pairs, routes, resolve, strays))
            except LookupError:
                told.append("error")
            told += [strays, waiting(router.groups), [repr(group) for group in router.dirty]]
        elif step == "change":
            routes.pop(b"T%d" % value, None)
        else:
            batches = twin.take(router.dirty)
            told.append({shard: [*map(twin.unpack, found)] for shard, found in batches.items()})
    return told


@settings(max_examples=200)
@given(history=HISTORY)
def test_any_history_of_a_shard_gives_the_same(twins: tuple[Any, Any], history: Any) -> None:
    assert shard_told(twins[0], history) == shard_told(twins[1], history)


def shard_told(twin: Any, history: Any) -> list[object]:
    asked = Asked(twin)
    shard, told = asked.shard, asked.told
    seq = 0
    for step, value in history:
        if step == "offer":
            pairs = [part for topic, n in value for part in (b"T%d" % topic, PAYLOADS[n])]
            try:
                seq = shard.fan(
                    *pairs, seq=seq, admit=asked.admit, resolve=asked.resolve, formed=asked.formed
                )
            except LookupError:
                told.append("error")
            told += [seq, [(audience.name, list(audience.frames)) for audience in shard.dirty]]
        elif step == "change":
            shard.lines.pop(b"T%d" % value, None)
        elif step == "turn":
            asked.audiences.append(asked.audiences.pop(value))
        else:
            told += [shard.flush(), list(shard.log)]
            shard.log.clear()
    return told


class Asked:
    """Who answers a shard's loop, and keeps what it was told."""

    def __init__(self, twin: Any) -> None:
        self.twin = twin
        self.shard = Shard(twin)
        third = twin.Audience(3, (self.shard.a, self.shard.b, self.shard.a))
        self.audiences = [self.shard.both, self.shard.one, third]
        self.told: list[object] = []

    def admit(self, topic: bytes) -> Any:
        number = int(topic[1:])
        if number == 4:
            raise LookupError("on purpose")
        if number == 5:
            self.shard.lines.clear()
        line = self.twin.Line(topic, number % 3 + 1)
        line.formed = ((b"", b"", 1, ()),) if number == 2 else ()
        return self.shard.lines.setdefault(topic, line) if number != 3 else None

    def resolve(self, line: Any) -> Any:
        numbers = range(line.mode)
        routes = tuple((b"h%d" % n, b"t" * n, tuple(self.audiences[: n + 1])) for n in numbers)
        if line.mode > 1:
            line.routes = routes
        return routes

    def formed(self, line: Any) -> None:
        self.told.append((line.key, line.seq, line.payload))
