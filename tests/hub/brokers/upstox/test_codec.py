"""Upstox' stream: partial updates are merged, and told once in the mode that is wanted."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import math
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from hub.brokers.base import (
    Addresses,
    Change,
    Confirmed,
    Ended,
    Event,
    Listing,
    Reply,
    Request,
    Subscription,
)
from hub.brokers.upstox import BROKER
from hub.brokers.upstox.codec import PER_MESSAGE, Codec
from hub.brokers.upstox.state import State
from hub.core.errors import BrokerError
from hub.core.model import Fault
from tests.brokers.upstox_server import (
    CREDENTIALS,
    INITIAL,
    LIVE,
    PARTS,
    Server,
    Values,
    feed,
    inner,
    market_info,
    message,
    real,
)

INFY, NIFTY = "NSE_EQ|INE009A01021", "NSE_INDEX|Nifty 50"
NOW_MS = 1_795_000_100_000
AT_MS = 1_795_000_002_000


class Taken(list[tuple[Subscription, int, dict[str, Any], int]]):
    """The ticks that a codec has found."""

    def take(self, sub: Subscription, mode: int, payload: bytes, at_ms: int, seq: int) -> None:
        assert 1 <= mode <= sub.mode
        assert seq == 0
        self.append((sub, mode, json.loads(payload), at_ms))


def codec(levels: int = 5) -> Codec:
    return Codec(CREDENTIALS, Addresses("ws://x", "http://x"), levels)


def sub(mode: int, key: str = INFY, name: str = "INFY") -> Subscription:
    exchange = "NSE_INDEX" if "INDEX" in key else "NSE"
    one = Subscription(Listing(exchange, name, key.partition("|")[0], key))
    one.mode = mode
    return one


def wanted(one: Codec, *subs: Subscription) -> list[Any]:
    return [json.loads(data) for data in one.change([Change(sub, 0, sub.mode) for sub in subs])]


def read(one: Codec, data: str | bytes) -> tuple[Taken, Sequence[Event]]:
    taken = Taken()
    return taken, one.receive(data, NOW_MS, taken.take)


def fed(one: Codec, *feeds: bytes, kind: int = LIVE) -> Taken:
    return read(one, message(kind, feeds))[0]


def test_ltp_by_hand() -> None:
    """A live feed of one instrument, as protobuf has it."""
    one = codec()
    infy = sub(1)
    wanted(one, infy)
    data = bytes.fromhex(
        "0801"  # type: live
        "1236"  # an entry of feeds
        "0a13" + INFY.encode().hex() + "121f"  # its key, its value
        "0a1d"  # ltpc
        "09 9a99999999f59840"  # ltp 1597.4
        "10 80b0e9e69e34"  # ltt 1794975094784
        "18 07"  # ltq
        "21 9a99999999d99840"  # cp 1590.4
        "2a 00"  # field 5, which nobody knows
        "18 80bce9e69e34"  # currentTs 1794975096320
    )
    (tick,) = read(one, data)[0]
    assert tick[0] is infy
    assert tick[1] == 1
    assert list(tick[2].items()) == [
        ("symbol", "INFY"),
        ("exchange", "NSE"),
        ("token", INFY),
        ("ltp", 1597.4),
        ("ltq", 7),
        ("ltt", 1_794_975_094_784),
        ("cp", 1590.4),
    ]
    assert tick[3] == 1_794_975_096_320


def test_quote_has_the_close_of_the_day_before_and_the_time_of_the_message() -> None:
    one = codec()
    wanted(one, sub(2))
    ((_, mode, payload, at_ms),) = fed(one, feed(INFY, Values(), "full"), kind=INITIAL)
    assert (mode, at_ms) == (2, AT_MS)
    assert payload == {
        "symbol": "INFY",
        "exchange": "NSE",
        "token": INFY,
        "open": 2480.0,
        "high": 2510.0,
        "low": 2475.0,
        "close": 2470.0,
        "ltp": 2500.05,
        "last_trade_quantity": 10,
        "volume": 3_000_000_000,
        "average_price": 2499.0,
        "total_buy_quantity": 120_000,
        "total_sell_quantity": 95_000,
        "timestamp": AT_MS,
        "oi": 77_000,
        "ltq": 10,
        "ltt": Values().ltt,
        "cp": 2470.0,
    }


def test_depth_has_what_quote_has_and_the_book() -> None:
    one = codec()
    wanted(one, sub(3))
    ((_, mode, payload, _),) = fed(one, feed(INFY, Values(), "full"))
    assert mode == 3
    assert payload["volume"] == 3_000_000_000
    book = payload["depth"]
    assert book["timestamp"] == AT_MS
    assert len(book["buy"]) == len(book["sell"]) == 5
    assert book["buy"][0] == {"price": 2500.0, "quantity": 100, "orders": 0}
    assert book["sell"][4] == {"price": 2500.3, "quantity": 204, "orders": 0}


def test_a_quote_after_depth_has_no_book() -> None:
    one = codec()
    infy = sub(3)
    wanted(one, infy)
    fed(one, feed(INFY, Values(), "full"))
    infy.mode = 2
    one.change([Change(infy, 3, 2)])
    ((_, mode, payload, _),) = fed(one, feed(INFY, Values(), "full"))
    assert mode == 2
    assert "depth" not in payload


def test_no_more_levels_are_told_than_are_asked_for() -> None:
    one = codec()
    wanted(one, sub(3))
    ((_, _, payload, _),) = fed(one, feed(INFY, Values(), "full_d30"))
    assert len(payload["depth"]["buy"]) == len(payload["depth"]["sell"]) == 5


def test_thirty_levels_where_they_are_asked_for() -> None:
    deep = BROKER.channels[1]
    one = deep.codec(CREDENTIALS, deep.addresses)
    infy = sub(3)
    (request,) = [json.loads(data) for data in one.change([Change(infy, 0, 3)])]
    assert request["data"]["mode"] == "full_d30"
    taken = Taken()
    one.receive(message(LIVE, [feed(INFY, Values(), "full_d30")]), NOW_MS, taken.take)
    assert len(taken[0][2]["depth"]["sell"]) == 30


def test_what_an_update_leaves_out_stays() -> None:
    one = codec()
    wanted(one, sub(3))
    old, new = Values(), Values(ltp=2501.0, atp=2499.5, high=2511.0)
    fed(one, feed(INFY, old, "full"), kind=INITIAL)
    seen = [fed(one, feed(INFY, new, "full", [part]))[0] for part in ("level", "ltpc", "day")]
    assert [mode for _, mode, _, _ in seen] == [3, 3, 3]
    assert [payload["ltp"] for _, _, payload, _ in seen] == [2500.05, 2501.0, 2501.0]
    assert [payload["high"] for _, _, payload, _ in seen] == [2510.0, 2510.0, 2511.0]
    assert [payload["depth"]["buy"][0]["price"] for _, _, payload, _ in seen] == [2500.95] * 3
    assert seen[2][2]["average_price"] == 2499.0


def test_zero_is_not_sent_in_an_update_and_zero_in_a_snapshot() -> None:
    one = codec()
    wanted(one, sub(2))
    fed(one, feed(INFY, Values(), "full"))
    zeros = Values(atp=0, vtt=0, oi=0, tbq=0, tsq=0, traded=0)
    (live,), (snapshot,) = (
        fed(one, feed(INFY, zeros, "full"), kind=kind) for kind in (LIVE, INITIAL)
    )
    names = ("average_price", "volume", "oi", "total_buy_quantity", "total_sell_quantity")
    assert all(live[2][name] for name in names)
    assert not any(snapshot[2][name] for name in names)


def test_a_side_of_nothing_is_told_when_the_other_has_something() -> None:
    one = codec()
    wanted(one, sub(2))
    fed(one, feed(INFY, Values(), "full"))
    ((_, _, payload, _),) = fed(one, feed(INFY, Values(tsq=0), "full"))
    assert (payload["total_buy_quantity"], payload["total_sell_quantity"]) == (120_000, 0)


def test_the_days_volume_is_the_candles_where_it_does_not_come_by_itself() -> None:
    one = codec()
    wanted(one, sub(2))
    assert fed(one, feed(INFY, Values(vtt=0), "full"))[0][2]["volume"] == 999
    assert fed(one, feed(INFY, Values(vtt=5), "full"))[0][2]["volume"] == 5
    assert fed(one, feed(INFY, Values(vtt=0, traded=1000), "full"))[0][2]["volume"] == 5


@pytest.mark.parametrize("traded", [999, 1000])
def test_after_a_snapshot_without_the_days_volume_it_is_the_candles_again(traded: int) -> None:
    """Whether the candle has changed since, or not."""
    one = codec()
    wanted(one, sub(2))
    fed(one, feed(INFY, Values(vtt=5), "full"))
    (tick,) = fed(one, feed(INFY, Values(vtt=0, traded=traded), "full"), kind=INITIAL)
    assert tick[2]["volume"] == traded


@pytest.mark.parametrize("price", ["open", "high", "low"])
def test_the_days_prices_are_read_again_when_one_has_changed_and_only_then(
    price: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = codec()
    read: list[bytes] = []
    wanted(one, sub(2))
    take_day = State._take_day

    def counted(state: State, day: bytes) -> None:
        read.append(day)
        take_day(state, day)

    monkeypatch.setattr(State, "_take_day", counted)
    values = Values()
    changed: Values = values._replace(**{price: 2333.0})  # type: ignore[arg-type]  # prices
    for traded in range(3):
        fed(one, feed(INFY, values._replace(traded=traded, close=2400.0 + traded), "full"))
    assert len(read) == 1
    ((_, _, payload, _),) = fed(one, feed(INFY, changed, "full"))
    assert payload[price] == 2333.0
    ((_, _, payload, _),) = fed(one, feed(INFY, values, "full"))
    assert payload[price] == getattr(values, price)
    assert len(read) == 3


def test_the_days_candle_is_found_behind_others() -> None:
    one = codec()
    wanted(one, sub(2))
    minute = inner(1, inner(1, b"I1") + real(2, 1.0))
    day = inner(1, inner(1, b"1d") + real(2, 2.0) + real(3, 4.0) + real(4, 1.5))
    full = inner(1, real(1, 3.0)) + inner(4, minute + day)
    entry = inner(1, INFY.encode()) + inner(2, inner(2, inner(1, full)))
    ((_, _, payload, _),) = fed(one, entry)
    assert [payload[name] for name in ("open", "high", "low")] == [2.0, 4.0, 1.5]


def test_nothing_is_told_before_there_is_a_price() -> None:
    one = codec()
    wanted(one, sub(3))
    assert not fed(one, feed(INFY, Values(), "full", ["level", "numbers"]))
    ((_, mode, payload, _),) = fed(one, feed(INFY, Values(), "full", ["ltpc"]))
    assert mode == 3
    assert payload["total_buy_quantity"] == 120_000


def test_a_snapshot_without_a_price_confirms_all_the_same() -> None:
    one = codec()
    infy = sub(2)
    wanted(one, infy)
    feeds = [feed(INFY, Values(), "full", [])]
    assert read(one, message(LIVE, feeds)) == ([], [])
    assert read(one, message(INITIAL, feeds)) == ([], [Confirmed(infy)])
    infy.waits = False
    assert read(one, message(INITIAL, feeds)) == ([], [])


def test_an_index_has_an_empty_book() -> None:
    one = codec()
    wanted(one, sub(3, NIFTY, "NIFTY"))
    ((_, mode, payload, _),) = fed(one, feed(NIFTY, Values(), "full"))
    assert mode == 3
    assert payload["volume"] == 999
    assert payload["open"] == 2480.0
    assert payload["depth"]["buy"] == [{"price": 0.0, "quantity": 0, "orders": 0}] * 5


def test_the_mode_told_is_the_highest_that_is_wanted_and_known() -> None:
    one = codec()
    infy = sub(1)
    wanted(one, infy)
    full = feed(INFY, Values(), "full")
    assert fed(one, full)[0][1] == 1
    infy.mode = 2
    assert fed(one, feed(INFY, Values(ltp=1.0), "ltpc"))[0][1] == 2
    infy.mode = 3  # the book came while nobody wanted it
    ((_, mode, payload, _),) = fed(one, feed(INFY, Values(ltp=2.0), "ltpc"))
    assert (mode, payload["depth"]["buy"][0]["price"]) == (3, 2500.0)
    infy.mode = 0
    assert not fed(one, full)


def test_after_ltp_alone_a_quote_waits_for_a_full_feed() -> None:
    one = codec()
    infy = sub(3)
    wanted(one, infy)
    fed(one, feed(INFY, Values(), "full"))
    infy.mode = 1
    one.change([Change(infy, 3, 1)])
    infy.mode = 3
    one.change([Change(infy, 1, 3)])
    assert fed(one, feed(INFY, Values(), "ltpc"))[0][1] == 1
    assert fed(one, feed(INFY, Values(), "full", ["ltpc"]))[0][1] == 2
    assert fed(one, feed(INFY, Values(), "full"))[0][1] == 3


def test_values_outlive_a_connection() -> None:
    infy = sub(2)
    first = codec()
    wanted(first, infy)
    fed(first, feed(INFY, Values(), "full"))
    second = codec()
    wanted(second, infy)
    assert fed(second, feed(INFY, Values(ltp=3.0), "full", ["ltpc"]))[0][2]["oi"] == 77_000


def test_requests_are_json_in_binary_messages_of_one_mode() -> None:
    one = codec()
    low, quote, depth = sub(1, "A|1"), sub(2, "A|2"), sub(3, "A|3")
    changes = [Change(each, 0, each.mode) for each in (low, quote, depth)]
    frames = one.change(changes)
    assert all(isinstance(data, bytes) for data in frames)
    assert _said(frames) == [("sub", "ltpc", ["A|1"]), ("sub", "full", ["A|2", "A|3"])]
    frames = one.change([Change(low, 1, 3), Change(quote, 2, 3), Change(depth, 3, 0)])
    assert _said(frames) == [
        ("unsub", None, ["A|3"]),
        ("sub", "full", ["A|2"]),  # for its snapshot: it may never be traded
        ("change_mode", "full", ["A|1"]),
    ]
    assert not one.change([Change(quote, 3, 2)])
    frames = one.change([Change(low, 3, 1), Change(quote, 3, 2)])
    assert _said(frames) == [("change_mode", "ltpc", ["A|1"])]


def _said(frames: Sequence[str | bytes]) -> list[tuple[str, str | None, list[str]]]:
    asked = [json.loads(data) for data in frames]
    assert all(isinstance(one["guid"], str) for one in asked)
    return [
        (one["method"], one["data"].get("mode"), one["data"]["instrumentKeys"]) for one in asked
    ]


def test_no_message_names_more_than_it_may() -> None:
    asked = wanted(codec(), *(sub(2, f"A|{i}") for i in range(PER_MESSAGE + 1)))
    assert [len(one["data"]["instrumentKeys"]) for one in asked] == [PER_MESSAGE, 1]
    assert len({one["guid"] for one in asked}) == 2


def test_what_is_released_is_heard_of_no_more() -> None:
    one = codec()
    infy = sub(2)
    wanted(one, infy)
    one.change([Change(infy, 2, 0)])
    assert not fed(one, feed(INFY, Values(), "full"))
    assert not one.malformed


@pytest.mark.parametrize("together", [False, True])
def test_an_old_subscription_that_is_released_does_not_silence_a_new_one(together: bool) -> None:
    one = codec()
    old, new = sub(2), sub(2)
    wanted(one, old)
    changes = [Change(new, 0, 2), Change(old, 2, 0)]
    for some in [changes] if together else [[change] for change in changes]:
        one.change(some)
    (tick,) = fed(one, feed(INFY, Values(), "full"))
    assert tick[0] is new


def test_the_state_of_the_exchanges_says_nothing() -> None:
    one = codec()
    assert read(one, market_info()) == ([], [])
    assert not one.malformed


def test_each_connection_is_authorized() -> None:
    request = codec().ask()
    assert request
    assert (request.method, request.url) == ("GET", "http://x/v3/feed/market-data-feed/authorize")
    assert request.headers["Authorization"] == "Bearer tok-1"
    assert "tok-1" not in request.url
    with pytest.raises(BrokerError) as error:
        Codec({}, Addresses("ws://x", "http://x")).ask()
    assert error.value.fault is Fault.AUTH


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (401, b'{"errors":[{"errorCode":"UDAPI100050"}]}', Fault.AUTH),
        (403, b"Forbidden", Fault.AUTH),
        (403, b"error code: 1010", Fault.NETWORK),
        (429, b'{"errors":[]}', Fault.RATE),
        (503, b"[" * 100_000, Fault.NETWORK),
        (200, b"{}", Fault.NETWORK),
        (200, b"\xff", Fault.NETWORK),
        (200, b'{"data":{"authorized_redirect_uri":"http://x"}}', Fault.NETWORK),
        (200, b'{"data":[]}', Fault.NETWORK),
    ],
)
def test_an_authorization_that_fails_says_why(status: int, body: bytes, fault: Fault) -> None:
    with pytest.raises(BrokerError) as error:
        codec().endpoint(Reply(status, {}, body))
    assert error.value.fault is fault
    if b"UDAPI" in body:
        assert "UDAPI100050" in str(error.value)


def test_the_address_of_the_authorization_is_where_to_connect() -> None:
    for name in ("authorized_redirect_uri", "authorizedRedirectUri"):
        body = json.dumps({"data": {name: "wss://y/?code=1"}}).encode()
        assert codec().endpoint(Reply(200, {}, body)) == ("wss://y/?code=1", {})


def test_why_it_ended() -> None:
    assert codec().ended(Ended(status=403))[0] is Fault.AUTH
    assert codec().ended(Ended(status=429))[0] is Fault.RATE
    assert codec().ended(Ended(code=1006))[0] is Fault.NETWORK


NUMBERS = st.integers(1, 10**9)
PRICES = st.integers(1, 10**8).map(lambda paise: paise / 100)
VALUES = st.builds(
    Values, ltp=PRICES, ltt=NUMBERS, ltq=NUMBERS, cp=PRICES, open=PRICES, high=PRICES, low=PRICES,
    traded=NUMBERS, atp=PRICES, vtt=NUMBERS, oi=NUMBERS.map(float), tbq=NUMBERS.map(float),
    tsq=NUMBERS.map(float),
)  # fmt: skip


@given(VALUES, VALUES, st.permutations(PARTS), st.integers(0, len(PARTS)), st.booleans())
def test_any_split_and_any_order_of_updates_gives_the_same_state(
    old: Values, new: Values, order: list[str], cut: int, together: bool
) -> None:
    """Whether they come one by one, in two messages, or in entries of one message."""
    whole_one, split = codec(), codec()
    for one in (whole_one, split):
        wanted(one, sub(3))
        fed(one, feed(INFY, old, "full"), kind=INITIAL)
    expected = fed(whole_one, feed(INFY, new, "full"))
    if together:
        seen = fed(split, *(feed(INFY, new, "full", [part]) for part in order))
    else:
        fed(split, feed(INFY, new, "full", order[:cut]))
        seen = fed(split, feed(INFY, new, "full", order[cut:]))
    assert seen[-1][1:] == expected[-1][1:]


@given(st.one_of(st.binary(max_size=300), st.text(max_size=50)))
def test_nothing_that_comes_in_raises(data: str | bytes) -> None:
    one = codec()
    wanted(one, sub(3), sub(3, NIFTY))
    read(one, data)


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=4), st.integers(0, 600))
def test_damage_raises_nothing(at: int, put: bytes, cut: int) -> None:
    one = codec()
    wanted(one, sub(3), sub(2, NIFTY))
    sound = message(LIVE, [feed(INFY, Values(), "full"), feed(NIFTY, Values(), "full")])
    at %= len(sound)
    damaged = (sound[:at] + put + sound[at + len(put) :])[: max(1, len(sound) - cut)]
    read(one, damaged)
    assert fed(one, feed(INFY, Values(ltp=7.5), "full"))[0][2]["ltp"] == 7.5


@pytest.mark.parametrize(
    "data", [b"", b"\x08\x01", "{}", "\ud800", b"\x12\xff", message(LIVE, [inner(2, b"\xff")])]
)
def test_what_cannot_be_read_is_counted(data: str | bytes) -> None:
    one = codec()
    assert read(one, data)[0] == []
    assert one.malformed == 1


@pytest.mark.parametrize("field", [2, 4])
def test_a_book_or_candles_that_cannot_be_read_are_counted(field: int) -> None:
    one = codec()
    wanted(one, sub(3))
    full = inner(1, real(1, 3.0)) + inner(field, b"\x0a\xff")
    ((_, mode, payload, _),) = fed(
        one, inner(1, INFY.encode()) + inner(2, inner(2, inner(1, full)))
    )
    assert (mode, payload["ltp"]) == (2, 3.0)
    assert one.malformed == 1


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, 1e300])
def test_numbers_that_are_none_change_nothing(odd: float) -> None:
    one = codec()
    wanted(one, sub(2))
    ((_, _, before, _),) = fed(one, feed(INFY, Values(), "full"))
    values = Values(oi=odd, tbq=odd, tsq=odd)
    if not math.isfinite(odd):
        values = values._replace(ltp=odd, cp=odd, open=odd, atp=odd)
    ((_, _, after, _),) = fed(one, feed(INFY, values, "full"))
    assert after == before


def test_negative_totals_and_times_are_left_out() -> None:
    one = codec()
    wanted(one, sub(2))
    data = message(LIVE, [feed(INFY, Values(tbq=-5.0, tsq=9.0), "full")], -1)
    ((_, _, payload, at_ms),) = read(one, data)[0]
    assert (payload["total_sell_quantity"], payload["timestamp"], at_ms) == (0, NOW_MS, 0)


def ask(request: Request) -> Reply:
    """Do what the runner does with a request."""
    parts = urlsplit(request.url)
    line = http.client.HTTPConnection(parts.netloc, timeout=5)
    line.request(request.method, parts.path, request.body or None, dict(request.headers))
    response = line.getresponse()
    body = response.read()
    line.close()
    return Reply(response.status, {}, body)


async def authorized(server: Server, **credentials: str) -> str:
    one = Codec({**CREDENTIALS, **credentials}, Addresses(server.url, server.api))
    request = one.ask()
    assert request
    return one.endpoint(await asyncio.to_thread(ask, request)).url


def test_it_speaks_with_the_fake_broker() -> None:
    async def scene() -> None:
        async with Server() as server:
            one, taken = codec(), Taken()
            infy, nifty, nobody = sub(3), sub(1, NIFTY, "NIFTY"), sub(2, "NSE_EQ|NOBODY")
            async with connect(await authorized(server), compression=None) as socket:
                for data in one.change([Change(s, 0, s.mode) for s in (infy, nifty, nobody)]):
                    await socket.send(data)
                while {(s, mode) for s, mode, *_ in taken} < {(infy, 3), (nifty, 1)}:
                    one.receive(await socket.recv(), NOW_MS, taken.take)
                server.parts = ["level"]
                server.values[INFY] = Values(ltp=9.5)
                taken.clear()
                await server.push(server.peers[0], server.ticks(server.peers[0]))
                while infy not in {s for s, *_ in taken}:
                    one.receive(await socket.recv(), NOW_MS, taken.take)
                (payload,) = [payload for s, _, payload, _ in taken if s is infy]
                assert (payload["ltp"], payload["depth"]["buy"][0]["price"]) == (2500.05, 9.45)
                for data in one.change([Change(infy, 3, 1), Change(nobody, 2, 0)]):
                    await socket.send(data)
                await server.until(lambda: server.peers[0].wants == {INFY: "ltpc", NIFTY: "ltpc"})
            assert not one.malformed

    asyncio.run(asyncio.wait_for(scene(), 20))


def test_the_fake_broker_lets_in_each_authorization_once_and_two_sockets() -> None:
    async def scene() -> None:
        async with Server() as server:
            url = await authorized(server)
            async with connect(url), connect(await authorized(server)):
                for again in (url, await authorized(server)):
                    with pytest.raises(InvalidStatus) as error:
                        await connect(again)
                    assert error.value.response.status_code == 403
            with pytest.raises(BrokerError) as refused:
                await authorized(server, access_token="old")
            assert refused.value.fault is Fault.AUTH

    asyncio.run(asyncio.wait_for(scene(), 20))


def test_a_text_is_passed_over_by_the_fake_broker_and_a_quota_kept() -> None:
    async def scene() -> None:
        async with Server() as server:
            server.quotas["full"] = 1
            async with connect(await authorized(server)) as socket:
                frames = codec().change([Change(sub(2, key), 0, 2) for key in (INFY, NIFTY)])
                for data in frames:
                    await socket.send(data.decode() if isinstance(data, bytes) else data)
                    await socket.send(data)
                await server.until(lambda: len(server.heard) == 2)
                assert server.peers[0].wants == {INFY: "full"}

    asyncio.run(asyncio.wait_for(scene(), 20))


def test_a_message_of_many_instruments_reaches_each() -> None:
    one = codec()
    keys = [f"A|{i}" for i in range(20)]
    subs = [sub(1 + i % 3, key, key) for i, key in enumerate(keys)]
    wanted(one, *subs)
    taken = fed(one, *(feed(key, Values(ltp=float(i + 1)), "full") for i, key in enumerate(keys)))
    assert [payload["ltp"] for _, _, payload, _ in taken] == [i + 1.0 for i in range(20)]
    assert [mode for _, mode, _, _ in taken] == list(
        itertools.islice(itertools.cycle([1, 2, 3]), 20)
    )
