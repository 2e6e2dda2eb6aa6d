"""Zerodha's stream is read as its documentation has it, whatever the mode of a packet."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from hub.brokers.base import (
    Addresses,
    Change,
    Ended,
    Event,
    Failed,
    Listing,
    Refused,
    Subscription,
    Warned,
)
from hub.brokers.zerodha import BROKER
from hub.brokers.zerodha.codec import Codec, keys
from hub.core.errors import BrokerError
from hub.core.model import Fault
from tests.brokers.zerodha_server import CREDENTIALS, MODES, Server, Values, frame, packet

INFY, USDINR, BCD, NIFTY = 408065, 412675, 1038342, 256265
NOW_MS = 1_795_000_100_000


class Taken(list[tuple[Subscription, int, dict[str, Any], int]]):
    """The ticks that a codec has found."""

    def take(self, sub: Subscription, mode: int, payload: bytes, at_ms: int, seq: int) -> None:
        assert 1 <= mode <= sub.mode
        assert seq == 0
        self.append((sub, mode, json.loads(payload), at_ms))


def codec(addresses: str = "ws://x") -> Codec:
    return Codec(CREDENTIALS, Addresses(addresses))


def sub(token: int, mode: int, exchange: str = "NSE", name: str = "") -> Subscription:
    one = Subscription(Listing(exchange, name or f"S{token}", exchange, str(token)))
    one.mode = mode
    return one


def wanted(one: Codec, *subs: Subscription) -> list[Any]:
    return [json.loads(text) for text in one.change([Change(sub, 0, sub.mode) for sub in subs])]


def read(one: Codec, data: str | bytes) -> tuple[Taken, Sequence[Event]]:
    taken = Taken()
    return taken, one.receive(data, NOW_MS, taken.take)


def test_a_quote_by_hand() -> None:
    """The bytes of the documentation's table: 44 bytes, prices in hundredths."""
    one = codec()
    infy = sub(INFY, 2, name="INFY")
    wanted(one, infy)
    taken, events = read(
        one,
        bytes.fromhex(
            "0001 002c"
            "00063a01 00026ffd 00000007 00026f84 00bc614e 00000bb8 00000fa0"
            "00026c00 00027100 00026b6c 00026d60"
        ),
    )
    assert not events
    ((found, mode, payload, at_ms),) = taken
    assert (found, mode, at_ms) == (infy, 2, 0)
    assert payload == {
        "symbol": "INFY",
        "exchange": "NSE",
        "mode": "quote",
        "ltp": 1597.41,
        "ltt": NOW_MS // 1000,
        "timestamp": NOW_MS,
        "volume": 12345678,
        "last_quantity": 7,
        "average_price": 1596.20,
        "total_buy_quantity": 3000,
        "total_sell_quantity": 4000,
        "open": 1587.20,
        "high": 1600.0,
        "low": 1585.72,
        "close": 1590.72,
    }
    assert list(payload)[:6] == ["symbol", "exchange", "mode", "ltp", "ltt", "timestamp"]


def test_full_has_open_interest_of_its_own_place_and_both_times() -> None:
    one = codec()
    wanted(one, sub(INFY, 3))
    values = Values()
    taken, _ = read(one, frame([packet(INFY, values, "full")]))
    ((_, mode, payload, at_ms),) = taken
    assert mode == 3
    assert at_ms == payload["timestamp"] == values.exchange_s * 1000
    assert payload["ltt"] == values.traded_s
    assert payload["oi"] == payload["open_interest"] == values.oi
    assert payload["volume"] == 3_000_000_000
    assert payload["mode"] == "full"
    book = payload["depth"]
    assert len(book["buy"]) == len(book["sell"]) == 5
    assert book["buy"][0] == {"price": 2500.0, "quantity": 100, "orders": 1}
    assert book["sell"][4] == {"price": 2500.3, "quantity": 204, "orders": 10}


