"""The loops over ticks, in both twins: route and take, fan and flush."""

from __future__ import annotations

import socket
from functools import partial
from typing import Any

import pytest

from hub.core.errors import Malformed
from tests.hub.core.kit import Router, Shard, framed, raises, unreached, waiting


def test_ticks_are_put_down_in_their_order_and_groups_registered_once(twin: Any) -> None:
    router = Router(twin)
    a, b = router.groups
    routes = {b"A": (a, b), b"B": (b,), b"C": ()}
    pairs = [b"B", b"{}", b"A", b'{"n":1}', b"C", b"{}", b"B", b'{"n":2}']
    assert twin.route(pairs, routes, unreached, []) == 0
    assert a.pairs == [b"A", b'{"n":1}']
    assert b.pairs == [b"B", b"{}", b"A", b'{"n":1}', b"B", b'{"n":2}']
    assert router.dirty == [b, a]
    assert "3 ticks" in repr(b)
    assert twin.route([], routes, unreached, []) == 0


def test_a_new_topic_is_resolved_and_a_stray_put_aside(twin: Any) -> None:
    router = Router(twin)
    strays: list[tuple[bytes, bytes]] = []

    def resolve(topic: bytes) -> tuple[bytes, tuple[Any, ...]]:
        if topic == b"stray":
            raise Malformed("no tick")
        return topic.upper(), (router.groups[0],)

    assert twin.route([b"stray", b"no json", b"a", b"{}"], {}, resolve, strays) == 0
    assert strays == [(b"stray", b"no json")]
    assert router.groups[0].pairs == [b"A", b"{}"]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"{}", b"{}"),
        (b'{"a": "\xc3\xa4"}', b'{"a": "\xc3\xa4"}'),
        (b'{"a": NaN}', b'{"a": null}'),
        (b"[]", None),
        (b"{", None),
        (b"", None),
        (b'{"a": "\xff"}', None),
        (b'{"a": "\xed\xa0\x80"}', b'{"a": "\\ud800"}'),
        (b'{"1234567": "12345678\x80"}', None),
    ],
)
def test_what_is_no_json_object_is_counted(
    twin: Any, payload: bytes, expected: bytes | None
) -> None:
    router = Router(twin, 1)
    malformed = twin.route([b"A", payload], {b"A": tuple(router.groups)}, unreached, [])
    assert malformed == (expected is None)
    assert router.groups[0].pairs == ([] if expected is None else [b"A", expected])
    assert router.dirty == ([] if expected is None else router.groups)


def test_an_error_passes_through_and_what_came_before_is_put_down(twin: Any) -> None:
    router = Router(twin, 1)
    routes = {b"A": tuple(router.groups)}
    with pytest.raises(LookupError):
        twin.route([b"A", b"{}", b"new", b"{}", b"A", b"{}"], routes, raises, [])
    assert router.groups[0].pairs == [b"A", b"{}"]
    assert router.dirty == router.groups
    twin.route([b"A", b"{}"], routes, unreached, [])
    assert router.dirty == router.groups


@pytest.mark.parametrize("call", ["route", "fan"])
def test_ticks_come_in_pairs(twin: Any, call: str) -> None:
    more: list[Any] = [unreached, []] if call == "route" else [*[unreached] * 3, [], 0]
    with pytest.raises(ValueError, match="pairs"):
        getattr(twin, call)([b"A"], {}, *more)


def test_resolve_may_forget_all_routes(twin: Any) -> None:
    """The groups of the tick at hand are held by nobody else then."""
    dirty: list[Any] = []
    routes: dict[bytes, tuple[Any, ...]] = {}

    def resolve(topic: bytes) -> tuple[bytes, tuple[Any, ...]]:
        routes.clear()
        routes[topic] = (twin.Group((len(dirty),), dirty),)
        return bytes(bytearray(topic)), routes[topic]

    pairs = [part for number in range(50) for part in (b"T%d" % (number % 3), b"{}")]
    twin.route(pairs, routes, resolve, [])
    assert len(dirty) == 50
    assert waiting(dirty) == [[b"T%d" % (number % 3), b"{}"] for number in range(50)]


