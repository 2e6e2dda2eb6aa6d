"""Angel's codec: what it asks, what it makes of packets, and what it makes of everything else."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.brokers.angel import BROKER
from hub.brokers.angel.codec import PER_MESSAGE, Codec
from hub.brokers.base import Change, Ended, Event, Listing, Refused, Say, Subscription, Warned
from hub.core.errors import BrokerError
from hub.core.model import Fault
from tests.brokers.angel_server import CREDENTIALS, START_MS, market, packet

NOW_MS = START_MS + 50
RELIANCE = Listing("NSE", "RELIANCE", "1", "2885", precision=2)
NIFTY = Listing("NSE_INDEX", "NIFTY", "1", "99926000", kind="INDEX")
USDINR = Listing("CDS", "USDINR29DEC26FUT", "13", "1284", precision=4)
BSE_2885 = Listing("BSE", "OTHER", "3", "2885")
"""The token of RELIANCE in another segment."""

GOLDEN_LTP = bytes.fromhex(
    "01" "01" + b"2885".hex() + "00" * 21 + "9f1c9a0000000000" "104f8dbf9a010000" "10a2020000000000"
)  # fmt: skip
"""Mode 1, segment 1, sequence 10099871, 1764150300432 ms, 172560 paise: written by hand."""
GOLDEN_QUOTE = bytes.fromhex(
    "02" "0d" + b"1284".hex() + "00" * 21 + "0000000000000000" "104f8dbf9a010000"
    "00fab73100000000"  # 834140672: 83.4140672
    "0700000000000000" "01fab73100000000" "8002000000000000"  # quantity 7, average, volume 640
    "0000000000002840" "000000000000e03f"  # 12.0 and 0.5
    "80841e0000000000" "00093d0000000000" "40420f0000000000" "0000000000000000"  # 0.2 0.4 0.1 0
)  # fmt: skip


class Took(list[tuple[str, int, dict[str, Any], int, int]]):
    """What a codec has published."""

    def __call__(self, sub: Subscription, mode: int, data: bytes, at_ms: int, seq: int) -> None:
        assert 0 < mode <= sub.mode
        self.append((sub.symbol, mode, json.loads(data), at_ms, seq))


def a_codec(*, deep: bool = False) -> Codec:
    channel = BROKER.channels[deep]
    codec = channel.codec(CREDENTIALS, channel.addresses)
    assert isinstance(codec, Codec)
    return codec


def wanted(listing: Listing, mode: int, symbol: str = "") -> Subscription:
    sub = Subscription(listing, symbol)
    sub.mode = mode
    return sub


def asked(codec: Codec, *subs: Subscription) -> list[dict[str, Any]]:
    frames = codec.change([Change(sub, 0, sub.mode) for sub in subs])
    return [json.loads(frame) for frame in frames]


def heard(codec: Codec, *messages: str | bytes) -> tuple[Took, list[Event]]:
    took, events = Took(), list[Event]()
    for message in messages:
        events += codec.receive(message, NOW_MS, took)
    return took, events


def of(mode: int, listing: Listing = RELIANCE, price: int = 172_560, **more: object) -> bytes:
    values = market(random.Random(3), price, 41, 20 if mode == 4 else 5) | {"ltp": price} | more
    return packet(mode, int(listing.segment), listing.token, values)


# 1. One mode for each instrument, the highest wanted.


def test_requests_name_tokens_by_mode_and_segment() -> None:
    frames = asked(
        a_codec(), wanted(RELIANCE, 2), wanted(NIFTY, 1), wanted(USDINR, 2), wanted(BSE_2885, 1)
    )
    assert all(len(frame["correlationID"]) == 10 for frame in frames)
    assert len({frame["correlationID"] for frame in frames}) == 2
    assert [(frame["action"], frame["params"]) for frame in frames] == [
        (
            1,
            {
                "mode": 2,
                "tokenList": [
                    {"exchangeType": 1, "tokens": ["2885"]},
                    {"exchangeType": 13, "tokens": ["1284"]},
                ],
            },
        ),
        (
            1,
            {
                "mode": 1,
                "tokenList": [
                    {"exchangeType": 1, "tokens": ["99926000"]},
                    {"exchangeType": 3, "tokens": ["2885"]},
                ],
            },
        ),
    ]


def test_another_mode_is_left_before_it_is_entered() -> None:
    codec, sub = a_codec(), wanted(RELIANCE, 2)
    asked(codec, sub)
    sub.mode = 3
    frames = [json.loads(frame) for frame in codec.change([Change(sub, 2, 3)])]
    assert [(frame["action"], frame["params"]["mode"]) for frame in frames] == [(0, 2), (1, 3)]
    assert codec.change([Change(sub, 3, 3)]) == []


def test_no_request_names_more_than_a_portion() -> None:
    subs = [wanted(Listing("NSE", f"S{n}", "1", str(n)), 2) for n in range(2 * PER_MESSAGE + 1)]
    frames = asked(a_codec(), *subs)
    counts = [len(frame["params"]["tokenList"][0]["tokens"]) for frame in frames]
    assert counts == [PER_MESSAGE, PER_MESSAGE, 1]


# 2. A packet is published by itself, in the mode that both have.


def test_the_golden_packet() -> None:
    codec, sub = a_codec(), wanted(RELIANCE, 1)
    asked(codec, sub)
    assert packet(1, 1, "2885", {"sequence": 10099871, "at_ms": 1764150300432, "ltp": 172560}) == (
        GOLDEN_LTP
    )
    took, _ = heard(codec, GOLDEN_LTP)
    payload = {
        "ltp": 1725.6,
        "ltt": 1764150300432,
        "symbol": "RELIANCE",
        "exchange": "NSE",
        "mode": 1,
        "timestamp": 1764150300432,
    }
    assert took == [("RELIANCE", 1, payload, 1764150300432, 10099871)]


def test_the_golden_quote_of_a_currency() -> None:
    codec, sub = a_codec(), wanted(USDINR, 2)
    asked(codec, sub)
    ((_, _, payload, _, seq),) = heard(codec, GOLDEN_QUOTE)[0]
    assert list(payload.values())[:11] == [
        83.4140672, 1764150300432, 640, 0.2, 0.4, 0.1, 0.0, 7, 83.4140673, 12.0, 0.5,
    ]  # fmt: skip
    assert seq == 0


def test_a_quote_has_openalgos_fields_in_their_order() -> None:
    codec, sub = a_codec(), wanted(RELIANCE, 2)
    asked(codec, sub)
    took, _ = heard(codec, of(2, total_buy=12.0, total_sell=7.5, last_quantity=25))
    ((_, mode, payload, at_ms, seq),) = took
    assert (mode, at_ms, seq) == (2, START_MS + 8200, 41)
    assert list(payload.items()) == [
        ("ltp", 1725.6),
        ("ltt", at_ms),
        ("volume", 1_000_697),
        ("open", 1724.4),
        ("high", 1729.6),
        ("low", 1720.6),
        ("close", 1724.95),
        ("last_trade_quantity", 25),
        ("average_price", 1725.63),
        ("total_buy_quantity", 12.0),
        ("total_sell_quantity", 7.5),
        ("symbol", "RELIANCE"),
        ("exchange", "NSE"),
        ("mode", 2),
        ("timestamp", at_ms),
    ]


def test_a_snapshot_has_prices_of_the_day_and_five_levels_best_first() -> None:
    codec, sub = a_codec(), wanted(RELIANCE, 3)
    asked(codec, sub)
    buy = [(172_500 - 5 * n, 10 + n, 1 + n) for n in range(5)]
    sell = [(172_600 + 5 * n, 20 + n, 2 + n) for n in range(5)]
    took, _ = heard(codec, of(3, buy=buy, sell=sell, total_buy=12.0, total_sell=7.5))
    ((_, mode, payload, _, _),) = took
    assert mode == 3
    assert list(payload) == [
        "ltp", "ltt", "volume", "open", "high", "low", "close", "last_quantity",
        "last_trade_quantity", "average_price", "total_buy_quantity", "total_sell_quantity",
        "oi", "upper_circuit", "lower_circuit", "depth", "symbol", "exchange", "mode", "timestamp",
    ]  # fmt: skip
    assert (payload["open"], payload["close"], payload["oi"]) == (1724.4, 1724.95, 88_000)
    assert (payload["last_trade_quantity"], payload["average_price"]) == (607, 1725.63)
    assert (payload["total_buy_quantity"], payload["total_sell_quantity"]) == (12.0, 7.5)
    assert (payload["upper_circuit"], payload["lower_circuit"]) == (1898.16, 1553.04)
    assert payload["depth"] == {
        "buy": [{"price": p / 100, "quantity": q, "orders": o} for p, q, o in buy],
        "sell": [{"price": p / 100, "quantity": q, "orders": o} for p, q, o in sell],
    }


def test_levels_belong_to_the_side_of_their_flag() -> None:
    codec, sub = a_codec(), wanted(RELIANCE, 3)
    asked(codec, sub)
    wire = bytearray(of(3, buy=[(100, 1, 1)], sell=[(101, 2, 2), (102, 3, 3)]))
    wire[147:167], wire[247:267] = wire[247:267], wire[147:167]  # the first of each changed places
    took, _ = heard(codec, bytes(wire))
    book = took[0][2]["depth"]
    empty = {"price": 0.0, "quantity": 0, "orders": 0}
    assert book["buy"] == [{"price": 1.0, "quantity": 1, "orders": 1}, *[empty] * 4]
    assert [level["quantity"] for level in book["sell"]] == [2, 3, 0, 0, 0]


@pytest.mark.parametrize(("wire", "has", "published"), [(3, 2, 2), (3, 1, 1), (2, 3, 2), (1, 3, 1)])
def test_the_mode_of_a_tick_is_one_that_packet_and_subscription_have(
    wire: int, has: int, published: int
) -> None:
    codec, sub = a_codec(), wanted(RELIANCE, has)
    asked(codec, sub)
    took, _ = heard(codec, of(wire))
    assert [(mode, payload["mode"]) for _, mode, payload, _, _ in took] == [(published, published)]


def test_currencies_have_seven_decimals() -> None:
    codec, sub = a_codec(), wanted(USDINR, 2)
    asked(codec, sub)
    took, _ = heard(codec, of(2, USDINR, 834_525_000, open=834_000_000))
    assert (took[0][2]["ltp"], took[0][2]["open"]) == (83.4525, 83.4)


def test_a_token_of_two_segments_is_two_instruments() -> None:
    codec, sub, other = a_codec(), wanted(RELIANCE, 1), wanted(BSE_2885, 1)
    asked(codec, sub, other)
    took, _ = heard(codec, of(1, BSE_2885, 700), of(1, RELIANCE, 900))
    assert [(symbol, payload["ltp"]) for symbol, _, payload, _, _ in took] == [
        ("OTHER", 7.0),
        ("RELIANCE", 9.0),
    ]


def test_what_stands_behind_a_token_does_not_matter() -> None:
    codec, sub = a_codec(), wanted(RELIANCE, 1)
    asked(codec, sub)
    wire = bytearray(of(1))
    wire[10:20] = b"x" * 10
    took, _ = heard(codec, bytes(wire))
    assert len(took) == 1


def test_a_released_one_is_published_no_more() -> None:
    codec, sub = a_codec(), wanted(RELIANCE, 2)
    asked(codec, sub)
    sub.mode = 0
    assert not heard(codec, of(2))[0], "the runner has let it go"
    (frame,) = codec.change([Change(sub, 2, 0)])
    assert json.loads(frame)["action"] == 0
    sub.mode = 2
    assert not heard(codec, of(2))[0], "the codec has let it go"


@pytest.mark.parametrize("at_ms", [0, -5, 1 << 62])
def test_a_time_that_is_none_is_the_one_at_which_it_came(at_ms: int) -> None:
    codec, sub = a_codec(), wanted(NIFTY, 1)
    asked(codec, sub)
    ((_, _, payload, at, seq),) = heard(codec, of(1, NIFTY, at_ms=at_ms, sequence=-1))[0]
    assert (payload["timestamp"], at, seq) == (NOW_MS, 0, 0)


# 3. Books of 20 levels come without prices.


def deep(codec: Codec, mode: int = 3) -> Subscription:
    sub = wanted(RELIANCE, mode, "RELIANCE:20")
    asked(codec, sub)
    return sub


def levels(took: Took) -> list[int]:
    return [len(payload["depth"]["buy"]) for _, _, payload, _, _ in took]


def test_twenty_levels_are_asked_for_beside_a_snapshot() -> None:
    frames = asked(a_codec(deep=True), wanted(RELIANCE, 3, "RELIANCE:20"))
    assert [frame["params"]["mode"] for frame in frames] == [3, 4]
    frames = asked(a_codec(deep=True), wanted(RELIANCE, 2, "RELIANCE:20"))
    assert [frame["params"]["mode"] for frame in frames] == [2]


def test_a_tick_of_either_has_the_newest_of_both() -> None:
    codec = a_codec(deep=True)
    deep(codec)
    first = of(4, at_ms=START_MS + 900)
    assert not heard(codec, first)[0], "there is no price yet"
    took, _ = heard(codec, of(3, at_ms=START_MS + 300), of(4, at_ms=START_MS + 1000))
    assert levels(took) == [20, 20]
    assert [symbol for symbol, *_ in took] == ["RELIANCE:20"] * 2
    assert [at_ms for _, _, _, at_ms, _ in took] == [START_MS + 900, START_MS + 1000], "in order"
    assert {payload["ltp"] for _, _, payload, _, _ in took} == {1725.6}


def test_a_book_that_is_older_than_the_snapshot_does_not_turn_time_back() -> None:
    codec = a_codec(deep=True)
    deep(codec)
    took, _ = heard(codec, of(3, at_ms=START_MS + 900), of(4, at_ms=START_MS + 300))
    assert [at_ms for _, _, _, at_ms, _ in took] == [START_MS + 900] * 2


def test_until_there_are_twenty_five_are_published() -> None:
    codec = a_codec(deep=True)
    deep(codec)
    took, _ = heard(codec, of(3), of(4), of(3))
    assert levels(took) == [5, 20, 20]


def test_a_book_of_an_earlier_connection_is_not_published() -> None:
    codec = a_codec(deep=True)
    sub = deep(codec)
    assert levels(heard(codec, of(3), of(4))[0]) == [5, 20]
    again = a_codec(deep=True)
    again.change([Change(sub, 0, 3)])
    assert levels(heard(again, of(3))[0]) == [5]


def test_a_deep_one_in_a_lower_mode_is_as_any_other() -> None:
    codec = a_codec(deep=True)
    deep(codec, 2)
    took, _ = heard(codec, of(2), of(4), of(3))
    assert [mode for _, mode, *_ in took] == [2, 2]


# 4. Nothing is confirmed; a request is refused as a whole.


def error(name: str, code: str) -> str:
    return json.dumps({"correlationID": name, "errorCode": code, "errorMessage": "no"})


@pytest.mark.parametrize(("code", "fault"), [("E1002", Fault.CAPACITY), ("E1001", Fault.NETWORK)])
def test_an_error_refuses_what_its_request_named(code: str, fault: Fault) -> None:
    codec = a_codec()
    sub, other, gone = wanted(RELIANCE, 1), wanted(NIFTY, 2), wanted(USDINR, 1)
    frames = asked(codec, sub, gone, other)
    gone.mode = 0
    codec.change([Change(gone, 1, 0)])
    took, events = heard(codec, error(frames[0]["correlationID"], code))
    assert not took
    assert events == [Refused((sub,), fault, f"Angel does not take it: no ({code})")]
    assert isinstance(heard(codec, error(frames[0]["correlationID"], code))[1][0], Warned), "once"


def test_what_was_refused_is_known_no_more() -> None:
    codec, sub = a_codec(), wanted(RELIANCE, 2)
    (frame,) = asked(codec, sub)
    heard(codec, error(frame["correlationID"], "E1002"))
    assert not heard(codec, of(2))[0]
    asked(codec, sub)
    assert len(heard(codec, of(2))[0]) == 1, "until it is asked for again"


@pytest.mark.parametrize("half", [0, 1])
def test_of_twenty_levels_the_half_that_was_taken_is_left(half: int) -> None:
    codec, sub = a_codec(deep=True), wanted(RELIANCE, 3, "RELIANCE:20")
    frames = asked(codec, sub)
    _, (say, refused) = heard(codec, error(frames[half]["correlationID"], "E1002"))
    assert isinstance(say, Say)
    left = [json.loads(frame) for frame in say.frames]
    assert [(frame["action"], frame["params"]["mode"]) for frame in left] == [(0, 3), (0, 4)]
    assert isinstance(refused, Refused)
    assert refused.subs == (sub,)


def test_an_error_of_no_request_is_told() -> None:
    assert heard(a_codec(), error("", "E1001"))[1] == [Warned("Angel says: no (E1001)")]


def test_an_error_with_nothing_but_a_code_refuses_too() -> None:
    codec, sub = a_codec(), wanted(RELIANCE, 2)
    (frame,) = asked(codec, sub)
    text = {"correlationID": frame["correlationID"], "errorCode": "E1002", "errorMessage": None}
    (event,) = heard(codec, json.dumps(text))[1]
    words = "Angel does not take it: it does not say why (E1002)"
    assert event == Refused((sub,), Fault.CAPACITY, words)
    (event,) = heard(codec, '{"correlationID":null,"errorCode":null,"errorMessage":"no"}')[1]
    assert event == Warned("Angel says: no (no code)")
    assert not codec.malformed


def test_a_pong_is_nothing() -> None:
    codec = a_codec()
    assert codec.beat() == ("ping",)
    assert heard(codec, "pong") == ([], [])
    assert not codec.malformed


# Who we are, and how it ends.


def test_headers_say_who_we_are() -> None:
    channel = BROKER.channels[0]
    told = CREDENTIALS | {"access_token": "Bearer a.b.c"}
    endpoint = channel.codec(told, channel.addresses).endpoint(None)
    assert endpoint.url == "wss://smartapisocket.angelone.in/smart-stream"
    assert endpoint.headers == {
        "Authorization": "Bearer a.b.c",
        "x-api-key": "angelkey",
        "x-client-code": "A12345",
        "x-feed-token": "feed-1",
    }


@pytest.mark.parametrize("name", ["api_key", "client_code", "access_token", "feed_token"])
def test_without_one_of_them_nobody_connects(name: str) -> None:
    channel = BROKER.channels[0]
    with pytest.raises(BrokerError, match=name) as failed:
        channel.codec(CREDENTIALS | {name: ""}, channel.addresses).endpoint(None)
    assert failed.value.fault is Fault.AUTH


@pytest.mark.parametrize(
    ("end", "fault"),
    [
        (Ended(status=401, headers={"x-error-message": "Invalid feed token"}), Fault.AUTH),
        (Ended(status=403), Fault.AUTH),
        (
            Ended(status=429, headers={"x-error-message": "Connection Limit Exceeded."}),
            Fault.CAPACITY,
        ),
        (Ended(status=429), Fault.RATE),
        (Ended(status=503), Fault.NETWORK),
        (Ended(code=1000, ready=True), Fault.NETWORK),
        (Ended(), Fault.NETWORK),
    ],
)
def test_ends_are_told_apart(end: Ended, fault: Fault) -> None:
    found, text = a_codec().ended(end)
    assert found is fault
    assert end.headers.get("x-error-message", "") in text


def test_the_first_token_that_ends_is_the_end_of_a_session() -> None:
    assert BROKER.expires(CREDENTIALS) == 4_102_444_800
    assert BROKER.expires({}) is None


# Whatever comes.


def subscribed() -> tuple[Codec, list[Subscription]]:
    codec = a_codec()
    subs = [wanted(RELIANCE, 3), wanted(NIFTY, 1), wanted(USDINR, 2), wanted(BSE_2885, 2)]
    asked(codec, *subs)
    return codec, subs


@given(st.lists(st.binary(max_size=500) | st.text(max_size=60), max_size=8))
def test_nothing_raises(messages: Sequence[str | bytes]) -> None:
    codec, _ = subscribed()
    heard(codec, *messages)


@given(st.integers(1, 4), st.binary(max_size=25), st.integers(0, 255), st.binary(max_size=420))
def test_a_packet_is_published_for_its_own_token_alone(
    mode: int, token: bytes, segment: int, rest: bytes
) -> None:
    codec, subs = subscribed()
    took, _ = heard(codec, bytes([mode, segment]) + token.ljust(25, b"\0") + rest)
    name = token.partition(b"\0")[0].decode("latin-1")
    meant = {
        sub.symbol
        for sub in subs
        if (int(sub.listing.segment), sub.listing.token) == (segment, name)
    }
    assert {symbol for symbol, *_ in took} <= meant


@given(st.integers(1, 4).flatmap(lambda mode: st.tuples(st.just(mode), st.binary(max_size=416))))
def test_any_values_become_json(said: tuple[int, bytes]) -> None:
    mode, rest = said
    codec, _ = subscribed()
    wire = of(mode)
    wire = wire[:27] + rest[: len(wire) - 27] + wire[27 + len(rest) :]
    took, _ = heard(codec, wire)
    assert len(took) == (mode < 4)


@pytest.mark.parametrize("mode", [1, 2, 3, 4])
def test_what_is_cut_is_counted(mode: int) -> None:
    codec, _ = subscribed()
    wire = of(mode)
    for size in range(len(wire)):
        heard(codec, wire[:size])
    assert codec.malformed == len(wire)


@given(st.lists(st.sampled_from([1, 2, 3]), min_size=1, max_size=12), st.integers(1, 3))
def test_ticks_are_as_many_as_packets_in_any_order(modes: Iterable[int], has: int) -> None:
    codec, sub = a_codec(), wanted(RELIANCE, has)
    asked(codec, sub)
    modes = list(modes)
    took, _ = heard(codec, *(of(mode) for mode in modes))
    assert [mode for _, mode, *_ in took] == [min(mode, has) for mode in modes]
