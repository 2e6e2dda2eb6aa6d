"""The router in this process, with real sockets around it: what goes where, and in which order."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import zmq

from hub.core import codec, stream, topics
from hub.core.codec import Message
from hub.core.model import Offer, Result, Want
from hub.core.names import CONTROL, INGEST, pipe_name
from hub.core.orders import LOST
from hub.core.placement import home
from hub.core.roster import Roster
from hub.core.settings import Bus, Flow, Hub, Settings
from hub.router import Router
from hub.runtime.links import PUB, PULL, PUSH, connect, ipc
from hub.runtime.pipe import Outlet, Pipe

KEY = b"NSE_A"
HOME = home(KEY, 2)
AWAY = 1 - HOME


@pytest.fixture
def directory() -> Iterator[Path]:
    """A runtime directory with a short name."""
    path = Path(tempfile.mkdtemp(prefix="hub-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


async def until(met: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not met():  # noqa: ASYNC110  # what is met has no event: it is in a socket
            await asyncio.sleep(0.005)


class Full:
    """An outlet that has no room."""

    fd = -1

    def __init__(self) -> None:
        self.turned: Callable[[], None] = lambda: None

    def unsent(self, rest: bytes) -> None:
        """Nobody writes past it."""

    def send(self, parts: Sequence[bytes]) -> bool:
        del parts
        return False

    def close(self) -> None:
        """Nothing is open."""


def turn(pipe: Pipe, outlet: Outlet) -> Outlet:
    """Let a pipe lead elsewhere; where it led before."""
    before, pipe._outlet = pipe._outlet, outlet
    pipe._aim()
    return before


class Peer:
    """A process at the router: its control link, and for a shard its pipe."""

    def __init__(self, hub: Hub_, name: str, epoch: int = 1) -> None:
        self.name, self.lease, self.token = name, 0, b""
        self.heard: list[Message] = []
        self.stream: list[list[bytes]] = []
        self.control = connect(zmq.DEALER, ipc(hub.directory, CONTROL), identity=name)
        self.pipe: zmq.Socket[bytes] | None = None
        if name.startswith("shard-"):
            self.pipe = connect(PULL, ipc(hub.directory, pipe_name(int(name[6:]))))
        self.send(t="hello", version=stream.VERSION, epoch=epoch, pid=1, offer=Offer("", ("sim",)))

    def send(self, **message: Any) -> None:
        self.control.send(codec.encode({"lease": self.lease} | message))

    def interest(
        self, *wants: Want, feed: str = "sim", replace: bool = False, number: int = 1
    ) -> None:
        self.send(t="interest", feed=feed, wants=list(wants), replace=replace, number=number)

    def read(self) -> None:
        while self.control.poll(0):
            message = codec.decode(self.control.recv())
            self.heard.append(message)
            if message["t"] == "welcome":
                self.lease, self.token = message["lease"], message["stream"]
        while self.pipe is not None and self.pipe.poll(0):
            kind, *rest = self.pipe.recv_multipart()
            assert kind[1:] == self.token
            self.stream.append([kind[:1], *rest])

    def of(self, kind: str) -> list[Message]:
        self.read()
        return [message for message in self.heard if message["t"] == kind]

    def parts(self, *kinds: bytes) -> list[list[bytes]]:
        self.read()
        return [parts for parts in self.stream if parts[0] in kinds]

    def ticks(self, *kinds: bytes) -> list[bytes]:
        """The payloads of all ticks that came as one of these kinds."""
        return [payload for topic, payload in self.pairs(*kinds) if topic != topics.SAMPLE]

    def pairs(self, *kinds: bytes) -> list[tuple[bytes, bytes]]:
        """Topic and payload of all that came as one of these kinds."""
        found = []
        for _, *batches in self.parts(*(kinds or (stream.TICKS,))):
            for batch in batches:
                pairs = codec.unpack(batch)
                found += [*zip(pairs[::2], pairs[1::2], strict=True)]
        return found

    def close(self) -> None:
        for sock in (self.control, self.pipe):
            if sock is not None:
                sock.close(linger=0)


class Hub_:  # noqa: N801  # `Hub` is the section of the settings
    """A router and whoever is connected to it."""

    def __init__(self, directory: Path, **flow: float) -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        self.directory = directory
        self.router = Router(
            "router",
            Settings(
                hub=Hub(runtime_dir=str(directory), shards=2, feeds=["sim", "bus"]),
                bus=Bus(port=port, max_message_bytes=2000),
                flow=Flow(**({"home_ms": 10.0} | flow)),  # type: ignore[arg-type]  # all floats
            ),
        )
        self.peers: list[Peer] = []
        self.pub = connect(PUB, f"tcp://127.0.0.1:{port}")
        self.ingest = connect(PUSH, ipc(directory, INGEST))

    async def peer(self, name: str, epoch: int = 1) -> Peer:
        """Somebody who has been welcomed."""
        peer = Peer(self, name, epoch)
        self.peers.append(peer)
        await until(lambda: peer.of("welcome"))
        if name.startswith("shard-"):  # its stream begins when it has spoken in its stay
            peer.interest(feed="", replace=True)
            await until(lambda: self.router._pipes[int(name[6:])].open)
            peer.heard.clear()
        return peer

    async def shards(self) -> list[Peer]:
        return [await self.peer("shard-0"), await self.peer("shard-1")]

    async def bus(self) -> None:
        """Publish until the router hears it: a PUB socket connects when it likes."""
        while not self.router._counts["ignored"]:
            self.pub.send_multipart([b"x_positions", b"{}"])
            await asyncio.sleep(0.005)

    def publish(self, topic: bytes, payload: bytes = b"{}") -> None:
        self.pub.send_multipart([topic, payload])

    def feed(self, *pairs: bytes) -> None:
        self.ingest.send(codec.pack(pairs))

    async def done(self) -> None:
        """Wait until the router has read everything that was put into its ingest before."""
        before = self.router._figures()["in"]
        self.feed(b"NSE_END_LTP", b"{}")
        await until(lambda: self.router._figures()["in"] > before)


@pytest.fixture
def run(directory: Path) -> Callable[[Callable[[Hub_], Coroutine[Any, Any, None]]], None]:
    """Runs a test with a hub; an error in a callback fails it."""

    def run(test: Callable[[Hub_], Coroutine[Any, Any, None]]) -> None:
        errors: list[dict[str, Any]] = []

        async def main() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, error: errors.append(error))
            hub = Hub_(directory)
            await hub.router.start()
            try:
                await asyncio.wait_for(test(hub), 30)
            finally:
                await hub.router.drain()
                for peer in hub.peers:
                    peer.close()
                hub.pub.close(linger=0)
                hub.ingest.close(linger=0)

        asyncio.run(main())
        assert errors == []

    return run


Run = Callable[[Callable[[Hub_], Coroutine[Any, Any, None]]], None]


async def kept_away(hub: Hub_, shards: list[Peer]) -> None:
    """The shard away from home has the only leg of the key, and keeps it."""
    shards[AWAY].interest(Want(KEY, 1))
    await until(lambda: shards[HOME].parts(stream.QUERY))
    answer(hub, shards[HOME])
    await until(lambda: shards[HOME].parts(stream.CLOSED))
    await until(lambda: shards[AWAY].parts(stream.VALUES))
    for shard in shards:
        shard.stream.clear()


def answer(hub: Hub_, keeper: Peer, batch: bytes = codec.pack([]), stay: bytes = b"") -> None:
    """A keeper answers the newest question."""
    query = codec.decode(keeper.parts(stream.QUERY)[-1][1])
    question = str(query["question"]).encode()
    hub.ingest.send_multipart([stream.VALUES, stay or query["stay"], question, batch])


def test_a_tick_goes_to_who_wants_it_and_to_nobody_else(run: Run) -> None:
    async def test(hub: Hub_) -> None:
        shards = await hub.shards()
        await kept_away(hub, shards)
        hub.feed(KEY + b"_LTP", b'{"n": 1}', KEY + b"_QUOTE", b'{"n": 2}')
        await until(lambda: len(shards[AWAY].ticks()) == 2)
        await hub.done()
        await asyncio.sleep(0.03)  # the slow way takes 10 ms
        assert shards[AWAY].ticks() == [b'{"n": 1}', b'{"n": 2}']
        assert not {b'{"n": 1}', b'{"n": 2}'} & {*shards[HOME].ticks(stream.TICKS, stream.KEEP)}

    run(test)


def test_an_heir_is_sent_what_comes_while_the_keeper_is_asked_behind_all_that_came(
    run: Run,
) -> None:
    async def test(hub: Hub_) -> None:
        shards = await hub.shards()
        await kept_away(hub, shards)
        hub.feed(KEY + b"_LTP", b'{"n":"before"}')
        await hub.done()
        shards[AWAY].interest(Want(KEY, 0))
        await until(lambda: shards[AWAY].parts(stream.QUERY))
        hub.feed(KEY + b"_LTP", b'{"n":"while"}')
        for shard in shards:
            await until(lambda shard=shard: b'{"n":"while"}' in shard.ticks(stream.KEEP))  # type: ignore[misc]
        hub.feed(KEY + b"_LTP", b'{"n":"pending"}')
        answer(hub, shards[AWAY])
        await until(lambda: shards[AWAY].parts(stream.CLOSED))
        hub.feed(KEY + b"_LTP", b'{"n":"after"}')
        await until(lambda: b'{"n":"after"}' in shards[HOME].ticks(stream.KEEP))
        mine = [found for found in shards[AWAY].stream if b"END" not in found[1]]
        assert [parts[0] for parts in mine] == [
            stream.TICKS, stream.QUERY, stream.KEEP, stream.KEEP, stream.CLOSED,
        ]  # fmt: skip
        assert shards[AWAY].ticks(stream.KEEP) == [b'{"n":"while"}', b'{"n":"pending"}']
        its = [found for found in shards[HOME].stream if b"END" not in found[1]]
        assert [parts[0] for parts in its] == [
            stream.OPENED, stream.KEEP, stream.KEEP, stream.VALUES, stream.KEEP,
        ]  # fmt: skip

    run(test)


def test_bus_and_ingest_are_routed_alike_and_what_is_no_json_object_goes_nowhere(run: Run) -> None:
    async def test(hub: Hub_) -> None:
        shards = await hub.shards()
        await hub.bus()
        shards[HOME].interest(Want(KEY, 1), feed="bus")
        await until(lambda: shards[HOME].parts(stream.OPENED))
        assert hub.router._counts["ignored"] == hub.router._figures()["in"], "each counts once"
        hub.publish(KEY + b"_LTP", b"not json")
        hub.publish(KEY + b"_LTP", b'{"ltp": NaN}')
        await until(lambda: shards[HOME].ticks() == [b'{"ltp": null}'])
        hub.feed(KEY + b"_LTP", b"[1]")
        hub.feed(KEY + b"_LTP", b'{"ltp": 2}')
        await until(lambda: shards[HOME].ticks() == [b'{"ltp": null}', b'{"ltp": 2}'])
        assert hub.router._counts["malformed"] == 2

    run(test)


def test_each_kind_of_bus_message_goes_its_way(run: Run) -> None:
    async def test(hub: Hub_) -> None:
        shards = await hub.shards()
        await hub.bus()
        shards[0].interest(Want(b"@orders:alice", 1), feed="")
        await until(lambda: shards[0].parts(stream.FOLLOWED))
        order = json.dumps({"user_id": "alice", "n": 1}).encode()
        ignored = hub.router._counts["ignored"]
        for topic in (b"zerodha_alice_positions", b"zerodha_alice_margins"):
            hub.publish(topic)
        hub.publish(b"zerodha_alice_orders", order)
        hub.publish(b"zerodha_bob_orders", order.replace(b"alice", b"bob"))
        hub.publish(b"CACHE_INVALIDATE_ALL_alice", b'{"who": "alice"}')
        await until(lambda: all(shard.parts(stream.INVALIDATE) for shard in shards))
        assert hub.router._counts["ignored"] - ignored == 2
        (account,) = shards[0].parts(stream.ACCOUNT)
        assert codec.unpack(account[1]) == [b"@orders:alice", order]
        assert shards[1].parts(stream.ACCOUNT) == []
        assert shards[1].parts(stream.INVALIDATE) == [[stream.INVALIDATE, b'{"who": "alice"}']]

    run(test)


def accounts(peer: Peer) -> list[bytes]:
    """Key and payload of all account events that a shard was sent."""
    return [part for _, batch in peer.parts(stream.ACCOUNT) for part in codec.unpack(batch)]


async def follow(peer: Peer, *keys: bytes) -> None:
    peer.interest(*(Want(key, 1) for key in keys), feed="", replace=True)
    await until(lambda: peer.parts(stream.FOLLOWED))


def test_who_follows_everybody_gets_all_account_events_in_order_and_is_waited_for(
    run: Run,
) -> None:
    async def test(hub: Hub_) -> None:
        (shard, uplink) = await hub.shards()
        await hub.bus()
        await follow(shard, b"@orders:alice")
        await follow(uplink, topics.ALL_ORDERS)
        hub.router._orders._keeping = False  # its first seconds are over
        alice, bob, invalidate = (b'{"user_id":"%s"}' % name for name in (b"alice", b"bob", b"eve"))
        hub.publish(b"x_alice_orders", alice)
        hub.publish(b"CACHE_INVALIDATE_ALL_eve", invalidate)
        hub.publish(b"x_bob_orders", bob)
        both = [b"@orders:alice", alice, topics.INVALIDATED, invalidate, b"@orders:bob", bob]
        await until(lambda: len(accounts(uplink)) == 6)
        assert accounts(uplink) == both
        assert uplink.parts(stream.INVALIDATE) == [], "not twice"
        assert accounts(shard) == [b"@orders:alice", alice]
        uplink.send(t="bye")
        await until(lambda: "shard-1" not in hub.router._roster)
        hub.publish(b"x_bob_orders", bob)
        hub.publish(b"CACHE_INVALIDATE_ALL_eve", invalidate)
        await until(lambda: hub.router._counts["invalidations"] == 2)
        uplink.close()
        hub.peers[1] = again = Peer(hub, "shard-1", epoch=2)
        await until(lambda: again.of("welcome"))
        await follow(again, topics.ALL_ORDERS)
        await until(lambda: accounts(again))
        assert accounts(again) == [b"@orders:bob", bob, topics.INVALIDATED, invalidate]
        assert hub.router._orders.unclaimed == 0

    run(test)


def test_account_events_of_other_machines_go_to_who_follows_them_here_and_no_further(
    run: Run,
) -> None:
    async def test(hub: Hub_) -> None:
        (shard, uplink) = await hub.shards()
        await follow(shard, b"@orders:alice", b"@orders:bob")
        await follow(uplink, topics.ALL_ORDERS)
        hub.router._orders._keeping = False

        def hand(*pairs: bytes) -> None:
            hub.ingest.send_multipart([stream.ACCOUNT, codec.pack(pairs)])

        hand(b"@orders:alice", b"1", b"@orders:carol", b"2", b"@orders:alice", b"3")
        hand(b"NSE_A_LTP", b"{}")
        hand(topics.ALL_ORDERS, b"4")
        hand(b"@orders:alice")
        hand(topics.ALL_ORDERS, LOST)
        told = [b"@orders:alice", b"1", b"@orders:alice", b"3"]
        told += [b"@orders:alice", LOST, b"@orders:bob", LOST]
        await until(lambda: len(accounts(shard)) == 8)
        assert accounts(shard) == told
        assert accounts(uplink) == []
        assert hub.router._orders.unclaimed == 0
        assert hub.router._counts["malformed"] == 3

    run(test)


def test_who_tells_of_changed_credentials_hears_nothing_of_it_and_all_others_do(run: Run) -> None:
    async def test(hub: Hub_) -> None:
        shards = await hub.shards()
        feeds = [await hub.peer(name) for name in ("feed-sim", "feed-bus")]
        payload = b'{"user_id":"alice","cache_type":"AUTH"}'
        told = {"t": "invalidate", "user": "alice", "kind": "AUTH"}
        feeds[0].send(t="invalidate", payload="no bytes")
        feeds[0].send(t="invalidate", payload=payload)
        await until(lambda: all(shard.parts(stream.INVALIDATE) for shard in shards))
        await until(lambda: feeds[1].of("invalidate"))
        assert shards[0].parts(stream.INVALIDATE) == [[stream.INVALIDATE, payload]]
        await follow(shards[1], topics.ALL_ORDERS)
        shards[1].send(t="invalidate", payload=payload)
        await until(lambda: len(feeds[1].of("invalidate")) == 2)
        await until(lambda: len(shards[0].parts(stream.INVALIDATE)) == 2)
        assert feeds[0].of("invalidate") == [told], "the other's"
        assert feeds[1].of("invalidate") == [told, told]
        assert len(shards[1].parts(stream.INVALIDATE, stream.ACCOUNT)) == 1
        feeds[0].send(t="invalidate", payload=LOST)  # somebody's were lost on the way
        await until(lambda: len(shards[0].parts(stream.INVALIDATE)) == 3)
        assert hub.router._counts["invalidations"] == 3
        assert hub.router._counts["malformed"] == 0
        assert hub.router._orders.missed(1, [topics.ALL_ORDERS]) == [], "nor is it kept for it"

    run(test)


def test_what_is_malformed_on_the_bus_is_counted_and_never_forwarded(run: Run) -> None:
    async def test(hub: Hub_) -> None:
        shards = await hub.shards()
        await hub.bus()
        wrong = [
            [b"no topic", b"{}"],
            [b"NSE_\xff_LTP", b"{}"],
            [b"@orders:alice_LTP", b"{}"],
            [b"NSE_A_LTP", b"{}", b"third"],
            [b"NSE_A_LTP", b"{" + b"x" * 2000],
            [b"a_b_orders", b"{}"],
            [b"a_b_orders", b'{"user_id": 5}'],
            [b"a_b_orders", b"[" * 1_900],
            [b"a_b_orders", b"\xff"],
        ]
        for message in wrong:
            hub.pub.send_multipart(message)
        hub.publish(KEY + b"_LTP", b'{"n":"good"}')
        await until(lambda: shards[HOME].ticks(stream.KEEP) == [b'{"n":"good"}'])
        assert hub.router._counts["malformed"] == len(wrong)
        assert all(not shard.parts(stream.TICKS, stream.ACCOUNT) for shard in shards)

    run(test)


def test_what_is_malformed_in_the_ingest_is_counted_and_stops_nothing(run: Run) -> None:
    async def test(hub: Hub_) -> None:
        shards = await hub.shards()
        for message in (
            [b"junk"],
            [codec.pack([b"odd"])],
            [b"?", b"stay", b"0", b"x"],
            [b"v", b"9"],
            [b"v", b"stay", b"x", b""],
            [codec.pack([b"no topic", b"{}"])],
        ):
            hub.ingest.send_multipart(message)
        hub.feed(KEY + b"_LTP", b'{"n":"good"}')
        await until(lambda: shards[HOME].ticks(stream.KEEP) == [b'{"n":"good"}'])
        assert hub.router._counts["malformed"] == 6

    run(test)


def test_a_new_leg_voids_what_was_known_and_asks_the_keeper_in_the_order_of_the_ticks(
    run: Run,
) -> None:
    async def test(hub: Hub_) -> None:
        shards = await hub.shards()
        hub.feed(KEY + b"_LTP", b'{"n":"before"}')
        await hub.done()
        shards[AWAY].interest(Want(KEY, 1))
        await until(lambda: shards[HOME].parts(stream.QUERY))
        hub.feed(KEY + b"_LTP", b'{"n":"after"}')
        await until(lambda: b'{"n":"after"}' in shards[HOME].ticks(stream.KEEP))
        kinds = [parts[0] for parts in shards[HOME].stream]
        assert kinds.index(stream.KEEP) < kinds.index(stream.QUERY)
        assert b'{"n":"before"}' in codec.unpack(shards[HOME].stream[kinds.index(stream.KEEP)][1])
        query = codec.decode(shards[HOME].parts(stream.QUERY)[0][1])
        assert (query["stay"], query["live"], query["other"]) == (shards[AWAY].token, [], [KEY])
        await until(lambda: shards[AWAY].ticks() == [b'{"n":"after"}'])
        opened, ticks = shards[AWAY].stream
        assert opened[0] == stream.OPENED
        assert codec.decode(opened[1])["keys"] == [KEY]
        assert ticks[0] == stream.TICKS

    run(test)


def test_a_key_that_is_live_already_is_asked_for_as_live(run: Run) -> None:
    async def test(hub: Hub_) -> None:
        shards = await hub.shards()
        await hub.peer("feed-sim")
        shards[HOME].interest(Want(KEY, 1))
        await until(lambda: shards[HOME].parts(stream.QUERY))
        shards[AWAY].interest(Want(KEY, 1))
        await until(lambda: len(shards[HOME].parts(stream.QUERY)) == 2)
        query = codec.decode(shards[HOME].parts(stream.QUERY)[1][1])
        assert (query["live"], query["other"]) == ([KEY], [])

    run(test)


def test_a_keepers_values_reach_the_shard_that_asked_behind_earlier_ticks(run: Run) -> None:
    async def test(hub: Hub_) -> None:
        shards = await hub.shards()
        shards[AWAY].interest(Want(KEY, 1))
        await until(lambda: shards[AWAY].parts(stream.OPENED))
        hub.feed(KEY + b"_LTP", b'{"n":1}')
        await until(lambda: shards[HOME].parts(stream.QUERY))
        answer(hub, shards[HOME], b"void", stay=b"another stay")
        answer(hub, shards[HOME], b"batch")
        await until(lambda: shards[AWAY].parts(stream.VALUES))
        opened, ticks, values = shards[AWAY].stream
        assert (ticks[0], values[:2]) == (stream.TICKS, [stream.VALUES, b"batch"])
        question = codec.decode(opened[1])["question"]
        assert codec.decode(values[2]) == {"t": "values", "keys": [KEY], "question": question}

    run(test)


def test_wants_go_to_their_feed_and_results_come_back(run: Run) -> None:
    async def test(hub: Hub_) -> None:
        shards = await hub.shards()
        feed = await hub.peer("feed-sim")
        shards[1].interest(Want(KEY, 3, 20, "NSE", "A"))
        await until(lambda: feed.of("interest"))
        (told,) = feed.of("interest")
        assert (told["shard"], codec.wants(told)) == (1, [Want(KEY, 3, 20, "NSE", "A")])
        feed.send(t="results", to="shard-1", feed="sim", results=[Result(KEY, 3)])
        await until(lambda: shards[1].of("results"))
        (answer,) = shards[1].of("results")
        assert (answer["from"], codec.results(answer)) == ("feed-sim", [Result(KEY, 3)])
        assert shards[0].of("results") == []

    run(test)


def test_a_feed_that_comes_up_is_told_all_that_is_wanted_of_it(run: Run) -> None:
    async def test(hub: Hub_) -> None:
        shards = await hub.shards()
        shards[0].interest(Want(KEY, 1))
        shards[1].interest(Want(b"NSE_B", 2))
        shards[1].interest(Want(b"NSE_C", 4), feed="bus")
        await until(lambda: all(shard.parts(stream.OPENED) for shard in shards))
        await until(lambda: len(shards[1].parts(stream.OPENED)) == 2)
        feed = await hub.peer("feed-sim")
        await until(lambda: len(feed.of("interest")) == 2)
        told = {message["shard"]: codec.wants(message) for message in feed.of("interest")}
        assert told == {0: [Want(KEY, 1)], 1: [Want(b"NSE_B", 2)]}
        assert all(message["replace"] for message in feed.of("interest"))

    run(test)


def test_values_are_forgotten_when_the_feed_releases_and_when_it_is_gone(run: Run) -> None:
    async def test(hub: Hub_) -> None:
        shards = await hub.shards()
        feed = await hub.peer("feed-sim")
        shards[0].interest(Want(KEY, 1), Want(b"NSE_B", 1))
        await until(lambda: feed.of("interest"))
        feed.send(t="released", keys=[KEY, b"NSE_UNKNOWN"])
        await until(lambda: all(shard.parts(stream.FORGET) for shard in shards))
        feed.send(t="bye")
        await until(lambda: all(len(shard.parts(stream.FORGET)) == 2 for shard in shards))
        for shard in shards:
            forgotten = [codec.decode(parts[1])["keys"] for parts in shard.parts(stream.FORGET)]
            assert forgotten == [[KEY], [b"NSE_B"]]
        await until(lambda: [pulse["feeds"] for pulse in shards[0].of("pulse")][-1] == [])

    run(test)


def test_a_shard_that_is_gone_wants_nothing_and_the_feed_is_told(run: Run) -> None:
    async def test(hub: Hub_) -> None:
        shards = await hub.shards()
        feed = await hub.peer("feed-sim")
        shards[AWAY].interest(Want(KEY, 1))
        await until(lambda: feed.of("interest"))
        shards[AWAY].send(t="bye")
        await until(lambda: len(feed.of("interest")) == 2)
        last = feed.of("interest")[-1]
        assert (last["shard"], last["wants"], last["replace"]) == (AWAY, [], True)
        hub.feed(KEY + b"_LTP", b"{}")
        await until(lambda: shards[HOME].ticks(stream.KEEP))
        assert shards[AWAY].ticks() == []
        assert len(hub.router._legs.interest) == 0

    run(test)


def test_a_shard_with_a_new_epoch_begins_afresh(run: Run) -> None:
    async def test(hub: Hub_) -> None:
        shards = await hub.shards()
        shards[0].interest(Want(KEY, 1))
        await until(lambda: shards[0].parts(stream.OPENED))
        old = shards[0].lease
        shards[0].close()
        hub.peers.remove(shards[0])
        again = await hub.peer("shard-0", epoch=2)
        assert again.lease != old
        assert len(hub.router._legs.interest) == 0
        again.interest(Want(KEY, 1))
        await until(lambda: again.parts(stream.OPENED))

    run(test)


def test_a_goodbye_from_an_earlier_stay_ends_no_later_one(run: Run) -> None:
    """A process that leaves slowly may say it when another has its name already."""

    async def test(hub: Hub_) -> None:
        (shard, _) = await hub.shards()
        shard.send(t="bye", lease=999)
        await until(lambda: shard.of("who"))
        assert "shard-0" in hub.router._roster
        shard.send(t="bye")
        await until(lambda: "shard-0" not in hub.router._roster)

    run(test)


def test_shards_hear_that_a_feed_is_gone_before_another_is_there_under_its_name(run: Run) -> None:
    """A feed that is killed and quickly started again has confirmed nothing yet."""

    async def test(hub: Hub_) -> None:
        shards = await hub.shards()
        old = await hub.peer("feed-sim")
        await until(lambda: all(shard.of("pulse") for shard in shards))
        for shard in shards:
            shard.heard.clear()
        old.close()
        hub.peers.remove(old)
        await hub.peer("feed-sim", epoch=2)
        await until(lambda: all(len(shard.of("pulse")) == 2 for shard in shards))
        for shard in shards:
            assert [len(pulse["feeds"]) for pulse in shard.of("pulse")] == [0, 1]

    run(test)


def test_who_carries_no_lease_is_asked_who_he_is_and_changes_nothing(run: Run) -> None:
    async def test(hub: Hub_) -> None:
        (shard, _) = await hub.shards()
        lease, shard.lease = shard.lease, 999
        shard.interest(Want(KEY, 1))
        await until(lambda: shard.of("who"))
        assert len(hub.router._legs.interest) == 0
        shard.lease = lease
        shard.send(t="beat", pid=1, figures={})
        await until(lambda: any("feeds" in pulse for pulse in shard.of("pulse")))

    run(test)


def test_a_beat_is_answered_and_passed_on_to_the_monitor(run: Run) -> None:
    async def test(hub: Hub_) -> None:
        monitor, (shard, _) = await hub.peer("monitor"), await hub.shards()
        shard.send(t="beat", pid=7, figures={"clients": 3})
        await until(lambda: any(beat["from"] == "shard-0" for beat in monitor.of("beat")))
        (beat,) = [beat for beat in monitor.of("beat") if beat["from"] == "shard-0"]
        assert (beat["pid"], beat["figures"]) == (7, {"clients": 3})
        await until(lambda: any(beat["from"] == "router" for beat in monitor.of("beat")))

    run(test)


def test_the_command_line_needs_no_lease_and_hears_who_is_absent(run: Run) -> None:
    async def test(hub: Hub_) -> None:
        await hub.shards()
        cli = Peer(hub, "cli-1")
        hub.peers.append(cli)
        cli.send(t="status", to="router")
        await until(lambda: cli.of("status"))
        assert {"shard-0", "shard-1"} <= set(cli.of("status")[0]["peers"])
        cli.send(t="usage", to="monitor")
        await until(lambda: cli.of("absent"))
        assert cli.of("absent")[0]["who"] == "monitor"

    run(test)


def test_the_command_line_can_ask_but_not_speak_as_a_process_would(run: Run) -> None:
    """A beat of its own would have blinded the monitor, a released the feeds."""

    async def test(hub: Hub_) -> None:
        monitor, (shard, _) = await hub.peer("monitor"), await hub.shards()
        cli = Peer(hub, "cli-1")  # which says hello
        hub.peers.append(cli)
        said: list[Message] = [
            {"t": "beat", "pid": 7, "figures": {}},
            {"t": "beat", "to": "monitor", "pid": "seven"},
            {"t": "welcome", "to": "shard-0", "lease": 9},
        ]
        for message in said:
            cli.send(**message)
        await until(lambda: hub.router._switch.malformed == 1 + len(said))
        cli.send(**{"t": "usage", "to": "monitor", "from": "router"})
        await until(lambda: monitor.of("usage"))
        assert monitor.of("usage")[0]["from"] == "cli-1"
        assert not [beat for beat in monitor.of("beat") if beat["from"] == "cli-1"]
        assert not shard.of("welcome")
        assert "cli-1" not in hub.router._roster

    run(test)


def test_messages_of_another_form_or_from_a_shard_too_many_change_nothing(run: Run) -> None:
    async def test(hub: Hub_) -> None:
        (shard, _) = await hub.shards()
        for message in (
            {"t": "interest"},
            {"t": "interest", "feed": "sim", "wants": [[1]]},
            {"t": "released", "keys": 5},
            {"t": "nonsense"},
        ):
            shard.send(**message)
        extra = Peer(hub, "shard-2", epoch=1)
        hub.peers.append(extra)
        await until(lambda: hub.router._switch.malformed >= 4)
        shard.interest(Want(KEY, 1))
        await until(lambda: shard.parts(stream.OPENED))
        assert list(hub.router._legs.interest.legs(KEY)) == [0]

    run(test)


def test_a_shard_that_does_not_read_gets_the_newest_ticks_and_delays_no_other(run: Run) -> None:
    async def test(hub: Hub_) -> None:
        shards = await hub.shards()
        for shard in shards:
            shard.interest(Want(KEY, 1))
            await until(lambda shard=shard: shard.parts(stream.OPENED))  # type: ignore[misc]
        pipe = hub.router._pipes[AWAY]
        pipe.send_surely([stream.FORGET, b""])
        outlet = turn(pipe, Full())  # full from now on
        for number in range(3):
            hub.feed(KEY + b"_LTP", b'{"n":%d}' % number)
        await until(lambda: shards[HOME].ticks() == [b'{"n":%d}' % number for number in range(3)])
        assert pipe.conflated == 2
        assert hub.router._figures()["conflated"] == 2
        assert shards[AWAY].ticks() == []
        turn(pipe, outlet)
        await until(lambda: shards[AWAY].ticks() == [b'{"n":2}'])  # without another tick

    run(test)


# What must not be lost, nor change its order.


def test_order_updates_wait_for_a_shard_that_has_no_room(run: Run) -> None:
    """Ticks are dropped then, and counted; an order update is a trader's money."""

    async def test(hub: Hub_) -> None:
        (shard, _) = await hub.shards()
        await hub.bus()
        shard.interest(Want(b"@orders:alice", 1), feed="")
        await until(lambda: shard.parts(stream.FOLLOWED))
        pipe = hub.router._pipes[0]
        outlet = turn(pipe, Full())  # full from now on
        updates = [json.dumps({"user_id": "alice", "n": number}).encode() for number in range(5)]
        for update in updates:
            hub.publish(b"zerodha_alice_orders", update)
        await until(lambda: hub.router._counts["orders"] == 5)
        assert shard.parts(stream.ACCOUNT) == []
        turn(pipe, outlet)  # there is room again, and nothing more comes
        await until(lambda: len(shard.parts(stream.ACCOUNT)) == 5)
        assert [codec.unpack(parts[1])[1] for parts in shard.parts(stream.ACCOUNT)] == updates
        assert hub.router._figures()["orders_unclaimed"] == 0

    run(test)


