"""When exchanges trade: whether a key's market is in session, and since when. Pure.

1. The exchange of a key is the longest known name that it begins with; a key is never split.
2. An exchange that nobody has told of is never in session: nothing is said of its keys.
3. On a holiday no exchange is in session but one that always is. When in doubt a market is closed:
   a session that is not known costs a warning, one that is imagined makes a false one.
4. Sessions that touch, at midnight too, are one.

Source of the hours that are the default (hub/core/settings.py): the exchanges' circulars. Shares
have no trades between 15:15 and the closing auction's end since August 2026, and derivatives go on
until 15:40; MCX closes at 23:30 while the USA have summer time, else at 23:55.
"""

from __future__ import annotations

import math
import re
from collections.abc import Container, Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from hub.core import topics

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MIN = 24 * 60
_HOURS = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")
_EXCHANGE = re.compile(r"[A-Za-z0-9_]+")
_ALWAYS = "always"
_WEEK = 7


class _Span(NamedTuple):
    """A part of a day in which an exchange trades, in minutes since midnight."""

    start: int
    end: int


class _Entry(NamedTuple):
    """One line of the sessions, read: the exchanges, the days (0 is Monday), the hours."""

    exchanges: list[str]
    days: list[int]
    span: _Span


class Market:
    """The calendar of all exchanges.

    `sessions` are lines such as `NSE BSE mon-fri 09:15-15:15`, or `CRYPTO always`; an exchange may
    stand in several. `zone` is the time zone of their hours, `holidays` are dates as YYYY-MM-DD,
    `calendar` holds more of them. Raises ValueError for what the `problem` functions below name.
    """

    def __init__(
        self,
        sessions: Iterable[str],
        zone: str,
        holidays: Iterable[str] = (),
        calendar: Container[date] = (),
    ) -> None:
        self._zone = ZoneInfo(zone)
        self._holidays = frozenset(map(date.fromisoformat, holidays))
        self._calendar = calendar
        self._always: set[str] = set()
        self._weeks: dict[str, tuple[list[_Span], ...]] = {}
        for text in sessions:
            entry = _read(text)
            for exchange in entry.exchanges:
                if not entry.days:
                    self._always.add(exchange)
                week = self._weeks.setdefault(exchange, tuple([] for _ in _DAYS))
                for day in entry.days:
                    week[day][:] = _merged([*week[day], entry.span])
        self._names = [
            (f"{name}_".encode(), name) for name in sorted(self._weeks, key=len, reverse=True)
        ]

    def __repr__(self) -> str:
        return f"<Market of {' '.join(self._weeks) or 'no exchange'} in {self._zone.key}>"

    def exchange(self, key: bytes) -> str:
        """The exchange of a key, with or without its scope; empty when it is of none that is
        known."""
        name = topics.plain(key)
        return next((known for start, known in self._names if name.startswith(start)), "")

    def open_s(self, exchange: str, now_s: float) -> float | None:
        """For how many seconds this exchange has been in session at `now_s`, seconds since the
        epoch; None when it is not. One that always is has been for ever."""
        if exchange in self._always:
            return math.inf
        if exchange not in self._weeks:
            return None
        local = datetime.fromtimestamp(now_s, self._zone)
        day, minute = local.date(), local.hour * 60 + local.minute
        spans = self._spans(exchange, day)
        start = next((span.start for span in spans if span.start <= minute < span.end), None)
        if start is None:
            return None
        for _ in range(_WEEK):  # what has no end in a week is old enough for everybody
            before = [
                span.start
                for span in self._spans(exchange, day - timedelta(1))
                if span.end == _DAY_MIN
            ]
            if start or not before:
                break
            day, start = day - timedelta(1), before[0]
        begun = datetime(
            day.year, day.month, day.day, start // 60, start % 60, tzinfo=self._zone
        ).replace(fold=local.fold)
        return max(0.0, now_s - begun.timestamp())

    def _spans(self, exchange: str, day: date) -> Sequence[_Span]:
        """The sessions of a day."""
        if day in self._holidays or day in self._calendar:
            return ()
        return self._weeks[exchange][day.weekday()]


def session_problem(text: str) -> str:
    """What is wrong with a line of the sessions, in words; empty when nothing is."""
    try:
        _read(text)
    except ValueError as error:
        return f"{text!r}: {error}"
    return ""


def zone_problem(name: str) -> str:
    """The same for a time zone."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        return f"{name!r} is no time zone such as Asia/Kolkata"
    return ""


def holiday_problem(text: str) -> str:
    """The same for a date."""
    try:
        found = date.fromisoformat(text)
    except ValueError:
        found = None
    return "" if found and found.isoformat() == text else f"{text!r} is no date such as 2026-11-08"


def _read(text: str) -> _Entry:
    """A line of the sessions. Raises ValueError with what is wrong with it."""
    *words, last = text.split() or [""]
    if last == _ALWAYS:
        return _Entry(_exchanges(words), [], _Span(0, 0))
    if not words:
        raise ValueError("it is exchanges, days and hours, such as NSE BSE mon-fri 09:15-15:15")
    days, hours = _days(words[-1]), _hours(last)
    return _Entry(_exchanges(words[:-1]), days, hours)


def _exchanges(words: Sequence[str]) -> list[str]:
    for word in words:
        if not _EXCHANGE.fullmatch(word):
            raise ValueError(f"{word!r} is no exchange; several are parted by blanks")
    if not words:
        raise ValueError("it names no exchange")
    return list(words)


def _days(word: str) -> list[int]:
    first, _, last = word.lower().partition("-")
    if first not in _DAYS or (last or first) not in _DAYS:
        raise ValueError(f"{word!r} is no day, and no days such as mon-fri")
    start, end = _DAYS.index(first), _DAYS.index(last or first)
    return [(start + step) % _WEEK for step in range((end - start) % _WEEK + 1)]


def _hours(word: str) -> _Span:
    found = _HOURS.fullmatch(word)
    if found is None:
        raise ValueError(f"{word!r} is no hours such as 09:15-15:15")
    hours = [int(digits) for digits in found.groups()]
    start, end = hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]
    if max(hours[1], hours[3]) > 59 or not start < end <= _DAY_MIN:
        raise ValueError(f"{word!r} does not end after it begins, on the same day")
    return _Span(start, end)


def _merged(spans: Iterable[_Span]) -> list[_Span]:
    """Spans in their order, those that touch as one."""
    found: list[_Span] = []
    for span in sorted(spans):
        if found and span.start <= found[-1].end:
            found[-1] = _Span(found[-1].start, max(found[-1].end, span.end))
        else:
            found.append(span)
    return found
