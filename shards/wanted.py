"""What a shard wants of its feeds, told upward, and the legs that follow from it. Pure.

1. What is wanted is told in batches, once per change (hub/core/wants.py counts it, by feed).
2. A leg is wanted while a key is, of any feed; it opens anew when its lowest mode falls.
3. Each word to the router has a number; a leg that opens carries that of its word.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

from hub.core.model import Want, lowest
from hub.core.wants import Wants

ACCOUNTS = ""
"""The feed under whose name interest in account events is told."""

_MOST_TOLD = 500
"""Keys of a feed told at once: what is told, and answered, is a slice too."""


class Word(NamedTuple):
    """What a shard tells the router about one feed: its `number`th word, which openings that
    follow from it carry."""

    feed: str
    number: int
    wants: list[Want]


class Wanted:
    """The wants of a shard by feed, and the lowest mode of each leg that it was told to have.

    `opening` is called with a key and the number of a word that opens its leg, `ended` with a key
    that is wanted no more. `accounts` is what is wanted of account events.
    """

    def __init__(
        self,
        accounts: Wants,
        opening: Callable[[bytes, int], None],
        ended: Callable[[bytes], None],
    ) -> None:
        self._accounts = accounts
        self._asked: dict[bytes, int] = {}  # accounts, and the word that asks, until the answer
        self._opening = opening
        self._ended = ended
        self._feeds: dict[str, Wants] = defaultdict(Wants)
        self._legs: dict[bytes, int] = {}
        self._words = 0

    def __repr__(self) -> str:
        return f"<Wanted {len(self)} keys of {len(self._feeds)} feeds>"

    def __len__(self) -> int:
        """How many keys are wanted."""
        return sum(map(len, self._feeds.values()))

    def __contains__(self, key: bytes) -> bool:
        """Whether the router was told that this key is wanted."""
        return key in self._legs

    def of(self, feed: str) -> Wants:
        """What is wanted of this feed."""
        return self._feeds[feed]

    def feeds(self) -> list[str]:
        """The feeds of which anything was ever wanted."""
        return list(self._feeds)

    def knows(self, feed: str) -> bool:
        """Whether anything was ever wanted of this feed."""
        return feed in self._feeds

    @property
    def untold(self) -> bool:
        """Whether there may be something to tell."""
        return any(wants.untold for wants in self._feeds.values())

    def ask_again(self) -> None:
        """Feeds have lost keys that are held here: ask whether they have them again."""
        for wants in self._feeds.values():
            wants.ask_again()

    def tell(self) -> list[Word]:
        """What has changed, by feed; not more at once than is good for the loop."""
        told = [self._word(feed, wants.take(_MOST_TOLD)) for feed, wants in self._feeds.items()]
        self._follow(told)
        told.append(self._ask(self._accounts.take()))
        return [word for word in told if word.wants]

    def answered(self, keys: Iterable[bytes], number: int) -> list[bytes]:
        """The router answers the `number`th word about these accounts: those of which that is the
        last word."""
        begun = [key for key in keys if self._asked.get(key, number + 1) <= number]
        for key in begun:
            del self._asked[key]
        return begun

    def tell_all(self) -> list[Word]:
        """All of it, for a router that knows nothing of it."""
        told = [self._word(feed, wants.everything()) for feed, wants in self._feeds.items()]
        for key in self._legs:
            if not any(key in wants for wants in self._feeds.values()):
                self._ended(key)
        self._legs.clear()
        self._asked.clear()
        self._follow(told)
        return [*told, self._ask(self._accounts.everything())]

    def _ask(self, wants: list[Want]) -> Word:
        """A word about account events."""
        word = self._word(ACCOUNTS, wants)
        for want in wants:
            if want.modes:
                self._asked[want.key] = word.number
            else:
                self._asked.pop(want.key, None)
        return word

    def _word(self, feed: str, wants: list[Want]) -> Word:
        self._words += 1
        return Word(feed, self._words, wants)

    def _follow(self, told: list[Word]) -> None:
        """Keep up with what was told: legs about to open, keys that concern nobody any more. A
        key in several words opens with the first that can open it, or with a later one."""
        numbers = {want.key: word.number for word in reversed(told) for want in word.wants}
        feeds = [wants for wants in self._feeds.values() if wants]
        for key, number in numbers.items():
            modes = 0
            for wants in feeds:
                modes |= wants.told(key)
            level, before = lowest(modes), self._legs.pop(key, 0)
            if level:
                self._legs[key] = level
                if not before or level < before:
                    self._opening(key, number)
            else:
                self._ended(key)
