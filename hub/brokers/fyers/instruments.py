"""Fyers' lists of instruments under OpenAlgo's symbols. Pure.

Lists are by exchange and segment. Most are CSV without a header, of 21 columns; currencies and
commodities are read of JSON twins where there are such: only these have the size of a contract. The
token of a stream stands in `fytoken`: four digits say the segment, six more the expiry, the rest is
the exchange's own token. Indices go by names, which are in a file of their own: that is read first,
and its names are kept until it is read again.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from typing import IO, NamedTuple

import msgspec

from hub.brokers import names
from hub.brokers.base import Listing, Reader, Source
from hub.brokers.fyers import indices
from hub.core.errors import Malformed

_AT = "https://public.fyers.in/sym_details"
INDICES = "index_hsm_mapping"
SEGMENTS = {
    "1010": "nse_cm",
    "1011": "nse_fo",
    "1012": "cde_fo",
    "1020": "nse_com",
    "1120": "mcx_fo",
    "1210": "bse_cm",
    "1211": "bse_fo",
    "1212": "bcs_fo",
}
"""The stream's segments by the first digits of a fytoken."""
_CASH = {"NSE_CM": "NSE", "BSE_CM": "BSE"}
_CONTRACTS = {"NSE_FO": "NFO", "BSE_FO": "BFO", "NSE_CD": "CDS", "MCX_COM": "MCX"}
_SHARES = {"NSE": {"0", "9"}, "BSE": {"0", "4", "50"}}
"""The codes of what is traded like a share; of government bonds (2) NSE's own series is."""
_INDEX = "10"
_FIRST_SERIES = ("-EQ", "-A")
_KINDS = {"XX": "FUT", "": "FUT", "FUT": "FUT", "CE": "CE", "PE": "PE"}
_INDIA = timezone(timedelta(hours=5, minutes=30))


class _Contract(msgspec.Struct, rename="camel"):
    """A future or an option, as either kind of file has it."""

    fy_token: str
    sym_ticker: str
    sym_details: str = ""
    ex_symbol: str = ""
    expiry_date: str | int = ""
    strike_price: float = 0.0
    opt_type: str = ""
    qty_multiplier: float = 1.0
    tick_size: float = 0.0


class _Place(NamedTuple):
    segment: str
    token: str