@pytest.mark.parametrize(
    ("token", "divisor"), [(INFY, 100), (USDINR, 10_000_000), (BCD, 10_000), (115_000_076, 10_000)]
)
def test_prices_are_scaled_by_the_segment(token: int, divisor: int) -> None:
    one = codec()
    wanted(one, sub(token, 3))
    for mode in MODES[1:]:
        ((_, _, payload, _),), _ = read(one, frame([packet(token, Values(), mode)]))
        assert payload["ltp"] == 250_005 / divisor
        assert payload.get("open", 248_000 / divisor) == 248_000 / divisor
        assert (
            payload.get("depth", {"buy": [{"price": 250_000 / divisor}]})["buy"][0]["price"]
            == 250_000 / divisor
        )


def test_an_index_has_high_and_low_before_open_and_no_book() -> None:
    one = codec()
    wanted(one, sub(NIFTY, 3, "NSE_INDEX", "NIFTY"))
    values = Values()
    taken, _ = read(one, frame([packet(NIFTY, values, mode) for mode in ("quote", "full")]))
    assert [(mode, at_ms) for _, mode, _, at_ms in taken] == [(2, 0), (3, values.exchange_s * 1000)]
    for _, _, payload, _ in taken:
        assert [payload[name] for name in ("open", "high", "low", "close")] == [
            2480.0, 2510.0, 2475.0, 2470.0,
        ]  # fmt: skip
        assert payload["price_change"] == 30.05
        assert payload["price_change_percent"] == 1.2166
        assert "depth" not in payload


def test_a_price_may_be_negative_and_a_close_zero() -> None:
    one = codec()
    wanted(one, sub(NIFTY, 2), sub(INFY, 1))
    taken, _ = read(
        one,
        frame([packet(NIFTY, Values(close=0), "quote"), packet(INFY, Values(last=-3763), "ltp")]),
    )
    assert taken[0][2]["price_change_percent"] == 0
    assert taken[1][2]["ltp"] == -37.63


def test_a_packet_of_a_higher_mode_is_given_in_the_mode_that_is_wanted() -> None:
    one = codec()
    infy, nifty = sub(INFY, 1), sub(NIFTY, 1)
    wanted(one, infy, nifty)
    packets = [packet(token, Values(), mode) for token in (INFY, NIFTY) for mode in MODES[1:]]
    taken, _ = read(one, frame(packets))
    assert [mode for _, mode, _, _ in taken] == [1] * 6
    assert {tuple(payload) for _, _, payload, _ in taken} == {tuple(taken[0][2])}
    infy.mode = nifty.mode = 2
    taken, _ = read(one, frame(packets))
    assert [mode for _, mode, _, _ in taken] == [1, 2, 2, 1, 2, 2]
    assert not any("depth" in payload for _, _, payload, _ in taken)


def test_tokens_are_asked_for_as_numbers_with_their_mode_after_them() -> None:
    one = codec()
    low, high = sub(INFY, 1), sub(NIFTY, 3)
    assert wanted(one, low, high) == [
        {"a": "subscribe", "v": [INFY, NIFTY]},
        {"a": "mode", "v": ["ltp", [INFY]]},
        {"a": "mode", "v": ["full", [NIFTY]]},
    ]
    changes = [Change(low, 1, 3), Change(high, 3, 0)]
    assert [json.loads(text) for text in one.change(changes)] == [
        {"a": "unsubscribe", "v": [NIFTY]},
        {"a": "mode", "v": ["full", [INFY]]},
    ]


def test_no_message_names_more_than_it_may() -> None:
    limit = BROKER.channels[0].limits.per_message
    frames = wanted(codec(), *(sub(token, 2) for token in range(1000, 1001 + limit)))
    named = [frame["v"] if frame["a"] == "subscribe" else frame["v"][1] for frame in frames]
    assert [len(tokens) for tokens in named] == [limit, 1, limit, 1]


def test_what_is_released_is_heard_of_no_more() -> None:
    one = codec()
    infy = sub(INFY, 2)
    wanted(one, infy)
    infy.mode = 0
    late = frame([packet(INFY, Values(), "quote")])
    assert not read(one, late)[0]
    one.change([Change(infy, 2, 0)])
    infy.mode = 2
    assert not read(one, late)[0]
    assert not one.malformed


