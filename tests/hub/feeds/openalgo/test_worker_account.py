"""An account: the calls its adapter gets for what is wanted, and what is told of them."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from hub.feeds.openalgo import worker_account, worker_checkout
from hub.feeds.openalgo.worker_account import Account
from hub.feeds.openalgo.worker_publisher import Door
from hub.feeds.openalgo.worker_wants import FULL, Held, Want
from tests.hub.feeds.openalgo.kit import DEPTH, LTP, PATIENCE_S, QUOTE, Parent, start, want
from tests.openalgo import Checkout

OK = ("", 0)
INFY, TCS = b"NSE_INFY", b"NSE_TCS"


def calls(worker: Parent) -> list[tuple[Any, ...]]:
    """(call, symbol, mode) of every subscribe and unsubscribe so far."""
    names = ("subscribe", "unsubscribe")
    return [(call["call"][:-9], call["symbol"], call["mode"]) for call in worker.called(*names)]


@pytest.mark.parametrize(
    ("steps", "pooled", "alone"),
    [
        ([LTP], [("", 1)], [("", 1)]),
        ([LTP, LTP], [("", 1)], [("", 1)]),
        ([LTP, LTP | QUOTE], [("", 1), ("", 2)], [("", 1), ("", 2)]),
        ([LTP | QUOTE | DEPTH], [("", 1), ("", 2), ("", 3)], [("", 1), ("", 2), ("", 3)]),
        ([LTP, 0], [("", 1), ("un", 1)], [("", 1), ("un", 1)]),
        ([LTP, 0, LTP], [("", 1), ("un", 1), ("", 1)], [("", 1), ("un", 1), ("", 1)]),
        ([LTP, QUOTE], [("", 1), ("", 2)], [("", 1), ("", 2), ("un", 1)]),
        (
            [LTP | DEPTH, LTP],
            [("", 1), ("", 3), ("un", 3), ("", 1)],
            [("", 1), ("", 3), ("un", 3), ("", 1)],
        ),
        ([0, LTP], [("", 1)], [("", 1)]),
        (
            [LTP, LTP | DEPTH, DEPTH, 0],
            [("", 1), ("", 3), ("un", 3), ("un", 1)],
            [("", 1), ("", 3), ("un", 1), ("un", 3)],
        ),
        (
            [LTP | QUOTE | DEPTH, 0],
            [("", 1), ("", 2), ("", 3), ("un", 3), ("un", 1), ("un", 2)],
            [("", 1), ("", 2), ("", 3), ("un", 1), ("un", 2), ("un", 3)],
        ),
        (
            [LTP, LTP | DEPTH, LTP, 0],
            [("", 1), ("", 3), ("un", 3), ("", 1), ("un", 1)],
            [("", 1), ("", 3), ("un", 3), ("", 1), ("un", 1)],
        ),
    ],
)
def test_wants_are_states_and_the_calls_are_their_differences(
    checkout: Checkout,
    steps: list[int],
    pooled: list[tuple[str, int]],
    alone: list[tuple[str, int]],
) -> None:
    for setting, expected in (("true", pooled), ("false", alone)):
        (checkout.root / "calls.jsonl").unlink(missing_ok=True)
        with start(checkout, ENABLE_CONNECTION_POOLING=setting) as worker:
            worker.up("anita")
            for modes in steps:
                worker.want("anita", want("INFY", modes))
            worker.want("anita", want("TCS"))
            told = worker.results("anita", sum(1 for modes in steps if modes) + 1)
            found = calls(worker)
        assert told[:-1] == [(INFY, modes, *OK) for modes in steps if modes]
        assert found == [(name, "INFY", mode) for name, mode in expected] + [("", "TCS", 1)]


@pytest.mark.parametrize("pooling", ["true", "false"])
def test_an_adapter_that_keeps_copies_is_left_with_one_and_with_none_in_the_end(
    checkout: Checkout, pooling: str
) -> None:
    with start(checkout, ENABLE_CONNECTION_POOLING=pooling) as worker:
        worker.up("anita", "zebu")
        for modes in (LTP, LTP | DEPTH, LTP, LTP | DEPTH, LTP):
            worker.want("anita", want("INFY", modes))
        worker.results("anita", 5)
        worker.tick(b"NSE_INFY_LTP")
        asked = [name for name, _, mode in calls(worker) if mode == 1]
        assert asked.count("") - asked.count("un") == 1
        worker.want("anita", want("INFY", LTP | DEPTH), want("INFY", 0), want("TCS"))
        worker.results("anita", 2)
        asked = [name for name, symbol, mode in calls(worker) if (symbol, mode) == ("INFY", 1)]
        assert asked.count("") == asked.count("un")
        worker.tick(b"NSE_TCS_LTP")
        worker.ticks.clear()
        worker.tick(b"NSE_TCS_LTP")
        assert worker.topics() == {b"NSE_TCS_LTP"}


@pytest.mark.parametrize("pooling", ["true", "false"])
def test_an_adapter_that_hangs_up_with_its_last_symbol_is_not_used_again(
    checkout: Checkout, pooling: str
) -> None:
    with start(checkout, ENABLE_CONNECTION_POOLING=pooling) as worker:
        worker.up("anita", "fyers")
        worker.want("anita", want("INFY"), want("TCS"))
        worker.results("anita", 2)
        first = worker.tick(b"NSE_INFY_LTP")["adapter"]
        worker.want("anita", want("INFY", 0), want("INFY"), want("TCS", 0))
        worker.results("anita", 1)
        assert worker.tick(b"NSE_INFY_LTP")["adapter"] == first, "one symbol was always there"
        worker.want("anita", want("INFY", 0), want("SBIN"), want("TCS"))
        assert [row[2:] for row in worker.results("anita", 2)] == [OK, OK]
        assert worker.state("anita")["state"] == "up"
        second = worker.tick(b"NSE_SBIN_LTP")["adapter"]
        assert worker.tick(b"NSE_TCS_LTP")["adapter"] == second != first
        assert len(worker.called("disconnect")) == 1
        worker.checkout.mischief(connect={"error": "not today"})
        worker.want("anita", want("SBIN", 0), want("TCS", 0), want("INFY"))
        assert worker.results("anita", 1) == [(INFY, LTP, "not today", 0)]
        assert worker.state("anita")["error"] == "not today"
        worker.checkout.mischief()
        worker.on("anita", "fyers")
        assert worker.results("anita", 1) == [(INFY, LTP, *OK)]


def test_results_are_in_order_one_for_each_want_with_modes(worker: Parent) -> None:
    names = [f"S{number}" for number in range(150)]
    worker.checkout.symbols(names)
    worker.checkout.mischief(subscribe={"error": "not today", "symbols": ["S7", "S149"]})
    worker.up("anita")
    worker.want("anita", *(want(name) for name in names), want("S1", 0), want("GHOST"))
    rows = worker.results("anita", 151)
    assert [row[0] for row in rows] == [f"NSE_{name}".encode() for name in (*names, "GHOST")]
    refused = {row[0]: row[2] for row in rows if row[2]}
    assert refused == {
        b"NSE_S7": "not today",
        b"NSE_S149": "not today",
        b"NSE_GHOST": "no symbol GHOST",
    }


@pytest.mark.parametrize("pooling", ["true", "false"])
@pytest.mark.parametrize(
    ("order", "error"),
    [
        ({"raise": "the broker is at lunch"}, "the broker is at lunch"),
        ({"raise": ""}, "ValueError"),
        ({"exit": True}, "the adapter wanted to leave"),
        ({"error": "no"}, "no"),
    ],
)
def test_whatever_an_adapter_does_is_that_rows_error(
    checkout: Checkout, pooling: str, order: dict[str, Any], error: str
) -> None:
    checkout.mischief(subscribe={**order, "symbols": ["INFY"]})
    with start(checkout, ENABLE_CONNECTION_POOLING=pooling) as worker:
        worker.up("anita")
        worker.want("anita", want("INFY"), want("TCS"))
        first, second = worker.results("anita", 2)
        if not (pooling == "true" and error == "ValueError"):  # the pool answers with no text then
            assert first == (INFY, LTP, error, 0)
        assert first[2]
        assert second == (TCS, LTP, *OK)
        worker.checkout.mischief()
        worker.want("anita", want("INFY"))
        assert worker.results("anita", 1) == [(INFY, LTP, *OK)]


def test_a_want_succeeds_when_all_its_new_modes_do(single: Parent) -> None:
    single.checkout.mischief(subscribe={"error": "no", "times": 1})
    single.up("anita")
    single.want("anita", want("INFY", LTP | QUOTE))
    assert single.results("anita", 1) == [(INFY, LTP | QUOTE, "no", 0)]
    single.want("anita", want("INFY", LTP | QUOTE))
    assert single.results("anita", 1) == [(INFY, LTP | QUOTE, *OK)]
    assert calls(single) == [("", "INFY", 1), ("", "INFY", 2), ("", "INFY", 1)]


@pytest.mark.parametrize("pooling", ["true", "false"])
def test_more_levels_are_asked_for_and_the_true_number_is_told(
    checkout: Checkout, pooling: str
) -> None:
    checkout.mischief(subscribe={"depth": 20})
    with start(checkout, ENABLE_CONNECTION_POOLING=pooling) as worker:
        worker.up("anita")
        worker.want("anita", want("INFY", DEPTH, 5), want("TCS", LTP))
        worker.want("anita", want("INFY", DEPTH, 50), want("INFY", DEPTH, 20))
        assert [row[2:] for row in worker.results("anita", 4)] == [("", 20), OK, ("", 20), ("", 20)]
        asked = [call["depth"] for call in worker.called("subscribe", symbol="INFY")]
    assert asked == [5, 50]


def test_a_number_of_levels_that_is_none_is_not_told(worker: Parent) -> None:
    worker.checkout.mischief(subscribe={"depth": "many"})
    worker.up("anita")
    worker.want("anita", want("INFY", DEPTH))
    assert worker.results("anita", 1) == [(INFY, DEPTH, *OK)]


def test_a_full_connection_is_followed_by_another_until_there_are_all(checkout: Checkout) -> None:
    limits = {"MAX_SYMBOLS_PER_WEBSOCKET": "2", "MAX_WEBSOCKET_CONNECTIONS": "2"}
    with start(checkout, **limits) as worker:
        worker.up("anita", prefix=b"p\x1f")
        names = ("RELIANCE", "INFY", "TCS", "SBIN", "M&M")
        worker.want("anita", *map(want, names))
        said = [row[2:] for row in worker.results("anita", 5)]
        assert said == [*[OK] * 4, ("Maximum capacity reached: 2 connections", FULL)]
        worker.until(lambda: len(worker.topics()) >= 4)
        assert worker.topics() == {f"p\x1fNSE_{name}_LTP".encode() for name in names[:4]}
        row = worker.account("anita")
        worker.want("anita", want("TCS", 0), want("M&M"))
        assert worker.results("anita", 1) == [(b"NSE_M&M", LTP, *OK)]
        worker.want("anita", want("TCS"), want("M&M", 0), want("GHOST"))
        said = [row[2:] for row in worker.results("anita", 2)]
        assert said[0][1] == FULL
        assert said[1] == ("no symbol GHOST", 0), "there is room, and no such symbol"
    assert (row["connections"], row["symbols"], row["connected"]) == (2, 4, True)


@pytest.mark.parametrize("broker", ["flattrade", "shoonya"])
def test_a_broker_that_bears_one_connection_gets_one_with_room_for_all(
    checkout: Checkout, broker: str
) -> None:
    limits = {"MAX_SYMBOLS_PER_WEBSOCKET": "2", "MAX_WEBSOCKET_CONNECTIONS": "2"}
    with start(checkout, **limits) as worker:
        worker.up("anita", broker)
        worker.want("anita", *map(want, ("RELIANCE", "INFY", "TCS", "SBIN", "M&M")))
        said = [row[2:] for row in worker.results("anita", 5)]
        row = worker.account("anita")
        assert len(worker.called("connect")) == 1
    assert said == [*[OK] * 4, ("Maximum capacity reached: 1 connections", FULL)]
    assert (row["connections"], row["symbols"], row["connected"]) == (1, 4, True)


def test_no_account_waits_for_another_whose_adapter_hangs(worker: Parent) -> None:
    worker.checkout.mischief(anita__subscribe={"until": "morning"})
    worker.up("anita")
    worker.up("bala")
    worker.want("anita", want("INFY"))
    worker.want("bala", want("INFY"))
    assert worker.results("bala", 1) == [(INFY, LTP, *OK)]
    row = worker.account("anita", lambda row: row["busy_s"] > 0)
    assert row["call"] == "subscribe"
    assert worker.account("bala")["call"] == ""
    worker.checkout.let_go("morning")
    assert worker.results("anita", 1) == [(INFY, LTP, *OK)]
    assert worker.account("anita", lambda row: row["busy_s"] == 0)["symbols"] == 1


def test_rule_6_another_takes_the_place_of_an_account_that_hangs(worker: Parent) -> None:
    worker.checkout.mischief(anita__subscribe={"until": "morning", "symbols": ["INFY"]})
    worker.up("anita", prefix=b"old\x1f")
    worker.want("anita", want("TCS"))
    worker.results("anita", 1)
    worker.want("anita", want("INFY"))
    worker.wait_called("subscribe", symbol="INFY")
    worker.want("anita", want("SBIN"))
    worker.send("invalidate", user="anita", kind="ALL")
    worker.on("anita", prefix=b"new\x1f", anew=True)
    assert worker.state("anita")["state"] == "up"
    worker.want("anita", want("TCS"))
    assert worker.results("anita", 1) == [(TCS, LTP, *OK)]
    worker.checkout.let_go("morning")
    worker.wait_called("disconnect")
    worker.tick(b"new\x1fNSE_TCS_LTP")
    worker.health()
    worker.health()
    assert worker.topics() == {b"new\x1fNSE_TCS_LTP"}
    assert not [message for message in worker.messages if message["t"] != "health"]
    assert len({call["adapter"] for call in worker.called("connect")}) == 2
    assert not worker.called("subscribe", symbol="SBIN")
    (gone,) = worker.called("disconnect")
    assert gone["adapter"] == worker.called("connect")[0]["adapter"]


def test_off_disconnects_and_a_later_on_begins_anew(worker: Parent) -> None:
    worker.up("anita")
    worker.want("anita", want("INFY"))
    worker.results("anita", 1)
    worker.off("anita")
    worker.want("anita", want("TCS"))
    assert worker.state("anita")["state"] == "down"
    assert worker.results("anita", 1) == [(TCS, LTP, "not connected", 0)]
    assert worker.called("disconnect")
    assert not worker.health()["accounts"]
    worker.on("anita")
    assert worker.state("anita")["state"] == "up"
    worker.want("anita", want("INFY"))
    assert worker.results("anita", 1) == [(INFY, LTP, *OK)]
    assert calls(worker) == [("", "INFY", 1)] * 2


def test_off_and_on_in_one_breath_are_done_in_that_order(worker: Parent) -> None:
    worker.up("anita")
    worker.off("anita")
    worker.on("anita")
    worker.want("anita", want("INFY"))
    assert worker.state("anita")["state"] == "down"
    assert worker.state("anita")["state"] == "up"
    assert worker.results("anita", 1) == [(INFY, LTP, *OK)]
    assert worker.account("anita")["state"] == "up"


def test_off_for_an_account_there_is_not_is_answered(worker: Parent) -> None:
    worker.off("ghost")
    assert worker.state("ghost")["state"] == "down"
    worker.want("ghost", want("INFY"), want("TCS", 0))
    assert worker.results("ghost", 1) == [(INFY, LTP, "not connected", 0)]


def test_on_for_one_that_is_up_says_so_and_does_nothing(worker: Parent) -> None:
    worker.up("anita", prefix=b"a\x1f")
    worker.on("anita", prefix=b"b\x1f")
    assert worker.state("anita") == {
        "t": "account",
        "account": "anita",
        "state": "up",
        "code": "",
        "error": "",
    }
    assert len(worker.called("connect")) == 1
    worker.want("anita", want("INFY"))
    worker.tick(b"b\x1fNSE_INFY_LTP")


def test_wants_wait_for_the_connection_that_is_being_made(worker: Parent) -> None:
    worker.checkout.mischief(connect={"until": "morning"})
    worker.checkout.login("anita", "angel")
    worker.on("anita")
    worker.want("anita", want("INFY"))
    worker.account("anita", lambda row: row["call"] == "connect")
    assert not [message for message in worker.messages if message["t"] == "results"]
    worker.checkout.let_go("morning")
    assert worker.state("anita")["state"] == "up"
    assert worker.results("anita", 1) == [(INFY, LTP, *OK)]


def test_a_failed_account_refuses_with_its_reason_and_asks_when_it_is_up(worker: Parent) -> None:
    worker.checkout.mischief(connect={"error": "come back later"})
    worker.checkout.login("anita", "angel")
    worker.on("anita")
    assert worker.state("anita")["state"] == "failed"
    worker.want("anita", want("INFY"), want("TCS"), want("TCS", 0))
    assert worker.results("anita", 2) == [
        (INFY, LTP, "come back later", 0),
        (TCS, LTP, "come back later", 0),
    ]
    row = worker.account("anita")
    assert (row["state"], row["connected"], row["problem"]) == ("failed", False, "come back later")
    worker.checkout.mischief()
    worker.on("anita")
    assert worker.state("anita")["state"] == "up"
    assert worker.results("anita", 1) == [(INFY, LTP, *OK)]
    assert worker.account("anita")["problem"] == ""
    assert calls(worker) == [("", "INFY", 1)]


@pytest.mark.parametrize(
    ("broker", "left"),
    [("flattrade", []), ("angel", [("un", "INFY", 1), ("un", "TCS", 2)])],
)
def test_unsubscribe_all_leaves_nothing_subscribed_and_the_connection_up(
    worker: Parent, broker: str, left: list[Any]
) -> None:
    worker.up("anita", broker)
    worker.want("anita", want("INFY", LTP), want("TCS", QUOTE))
    worker.send("unsubscribe_all", account="anita")
    worker.want("anita", want("INFY", LTP))
    worker.results("anita", 3)
    before = [("", "INFY", 1), ("", "TCS", 2)]
    assert calls(worker) == [*before, *left, ("", "INFY", 1)]
    assert len(worker.called("unsubscribe_all")) == (broker == "flattrade")
    assert not worker.called("disconnect")
    assert worker.account("anita", lambda row: row["symbols"] == 1)["connected"]


@pytest.mark.parametrize("kind", ["AUTH", "FEED", "ALL"])
def test_an_invalidation_connects_anew_with_what_is_written_now(worker: Parent, kind: str) -> None:
    worker.up("anita")
    worker.up("bala")
    worker.want("anita", want("INFY", LTP), want("TCS", DEPTH, 20), want("SBIN"), want("SBIN", 0))
    worker.results("anita", 3)
    worker.checkout.login("anita", "angel", "token-of-tomorrow")
    worker.checkout.mischief(subscribe={"error": "gone", "symbols": ["TCS"]})
    worker.send("invalidate", user="anita", kind=kind)
    assert worker.state("anita")["state"] == "up"
    assert worker.results("anita", 2) == [(INFY, LTP, *OK), (TCS, DEPTH, "gone", 0)]
    first, second = worker.called("initialize", user="anita")
    assert first["token"] == "token-of-the-day"
    assert second["token"] == "token-of-tomorrow"
    assert second["feed_token"] == "token-of-tomorrow-feed"
    asked = [(c["symbol"], c["mode"], c["depth"]) for c in worker.called("subscribe")]
    assert asked[-2:] == [("INFY", 1, 5), ("TCS", 3, 20)]
    assert {call["user"] for call in worker.called("disconnect")} == {"anita"}
    worker.tick(b"NSE_INFY_LTP")


def test_ticks_of_all_modes_come_again_after_an_invalidation(worker: Parent) -> None:
    worker.up("anita")
    worker.want("anita", want("INFY", QUOTE))
    worker.want("anita", want("INFY", QUOTE | DEPTH))
    worker.results("anita", 2)
    worker.send("invalidate", user="anita", kind="ALL")
    assert worker.results("anita", 1) == [(INFY, QUOTE | DEPTH, *OK)]
    again = worker.tick(b"NSE_INFY_QUOTE")["adapter"]
    assert worker.tick(b"NSE_INFY_DEPTH")["adapter"] == again


def test_an_invalidation_counts_for_a_user_who_comes_later(worker: Parent) -> None:
    worker.up("anita")
    worker.off("anita")
    worker.state("anita")
    worker.checkout.login("anita", "angel", "token-of-tomorrow")
    worker.send("invalidate", user="anita", kind="ALL")
    worker.on("anita")
    assert worker.state("anita")["state"] == "up"
    assert worker.called("initialize")[-1]["token"] == "token-of-tomorrow"


def test_every_connection_reads_the_database_anew(worker: Parent) -> None:
    worker.up("anita")
    worker.checkout.login("anita", "angel", "token-of-tomorrow")
    worker.send("invalidate", user="bala", kind="AUTH")  # the row is still in the other cache
    worker.off("anita")
    worker.on("anita")
    assert [worker.state("anita")["state"] for _ in range(2)] == ["down", "up"]
    assert worker.called("initialize")[-1]["token"] == "token-of-tomorrow"


def test_an_invalidation_counts_for_a_token_that_is_being_read(worker: Parent) -> None:
    worker.checkout.mischief(token={"until": "morning"})
    worker.checkout.login("anita", "angel")
    worker.on("anita")
    worker.wait_called("token")
    worker.checkout.login("anita", "angel", "token-of-tomorrow")
    worker.send("invalidate", user="anita", kind="ALL")

    worker.health()
    worker.checkout.let_go("morning")
    assert [worker.state("anita")["state"] for _ in range(2)] == ["up", "up"]
    tokens = [call["token"] for call in worker.called("initialize")]
    assert tokens == ["token-of-the-day", "token-of-tomorrow"]


def test_an_invalidation_gives_a_failed_account_another_chance(worker: Parent) -> None:
    worker.checkout.login("anita", "angel")
    worker.checkout.logout("anita")
    worker.on("anita")
    assert worker.state("anita")["error"] == "no token for anita"
    worker.checkout.login("anita", "angel")
    worker.send("invalidate", user="anita", kind="ALL")
    assert worker.state("anita")["state"] == "up"


def test_an_invalidation_of_a_logged_out_user_fails_the_account(worker: Parent) -> None:
    worker.up("anita")
    worker.want("anita", want("INFY"))
    worker.results("anita", 1)
    worker.checkout.logout("anita")
    worker.send("invalidate", user="anita", kind="ALL")
    told = worker.state("anita")
    assert (told["state"], told["error"]) == ("failed", "no token for anita")
    assert worker.results("anita", 1) == [(INFY, LTP, "no token for anita", 0)]


@pytest.mark.parametrize("secret", ["token-of-the-day", "broker-key-of-the-miniature"])
def test_no_token_that_is_known_is_in_an_error(worker: Parent, secret: str) -> None:
    worker.checkout.mischief(subscribe={"error": f"wss://broker/?key={secret}&x=1 is down"})
    worker.up("anita")
    worker.want("anita", want("INFY"))
    assert worker.results("anita", 1)[0][2] == "wss://broker/?key=***&x=1 is down"
    worker.checkout.mischief(connect={"error": f"bad {secret}"})
    worker.send("invalidate", user="anita", kind="ALL")
    assert worker.state("anita")["error"] == "bad ***"


def test_a_connection_that_dies_is_seen_in_health(worker: Parent) -> None:
    worker.up("anita")
    worker.want("anita", want("INFY"))
    assert worker.account("anita", lambda row: row["symbols"])["connected"]
    worker.checkout.mischief(publish={"die": True})
    row = worker.account("anita", lambda row: not row["connected"])
    assert row["problem"] == "1 of 1 connections are down"
    assert row["state"] == "up"


def test_a_connection_that_carries_nothing_may_be_down(worker: Parent) -> None:
    worker.up("anita")
    worker.checkout.mischief(publish={"die": True})
    row = worker.account("anita", lambda row: not row["connected"])
    assert (row["state"], row["problem"]) == ("up", "")


def test_an_account_that_connects_has_no_problem_yet(worker: Parent) -> None:
    worker.checkout.mischief(connect={"until": "morning"})
    worker.checkout.login("anita", "angel")
    worker.on("anita")
    row = worker.account("anita", lambda row: row["call"] == "connect")
    assert row["problem"] == ""


def test_an_adapter_without_a_pool_publishes_through_the_worker(single: Parent) -> None:
    single.up("anita", "dhan_sandbox", prefix=b"p\x1f")
    single.want("anita", want("INFY"))
    assert single.tick(b"p\x1fNSE_INFY_LTP")["symbol"] == "INFY"
    row = single.account("anita", lambda row: row["symbols"] == 1)
    assert (row["connections"], row["connected"]) == (1, True)


def test_every_call_of_an_account_is_made_by_its_own_thread(worker: Parent) -> None:
    worker.up("anita")
    worker.up("bala")
    worker.want("anita", want("INFY"))
    worker.want("bala", want("INFY"))
    worker.results("anita", 1)
    worker.results("bala", 1)
    worker.off("anita")
    worker.state("anita")
    threads = {call["user"]: set[str]() for call in worker.called()}
    for call in worker.called():
        threads[call["user"]].add(call["thread"])
    assert threads == {"anita": {"account-anita"}, "bala": {"account-bala"}}


class Dead:
    """An adapter whose connection is down, and that does nothing about it."""

    def __init__(self, *, connected: bool = False) -> None:
        self.connected = connected
        self.calls: list[str] = []

    def subscribe(self, *_: Any) -> dict[str, str]:
        self.calls.append("subscribe")
        return {"status": "success"}

    def disconnect(self) -> None:
        self.calls.append("disconnect")


@pytest.fixture
def dead() -> Iterator[Account]:
    """An account that has a symbol, and whose adapter is down."""
    door = Door()
    account = Account("angel/anita", "anita", "angel", b"", door)
    account._adapter, account._state = Dead(), "up"
    account._wanted[INFY] = Want(*want("INFY"))
    account._settle(list(account._wanted.values()))
    yield account
    account.abandon()
    door.close()


def renewals(account: Account, until_s: int, *, ticks: int = 0) -> list[int]:
    """The seconds at which it is told to connect anew, of so many with so many ticks each."""
    jobs: list[Any] = []
    account._jobs = SimpleNamespace(put=jobs.append)  # type: ignore[assignment]  # nobody takes them
    found = []
    for now in range(until_s):
        account._publisher.ticks += ticks
        account.health(float(now))
        found += [now] * len(jobs)
        jobs.clear()
    account._jobs = queue.SimpleQueue()
    return found


def test_rule_5_what_stays_down_is_connected_anew_ever_more_seldom(dead: Account) -> None:
    assert renewals(dead, 1000) == [60, 180, 420, 900]


def test_rule_5_it_waits_no_longer_than_an_hour_and_after_a_tick_as_at_first(dead: Account) -> None:
    found = renewals(dead, 20_000)
    waits = [after - before for before, after in pairwise(found)]
    assert waits[-2:] == [3600, 3600]
    dead._publisher.ticks += 1
    dead._down_since = 0.0
    assert renewals(dead, 200)[:2] == [60, 180]


@pytest.mark.parametrize("alive", ["up", "ticks", "empty", "busy", "failed"])
def test_rule_5_what_lives_has_nothing_or_is_at_work_is_left_alone(
    dead: Account, alive: str
) -> None:
    if alive == "up":
        dead._adapter.connected = True
    elif alive == "empty":
        dead._held.clear()
    elif alive == "busy":
        dead.line.take("subscribe")
    elif alive == "failed":
        dead._state = "failed"
    ticks = 1 if alive == "ticks" else 0  # it says that it is down, and is not
    assert renewals(dead, 1000, ticks=ticks) == []


@pytest.mark.parametrize("ticks_first", [0, 5])
def test_a_quiet_market_never_has_a_connection_made_anew(dead: Account, ticks_first: int) -> None:
    """Open or closed, for two days: no tick is no reason, whatever there was before."""
    dead._adapter.connected = True
    dead._publisher.ticks += ticks_first
    assert renewals(dead, 2 * 86_400) == []
    dead._adapter.connected = False
    dead._down_since = 0.0
    assert renewals(dead, 1000) == [60, 180, 420, 900], "one that is down is, and backs off"


def test_rule_5_it_gets_a_new_connection_and_everything_is_asked_for_again(
    dead: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = dead._adapter, Dead(connected=True)
    monkeypatch.setattr(worker_account, "connect", lambda *_: new)
    dead._reconnect()
    assert old.calls == ["subscribe", "disconnect"]
    assert new.calls == ["subscribe"]
    dead._reconnect()  # it came back by itself meanwhile
    assert new.calls == ["subscribe"]


def test_rule_5_one_that_was_told_to_leave_meanwhile_is_not_connected_anew(
    dead: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_account, "connect", lambda *_: Dead(connected=True))
    dead._off()
    dead._reconnect()
    assert dead._adapter is None


def test_nothing_is_left_of_a_connection_that_has_ended(dead: Account) -> None:
    dead._leftovers.went_up(INFY, Held(LTP), 3)
    dead._spent = True
    dead._hang_up()
    assert repr(dead._leftovers) == "<Leftovers of 0 keys>"
    assert not dead._spent
    assert not dead._held


def test_who_is_not_connected_is_not_full(dead: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(dead._door, "report", told.append)
    full = {"status": "error", "code": "MAX_CAPACITY_REACHED", "message": "no room"}
    monkeypatch.setattr(dead._adapter, "subscribe", lambda *_: full)
    for adapter in (dead._adapter, None):
        dead._adapter = adapter
        dead._settle([Want(*want("TCS"))])
    assert [row["results"][0][3] for row in told] == [FULL, 0]


def test_one_that_is_told_to_connect_leaves_a_connection_that_is_down(
    dead: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = dead._adapter, Dead(connected=True)
    monkeypatch.setattr(worker_account, "connect", lambda *_: new)
    dead._on()
    assert old.calls == ["subscribe", "disconnect"]
    assert new.calls == ["subscribe"]


def test_one_that_was_told_to_leave_wants_nothing_when_it_comes_back(
    dead: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = Dead(connected=True)
    monkeypatch.setattr(worker_account, "connect", lambda *_: new)
    dead._off()
    dead._on()
    assert dead._adapter is new
    assert new.calls == []


def test_rule_6_an_account_abandoned_amid_its_wants_asks_for_no_more(
    dead: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def subscribe(symbol: str, *_: Any) -> None:
        asked.append(symbol)
        dead._abandoned = True  # while it hung there

    monkeypatch.setattr(dead._adapter, "subscribe", subscribe)
    dead._settle([Want(*want("TCS")), Want(*want("SBIN"))])
    assert asked == ["TCS"]


def test_rule_6_no_tick_of_an_abandoned_account_is_passed_on(dead: Account) -> None:
    dead.abandon()
    dead._publisher.publish("NSE_INFY_LTP", {"ltp": 1})
    assert not dead._door.ticks


@pytest.mark.parametrize("error", [SystemExit("out"), KeyError("gone")])
def test_an_account_outlives_whatever_the_checkout_raises(
    dead: Account, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    told: queue.Queue[dict[str, Any]] = queue.Queue()
    monkeypatch.setattr(dead._door, "report", told.put)
    monkeypatch.setattr(worker_checkout, "forget", Mock(side_effect=error))
    dead.renew("ALL")
    assert told.get(timeout=PATIENCE_S)["state"] == "failed"
    dead.off()
    assert told.get(timeout=PATIENCE_S)["state"] == "down"


def test_rule_4_a_connection_that_was_down_before_its_last_symbol_went_is_kept(
    dead: Account,
) -> None:
    """It has not hung up, and may come back by itself."""
    dead._want([Want(*want("INFY", 0))])
    assert not dead._held
    dead._want([Want(*want("TCS"))])
    assert dead._adapter.calls == ["subscribe", "subscribe"]


def test_after_unsubscribe_all_a_later_connection_is_asked_for_nothing(
    dead: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = Dead(connected=True)
    monkeypatch.setattr(worker_account, "connect", lambda *_: new)
    monkeypatch.setattr(dead._adapter, "unsubscribe_all", lambda: None, raising=False)
    dead._unsubscribe_all()
    dead._reconnect()
    assert dead._adapter is new
    assert new.calls == []


def test_rule_5_a_pool_with_one_connection_up_is_left_alone(dead: Account) -> None:
    adapters = [Dead(), Dead(connected=True)]
    dead._adapter = SimpleNamespace(
        subscription_map={}, adapters=adapters, adapter_symbol_counts=[1, 1], disconnect=list
    )
    assert renewals(dead, 1000) == []
    adapters[1].connected = False
    dead._down_since = 0.0
    assert renewals(dead, 100) == [60]
