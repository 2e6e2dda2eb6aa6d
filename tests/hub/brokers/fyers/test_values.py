"""What becomes of the data socket's packets: merged values, and one tick for each entry."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.brokers.base import Change, Confirmed, Listing
from tests.brokers import fyers_wire as wire
from tests.brokers.fyers_server import full
from tests.hub.brokers.fyers.kit import DP, HOLES, IF, NIFTY, NOW_MS, RELIANCE, SBIN, SF, Desk

OTHER = "sf|nse_cm|3045"


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


@pytest.mark.parametrize("place", range(21))
def test_an_update_of_one_field_is_a_snapshot_with_it(place: int) -> None:
    desk = Desk()
    desk.want(RELIANCE, 2)
    whole = full(SF, 0)
    changed = [*whole[:place], 17, *whole[place + 1 :]]
    desk.data(wire.snapshot(1, SF, whole))
    desk.data(wire.update(1, [*HOLES[:place], 17, *HOLES[place + 1 :]]))
    desk.data(wire.snapshot(1, SF, changed))
    _, updated, anew = (payload for _, _, payload, _ in desk.ticks)
    assert updated == anew


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


def test_a_snapshot_without_a_price_is_no_tick_though_there_was_a_price_before() -> None:
    desk = Desk()
    desk.want(RELIANCE, 2)
    desk.data(wire.snapshot(1, SF, [100]), wire.snapshot(1, SF, HOLES))
    assert len(desk.ticks) == 1


@pytest.mark.parametrize("ltp", [100, 200])
def test_a_snapshot_without_a_close_has_no_change(ltp: int) -> None:
    desk = Desk()
    desk.want(RELIANCE, 2)
    desk.data(wire.snapshot(1, SF, [100, *HOLES[1:20], 50]), wire.snapshot(1, SF, [ltp]))
    assert [(payload["change"], payload["change_percent"]) for _, _, payload, _ in desk.ticks] == [
        (0.5, 100.0), (0.0, 0.0),
    ]  # fmt: skip


def test_a_snapshot_of_a_book_forgets_levels_that_it_does_not_name() -> None:
    desk = Desk()
    desk.want(RELIANCE, 3)
    desk.data(wire.snapshot(1, SF, full(SF, 0)), wire.snapshot(2, DP, full(DP, 0)))
    desk.data(wire.snapshot(2, DP, [200]))
    assert desk.ticks[-1][2]["depth"] == {
        "buy": [{"price": 2.0, "quantity": 0, "orders": 0}], "sell": [],
    }  # fmt: skip


def test_quantities_and_orders_of_a_book_have_no_sign() -> None:
    desk = Desk()
    desk.want(RELIANCE, 3)
    book = [100] * 10 + [-5] * 10 + [-3] * 10
    desk.data(wire.snapshot(1, SF, full(SF, 0)), wire.snapshot(2, DP, book))
    level = {"price": 1.0, "quantity": 2**32 - 5, "orders": 2**32 - 3}
    assert desk.ticks[0][2]["depth"] == {"buy": [level] * 5, "sell": [level] * 5}


def test_quantities_have_no_sign_and_prices_do() -> None:
    desk = Desk()
    desk.want(RELIANCE, 2)
    desk.data(wire.snapshot(1, SF, [-3763, -1, None, None, -(2**31) + 1]))
    payload = desk.ticks[0][2]
    assert payload["ltp"] == -37.63
    assert payload["volume"] == 2**32 - 1
    assert payload["bid_size"] == 2**31 + 1


@pytest.mark.parametrize("time_s", [-1, NOW_MS // 1000 + 86_401])
def test_a_time_more_than_a_day_ahead_is_none(time_s: int) -> None:
    desk = Desk()
    desk.want(RELIANCE, 2)
    desk.data(wire.snapshot(1, SF, [7, None, None, time_s]), wire.update(1, [8, None, None, 9]))
    assert [at_ms for _, _, _, at_ms in desk.ticks] == [0, 9_000]
    assert [payload["timestamp"] for _, _, payload, _ in desk.ticks] == [NOW_MS, 9_000]


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


def test_who_moves_up_to_depth_waits_for_the_book() -> None:
    desk = Desk()
    sub = desk.want(RELIANCE, 2)
    desk.data(wire.snapshot(1, SF, full(SF, 0)))
    desk.move(sub, 3)
    desk.data(wire.lite(1, 5))
    assert desk.modes == [2]
    desk.data(wire.snapshot(2, DP, full(DP, 0)))
    assert desk.modes == [2, 3]
    assert desk.ticks[1][2]["ltp"] == 0.05
    desk.move(sub, 1)
    desk.data(wire.lite(1, 6), wire.update(2, [9]))
    assert desk.modes == [2, 3, 1]


@pytest.mark.parametrize(("listing", "topic", "to"), [(RELIANCE, SF, 2), (NIFTY, IF, 3)])
def test_a_higher_mode_of_the_same_topic_is_confirmed_with_the_next_frame(
    listing: Listing, topic: str, to: int
) -> None:
    desk = Desk()
    sub = desk.want(listing, 1)
    desk.data(wire.snapshot(1, topic, full(topic, 0)))
    desk.move(sub, to)
    assert desk.hear(wire.yes(12)) == [Confirmed(sub)]
    assert desk.modes == [1, to]
    assert desk.hear(wire.yes(12)) == []


def test_a_higher_mode_is_not_confirmed_before_its_snapshot() -> None:
    desk = Desk()
    sub = desk.want(RELIANCE, 1)
    desk.move(sub, 2)
    assert desk.hear(wire.yes(12)) == []
    desk.data(wire.snapshot(1, SF, full(SF, 0)))
    assert desk.modes == [2]
    assert sub.waits is False


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


def test_a_book_on_a_new_connection_tells_no_price_of_the_old_one() -> None:
    desk, next_desk = Desk(), Desk()
    sub = desk.want(RELIANCE, 3)
    desk.data(wire.snapshot(1, SF, full(SF, 0)), wire.snapshot(2, DP, full(DP, 0)))
    sub.waits = True
    next_desk.codec.change([Change(sub, 0, 3)])
    next_desk.data(wire.snapshot(2, DP, full(DP, 1)))
    assert next_desk.ticks == []
    next_desk.data(wire.snapshot(1, SF, full(SF, 1)))
    assert [payload["ltp"] for _, _, payload, _ in next_desk.ticks] == [full(SF, 1)[0] / 100]


def test_an_id_that_moves_belongs_to_its_new_topic_alone() -> None:
    desk = Desk()
    one, other = desk.want(RELIANCE, 1), desk.want(SBIN, 1)
    desk.data(wire.snapshot(1, SF, [100]), wire.snapshot(1, OTHER, [200]))
    desk.data(wire.lite(1, 300))
    assert [(sub, payload["ltp"]) for sub, _, payload, _ in desk.ticks] == [
        (one, 1.0), (other, 2.0), (other, 3.0),
    ]  # fmt: skip


@pytest.mark.parametrize("to", [1, 2])
def test_an_id_that_has_moved_is_not_taken_from_its_new_topic_by_the_old_one(to: int) -> None:
    """The old topic gets another id, or its own one back."""
    desk = Desk()
    one, other = desk.want(RELIANCE, 2), desk.want(SBIN, 2)
    desk.data(wire.snapshot(1, SF, full(SF, 0)), wire.snapshot(1, OTHER, full(OTHER, 0)))
    desk.data(wire.snapshot(to, SF, full(SF, 0)))
    desk.ticks.clear()
    desk.data(wire.update(1, [777]))
    assert [(sub, payload["ltp"]) for sub, _, payload, _ in desk.ticks] == [
        (one if to == 1 else other, 7.77)
    ]


def test_what_comes_late_of_a_subscription_that_was_made_anew_harms_nobody() -> None:
    desk = Desk()
    old, index = desk.want(RELIANCE, 3), desk.want(NIFTY, 1)
    topics = enumerate((SF, DP, IF), 1)
    desk.data(*(wire.snapshot(number, name, full(name, 0)) for number, name in topics))
    desk.move(old, 0)
    desk.want(RELIANCE, 3)
    desk.ticks.clear()
    desk.data(wire.update(2, [5] + [None] * 29), wire.update(3, [777]))
    assert [(sub, payload["ltp"]) for sub, _, payload, _ in desk.ticks] == [(index, 7.77)]
    assert desk.codec.malformed == 0


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