def test_a_mark_comes_behind_all_that_waits_for_a_shard(run: Run) -> None:
    async def test(hub: Hub_) -> None:
        shards = await hub.shards()
        shard = shards[AWAY]
        shard.interest(Want(KEY, 1))
        await until(lambda: shard.parts(stream.OPENED))
        pipe = hub.router._pipes[AWAY]
        outlet = turn(pipe, Full())
        hub.feed(KEY + b"_LTP", b'{"n":1}')
        await until(lambda: pipe.waiting)
        shard.send(t="mark", pause=7)
        await until(lambda: len(pipe._kept) == 2)
        turn(pipe, outlet)
        await until(lambda: shard.parts(stream.MARK))
        assert shard.parts(stream.TICKS, stream.MARK)[-1] == [stream.MARK, b"7"]
        assert shard.ticks() == [b'{"n":1}']

    run(test)


def test_an_interest_in_order_updates_is_answered_where_they_begin(run: Run) -> None:
    """Said on another way it overtook those of an earlier interest, which a new client took for the
    first of its own: of what came in between some was missing."""

    async def test(hub: Hub_) -> None:
        (shard, _) = await hub.shards()
        await hub.bus()
        key = b"@orders:alice"
        legs = hub.router._legs.interest.legs
        for number, modes in enumerate((1, 0, 1), 1):
            shard.interest(Want(key, modes), feed="", number=number)
            await until(lambda modes=modes: bool(legs(key)) == bool(modes))  # type: ignore[misc]
            hub.pub.send_multipart([b"x_orders", b'{"user_id":"alice","n":%d}' % number])
            await until(lambda number=number: hub.router._counts["orders"] == number)  # type: ignore[misc]
        await until(lambda: len(shard.parts(stream.FOLLOWED, stream.ACCOUNT)) == 4)
        found = [
            codec.decode(parts[1])["number"]
            if parts[0] == stream.FOLLOWED
            else json.loads(codec.unpack(parts[1])[1])["n"]
            for parts in shard.parts(stream.FOLLOWED, stream.ACCOUNT)
        ]
        assert found == [1, 1, 3, 3]
        assert codec.decode(shard.parts(stream.FOLLOWED)[0][1])["keys"] == [key]

    run(test)


