"""One process of scripts/benchmark/subjects: the publisher, or an edge."""

from __future__ import annotations

import asyncio
import cProfile
import gc
import pstats
import random
import socket
import struct
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import uvloop

from hub.core import hot, subjects
from hub.core.settings import Nats as NatsSettings
from hub.runtime.nats import Nats
from hub.runtime.pace import Pace
from scripts.benchmark import leash
from scripts.benchmark.histogram import Histogram
from scripts.benchmark.subjects import SYMBOLS, WARM_S, Plan, audiences, wants

TOPICS = [b"NSE_SYM%04d_QUOTE" % number for number in range(SYMBOLS)]
_HEAD = struct.Struct(">QQ")
_PAYLOAD_BYTES = 300
_PREFIX, _STAY = "bench", "5e"
_FLUSH_BEATS = 2  # of a millisecond
_TCP_INFO_BYTES, _ACKED_AT, _RECEIVED_AT = 192, 120, 128  # linux/tcp.h

Send = Callable[[int, bytes], None]
Publish = Callable[..., bool]


def slot(topic: bytes, count: int) -> int:
    """Which of so many slots a topic is in."""
    return zlib.crc32(topic) % count


def slots_of(way: str) -> int:
    """How many slots a way has; 0 if it is none of slots."""
    name, _, count = way.partition("-")
    return int(count) if name == "slots" else 0


class Batches:
    """What waits to be sent: for each group of topics a batch, to one subject or several."""

    def __init__(self, publish: Publish, groups: Mapping[int, list[str]]) -> None:
        """`groups`: the subjects of each topic's group, which share one list."""
        self._publish = publish
        made: dict[int, tuple[list[str], list[bytes]]] = {}
        self._of = {
            topic: made.setdefault(id(where), (where, [])) for topic, where in groups.items()
        }
        self._all = list(made.values())
        self._number = 0

    def send(self, topic: int, payload: bytes) -> None:
        """Let a tick wait."""
        pairs = self._of[topic][1]
        pairs.append(TOPICS[topic])
        pairs.append(payload)

    def flush(self) -> None:
        """Send what waits."""
        for where, pairs in self._all:
            if pairs:
                batch = hot.pack(pairs)
                pairs.clear()
                self._number += 1
                for subject in where:
                    self._publish(subject, _HEAD.pack(self._number, 0), batch)


def sender(plan: Plan, publish: Publish) -> tuple[Send, Callable[[], None]]:
    """How a way sends a tick, and what is done every 2 ms."""
    if plan.way == "nothing":
        return lambda _, __: None, lambda: None
    if plan.way == "topic":
        names = [subjects.topic(_PREFIX, topic) for topic in TOPICS]

        def send(topic: int, payload: bytes) -> None:
            publish(names[topic], payload)

        return send, lambda: None
    if count := slots_of(plan.way):
        made = [[f"{_PREFIX}.slot.{number}"] for number in range(count)]
        groups = {at: made[slot(topic, count)] for at, topic in enumerate(TOPICS)}
    else:
        sets = {edges: subjects.audience(_PREFIX, _STAY, edges) for edges in audiences(plan)}
        groups = {at: sets[edges] for at, edges in enumerate(audiences(plan))}
    batches = Batches(publish, groups)
    return batches.send, batches.flush


class Edge:
    """Makes batches for a router of what comes, and keeps them with the time."""

    def __init__(self, plan: Plan, number: int, nats: Nats) -> None:
        self.batches: list[tuple[int, bytes]] = []
        self._wanted = {TOPICS[at] for at in wants(plan)[number]}
        self._waiting: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        if plan.way == "topic":
            self._of = {subjects.topic(_PREFIX, topic): topic for topic in self._wanted}
            for subject in self._of:
                nats.subscribe(subject, self._take_one)
        elif count := slots_of(plan.way):
            for wanted in {slot(topic, count) for topic in self._wanted}:
                nats.subscribe(f"{_PREFIX}.slot.{wanted}", self._take_slot)
        else:
            nats.subscribe(subjects.mine(_PREFIX, _STAY, number), self._take_batch)

    def _take_one(self, subject: str, data: bytes, _: str) -> None:
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting += (self._of[subject], data)

    def _flush(self) -> None:
        pairs, self._waiting = self._waiting, []
        self._keep(hot.pack(pairs))

    def _take_slot(self, _: str, data: bytes, __: str) -> None:
        parts = hot.unpack(data[_HEAD.size :])
        pairs: list[bytes] = []
        for topic, payload in zip(parts[::2], parts[1::2], strict=True):
            if topic in self._wanted:
                pairs += (topic, payload)
        if pairs:
            self._keep(hot.pack(pairs))

    def _take_batch(self, _: str, data: bytes, __: str) -> None:
        self._keep(data[_HEAD.size :])

    def _keep(self, batch: bytes) -> None:
        self.batches.append((time.monotonic_ns(), batch))

    def result(self, begin_ns: int, end_ns: int) -> dict[str, Any]:
        """How many ticks came that were sent in this time, how late, and whether in order."""
        latency, count, in_order = Histogram(), 0, True
        newest = dict.fromkeys(TOPICS, -1)
        for at_ns, batch in self.batches:
            parts = hot.unpack(batch)
            for topic, payload in zip(parts[::2], parts[1::2], strict=True):
                sent_ns, number = stamped(payload)
                in_order = in_order and number > newest[topic] and topic in self._wanted
                newest[topic] = number
                if begin_ns <= sent_ns < end_ns:
                    count += 1
                    latency.add(at_ns - sent_ns)
        return {"ticks": count, "latency": latency.as_json(), "in_order": in_order}