def test_what_waits_is_packed_once_for_each_group(twin: Any) -> None:
    router = Router(twin)
    a, b = router.groups
    twin.route([b"A", b"{}", b"B", b"{}"], {b"A": (a, b), b"B": (b,)}, unreached, [])
    batches = twin.take(router.dirty)
    first, second = twin.pack([b"A", b"{}"]), twin.pack([b"A", b"{}", b"B", b"{}"])
    assert batches == {0: [first], 1: [first, second], 2: [second]}
    assert batches[0][0] is batches[1][0]
    assert router.dirty == []
    assert waiting(router.groups) == [[], []]
    assert twin.take(router.dirty) == {}


def test_what_was_checked_before_is_not_checked_again(twin: Any) -> None:
    router = Router(twin, 1)
    routes = {b"A": tuple(router.groups)}
    assert twin.route([b"A", b"none"], routes, unreached, [], checked=True) == 0
    assert router.groups[0].pairs == [b"A", b"none"]


class Pipes:
    """Ways to three shards, each with a socket pair; two shards of them have ticks waiting."""

    def __init__(self, twin: Any) -> None:
        class Way(twin.Way):  # type: ignore[misc]  # one of either twin
            def unsent(way, data: bytes, sent: int) -> None:  # noqa: N805  # there is a self already
                self.told.append((self.ways.index(way), data, sent))

        self.told: list[tuple[int, bytes, int]] = []
        self.pairs = [socket.socketpair() for _ in range(3)]
        self.ways = [Way() for _ in self.pairs]
        for number, (way, (ours, _)) in enumerate(zip(self.ways, self.pairs, strict=True)):
            ours.setblocking(False)
            way.fd, way.token = ours.fileno(), b"%d" % number
        self.dirty: list[Any] = []
        self.groups = [twin.Group(shards, self.dirty) for shards in ((0, 2), (2,))]
        self._twin = twin

    def deal(self, payload: bytes = b"{}") -> Any:
        a, b = self.groups
        pairs = [b"A", payload, b"B", b"{}"]
        self._twin.route(pairs, {b"A": (a, b), b"B": (b,)}, unreached, [], checked=True)
        return self._twin.deal(self.dirty, self.ways, b"t")

    def close(self) -> None:
        for pair in self.pairs:
            for sock in pair:
                sock.close()


def test_each_shard_is_dealt_its_batches_in_one_message(twin: Any) -> None:
    pipes = Pipes(twin)
    assert pipes.deal() == {}
    both = [twin.pack([b"A", b"{}"]), twin.pack([b"A", b"{}", b"B", b"{}"])]
    assert pipes.pairs[0][1].recv(1 << 16) == twin.message([b"t0", both[0]])
    assert pipes.pairs[2][1].recv(1 << 16) == twin.message([b"t2", *both])
    assert [way.sent for way in pipes.ways] == [1, 0, 1]
    assert pipes.dirty == []
    assert waiting(pipes.groups) == [[], []]
    assert (pipes.deal(), twin.deal([], pipes.ways, b"t")) == ({}, {})
    pipes.close()


def test_what_cannot_be_written_to_at_once_is_left(twin: Any) -> None:
    pipes = Pipes(twin)
    pipes.ways[2].fd = -1
    left = pipes.deal()
    assert left == {2: [twin.pack([b"A", b"{}"]), twin.pack([b"A", b"{}", b"B", b"{}"])]}
    assert [way.sent for way in pipes.ways] == [1, 0, 0]
    pipes.close()


