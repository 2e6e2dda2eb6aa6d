"""The router: ticks fall through it, interest climbs through it, control passes over it.

Ticks come from the bus and from the feeds' ingest, are put down in groups (core/routing) and
leave in one message per shard and flush. It never parses a tick's JSON.
Whatever must keep its order relative to ticks travels in the same pipes (core/stream).
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter, defaultdict
from typing import Any

from hub.core import codec, stream, topics
from hub.core.codec import Message
from hub.core.config import Settings, load
from hub.core.errors import Malformed
from hub.core.interest import Change, InterestTable
from hub.core.liveness import BEAT_S, Peers
from hub.core.model import Result
from hub.core.names import INGEST, pipe_name
from hub.core.placement import home
from hub.core.routing import Routing
from hub.core.topics import Kind
from hub.core.window import Window
from hub.runtime import links
from hub.runtime.control import Switch
from hub.runtime.log import Seldom, log
from hub.runtime.role import Role, run

_INGEST_QUEUE = 1000


class Router(Role):
    """The hub's middle; see the module."""

    def __init__(self, name: str, settings: Settings) -> None:
        super().__init__(name, settings)
        self._interest = InterestTable()
        self._routing = Routing(settings.hub.shards, self._interest, settings.bus.max_topics)
        self._live: dict[str, dict[bytes, None]] = defaultdict(dict)
        self._peers = Peers()
        self._counts: Counter[str] = Counter()
        self._seldom = Seldom()
        self._epoch = time.time_ns()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Bind everything."""
        bus, flow = self.settings.bus, self.settings.flow
        window = Window(flow.window_ms)
        self._pump = links.Pump(self._flush, window)
        self._window = window
        self._switch = Switch(self.runtime_dir, self._take_control)
        ingest = links.bind(
            links.PULL, links.ipc(self.runtime_dir, INGEST), queue=_INGEST_QUEUE, what="the router"
        )
        self._pipes = [
            links.Pipe(
                links.bind(
                    links.PUSH,
                    links.ipc(self.runtime_dir, pipe_name(shard)),
                    queue=flow.pipe,
                    what="the router",
                )
            )
            for shard in range(self.settings.hub.shards)
        ]
        address = f"tcp://{bus.host}:{bus.port}"
        sub = links.bind(links.SUB, address, queue=bus.queue, what="the bus")
        self._pump.add_pairs(sub, bus.max_message_bytes, self._take_bus)
        self._pump.add(ingest, self._take_ingest)
        self._switch.start()
        self._tasks = [asyncio.create_task(self._tend()), asyncio.create_task(self._watch())]
        log.info("bus on %s, %d shards", address, len(self._pipes))

    async def drain(self) -> None:
        """Send what is pending and close."""
        for task in self._tasks:
            task.cancel()
        self._flush_all()
        self._pump.close()
        self._switch.close()
        for pipe in self._pipes:
            pipe.close()

    # Ticks fall.

    def _take_bus(self, pairs: links.Parts, bad: int) -> None:
        """What publishers sent: mostly ticks."""
        self._counts["in"] += len(pairs) // 2
        if bad:
            self._malformed("bus", "not two parts, topic and JSON, or too large", bad)
        for topic, payload in self._routing.offer(pairs):
            self._take_other(topic, payload)

    def _take_other(self, topic: bytes, payload: bytes) -> None:
        """A message of the bus that is not a tick."""
        match topics.kind(topic):
            case Kind.TICK:
                self._malformed("topic", f"{topic[:80]!r} is not EXCHANGE_SYMBOL_MODE")
            case Kind.ORDERS:
                self._take_order(topic, payload)
            case Kind.INVALIDATE:
                self._counts["invalidations"] += 1
                self._tell_all([stream.INVALIDATE, payload])
            case Kind.IGNORED:
                self._counts["ignored"] += 1

    def _take_ingest(self, parts: links.Parts) -> None:
        """A batch of a feed, or a home's values for another shard."""
        try:
            if len(parts) == 1:
                pairs = codec.unpack(parts[0])
                self._counts["in"] += len(pairs) // 2
                for topic, payload in self._routing.offer(pairs):
                    self._take_other(topic, payload)
            else:
                kind, shard, *rest = parts
                if kind != stream.VALUES:
                    raise Malformed(f"a message of kind {kind[:10]!r}")
                self._flush()
                self._pipes[int(shard)].send_surely([stream.VALUES, *rest])
        except (Malformed, ValueError, IndexError) as error:
            self._malformed("ingest", str(error))

    def _take_order(self, topic: bytes, payload: bytes) -> None:
        """An order update goes to its user's shards, in order, and is never dropped."""
        try:
            user = json.loads(payload)["user_id"]
            if not isinstance(user, str):
                raise TypeError
        except (ValueError, KeyError, TypeError, RecursionError):
            self._malformed("orders", f"{topic[:80]!r}: no user_id in an order update")
            return
        key = topics.orders(user)
        self._counts["orders"] += 1
        for shard in self._interest.legs(key):
            self._pipes[shard].send_surely([stream.ACCOUNT, codec.pack([key, payload])])

    def _flush(self) -> None:
        """Send what wants no delay: each group packed once, one message per shard."""
        if self._routing.pending_fast:
            self._send(stream.TICKS, self._routing.take_fast())

    def _flush_all(self) -> None:
        """Leave nothing pending: interest is about to change."""
        self._flush()
        if self._routing.pending_slow:
            self._send(stream.HOME, self._routing.take_slow())

    def _send(self, kind: bytes, frames: dict[int, list[bytes]]) -> None:
        counts = self._counts
        for shard, batches in frames.items():
            if self._pipes[shard].send([kind, *batches]):
                counts["out"] += 1
            elif self._pipes[shard].open:
                lost = sum(len(codec.unpack(batch)) // 2 for batch in batches)
                self._pipes[shard].dropped += lost
                self._seldom.warning(
                    f"shard-{shard}", "shard-%d does not keep up; %d ticks dropped", shard, lost
                )

    def _tell_all(self, parts: list[bytes]) -> None:
        self._flush()
        for pipe in self._pipes:
            pipe.send_surely(parts)

    def _malformed(self, source: str, text: str, count: int = 1) -> None:
        self._counts["malformed"] += count
        self._seldom.warning(source, "%s: dropped: %s", source, text)

    async def _tend(self) -> None:
        """The slow way home, and what waits for room."""
        while True:
            await asyncio.sleep(self.settings.flow.home_ms / 1000)
            if self._routing.pending_slow:
                self._flush_all()
            for shard, pipe in enumerate(self._pipes):
                pipe.retry()
                if pipe.overrun:
                    self._give_up(f"shard-{shard}")

    def _give_up(self, name: str) -> None:
        """A shard takes nothing: it counts as gone until it says hello again."""
        log.warning("%s takes nothing; what it was owed is void", name)
        self._counts["given_up"] += 1
        if self._peers.leave(name):
            self._gone(name)

    # Interest climbs.

    def _take_interest(self, sender: str, message: Message) -> None:
        shard = self._shard(sender)
        wants, feed = codec.wants(message), str(message["feed"])
        self._flush_all()
        live = self._live[feed]
        fresh = {want.key for want in wants if want.key not in live}
        change = self._interest.apply(shard, feed, wants, replace=bool(message["replace"]))
        self._open(shard, change, fresh)
        if not feed:
            results = [Result(want.key, want.modes) for want in wants if want.modes]
            self._switch.send(sender, {"t": "results", "feed": feed, "results": results})
            return
        live.update((want.key, None) for want in wants if want.modes)
        if feed not in self.settings.hub.feeds:
            text = (
                f"there is no feed {feed} here; the hub runs {', '.join(self.settings.hub.feeds)}"
            )
            results = [Result(want.key, want.modes, text) for want in wants if want.modes]
            self._switch.send(sender, {"t": "results", "feed": feed, "results": results})
        elif f"feed-{feed}" in self._peers:
            self._switch.send(
                f"feed-{feed}",
                {"t": "interest", "shard": shard, "wants": wants, "replace": message["replace"]},
            )

    def _open(self, shard: int, change: Change, fresh: set[bytes]) -> None:
        """Let the routes follow a change, and fetch last values for what was opened.

        The order in the pipes makes it exact: the home answers with all that was routed before
        the leg opened, and the shard's ticks begin right after.
        """
        self._routing.invalidate(change.keys)
        if not change.opened:
            return
        self._pipes[shard].send_surely(
            [stream.OPENED, codec.encode({"t": "opened", "keys": change.opened})]
        )
        asked: dict[int, tuple[list[bytes], list[bytes]]] = defaultdict(lambda: ([], []))
        for key in change.opened:
            asked[home(key, len(self._pipes))][key in fresh].append(key)
        for home_shard, (live, other) in asked.items():
            self._pipes[home_shard].send_surely(
                [
                    stream.QUERY,
                    codec.encode({"t": "query", "shard": shard, "live": live, "other": other}),
                ]
            )

    def _take_released(self, sender: str, message: Message) -> None:
        """A feed has released keys: their last values are no longer live."""
        live = self._live[sender.removeprefix("feed-")]
        keys = [key for key in codec.keys(message) if key in live]
        for key in keys:
            del live[key]
        self._forget(keys)

    def _forget(self, keys: list[bytes]) -> None:
        if keys:
            self._tell_all([stream.FORGET, codec.encode({"t": "forget", "keys": keys})])

    # Control passes over.

    def _take_control(self, sender: str, message: Message) -> None:
        kind, now = message["t"], time.monotonic()
        if kind == "hello":
            self._take_hello(sender, message, now)
        elif kind == "bye":
            if self._peers.leave(sender):
                self._gone(sender)
        elif not sender.startswith("cli-") and not self._take_lease(sender, message, now):
            self._switch.send(sender, {"t": "who"})
        elif message.get("to", "router") != "router":
            self._pass_on(sender, message)
        elif kind == "interest":
            self._take_interest(sender, message)
        elif kind == "released":
            self._take_released(sender, message)
        elif kind == "beat":
            self._switch.send(sender, self._presence())
            self._pass_on(sender, message | {"to": "monitor"})
        elif kind == "status":
            self._switch.send(
                sender, {"t": "status", "peers": self._peers.names(), "figures": self._figures()}
            )

    def _take_lease(self, sender: str, message: Message, now: float) -> bool:
        peer = self._peers.get(sender)
        if peer is None or peer.lease != message.get("lease"):
            return False
        peer.heard_s = now
        return True

    def _take_hello(self, sender: str, message: Message, now: float) -> None:
        fresh = sender not in self._peers
        peer, replaced = self._peers.hello(sender, int(message["epoch"]), now)
        if replaced:
            self._gone(sender)
        token = stream.token(self._epoch, peer.lease)
        if sender.startswith("shard-"):
            self._pipes[self._shard(sender)].reset(open_=True, token=token)
        if fresh:
            log.info("%s is here", sender)
        self._switch.send(sender, {"t": "welcome", "lease": peer.lease, "stream": token})
        if sender.startswith("feed-"):
            self._brief(sender)
        self._announce()

    def _brief(self, sender: str) -> None:
        """Tell a feed that has come up what is wanted of it."""
        feed = sender.removeprefix("feed-")
        for shard, wants in self._interest.of_feed(feed):
            self._live[feed].update((want.key, None) for want in wants)
            self._switch.send(
                sender, {"t": "interest", "shard": shard, "wants": wants, "replace": True}
            )

    def _gone(self, name: str) -> None:
        """A process has left or fallen silent: what hung on it goes with it."""
        log.info("%s is gone", name)
        if name.startswith("shard-"):
            shard = self._shard(name)
            self._flush_all()
            feeds = [feed for feed in self._live if feed]
            self._routing.invalidate(self._interest.drop(shard).keys)
            self._pipes[shard].reset(open_=False)
            for feed in feeds:
                self._switch.send(
                    f"feed-{feed}", {"t": "interest", "shard": shard, "wants": [], "replace": True}
                )
        elif name.startswith("feed-"):
            self._forget(list(self._live.pop(name.removeprefix("feed-"), ())))
            self._announce()

    def _pass_on(self, sender: str, message: Message) -> None:
        """Switch a message to its addressee; say so if it is not there and an answer is due."""
        to = str(message["to"])
        if not self._switch.send(to, message | {"from": sender}) and sender.startswith("cli-"):
            self._switch.send(sender, {"t": "absent", "who": to})

    def _presence(self) -> Message:
        feeds = [
            name.removeprefix("feed-") for name in self._peers.names() if name.startswith("feed-")
        ]
        return {"t": "pulse", "feeds": feeds}

    def _announce(self) -> None:
        """Tell the shards at once which feeds are there."""
        pulse = self._presence()
        for name in self._peers.names():
            if name.startswith("shard-"):
                self._switch.send(name, pulse)

    def _shard(self, name: str) -> int:
        shard = int(name.removeprefix("shard-"))
        if not 0 <= shard < len(self._pipes):
            raise Malformed(f"{name}: this hub has {len(self._pipes)} shards")
        return shard

    async def _watch(self) -> None:
        """Once a second: who is silent, and the router's own heartbeat."""
        while True:
            await asyncio.sleep(BEAT_S)
            for peer in self._peers.gone(time.monotonic()):
                self._gone(peer.name)
            self._switch.send(
                "monitor",
                {"t": "beat", "from": "router", "pid": os.getpid(), "figures": self._figures()},
            )

    def _figures(self) -> dict[str, Any]:
        return (
            self.common_figures()
            | dict(self._counts)
            | {
                "topics": len(self._routing),
                "symbols": len(self._interest),
                "control_malformed": self._switch.malformed,
                "dropped": sum(pipe.dropped for pipe in self._pipes),
                "window_ms": self._window.width_ms,
            }
        )


if __name__ == "__main__":
    run("router", load(), Router)
