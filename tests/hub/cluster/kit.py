"""A door to NATS that leads nowhere: each test says what comes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

from hub.core.errors import NoAnswer
from hub.core.settings import Nats as NatsSettings
from hub.runtime.nats import Nats

Answer = Callable[[str, bytes, Mapping[str, str]], Mapping[str, Any]]
"""Gets subject, data and head of a question, and returns or raises what comes back."""


class Door:
    """What of `Nats` the cluster's parts use."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.connected = True
        self.max_payload = 1 << 20
        self.published: list[tuple[str, bytes]] = []
        self.heard: dict[str, Callable[[str, bytes, str], None]] = {}

    @property
    def nats(self) -> Nats:
        return cast("Nats", self)

    def publish(self, subject: str, *parts: bytes) -> bool:
        if self.connected:
            self.published.append((subject, b"".join(parts)))
        return self.connected

    def subscribe(self, subject: str, take: Callable[[str, bytes, str], None]) -> Door.Heard:
        self.heard[subject] = take
        return Door.Heard(self, subject)

    class Heard:
        """A subscription."""

        def __init__(self, door: Door, subject: str) -> None:
            self.door, self.subject = door, subject

        def close(self) -> None:
            self.door.heard.pop(self.subject, None)

    async def request(
        self, subject: str, data: bytes, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> bytes:
        await asyncio.sleep(0)
        if not self.connected:
            raise NoAnswer(subject, timeout_s)
        return json.dumps(self.answer(subject, data, headers or {})).encode()


def stream(
    created: str = "2026", first: int = 1, last: int = 0, replicas: int = 3
) -> dict[str, Any]:
    """What JetStream says of a stream."""
    return {
        "config": {"num_replicas": replicas},
        "created": created,
        "state": {"first_seq": first, "last_seq": last},
    }


def error(err_code: int, code: int = 400) -> dict[str, Any]:
    """What JetStream says when it does not."""
    return {"error": {"code": code, "err_code": err_code, "description": f"because of {err_code}"}}


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Nats]:
    """A real door, which is open."""
    door = Nats(NatsSettings(servers=[url]), "test")
    await door.start()
    try:
        await until(lambda: door.connected)
        yield door
    finally:
        await door.stop()


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test; an error in a callback or a task fails it. A server that is killed while a
    connection to it is being made leaves a reset in a task of the client library, at which that
    does not look; the library then tries again."""
    errors: list[dict[str, Any]] = []

    def note(error: dict[str, Any]) -> None:
        if not isinstance(error.get("exception"), ConnectionResetError):
            errors.append(error)

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, error: note(error))
        await asyncio.wait_for(test, 40)

    asyncio.run(watched())
    assert errors == [], errors


async def until(met: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not met():  # noqa: ASYNC110  # what is met has no event: it is in a socket
            await asyncio.sleep(0.005)


def pairs(events: list[tuple[bytes, bytes]], key: bytes) -> Iterator[bytes]:
    """What came under a key, in its order."""
    return (payload for found, payload in events if found == key)
