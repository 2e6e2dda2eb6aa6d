"""Who is asked for what: accounts and keys, without a worker."""

from __future__ import annotations

from typing import Any

import pytest

from hub.core import topics
from hub.core.model import FULL, Identity, Isolation, Result, Want
from hub.feeds.openalgo import worker_wants
from hub.feeds.openalgo.book import Book, Outcome

ANITA, RAVI = Identity("anita", "angel"), Identity("ravi", "angel")
ZOE = Identity("zoe", "zerodha")
ANITAS, RAVIS, ZOES = "angel/anita", "angel/ravi", "zerodha/zoe"
ANGEL = topics.scope("angel")
LTP, QUOTE, DEPTH = 1, 2, 4


def login(who: Identity, modes: int = 1) -> Want:
    return Want(topics.login(*who), modes, 5, who.broker, who.user)


def want(symbol: str, modes: int = LTP, *, scope: bytes = ANGEL, depth: int = 5) -> Want:
    return Want(scope + f"NSE_{symbol}".encode(), modes, depth, "NSE", symbol)


def make(isolation: Isolation = Isolation.BROKER, *here: Identity, linger_s: float = 30.0) -> Book:
    """A book with these logins up."""
    book = Book(isolation, linger_s)
    for who in here:
        book.apply([login(who)], 0.0)
        book.stands(f"{who.broker}/{who.user}", "up", "", "")
    return book


def asked(outcome: Outcome) -> dict[str, list[tuple[str, int]]]:
    """The wants that go to each account, by symbol and modes."""
    return {
        command["account"]: [(want.symbol, want.modes) for want in command["wants"]]
        for command in outcome.commands
        if command["t"] == "want"
    }


def told(outcome: Outcome) -> list[tuple[str, Any]]:
    """The other commands, by type and account; `on` and `off` for what becomes of one."""
    return [
        ({True: "on", False: "off"}[command["on"]] if "on" in command else command["t"],
         command.get("account"))
        for command in outcome.commands
        if command["t"] != "want"
    ]  # fmt: skip


def yes(*wants: Want, levels: int = 0) -> list[tuple[bytes, int, str, int]]:
    return [(want.key, want.modes, "", levels) for want in wants]


def no(*wants: Want, why: str = "unknown symbol") -> list[tuple[bytes, int, str, int]]:
    return [(want.key, want.modes, why, 0) for want in wants]


def test_rule_1_a_login_is_connected_and_its_standing_told() -> None:
    book = Book(Isolation.BROKER, 30.0)
    outcome = book.apply([login(ANITA)], 0.0)
    assert told(outcome) == [("on", ANITAS)]
    assert outcome.commands[0]["prefix"] == ANGEL
    assert outcome.answers == []
    assert book.stands(ANITAS, "up", "", "").answers == [Result(topics.login(*ANITA), 1)]
    assert book.apply([login(ANITA)], 1.0) == Outcome([], [Result(topics.login(*ANITA), 1)])


def test_rule_1_a_login_leaves_when_its_user_was_away_long_enough() -> None:
    book = make(Isolation.BROKER, ANITA)
    assert book.apply([login(ANITA, 0)], 100.0) == Outcome([], [])
    assert told(book.sweep(129.9)) == []
    assert told(book.sweep(130.0)) == [("off", ANITAS)]
    assert told(book.sweep(200.0)) == [], "it is told once"
    book.stands(ANITAS, "down", "", "")
    assert not book.accounts


def test_rule_1_a_user_who_comes_back_in_time_has_the_login_at_once() -> None:
    book = make(Isolation.BROKER, ANITA)
    book.apply([login(ANITA, 0)], 100.0)
    assert book.apply([login(ANITA)], 120.0) == Outcome([], [Result(topics.login(*ANITA), 1)])
    assert told(book.sweep(1000.0)) == []


def test_rule_1_a_user_who_comes_back_while_the_login_ends_gets_a_new_one() -> None:
    book = make(Isolation.BROKER, ANITA)
    book.apply([login(ANITA, 0)], 0.0)
    book.sweep(30.0)
    outcome = book.apply([login(ANITA)], 31.0)
    assert told(outcome) == [("on", ANITAS)]
    assert outcome.answers == []
    assert book.stands(ANITAS, "down", "", "").answers == [], "that was the old one"
    assert book.stands(ANITAS, "up", "", "").answers == [Result(topics.login(*ANITA), 1)]


