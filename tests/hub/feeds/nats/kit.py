"""NATS by hand: what is asked is answered by the test's ingests, what is sent is delivered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from hub.core import cluster, subjects
from hub.core.cluster import Announced, Beat, Interest, Taken, Welcome, Who
from hub.core.errors import NoAnswer
from hub.core.model import Offer, Result

PREFIX = "hub"
ME = ("edge1", 5)
Take = Callable[[str, bytes, str], None]


async def until(met: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not met():  # noqa: ASYNC110  # what is met has no event
            await asyncio.sleep(0.001)


class Heard:
    """A subscription."""

    def __init__(self, door: Door, subject: str, take: Take) -> None:
        self.door, self.subject, self.take = door, subject, take

    def close(self) -> None:
        self.door.heard.remove(self)


class Door:
    """The door to NATS; the ingests of the test are behind it."""

    def __init__(self, *_: Any, up: Callable[[], None] = lambda: None, **__: Any) -> None:
        self.up = up
        self.connected = True
        self.heard: list[Heard] = []
        self.out: list[tuple[str, bytes]] = []
        self.ingests: dict[str, Ingest] = {}
        self.stopped = self.nonsense = False

    async def start(self) -> None:
        """It is there."""

    async def stop(self) -> None:
        self.stopped = True

    def publish(self, subject: str, *parts: bytes) -> bool:
        if self.connected:
            self.out.append((subject, b"".join(parts)))
        return self.connected

    def subscribe(self, subject: str, take: Take) -> Heard:
        self.heard.append(Heard(self, subject, take))
        return self.heard[-1]

    async def request(self, subject: str, data: bytes, timeout_s: float) -> bytes:
        await asyncio.sleep(0)
        ingest = self.ingests.get(subject)
        if ingest is None or not self.connected:
            raise NoAnswer(subject, timeout_s)
        reply = ingest.asked(cluster.ask(data))
        await asyncio.sleep(0)
        if reply is None:
            raise NoAnswer(subject, timeout_s)
        return b"\xc1" if self.nonsense else cluster.encode(reply)

    def say(self, subject: str, data: bytes) -> None:
        """A message comes from outside."""
        for heard in list(self.heard):
            if heard.subject == subject or (
                "*" in heard.subject and _matches(heard.subject, subject)
            ):
                heard.take(subject, data, "")

    def figures(self) -> dict[str, Any]:
        return {"connected": self.connected}


def _matches(pattern: str, subject: str) -> bool:
    ones, others = pattern.split("."), subject.split(".")
    return len(ones) == len(others) and all(
        one in ("*", other) for one, other in zip(ones, others, strict=True)
    )


class Ingest:
    """An ingest by hand: keeps what it is asked, grants one lease."""

    def __init__(self, door: Door, name: str = "desk1", stay: str = "a", **announced: Any) -> None:
        self.door, self.name, self.stay = door, name, stay
        self.announced = announced
        self.feeds: tuple[Announced, ...] = (feed("sim", name),)
        self.heard: list[cluster.Ask] = []
        self.lease = 0
        self.granted = 100
        self.number = 3
        self.silent = False
        self.newest = 0
        self.sent: dict[str, int] = {}
        door.ingests[subjects.ask(PREFIX, name)] = self

    def asked(self, word: cluster.Ask) -> cluster.Told | None:
        self.heard.append(word)
        if self.silent:
            return None
        if isinstance(word, cluster.Hello):
            self.granted += 1
            self.lease = self.granted
            return Welcome(self.lease, self.number, self.newest)
        return Taken(self.newest) if word.lease == self.lease else Who(word.lease)

    def words(self) -> list[Any]:
        """What it was asked since this was last called, but for renewals."""
        heard, self.heard = self.heard, []
        return [word for word in heard if not isinstance(word, cluster.Renew)]

    def wanted(self) -> dict[str, dict[bytes, int]]:
        """What its edge wants, by feed, as the words under its lease say."""
        found: dict[str, dict[bytes, int]] = {}
        told: dict[str, set[bytes]] = {}
        for word in self.heard:
            if isinstance(word, Interest) and word.lease == self.lease:
                held = found.setdefault(word.feed, {})
                if word.first:
                    told[word.feed] = set()
                told.setdefault(word.feed, set()).update(want.key for want in word.wants)
                held |= {want.key: want.modes for want in word.wants}
                if word.last:
                    for key in held.keys() - told[word.feed]:
                        del held[key]
        return {
            name: {key: modes for key, modes in held.items() if modes}
            for name, held in found.items()
        }

    def beat(self) -> Beat:
        return Beat(
            machine=self.name,
            role=cluster.INGEST,
            epoch=int(self.stay, 16),
            stay=self.stay,
            feeds=self.feeds,
        )

    def say_beat(self) -> None:
        self.door.say(subjects.beat(PREFIX), cluster.encode(self.beat()))

    def ticks(self, batch: bytes, *, lose: bool = False, again: bool = False) -> None:
        (subject,) = subjects.audience(PREFIX, self.stay, (self.number,))
        before, self.newest = self.sent.get(subject, 0), self.newest + 1
        self.sent[subject] = self.newest
        if not lose:
            self.door.say(subject, cluster.head(self.newest, before, again=again) + batch)

    def results(self, *results: Result, feed: str = "sim") -> None:
        told = cluster.Results(self.name, feed, results)
        self.door.say(subjects.edge(PREFIX, ME[0]), cluster.encode(told))


def feed(name: str, machine: str, **said: Any) -> Announced:
    return Announced(name=f"{name}@{machine}", offer=Offer(name, ("sim",)), **said)