def test_heartbeats_orders_and_what_is_new_say_nothing() -> None:
    one = codec()
    for data in (b"\0", '{"type":"order","data":{"order_id":"1"}}', '{"type":"new"}', b"\0\0"):
        assert read(one, data) == ([], ())
    assert not one.malformed


def test_a_message_of_the_broker_is_passed_on() -> None:
    ((event,), _) = read(codec(), '{"type":"message","data":"Maintenance at 6"}')[::-1]
    assert event == Warned("Zerodha says: Maintenance at 6")


def test_an_error_of_room_refuses_what_was_asked_last_and_has_not_come() -> None:
    one = codec()
    there, waiting = sub(INFY, 2), sub(NIFTY, 2)
    wanted(one, there, waiting)
    there.waits = False
    _, events = read(one, '{"type":"error","data":"Exceeded the limit of 3000 instruments"}')
    (event,) = events
    assert isinstance(event, Refused)
    assert (event.subs, event.fault) == ((waiting,), Fault.CAPACITY)


def test_an_error_of_the_key_ends_the_connection_and_another_is_told() -> None:
    _, (event,) = read(codec(), '{"type":"error","data":"Invalid `access_token`"}')
    assert isinstance(event, Failed)
    assert event.fault is Fault.AUTH
    _, (event,) = read(codec(), '{"type":"error","data":"Odd"}')
    assert event == Warned("Zerodha reports an error: Odd")


@pytest.mark.parametrize(
    ("end", "fault"),
    [
        (Ended(status=403), Fault.AUTH),
        (Ended(status=400), Fault.AUTH),
        (Ended(status=429), Fault.RATE),
        (Ended(status=502), Fault.NETWORK),
        (Ended(code=1006), Fault.NETWORK),
    ],
)
def test_why_it_ended(end: Ended, fault: Fault) -> None:
    assert codec().ended(end)[0] is fault


def test_the_keys_stand_in_the_address_and_nowhere_else() -> None:
    endpoint = codec("ws://x/?v=1").endpoint(None)
    assert endpoint.url == "ws://x/?v=1&api_key=kite1&access_token=tok-1"
    assert endpoint.headers == {"X-Kite-Version": "3"}
    assert "tok-1" not in repr(codec())


def test_openalgo_keeps_both_keys_in_one() -> None:
    assert keys({"access_token": "k:t"}) == keys({"api_key": "k", "access_token": "t"})
    for wrong in ({}, {"api_key": "k"}, {"access_token": "t"}, {"access_token": "k:"}):
        with pytest.raises(BrokerError) as error:
            keys(wrong)
        assert error.value.fault is Fault.AUTH


MODE_NAMES = st.sampled_from(MODES[1:])
TOKENS = (INFY, USDINR, NIFTY)


@given(
    st.lists(
        st.tuples(st.sampled_from(TOKENS), MODE_NAMES, st.integers(1, 2**31 - 1)), max_size=20
    ),
    st.lists(st.integers(0, 20), max_size=4),
)
def test_any_grouping_of_packets_into_frames_reads_alike(
    ticks: list[tuple[int, str, int]], cuts: list[int]
) -> None:
    packets = [packet(token, Values(last=last), mode) for token, mode, last in ticks]
    edges = [0, *sorted(min(cut, len(packets)) for cut in cuts), len(packets)]
    one = codec()
    wanted(one, *(sub(token, 3) for token in TOKENS))
    grouped = Taken()
    for start, end in pairwise(edges):
        one.receive(frame(packets[start:end]), NOW_MS, grouped.take)
    assert grouped == [tick for one_by_one in packets for tick in read(one, frame([one_by_one]))[0]]
    assert [sub.listing.token for sub, *_ in grouped] == [str(token) for token, _, _ in ticks]
    assert not one.malformed


