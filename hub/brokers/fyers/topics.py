"""The topics of Fyers' data socket: `sf` is a quote, `dp` a book, `if` an index. Pure."""

from __future__ import annotations

from hub.brokers.base import Listing, Subscription
from hub.brokers.fyers.values import State


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


class Topics:
    """The topics of one connection: by their names, and by the ids that snapshots gave them."""

    def __init__(self) -> None:
        self.names: dict[bytes, Topic] = {}
        self.numbers: dict[int, Topic] = {}

    def __repr__(self) -> str:
        return f"<Topics {len(self.names)}, {len(self.numbers)} with ids>"

    def want(self, name: bytes, sub: Subscription) -> None:
        """A subscription stands on that topic, from its next snapshot on."""
        if sub.state is None:
            sub.state = State(index=name.startswith(b"if"))
        topic = self.names.get(name)
        if topic is None:
            topic = self.names[name] = Topic(name)
        topic.sub, topic.live = sub, False
        if topic.book:
            sub.state.booked = False
        else:
            sub.state.quoted = False

    def release(self, name: bytes, sub: Subscription) -> bool:
        """Forget who wants that topic; False when it is not this one."""
        topic = self.names.get(name)
        if topic is None or topic.sub is not sub:
            return False
        if topic.book:
            sub.state.booked = False
        topic.sub, topic.live = None, False
        return True

    def begin(self, topic: Topic, number: int) -> None:
        """From now on that number means this topic."""
        topic.live = True
        if topic.number == number:
            return
        self.numbers.pop(topic.number, None)
        other = self.numbers.get(number)
        if other is not None:
            other.number, other.live = -1, False
        topic.number = number
        self.numbers[number] = topic


def topics_of(listing: Listing, mode: int) -> tuple[bytes, ...]:
    """The topics that this mode of an instrument stands on; an index has no book."""
    if not mode:
        return ()
    where = f"|{listing.segment}|{listing.token}".encode()[:253]
    if listing.kind == "INDEX" or listing.exchange.endswith("_INDEX"):
        return (b"if" + where,)
    return (b"sf" + where,) if mode < 3 else (b"sf" + where, b"dp" + where)