def test_order_updates_of_the_first_seconds_wait_for_shards_to_say_who_follows(run: Run) -> None:
    """A router that was killed knows of no legs yet: 17 of 305 updates were lost, uncounted."""

    async def test(hub: Hub_) -> None:
        await hub.bus()
        update = json.dumps({"user_id": "alice", "n": 1}).encode()
        hub.publish(b"zerodha_alice_orders", update)
        await until(lambda: hub.router._counts["orders"] == 1)
        (first, second) = await hub.shards()
        pipe = hub.router._pipes[0]
        outlet = turn(pipe, Full())  # it has no room just now
        legs = hub.router._legs.interest.legs
        for count, (shard, replace) in enumerate(((first, True), (second, False)), 1):
            shard.interest(Want(b"@orders:alice", 1), feed="", replace=replace)
            await until(lambda count=count: len(legs(b"@orders:alice")) == count)  # type: ignore[misc]
        turn(pipe, outlet)
        await until(lambda: first.parts(stream.ACCOUNT))
        assert codec.unpack(first.parts(stream.ACCOUNT)[0][1]) == [b"@orders:alice", update]
        assert second.parts(stream.ACCOUNT) == [], "who has just begun to follow missed nothing"

    run(test)


def test_order_updates_are_kept_for_a_shard_that_falls_silent_with_its_clients(run: Run) -> None:
    async def test(hub: Hub_) -> None:
        await hub.bus()
        (shard, _) = await hub.shards()
        shard.interest(Want(b"@orders:alice", 1), feed="")
        await until(lambda: shard.parts(stream.FOLLOWED))
        router = hub.router
        router._orders.tend(time.monotonic())
        router._orders._keeping = False  # its first seconds are over
        update = json.dumps({"user_id": "alice", "n": 1}).encode()
        router._pipes[0].send_surely([stream.ACCOUNT, codec.pack([b"@orders:alice", b"0"])])
        kept = codec.pack([b"@orders:alice", b"1", b"@orders:alice", b"2"])
        router._pipes[0]._kept.append([stream.ACCOUNT, kept])
        router._pipes[0]._kept.append([stream.FORGET, b""])
        router._roster.leave("shard-0")
        router._gone("shard-0", returns=True)
        hub.publish(b"zerodha_alice_orders", update)
        await until(lambda: router._counts["orders"] == 1)
        assert router._orders.unclaimed == 0
        shard.send(t="beat", figures={}, pid=1)
        await until(lambda: shard.of("who"))
        shard.stream.clear()
        shard.send(t="hello", version=stream.VERSION, epoch=1, pid=1)
        await until(lambda: len(shard.of("welcome")) > 0)
        shard.interest(Want(b"@orders:alice", 1), feed="", replace=True)
        await until(lambda: shard.parts(stream.ACCOUNT))
        missed = codec.unpack(shard.parts(stream.ACCOUNT)[0][1])
        told = (b"1", b"2", update)
        assert missed == [part for payload in told for part in (b"@orders:alice", payload)]

    run(test)


