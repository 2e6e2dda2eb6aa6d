"""What can be subscribed at the simulator: Indian instruments under OpenAlgo's symbols.

1. The same count, seed and day give the same list, and a smaller universe is the beginning of a
   larger one.
2. The best-known names stand first, with every kind of instrument among the first twenty.
3. Every contract expires after `today`; holidays are not known here, so a real contract may
   expire a day earlier.

Source of the symbols: OpenAlgo's symbol format; `RELIANCE`, `BANKNIFTY24APR24FUT`,
`NIFTY28MAR2420800CE`, with day, month and two digits of the year, then the strike.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from datetime import date, timedelta
from enum import Enum
from hashlib import blake2b
from typing import NamedTuple

from hub.core.model import Instrument
from hub.feeds.sim.names import CONTRACTS, INDICES, STOCKS

MAX_COUNT = 100_000
"""The largest universe."""

MIN_TICKS = 20
"""No price is below this many ticks at the previous close, so that a book of five bids fits."""


class Kind(Enum):
    """What an instrument is; indices do not trade, and only contracts have open interest."""

    EQUITY = "equity"
    INDEX = "index"
    FUTURE = "future"
    OPTION = "option"


class Listing(NamedTuple):
    """An instrument with what a market needs to know of it.

    `close_ticks` is the previous close in ticks, `tick` the tick size in rupees, `lot` the
    smallest quantity that trades (0 for an index).
    """

    instrument: Instrument
    kind: Kind
    close_ticks: int
    tick: float
    lot: int

    @property
    def close(self) -> float:
        """The previous close in rupees."""
        return round(self.close_ticks * self.tick, 4)


class _Underlying(NamedTuple):
    """What contracts are written on: exchange of the contracts, spot and distance of strikes in
    rupees, lot, and volatility per year as a fraction."""

    name: str
    exchange: str
    spot: float
    step: float
    lot: int
    volatility: float


def universe(count: int, seed: int, today: date) -> list[Listing]:
    """The first `count` (1 to MAX_COUNT) instruments, none twice. Raises ValueError beyond."""
    if not 1 <= count <= MAX_COUNT:
        raise ValueError(f"the simulator has 1 to {MAX_COUNT} symbols, not {count}")
    found: dict[Instrument, Listing] = {}
    for listing in _in_order(seed, today):
        found.setdefault(listing.instrument, listing)
        if len(found) == count:
            break
    return list(found.values())


def find(listings: Iterable[Listing], instrument: Instrument) -> Listing | None:
    """The listing of an instrument, None when it is not among them."""
    return next((listing for listing in listings if listing.instrument == instrument), None)


def _in_order(seed: int, today: date) -> Iterator[Listing]:
    stocks = {name: _spot(name, spot, seed) for name, spot in _pairs(STOCKS)}
    indices = {name: _spot(name, spot, seed) for name, spot in _pairs(INDICES)}
    written = _underlyings(stocks, indices, seed)
    yield from _cash("NSE", stocks, list(stocks)[:8])
    yield from _indices(indices, ("NIFTY", "BANKNIFTY", "SENSEX"))
    for name in ("NIFTY", "BANKNIFTY", "GOLD", "CRUDEOILM", "USDINR"):
        yield from _futures(written[name], today, months=1)
    for name in ("NIFTY", "USDINR"):
        yield from _options(written[name], today, 0, 1)
    yield from _cash("NSE", stocks, stocks)
    yield from _indices(indices, indices)
    yield from _cash("BSE", stocks, stocks)
    for underlying in written.values():
        yield from _futures(underlying, today, months=3)
    for distance in itertools.count():
        for underlying in written.values():
            yield from _options(underlying, today, distance, 3)


def _underlyings(
    stocks: dict[str, float], indices: dict[str, float], seed: int
) -> dict[str, _Underlying]:
    """Everything that has contracts: the table first, then the larger stocks."""
    found = {}
    for row in CONTRACTS.strip().splitlines():
        name, exchange, *figures = row.split()
        usual, step, lot, volatility = map(float, figures)
        spot = indices.get(name) or _spot(name, usual, seed)
        found[name] = _Underlying(name, exchange, spot, step, int(lot), volatility)
    for name in list(stocks)[:_STOCKS_WITH_CONTRACTS]:
        spot = stocks[name]
        step = max((s for s in _STEPS if s <= spot / 60), default=_STEPS[0])
        lots = max(1, round(26_000 / spot))
        found[name] = _Underlying(name, "NFO", spot, step, 25 * lots, 0.3)
    return found


def _cash(exchange: str, stocks: dict[str, float], names: Iterable[str]) -> Iterator[Listing]:
    for name in names:
        price = stocks[name] * (1 if exchange == "NSE" else 1.0004)
        yield _listing(exchange, name, Kind.EQUITY, price, 1)


def _indices(indices: dict[str, float], names: Iterable[str]) -> Iterator[Listing]:
    for name in names:
        exchange = "BSE_INDEX" if name in _ON_BSE else "NSE_INDEX"
        yield _listing(exchange, name, Kind.INDEX, indices[name], 0)


def _futures(underlying: _Underlying, today: date, months: int) -> Iterator[Listing]:
    for expiry in _monthly(underlying.exchange, today, months):
        price = underlying.spot * (1 + 0.065 * (expiry - today).days / 365)
        symbol = f"{underlying.name}{_dated(expiry)}FUT"
        yield _listing(underlying.exchange, symbol, Kind.FUTURE, price, underlying.lot)


def _options(
    underlying: _Underlying, today: date, distance: int, expiries: int
) -> Iterator[Listing]:
    """Calls and puts whose strikes are `distance` steps from the one nearest to the spot."""
    middle = round(underlying.spot / underlying.step)
    dates = (
        _weekly(today, expiries)
        if underlying.name == "NIFTY"
        else _monthly(underlying.exchange, today, expiries)
    )
    for steps in sorted({middle - distance, middle + distance}):
        if steps > 0:
            for expiry in dates:
                yield from _pair(underlying, steps * underlying.step, expiry, today)


def _pair(underlying: _Underlying, strike: float, expiry: date, today: date) -> Iterator[Listing]:
    """The call and the put of one strike, by Bachelier's formula without interest."""
    years = (expiry - today).days / 365
    spread = underlying.spot * underlying.volatility * math.sqrt(years)
    above = underlying.spot - strike
    ratio = above / spread
    density = math.exp(-ratio * ratio / 2) / math.sqrt(2 * math.pi)
    call = above * (1 + math.erf(ratio / math.sqrt(2))) / 2 + spread * density
    symbol = f"{underlying.name}{_dated(expiry)}{strike:.10g}"
    yield _listing(underlying.exchange, f"{symbol}CE", Kind.OPTION, call, underlying.lot)
    yield _listing(underlying.exchange, f"{symbol}PE", Kind.OPTION, call - above, underlying.lot)