@pytest.mark.parametrize("broker", ["flattrade", "shoonya"])
def test_rule_1_some_brokers_sessions_are_kept_for_good(broker: str) -> None:
    who, name = Identity("anita", broker), f"{broker}/anita"
    book = make(Isolation.BROKER, who)
    one = want("A", scope=topics.scope(broker))
    book.apply([one], 0.0)
    book.results(name, yes(one))
    book.apply([login(who, 0)], 0.0)
    assert told(book.apply([one._replace(modes=0)], 5.0)) == [("unsubscribe_all", name)]
    assert told(book.sweep(1e12)) == []
    assert told(book.apply([login(who)], 9e9)) == []


def test_rule_1_a_kept_broker_whose_login_failed_is_not_kept() -> None:
    who = Identity("anita", "shoonya")
    book = make()
    book.apply([login(who)], 0.0)
    book.stands("shoonya/anita", "failed", "BROKER_ERROR", "no token")
    book.apply([login(who, 0)], 0.0)
    assert told(book.sweep(30.0)) == [("off", "shoonya/anita")]


def test_rule_1_a_failed_login_is_not_tried_without_end() -> None:
    book = make()
    book.apply([login(ANITA)], 0.0)
    tries = 1
    for step in range(60):
        outcome = book.stands(ANITAS, "failed", "BROKER_CONNECTION_ERROR", "token expired")
        assert outcome.answers == [
            Result(topics.login(*ANITA), 1, "token expired", code="BROKER_CONNECTION_ERROR")
        ]
        outcome = book.apply([login(ANITA)], 10.0 * step)
        tries += len(told(outcome))
        if not told(outcome):
            assert outcome.answers[0].error == "token expired"
    assert 10 <= tries <= 13, "three at once, then one a minute for ten minutes"
    assert told(book.invalidate("anita", "ALL")) == [("invalidate", None)]
    assert book.accounts[ANITAS].state == "connecting"


def test_rule_1_tries_of_a_failed_login_are_not_saved_up() -> None:
    book = make(Isolation.BROKER, ANITA)
    tried = []
    for _ in range(5):
        book.stands(ANITAS, "failed", "BROKER_ERROR", "token expired")
        tried += told(book.apply([login(ANITA)], 36_000.0))
    assert tried == [("on", ANITAS)] * 3


def test_an_invalidation_is_of_one_user_whose_login_has_all_its_tries_again() -> None:
    book = make(Isolation.BROKER, ANITA, RAVI)
    for _ in range(5):
        book.stands(ANITAS, "failed", "BROKER_ERROR", "token expired")
        book.apply([login(ANITA)], 0.0)
    book.invalidate("anita", "ALL")
    book.stands(ANITAS, "failed", "BROKER_ERROR", "token expired")
    assert told(book.apply([login(ANITA)], 0.0)) == [("on", ANITAS)]
    assert book.apply([login(RAVI)], 0.0).answers == [Result(topics.login(*RAVI), 1)]


@pytest.mark.parametrize("state", ["up", "failed"])
def test_rule_1_what_a_login_that_ends_says_before_its_end_does_not_keep_it(state: str) -> None:
    """It was connected anew when it was told to leave."""
    book = make(Isolation.BROKER, ANITA)
    book.apply([login(ANITA, 0)], 0.0)
    book.sweep(30.0)
    book.stands(ANITAS, state, "", "")
    book.stands(ANITAS, "down", "", "")
    assert told(book.apply([login(ANITA)], 31.0)) == [("on", ANITAS)]


def test_rule_2_a_key_is_asked_of_an_account_of_its_scope() -> None:
    book = make(Isolation.BROKER, ANITA, ZOE)
    one, other = want("A"), want("A", scope=topics.scope("zerodha"))
    assert asked(book.apply([one, other], 0.0)) == {ANITAS: [("A", LTP)], ZOES: [("A", LTP)]}
    assert book.results(ANITAS, yes(one, levels=5)).answers == [Result(one.key, LTP, "", 5)]
    assert book.results(ANITAS, yes(other)).answers == [], "that is not its own"


def test_topics_are_the_modes_of_all_keys() -> None:
    book = make(Isolation.BROKER, ANITA)
    book.apply([want("INFY", LTP | DEPTH), want("TCS", QUOTE)], 0.0)
    assert (len(book), book.topics) == (2, 3)
    book.apply([want("INFY", DEPTH), want("TCS", 0)], 0.0)
    assert (len(book), book.topics) == (1, 1)


