"""Partial messages merge into what is known: a zero is believed before the first trade of the day
only, and neither how fields are spread over messages nor their order matters."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.brokers.book import Level
from hub.brokers.noren.messages import LEVELS, Book
from hub.brokers.noren.state import AVERAGE, CLOSE, HIGH, LOW, OPEN, State

MORNING_MS = 1_795_665_600_000  # 26 Nov 2026, 09:30 in India
DAY_MS = 86_400_000
PRICES = {"o": OPEN, "h": HIGH, "l": LOW, "c": CLOSE, "ap": AVERAGE}


def tell(state: State, *, full: bool = False, at_ms: int = MORNING_MS, **fields: Any) -> None:
    told = Book("df", "NSE", "22")
    for name, value in fields.items():
        setattr(told, name, value)
    state.take(told, at_ms, full=full)
    state.take_book(told)


def only(name: str, value: float) -> dict[str, Any]:
    return {name: value}


def seen(state: State) -> dict[str, Any]:
    """All that clients may be told of a state."""
    names = [name for name in State.__slots__ if not name.startswith("_")]
    return {name: getattr(state, name) for name in names}


@pytest.mark.parametrize("name", PRICES)
def test_after_a_trade_a_zero_changes_nothing(name: str) -> None:
    state = State()
    tell(state, full=True, lp=101.0, v=10, **only(name, 100.0))
    tell(state, **only(name, 0.0))
    assert state.prices[PRICES[name]] == 100.0


@pytest.mark.parametrize("name", PRICES)
def test_before_the_first_trade_a_zero_is_true(name: str) -> None:
    state = State()
    tell(state, full=True, lp=101.0, v=0, **only(name, 100.0))
    tell(state, **only(name, 0.0))
    assert state.prices[PRICES[name]] == 0.0


def test_a_value_told_after_a_zero_stays_whatever_the_volume_then_says() -> None:
    state = State()
    tell(state, full=True, v=10, h=100.0)
    tell(state, h=0.0)
    tell(state, h=101.0)
    tell(state, v=0)
    assert state.prices[HIGH] == 101.0


def test_a_value_of_yesterday_does_not_come_back_with_the_first_trade() -> None:
    state = State()
    tell(state, full=True, v=10, h=100.0)
    tell(state, at_ms=MORNING_MS + DAY_MS, h=0.0, v=0)
    tell(state, at_ms=MORNING_MS + DAY_MS, lp=90.0, v=1)
    assert state.prices[HIGH] == 0.0
    tell(state, at_ms=MORNING_MS + DAY_MS, h=90.0)
    assert state.prices[HIGH] == 90.0


def test_what_nobody_tells_of_stays_overnight() -> None:
    state = State()
    tell(state, full=True, lp=99.0, v=10, c=100.0)
    tell(state, at_ms=MORNING_MS + DAY_MS, lp=98.0)
    assert (state.prices[CLOSE], state.ltp, state.volume) == (100.0, 98.0, 10)


def test_the_day_ends_at_midnight_in_india() -> None:
    before, after = 1_795_717_799_999, 1_795_717_800_000  # 26 Nov 2026, 24:00 in India
    for at_ms, shown in ((before, 100.0), (after, 0.0)):
        state = State()
        tell(state, full=True, v=10, o=100.0)
        tell(state, at_ms=at_ms, o=0.0)
        assert state.prices[OPEN] == shown


def test_an_index_has_no_volume_so_that_a_change_of_its_value_is_its_trade() -> None:
    state = State(index=True)
    tell(state, full=True, lp=25_000.0, v=0, o=24_900.0)
    tell(state, o=0.0)
    assert state.prices[OPEN] == 0.0
    tell(state, lp=25_010.0, o=24_950.0)
    tell(state, o=0.0, v=0)
    assert state.prices[OPEN] == 24_950.0


def test_a_contract_whose_volume_nobody_tells_was_traded_when_its_price_changes() -> None:
    state = State()
    tell(state, full=True, lp=10.0, o=9.0)
    tell(state, lp=11.0)
    tell(state, o=0.0)
    assert state.prices[OPEN] == 9.0


@pytest.mark.parametrize("gone", [{"bp2": 0.0}, {"bq2": 0}, {"bp2": 42949672.95}])
def test_a_level_without_price_or_quantity_is_not_there(gone: dict[str, Any]) -> None:
    state = State()
    tell(state, bp1=10.0, bq1=5, bo1=1, bp2=9.5, bq2=7, bo2=2)
    tell(state, **gone)
    shown = [(one.price, one.quantity, one.orders) for one in state.buy[:3]]
    assert shown == [(10.0, 5, 1), (0.0, 0, 0), (0.0, 0, 0)]
    tell(state, bp2=9.4, bq2=3)
    assert (state.buy[1].price, state.buy[1].quantity, state.buy[1].orders) == (9.4, 3, 2)


def test_there_are_no_levels_before_the_first_message_that_has_some() -> None:
    state = State()
    tell(state, lp=10.0, uc=11.0)
    assert (state.buy, state.sell) == ([], [])
    tell(state, sp2=10.5, sq2=7)
    assert state.buy == [Level()] * 5
    assert state.sell == [Level(), Level(10.5, 7), *[Level()] * 3]


def test_a_full_message_replaces_the_book() -> None:
    state = State()
    tell(state, bp1=10.0, bq1=5, bo1=1, sp5=11.0, sq5=7, so5=2)
    state.renew_book()
    tell(state, full=True, bp1=10.5, bq1=1, bo1=1)
    assert state.buy[0].price == 10.5
    assert (state.sell[4].price, state.sell[4].quantity) == (0.0, 0)


def test_a_time_of_the_broker_that_is_none_is_left_out() -> None:
    state = State()
    tell(state, ft=1_795_665_600)
    tell(state, ft=1_795_665_600 + 86_401)
    tell(state, ft=-1)
    assert state.feed_s == 1_795_665_600


_PRICE = st.one_of(st.just(0.0), st.integers(1, 10**7).map(lambda units: units / 100))
_COUNT = st.integers(0, 10**6)
_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("lp", "pc", "o", "h", "l", "c", "ap", "uc", "lc"), _PRICE),
    **dict.fromkeys(("year_high", "year_low"), _PRICE),
    **dict.fromkeys(("v", "oi", "ltq", "tbq", "tsq"), _COUNT),
    "ft": st.integers(-5, 2_000_000_000),
    "ltt": st.sampled_from(["09:15:00", "15:29:59"]),
    **{name: _PRICE if name[1] == "p" else _COUNT for name in LEVELS},
}
_PARTIAL = st.fixed_dictionaries({}, optional=_FIELDS)


@st.composite
def splits(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Some messages; and the same fields in other messages, each field's values in their order."""
    whole = draw(st.lists(_PARTIAL, min_size=1, max_size=6))
    queues: dict[str, list[Any]] = {}
    for message in whole:
        for name, value in message.items():
            queues.setdefault(name, []).append(value)
    parts: list[dict[str, Any]] = []
    while queues:
        names = draw(st.lists(st.sampled_from(sorted(queues)), min_size=1, unique=True))
        parts.append({name: queues[name].pop(0) for name in names})
        queues = {name: queue for name, queue in queues.items() if queue}
    return whole, parts