def test_a_shard_that_takes_nothing_counts_as_gone_until_it_says_hello_again(run: Run) -> None:
    """What must not be lost may not wait for it without end."""

    async def test(hub: Hub_) -> None:
        (shard, _) = await hub.shards()
        shard.interest(Want(KEY, 1))
        await until(lambda: shard.parts(stream.OPENED))
        pipe = hub.router._pipes[0]
        outlet = turn(pipe, Full())  # full from now on
        pipe.most_kept = 3
        for _ in range(4):
            hub.router._surely(0, [stream.FORGET, b""])
        await until(lambda: hub.router._counts["given_up"] == 1)
        assert "shard-0" not in hub.router._roster
        assert KEY not in hub.router._legs.interest
        assert not pipe.open
        turn(pipe, outlet)
        shard.send(t="beat", figures={}, pid=1)
        await until(lambda: shard.of("who"))

    run(test)


def test_the_first_word_of_a_shard_about_a_feed_replaces_what_the_feed_knows(run: Run) -> None:
    """That may be from an earlier life of the shard, which the router knows nothing of."""

    async def test(hub: Hub_) -> None:
        feed, (shard, _) = await hub.peer("feed-sim"), await hub.shards()
        feed.heard.clear()
        shard.interest(Want(KEY, 1))
        shard.interest(Want(b"NSE_B", 1), number=2)
        await until(lambda: len(feed.of("interest")) == 2)
        assert [message["replace"] for message in feed.of("interest")] == [True, False]

    run(test)


