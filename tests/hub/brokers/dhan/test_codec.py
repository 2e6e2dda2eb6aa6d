"""Dhan's usual stream: packets as bytes, what is merged, what is asked."""

from __future__ import annotations

import json
import math
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
    Subscription,
)
from hub.brokers.dhan.codec import Codec
from hub.core.errors import BrokerError
from hub.core.model import Fault
from tests.brokers import dhan_server as server
from tests.brokers.dhan_server import Values

NOW = 1_790_000_123_456
RELIANCE = Listing("NSE", "RELIANCE", "NSE_EQ", "2885", tick=0.1)
OTHER = Listing("BSE", "OTHER", "BSE_EQ", "2885", tick=0.05)
SENSEX = Listing("BSE_INDEX", "SENSEX", "IDX_I", "51", kind="INDEX", tick=0.05)
DEAR = Listing("NSE", "DEAR", "NSE_EQ", "7", tick=0.05)
FLOATS = st.floats(width=32, min_value=0, max_value=1e6)


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


def wanted(codec: Codec, listing: Listing, mode: int) -> Subscription:
    sub = Subscription(listing)
    sub.mode = mode
    codec.change([Change(sub, 0, mode)])
    return sub


@pytest.fixture
def codec() -> Codec:
    return Codec(server.CREDENTIALS, Addresses("ws://127.0.0.1:1"))


@pytest.fixture
def taken() -> Taken:
    return Taken()


def test_a_ticker_packet_by_hand(codec: Codec, taken: Taken) -> None:
    wanted(codec, RELIANCE, 1)
    data = bytes.fromhex("02 1000 01 450b0000 9a253245 2003086b")
    assert codec.receive(data, NOW, taken) == []
    sub, mode, payload, at_ms = taken.ticks[0]
    assert (sub.listing, mode, at_ms) == (RELIANCE, 1, 1_795_667_400_000)
    assert payload == {
        "symbol": "RELIANCE",
        "exchange": "NSE",
        "timestamp": NOW,
        "mode": 1,
        "ltp": 2850.35,
        "ltt": 1_795_667_400,
    }


def test_a_quote_has_what_openalgo_publishes_of_it(codec: Codec, taken: Taken) -> None:
    wanted(codec, RELIANCE, 2)
    codec.receive(server.quote("NSE_EQ", 2885, Values(close=2849.95)), NOW, taken)
    assert list(taken.last.items()) == [
        ("symbol", "RELIANCE"),
        ("exchange", "NSE"),
        ("timestamp", NOW),
        ("mode", 2),
        ("ltp", 2850.35),
        ("ltt", 1_790_000_000),
        ("volume", 4_812_345),
        ("open", 2830.0),
        ("high", 2861.9),
        ("low", 2825.55),
        ("close", 2849.95),
        ("last_quantity", 25),
        ("average_price", 2841.17),
        ("total_buy_quantity", 298_321),
        ("total_sell_quantity", 312_456),
    ]
    assert taken.ticks[0][3] == 1_790_000_000_000


def test_a_book_has_a_quote_too(codec: Codec, taken: Taken) -> None:
    wanted(codec, RELIANCE, 3)
    codec.receive(server.full("NSE_EQ", 2885, Values()), NOW, taken)
    payload = taken.last
    assert (payload["mode"], payload["depth_level"]) == (3, 5)
    assert (payload["ltp"], payload["volume"], payload["high"]) == (2850.35, 4_812_345, 2861.9)
    assert (payload["oi"], payload["oi_high"]) == (12_345_600, 12_400_000)
    assert payload["oi_low"] == 12_000_000
    assert payload["total_buy_quantity"] == 298_321
    assert payload["depth"]["buy"] == [
        {"price": round(2850.3 - 0.05 * i, 2), "quantity": 100 + i, "orders": 10 + i}
        for i in range(5)
    ]
    assert payload["depth"]["sell"] == [
        {"price": round(2850.4 + 0.05 * i, 2), "quantity": 200 + i, "orders": 20 + i}
        for i in range(5)
    ]


