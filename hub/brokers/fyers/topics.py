"""The topics of Fyers' data socket: `sf` is a quote, `dp` a book, `if` an index. Pure."""

from __future__ import annotations

from hub.brokers.base import Listing, Subscription


class Topic:
    """One stream of one instrument. `sub` is who wants it, None when nobody does; it is `live` when
    a snapshot has come since the subscription, and a `book` when it is of depth."""

    __slots__ = ("book", "live", "name", "number", "sub")

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.book = name.startswith(b"dp")
        self.number = -1
        self.sub: Subscription | None = None
        self.live = False

    def __repr__(self) -> str:
        return f"<Topic {self.name.decode(errors='replace')} {'live' if self.live else 'waits'}>"


def topics_of(listing: Listing, mode: int) -> tuple[bytes, ...]:
    """The topics that this mode of an instrument stands on; an index has no book."""
    if not mode:
        return ()
    where = f"|{listing.segment}|{listing.token}".encode()[:253]
    if listing.kind == "INDEX" or listing.exchange.endswith("_INDEX"):
        return (b"if" + where,)
    return (b"sf" + where,) if mode < 3 else (b"sf" + where, b"dp" + where)
