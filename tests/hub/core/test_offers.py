"""Which feed serves whom."""

from __future__ import annotations

import pytest

from hub.core.model import Identity, Isolation, Offer
from hub.core.offers import REMEMBERED_S, Offers

BUS = Offer("bus")
ANGEL = Offer("angel", brokers=("angel", "angel-one"))
ANITAS = Offer("angel-anita", brokers=("angel",), users=("anita",), shared=False)
ANYBODYS = Offer("ravis", users=("ravi",))


def offers(*there: Offer) -> Offers:
    found = Offers()
    found.take(there, 0.0)
    return found


@pytest.mark.parametrize(
    ("user", "broker", "feed"),
    [
        ("anita", "angel", "angel-anita"),
        ("simon", "angel", "angel"),
        ("simon", "angel-one", "angel"),
        ("anita", "zerodha", "bus"),
        ("ravi", "zerodha", "ravis"),
        ("ravi", "angel", "ravis"),
    ],
)
def test_rule_1_the_feed_that_names_most_of_a_user_serves_him(
    user: str, broker: str, feed: str
) -> None:
    assert offers(BUS, ANGEL, ANITAS, ANYBODYS).of(Identity(user, broker)) == feed


def test_a_feed_of_named_users_serves_nobody_else() -> None:
    one = offers(ANITAS)
    assert one.of(Identity("simon", "angel")) == ""
    assert one.of(Identity("anita", "zerodha")) == ""


def test_rule_1_among_equals_the_one_that_is_there_serves() -> None:
    one = offers(ANGEL, ANGEL._replace(feed="angel-2"))
    simon = Identity("simon", "angel")
    assert one.of(simon) == "angel"
    assert one.take([ANGEL._replace(feed="angel-2")], 1.0) == ["angel"]
    assert one.of(simon) == "angel-2"
    assert one.take([ANGEL, ANGEL._replace(feed="angel-2")], 2.0) == []
    assert one.of(simon) == "angel"


def test_rule_2_a_feed_that_is_being_restarted_is_counted_on() -> None:
    one = offers(BUS, ANGEL)
    assert one.take([BUS], 1.0) == ["angel"]
    assert "angel" not in one
    assert "bus" in one
    assert one.take([BUS], 2.0) == [], "its going is told once"
    assert one.of(Identity("simon", "angel")) == "angel"
    one.take([BUS, ANGEL], 3.0)
    assert "angel" in one


def test_rule_2_a_feed_that_stays_away_is_forgotten() -> None:
    one = offers(BUS, ANGEL)
    one.take([BUS], 1.0)
    one.take([BUS], 1.0 + REMEMBERED_S)
    assert one.of(Identity("simon", "angel")) == "angel"
    one.take([BUS], 1.1 + REMEMBERED_S)
    assert one.of(Identity("simon", "angel")) == "bus"
    assert repr(one) == "<Offers of bus; gone: none>"


def test_what_a_feed_announces_may_change() -> None:
    one = offers(ANGEL)
    one.take([ANGEL._replace(brokers=("dhan",))], 1.0)
    assert one.of(Identity("simon", "angel")) == ""
    assert one.of(Identity("simon", "dhan")) == "angel"


def test_without_a_feed_nobody_is_served() -> None:
    assert Offers().of(Identity("anita", "angel")) == ""


@pytest.mark.parametrize(
    ("isolation", "origin"),
    [(Isolation.USER, "anita"), (Isolation.BROKER, "angel"), (Isolation.NONE, "")],
)
def test_a_user_is_entitled_to_one_origin(isolation: Isolation, origin: str) -> None:
    assert isolation.origin(Identity("anita", "angel")) == origin


def test_the_best_offer_is_that_of_the_feed_that_serves() -> None:
    assert offers(BUS, ANITAS).best(Identity("anita", "angel")) == ANITAS
    assert offers(ANITAS).best(Identity("ravi", "angel")) is None


def test_a_feed_that_is_here_and_names_more_of_a_user_is_preferred_to_the_one_he_has() -> None:
    anita, simon = Identity("anita", "angel"), Identity("simon", "zerodha")
    one = offers(BUS)
    assert not one.prefers(anita, "bus")
    one.take([BUS, ANGEL], 1.0)
    assert one.prefers(anita, "bus")
    assert not one.prefers(anita, "angel")
    assert not one.prefers(simon, "bus")
    one.take([BUS, ANGEL, ANITAS], 2.0)
    assert one.prefers(anita, "angel")
    one.take([BUS, ANGEL], 3.0)
    assert not one.prefers(anita, "bus"), "his own has gone, and is waited for"
    other = offers(BUS, Offer("bus-2"))
    assert not other.prefers(simon, "bus-2"), "which is as good"