@pytest.mark.parametrize(
    ("isolation", "names"),
    [
        (Isolation.USER, {b"\x1fanita\x1f": ANITAS, b"\x1fravi\x1f": RAVIS}),
        (Isolation.BROKER, {b"\x1fangel\x1f": ANITAS}),
        (Isolation.NONE, {b"": ANITAS}),
    ],
)
def test_rule_2_scopes_are_those_of_the_isolation(
    isolation: Isolation, names: dict[bytes, str]
) -> None:
    book = make(isolation, ANITA, RAVI)
    for scope, name in names.items():
        assert asked(book.apply([want("A", scope=scope)], 0.0)) == {name: [("A", LTP)]}


def test_rule_2_what_one_account_refuses_another_may_have() -> None:
    book = make(Isolation.BROKER, ANITA, RAVI)
    one = want("A")
    book.apply([one], 0.0)
    outcome = book.results(ANITAS, no(one, why="capacity reached"))
    assert asked(outcome) == {ANITAS: [("A", 0)], RAVIS: [("A", LTP)]}
    assert outcome.answers == []
    outcome = book.results(RAVIS, no(one, why="capacity reached, too"))
    assert outcome.answers == [Result(one.key, LTP, "capacity reached, too")]
    assert asked(outcome) == {RAVIS: [("A", 0)]}
    assert len(book) == 0
    assert asked(book.apply([one], 0.0)) == {ANITAS: [("A", LTP)]}, "asked anew, all are tried"


def test_rule_2_who_has_refused_a_key_is_asked_again_when_more_of_it_is_wanted() -> None:
    book = make(Isolation.BROKER, ANITA, RAVI)
    one, more = want("A"), want("A", LTP | DEPTH)
    book.apply([one], 0.0)
    book.results(ANITAS, no(one))
    book.apply([more], 0.0)
    outcome = book.results(RAVIS, no(more))
    assert asked(outcome)[ANITAS] == [("A", LTP | DEPTH)]
    assert outcome.answers == []


def test_rule_5_a_refusal_for_want_of_room_is_told_as_one() -> None:
    book = make(Isolation.BROKER, ANITA, RAVI)
    one, two = want("A"), want("B")
    book.apply([one, two], 0.0)
    full = [(one.key, LTP, "no room", worker_wants.FULL)]
    assert book.results(ANITAS, full).answers == [], "another account may have it"
    assert book.results(RAVIS, full).answers == [Result(one.key, LTP, "no room", code=FULL)]
    book.results(ANITAS, no(two))
    assert book.results(RAVIS, no(two)).answers == [Result(two.key, LTP, "unknown symbol")]


def test_rule_2_without_a_login_a_key_is_refused_with_the_reason() -> None:
    book = make()
    one = want("A")
    assert "no broker login" in book.apply([one], 0.0).answers[0].error
    book.apply([login(ANITA)], 0.0)
    book.stands(ANITAS, "failed", "BROKER_ERROR", "token expired")
    assert book.apply([one], 0.0).answers == [Result(one.key, LTP, "token expired")]
    assert len(book) == 0


def test_rule_2_a_key_waits_for_a_login_that_is_connecting() -> None:
    book, one = make(), want("A")
    assert asked(book.apply([one, login(ANITA)], 0.0)) == {ANITAS: [("A", LTP)]}


def test_rule_2_one_that_is_up_goes_before_one_that_may_come_up() -> None:
    book = make()
    book.apply([login(ANITA), login(RAVI)], 0.0)
    book.stands(RAVIS, "up", "", "")
    assert asked(book.apply([want("A")], 0.0)) == {RAVIS: [("A", LTP)]}


def test_rule_2_an_account_that_leaves_hands_its_keys_over() -> None:
    book, one, two = make(Isolation.BROKER, ANITA, RAVI), want("A"), want("B")
    book.apply([one, two], 0.0)
    book.results(ANITAS, yes(one, two))
    book.apply([login(ANITA, 0)], 0.0)
    outcome = book.sweep(30.0)
    assert sorted(asked(outcome)[RAVIS]) == [("A", LTP), ("B", LTP)]
    assert outcome.answers == []
    assert len(book.results(RAVIS, yes(one, two)).answers) == 2


def test_rule_2_an_account_that_fails_hands_its_keys_to_one_that_is_up() -> None:
    book, one = make(Isolation.BROKER, ANITA, RAVI), want("A")
    book.apply([one], 0.0)
    book.results(ANITAS, yes(one))
    outcome = book.stands(ANITAS, "failed", "", "token expired")
    assert asked(outcome)[RAVIS] == [("A", LTP)]


def test_rule_2_a_refused_mode_takes_nothing_from_those_that_are_there() -> None:
    book, one = make(Isolation.BROKER, ANITA), want("A")
    book.apply([one], 0.0)
    book.results(ANITAS, yes(one))
    more = want("A", LTP | DEPTH)
    assert asked(book.apply([more], 0.0)) == {ANITAS: [("A", LTP | DEPTH)]}
    outcome = book.results(ANITAS, no(more, why="no depth"))
    assert outcome.answers == [Result(one.key, LTP | DEPTH, "no depth")]
    assert asked(outcome) == {ANITAS: [("A", LTP)]}
    assert len(book) == 1


