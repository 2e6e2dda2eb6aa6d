"""The bus and the shards' streams: the same promises on both wires."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
import zmq

from hub.core.errors import StartError
from hub.core.settings import Settings
from hub.core.window import Window
from hub.runtime import inbox, links, native, wire
from hub.runtime.links import PUB, connect
from hub.runtime.pump import Inlet, Pump
from tests.hub.runtime.kit import Way, Wide, both_wires, receive, run, settings, until

Kind = type[object]


@pytest.mark.parametrize(
    ("kind", "kinds"),
    [
        ("native", (inbox.Bus, native.Push, native.Pull)),
        ("libzmq", (links.Pairs, links.Push, links.Messages)),
    ],
)
def test_the_setting_says_whose_sockets_they_are(
    directory: Path, kind: str, kinds: tuple[Kind, Kind, Kind]
) -> None:
    async def test() -> None:
        way = Way(kind, directory)
        ends = (
            wire.bus(settings(kind), lambda pairs, bad: None),
            way.outlet,
            way.inlet(lambda _: None),
        )
        assert tuple(map(type, ends)) == kinds
        for end in ends:
            end.close()

    run(test())


@both_wires
@pytest.mark.parametrize("other", ["native", "libzmq"])
def test_either_end_of_a_stream_may_be_of_either_kind(
    directory: Path, kind: str, other: str
) -> None:
    async def test() -> None:
        got: list[list[bytes]] = []
        way, reader = Way(kind, directory), Way.__new__(Way)
        reader.__dict__ |= way.__dict__ | {"_settings": settings(other)}
        pump = Pump(lambda: None, Window(0))
        pump.add(reader.inlet(got.append))
        await way.send(b"first")
        large = [b"", b"x" * 300_000, b"y" * 255, b"z" * 256]
        for number in range(50):
            await way.send(b"%d" % number, *large)
        await until(lambda: len(got) == 51)
        assert got == [[b"first"], *([b"%d" % number, *large] for number in range(50))]
        pump.close()
        way.outlet.close()

    run(test())


def address_of(inlet: Inlet) -> str:
    if isinstance(inlet, inbox.Bus):
        return f"tcp://127.0.0.1:{inlet.port}"
    assert isinstance(inlet, links.Pairs)
    return str(inlet._sock.getsockopt_string(zmq.LAST_ENDPOINT))


class Taken:
    """What a bus handed over."""

    def __init__(self) -> None:
        self.pairs: list[bytes] = []
        self.bad = 0

    def __call__(self, pairs: list[bytes], bad: int) -> None:
        self.pairs += pairs
        self.bad += bad


def on_a_bus(
    kind: str, messages: list[list[bytes]], most_bytes: int = 1024, width_ms: float = 0
) -> Taken:
    """What a bus makes of these messages of a stock PUB."""
    taken = Taken()

    async def test() -> None:
        pump = Pump(lambda: None, Wide(width_ms))
        pump.add(inlet := wire.bus(settings(kind, most_bytes=most_bytes), taken))
        pub = connect(PUB, address_of(inlet), queue=0)
        await arrive(pub, taken)
        taken.bad = 0
        taken.pairs.clear()
        for message in messages:
            pub.send_multipart(message)
        await arrive(pub, taken)
        pump.close()
        pub.close()

    run(test())
    while taken.pairs[-2:] == [b"FENCE_LTP", b"{}"]:
        del taken.pairs[-2:]
    return taken


async def arrive(pub: zmq.Socket[bytes], taken: Taken) -> None:
    """Wait until what is published arrives, and nothing is under way any more."""
    sent = 0

    def arrived() -> bool:
        nonlocal sent
        pub.send_multipart([b"FENCE_LTP", b"{}"])
        sent += 1
        return b"FENCE_LTP" in taken.pairs

    await until(arrived)
    pub.send_multipart([b"LAST_LTP", b"{}"])
    await until(lambda: b"LAST_LTP" in taken.pairs)
    at = taken.pairs.index(b"LAST_LTP")
    del taken.pairs[at : at + 2]


@both_wires
@pytest.mark.parametrize("width_ms", [0, 2])
def test_pairs_come_as_they_were_sent_in_any_number(kind: str, width_ms: float) -> None:
    messages = [[b"NSE_%d_LTP" % number, b"{%d}" % number] for number in range(5000)]
    taken = on_a_bus(kind, messages, width_ms=width_ms)
    assert taken.pairs == [part for pair in messages for part in pair]
    assert taken.bad == 0


@both_wires
@pytest.mark.parametrize(
    "wrong",
    [
        [b"NSE_A_LTP"],
        [b"NSE_A_LTP", b"{}", b"x"],
        [b"NSE_A_LTP", b"{}", b"{}", b"{}"],
        [b"NSE_A_LTP", b"{" + b"x" * 1024],
    ],
)
def test_malformed_messages_between_pairs_are_counted_and_cost_no_pair(
    kind: str, wrong: list[bytes]
) -> None:
    good = [b"NSE_B_LTP", b"{}"]
    taken = on_a_bus(kind, [good, wrong, good, wrong, good])
    assert taken.pairs == good * 3
    assert taken.bad == 2


@both_wires
def test_a_topic_of_any_length_and_json_of_the_largest_size_are_taken(kind: str) -> None:
    messages = [
        [b"", b""],
        [b"NSE_" + b"x" * 251, b"a"],
        [b"NSE_" + b"x" * 252, b"b"],
        [b"NSE_" + b"x" * 900, b"y" * 1024],
        [b"NSE_A_LTP", b"z" * 1024],
    ]
    taken = on_a_bus(kind, messages)
    assert taken.pairs == [part for pair in messages for part in pair]
    assert taken.bad == 0


@both_wires
def test_whoever_sends_far_too_much_is_cut_off_and_may_come_back(kind: str) -> None:
    """The others notice nothing."""
    taken = Taken()

    async def test() -> None:
        pump = Pump(lambda: None, Window(0))
        pump.add(inlet := wire.bus(settings(kind, most_bytes=1024), taken))
        pub, other = connect(PUB, address_of(inlet)), connect(PUB, address_of(inlet))
        await arrive(pub, taken)
        await arrive(other, taken)
        pub.send_multipart([b"NSE_BIG_LTP", b"x" * (4 * 1024 + 1)])
        for number in range(100):
            other.send_multipart([b"NSE_OTHER_LTP", b"%d" % number])
        pub.send_multipart([b"NSE_BIG_LTP", b"lost, or not"])

        def back() -> bool:
            pub.send_multipart([b"BACK_LTP", b"{}"])
            return b"BACK_LTP" in taken.pairs

        await until(back)
        await until(lambda: b"99" in taken.pairs)
        pump.close()
        pub.close()
        other.close()
        assert b"x" * (4 * 1024 + 1) not in taken.pairs

    run(test())


@both_wires
def test_an_address_that_is_taken_is_a_start_error_that_says_who_and_where(
    directory: Path, kind: str
) -> None:
    async def test() -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            sock.listen()
            port = sock.getsockname()[1]
            with pytest.raises(StartError) as caught:
                wire.bus(with_port(kind, port), lambda pairs, bad: None)
        text = f"the bus cannot listen on tcp://127.0.0.1:{port}: Address already in use"
        assert str(caught.value).startswith(text)
        with pytest.raises(StartError, match=r"the router cannot listen on .*ticks-0: No such"):
            Way(kind, directory / "gone")

    run(test())


@both_wires
@pytest.mark.parametrize("host", ["127.0.0.1", "*", "0.0.0.0", "localhost"])
def test_the_bus_is_where_the_settings_say(kind: str, host: str) -> None:
    async def test() -> None:
        taken = Taken()
        pump = Pump(lambda: None, Window(0))
        pump.add(inlet := wire.bus(with_port(kind, 0, host), taken))
        port = address_of(inlet).rpartition(":")[2]
        pub = connect(PUB, f"tcp://127.0.0.1:{port}")
        await arrive(pub, taken)
        pump.close()
        pub.close()

    run(test())


@both_wires
def test_a_host_that_is_none_is_a_start_error(kind: str) -> None:
    async def test() -> None:
        with pytest.raises(StartError, match=r"the bus cannot listen on tcp://no\.such"):
            wire.bus(with_port(kind, 0, "no.such.host.invalid"), lambda pairs, bad: None)

    run(test())


@both_wires
def test_what_an_earlier_process_left_there_gives_way(directory: Path, kind: str) -> None:
    """One that was killed removes no sockets."""

    async def test() -> None:
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(directory / "ticks-0"))
        way = Way(kind, directory)
        pull = connect(links.PULL, links.ipc(directory, "ticks-0"))
        await way.send(b"hello")
        assert await receive(pull) == [b"hello"]
        pull.close()
        way.outlet.close()

    run(test())


@both_wires
def test_what_was_sent_before_a_stream_was_closed_still_arrives(directory: Path, kind: str) -> None:
    """The last ticks of a drain are sent and the socket closed in one breath."""

    async def test() -> None:
        way = Way(kind, directory)
        pull = connect(links.PULL, links.ipc(directory, "ticks-0"), queue=1000)
        await way.send(b"first")
        sent = [b"%d" % number * 50_000 for number in range(50)]  # more than any buffer on the way
        way.send_now(sent)
        way.outlet.close()
        assert [await receive(pull) for _ in range(51)] == [[b"first"], *([one] for one in sent)]
        pull.close()

    run(test())


@both_wires
@pytest.mark.parametrize("first", ["router", "shard"])
def test_a_stream_begins_whoever_is_there_first_and_again_when_one_comes_back(
    directory: Path, kind: str, first: str
) -> None:
    async def test() -> None:
        got: list[bytes] = []
        other = Way(kind, directory)
        if first == "shard":
            other.outlet.close()
        pump = Pump(lambda: None, Window(0))
        pump.add(other.inlet(got.extend))
        if first == "shard":
            await asyncio.sleep(0.1)
            other = Way(kind, directory)
        await other.send(b"once")
        await until(lambda: got == [b"once"])
        other.outlet.close()  # the router is started anew
        other = Way(kind, directory)
        await other.send(b"twice")
        await until(lambda: got == [b"once", b"twice"])
        pump.close()  # and so is the shard
        pump = Pump(lambda: None, Window(0))
        pump.add(other.inlet(got.extend))
        await until(lambda: sending(other, got))
        pump.close()
        other.outlet.close()

    def sending(way: Way, got: list[bytes]) -> bool:
        way.outlet.send([b"thrice"])
        return got[-1] == b"thrice"

    run(test())


def with_port(kind: str, port: int, host: str = "127.0.0.1") -> Settings:
    one = settings(kind)
    return Settings(bus=type(one.bus)(host=host, port=port), flow=one.flow)