def test_ticks_keep_their_order_when_another_shard_goes(run: Run) -> None:
    """What is pending for two is sent before what comes then for one alone."""

    async def test(hub: Hub_) -> None:
        (stays, goes) = await hub.shards()
        stays.interest(Want(KEY, 1), Want(b"NSE_B", 1))
        goes.interest(Want(KEY, 1))
        await until(lambda: stays.parts(stream.OPENED) and goes.parts(stream.OPENED))
        routing, router = hub.router._routing, hub.router
        routing.offer([b"NSE_B_LTP", b"{}", KEY + b"_LTP", b'{"n":1}'])
        router._roster.leave("shard-1")
        router._gone("shard-1")
        routing.offer([KEY + b"_LTP", b'{"n":2}'])
        router._flush()
        await until(lambda: len(stays.ticks()) == 3)
        assert stays.ticks() == [b"{}", b'{"n":1}', b'{"n":2}']

    run(test)


def test_nothing_is_pending_when_interest_changes_and_when_a_shard_goes(run: Run) -> None:
    """Rule 4 of the routes: what is put down for the old legs is sent before there are new ones."""

    async def test(hub: Hub_) -> None:
        (stays, goes) = await hub.shards()
        routing, router = hub.router._routing, hub.router
        invalidate, pending = routing.invalidate, []

        def invalidated(keys: list[bytes]) -> None:
            pending.append((bool(routing.fast), bool(routing.slow)))
            invalidate(keys)

        routing.invalidate = invalidated  # type: ignore[method-assign,assignment]  # to look on
        changes: list[Callable[[], None]] = [
            lambda: goes.interest(Want(KEY, 1)),
            lambda: stays.interest(Want(KEY, 1)),
            lambda: goes.send(t="bye"),
        ]
        for change in changes:
            pending.clear()
            change()
            while not pending:
                routing.offer([KEY + b"_LTP", b'{"n":1}', b"NSE_B_LTP", b'{"n":2}'])
                await asyncio.sleep(0)
            assert pending == [(False, False)]
        assert router._roster.names() == ["shard-0"]

    run(test)