@pytest.mark.parametrize("mode", [1, 2])
def test_a_richer_packet_serves_a_lower_mode(codec: Codec, taken: Taken, mode: int) -> None:
    wanted(codec, RELIANCE, mode)
    codec.receive(server.full("NSE_EQ", 2885, Values()), NOW, taken)
    assert [(tick[1], tick[2]["mode"], "depth" in tick[2]) for tick in taken.ticks] == [
        (mode, mode, False)
    ]


def test_the_previous_close_and_the_open_interest_are_merged(codec: Codec, taken: Taken) -> None:
    wanted(codec, RELIANCE, 2)
    frame = b"".join((
        server.previous_close("NSE_EQ", 2885, 2828.4),
        server.open_interest("NSE_EQ", 2885, 500),
        server.quote("NSE_EQ", 2885, Values()),
    ))  # fmt: skip
    codec.receive(frame, NOW, taken)
    assert len(taken.ticks) == 1
    assert (taken.last["close"], taken.last["prev_close"], taken.last["oi"]) == (
        2828.4,
        2828.4,
        500,
    )
    codec.receive(server.open_interest("NSE_EQ", 2885, 575), NOW + 1, taken)
    assert (taken.last["oi"], taken.last["ltp"]) == (575, 2850.35)
    assert taken.last["timestamp"] == NOW + 1
    codec.receive(server.open_interest("NSE_EQ", 2885, 575), NOW + 2, taken)
    assert len(taken.ticks) == 2


def test_the_days_close_stands_once_there_is_one(codec: Codec, taken: Taken) -> None:
    wanted(codec, RELIANCE, 2)
    codec.receive(server.quote("NSE_EQ", 2885, Values(close=2849.95)), NOW, taken)
    codec.receive(server.previous_close("NSE_EQ", 2885, 2828.4), NOW, taken)
    assert (taken.last["close"], taken.last["prev_close"]) == (2849.95, 2828.4)


PARTS = ("quote", "oi", "close")


@given(st.permutations(PARTS), st.lists(st.booleans(), min_size=3, max_size=3), FLOATS)
def test_any_order_and_any_frames_give_the_same_state(
    order: list[str], cuts: list[bool], price: float
) -> None:
    codec, taken = Codec(server.CREDENTIALS, Addresses("ws://x")), Taken()
    wanted(codec, RELIANCE, 2)
    made = {
        "quote": server.quote("NSE_EQ", 2885, Values(ltp=price)),
        "oi": server.open_interest("NSE_EQ", 2885, 77),
        "close": server.previous_close("NSE_EQ", 2885, 2800.0),
    }
    frame = b""
    for name, cut in zip(order, cuts, strict=True):
        frame += made[name]
        if cut:
            codec.receive(frame, NOW, taken)
            frame = b""
    codec.receive(frame, NOW, taken)
    assert (taken.last["oi"], taken.last["prev_close"], taken.last["close"]) == (77, 2800.0, 2800.0)
    assert taken.last["volume"] == 4_812_345
    assert codec.malformed == 0


@given(st.integers(1, 20_000_000), st.sampled_from([0.05, 0.1, 1.0]))
def test_prices_on_the_tick_are_exact(ticks: int, tick: float) -> None:
    price = round(ticks * tick, 2)
    if price * 2**-24 > tick / 4:
        return  # no float of 32 bits tells such a price from its neighbour
    codec, taken = Codec(server.CREDENTIALS, Addresses("ws://x")), Taken()
    wanted(codec, DEAR._replace(tick=tick), 2)
    codec.receive(server.quote("NSE_EQ", 7, Values(ltp=price, open=price)), NOW, taken)
    assert (taken.last["ltp"], taken.last["open"]) == (price, price)


