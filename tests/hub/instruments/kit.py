"""A broker of the tests' own with a list of two files, and rows that read `SYMBOL,TOKEN`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from hub.brokers.base import (
    Addresses,
    Broker,
    Channel,
    Codec,
    Credentials,
    Limits,
    Listing,
    Reader,
    Source,
)
from hub.core.errors import Malformed

INDEX = Listing("NSE_INDEX", "NIFTY", "1", "26000", "Nifty 50", "NIFTY", "INDEX")
SOURCES = (
    Source("cash", "https://lists.invalid/a/cash.csv"),
    Source("futures", "https://lists.invalid/b/nfo%20list.csv?day=1"),
)


def _codec(_: Credentials, __: Addresses) -> Codec:
    raise AssertionError("nobody connects here")


def _read(name: str, file: IO[bytes]) -> Iterator[Listing]:
    if file.readline() != b"symbol,token\n":
        raise Malformed("it does not begin with symbol,token")
    for line in file:
        symbol, _, token = line.decode().strip().partition(",")
        yield Listing("NSE" if name == "cash" else "NFO", symbol, "1", token)


def broker(least: int = 1, **changes: Any) -> Broker:
    """The broker."""
    channel = Channel("usual", Addresses("wss://a.invalid"), Limits(), _codec)
    reader = Reader(SOURCES, _read, (INDEX,), least)
    return Broker("angel", "Angel One", (channel,), reader)._replace(**changes)


def lay(folder: Path, cash: int = 2, futures: int = 1) -> Path:
    """The two files, with so many rows, in this folder."""
    folder.mkdir(exist_ok=True)
    for name, count, begin in (("cash.csv", cash, "EQ"), ("nfo list.csv", futures, "F")):
        rows = "".join(f"{begin}{number},{number}\n" for number in range(count))
        (folder / name).write_text(f"symbol,token\n{rows}")
    return folder