def test_who_falls_silent_counts_as_gone_without_a_goodbye(run: Run) -> None:
    """Processes are killed without warning: a dead feed must not be offered to clients for ever,
    nor what a dead shard wanted be kept subscribed."""

    async def test(hub: Hub_) -> None:
        router = hub.router
        roster = router._roster = Roster(1, missed_s=1000.0)
        shards, feed = await hub.shards(), await hub.peer("feed-sim")
        shards[AWAY].interest(Want(KEY, 1))
        await until(lambda: feed.of("interest"))
        roster._peers[f"shard-{AWAY}"].heard_s -= 2000.0
        await until(lambda: feed.of("interest")[-1]["wants"] == [])
        assert roster.names() == [f"shard-{HOME}", "feed-sim"]
        assert (router._pipes[AWAY].open, len(router._legs.interest)) == (False, 0)
        roster._peers["feed-sim"].heard_s -= 2000.0
        await until(lambda: shards[HOME].of("pulse")[-1]["feeds"] == [])
        assert roster.names() == [f"shard-{HOME}"]

    run(test)


def test_what_is_pending_when_the_router_leaves_is_sent(run: Run) -> None:
    async def test(hub: Hub_) -> None:
        shards = await hub.shards()
        shards[AWAY].interest(Want(KEY, 1))
        await until(lambda: shards[AWAY].parts(stream.OPENED))
        hub.router._routing.offer([KEY + b"_LTP", b'{"n":"last"}'])
        await hub.router.drain()
        await until(lambda: shards[AWAY].ticks() == [b'{"n":"last"}'])
        await until(lambda: shards[HOME].ticks(stream.KEEP) == [b'{"n":"last"}'])

    run(test)


