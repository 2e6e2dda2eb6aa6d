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
    stocks = {name: _spot(name, spot, seed) for name, spot in _pairs(_STOCKS)}
    indices = {name: _spot(name, spot, seed) for name, spot in _pairs(_INDICES)}
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
    for row in _CONTRACTS.strip().splitlines():
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

# Each underlying with exchange of its contracts, usual spot, distance of strikes, lot, volatility.
_CONTRACTS = """
NIFTY NFO 25000 50 75 0.13
BANKNIFTY NFO 56000 100 35 0.15
FINNIFTY NFO 26500 50 65 0.15
MIDCPNIFTY NFO 13000 25 140 0.18
NIFTYNXT50 NFO 68000 100 25 0.18
SENSEX BFO 82000 100 20 0.13
BANKEX BFO 62000 100 30 0.15
GOLD MCX 120000 500 100 0.16
GOLDM MCX 120000 500 10 0.16
SILVER MCX 145000 1000 30 0.25
SILVERM MCX 145000 1000 5 0.25
CRUDEOIL MCX 5400 50 100 0.35
CRUDEOILM MCX 5400 50 10 0.35
NATURALGAS MCX 300 5 1250 0.55
COPPER MCX 950 5 2500 0.2
ZINC MCX 280 2.5 5000 0.2
USDINR CDS 88 0.25 1000 0.04
EURINR CDS 103 0.25 1000 0.07
GBPINR CDS 118 0.25 1000 0.08
JPYINR CDS 58 0.25 1000 0.1
"""