def test_an_index_has_no_tick(codec: Codec, taken: Taken) -> None:
    wanted(codec, SENSEX, 1)
    codec.receive(server.ticker("IDX_I", 51, Values(ltp=85_123.38)), NOW, taken)
    assert taken.last["ltp"] == 85_123.38


def test_a_token_is_only_one_instrument_in_its_segment(codec: Codec, taken: Taken) -> None:
    first, second = wanted(codec, RELIANCE, 1), wanted(codec, OTHER, 1)
    codec.receive(
        server.ticker("BSE_EQ", 2885, Values(ltp=1.0))
        + server.ticker("NSE_EQ", 2885, Values(ltp=2.0))
        + server.ticker("NSE_FNO", 2885, Values(ltp=3.0)),
        NOW,
        taken,
    )
    assert [(sub, payload["ltp"]) for sub, _, payload, _ in taken.ticks] == [
        (second, 1.0),
        (first, 2.0),
    ]


def test_nothing_traded_yet_has_no_time(codec: Codec, taken: Taken) -> None:
    wanted(codec, RELIANCE, 1)
    codec.receive(server.ticker("NSE_EQ", 2885, Values(traded_s=0)), NOW, taken)
    assert (taken.last["ltt"], taken.ticks[0][3]) == (0, 0)


def test_a_released_instrument_is_silent(codec: Codec, taken: Taken) -> None:
    sub = wanted(codec, RELIANCE, 2)
    codec.receive(server.quote("NSE_EQ", 2885, Values()), NOW, taken)
    sub.mode = 0
    codec.change([Change(sub, 2, 0)])
    codec.receive(
        server.quote("NSE_EQ", 2885, Values()) + server.open_interest("NSE_EQ", 2885, 1), NOW, taken
    )
    assert len(taken.ticks) == 1


def test_the_previous_close_confirms(codec: Codec, taken: Taken) -> None:
    sub = wanted(codec, RELIANCE, 1)
    previous = server.previous_close("NSE_EQ", 2885, 2828.4)
    assert codec.receive(previous, NOW, taken) == [Confirmed(sub)]
    sub.waits = False
    assert codec.receive(previous, NOW, taken) == []
    assert taken.ticks == []


def test_what_another_connection_said_is_not_said_again(taken: Taken) -> None:
    old = Codec(server.CREDENTIALS, Addresses("ws://x"))
    sub = wanted(old, RELIANCE, 2)
    old.receive(server.quote("NSE_EQ", 2885, Values()), NOW, taken)
    new = Codec(server.CREDENTIALS, Addresses("ws://x"))
    new.change([Change(sub, 0, 2)])
    new.receive(server.previous_close("NSE_EQ", 2885, 2850.35), NOW, taken)
    assert len(taken.ticks) == 1
    new.receive(server.quote("NSE_EQ", 2885, Values()), NOW, taken)
    assert taken.last["prev_close"] == 2850.35


def test_requests_name_a_hundred_at_most(codec: Codec) -> None:
    subs = [Subscription(RELIANCE._replace(token=str(n))) for n in range(250)]
    frames = [json.loads(frame) for frame in codec.change([Change(sub, 0, 2) for sub in subs])]
    assert [(f["RequestCode"], f["InstrumentCount"]) for f in frames] == [
        (17, 100), (17, 100), (17, 50),
    ]  # fmt: skip
    assert frames[0]["InstrumentList"][1] == {"ExchangeSegment": "NSE_EQ", "SecurityId": "1"}


@pytest.mark.parametrize(
    ("was", "to", "codes"),
    [(0, 1, [15]), (0, 3, [21]), (1, 2, [16, 17]), (3, 1, [22, 15]), (2, 0, [18]), (2, 2, [17])],
)
def test_a_change_of_mode_takes_back_first(
    codec: Codec, was: int, to: int, codes: list[int]
) -> None:
    frames = codec.change([Change(Subscription(RELIANCE), was, to)])
    assert [json.loads(frame)["RequestCode"] for frame in frames] == codes