def test_who_speaks_another_version_is_refused_by_name(run: Run) -> None:
    async def test(hub: Hub_) -> None:
        old = Peer(hub, "shard-0")
        hub.peers.append(old)
        old.send(t="hello", version=1, epoch=5, pid=1)
        await until(lambda: old.of("refused"))
        assert "shard-0 speaks version 1" in old.of("refused")[0]["why"]
        assert len(old.of("welcome")) == 1, "the first hello, of the right version"

    run(test)


def test_shards_hear_what_each_feed_announces(run: Run) -> None:
    async def test(hub: Hub_) -> None:
        (shard, _) = await hub.shards()
        feed = await hub.peer("feed-angel")
        await until(lambda: any(pulse["feeds"] for pulse in shard.of("pulse")))
        offers = codec.offers(shard.of("pulse")[-1])
        assert offers == [Offer("angel", ("sim",))], "under the name of its process"
        feed.send(t="bye")
        await until(lambda: shard.of("pulse")[-1]["feeds"] == [])

    run(test)


def test_a_stream_begins_when_the_shard_knows_its_stay(run: Run) -> None:
    """What is sent before its welcome is read, it takes for leftovers of an earlier stay. What it
    is keeper of waits until then, the newest of each topic."""

    async def test(hub: Hub_) -> None:
        peer = Peer(hub, f"shard-{HOME}")
        hub.peers.append(peer)
        await until(lambda: peer.of("welcome"))
        for number in range(2):
            hub.feed(KEY + b"_LTP", b'{"n":%d}' % number)
        await hub.done()
        assert hub.router._figures()["conflated"] == 0, "nobody was spared anything"
        peer.interest(feed="", replace=True)
        await until(lambda: hub.router._pipes[HOME].open)
        hub.feed(KEY + b"_LTP", b'{"n":"in time"}')
        await until(lambda: b'{"n":"in time"}' in peer.ticks(stream.KEEP))
        assert [payload for payload in peer.ticks(stream.OLD) if b"n" in payload] == [b'{"n":1}']

    run(test)