def _listing(exchange: str, symbol: str, kind: Kind, price: float, lot: int) -> Listing:
    tick = 0.0025 if exchange == "CDS" else 0.05
    ticks = max(MIN_TICKS, round(price / tick))
    return Listing(Instrument(exchange, symbol), kind, ticks, tick, lot)


def _spot(name: str, usual: float, seed: int) -> float:
    """A price within 5 % of the usual one, as the seed has it."""
    digest = blake2b(f"{seed} {name}".encode(), digest_size=4).digest()
    return usual * (0.95 + 0.1 * int.from_bytes(digest, "big") / 2**32)


def _monthly(exchange: str, today: date, count: int) -> list[date]:
    """The next `count` monthly expiries after `today`."""
    first = today.year * 12 + today.month
    dates = (_EXPIRY[exchange](_month_end(first + month)) for month in range(count + 1))
    return [expiry for expiry in dates if expiry > today][:count]


def _weekly(today: date, count: int) -> list[date]:
    """The next `count` Tuesdays after `today`."""
    first = today + timedelta(days=-today.weekday() % 7 + 1)
    return [first + timedelta(weeks=week) for week in range(count)]


def _month_end(months: int) -> date:
    """The last day before so many months since the year 0 are over."""
    return date(months // 12, months % 12 + 1, 1) - timedelta(days=1)


def _last(weekday: int, end: date) -> date:
    """The last such day (Monday 0) up to `end`."""
    return end - timedelta(days=(end.weekday() - weekday) % 7)


def _working_days(end: date) -> list[date]:
    """Mondays to Fridays from `end` backwards, a week of them."""
    days = (end - timedelta(days=back) for back in range(7))
    return [day for day in days if day.weekday() < 5]


def _dated(expiry: date) -> str:
    return f"{expiry.day:02d}{_MONTHS[expiry.month - 1]}{expiry.year % 100:02d}"


def _pairs(table: str) -> Iterator[tuple[str, float]]:
    words = iter(table.split())
    return ((name, float(price)) for name, price in zip(words, words, strict=True))


_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_STEPS = (0.25, 0.5, 1, 2.5, 5, 10, 20, 50, 100, 250, 500, 1000)
_STOCKS_WITH_CONTRACTS = 180
_ON_BSE = frozenset({"SENSEX", "BANKEX", "SENSEX50", "BSE100", "BSE200", "BSE500"})
_EXPIRY: dict[str, Callable[[date], date]] = {
    "NFO": lambda end: _last(1, end),
    "BFO": lambda end: _last(3, end),
    "CDS": lambda end: _working_days(end)[2],
    "MCX": lambda end: _working_days(end.replace(day=19))[0],
}
