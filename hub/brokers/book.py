"""A book as clients read it, whichever broker it is of."""

from __future__ import annotations

import msgspec


class Level(msgspec.Struct, gc=False):
    """One level of a book; the price in rupees. Orders are 0 where a broker does not tell them."""

    price: float = 0.0
    quantity: int = 0
    orders: int = 0


class Book(msgspec.Struct, gc=False):
    """Both sides of a book, best first."""

    buy: list[Level]
    sell: list[Level]
