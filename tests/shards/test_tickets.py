"""Replies that wait: complete when no row waits, and then written for every row in its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hub.core.errors import RequestError
from hub.core.model import Instrument, Mode
from shards import protocol
from shards.protocol import Drop
from shards.tickets import (
    OrdersTicket,
    Refusal,
    Row,
    Stage,
    SubscribeTicket,
    Ticket,
    UnsubscribeTicket,
)
from tests.shards.kit import Client, subscription

SBIN, INFY = Instrument("NSE", "SBIN"), Instrument("NSE", "INFY")


class Keeper:
    """Notes what becomes of its tickets."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, Any]] = []

    def confirm(self, ticket: Any) -> bool:
        self.ended.append(("confirmed", ticket))
        return False

    def cancel(self, ticket: Any) -> None:
        self.ended.append(("cancelled", ticket))


def make(keeper: Keeper, *wanted: Instrument, **more: object) -> SubscribeTicket:
    request = subscription("Depth", *wanted, depth=20, **more)
    asked = protocol.subscribe(request, snapshot=True)
    ticket = SubscribeTicket(keeper, Client(), request, asked, broker="dhan", deadline_s=8.0)
    assert len(list(ticket.read())) == len(wanted)
    ticket.stage = Stage.ENTERED
    return ticket


def test_a_ticket_is_complete_when_all_rows_are_entered_and_none_waits() -> None:
    ticket = make(Keeper(), SBIN, INFY)
    assert ticket.complete
    ticket.stage = Stage.ENTERING
    assert not ticket.complete
    ticket.stage = Stage.ENTERED
    ticket.missing = 2
    assert not ticket.complete
    ticket.missing = 0
    assert ticket.complete


def test_its_reply_has_a_row_for_each_symbol_in_the_order_asked() -> None:
    ticket = make(Keeper(), SBIN, INFY, SBIN, request_id=7)
    ticket.rows[1].problem = "no such symbol"
    ticket.rows[2].depth = None
    ticket.write(ticket.rows[:2])
    ticket.write(ticket.rows[2:])
    reply = json.loads(ticket.reply())
    assert (reply["status"], reply["broker"], reply["request_id"]) == ("partial", "dhan", 7)
    assert [row.get("depth", row.get("message")) for row in reply["subscriptions"]] == [
        20, "no such symbol", None,
    ]  # fmt: skip
    assert [row["symbol"] for row in reply["subscriptions"]] == ["SBIN", "INFY", "SBIN"]
    assert {row.get("mode") for row in reply["subscriptions"]} == {"Depth", None}


def test_rows_written_together_keep_their_own_depth_and_outlive_one_that_failed() -> None:
    ticket = make(Keeper(), SBIN, INFY, SBIN, INFY)
    for row, depth in zip(ticket.rows, (20, 20, 5, 20), strict=True):
        row.depth = depth
    ticket.rows[0].problem = "no such symbol"
    ticket.write(ticket.rows)
    reply = json.loads(ticket.reply())
    assert [row.get("depth") for row in reply["subscriptions"]] == [None, 20, 5, 20]


def test_a_reply_without_a_problem_is_a_success() -> None:
    ticket = make(Keeper(), SBIN)
    ticket.write(ticket.rows)
    assert json.loads(ticket.reply())["status"] == "success"


def test_a_reply_that_cannot_be_written_is_an_error_to_who_asked_and_to_nobody_else() -> None:
    ticket = make(Keeper(), SBIN)
    for _ in range(10_000):
        ticket.rows[0].depth = [ticket.rows[0].depth]
    ticket.write(ticket.rows)
    with pytest.raises(RequestError):
        ticket.reply()


def test_a_row_waits_for_nothing_and_counts_for_nothing_before_it_is_entered() -> None:
    row = Row(SBIN, SBIN.key, 5, "")
    assert (row.waiting, row.wanted) == (False, False)


def test_whoever_made_a_ticket_is_told_how_it_ends() -> None:
    keeper = Keeper()
    tickets: list[Ticket] = [
        make(keeper, SBIN),
        OrdersTicket(keeper, Client(), {}, b"@orders:alice", 1.0),
    ]
    for ticket in tickets:
        assert not ticket.confirm()
        ticket.cancel()
        assert keeper.ended == [("confirmed", ticket), ("cancelled", ticket)]
        keeper.ended.clear()


def test_an_unsubscribe_has_a_row_for_each_entry_and_is_alone() -> None:
    drops = [Drop(SBIN, None), Drop(INFY, None, "mode 9 is none"), Drop(SBIN, Mode.LTP)]
    ticket = UnsubscribeTicket({"request_id": 7}, iter(drops), "dhan")
    kept: Ticket = ticket
    assert kept.alone
    assert not kept.complete
    ticket.write(drops[:1])
    ticket.write(drops[1:])
    assert kept.confirm()
    reply = json.loads(kept.reply())
    assert (reply["status"], reply["broker"], reply["request_id"]) == ("partial", "dhan", 7)
    assert [row["symbol"] for row in reply["successful"]] == ["SBIN", "SBIN"]
    assert [row["message"] for row in reply["failed"]] == ["mode 9 is none"]
    kept.cancel()
    assert ticket.cancelled


def test_an_unsubscribe_that_cannot_be_written_is_an_error_to_who_asked() -> None:
    symbol: Any = []
    for _ in range(10_000):
        symbol = [symbol]
    ticket = UnsubscribeTicket({}, (), "dhan")
    ticket.write([Drop(Instrument("NSE", symbol), None)])
    with pytest.raises(RequestError):
        ticket.reply()


def test_an_orders_ticket_waits_and_then_says_so() -> None:
    ticket = OrdersTicket(Keeper(), Client(), {"request_id": "x"}, b"@orders:alice", 1.0)
    assert not ticket.complete
    reply = json.loads(ticket.reply())
    assert (reply["type"], reply["request_id"]) == ("subscribe_orders", "x")


def test_a_refusal_is_complete_and_changes_nothing() -> None:
    refusal = Refusal(RequestError("INVALID_MODE", "why"))
    ticket: Ticket = refusal
    assert ticket.complete
    assert ticket.confirm()
    ticket.cancel()
    assert json.loads(ticket.reply()) == {
        "status": "error", "code": "INVALID_MODE", "message": "why",
    }  # fmt: skip