def test_rule_3_what_was_there_waits_for_its_login_and_nobody_hears_of_it() -> None:
    book, one, two = make(Isolation.BROKER, ANITA), want("A"), want("B")
    book.apply([one], 0.0)
    book.results(ANITAS, yes(one))
    book.stands(ANITAS, "failed", "BROKER_ERROR", "token expired")
    assert book.results(ANITAS, no(one, why="token expired")) == Outcome([], [])
    assert book.apply([two], 0.0).answers == [Result(two.key, LTP, "token expired")]
    book.stands(ANITAS, "up", "", "")
    assert book.results(ANITAS, yes(one)).answers == [Result(one.key, LTP)]
    assert len(book) == 1


def test_rule_3_what_is_refused_when_it_is_asked_for_again_is_lost() -> None:
    book, one = make(Isolation.BROKER, ANITA), want("A")
    book.apply([one], 0.0)
    book.results(ANITAS, yes(one))
    outcome = book.results(ANITAS, no(one, why="delisted"))
    assert outcome.answers == [Result(one.key, LTP, "delisted")]
    assert len(book) == 0


def test_rule_4_a_worker_that_starts_is_told_everything() -> None:
    book, one = make(Isolation.BROKER, ANITA, RAVI, ZOE), want("A")
    book.apply([one, want("B", QUOTE)], 0.0)
    book.results(ANITAS, yes(one))
    book.apply([login(RAVI, 0), login(ZOE, 0)], 0.0)
    book.sweep(15.0)
    outcome = book.began()
    assert told(outcome) == [("on", ANITAS), ("on", RAVIS), ("on", ZOES)]
    assert asked(outcome)[ANITAS] == [("A", LTP), ("B", QUOTE)], "in the order they came"
    book.sweep(30.0)
    assert told(book.began()) == [("on", ANITAS)], "who was leaving has left"


def test_a_new_login_does_not_wait_for_an_adapter_that_hangs() -> None:
    book = make(Isolation.BROKER, ANITA, RAVI)
    book.apply([want("INFY"), want("TCS", DEPTH)], 0.0)
    outcome = book.invalidate("anita", "ALL", {ANITAS, RAVIS})
    assert told(outcome) == [("invalidate", None), ("on", ANITAS)]
    assert [command["anew"] for command in outcome.commands if "anew" in command] == [True]
    assert asked(outcome) == {ANITAS: [("INFY", LTP), ("TCS", DEPTH)]}
    assert told(book.invalidate("anita", "ALL", {RAVIS})) == [("invalidate", None)]


def test_who_waits_for_an_adapter_that_hangs_is_told_so() -> None:
    book, one, two = make(Isolation.BROKER, ANITA), want("A"), want("B")
    book.apply([one], 0.0)
    book.results(ANITAS, yes(one))
    book.apply([two], 0.0)
    outcome = book.hangs(ANITAS, "it hangs")
    assert outcome.answers == [Result(two.key, LTP, "it hangs")]
    assert book.results(ANITAS, yes(two)).answers == [], "too late"
    book.apply([login(ZOE)], 0.0)
    outcome = book.hangs(ZOES, "it hangs")
    assert outcome.answers == [Result(topics.login(*ZOE), 1, "it hangs")]
    assert book.hangs("nobody/there", "") == Outcome([], [])


def test_releases_of_one_who_stays_are_single_ones() -> None:
    book, one, two = make(Isolation.BROKER, ANITA), want("A"), want("B")
    book.apply([one, two], 0.0)
    outcome = book.apply([one._replace(modes=0), two._replace(modes=0)], 0.0)
    assert asked(outcome) == {ANITAS: [("A", 0), ("B", 0)]}
    assert book.apply([one._replace(modes=0)], 0.0) == Outcome([], [])


def test_more_levels_are_asked_of_the_same_account() -> None:
    book, one = make(Isolation.BROKER, ANITA), want("A", DEPTH)
    book.apply([one], 0.0)
    book.results(ANITAS, yes(one, levels=5))
    deeper = want("A", DEPTH, depth=20)
    outcome = book.apply([deeper], 0.0)
    assert outcome.commands[0]["wants"] == [deeper]
    assert book.results(ANITAS, yes(deeper, levels=20)).answers == [Result(one.key, DEPTH, "", 20)]