def test_what_another_has_become_keeper_of_is_kept_for_nobody_who_comes_back(run: Run) -> None:
    """It would be old after new: the other has been sent newer ticks meanwhile."""

    async def test(hub: Hub_) -> None:
        home = await hub.peer(f"shard-{HOME}")
        home.send(t="bye")
        await until(lambda: home.name not in hub.router._roster)
        hub.feed(KEY + b"_LTP", b'{"n":1}')
        await hub.done()
        other = await hub.peer(f"shard-{AWAY}")
        other.interest(Want(KEY, 1))
        await until(lambda: other.parts(stream.VALUES))
        back = await hub.peer(home.name, epoch=2)
        hub.feed(KEY + b"_LTP", b'{"n":2}')
        await until(lambda: other.ticks() == [b'{"n":2}'])
        assert b'{"n":1}' not in back.ticks(stream.OLD, stream.KEEP)

    run(test)


def test_a_fault_in_one_order_update_costs_none_of_the_others(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(hub: Hub_) -> None:
        (shard, _) = await hub.shards()
        shard.interest(Want(b"@orders:alice", 1), feed="")
        await until(lambda: shard.parts(stream.FOLLOWED))
        offer = hub.router._orders.offer

        def fails_once(*args: Any) -> None:
            monkeypatch.setattr(hub.router._orders, "offer", offer)
            raise AssertionError("nobody meant this")

        monkeypatch.setattr(hub.router._orders, "offer", fails_once)
        orders = [json.dumps({"user_id": "alice", "n": number}).encode() for number in range(3)]
        hub.feed(*(part for order in orders for part in (b"x_alice_orders", order)))
        await until(lambda: len(shard.parts(stream.ACCOUNT)) == 2)
        got = [codec.unpack(parts[1])[1] for parts in shard.parts(stream.ACCOUNT)]
        assert got == orders[1:]
        assert hub.router._figures()["faults"] == 1

    run(test)


def test_what_may_have_come_before_goes_as_such_in_its_place_among_the_ticks(run: Run) -> None:
    async def test(hub: Hub_) -> None:
        shards = await hub.shards()
        await kept_away(hub, shards)
        topic, other = KEY + b"_LTP", KEY + b"_QUOTE"
        hub.feed(topic, b'{"n": 1}')
        again = codec.pack([topic, b'{"n": 2}', other, b"[]", other, b'{"n": 3}'])
        hub.ingest.send_multipart([stream.AGAIN, again])
        hub.ingest.send_multipart([stream.UNCHECKED, codec.pack([topic, b'{"n": 4}'])])
        await until(lambda: b'{"n": 4}' in shards[AWAY].ticks())
        kinds = (stream.TICKS, stream.AGAIN)
        told = [
            (parts[0], [one for one in codec.unpack(batch)[1::2] if one[:1] == b"{"])
            for parts in shards[AWAY].parts(*kinds)
            for batch in parts[1:]
        ]
        assert told == [
            (stream.TICKS, [b'{"n": 1}']),
            (stream.AGAIN, [b'{"n": 2}', b'{"n": 3}']),
            (stream.TICKS, [b'{"n": 4}']),
        ]
        assert hub.router._counts["malformed"] == 1
        assert shards[HOME].ticks(*kinds, stream.KEEP) == []

    run(test)


def test_what_may_have_come_before_and_nobody_wants_is_kept_at_home(run: Run) -> None:
    async def test(hub: Hub_) -> None:
        shards = await hub.shards()
        again = codec.pack([KEY + b"_LTP", b'{"n": 1}'])
        hub.ingest.send_multipart([stream.AGAIN, again])
        await until(lambda: shards[HOME].ticks(stream.KEEP) == [b'{"n": 1}'])
        hub.ingest.send_multipart([stream.AGAIN, b"\x01"])
        await until(lambda: hub.router._counts["malformed"] == 1)

    run(test)
