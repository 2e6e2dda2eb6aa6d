"""Legs: who gets a key's ticks, and how a leg that opens comes by the last value. Pure.

1. A shard's word is the truth (interest.py). What follows from it is returned, to be sent in order.
2. An opening carries the number of the word that caused it, and a home's answer counts for that
   opening alone: an answer to an earlier one can never settle a later one.
3. Every question to a home is answered once: by the home, or empty when it is not there or leaves.
4. A key is live from the moment a feed that is there is asked for it until the last such feed
   releases it or is gone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hub.core import codec, stream, topics
from hub.core.interest import InterestTable
from hub.core.model import Want
from hub.core.placement import home

_NOTHING = codec.pack([])


class Send(NamedTuple):
    """A message for a shard's stream, which must not be lost."""

    shard: int
    parts: list[bytes]


class Outcome(NamedTuple):
    """What follows from a change: keys whose routes are no longer right, then what to send."""

    changed: list[bytes]
    sends: list[Send]


@dataclass(slots=True)
class _Question:
    """What a home was asked on behalf of a shard; `void` keys were forgotten since."""

    home: int
    asker: int
    stay: bytes
    opening: int
    keys: list[bytes]
    void: set[bytes] = field(default_factory=set)


class Legs:
    """The interest of all shards, live keys, and the questions that are under way."""

    def __init__(self, shards: int) -> None:
        self.interest = InterestTable()
        self._shards = shards
        self._stays: dict[int, bytes] = {}
        self._live: dict[str, dict[bytes, None]] = {}  # of each feed that is there
        self._questions: dict[int, _Question] = {}
        self._asked = 0

    def __repr__(self) -> str:
        return f"<Legs of {len(self._stays)} shards, {len(self._questions)} questions>"

    # Shards.

    def arrived(self, shard: int, stay: bytes) -> None:
        """A shard has been welcomed; `stay` is the token its stream carries."""
        self._stays[shard] = stay

    def left(self, shard: int) -> Outcome:
        """A shard is gone: it wants nothing, and will answer nothing."""
        self._stays.pop(shard, None)
        changed = self.interest.drop(shard).keys
        self._answer_empty(lambda question: question.asker == shard)
        return Outcome(changed, self._answer_empty(lambda question: question.home == shard))

    def first_word(self, shard: int, feed: str) -> bool:
        """Whether a shard has said nothing about this feed since it arrived: what the feed may
        know of it is from an earlier life then."""
        return feed not in self.interest.feeds(shard)

    def tell(
        self, shard: int, feed: str, wants: Sequence[Want], *, number: int, replace: bool
    ) -> Outcome:
        """Take a shard's word, its `number`th, about one feed (empty for account events);
        `replace` means it is all the shard wants of it."""
        fresh = self._idle({want.key for want in wants})
        if feed in self._live:  # what has a leg was asked of it, even if it has released it since
            fresh = {key for key in fresh if key not in self.interest}
        change = self.interest.apply(shard, feed, wants, replace=replace)
        if not feed:
            return Outcome(change.keys, [])
        if feed in self._live:
            self._live[feed].update((want.key, None) for want in wants if want.modes)
        return Outcome(change.keys, self._open(shard, number, change.opened, fresh))

    def answered(self, stay: bytes, number: int, batch: bytes) -> list[Send]:
        """A home has answered; nothing follows when who asked has left meanwhile."""
        question = self._questions.get(number)
        if question is None or question.stay != stay:
            return []
        del self._questions[number]
        return [_values(question, _without(question.void, batch))]

    # Feeds.

    def brief(self, feed: str) -> Iterator[tuple[int, list[Want]]]:
        """A feed has come up: what each shard wants of it."""
        live = self._live.setdefault(feed, {})
        for shard, wants in self.interest.of_feed(feed):
            live.update((want.key, None) for want in wants)
            yield shard, wants

    def released(self, feed: str, keys: Iterable[bytes]) -> list[Send]:
        """A feed has released keys: their last values are no longer live, if it was the last."""
        live = self._live.get(feed, {})
        ended = [key for key in keys if key in live]
        for key in ended:
            del live[key]
        return self._forget(ended)

    def feed_gone(self, feed: str) -> list[Send]:
        """A feed is gone: nothing of it is live any more."""
        return self._forget(self._live.pop(feed, {}))

    # Below: details.

    def _idle(self, keys: set[bytes]) -> set[bytes]:
        """Those of these keys that no feed has."""
        for live in self._live.values():
            keys = {key for key in keys if key not in live}
        return keys

    def _open(self, shard: int, number: int, opened: list[bytes], fresh: set[bytes]) -> list[Send]:
        """Say what was opened, and ask for last values.

        The order in the pipes makes it exact: the home answers with all that was routed before
        the leg opened, and the shard's ticks begin right after.
        """
        if not opened:
            return []
        told = codec.encode({"t": "opened", "keys": opened, "number": number})
        sends = [Send(shard, [stream.OPENED, told])]
        asked: dict[int, tuple[list[bytes], list[bytes]]] = defaultdict(lambda: ([], []))
        for key in opened:
            asked[home(key, self._shards)][key in fresh].append(key)
        for home_shard, (live, other) in asked.items():
            question = _Question(home_shard, shard, self._stays[shard], number, [*live, *other])
            sends.append(self._ask(question, live, other))
        return sends

    def _ask(self, question: _Question, live: list[bytes], other: list[bytes]) -> Send:
        """Ask a home; a shard that is its own home needs nobody to pass the answer on."""
        if question.home not in self._stays:
            return _values(question, _NOTHING)
        if question.home != question.asker:
            self._asked += 1
            self._questions[self._asked] = question
        asked = {
            "t": "query",
            "stay": question.stay,
            "question": self._asked,
            "number": question.opening,
            "live": live,
            "other": other,
        }
        return Send(question.home, [stream.QUERY, codec.encode(asked)])

    def _forget(self, ended: Iterable[bytes]) -> list[Send]:
        """Void those of these keys that no feed has any more, everywhere and in answers that are
        still under way."""
        keys = sorted(self._idle(set(ended)))
        if not keys:
            return []
        parts = [stream.FORGET, codec.encode({"t": "forget", "keys": keys})]
        for question in self._questions.values():
            question.void.update(keys)
        return [Send(shard, parts) for shard in self._stays]

    def _answer_empty(self, which: Callable[[_Question], bool]) -> list[Send]:
        """Answer some questions in their home's stead; what it says later is void."""
        numbers = [number for number, question in self._questions.items() if which(question)]
        return [_values(self._questions.pop(number), _NOTHING) for number in numbers]


def _without(void: Collection[bytes], batch: bytes) -> bytes:
    """A batch of last values without those of some keys. Raises Malformed."""
    if not void:
        return batch
    return codec.pack(topics.select(codec.unpack(batch), lambda key: key not in void))


def _values(question: _Question, batch: bytes) -> Send:
    told = {"t": "values", "keys": question.keys, "number": question.opening}
    return Send(question.asker, [stream.VALUES, batch, codec.encode(told)])
