"""When exchanges trade, held against a walk from minute to minute."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub.core import market, topics
from hub.core.market import Market
from hub.core.settings import Settings

INDIA = ZoneInfo("Asia/Kolkata")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DEFAULT = Settings().market


def at(text: str, zone: ZoneInfo = INDIA) -> float:
    """Seconds since the epoch of `2026-11-26 09:15:00`."""
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def default(*holidays: str) -> Market:
    return Market(DEFAULT.sessions, DEFAULT.timezone, holidays)


# Keys.


@pytest.mark.parametrize(
    ("key", "exchange"),
    [
        (b"NSE_RELIANCE", "NSE"),
        (b"NSE_INDEX_NIFTY", "NSE_INDEX"),
        (b"NSE_INDEX", "NSE"),  # a share of that name
        (b"NFO_NIFTY26NOV26_FUT", "NFO"),
        (topics.scope("angel") + b"MCX_GOLD", "MCX"),
        (b"NSEX_A", ""),
        (b"GLOBAL_INDEX_X", ""),
        (b"NSE", ""),
        (b"", ""),
    ],
)
def test_rule_1_the_longest_known_name_that_a_key_begins_with(key: bytes, exchange: str) -> None:
    assert default().exchange(key) == exchange


def test_rule_2_of_what_is_not_known_nothing_is_in_session() -> None:
    assert default().open_s("", at("2026-11-26 10:00:00")) is None
    assert default().open_s("GLOBAL_INDEX", at("2026-11-26 10:00:00")) is None


# Hours.


@pytest.mark.parametrize(
    ("exchange", "when", "since_s"),
    [
        ("NSE", "2026-11-26 09:14:59", None),
        ("NSE", "2026-11-26 09:15:00", 0),
        ("NSE", "2026-11-26 09:16:30", 90),
        ("NSE", "2026-11-26 15:14:59", 6 * 3600 - 1),
        ("NSE", "2026-11-26 15:15:00", None),  # the closing auction: no trades
        ("NFO", "2026-11-26 15:39:59", 6 * 3600 + 25 * 60 - 1),
        ("NFO", "2026-11-26 15:40:00", None),
        ("CDS", "2026-11-26 09:00:01", 1),
        ("MCX", "2026-11-26 23:29:00", 14 * 3600 + 29 * 60),
        ("MCX", "2026-11-26 23:30:00", None),
        ("NSE", "2026-11-28 10:00:00", None),  # Saturday
        ("CRYPTO", "2026-11-29 03:00:00", math.inf),
    ],
)
def test_the_defaults_are_the_hours_of_indias_exchanges(
    exchange: str, when: str, since_s: float | None
) -> None:
    assert default().open_s(exchange, at(when)) == since_s


def test_rule_3_on_a_holiday_all_are_closed_but_what_always_is_open() -> None:
    when = at("2026-11-26 10:00:00")
    calendar = {date(2026, 11, 26)}
    for told in (default("2026-11-26"), Market(DEFAULT.sessions, "Asia/Kolkata", (), calendar)):
        assert told.open_s("NSE", when) is None
        assert told.open_s("MCX", at("2026-11-26 20:00:00")) is None, "its evening session, too"
        assert told.open_s("CRYPTO", when) == math.inf
        assert told.open_s("NSE", when + 86_400) is not None


def test_rule_4_what_touches_at_midnight_is_one_session() -> None:
    told = Market(["X mon 22:00-24:00", "X tue 00:00-02:00", "X tue 02:00-03:00"], "UTC")
    tuesday = datetime(2026, 11, 24, 2, 30, tzinfo=UTC).timestamp()
    assert told.open_s("X", tuesday) == 4.5 * 3600
    assert told.open_s("X", tuesday + 3600) is None


def test_a_week_without_an_end_is_as_old_as_a_week() -> None:
    told = Market(["X mon-sun 00:00-24:00"], "UTC")
    since_s = told.open_s("X", datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp())
    assert since_s is not None
    assert since_s >= 7 * 86_400


@st.composite
def lines(draw: st.DrawFn) -> list[str]:
    found = []
    for _ in range(draw(st.integers(0, 5))):
        start = draw(st.integers(4 * 4, 95)) * 15  # no clock is changed from four o'clock on
        end = draw(st.integers(start // 15 + 1, 96)) * 15
        first, last = draw(st.sampled_from(DAYS)), draw(st.sampled_from(DAYS))
        hours = f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"
        found.append(f"X {draw(st.sampled_from([first, f'{first}-{last}']))} {hours}")
    return found


class Naive:
    """Reads a line for every minute, and walks back one by one."""

    def __init__(self, texts: list[str], zone: ZoneInfo, holidays: set[str]) -> None:
        self.texts, self.zone, self.holidays = texts, zone, holidays

    def is_open(self, when: datetime) -> bool:
        local = when.astimezone(self.zone)
        minute = f"{local.hour:02}:{local.minute:02}"
        if local.date().isoformat() in self.holidays:
            return False
        for text in self.texts:
            _, days, hours = text.split()
            first, _, last = days.partition("-")
            named, place = [first], DAYS.index(first)
            while last and named[-1] != last:
                place += 1
                named.append(DAYS[place % 7])
            start, _, end = hours.partition("-")
            if DAYS[local.weekday()] in named and start <= minute < end:
                return True
        return False

    def open_min(self, when: datetime) -> int | None:
        """Whole minutes since it opened."""
        minutes = None
        while self.is_open(when) and (minutes or 0) < 20_000:
            minutes, when = (0 if minutes is None else minutes + 1), when - timedelta(minutes=1)
        return minutes


@given(
    lines(),
    st.sampled_from(["Asia/Kolkata", "UTC", "America/New_York"]),
    st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)),  # noqa: DTZ001  # of any zone
    st.sets(st.integers(-2, 1), max_size=2),
)
@example(["X mon-sun 04:00-24:00"], "America/New_York", datetime(2026, 3, 8, 12), set())  # noqa: DTZ001
def test_it_says_what_a_walk_from_minute_to_minute_says(
    texts: list[str], zone: str, when: datetime, off: set[int]
) -> None:
    holidays = {(when + timedelta(days)).date().isoformat() for days in off}
    told = Market(texts, zone, holidays)
    now = when.replace(tzinfo=UTC)
    expected = Naive(texts, ZoneInfo(zone), holidays).open_min(now)
    found = told.open_s("X", now.timestamp())
    assert (None if found is None else int(found // 60)) == expected


@given(lines(), st.floats(0, 4e9))
def test_a_calendar_counts_as_holidays_do(texts: list[str], now_s: float) -> None:
    day = datetime.fromtimestamp(now_s, UTC).date()
    one = Market(texts, "UTC", [day.isoformat()])
    two = Market(texts, "UTC", [], {day})
    assert one.open_s("X", now_s) is two.open_s("X", now_s) is None


# What cannot be used.


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "such as"),
        ("NSE", "such as"),
        ("always", "names no exchange"),
        ("mon-fri 09:15-15:30", "names no exchange"),
        ("NSE 09:15-15:30", "no day"),
        ("NSE mon-fry 09:15-15:30", "'mon-fry' is no day"),
        ("NSE mon-fri 9:15-15:30", "no hours"),
        ("NSE mon-fri 15:30-09:15", "end after it begins"),
        ("NSE mon-fri 09:15-24:15", "end after it begins"),
        ("NSE mon-fri 09:75-15:30", "end after it begins"),
        ("NSE,BSE mon-fri 09:15-15:30", "'NSE,BSE' is no exchange"),
    ],
)
def test_a_line_that_cannot_be_read_is_told_with_what_is_wrong(text: str, says: str) -> None:
    assert says in market.session_problem(text)
    with pytest.raises(ValueError):
        Market([text], "UTC")


def test_what_can_be_used_has_no_problem() -> None:
    assert not any(map(market.session_problem, DEFAULT.sessions))
    assert not market.zone_problem(DEFAULT.timezone)
    assert not market.holiday_problem("2026-11-08")


@pytest.mark.parametrize("name", ["India", "", "../etc/passwd", "Asia/", "a\0b"])
def test_a_time_zone_that_there_is_not_is_told(name: str) -> None:
    assert "no time zone" in market.zone_problem(name)


@pytest.mark.parametrize("text", ["", "8.11.2026", "20261108", "2026-02-30", "2026-W02-1"])
def test_a_date_that_is_none_is_told(text: str) -> None:
    assert "no date" in market.holiday_problem(text)