def payload(number: int, now_ns: int) -> bytes:
    """The JSON of a tick."""
    return (b'{"t":%019d,"n":%010d,"q":"' % (now_ns, number)).ljust(
        _PAYLOAD_BYTES - 2, b"x"
    ) + b'"}'


def stamped(payload: bytes) -> tuple[int, int]:
    """When a tick was sent, and its number."""
    return int(payload[5:24]), int(payload[29:39])


class Publisher:
    """Sends ticks at a steady rate, of all symbols in turn, and counts those that are wanted."""

    def __init__(self, plan: Plan, nats: Nats) -> None:
        self._plan = plan
        self._send, self._flush = sender(plan, nats.publish)
        self._order = random.Random(11).sample(range(SYMBOLS), SYMBOLS)
        self._audiences = audiences(plan)
        self._sent = self._beats = 0
        self._counts: Counter[int] = Counter()

    async def run(self, begin_s: float, end_s: float) -> None:
        """Send from WARM_S before until the end."""
        self._start_s, self._begin_ns, self._end_ns = begin_s - WARM_S, begin_s * 1e9, end_s * 1e9
        await asyncio.sleep(self._start_s - time.monotonic())
        pace = Pace(self._beat)
        pace.set(1)
        await asyncio.sleep(end_s + 0.05 - time.monotonic())
        pace.close()

    def _beat(self) -> None:
        now_ns = time.monotonic_ns()
        due = int((now_ns / 1e9 - self._start_s) * self._plan.rate)
        counted = self._begin_ns <= now_ns < self._end_ns
        for number in range(self._sent, due):
            symbol = self._order[number % SYMBOLS]
            if edges := self._audiences[symbol]:
                self._send(symbol, payload(number, now_ns))
                self._counts[-1] += counted
                for edge in edges if counted else ():
                    self._counts[edge] += 1
        self._sent = max(self._sent, due)
        self._beats += 1
        if self._beats % _FLUSH_BEATS == 0:
            self._flush()

    def result(self) -> dict[str, Any]:
        """How many ticks were sent, and how many of them each edge wants."""
        wanted = [self._counts[edge] for edge in range(self._plan.edges)]
        return {"ticks": self._counts[-1], "wanted": wanted}


def shares(stats: Mapping[Any, Any]) -> dict[str, float]:
    """Whose time it was, of what cProfile has: builtins count for who has called them."""
    rooms: Counter[str] = Counter()
    for (file, _, _), (_, _, own_s, _, callers) in stats.items():
        if file == "~" and callers:
            for (caller, _, _), numbers in callers.items():
                rooms[_room(caller)] += numbers[2]
        else:
            rooms[_room(file)] += own_s
    whole = sum(rooms.values()) or 1.0
    return {name: round(spent / whole, 3) for name, spent in rooms.most_common()}


def _room(file: str) -> str:
    if "/site-packages/nats/" in file:
        return "nats-py"
    if "/asyncio/" in file:
        return "asyncio"
    return "the rest" if file in {"~", ""} else "hub"


async def _peer(plan: Plan, role: str, heard: set[str]) -> None:
    nats = Nats(NatsSettings(servers=[plan.url]), f"bench {role}")
    await nats.start()
    while not nats.connected:  # noqa: ASYNC110  # some milliseconds
        await asyncio.sleep(0.01)
    peer = Publisher(plan, nats) if role == "publisher" else Edge(plan, int(role), nats)
    leash.say("ready")
    while not (words := [word for word in heard if word.startswith("begin ")]):  # noqa: ASYNC110  # a thread hears
        await asyncio.sleep(0.01)
    begin_s = float(words[0].split()[1])
    end_s = begin_s + plan.seconds
    gc.collect()
    gc.freeze()
    gc.disable()
    if isinstance(peer, Publisher):
        sending = asyncio.create_task(peer.run(begin_s, end_s))
    profile = cProfile.Profile()
    readings: list[tuple[float, int]] = []
    for at_s in (begin_s, end_s):
        await asyncio.sleep(max(0.0, at_s - time.monotonic()))
        if plan.profile and role == "0":
            profile.disable() if readings else profile.enable()
        readings.append((time.process_time(), _wire_bytes(nats, sent=role == "publisher")))
    figures: dict[str, Any] = {
        "cpu_s": readings[1][0] - readings[0][0],
        "wire_bytes": readings[1][1] - readings[0][1],
    }
    await asyncio.sleep(0.5)
    if isinstance(peer, Publisher):
        await sending
        figures |= peer.result()
    else:
        figures |= peer.result(int(begin_s * 1e9), int(end_s * 1e9))
        if plan.profile and role == "0":
            figures["shares"] = shares(pstats.Stats(profile).stats)  # type: ignore[attr-defined]
    leash.say("done", **figures)
    await nats.stop()


def _wire_bytes(nats: Nats, *, sent: bool) -> int:
    """What TCP has carried for this connection, one way."""
    sock = nats._link._writer.get_extra_info("socket")  # type: ignore[union-attr]  # noqa: SLF001  # there
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    return int(struct.unpack_from("=Q", info, _ACKED_AT if sent else _RECEIVED_AT)[0])


if __name__ == "__main__":
    words = leash.hold(longest_s=120)
    uvloop.run(_peer(msgspec.json.decode(sys.argv[1], type=Plan), sys.argv[2], words))
