"""Which of the instruments that were found is meant most likely. Pure.

1. What has expired comes last.
2. A symbol that is exactly what was typed comes first; then those whose base is one of the words
   (the index, its equity, its contracts); then those that begin with one; then all others.
3. Indices and equities come before futures, and futures before options.
4. The nearest expiry comes first, and there the strike that was typed.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Sequence

from hub.brokers import names
from hub.brokers.base import Listing

_KINDS = {"INDEX": 0, "EQ": 1, "FUT": 3, "CE": 4, "PE": 4}
_OTHER = 2
_CONTRACT = re.compile(r"(.+?)\d\d[A-Z]{3}\d\d(?:FUT|[\d.]+[CP]E)")


def best(
    found: Iterable[Listing], words: Sequence[str], most: int, today: str = ""
) -> list[Listing]:
    """The first `most` of them. `words` are in upper case, `today` is YYYY-MM-DD."""
    strikes = {word for word in words if word.replace(".", "", 1).isdecimal()}
    whole = "".join(words)

    def rank(one: Listing) -> tuple[object, ...]:
        return (
            bool(one.expiry) and one.expiry < today,
            _fit(one, words, whole),
            _KINDS.get(one.kind, _OTHER),
            one.expiry,
            bool(strikes) and names.strike_text(one.strike) not in strikes,
            one.strike,
            len(one.symbol),
            one.symbol,
            one.exchange,
        )

    return heapq.nsmallest(most, found, rank)


def _fit(one: Listing, words: Sequence[str], whole: str) -> int:
    symbol = one.symbol.upper()
    if symbol == whole:
        return 0
    contract = _CONTRACT.fullmatch(symbol)
    base = contract[1] if contract else symbol
    if base in words:
        return 1
    return 2 if base.startswith(tuple(words)) else 3
