"""Shoonya's lists of instruments: a text file in a ZIP for each exchange.

The file of NFO begins with rows that name nothing, that of CDS has tokens up to 100 that are no
contracts, and that of BSE has no indices. Shares' ticks are in paise, or in rupees: they were
seen as both. The underlyings of BFO have names of their own there.

Source of the format: the columns that OpenAlgo reads.
"""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import IO

from hub.brokers import packed
from hub.brokers.base import Listing, Reader, Source
from hub.brokers.noren import instruments as noren
from hub.core.errors import Malformed

_EXCHANGES = ("NSE", "BSE", "NFO", "BFO", "CDS", "MCX")
_CASH = ("token", "tradingsymbol", "instrument")
_CONTRACTS = ("token", "symbol", "tradingsymbol", "expiry", "optiontype", "strikeprice")
_BASES = {"BSXOPT": "SENSEX", "BSXFUT": "SENSEX", "BKXOPT": "BANKEX", "BKXFUT": "BANKEX"}
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, IndexError, OSError, RuntimeError,
    ValueError,
)  # fmt: skip


def read(name: str, file: IO[bytes]) -> Iterator[Listing]:
    """What one of the files lists; raises Malformed."""
    try:
        with zipfile.ZipFile(file) as folder, folder.open(folder.namelist()[0]) as inner:
            yield from _read(name, packed.bounded(inner))
    except _DAMAGED as error:
        raise Malformed(f"Shoonya's list of {name} is no ZIP file: {error}") from error


def _read(name: str, file: IO[bytes]) -> Iterator[Listing]:
    cash = name in ("NSE", "BSE")
    needed: Iterable[str] = _CASH if cash else _CONTRACTS
    found = noren.rows(noren.text(file), needed, f"Shoonya's list of {name}")
    if cash:
        fixed = {one.token for one in noren.INDICES if one.segment == name}
        return noren.cash(name, (row for row in found if row["token"] not in fixed), paise=True)
    if name == "CDS":
        found = (row for row in found if noren.number(row["token"]) > 100)
    return noren.contracts(name, found, _BASES)


READER = Reader(
    sources=tuple(
        Source(name, f"https://api.shoonya.com/{name}_symbols.txt.zip") for name in _EXCHANGES
    ),
    read=read,
    fixed=noren.INDICES,
    least=5_000,
)
