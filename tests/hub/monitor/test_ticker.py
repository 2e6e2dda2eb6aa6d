"""The page's ticker: whose ticks it sees, and with which key."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from hub.auth.keystore import KeyStore
from hub.core.errors import HubError
from hub.core.model import Identity, Offer
from hub.core.names import PAGE_KEYS
from hub.core.settings import Settings
from hub.monitor import ticker
from hub.monitor.ticker import Ticker, identity

BUS = Offer("bus")
SIM = Offer("sim", brokers=("sim",))
OWN = Offer("angel", brokers=("angel",), users=("ravi",))
LOGINS = Offer("openalgo", shared=False, logins=True)
LOGGED_IN = {"openalgo": ["zerodha"]}


@pytest.mark.parametrize(
    ("offers", "user", "expected"),
    [
        ([BUS], "", Identity("page", "page")),
        ([BUS, SIM], "", Identity("page", "sim")),
        ([BUS, SIM, OWN], "", Identity("ravi", "angel")),
        ([LOGINS, BUS], "", Identity("page", "page")),
        ([LOGINS], "anita", Identity("anita", "zerodha")),
        ([OWN], "ravi", Identity("ravi", "angel")),
    ],
)
def test_rule_2_it_sees_what_the_feeds_give_whom_it_is_for(
    offers: list[Offer], user: str, expected: Identity
) -> None:
    assert identity(offers, user, LOGGED_IN) == expected


@pytest.mark.parametrize(
    ("offers", "told"), [([], "no feed is there yet"), ([LOGINS], "set page.user")]
)
def test_rule_2_where_it_may_see_nothing_it_says_what_to_do(offers: list[Offer], told: str) -> None:
    with pytest.raises(HubError, match=told):
        identity(offers, "", LOGGED_IN)


def test_rule_1_a_key_is_made_for_each_user_and_waited_for_by_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticker, "LOOK_S", 0.1)
    made = Ticker(Settings(), tmp_path)

    async def main() -> None:
        begin_s = time.monotonic()
        one, other = Identity("a", "x"), Identity("b", "x")
        first, second, third = await asyncio.gather(*map(made._key_for, (one, one, other)))
        assert time.monotonic() - begin_s >= 0.2, "no shard need know it before"
        assert first == second != third
        assert await made._key_for(one) == first, "the other's did not end it"

    asyncio.run(main())
    kept = KeyStore(tmp_path / PAGE_KEYS).list()
    assert [(one.user, one.broker) for one in kept] == [("a", "x"), ("b", "x")]
    assert (tmp_path / PAGE_KEYS).stat().st_mode & 0o777 == 0o600
    made.clear()
    assert not [*tmp_path.iterdir()]
