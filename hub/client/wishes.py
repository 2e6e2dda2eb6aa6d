"""What a client asks for: the requests, and what it holds, to be asked for again. Pure.

Source of the format: docs/protocol.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from hub.core.model import Instrument, Mode

Symbols = str | Instrument | Iterable[str | Instrument]
"""`"NSE:RELIANCE"`, several of them with commas, an Instrument, or any number of these."""

_MOST = 2000
"""Symbols in one request: with the longest names it stays below what a hub takes."""


class Wish(NamedTuple):
    """How an instrument is wanted: the mode, the levels of a book in Depth mode (0: as many as the
    hub gives unasked), ticks a second at most (None: as the connection), and whether the last
    value follows at once (None: as the connection)."""

    mode: Mode
    depth: int = 0
    max_rate: float | None = None
    snapshot: bool | None = None


class Held:
    """All that is subscribed, each instrument and mode with the wish it was asked for by."""

    def __init__(self) -> None:
        self._wishes: dict[tuple[Instrument, Mode], Wish] = {}

    def __repr__(self) -> str:
        return f"<Held {len(self._wishes)}>"

    def __len__(self) -> int:
        return len(self._wishes)

    def add(self, instruments: Iterable[Instrument], wish: Wish) -> None:
        """These are subscribed."""
        self._wishes |= {(one, wish.mode): wish for one in instruments}

    def drop(self, instruments: Iterable[Instrument], mode: Mode) -> None:
        """These are not, any more."""
        for one in instruments:
            self._wishes.pop((one, mode), None)

    def clear(self) -> None:
        """Nothing is."""
        self._wishes.clear()

    def by_wish(self) -> dict[Wish, list[Instrument]]:
        """What to ask for to hold it again."""
        found: dict[Wish, list[Instrument]] = {}
        for (instrument, _), wish in self._wishes.items():
            found.setdefault(wish, []).append(instrument)
        return found

    def still(self, instruments: Iterable[Instrument], mode: Mode) -> list[Instrument]:
        """Those of them that are held in this mode."""
        return [one for one in instruments if (one, mode) in self._wishes]


def instruments(symbols: Symbols) -> list[Instrument]:
    """These symbols, each once. Raises ValueError when one is not EXCHANGE:SYMBOL, or none is
    there."""
    if isinstance(symbols, str | Instrument):
        symbols = [symbols]
    found: dict[Instrument, None] = {}
    for one in symbols:
        parts = [one] if isinstance(one, Instrument) else map(_instrument, _split(one))
        found |= dict.fromkeys(parts)
    if not found:
        raise ValueError("name at least one EXCHANGE:SYMBOL, such as NSE:RELIANCE")
    return list(found)


def subscribe(wanted: Sequence[Instrument], wish: Wish) -> Iterator[str]:
    """The requests that subscribe these."""
    yield from _requests(
        "subscribe",
        wanted,
        mode=wish.mode.label,
        depth=wish.depth or None,
        max_rate=wish.max_rate,
        snapshot=wish.snapshot,
    )


def unsubscribe(wanted: Sequence[Instrument], mode: Mode) -> Iterator[str]:
    """The requests that drop these in this mode."""
    yield from _requests("unsubscribe", wanted, mode=mode.label)


def request(action: str, **more: object) -> str:
    """Any request; what is None is left out."""
    return json.dumps({"action": action} | {k: v for k, v in more.items() if v is not None})


def _requests(action: str, wanted: Sequence[Instrument], **more: object) -> Iterator[str]:
    rest = iter(wanted)
    while part := list(islice(rest, _MOST)):
        yield request(action, symbols=[one._asdict() for one in part], **more)


def _split(text: str) -> Iterator[str]:
    return (part.strip() for part in text.split(",") if part.strip())


def _instrument(text: str) -> Instrument:
    exchange, colon, symbol = text.partition(":")
    if not (exchange and colon and symbol):
        raise ValueError(f"{text!r} is not EXCHANGE:SYMBOL, such as NSE:RELIANCE")
    return Instrument(exchange, symbol)