def test_a_way_is_told_what_its_socket_did_not_take(twin: Any) -> None:
    pipes = Pipes(twin)
    pipes.pairs[0][0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    pipes.pairs[2][1].close()
    pipes.deal(bytes(1 << 20))
    batch = twin.pack([b"A", bytes(1 << 20)])
    (first, data, sent), (last, _, none) = pipes.told
    assert (first, data) == (0, twin.message([b"t0", batch]))
    assert 0 < sent < len(data)
    assert (last, none) == (2, 0), "it is gone"
    pipes.close()


def test_a_tick_is_framed_once_for_each_route(twin: Any) -> None:
    shard = Shard(twin)
    assert shard.fan(b"L", b"{1}", b"K", b"{2}", seq=7) == 9
    assert shard.dirty == [shard.both, shard.one]
    assert shard.both.frames == [framed(twin, b"({1})"), framed(twin, b"<{2}>")]
    assert shard.both.lines == [shard.lines[b"L"], shard.lines[b"K"]]
    assert shard.one.frames == [framed(twin, b"[{1}]")]
    assert (shard.lines[b"L"].seq, shard.lines[b"L"].payload) == (8, b"{1}")
    assert "2 frames" in repr(shard.both)
    assert "K mode 1 seq 9" in repr(shard.lines[b"K"])


@pytest.mark.parametrize("size", [0, 123, 124, 125, 126, 8189, 8190, 65533, 65534, 65535, 70000])
def test_a_frame_has_the_header_of_its_size(twin: Any, size: int) -> None:
    shard = Shard(twin)
    shard.fan(b"K", bytes(size))
    assert shard.both.frames == [framed(twin, b"<" + bytes(size) + b">")]


def test_who_is_new_is_admitted_or_not_and_resolved_once_asked(twin: Any) -> None:
    shard = Shard(twin)
    new, asked = twin.Line(b"N", 1), []

    def resolve(line: Any) -> Any:
        asked.append(line)
        line.routes = ((b"", b"", (shard.one,)),)
        return line.routes

    def admit(topic: bytes) -> Any:
        return new if topic == b"N" else None

    assert shard.fan(b"N", b"{}", b"O", b"{}", b"N", b"{}", admit=admit, resolve=resolve) == 2
    assert asked == [new]
    assert shard.one.lines == [new, new]
    assert new.seq == 2


def test_a_line_with_other_forms_is_told_of_after_its_frames(twin: Any) -> None:
    shard = Shard(twin)
    line = shard.lines[b"K"]
    line.formed = ((b"", b"", 1, ()),)
    seen: list[Any] = []
    shard.fan(
        b"K", b"{}", b"L", b"{}", formed=lambda told: seen.append((told, len(shard.both.frames)))
    )
    assert seen == [(line, 1)]


def test_callbacks_may_forget_the_lines_at_hand(twin: Any) -> None:
    shard = Shard(twin)

    def admit(topic: bytes) -> Any:
        shard.lines.clear()
        shard.lines[topic] = twin.Line(topic, 1)
        return shard.lines[topic]

    def resolve(line: Any) -> Any:
        shard.lines.clear()
        return ((b"<", b">", (twin.Audience(3, ()),)),)

    pairs = [part for number in range(40) for part in (b"T%d" % (number % 3), b"{}")]
    assert shard.fan(*pairs, admit=admit, resolve=resolve) == 40
    assert [audience.frames for audience in shard.dirty] == [[framed(twin, b"<{}>")]] * 40


@pytest.mark.parametrize("asked", ["admit", "resolve", "formed"])
def test_an_error_in_a_callback_leaves_what_was_put_down(twin: Any, asked: str) -> None:
    shard = Shard(twin)
    shard.lines[b"X"] = twin.Line(b"X", 1)
    if asked == "formed":
        shard.lines[b"X"].routes, shard.lines[b"X"].formed = (), ((b"", b"", 1, ()),)
    if asked == "admit":
        del shard.lines[b"X"]
    callback: dict[str, Any] = {asked: raises}
    asking = partial(shard.fan, **callback)
    with pytest.raises(LookupError):
        asking(b"K", b"{}", b"X", b"{}", b"K", b"{}")
    assert shard.dirty == [shard.both]
    assert shard.flush() == 2
    assert [entry[:2] for entry in shard.log] == [("a", "deliver"), ("b", "deliver")]


def test_callbacks_may_cut_the_pairs_short(twin: Any) -> None:
    """No promise of what becomes of the rest; that nothing is read which is not there is one."""
    pairs = [part for number in range(40) for part in (b"T%d" % number, b"{}")]

    def admit(_: bytes) -> None:
        del pairs[4:]

    assert twin.fan(pairs, {}, admit, unreached, unreached, [], 0) == 0
    assert len(pairs) == 4

    def resolve(topic: bytes) -> tuple[bytes, tuple[Any, ...]]:
        pairs.clear()
        return topic, ()

    assert twin.route(pairs, {}, resolve, []) == 0
    assert pairs == []


def test_one_audience_is_handed_its_frames(twin: Any) -> None:
    shard = Shard(twin)
    shard.fan(b"K", b"{1}", b"K", b"{2}")
    assert shard.flush() == 4
    data = framed(twin, b"<{1}>") + framed(twin, b"<{2}>")
    assert shard.log == [(name, "deliver", data, [2, 2]) for name in "ab"]
    assert (shard.both.frames, shard.both.lines) == ([], [])
    assert shard.flush() == 0


def test_a_member_of_several_audiences_is_handed_all_at_once(twin: Any) -> None:
    shard = Shard(twin)
    shard.fan(b"L", b"{1}", b"K", b"{2}")
    assert shard.flush() == 5
    to_both = framed(twin, b"({1})") + framed(twin, b"<{2}>")
    assert shard.log == [
        ("a", "deliver", to_both, [1, 2]),
        ("b", "deliver", to_both + framed(twin, b"[{1}]"), [1, 2, 1]),
    ]


@pytest.mark.parametrize("tick", [b"K", b"L"], ids=["one audience", "two audiences"])
def test_a_socket_is_written_to_at_once(twin: Any, tick: bytes) -> None:
    shard = Shard(twin)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        shard.a.fd = ours.fileno()
        shard.fan(tick, b"{}")
        shard.flush()
        expected = b"<{}>" if tick == b"K" else b"({})"
        assert theirs.recv(1 << 16) == framed(twin, expected)
        assert [entry[0] for entry in shard.log] == ["b"]


def test_what_a_socket_does_not_take_its_member_is_told(twin: Any) -> None:
    shard = Shard(twin)
    shard.both.members = (shard.a,)
    ours, theirs = socket.socketpair()
    with ours:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        ours.setblocking(False)
        shard.a.fd = ours.fileno()
        large = framed(twin, b"<" + bytes(1 << 20) + b">")
        with theirs:
            for _ in range(2):
                shard.fan(b"K", bytes(1 << 20))
                shard.flush()
            partly, full = shard.log
            assert partly[:3] == full[:3] == ("a", "unsent", large)
            assert 0 < partly[3] < len(large)
            assert full[3] == 0
        shard.fan(b"K", b"{}")
        shard.flush()
    shard.fan(b"K", b"{}")
    shard.flush()  # the socket is closed on this side, too
    assert shard.log[2:] == [("a", "unsent", framed(twin, b"<{}>"), 0)] * 2


@pytest.mark.parametrize("tick", [b"K", b"L"], ids=["one audience", "two audiences"])
def test_an_error_of_a_member_passes_through_and_nothing_waits_any_more(
    twin: Any, tick: bytes
) -> None:
    shard = Shard(twin, then=raises)
    shard.fan(tick, b"{}")
    with pytest.raises(LookupError):
        shard.flush()
    assert (shard.both.frames, shard.one.frames, shard.dirty) == ([], [], [])
    shard.fan(tick, b"{}")
    assert shard.dirty[0] is shard.both


@pytest.mark.parametrize("tick", [b"K", b"L"], ids=["one audience", "two audiences"])
def test_a_member_may_take_ticks_and_flush_and_leave_while_it_is_delivered_to(
    twin: Any, tick: bytes
) -> None:
    depth = [0]

    def again() -> None:
        depth[0] += 1
        shard.both.members = shard.one.members = (shard.a,)
        if depth[0] < 3:
            shard.fan(b"L", b"{}", b"K", b"{}")
            shard.flush()
            shard.lines.clear()
            shard.lines[b"L"] = twin.Line(b"L", 1)
            shard.lines[b"L"].routes = ()
            shard.lines[b"K"] = shard.lines[b"L"]

    shard = Shard(twin, then=again)
    shard.fan(tick, b"{}", tick, b"{}")
    shard.flush()
    assert [entry[0] for entry in shard.log].count("b") == 1
    assert depth[0] == len(shard.log) >= 3
