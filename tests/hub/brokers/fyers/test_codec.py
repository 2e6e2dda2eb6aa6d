"""The data socket's codec: what it says, what it makes of packets, and what it leaves out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.brokers.base import (
    Addresses,
    Change,
    Confirmed,
    Ended,
    Event,
    Failed,
    Listing,
    Ready,
    Refused,
    Say,
    Subscription,
    Warned,
)
from hub.brokers.fyers.codec import FyersCodec
from hub.core.errors import BrokerError
from hub.core.model import Fault
from tests.brokers import fyers_wire as wire
from tests.brokers.fyers_server import CREDENTIALS, full

NOW_MS = 1_795_000_000_001
RELIANCE = Listing("NSE", "RELIANCE", "nse_cm", "2885", "NSE:RELIANCE-EQ")
SBIN = Listing("NSE", "SBIN", "nse_cm", "3045", "NSE:SBIN-EQ")
NIFTY = Listing("NSE_INDEX", "NIFTY", "nse_cm", "Nifty 50", "NSE:NIFTY50-INDEX", kind="INDEX")
SF, DP, IF = "sf|nse_cm|2885", "dp|nse_cm|2885", "if|nse_cm|Nifty 50"
HOLES = [None] * 21


class Desk:
    """A codec that has been let in, and what came out of it."""

    def __init__(self, ack_every: int = 0) -> None:
        self.codec = FyersCodec(CREDENTIALS, Addresses("ws://127.0.0.1:1"))
        self.ticks: list[tuple[Subscription, int, dict[str, Any], int]] = []
        self.hear(wire.yes(1, ack_every))

    def hear(self, data: str | bytes) -> list[Event]:
        return list(self.codec.receive(data, NOW_MS, self.take))

    def take(self, sub: Subscription, mode: int, payload: bytes, at_ms: int, seq: int) -> None:
        assert 0 < mode <= sub.mode
        assert seq == 0
        sub.waits = False
        self.ticks.append((sub, mode, json.loads(payload), at_ms))

    def want(self, listing: Listing, mode: int) -> Subscription:
        sub = Subscription(listing)
        self.move(sub, mode)
        return sub

    def move(self, sub: Subscription, mode: int) -> list[bytes]:
        was, sub.mode = sub.mode, mode
        frames = self.codec.change([Change(sub, was, mode)])
        assert all(isinstance(frame, bytes) for frame in frames)
        return [bytes(frame) for frame in frames]  # type: ignore[arg-type]

    def data(self, *entries: bytes) -> list[Event]:
        return self.hear(wire.data(7, entries))

    @property
    def modes(self) -> list[int]:
        return [mode for _, mode, _, _ in self.ticks]


# What it says.


def test_no_header_goes_with_the_upgrade() -> None:
    codec = FyersCodec(CREDENTIALS, Addresses("wss://socket.example/hsm"))
    assert codec.ask() is None
    assert codec.endpoint(None) == ("wss://socket.example/hsm", {})


@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c", wire.token(""), "a.bnVsbA.c"])
def test_a_token_without_a_key_is_refused_before_connecting(token: str) -> None:
    with pytest.raises(BrokerError) as caught:
        FyersCodec({"access_token": token}, Addresses("")).endpoint(None)
    assert caught.value.fault is Fault.AUTH


@pytest.mark.parametrize("before", ["", "TESTAPP-100:"])
def test_it_says_who_we_are_with_the_key_of_the_token(before: str) -> None:
    codec = FyersCodec({"access_token": before + wire.token("KEY")}, Addresses(""))
    (frame,) = codec.opened()
    assert frame == (
        b"\x00\x1b\x01\x04" b"\x01\x00\x03KEY" b"\x02\x00\x01P" b"\x03\x00\x01\x01"
        b"\x04\x00\x08Shardhub"
    )  # fmt: skip
    assert not codec.ready
    assert codec.beat() == (b"\x00\x01\x0b",)


def test_let_in_it_asks_for_whole_updates() -> None:
    codec = FyersCodec(CREDENTIALS, Addresses(""))
    events = codec.receive(bytes.fromhex("000f01020100014b02000400000032"), NOW_MS, _nobody)
    mode = bytes.fromhex("00000c02010008000000000000080002000146")
    assert events == (Say((mode,)), Ready())
    assert codec.ready


@pytest.mark.parametrize("verdict", [wire.no(1), wire.reply(1), wire.reply(1, wire.field(2, b"K"))])
def test_anything_but_k_is_a_refusal_of_the_token(verdict: bytes) -> None:
    codec = FyersCodec(CREDENTIALS, Addresses(""))
    (event,) = codec.receive(verdict, NOW_MS, _nobody)
    assert isinstance(event, Failed)
    assert event.fault is Fault.AUTH
    assert not codec.ready


def test_it_asks_for_the_topics_of_a_mode() -> None:
    desk = Desk()
    sub = Subscription(RELIANCE)
    assert desk.move(sub, 1) == [
        b"\x00\x1a\x04\x02\x01\x00\x11\x00\x01\x0esf|nse_cm|2885\x02\x00\x01\x0b"
    ]
    assert desk.move(sub, 2) == []
    (more,) = desk.move(sub, 3)
    assert more[2] == 4
    assert DP.encode() in more
    assert SF.encode() not in more
    (less,) = desk.move(sub, 2)
    assert less[2] == 5
    assert DP.encode() in less
    assert SF.encode() not in less
    (none,) = desk.move(sub, 0)
    assert none[2] == 5
    assert SF.encode() in none


def test_an_index_has_one_topic_in_each_mode() -> None:
    (frame,) = Desk().move(Subscription(NIFTY), 3)
    assert frame[7:].startswith(b"\x00\x01" + bytes([len(IF)]) + IF.encode())


@pytest.mark.parametrize(("mode", "frames"), [(2, 2), (3, 3)])
def test_a_frame_names_1500_topics_at_most(mode: int, frames: int) -> None:
    desk = Desk()
    subs = [Subscription(Listing("NSE", f"S{n}", "nse_cm", str(n))) for n in range(2000)]
    sent = desk.codec.change([Change(sub, 0, mode) for sub in subs])
    counts = [int.from_bytes(frame[7:9], "big") for frame in sent if isinstance(frame, bytes)]
    assert len(counts) == frames
    assert max(counts) == 1500
    assert sum(counts) == 2000 * (1 if mode == 2 else 2)


def test_names_too_long_for_one_frame_go_in_several() -> None:
    desk = Desk()
    subs = [Subscription(Listing("NSE", f"S{n}", "nse_cm", f"{n:0240}")) for n in range(600)]
    sent = desk.codec.change([Change(sub, 0, 1) for sub in subs])
    assert len(sent) == 3


@pytest.mark.parametrize("every", [0, 1, 3])
def test_data_frames_are_acknowledged_as_often_as_told(every: int) -> None:
    desk = Desk(every)
    said = [event for n in range(1, 7) for event in desk.hear(wire.data(0xFFFFFF00 + n, []))]
    wanted = [n for n in range(1, 7) if every and n % every == 0]
    assert said == [
        Say((b"\x00\x09\x03\x01\x01\x00\x04\xff\xff\xff" + bytes([n]),)) for n in wanted
    ]


# What it makes of packets.


def test_a_quote_has_every_field() -> None:
    desk = Desk()
    desk.want(RELIANCE, 2)
    values = [
        245_005, 1_000_000, 1_790_000_001, 1_790_000_002, 75, 150, 245_000, 245_010, 25, 9_000,
        8_000, 244_950, 12_345, 243_000, 246_000, 300_000, 200_000, 220_000, 270_000, 244_000,
        242_500,
    ]  # fmt: skip
    desk.data(wire.snapshot(513, SF, values))
    ((_, mode, payload, at_ms),) = desk.ticks
    assert (mode, at_ms) == (2, 1_790_000_002_000)
    assert list(payload.items()) == [
        ("symbol", "RELIANCE"), ("exchange", "NSE"), ("token", "2885"), ("ltp", 2450.05),
        ("open", 2440.0), ("high", 2460.0), ("low", 2430.0), ("close", 2425.0),
        ("bid_price", 2450.0), ("ask_price", 2450.1), ("bid_size", 75), ("ask_size", 150),
        ("volume", 1_000_000), ("oi", 12_345), ("upper_circuit", 2700.0),
        ("lower_circuit", 2200.0), ("last_traded_time", 1_790_000_001),
        ("exchange_time", 1_790_000_002), ("avg_trade_price", 2449.5),
        ("last_trade_quantity", 25), ("total_buy_quantity", 9_000),
        ("total_sell_quantity", 8_000), ("change", 25.05), ("change_percent", 1.033),
        ("timestamp", 1_790_000_002_000), ("data_type", "Quote"), ("subscription_mode", 2),
    ]  # fmt: skip


def test_a_last_price_has_few_fields() -> None:
    desk = Desk()
    desk.want(RELIANCE, 1)
    desk.data(wire.snapshot(1, SF, full(SF, 0)[:1]))
    assert desk.ticks[0][2] == {
        "symbol": "RELIANCE", "exchange": "NSE", "token": "2885", "ltp": full(SF, 0)[0] / 100,
        "timestamp": NOW_MS, "data_type": "LTP", "subscription_mode": 1,
    }  # fmt: skip
    assert desk.ticks[0][3] == 0


@pytest.mark.parametrize(
    ("precision", "multiplier", "price"),
    [(2, 1, 9654.75), (2, 100, 96.5475), (4, 1, 96.5475), (4, 100, 0.965475), (0, 1, 965475)],
)
def test_a_price_is_scaled_by_precision_and_multiplier(
    precision: int, multiplier: int, price: float
) -> None:
    desk = Desk()
    desk.want(RELIANCE, 1)
    desk.data(wire.snapshot(1, SF, [965475], precision=precision, multiplier=multiplier))
    assert desk.ticks[0][2]["ltp"] == price


def test_an_update_leaves_what_it_does_not_name() -> None:
    desk = Desk()
    desk.want(RELIANCE, 2)
    desk.data(wire.snapshot(1, SF, full(SF, 0)))
    desk.data(wire.update(1, [20_000, *HOLES[1:6], 19_995]), wire.lite(1, None), wire.lite(1, 1))
    first, second, same, lite = (payload for _, _, payload, _ in desk.ticks)
    assert second == first | {
        "ltp": 200.0, "bid_price": 199.95, "change": second["change"],
        "change_percent": second["change_percent"],
    }  # fmt: skip
    assert same == second
    assert lite["ltp"] == 0.01
    assert lite["bid_price"] == 199.95


def test_an_update_that_is_cut_in_its_holes_is_counted() -> None:
    desk = Desk()
    desk.want(RELIANCE, 2)
    desk.data(wire.snapshot(1, SF, full(SF, 0)))
    frame = wire.data(1, [wire.update(1, [7, *HOLES[1:]])])
    desk.hear(frame)
    assert desk.codec.malformed == 0
    for cut in range(1, 80):
        desk.hear(frame[:-cut])
        assert desk.codec.malformed == cut
    assert {payload["ltp"] for _, _, payload, _ in desk.ticks[1:]} == {0.07}


def test_a_snapshot_forgets_what_it_does_not_name() -> None:
    desk = Desk()
    desk.want(RELIANCE, 2)
    desk.data(wire.snapshot(1, SF, full(SF, 0)), wire.snapshot(2, SF, [5, None, None, 9]))
    payload = desk.ticks[1][2]
    assert (payload["ltp"], payload["volume"], payload["close"]) == (0.05, 0, 0)


def test_quantities_have_no_sign_and_prices_do() -> None:
    desk = Desk()
    desk.want(RELIANCE, 2)
    desk.data(wire.snapshot(1, SF, [-3763, -1, None, None, -(2**31) + 1]))
    payload = desk.ticks[0][2]
    assert payload["ltp"] == -37.63
    assert payload["volume"] == 2**32 - 1
    assert payload["bid_size"] == 2**31 + 1


def test_entries_after_an_index_are_read_in_their_places() -> None:
    desk = Desk()
    index, share = desk.want(NIFTY, 2), desk.want(RELIANCE, 2)
    desk.data(
        wire.snapshot(9, IF, full(IF, 0), texts=("NSE", "26000", "NIFTY50-INDEX")),
        wire.snapshot(3, SF, full(SF, 0)),
        wire.update(9, [2_500_000]),
        wire.lite(3, 300),
    )
    assert [(sub, payload["ltp"]) for sub, _, payload, _ in desk.ticks] == [
        (index, full(IF, 0)[0] / 100),
        (share, full(SF, 0)[0] / 100),
        (index, 25_000.0),
        (share, 3.0),
    ]
    assert desk.ticks[0][2]["close"] == full(IF, 0)[1] / 100
    assert desk.ticks[0][2]["exchange_time"] == full(IF, 0)[2]
    assert desk.codec.malformed == 0


def test_depth_waits_for_both_of_its_topics() -> None:
    desk = Desk()
    sub = desk.want(RELIANCE, 3)
    assert desk.data(wire.snapshot(1, SF, full(SF, 0))) == []
    assert desk.ticks == []
    desk.data(wire.snapshot(2, DP, full(DP, 0)))
    assert sub.waits is False
    assert desk.modes == [3]
    payload = desk.ticks[0][2]
    base = full(DP, 0)
    assert payload["ltp"] == full(SF, 0)[0] / 100
    assert payload["depth"]["buy"] == [
        {"price": base[n] / 100, "quantity": base[10 + n], "orders": base[20 + n]} for n in range(5)
    ]
    assert payload["depth"]["sell"][0] == {
        "price": base[5] / 100, "quantity": base[15], "orders": base[25]
    }  # fmt: skip
    assert (payload["data_type"], payload["subscription_mode"]) == ("Depth", 3)
    desk.data(wire.update(2, [0, *[None] * 9, 777]), wire.lite(1, 5))
    assert desk.modes == [3, 3, 3]
    assert len(desk.ticks[1][2]["depth"]["buy"]) == 4
    assert desk.ticks[2][2]["ltp"] == 0.05
    assert desk.ticks[2][2]["depth"] == desk.ticks[1][2]["depth"]


def test_who_moves_up_to_depth_has_quotes_until_the_book_comes() -> None:
    desk = Desk()
    sub = desk.want(RELIANCE, 2)
    desk.data(wire.snapshot(1, SF, full(SF, 0)))
    desk.move(sub, 3)
    desk.data(wire.lite(1, 5), wire.snapshot(2, DP, full(DP, 0)))
    assert desk.modes == [2, 2, 3]
    desk.move(sub, 1)
    desk.data(wire.lite(1, 6), wire.update(2, [9]))
    assert desk.modes == [2, 2, 3, 1]


def test_the_depth_of_an_index_is_its_quote_and_no_level() -> None:
    desk = Desk()
    desk.want(NIFTY, 3)
    desk.data(wire.snapshot(1, IF, full(IF, 0)))
    assert desk.modes == [3]
    assert desk.ticks[0][2]["depth"] == {"buy": [], "sell": []}
    assert desk.ticks[0][2]["high"] == full(IF, 0)[3] / 100


def test_a_snapshot_without_a_price_confirms_and_is_no_tick() -> None:
    desk = Desk()
    sub = desk.want(RELIANCE, 2)
    assert desk.data(wire.snapshot(1, SF, HOLES)) == [Confirmed(sub)]
    assert desk.ticks == []
    desk.data(wire.update(1, [100]))
    assert desk.ticks[0][2]["ltp"] == 1.0


def test_ids_of_topics_are_of_one_connection() -> None:
    desk, next_desk = Desk(), Desk()
    sub = desk.want(RELIANCE, 3)
    desk.data(wire.snapshot(1, SF, full(SF, 0)), wire.snapshot(2, DP, full(DP, 0)))
    next_desk.codec.change([Change(sub, 0, 3)])
    next_desk.data(wire.lite(1, 5), wire.update(2, [5]))
    sub.waits = True
    next_desk.data(wire.snapshot(2, SF, full(SF, 1)), wire.update(1, [5]))
    assert next_desk.ticks == []
    next_desk.data(wire.snapshot(1, DP, full(DP, 1)))
    assert next_desk.modes == [3]
    assert next_desk.ticks[0][2]["ltp"] == full(SF, 1)[0] / 100


def test_an_id_that_moves_belongs_to_its_new_topic_alone() -> None:
    desk = Desk()
    one, other = desk.want(RELIANCE, 1), desk.want(SBIN, 1)
    desk.data(wire.snapshot(1, SF, [100]), wire.snapshot(1, "sf|nse_cm|3045", [200]))
    desk.data(wire.lite(1, 300))
    assert [(sub, payload["ltp"]) for sub, _, payload, _ in desk.ticks] == [
        (one, 1.0), (other, 2.0), (other, 3.0),
    ]  # fmt: skip


def test_what_comes_late_is_left_out() -> None:
    desk = Desk()
    sub = desk.want(RELIANCE, 2)
    desk.data(wire.snapshot(1, SF, full(SF, 0)))
    desk.move(sub, 0)
    desk.data(wire.lite(1, 5), wire.snapshot(1, SF, full(SF, 1)))
    assert len(desk.ticks) == 1
    desk.move(sub, 2)
    desk.data(wire.lite(1, 6))
    assert len(desk.ticks) == 1
    desk.data(wire.snapshot(1, SF, full(SF, 2)))
    assert len(desk.ticks) == 2
    assert desk.codec.malformed == 0


# What it is told.


def test_the_plan_s_limit_is_the_capacity_of_those_who_wait() -> None:
    desk = Desk()
    has, first = desk.want(SBIN, 1), desk.want(RELIANCE, 1)
    desk.hear(wire.yes(4))
    desk.data(wire.snapshot(1, "sf|nse_cm|3045", [200]))
    (event,) = desk.hear(wire.custom(51001, "too many symbols", 4))
    assert isinstance(event, Refused)
    assert event.subs == (first,)
    assert event.fault is Fault.CAPACITY
    assert "too many symbols" in event.text
    assert has not in event.subs


def test_the_plan_s_limit_is_told_when_nobody_waits() -> None:
    (event,) = Desk().hear(wire.custom(51001, "too many symbols", 4))
    assert event == Warned("Fyers says 51001: too many symbols")


def test_other_messages_are_told() -> None:
    desk = Desk()
    assert desk.hear(wire.custom(-7, "soon", 0)) == [Warned("Fyers says -7: soon")]
    (event,) = desk.hear(wire.custom(51002, "token expired", 1))
    assert isinstance(event, Failed)
    assert event.fault is Fault.AUTH


def test_requests_that_are_not_taken_are_told() -> None:
    desk = Desk()
    sub = desk.want(RELIANCE, 1)
    (event,) = desk.hear(wire.no(4))
    assert isinstance(event, Refused)
    assert event.subs == (sub,)
    for kind in (5, 12):
        (event,) = desk.hear(wire.no(kind))
        assert isinstance(event, Warned)
        assert desk.hear(wire.yes(kind)) == []


@pytest.mark.parametrize("kind", [7, 8, 13])
def test_what_means_nothing_to_us_is_no_error(kind: int) -> None:
    desk = Desk()
    assert desk.hear(wire.yes(kind)) == []
    assert desk.codec.malformed == 0


@pytest.mark.parametrize(
    ("end", "fault"),
    [
        (Ended(status=401), Fault.AUTH),
        (Ended(status=403), Fault.AUTH),
        (Ended(status=429), Fault.RATE),
        (Ended(status=502), Fault.NETWORK),
        (Ended(1000, "bye", ready=True), Fault.NETWORK),
        (Ended(), Fault.NETWORK),
    ],
)
def test_an_end_has_a_kind_and_a_sentence(end: Ended, fault: Fault) -> None:
    kind, text = Desk().codec.ended(end)
    assert kind is fault
    assert text.startswith("Fyers ")


# What cannot be read.


@pytest.mark.parametrize(
    "data",
    [
        "", "text", b"", b"\0", b"\0\0\x06", b"\0\0\x06\0", b"\0\0\x63\0", b"\0\0\x01\x05",
        wire.data(1, [b"X\0\0"]), wire.data(1, [b"U"]), wire.data(1, [b"U\0\1\5\0"]),
        wire.data(1, [wire.snapshot(1, SF, [1])[:-1]]), wire.data(1, [b"L\0"]),
        wire.data(1, [wire.snapshot(1, SF, [1], multiplier=0)]),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_counted(data: str | bytes) -> None:
    desk = Desk()
    desk.want(RELIANCE, 2)
    assert desk.hear(data) == []
    assert desk.ticks == []
    assert desk.codec.malformed == 1


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=120).map(lambda b: b"\0\0\6\0" + b)))
def test_no_bytes_raise(data: bytes) -> None:
    desk = Desk(1)
    desk.want(RELIANCE, 3)
    desk.data(wire.snapshot(1, SF, full(SF, 0)), wire.snapshot(2, DP, full(DP, 0)))
    desk.hear(data)


_KINDS = {1: SF, 2: DP, 3: IF, 4: "sf|nse_cm|3045"}


@st.composite
def _cut(draw: st.DrawFn) -> tuple[bytes, int]:
    entry = wire.update(draw(st.sampled_from([1, 2, 3])), [draw(st.integers(-9, 9))] * 5)
    frame = wire.data(1, [entry, wire.lite(1, 5)])
    return frame, draw(st.integers(0, len(frame)))


@given(_cut(), st.binary(max_size=8))
def test_damage_does_not_reach_another_instrument(cut: tuple[bytes, int], more: bytes) -> None:
    desk = Desk()
    for listing in (RELIANCE, NIFTY):
        desk.want(listing, 3)
    other = desk.want(SBIN, 2)
    desk.data(*(wire.snapshot(n, name, full(name, 0)) for n, name in _KINDS.items()))
    before = [tick for tick in desk.ticks if tick[0] is other]
    frame, at = cut
    desk.hear(frame[:at] + more)
    assert [tick for tick in desk.ticks if tick[0] is other] == before


_VALUE = st.one_of(st.none(), st.integers(-(2**31) + 1, 2**31 - 1))


@given(
    st.lists(_VALUE, min_size=21, max_size=21),
    st.lists(st.lists(_VALUE, max_size=23), max_size=6),
    st.data(),
)
def test_any_grouping_of_updates_gives_the_same_values(
    first: list[int | None], updates: list[list[int | None]], data: st.DataObject
) -> None:
    first[0] = first[0] or 100
    entries = [wire.snapshot(1, SF, first), *(wire.update(1, update) for update in updates)]
    merged = list(first)
    for update in updates:
        for at, value in enumerate(update[:21]):
            merged[at] = merged[at] if value is None else value
    alone, grouped, whole = Desk(), Desk(), Desk()
    for desk in (alone, grouped, whole):
        desk.want(RELIANCE, 2)
    for entry in entries:
        alone.data(entry)
    while entries:
        size = data.draw(st.integers(1, len(entries)))
        grouped.data(*entries[:size])
        entries = entries[size:]
    whole.data(wire.snapshot(1, SF, merged))
    assert [tick[1:] for tick in alone.ticks] == [tick[1:] for tick in grouped.ticks]
    assert len(alone.ticks) == 1 + len(updates)
    assert alone.ticks[-1][2] == whole.ticks[-1][2]


@given(st.permutations(range(21)), st.lists(st.integers(1, 10**9), min_size=21, max_size=21))
def test_any_split_of_one_update_gives_the_same_values(
    order: Sequence[int], values: list[int]
) -> None:
    split, whole = Desk(), Desk()
    for desk in (split, whole):
        desk.want(RELIANCE, 2)
        desk.data(wire.snapshot(1, SF, full(SF, 0)))
    for at in order:
        split.data(wire.update(1, [None] * at + [values[at]]))
    whole.data(wire.update(1, values))
    assert split.ticks[-1][2] == whole.ticks[-1][2]


def _nobody(*_: object) -> None:
    raise AssertionError("nobody wants a tick")
