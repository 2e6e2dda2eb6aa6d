"""How Binance's list of symbols reads: the answer of its REST API to `exchangeInfo`. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO

import msgspec
from msgspec import Struct, field

from hub.brokers.base import Listing, Reader, Source
from hub.core.errors import Malformed


class _Filter(Struct, gc=False):
    kind: str = field(default="", name="filterType")
    tick: str = field(default="", name="tickSize")


class _Symbol(Struct, gc=False):
    symbol: str
    status: str = ""
    base: str = field(default="", name="baseAsset")
    quote: str = field(default="", name="quoteAsset")
    filters: list[_Filter] = []


class _Info(Struct):
    symbols: list[msgspec.Raw]


_info = msgspec.json.Decoder(_Info).decode
_symbol = msgspec.json.Decoder(_Symbol).decode


def read(name: str, file: IO[bytes]) -> Iterable[Listing]:  # noqa: ARG001 - there is one file
    """Yield what can be traded. Raises Malformed for what is no such file."""
    try:
        info = _info(file.read())
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Malformed(f"Binance's list of symbols is none: {error}") from None
    for raw in info.symbols:
        try:
            listing = _listing(_symbol(raw))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            continue
        if listing is not None:
            yield listing


def _listing(symbol: _Symbol) -> Listing | None:
    """None for what is not traded now: it would be silent."""
    if symbol.status != "TRADING" or not symbol.symbol:
        return None
    text = next((one.tick for one in symbol.filters if one.kind == "PRICE_FILTER"), "")
    tick = float(text or 0)
    if tick - tick != 0.0:
        return None
    decimals = text.partition(".")[2].rstrip("0")
    return Listing(
        "CRYPTO", symbol.symbol, "SPOT", symbol.symbol.lower(), symbol.symbol,
        f"{symbol.base}/{symbol.quote}", tick=tick, precision=len(decimals) if text else 8,
    )  # fmt: skip


READER = Reader(
    (Source("symbols", "https://data-api.binance.vision/api/v3/exchangeInfo"),), read, least=100
)