# Names with a usual price in rupees, the best known first.
_INDICES = """
NIFTY 25000 BANKNIFTY 56000 SENSEX 82000 FINNIFTY 26500 MIDCPNIFTY 13000 INDIAVIX 12
BANKEX 62000 NIFTYNXT50 68000 NIFTY100 25600 NIFTY200 14000 NIFTY500 23000 NIFTYIT 36000
NIFTYAUTO 26500 NIFTYPHARMA 22000 NIFTYFMCG 55000 NIFTYMETAL 10000 NIFTYREALTY 900
NIFTYENERGY 35500 NIFTYMEDIA 1600 NIFTYPSUBANK 7500 NIFTYPVTBANK 27500 NIFTYINFRA 9200
NIFTYCOMMODITIES 9100 NIFTYCONSUMPTION 12300 NIFTYMNC 30000 NIFTYPSE 9800 NIFTYSERVSECTOR 33500
SENSEX50 26200 BSE100 26300 BSE200 11400 BSE500 36500
"""
_STOCKS = """
RELIANCE 1400 INFY 1500 TCS 3000 SBIN 870 HDFCBANK 960 ICICIBANK 1370 M&M 3500 BAJAJ-AUTO 8900
AXISBANK 1180 KOTAKBANK 2100 LT 3700 ITC 400 HINDUNILVR 2500 BHARTIARTL 1950 BAJFINANCE 1000
BAJAJFINSV 2000 MARUTI 16000 SUNPHARMA 1630 TITAN 3500 ASIANPAINT 2350 ULTRACEMCO 12200
NESTLEIND 1180 WIPRO 245 HCLTECH 1450 TECHM 1430 POWERGRID 285 NTPC 335 ONGC 240 COALINDIA 385
TATASTEEL 170 JSWSTEEL 1150 HINDALCO 760 ADANIENT 2500 ADANIPORTS 1400 GRASIM 2800 CIPLA 1510
DRREDDY 1240 APOLLOHOSP 7600 DIVISLAB 5900 EICHERMOT 6900 HEROMOTOCO 5400 TATACONSUM 1120
BRITANNIA 5900 INDUSINDBK 740 SBILIFE 1800 HDFCLIFE 760 SHRIRAMFIN 660 BEL 400 TRENT 4700
JIOFIN 305 ETERNAL 330 INDIGO 5700 MAXHEALTH 1130 VEDL 470 IOC 150 BPCL 335 HINDPETRO 440
GAIL 175 DLF 740 GODREJPROP 2000 OBEROIRLTY 1600 PRESTIGE 1550 LODHA 1180 PHOENIXLTD 1600
BANKBARODA 265 PNB 115 CANBK 125 UNIONBANK 138 INDIANB 740 BANKINDIA 122 IDFCFIRSTB 72
FEDERALBNK 198 BANDHANBNK 165 AUBANK 740 RBLBANK 280 YESBANK 21 PFC 405 RECLTD 375 IRFC 125
IREDA 152 HUDCO 225 LICHSGFIN 570 LICI 890 ICICIGI 1900 ICICIPRULI 600 SBICARD 880 CHOLAFIN 1600
MUTHOOTFIN 3100 MANAPPURAM 285 M&MFIN 275 LTF 250 ABCAPITAL 290 BAJAJHLDNG 13000 PNBHOUSING 880
HDFCAMC 5600 NAM-INDIA 870 CAMS 3800 CDSL 1500 BSE 2200 MCX 8800 ANGELONE 2200 KFINTECH 1080
POLICYBZR 1720 PAYTM 1230 NYKAA 240 DELHIVERY 460 SWIGGY 430 NAUKRI 1350 DMART 4500 VBL 450
DABUR 500 MARICO 710 GODREJCP 1150 COLPAL 2250 UNITDSPR 1330 TATAMOTORS 680 ASHOKLEY 140
TVSMOTOR 3500 BOSCHLTD 38500 MOTHERSON 105 BHARATFORG 1220 SONACOMS 420 UNOMINDA 1280
TIINDIA 3100 EXIDEIND 395 BALKRISIND 2300 MRF 152000 APOLLOTYRE 480 HAL 4800 BDL 1500
MAZDOCK 2850 SOLARINDS 13800 BHEL 240 CGPOWER 740 ABB 5200 SIEMENS 3150 CUMMINSIND 3950
HAVELLS 1500 POLYCAB 7400 KEI 4100 VOLTAS 1380 BLUESTARCO 1900 DIXON 17000 AMBER 8100
KAYNES 7100 CROMPTON 290 TATAPOWER 390 ADANIGREEN 1050 ADANIENSOL 880 JSWENERGY 540 NHPC 84
SJVN 93 TORNTPOWER 1250 SUZLON 56 INOXWIND 145 IEX 140 PETRONET 275 IGL 208 MGL 1290 OIL 415
SAIL 133 NMDC 75 JINDALSTEL 1040 NATIONALUM 215 HINDZINC 470 HINDCOPPER 330 APLAPOLLO 1720
AMBUJACEM 570 ACC 1850 SHREECEM 29500 DALBHARAT 2250 RAMCOCEM 1000 JKCEMENT 6500 PIDILITIND 1500
SRF 2900 PIIND 3600 UPL 680 COROMANDEL 2250 TATACHEM 930 DEEPAKNTR 1800 AARTIIND 385
LUPIN 1930 AUROPHARMA 1100 BIOCON 350 ZYDUSLIFE 990 TORNTPHARM 3500 ALKEM 5500 MANKIND 2500
GLENMARK 1950 LAURUSLABS 880 SYNGENE 640 IPCALAB 1330 FORTIS 980 LALPATHLAB 3150 METROPOLIS 2000
LTIM 5300 MPHASIS 2800 PERSISTENT 5300 COFORGE 1690 OFSS 8700 KPITTECH 1180 TATAELXSI 5400
TATATECH 680 LTTS 4200 CYIENT 1180 INDHOTEL 740 JUBLFOOD 620 IRCTC 710 CONCOR 530 RVNL 340
NBCC 110 GMRAIRPORT 90 IDEA 8 INDUSTOWER 350 TATACOMM 1650 HFCL 74 PAGEIND 43000 ABFRL 85
KALYANKJIL 470 ASTRAL 1400 SUPREMEIND 4300 PGEL 560 UBL 1800 PATANJALI 590 ITCHOTELS 230
IRB 42 BERGEPAINT 540 KANSAINER 245 INDIAMART 2450 JUSTDIAL 870 AFFLE 1950 ZEEL 115 PVRINOX 1100
SUNTV 560 SAREGAMA 480 TATAINVEST 7000 JSWINFRA 310 GVT&D 2950 ARE&M 1000 GMRP&UI 118 J&KBANK 104
S&SPOWER 280 SURANAT&P 22 HATSUN 950 EMAMILTD 560 GILLETTE 9800 PGHH 13500 3MINDIA 30500
HONAUT 36500 BATAINDIA 1200 RELAXO 440 CAMPUS 270 METROBRAND 1200 VMART 800 SHOPERSTOP 530
WHIRLPOOL 1300 VGUARD 380 ORIENTELEC 210 BAJAJELEC 560 TTKPRESTIG 640 CERA 6200 KAJARIACER 1200
CENTURYPLY 790 GREENPANEL 290 FINCABLES 820 RRKABEL 1230 STARHEALTH 450 NIACL 190 GICRE 380
CUB 215 KARURVYSYA 210 SOUTHBANK 30 CSBBANK 370 DCBBANK 130 KTKBANK 175 UCOBANK 31 IOB 39
CENTRALBK 38 MAHABANK 57 PSB 30 EQUITASBNK 57 UJJIVANSFB 47 AAVAS 1620 HOMEFIRST 1240
CANFINHOME 770 APTUS 325 CREDITACC 1350 FIVESTAR 540 IIFL 450 MFSL 1580 CRISIL 4700 ICRA 6300
CARERATING 1530 GRAPHITE 560 HEG 510 RATNAMANI 2500 WELCORP 870 JSL 760 TRIDENT 29 VTL 420
KPRMILL 1050 RAYMOND 610 WELSPUNLIV 117 GNFC 500 GSFC 200 CHAMBLFERT 490 FACT 900 RCF 150
NFL 94 DCMSHRIRAM 1150 ATUL 6100 NAVINFLUOR 4700 CLEAN 1080 FINEORG 4600 VINATIORGA 1700
TRITURBINE 520 THERMAX 3200 KEC 850 KPIL 1250 ENGINERSIN 200 IRCON 172 RITES 255 RAILTEL 370
TITAGARH 900 JWL 330 BEML 4300 COCHINSHIP 1750 GRSE 2450 DATAPATTNS 2700 ZENTEC 1450 MTARTECH 1900
"""