@given(st.one_of(st.binary(max_size=400), st.text(max_size=100)))
def test_nothing_that_comes_in_raises(data: str | bytes) -> None:
    one = codec()
    wanted(one, sub(INFY, 3))
    read(one, data)


@given(st.integers(0, 500), st.binary(min_size=1, max_size=3), st.integers(0, 400))
def test_damage_raises_nothing_and_reaches_no_other_instrument(
    at: int, put: bytes, cut: int
) -> None:
    one = codec()
    wanted(one, sub(INFY, 3), sub(NIFTY, 3))
    whole = frame([packet(INFY, Values(), mode) for mode in MODES[1:]])
    damaged = whole[: at % len(whole)] + put + whole[at % len(whole) + len(put) :]
    taken, _ = read(one, damaged[: max(1, len(damaged) - cut)])
    assert {sub.listing.token for sub, *_ in taken} <= {str(INFY), str(NIFTY)}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xff" + b"\0\0" * 4,  # packets of no length, and fewer than it says
        b"\0\1\0\x08\0\0",  # cut short
        b"\0\1\0\x05abcde",  # no packet has that length
        "{",
        "[]",
        '{"type":"error","data":"\\ud800',
        "\ud800",
        "[" * 100_000,
    ],
)
def test_what_cannot_be_read_is_counted(data: str | bytes) -> None:
    one = codec()
    assert read(one, data) == ([], ())
    assert one.malformed


def test_it_speaks_with_the_fake_broker() -> None:
    async def scene() -> None:
        async with Server() as server:
            one, taken = codec(server.url), Taken()
            endpoint = one.endpoint(None)
            infy, nifty, nobody = sub(INFY, 3), sub(NIFTY, 2), sub(77, 2)
            async with connect(endpoint.url, additional_headers=endpoint.headers) as socket:
                for text in one.change([Change(s, 0, s.mode) for s in (infy, nifty, nobody)]):
                    await socket.send(text)
                while {(s, mode) for s, mode, *_ in taken} < {(infy, 3), (nifty, 2)}:
                    assert one.receive(await socket.recv(), NOW_MS, taken.take) == ()
                infy.mode = 1
                taken.clear()
                for text in one.change([Change(infy, 3, 1), Change(nobody, 2, 0)]):
                    await socket.send(text)
                while infy not in {s for s, *_ in taken}:
                    one.receive(await socket.recv(), NOW_MS, taken.take)
                await server.until(lambda: server.peers[0].wants == {INFY: "ltp", NIFTY: "quote"})
            assert not one.malformed

    asyncio.run(asyncio.wait_for(scene(), 20))


def test_the_fake_broker_refuses_a_wrong_key_and_a_socket_too_many() -> None:
    async def scene() -> None:
        async with Server() as server:
            wrong = Codec({**CREDENTIALS, "access_token": "old"}, Addresses(server.url))
            assert await refused(wrong) == (Fault.AUTH, 403)
            server.script.sockets = 1
            async with connect(codec(server.url).endpoint(None).url):
                assert await refused(codec(server.url)) == (Fault.RATE, 429)

    async def refused(one: Codec) -> tuple[Fault, int]:
        with pytest.raises(InvalidStatus) as error:
            await connect(one.endpoint(None).url)
        status = error.value.response.status_code
        return one.ended(Ended(status=status))[0], status

    asyncio.run(asyncio.wait_for(scene(), 20))


def test_the_fake_broker_says_when_it_has_no_room() -> None:
    async def scene() -> None:
        async with Server() as server:
            server.script.symbols = 1
            one = codec(server.url)
            async with connect(one.endpoint(None).url) as socket:
                for text in one.change([Change(sub(t, 2), 0, 2) for t in (INFY, NIFTY)]):
                    await socket.send(text)
                events: list[Event] = []
                while not events:
                    events += one.receive(await socket.recv(), NOW_MS, Taken().take)
            assert isinstance(events[0], Refused)
            assert events[0].fault is Fault.CAPACITY

    asyncio.run(asyncio.wait_for(scene(), 20))
