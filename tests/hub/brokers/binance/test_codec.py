"""Binance's streams: what is merged and when, what is asked, what errors mean."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.brokers.base import (
    Addresses,
    Change,
    Confirmed,
    Ended,
    Failed,
    Listing,
    Refused,
    Subscription,
    Warned,
)
from hub.brokers.binance.codec import Codec
from hub.core.model import Fault
from tests.brokers import binance_server as server
from tests.brokers.binance_server import Market

NOW = 1_790_000_123_456
BTC = Listing("CRYPTO", "BTCUSDT", "SPOT", "btcusdt", tick=0.01)
ETH = Listing("CRYPTO", "ETHUSDT", "SPOT", "ethusdt", tick=0.01)


class Taken:
    """What the codec publishes."""

    def __init__(self) -> None:
        self.ticks: list[tuple[Subscription, int, dict[str, Any], int]] = []

    def __call__(self, sub: Subscription, mode: int, payload: bytes, at_ms: int, seq: int) -> None:
        assert 1 <= mode <= sub.mode
        assert seq == 0
        self.ticks.append((sub, mode, json.loads(payload), at_ms))

    @property
    def last(self) -> dict[str, Any]:
        return self.ticks[-1][2]


def made() -> Codec:
    return Codec({}, Addresses("ws://127.0.0.1:1"))


def wanted(codec: Codec, mode: int, listing: Listing = BTC) -> Subscription:
    sub = Subscription(listing)
    sub.mode = mode
    codec.change([Change(sub, 0, mode)])
    return sub


def said(kind: str, market: Market, symbol: str = "BTCUSDT") -> str:
    text = server.message(f"{symbol.lower()}@{kind}", market)
    assert text is not None
    return text


@pytest.fixture
def codec() -> Codec:
    return made()


@pytest.fixture
def taken() -> Taken:
    return Taken()


def test_a_trade_by_hand(codec: Codec, taken: Taken) -> None:
    wanted(codec, 1)
    text = (
        '{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1672515782136,"s":"BTCUSDT",'
        '"a":12345,"p":"68000.01000000","q":"0.00250000","f":100,"l":105,"T":1672515782130,'
        '"m":true,"M":true}}'
    )
    assert not codec.receive(text, NOW, taken)
    assert taken.ticks[0][3] == 1_672_515_782_130
    assert taken.last == {
        "ltp": 68000.01,
        "ltt": 1_672_515_782_130,
        "last_quantity": 0.0025,
        "symbol": "BTCUSDT",
        "exchange": "CRYPTO",
        "mode": 1,
        "timestamp": NOW,
    }


def test_a_quote_is_merged_of_three_streams(codec: Codec, taken: Taken) -> None:
    wanted(codec, 2)
    market = Market()
    codec.receive(said("ticker", market), NOW, taken)
    assert taken.last == {
        "ltp": 68000.1,
        "ltt": 0,
        "last_quantity": 0.0025,
        "open": 67000.0,
        "high": 68500.0,
        "low": 66800.5,
        "close": 66999.99,
        "volume": 12345.6789,
        "average_price": 67750.12345678,
        "bid_price": 68000.09,
        "bid_qty": 1.5,
        "ask_price": 68000.11,
        "ask_qty": 2.5,
        "symbol": "BTCUSDT",
        "exchange": "CRYPTO",
        "mode": 2,
        "timestamp": NOW,
    }
    market.spread = 0.04
    codec.receive(said("bookTicker", market), NOW, taken)
    assert (taken.last["bid_price"], taken.last["bid_qty"]) == (68000.08, 3.25)
    assert (taken.last["ask_price"], taken.last["ask_qty"]) == (68000.12, 4.75)
    market.last, market.trade = 68010.5, 5001
    codec.receive(said("aggTrade", market), NOW, taken)
    assert (taken.last["ltp"], taken.last["ltt"]) == (68010.5, market.at_ms)
    assert (taken.last["bid_price"], taken.last["high"]) == (68000.08, 68500.0)


def test_changed_quantities_wait_for_the_next_tick(codec: Codec, taken: Taken) -> None:
    wanted(codec, 2)
    market = Market()
    codec.receive(said("ticker", market), NOW, taken)
    codec.receive(said("bookTicker", market), NOW, taken)
    assert len(taken.ticks) == 1
    market.trade += 1
    codec.receive(said("aggTrade", market), NOW, taken)
    assert taken.last["bid_qty"] == 3.25


def test_a_book_holds_all_that_a_quote_does(codec: Codec, taken: Taken) -> None:
    wanted(codec, 3)
    market = Market()
    codec.receive(said("depth5@100ms", market), NOW, taken)
    assert taken.ticks == []
    codec.receive(said("ticker", market), NOW, taken)
    payload = taken.last
    assert (taken.ticks[0][1], payload["mode"], payload["depth_level"]) == (3, 3, 5)
    assert (payload["ltp"], payload["volume"]) == (68000.1, 12345.6789)
    assert (payload["bid_price"], payload["bid_qty"]) == (68000.09, 1.5)
    assert payload["depth"]["buy"][:2] == [
        {"price": 68000.09, "quantity": 1.5, "orders": 0},
        {"price": 68000.08, "quantity": 2.5, "orders": 0},
    ]
    assert [len(side) for side in payload["depth"].values()] == [5, 5]
    assert (payload["totalbuyqty"], payload["totalsellqty"]) == (17.5, 21.25)


def test_before_the_day_is_known_there_is_an_ltp(codec: Codec, taken: Taken) -> None:
    wanted(codec, 3)
    codec.receive(said("aggTrade", Market()), NOW, taken)
    assert [tick[1] for tick in taken.ticks] == [1]


def test_an_older_ticker_does_not_take_a_trade_back(codec: Codec, taken: Taken) -> None:
    wanted(codec, 2)
    codec.receive(said("aggTrade", Market(last=68_111.0, trade=5002)), NOW, taken)
    codec.receive(said("ticker", Market(last=68_000.1, trade=5001)), NOW, taken)
    assert taken.last["ltp"] == 68_111.0
    codec.receive(said("aggTrade", Market(last=67_999.0, trade=5001)), NOW, taken)
    assert len(taken.ticks) == 2
    codec.receive(said("ticker", Market(last=68_222.0, trade=5003)), NOW, taken)
    assert taken.last["ltp"] == 68_222.0


@given(st.permutations(["aggTrade", "ticker", "bookTicker"]))
def test_any_order_gives_the_same_state(order: list[str]) -> None:
    codec, taken = made(), Taken()
    wanted(codec, 2)
    markets = {
        "ticker": Market(last=10.0, trade=1),
        "aggTrade": Market(last=11.0, trade=2),
        "bookTicker": Market(last=12.0, spread=0.5),
    }
    for kind in order:
        codec.receive(said(kind, markets[kind]), NOW, taken)
    codec.receive(said("aggTrade", Market(last=13.0, trade=3)), NOW, taken)
    assert (taken.last["ltp"], taken.last["volume"]) == (13.0, 12345.6789)
    if order.index("bookTicker") > order.index("ticker"):
        assert (taken.last["bid_price"], taken.last["ask_price"]) == (11.75, 12.25)
    assert codec.malformed == 0


def test_requests_name_the_streams_of_the_mode(codec: Codec) -> None:
    sub = Subscription(BTC)
    for change, method, streams in (
        (Change(sub, 0, 1), "SUBSCRIBE", ["aggTrade", "ticker"]),
        (Change(sub, 1, 2), "SUBSCRIBE", ["bookTicker"]),
        (Change(sub, 3, 1), "UNSUBSCRIBE", ["depth5@100ms"]),
        (Change(sub, 1, 0), "UNSUBSCRIBE", ["aggTrade", "ticker"]),
    ):
        (frame,) = codec.change([change])
        request = json.loads(frame)
        assert request["method"] == method
        assert request["params"] == [f"btcusdt@{stream}" for stream in streams]
    first, second = (json.loads(frame) for frame in codec.change([Change(sub, 2, 3)]))
    assert (first["method"], first["params"]) == ("UNSUBSCRIBE", ["btcusdt@bookTicker"])
    assert (second["method"], second["params"]) == ("SUBSCRIBE", ["btcusdt@depth5@100ms"])
    assert second["id"] > first["id"]


def test_a_message_names_fifty_symbols_at_most(codec: Codec) -> None:
    subs = [Subscription(BTC._replace(symbol=f"S{n}", token=f"s{n}")) for n in range(120)]
    frames = [json.loads(frame) for frame in codec.change([Change(sub, 0, 2) for sub in subs])]
    assert [len(frame["params"]) for frame in frames] == [150, 150, 60]


def test_an_acknowledgement_confirms_those_of_its_request(codec: Codec, taken: Taken) -> None:
    sub, other = wanted(codec, 1), wanted(codec, 1, ETH)
    assert codec.receive('{"result":null,"id":2}', NOW, taken) == [Confirmed(other)]
    assert codec.receive('{"result":null,"id":1}', NOW, taken) == [Confirmed(sub)]
    assert not codec.receive('{"result":null,"id":1}', NOW, taken)


@pytest.mark.parametrize(
    "error",
    [
        '{"error":{"code":2,"msg":"Invalid request: too many streams"},"id":1}',
        '{"code":2,"msg":"Invalid request: too many streams","id":1}',
    ],
)
def test_an_error_refuses_those_of_its_request(codec: Codec, taken: Taken, error: str) -> None:
    sub, other = wanted(codec, 1), wanted(codec, 1, ETH)
    (event,) = codec.receive(error, NOW, taken)
    assert isinstance(event, Refused)
    assert (event.subs, event.fault) == ((sub,), Fault.CAPACITY)
    assert "too many streams" in event.text
    assert codec.receive('{"result":null,"id":2}', NOW, taken) == [Confirmed(other)]


def test_an_error_of_no_request_is_told(codec: Codec, taken: Taken) -> None:
    (event,) = codec.receive('{"code":3,"msg":"Invalid JSON"}', NOW, taken)
    assert isinstance(event, Warned)
    assert "Invalid JSON" in event.text


@pytest.mark.parametrize(
    "text",
    [
        '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}',
        '{"e":"serverShutdown","E":1}',
    ],
)
def test_a_server_that_leaves_says_so(codec: Codec, taken: Taken, text: str) -> None:
    (event,) = codec.receive(text, NOW, taken)
    assert isinstance(event, Failed)
    assert event.fault is Fault.NETWORK


@pytest.mark.parametrize(
    ("end", "fault"),
    [
        (Ended(status=429), Fault.RATE),
        (Ended(status=418), Fault.RATE),
        (Ended(status=451), Fault.RATE),
        (Ended(status=503), Fault.NETWORK),
        (Ended(code=1008, reason="Too many requests"), Fault.RATE),
        (Ended(code=1006, ready=True), Fault.NETWORK),
    ],
)
def test_ends_are_told_apart(codec: Codec, end: Ended, fault: Fault) -> None:
    assert codec.ended(end)[0] is fault


def test_messages_are_read_however_they_are_written(codec: Codec, taken: Taken) -> None:
    wanted(codec, 1)
    loose = json.dumps(json.loads(said("aggTrade", Market())), indent=1)
    codec.receive(loose, NOW, taken)
    codec.receive(said("aggTrade", Market(trade=5001)).encode(), NOW, taken)
    assert [tick[2]["ltp"] for tick in taken.ticks] == [68000.1, 68000.1]


def test_what_is_not_wanted_is_silent(codec: Codec, taken: Taken) -> None:
    sub = wanted(codec, 2)
    codec.receive(said("aggTrade", Market(), "ETHUSDT"), NOW, taken)
    sub.mode = 0
    codec.receive(said("ticker", Market()), NOW, taken)
    codec.change([Change(sub, 2, 0)])
    codec.receive(said("ticker", Market()), NOW, taken)
    assert (taken.ticks, codec.malformed) == ([], 0)


def test_a_book_of_before_is_not_shown_again(codec: Codec, taken: Taken) -> None:
    sub = wanted(codec, 3)
    for kind in ("ticker", "depth5@100ms"):
        codec.receive(said(kind, Market()), NOW, taken)
    for was, to in ((3, 2), (2, 3)):
        sub.mode = to
        codec.change([Change(sub, was, to)])
    codec.receive(said("aggTrade", Market(trade=6000)), NOW, taken)
    assert [tick[1] for tick in taken.ticks] == [2, 3, 2]


def test_another_connection_begins_anew(taken: Taken) -> None:
    old = made()
    sub = wanted(old, 2)
    old.receive(said("ticker", Market()), NOW, taken)
    new = made()
    new.change([Change(sub, 0, 2)])
    new.receive(said("aggTrade", Market(trade=9)), NOW, taken)
    assert [tick[1] for tick in taken.ticks] == [2, 1]


def test_symbols_that_are_not_ascii_are_asked_as_they_are(codec: Codec, taken: Taken) -> None:
    sub = Subscription(Listing("CRYPTO", "币USDT", "SPOT", "币usdt"))
    sub.mode = 1
    (frame,) = codec.change([Change(sub, 0, 1)])
    assert "币usdt@aggTrade" in str(frame)
    codec.receive(said("aggTrade", Market(), "币USDT"), NOW, taken)
    assert taken.last["symbol"] == "币USDT"


GOOD = said("aggTrade", Market())


@pytest.mark.parametrize(
    "data",
    [
        "",
        "null",
        "[]",
        "{}",
        GOOD[:-1],
        GOOD[:60],
        GOOD.replace("68000.10000000", "nan"),
        GOOD.replace("68000.10000000", "x"),
        GOOD.replace('"68000.10000000"', "1e400"),
        GOOD.replace('"l":5000', '"l":"5000"'),
        GOOD.encode()[:-9] + b"\xff}}",
        '{"stream":"btcusdt@aggTrade","data":' + "[" * 100_000,
        '{"stream":"btcusdt@ticker","data":{}}',
        '{"stream":"btcusdt@depth5@100ms","data":{"bids":[["1"]],"asks":[]}}',
    ],
)
def test_what_cannot_be_read_is_counted_once(codec: Codec, taken: Taken, data: str | bytes) -> None:
    wanted(codec, 3)
    assert not codec.receive(data, NOW, taken)
    assert (codec.malformed, taken.ticks) == (1, [])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["p", "q", "l", "T", "bids", "asks", "E"]), inner)
    ),
    max_leaves=9,
)
KINDS = ("aggTrade", "ticker", "bookTicker", "depth5@100ms")


@given(st.lists(st.one_of(
    st.text(max_size=80),
    st.binary(max_size=80),
    st.tuples(st.sampled_from(KINDS), VALUES).map(
        lambda pair: json.dumps({"stream": f"btcusdt@{pair[0]}", "data": pair[1]})
    ),
    st.dictionaries(st.sampled_from(["id", "code", "error", "msg", "stream", "data"]), VALUES).map(
        json.dumps
    ),
)))  # fmt: skip
def test_nothing_raises_or_touches_another_symbol(messages: list[str | bytes]) -> None:
    codec, taken = made(), Taken()
    wanted(codec, 3)
    bystander = wanted(codec, 3, ETH)
    for message in messages:
        codec.receive(message, NOW, taken)
    assert bystander.state is None
