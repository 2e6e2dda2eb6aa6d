"""With which credentials an account may connect: logins are few, whatever a broker does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from hub.brokers.base import Credentials
from hub.core.errors import BrokerError
from hub.core.model import Fault
from hub.credentials.provider import Found, Provider
from hub.feeds.native.admission import Admission
from tests.hub.credentials.kit import broker

REFUSED = BrokerError(Fault.AUTH, "it knows no such token")


class Source:
    """What of a provider is used: each login brings another token."""

    name = "a file"
    logs_in = True
    renewal = "knock at the door"

    def __init__(self) -> None:
        self.logins = 0

    @property
    def credentials(self) -> dict[str, str]:
        return {"access_token": str(self.logins)}

    async def find(self) -> Found:
        return Found(self.credentials, None, ())

    async def get(self) -> dict[str, str]:
        return self.credentials

    async def login(self) -> None:
        self.logins += 1


class World:
    def __init__(self) -> None:
        self.now_s = 1000.0
        self.source = Source()
        self.admission = Admission(
            "angel", broker(), cast("Provider", self.source), lambda: self.now_s
        )

    async def ask(self) -> Credentials:
        async with asyncio.timeout(0.2):
            return await self.admission.ask()

    async def in_and_out(self, after_s: float) -> None:
        """It is let in, and refused on the open connection after so long."""
        credentials = await self.ask()
        self.admission.told(None)
        self.now_s += after_s
        self.admission.expelled(credentials, REFUSED)


def play(body: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        await body(World())

    asyncio.run(run())


@pytest.mark.parametrize("opened", [True, False])
def test_rule_3_a_broker_that_refuses_each_session_is_logged_in_to_three_times(
    opened: bool,  # a parameter
) -> None:
    async def body(w: World) -> None:
        for _ in range(4):
            if opened:
                await w.in_and_out(1.0)
            else:
                await w.ask()
                w.admission.told(REFUSED)
        with pytest.raises(TimeoutError):
            await w.ask()
        assert w.source.logins == 3
        assert w.admission.blocked
        assert "3 logins were of no use" in w.admission.trouble()

    play(body)


def test_rule_3_a_session_that_has_held_for_a_minute_lets_logins_begin_anew() -> None:
    async def body(w: World) -> None:
        for _ in range(8):
            await w.in_and_out(61.0)
        assert w.source.logins == 7
        assert not w.admission.blocked

    play(body)


@pytest.mark.parametrize("logs_in", [True, False])
def test_who_has_to_log_in_by_hand_is_told_how(*, logs_in: bool) -> None:
    async def body(w: World) -> None:
        w.source.logs_in = logs_in
        await w.ask()
        w.admission.told(REFUSED)
        by_hand = "" if logs_in else "; for another session, knock at the door"
        assert w.admission.problem == f"it knows no such token{by_hand}"

    play(body)


def test_the_end_of_an_older_connection_says_nothing_of_newer_credentials() -> None:
    async def body(w: World) -> None:
        old = await w.ask()
        w.admission.told(None)
        await w.source.login()
        new = await w.ask()
        w.admission.told(None)
        w.admission.expelled(old, REFUSED)
        assert await w.ask() == new
        assert w.source.logins == 1

    play(body)


def test_a_source_that_fails_in_a_way_of_its_own_is_looked_at_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hub.feeds.native.admission._LOOK_S", 0.01)
    monkeypatch.setattr("hub.feeds.native.admission._REST_S", 0.01)
    looks: list[Any] = []

    async def changed() -> bool:
        looks.append(None)
        if len(looks) == 1:
            raise ZeroDivisionError
        return len(looks) == 3

    async def body(w: World) -> None:
        monkeypatch.setattr(w.source, "changed", changed, raising=False)
        told = asyncio.Event()
        watch = asyncio.create_task(w.admission.watch(told.set))
        await asyncio.wait_for(told.wait(), 5)
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)

    play(body)