@given(splits(), st.booleans(), st.none() | _PARTIAL)
def test_any_split_and_any_order_of_partial_messages_gives_the_same_state(
    both: tuple[list[dict[str, Any]], list[dict[str, Any]]],
    index: bool,
    before: dict[str, Any] | None,
) -> None:
    states = []
    for messages in both:
        state = State(index=index)
        if before is not None:
            tell(state, full=True, **before)
        for message in messages:
            tell(state, **message)
        states.append(state)
    whole, parts = map(seen, states)
    assert whole == parts


@given(st.lists(_PARTIAL, min_size=1, max_size=8))
def test_what_was_told_last_is_what_is_known(messages: list[dict[str, Any]]) -> None:
    state = State()
    last: dict[str, Any] = {}
    for message in messages:
        tell(state, **message)
        last |= message
    assert state.ltp == last.get("lp")
    assert (state.change, state.volume, state.oi) == (
        last.get("pc", 0.0), last.get("v", 0), last.get("oi", 0),
    )  # fmt: skip
    assert (state.upper, state.lower) == (last.get("uc", 0.0), last.get("lc", 0.0))
    assert (state.year_high, state.year_low) == (
        last.get("year_high", 0.0), last.get("year_low", 0.0),
    )  # fmt: skip
    assert state.last_trade_time == last.get("ltt")
    for place, levels in (("b", state.buy), ("s", state.sell)):
        for number, level in enumerate(levels, 1):
            price, quantity, orders = (last.get(f"{place}{part}{number}", 0) for part in "pqo")
            there = price > 0 and quantity > 0
            shown = (price, quantity, orders) if there else (0, 0, 0)
            assert (level.price, level.quantity, level.orders) == shown
    for name, which in PRICES.items():
        told = [message[name] for message in messages if name in message]
        # `last` of a non-zero value is kept after a trade; else the last word counts
        volumes = [message["v"] for message in messages if "v" in message]
        moved = any("lp" in message for message in messages)
        traded = volumes[-1] > 0 if volumes else moved
        kept = [price for price in told if price]
        expected = (told[-1] or (kept[-1] if kept and traded else 0.0)) if told else 0.0
        assert state.prices[which] == expected
