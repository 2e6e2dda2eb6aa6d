"""The codec of deep books: what it asks, the books it keeps, and complaints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.brokers.base import Addresses, Change, Listing, Refused, Reply, Say, Subscription, Warned
from hub.brokers.fyers import BROKER
from hub.brokers.fyers.books import epoch_ms
from hub.brokers.fyers.tbt import TbtCodec
from hub.core.errors import BrokerError
from hub.core.model import Fault
from tests.brokers import fyers_wire as wire
from tests.brokers.fyers_server import CREDENTIALS
from tests.brokers.fyers_tbt import whole

NOW_MS = 1_795_000_000_001
TICKER = "NSE:RELIANCE-EQ"
LISTING = Listing("NSE", "RELIANCE", "nse_cm", "2885", TICKER)
SBIN = Listing("NSE", "SBIN", "nse_cm", "3045", "NSE:SBIN-EQ")
ADDRESSES = Addresses("ws://127.0.0.1:1/versova", "http://127.0.0.1:2/")
WHO = f"{CREDENTIALS['api_key']}:{CREDENTIALS['access_token']}"


class Desk:
    def __init__(self) -> None:
        self.codec = TbtCodec(CREDENTIALS, ADDRESSES)
        self.payloads: list[dict[str, Any]] = []
        self.marks: list[tuple[int, int]] = []

    def take(self, sub: Subscription, mode: int, payload: bytes, at_ms: int, seq: int) -> None:
        assert (mode, sub.mode) == (3, 3)
        sub.waits = False
        self.payloads.append(json.loads(payload))
        self.marks.append((at_ms, seq))

    def want(self, listing: Listing = LISTING) -> Subscription:
        sub = Subscription(listing, f"{listing.symbol}:50")
        self.move(sub, 3)
        return sub

    def move(self, sub: Subscription, mode: int) -> list[Any]:
        was, sub.mode = sub.mode, mode
        return [json.loads(f) for f in self.codec.change([Change(sub, was, mode)])]

    def hear(self, feed: bytes, *, snapshot: bool = False) -> None:
        message = wire.message({"10100000002885": feed}, snapshot=snapshot)
        assert list(self.codec.receive(message, NOW_MS, self.take)) == []


def test_the_channel_is_of_50_levels_at_two_exchanges() -> None:
    deep = BROKER.channels[1]
    assert (deep.levels, deep.exchanges) == (50, ("NSE", "NFO"))
    assert (deep.limits.sockets, deep.limits.per_socket) == (3, (5, 5, 5))
    assert isinstance(deep.codec(CREDENTIALS, ADDRESSES), TbtCodec)


@pytest.mark.parametrize("token", [CREDENTIALS["access_token"], WHO])
def test_it_asks_where_the_stream_is(token: str) -> None:
    codec = TbtCodec({"api_key": "TESTAPP-100", "access_token": token}, ADDRESSES)
    request = codec.ask()
    assert request is not None
    assert (request.method, request.url) == ("GET", "http://127.0.0.1:2/indus/home/tbtws")
    assert request.headers == {"Authorization": WHO}


def test_a_token_that_has_the_application_s_id_needs_no_other() -> None:
    request = TbtCodec({"access_token": WHO}, ADDRESSES).ask()
    assert request is not None
    assert request.headers == {"Authorization": WHO}


@pytest.mark.parametrize("missing", ["api_key", "access_token"])
def test_without_credentials_nothing_is_asked(missing: str) -> None:
    with pytest.raises(BrokerError) as caught:
        TbtCodec(CREDENTIALS | {missing: ""}, ADDRESSES).ask()
    assert caught.value.fault is Fault.AUTH


@pytest.mark.parametrize(
    ("reply", "url"),
    [
        (
            Reply(200, {}, b'{"data":{"socket_url":"wss://there.example/x"}}'),
            "wss://there.example/x",
        ),
        (Reply(200, {}, b'{"data":{"socket_url":7}}'), ADDRESSES.url),
        (Reply(200, {}, b'{"data":{"socket_url":"http://no"}}'), ADDRESSES.url),
        (Reply(200, {}, b"[]"), ADDRESSES.url),
        (Reply(200, {}, b"\xff"), ADDRESSES.url),
        (Reply(503, {}, b'{"data":{"socket_url":"wss://there.example/x"}}'), ADDRESSES.url),
        (None, ADDRESSES.url),
    ],
)
def test_it_connects_where_it_is_told_or_to_the_usual_place(reply: Reply | None, url: str) -> None:
    assert TbtCodec(CREDENTIALS, ADDRESSES).endpoint(reply) == (url, {"Authorization": WHO})


def test_a_token_that_is_refused_is_no_reason_to_connect() -> None:
    with pytest.raises(BrokerError) as caught:
        TbtCodec(CREDENTIALS, ADDRESSES).endpoint(Reply(401, {}, b""))
    assert caught.value.fault is Fault.AUTH
    assert CREDENTIALS["access_token"] not in str(caught.value)


def test_it_subscribes_and_resumes_the_channel_once() -> None:
    desk = Desk()
    assert desk.codec.ready
    assert desk.codec.opened() == ()
    assert desk.codec.beat() == ("ping",)
    sub = Subscription(LISTING, "RELIANCE:50")
    wish = {"subs": 1, "symbols": [TICKER], "mode": "depth", "channel": "1"}
    resume = {"resumeChannels": ["1"], "pauseChannels": []}
    assert desk.move(sub, 3) == [{"type": 1, "data": wish}, {"type": 2, "data": resume}]
    assert desk.move(sub, 0) == [{"type": 1, "data": wish | {"subs": -1}}]
    assert desk.move(sub, 3) == [{"type": 1, "data": wish}]


def test_a_whole_book_and_then_what_changes() -> None:
    desk = Desk()
    desk.want()
    desk.hear(whole(TICKER), snapshot=True)
    desk.hear(
        wire.feed(
            TICKER,
            bids=[(49, None, None, 7), (0, 245_001, None, None)],
            asks=[(1, 0, None, None)],
            selling=5,
            time_s=1_790_000_009,
            sequence=9,
        )
    )
    first, second = desk.payloads
    assert first | {"depth": None} == {
        "symbol": "RELIANCE:50", "exchange": "NSE", "token": TICKER, "ltp": 2450.025,
        "depth": None, "total_buy_qty": 60_000, "total_sell_qty": 70_000,
        "timestamp": 1_790_000_000_000, "feed_time": 1_790_000_000, "data_type": "Depth",
        "depth_levels": 50, "is_50_depth": True, "subscription_mode": 3,
    }  # fmt: skip
    assert [len(first["depth"][side]) for side in ("buy", "sell")] == [50, 50]
    assert first["depth"]["buy"][49] == {"price": 2447.55, "quantity": 149, "orders": 50}
    assert first["depth"]["sell"][0] == {"price": 2450.05, "quantity": 200, "orders": 2}
    assert second["depth"]["buy"][49] == {"price": 2447.55, "quantity": 149, "orders": 7}
    assert second["depth"]["buy"][0] == {"price": 2450.01, "quantity": 100, "orders": 1}
    assert [level["price"] for level in second["depth"]["sell"][:2]] == [2450.05, 2450.15]
    assert (second["total_buy_qty"], second["total_sell_qty"]) == (60_000, 5)
    assert desk.marks == [(1_790_000_000_000, 1), (1_790_000_009_000, 9)]


def test_a_snapshot_forgets_the_levels_that_it_does_not_name() -> None:
    desk = Desk()
    desk.want()
    desk.hear(whole(TICKER), snapshot=True)
    desk.hear(wire.feed(TICKER, bids=[(0, 100, 1, 1)], ltp=101), snapshot=True)
    assert desk.payloads[1]["depth"] == {
        "buy": [{"price": 1.0, "quantity": 1, "orders": 1}], "sell": [],
    }  # fmt: skip
    assert desk.payloads[1]["ltp"] == 1.01


def test_a_time_more_than_a_day_ahead_is_none() -> None:
    desk = Desk()
    desk.want()
    desk.hear(wire.feed(TICKER, time_s=NOW_MS + 86_400_000, sequence=3))
    assert desk.marks == [(0, 3)]
    assert desk.payloads[0]["timestamp"] == NOW_MS


def test_the_first_packet_of_a_connection_is_a_whole_book() -> None:
    desk, next_desk = Desk(), Desk()
    sub = desk.want()
    desk.hear(whole(TICKER), snapshot=True)
    next_desk.codec.change([Change(sub, 0, 3)])
    next_desk.hear(wire.feed(TICKER, asks=[(0, 100, 1, 1)], time_s=None))
    assert next_desk.payloads[0]["depth"]["buy"] == []
    assert next_desk.payloads[0]["ltp"] == 1.0
    assert next_desk.payloads[0]["timestamp"] == NOW_MS


def test_levels_without_a_place_are_counted() -> None:
    desk = Desk()
    desk.want()
    desk.hear(wire.feed(TICKER, bids=[(50, 1, 1, 1), (None, 2, 2, 2), (0, 300, 3, 3)]))
    assert desk.payloads[0]["depth"]["buy"] == [{"price": 3.0, "quantity": 3, "orders": 3}]
    assert desk.codec.malformed == 2


def test_what_nobody_wants_is_left_out() -> None:
    desk = Desk()
    sub = desk.want()
    desk.hear(whole("NSE:SBIN-EQ"), snapshot=True)
    desk.move(sub, 0)
    desk.hear(whole(TICKER), snapshot=True)
    assert desk.payloads == []
    assert desk.codec.malformed == 0


@pytest.mark.parametrize(
    ("text", "fault"),
    [("max symbols limit reached", Fault.CAPACITY), ("invalid symbol", Fault.NETWORK)],
)
@pytest.mark.parametrize("as_text", [False, True])
def test_a_complaint_is_of_those_who_wait(text: str, fault: Fault, *, as_text: bool) -> None:
    desk = Desk()
    sub = desk.want()
    said = json.dumps({"error": True, "msg": text}) if as_text else wire.complaint(text)
    leave, event = desk.codec.receive(said, NOW_MS, desk.take)
    assert isinstance(event, Refused)
    assert isinstance(leave, Say)
    assert json.loads(leave.frames[0])["data"]["subs"] == -1
    desk.hear(whole(TICKER), snapshot=True)
    assert desk.payloads == []
    assert (event.subs, event.fault) == ((sub,), fault)
    sub.waits = False
    assert desk.codec.receive(said, NOW_MS, desk.take) == (Warned(f"Fyers says: {text}"),)


def test_a_complaint_waits_for_those_who_are_not_meant() -> None:
    desk = Desk()
    subs = [Subscription(LISTING, "RELIANCE:50"), Subscription(SBIN, "SBIN:50")]
    for sub in subs:
        sub.mode = 3
    desk.codec.change([Change(sub, 0, 3) for sub in subs])
    assert desk.codec.receive(wire.complaint("invalid symbol"), NOW_MS, desk.take) == ()
    desk.hear(whole(TICKER), snapshot=True)
    assert desk.codec.receive("pong", NOW_MS + 1999, desk.take) == ()
    _, event = desk.codec.receive("pong", NOW_MS + 2000, desk.take)
    assert isinstance(event, Refused)
    assert event.subs == (subs[1],)
    assert desk.codec.receive("pong", NOW_MS + 9000, desk.take) == ()


def test_texts_that_mean_nothing() -> None:
    desk = Desk()
    assert desk.codec.receive("pong", NOW_MS, desk.take) == ()
    assert desk.codec.receive('{"msg":"subscribed"}', NOW_MS, desk.take) == ()
    assert desk.codec.malformed == 0
    for text in ("", "[1]", "{", "[" * 100_000):
        assert desk.codec.receive(text, NOW_MS, desk.take) == ()
    assert desk.codec.malformed == 4


@given(st.one_of(st.binary(max_size=200), st.text(max_size=50)))
def test_nothing_raises(data: str | bytes) -> None:
    desk = Desk()
    desk.want()
    desk.codec.receive(data, NOW_MS, desk.take)


_LEVELS = st.lists(
    st.tuples(
        st.integers(0, 49),
        *(st.one_of(st.none(), st.integers(0, 10**6)) for _ in range(3)),
    ),
    max_size=12,
)


@given(st.lists(st.tuples(_LEVELS, _LEVELS), max_size=5))
def test_any_split_of_changes_gives_the_same_book(
    changes: Sequence[tuple[list[wire.Level], list[wire.Level]]],
) -> None:
    together, apart = Desk(), Desk()
    for desk in (together, apart):
        desk.want()
        desk.hear(whole(TICKER), snapshot=True)
    for bids, asks in changes:
        together.hear(wire.feed(TICKER, bids=bids, asks=asks))
        for bid in bids:
            apart.hear(wire.feed(TICKER, bids=[bid]))
        for ask in asks:
            apart.hear(wire.feed(TICKER, asks=[ask]))
    assert together.payloads[-1] == apart.payloads[-1]


@pytest.mark.parametrize(
    ("time", "ms"),
    [
        (0, 0),
        (1_790_000_000, 1_790_000_000_000),
        (1_790_000_000_123, 1_790_000_000_123),
        (1_790_000_000_123_456, 1_790_000_000_123),
        (1_790_000_000_123_456_789, 1_790_000_000_123),
    ],
)
def test_a_time_is_of_the_unit_that_its_size_tells(time: int, ms: int) -> None:
    assert epoch_ms(time) == ms
