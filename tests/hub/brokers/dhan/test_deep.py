"""Dhan's deep books: two packets make one tick."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.brokers.base import Addresses, Change, Failed, Listing, Subscription
from hub.brokers.dhan.deep import Deep, Deepest
from hub.core.model import Fault
from tests.brokers import dhan_server as server

NOW = 1_790_000_123_456
RELIANCE = Listing("NSE", "RELIANCE", "NSE_EQ", "2885")
KEY = ("NSE_EQ", 2885)


class Taken(list[dict[str, Any]]):
    """The payloads of what the codec publishes."""

    def __call__(self, sub: Subscription, mode: int, payload: bytes, at_ms: int, seq: int) -> None:
        assert (mode, sub.mode, at_ms, seq) == (3, 3, 0, 0)
        self.append(json.loads(payload))


def wanted(codec: Deep, mode: int = 3, listing: Listing = RELIANCE) -> Subscription:
    sub = Subscription(listing, f"{listing.symbol}:{codec.levels}")
    sub.mode = mode
    codec.change([Change(sub, 0, mode)])
    return sub


def made(kind: type[Deep] = Deep) -> Deep:
    return kind(server.CREDENTIALS, Addresses("ws://127.0.0.1:1/twentydepth"))


def bids(best: float, levels: int = 20) -> bytes:
    return server.side(True, *KEY, server.rows(levels, best, -0.05), levels)


def asks(best: float, levels: int = 20) -> bytes:
    return server.side(False, *KEY, server.rows(levels, best, 0.05), levels)


def test_a_packet_by_hand() -> None:
    codec, taken = made(Deepest), Taken()
    wanted(codec)
    bid = "1c00 29 01 450b0000 01000000 0000000000458640 0a000000 03000000"
    ask = "1c00 33 01 450b0000 01000000 0000000000488640 0b000000 04000000"
    assert codec.receive(bytes.fromhex(bid + ask), NOW, taken) == []
    assert taken == [{
        "symbol": "RELIANCE:200",
        "exchange": "NSE",
        "mode": 3,
        "timestamp": NOW,
        "depth": {
            "buy": [{"price": 712.625, "quantity": 10, "orders": 3}],
            "sell": [{"price": 713.0, "quantity": 11, "orders": 4}],
        },
        "depth_level": 200,
    }]  # fmt: skip


def test_a_tick_needs_both_sides_and_has_no_ltp() -> None:
    codec, taken = made(), Taken()
    wanted(codec)
    codec.receive(bids(100), NOW, taken)
    assert taken == []
    codec.receive(asks(100.05), NOW, taken)
    assert len(taken) == 1
    assert "ltp" not in taken[0]
    book = taken[0]["depth"]
    assert [len(book["buy"]), len(book["sell"]), taken[0]["depth_level"]] == [20, 20, 20]
    assert [level["price"] for level in book["buy"][:2]] == [100, 99.95]


def test_a_side_that_comes_alone_is_not_held_back_for_ever() -> None:
    codec, taken = made(), Taken()
    wanted(codec)
    for packet in (bids(100), asks(100.05), bids(101), bids(102), asks(102.05)):
        codec.receive(packet, NOW, taken)
    best = [(t["depth"]["buy"][0]["price"], t["depth"]["sell"][0]["price"]) for t in taken]
    assert best == [(100, 100.05), (102, 100.05), (102, 102.05)]


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 9)), max_size=12), st.data())
def test_any_frames_give_the_same_ticks(sent: list[tuple[bool, int]], data: st.DataObject) -> None:
    packets = [(bids if bid else asks)(float(price)) for bid, price in sent]
    alone, together = Taken(), Taken()
    for taken, sizes in ((alone, None), (together, data)):
        codec = made()
        wanted(codec)
        rest = list(packets)
        while rest:
            size = 1 if sizes is None else sizes.draw(st.integers(1, len(rest)))
            codec.receive(b"".join(rest[:size]), NOW, taken)
            del rest[:size]
    assert alone == together


def test_books_of_200_levels_may_be_shallow() -> None:
    codec, taken = made(Deepest), Taken()
    wanted(codec)
    codec.receive(bids(100, 150) + asks(100.05, 0), NOW, taken)
    assert [len(taken[0]["depth"]["buy"]), taken[0]["depth"]["sell"]] == [150, []]


def test_of_a_deep_book_no_ltp_is_made_up() -> None:
    codec, taken = made(), Taken()
    wanted(codec, 2)
    assert not codec.receive(bids(100) + asks(100.05), NOW, taken)
    assert taken == []


def test_requests_of_20_levels_are_lists_and_of_200_are_flat() -> None:
    subs = [Subscription(RELIANCE._replace(token=str(n))) for n in range(60)]
    frames = [json.loads(frame) for frame in made().change([Change(sub, 0, 3) for sub in subs])]
    assert [(f["RequestCode"], f["InstrumentCount"]) for f in frames] == [(23, 50), (23, 10)]
    (frame,) = made(Deepest).change([Change(subs[7], 0, 3)])
    assert json.loads(frame) == {
        "RequestCode": 23, "ExchangeSegment": "NSE_EQ", "SecurityId": "7",
    }  # fmt: skip
    (frame,) = made(Deepest).change([Change(subs[7], 3, 0)])
    assert json.loads(frame)["RequestCode"] == 24
    assert not made().change([Change(subs[7], 2, 3)])


def test_a_new_connection_begins_a_new_book() -> None:
    codec, taken = made(), Taken()
    sub = wanted(codec)
    codec.receive(bids(100) + asks(100.05), NOW, taken)
    codec = made()
    codec.change([Change(sub, 0, 3)])
    codec.receive(bids(200), NOW, taken)
    assert len(taken) == 1


def test_who_connects_stands_in_the_address_without_a_version() -> None:
    codec = Deep({"client_id": "1", "access_token": "a"}, Addresses("wss://h/twentydepth"))
    assert codec.endpoint(None).url == "wss://h/twentydepth?token=a&clientId=1&authType=2"


@pytest.mark.parametrize("tail", ["0000000000000000 2803", "0000000028030000"])
def test_a_disconnect_packet_is_read_where_documents_and_sdk_have_it(tail: str) -> None:
    body = bytes.fromhex(tail)
    packet = (4 + len(body)).to_bytes(2, "little") + b"\x32\x01" + body
    (event,) = made().receive(packet, NOW, Taken())
    assert isinstance(event, Failed)
    assert event.fault is Fault.AUTH
    assert "808" in event.text


@pytest.mark.parametrize(
    "data",
    [
        "text",
        b"\x0c",
        bids(100)[:-1],
        b"\x00\x00\x29" + bytes(9),
        bids(100, 19),
        b"\x0c\x00\x63" + bytes(9),
        server.side(True, *KEY, [(math.nan, 1, 1)] * 20),
    ],
)
def test_what_is_no_packet_is_counted_once(data: str | bytes) -> None:
    codec, taken = made(), Taken()
    wanted(codec)
    assert not codec.receive(data, NOW, taken)
    assert (codec.malformed, taken) == (1, [])


@given(st.lists(st.one_of(
    st.binary(max_size=400),
    st.tuples(st.booleans(), st.integers(0, 25), st.integers(0, 2**32 - 1)).map(
        lambda x: server.side(x[0], *KEY, server.rows(x[1], 10, 0.05), x[2])
    ),
)))  # fmt: skip
def test_no_bytes_raise(parts: list[bytes]) -> None:
    for kind in (Deep, Deepest):
        codec = made(kind)
        wanted(codec)
        for part in [*parts, b"".join(parts)]:
            codec.receive(part, NOW, Taken())