@pytest.mark.parametrize(
    ("reason", "fault", "word"),
    [
        (805, Fault.EVICTED, "sockets"),
        (806, Fault.AUTH, "plan"),
        (807, Fault.AUTH, "expired"),
        (808, Fault.AUTH, "client id"),
        (809, Fault.AUTH, "token"),
        (811, Fault.NETWORK, "811"),
    ],
)
def test_a_disconnect_packet_says_why(
    codec: Codec, taken: Taken, reason: int, fault: Fault, word: str
) -> None:
    (event,) = codec.receive(server.disconnect(reason), NOW, taken)
    assert isinstance(event, Failed)
    assert event.fault is fault
    assert word in event.text


@pytest.mark.parametrize(
    ("end", "fault"),
    [
        (Ended(status=429), Fault.RATE),
        (Ended(status=401), Fault.AUTH),
        (Ended(status=502), Fault.NETWORK),
        (Ended(code=1006, reason="gone", ready=True), Fault.NETWORK),
    ],
)
def test_ends_are_told_apart(codec: Codec, end: Ended, fault: Fault) -> None:
    assert codec.ended(end)[0] is fault


def test_who_connects_stands_in_the_address() -> None:
    codec = Codec({"client_id": "1", "access_token": "a+b"}, Addresses("wss://api-feed.dhan.co"))
    assert codec.ask() is None
    url = "wss://api-feed.dhan.co?version=2&token=a%2Bb&clientId=1&authType=2"
    assert codec.endpoint(None).url == url
    with pytest.raises(BrokerError, match="access_token"):
        Codec({"client_id": "1"}, Addresses("wss://x")).endpoint(None)


@pytest.mark.parametrize(
    "data",
    [
        "text",
        b"\x02",
        server.ticker("NSE_EQ", 2885, Values())[:-1],
        b"\x02\x00\x00\x01\x45\x0b\x00\x00" * 2,
        b"\x02\x08\x00\x01\x45\x0b\x00\x00",
        b"\x63\x08\x00\x01\x45\x0b\x00\x00",
        server.ticker("NSE_EQ", 2885, Values(ltp=math.nan)),
        server.quote("NSE_EQ", 2885, Values(average=math.inf)),
        server.full("NSE_EQ", 2885, Values(low=-math.inf)),
        server.previous_close("NSE_EQ", 2885, math.nan),
    ],
)
def test_what_is_no_packet_is_counted_once(codec: Codec, taken: Taken, data: str | bytes) -> None:
    wanted(codec, RELIANCE, 3)
    assert not codec.receive(data, NOW, taken)
    assert (codec.malformed, taken.ticks) == (1, [])


def test_heartbeats_of_no_length_end(codec: Codec, taken: Taken) -> None:
    wanted(codec, RELIANCE, 1)
    codec.receive(bytes(8) * 3 + server.ticker("NSE_EQ", 2885, Values()), NOW, taken)
    assert (codec.malformed, len(taken.ticks)) == (0, 1)


@given(st.lists(st.one_of(
    st.binary(max_size=200),
    st.tuples(st.sampled_from([0, 2, 4, 5, 6, 7, 8, 50]), st.binary(max_size=200)).map(
        lambda pair: server.packet(pair[0], "NSE_EQ", 2885, pair[1])
    ),
)))  # fmt: skip
def test_no_bytes_raise_or_touch_another_instrument(parts: list[bytes]) -> None:
    codec, taken = Codec(server.CREDENTIALS, Addresses("ws://x")), Taken()
    wanted(codec, RELIANCE, 3)
    bystander = wanted(codec, SENSEX, 3)
    for part in parts:
        codec.receive(part, NOW, taken)
    codec.receive(b"".join(parts), NOW, taken)
    strange = bytes([0]) + (51).to_bytes(4, "little")
    if not any(strange in part for part in [*parts, b"".join(parts)]):
        assert bystander.state is None