class _Lists:
    """Reads the lists; what it has read of names of indices is for the lists that come after."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<Lists with names of {len(self._names)} indices>"

    def read(self, source: str, file: IO[bytes]) -> Iterable[Listing]:
        """What is in the file of that source. Raises Malformed."""
        if source == INDICES:
            self._names = _names_of(file)
            return ()
        if source in _CASH:
            return self._cash(_CASH[source], file)
        is_json = file.read(1) == b"{"
        file.seek(0)
        rows = _of_json(file) if is_json else _of_csv(file)
        return _contracts(_CONTRACTS[source], rows)

    def _cash(self, exchange: str, file: IO[bytes]) -> Iterator[Listing]:
        """Shares and indices. Of a share in several series the first goes before the others."""
        taken: set[str] = set()
        others: list[Listing] = []
        for row in _rows(file):
            place = _place(row[0])
            if place is None or not row[13]:
                continue
            ticker = row[9]
            if row[2] == _INDEX:
                yield self._index(exchange, row, place)
            elif row[2] in _SHARES[exchange] or (row[2] == "2" and ticker.endswith("-GB")):
                listing = _share(exchange, row, place)
                if ticker.endswith(_FIRST_SERIES):
                    taken.add(listing.symbol)
                    yield listing
                else:
                    others.append(listing)
        for listing in others:
            if listing.symbol not in taken:
                taken.add(listing.symbol)
                yield listing

    def _index(self, exchange: str, row: Sequence[str], place: _Place) -> Listing:
        return Listing(
            f"{exchange}_INDEX",
            indices.symbol(exchange, row[13]),
            place.segment,
            indices.stream_name(self._names, row[9]),
            row[9],
            row[1],
            "INDEX",
            tick=_number(row[4]),
        )


def _share(exchange: str, row: Sequence[str], place: _Place) -> Listing:
    return Listing(
        exchange,
        row[13],
        place.segment,
        place.token,
        row[9],
        row[1],
        lot=int(_number(row[3])) or 1,
        tick=_number(row[4]),
    )


def _contracts(exchange: str, rows: Iterable[_Contract]) -> Iterator[Listing]:
    for row in rows:
        place, kind, expiry = _place(row.fy_token), _KINDS.get(row.opt_type), _day(row.expiry_date)
        base = row.sym_details.split(" ", 1)[0] or row.ex_symbol
        if place is None or kind is None or expiry is None or not base:
            continue
        future = kind == "FUT"
        if not future and not 0 < row.strike_price < 1e12:
            continue
        yield Listing(
            exchange,
            names.future(base, expiry)
            if future
            else names.option(base, expiry, row.strike_price, kind),
            place.segment,
            place.token,
            row.sym_ticker,
            row.ex_symbol,
            kind,
            expiry.isoformat(),
            0.0 if future else row.strike_price,
            int(row.qty_multiplier) if 1 <= row.qty_multiplier < 1e9 else 1,
            row.tick_size,
            4 if exchange == "CDS" else 2,
        )


def _of_csv(file: IO[bytes]) -> Iterator[_Contract]:
    for row in _rows(file):
        yield _Contract(
            row[0],
            row[9],
            row[1],
            row[13],
            row[8],
            _number(row[15]),
            row[16],
            _number(row[3]),
            _number(row[4]),
        )


def _of_json(file: IO[bytes]) -> Iterator[_Contract]:
    try:
        found = msgspec.json.decode(file.read(), type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, ValueError) as error:
        raise Malformed(f"it is no JSON object ({error})") from None
    for raw in found.values():
        try:
            yield msgspec.json.decode(raw, type=_Contract, strict=False)
        except msgspec.MsgspecError:
            continue


def _names_of(file: IO[bytes]) -> dict[str, str]:
    try:
        return msgspec.json.decode(file.read(), type=dict[str, str])
    except (msgspec.MsgspecError, ValueError) as error:
        raise Malformed(f"it does not say what indices are called ({error})") from None


def _rows(file: IO[bytes]) -> Iterator[list[str]]:
    """The rows that have all columns that are read. Raises Malformed when the first row has not."""
    text = io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="")
    first = True
    try:
        for row in csv.reader(text):
            whole = len(row) >= 17
            if first and not (whole and row[0].isdigit()):
                raise Malformed("its first line is no instrument of Fyers'")
            first = False
            if whole:
                yield row
    except csv.Error as error:
        raise Malformed(f"it is no CSV ({error})") from None
    finally:
        text.detach()


def _place(fytoken: str) -> _Place | None:
    segment, token = SEGMENTS.get(fytoken[:4]), fytoken[10:]
    return _Place(segment, token) if segment and token.isdigit() and token.isascii() else None


def _day(text: str | int) -> date | None:
    try:
        moment = datetime.fromtimestamp(int(float(text)), UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return moment.astimezone(_INDIA).date()


def _number(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        return 0.0
    return found if abs(found) < 1e12 else 0.0


READER = Reader(
    (
        Source(INDICES, f"{_AT}/index_hsm_mapping.json"),
        Source("NSE_CM", f"{_AT}/NSE_CM.csv"),
        Source("NSE_FO", f"{_AT}/NSE_FO.csv"),
        Source("NSE_CD", f"{_AT}/NSE_CD_sym_master.json", f"{_AT}/NSE_CD.csv"),
        Source("BSE_CM", f"{_AT}/BSE_CM.csv"),
        Source("BSE_FO", f"{_AT}/BSE_FO.csv"),
        Source("MCX_COM", f"{_AT}/MCX_COM_sym_master.json", f"{_AT}/MCX_COM.csv"),
    ),
    _Lists().read,
    least=500,
)
