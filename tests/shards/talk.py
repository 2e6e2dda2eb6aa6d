"""A session with all that it needs and no socket: what it is asked, and what it answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from hub.auth.verifier import Grant
from hub.core.forms import BATCH, MSGPACK, PLAIN
from hub.core.model import Identity, Instrument, Mode
from hub.core.settings import Settings
from shards.desk import Desk
from shards.guests import Guests
from shards.session import Session
from tests.shards.kit import (
    ALICE,
    BOB,
    answer,
    bodies,
    decoded,
    instruments,
    make_guests,
    make_settings,
    messages,
    serve,
    subscription,
    tick,
)

A, B, C = instruments(1, 2, 3)
USERS = {
    "alice's key": ALICE,
    "bob's key": BOB,
    "eve's key": Identity("eve", "unserved"),
    "carol's key": Identity("carol", ""),
}


class Wire:
    """A connection that keeps what is written; `closed` is the first close."""

    address = "192.0.2.1"
    high_bytes = 4 << 20

    def __init__(self) -> None:
        self.authenticated = 0
        self.sent: list[bytes] = []
        self.closed: list[tuple[int, str]] = []
        self.reading = True
        self.asked_to_pay = 0
        self.work: list[asyncio.Future[None]] = []
        self.clock_s = 1000.0
        self.alarm_s: float | None = None

    def known(self) -> None:
        self.authenticated += 1

    def write(self, data: bytes) -> int:
        self.sent.append(data)
        return -1

    def close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))

    def pay(self) -> None:
        self.asked_to_pay += 1

    def hold(self, *, reading: bool) -> None:
        assert reading != self.reading, "told once per change"
        self.reading = reading

    def spawn(self, work: Awaitable[None]) -> None:
        self.work.append(asyncio.ensure_future(work))

    def now_s(self) -> float:
        return self.clock_s

    def wake(self, after_s: float) -> None:
        self.alarm_s = self.clock_s + after_s


class Talk:
    """A session with all that it needs, and a verifier that answers when it is let."""

    def __init__(
        self,
        settings: Settings | None = None,
        desk: Desk | None = None,
        guests: Guests | None = None,
    ) -> None:
        self.settings = settings or make_settings(hub={"shards": 2, "feeds": ["zerodha", "dhan"]})
        self.desk = desk or Desk(self.settings)
        serve(self.desk, *self.settings.hub.feeds)
        self.wire = Wire()
        self.told = 0
        self.asked: list[str] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.trouble: Exception | None = None
        self.guests = guests or make_guests(self.settings)
        self.session = Session(
            self.wire, self.desk, self.settings, self._verify, self._tell, self.guests
        )

    def say(self, *requests: object) -> None:
        for request in requests:
            text = request if isinstance(request, str | bytes) else json.dumps(request)
            self.session.receive(text)

    def heard(self) -> list[Any]:
        """Replies and ticks since this was last asked."""
        data, self.wire.sent = b"".join(self.wire.sent), []
        return [json.loads(text) for text in messages(data)]

    def gist(self) -> list[Any]:
        """Each message by what matters in this file: its id, else its code, value or type."""
        return [gist(message) for message in self.heard()]

    async def work(self) -> None:
        """Until nothing runs any more."""
        while self.wire.work:
            await self.wire.work.pop(0)

    async def known(self, key: str = "alice's key") -> Talk:
        self.say({"action": "auth", "api_key": key})
        await self.work()
        self.heard()
        return self

    async def _verify(self, key: str) -> Grant | None:
        self.asked.append(key)
        await self.may_answer.wait()
        if self.trouble is not None:
            raise self.trouble
        known = USERS.get(key)
        if known is None:
            return None
        return Grant(Identity("".join(list(known.user)), known.broker), key)  # read anew each time

    def _tell(self) -> None:
        self.told += 1


def gist(message: dict[str, Any]) -> Any:
    if message.get("type") == "market_data":
        return message["data"]["ltp"]
    for name in ("request_id", "code", "_pingId", "type"):
        if name in message:
            return message[name]
    return None


def sub(*wanted: Instrument, mode: object = "Quote", **more: object) -> dict[str, Any]:
    return subscription(mode, *wanted, **more)


def ping(number: int) -> dict[str, Any]:
    return {"action": "ping", "_pingId": number}


def run(main: Callable[[], Any]) -> None:
    asyncio.run(main())


AUTH = {"action": "auth", "api_key": "alice's key"}

FORMS: dict[int, dict[str, Any]] = {
    PLAIN: {},
    BATCH: {"batch": True},
    MSGPACK: {"encoding": "msgpack"},
    BATCH | MSGPACK: {"batch": True, "encoding": "msgpack"},
}


def taken(talk: Talk) -> list[str | bytes]:
    """The messages since this was last asked, as they are."""
    data, talk.wire.sent = b"".join(talk.wire.sent), []
    return bodies(data)


def told(bodies_: list[str | bytes]) -> list[Any]:
    """What messages say, with the ticks of batches one by one."""
    found: list[Any] = []
    for body in bodies_:
        value = decoded(body)
        found += value if isinstance(value, list) else [value]
    for one in found:
        one.pop("server_timestamp", None)
    return found


async def following(talk: Talk) -> Talk:
    talk.say({"action": "subscribe_orders"})
    answer(talk.desk)
    talk.heard()
    return talk


async def beside(talk: Talk, *wanted: Instrument) -> Talk:
    """Another client of the same desk, that holds these."""
    other = await Talk(talk.settings, talk.desk).known()
    other.say(*(sub(*wanted[start : start + 500]) for start in range(0, len(wanted), 500)))
    answer(talk.desk)
    return other


def holds(talk: Talk, *wanted: Instrument, **more: Any) -> None:
    """The client subscribes to these, and hears that it has."""
    talk.say(sub(*wanted, **more))
    answer(talk.desk)
    assert told(taken(talk))[0]["status"] == "success"


def publish(talk: Talk, *ticks: tuple[Instrument, int], mode: Mode = Mode.QUOTE) -> None:
    """Ticks that come together."""
    talk.desk.fanout.offer([part for one, value in ticks for part in tick(one, mode, value)])
    talk.desk.fanout.flush()


def update(user: str, number: int) -> list[bytes]:
    return [b"@orders:" + user.encode(), b'{"type": "order_update", "request_id": %d}' % number]
