"""Flattrade's lists of instruments: eight CSV files. They have no tick size.

Source of the format: the columns that OpenAlgo reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO

from hub.brokers.base import Listing, Reader, Source
from hub.brokers.noren import instruments as noren

_FILES = {
    "NSE_Equity": "NSE",
    "BSE_Equity": "BSE",
    "Nfo_Equity_Derivatives": "NFO",
    "Nfo_Index_Derivatives": "NFO",
    "Bfo_Equity_Derivatives": "BFO",
    "Bfo_Index_Derivatives": "BFO",
    "Currency_Derivatives": "CDS",
    "Commodity": "MCX",
}
_ADDRESS = "https://flattrade.s3.ap-south-1.amazonaws.com/scripmaster/"
_CASH = ("token", "tradingsymbol", "instrument")
_CONTRACTS = ("token", "symbol", "tradingsymbol", "expiry", "strike", "optiontype")
_BASES = {"BSXOPT": "SENSEX", "BSXFUT": "SENSEX", "BKXOPT": "BANKEX", "BKXFUT": "BANKEX"}


def read(name: str, file: IO[bytes]) -> Iterator[Listing]:
    """What one of the files lists; raises Malformed."""
    exchange = _FILES[name]
    cash = exchange in ("NSE", "BSE")
    needed: Iterable[str] = _CASH if cash else _CONTRACTS
    found = noren.rows(noren.text(file), needed, f"Flattrade's {name}.csv")
    if cash:
        return noren.cash(exchange, found, paise=False)
    return noren.contracts(exchange, found, _BASES)


READER = Reader(
    sources=tuple(Source(name, f"{_ADDRESS}{name}.csv") for name in _FILES),
    read=read,
    fixed=noren.INDICES,
    least=5_000,
)
