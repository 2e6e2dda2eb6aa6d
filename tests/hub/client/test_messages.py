"""What a client is told, read."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from hub.client import messages
from hub.client.messages import Depth, Level, Outcome, Stale
from hub.core.errors import Malformed
from hub.core.model import Instrument, Mode

LEVEL = {"price": 1386.0, "quantity": 20, "orders": 3}


def tick(**data: Any) -> messages.Tick:
    message = {"type": "market_data", "symbol": "A_B", "exchange": "NSE", "mode": 3, "data": data,
               "broker": "sim", "new": [1]}  # fmt: skip
    return messages.tick(message, 17)


def test_one_message_and_a_batch_in_either_encoding() -> None:
    one, two = {"a": 1}, {"b": 2}
    assert messages.read(json.dumps(one)) == [one]
    assert messages.read(json.dumps([one, two])) == [one, two]
    assert messages.read(msgspec.msgpack.encode(one)) == [one]
    assert messages.read(msgspec.msgpack.encode([one, two])) == [one, two]


def test_numbers_come_as_they_are_however_large() -> None:
    text = '{"volume": 12345678901234567890123, "x": 1e400}'
    assert messages.read(text) == [{"volume": 12345678901234567890123, "x": float("inf")}]


@pytest.mark.parametrize("what", ["", "x", "1", '["a"]', b"\xc1", b"\x01", '[{"a": 1}, 2]'])
def test_what_is_no_message_of_a_hub_is_malformed(what: str | bytes) -> None:
    with pytest.raises(Malformed, match="no message of a hub"):
        messages.read(what)


def test_a_tick_has_names_for_what_is_common_and_keeps_all_else() -> None:
    one = tick(ltp=1386.5, volume=7, close=1380, timestamp=1767153600000, oi=3)
    assert (one.exchange, one.symbol, one.mode) == ("NSE", "A_B", Mode.DEPTH)
    assert (one.ltp, one.volume, one.close, one.timestamp) == (1386.5, 7, 1380, 1767153600000)
    assert (one.name, one.instrument) == ("NSE:A_B", Instrument("NSE", "A_B"))
    assert one.data["oi"] == 3
    assert one.raw["new"] == [1]
    assert (one.received_ns, one.skipped) == (17, 0)


def test_what_a_tick_does_not_tell_is_none() -> None:
    one = tick(ltp="12", volume=None, depth=5)
    assert (one.ltp, one.volume, one.close, one.timestamp, one.depth) == (None,) * 5
    assert messages.tick({"mode": 1, "data": None, "skipped": 4}, 0).skipped == 4


def test_a_book_has_the_levels_that_the_feed_gives() -> None:
    book = {"buy": [LEVEL, LEVEL | {"price": 1385}], "sell": [{"price": 1387.0}, "?"]}
    assert tick(depth=book).depth == Depth(
        (Level(1386.0, 20, 3), Level(1385, 20, 3)), (Level(1387.0, 0.0, 0),)
    )
    assert tick(depth={}).depth == Depth((), ())


def test_the_rows_of_replies_are_outcomes() -> None:
    good = {"exchange": "NSE", "symbol": "A", "status": "success", "depth": 20}
    bad = {"exchange": "NSE", "symbol": "B", "status": "error", "message": "no B"}
    found = [Outcome(Instrument("NSE", "A"), "", 20), Outcome(Instrument("NSE", "B"), "no B")]
    assert messages.outcomes({"subscriptions": [good, bad]}) == found
    assert messages.outcomes({"successful": [good], "failed": [bad]}) == found
    assert [one.ok for one in found] == [True, False]
    assert found[1].name == "NSE:B"
    assert messages.outcomes({}) == []


def test_what_is_stale() -> None:
    message = {"type": "stale", "symbol": "A", "exchange": "NSE", "mode": 2, "stale": True}
    assert messages.stale(message) == Stale("NSE", "A", Mode.QUOTE, stale=True)
