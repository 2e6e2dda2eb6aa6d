"""Legs: who gets a key's ticks, and how a leg that opens comes by the last value. Pure.

1. A shard's word is the truth (interest.py). What follows from it is returned, to be sent in order.
2. A leg that opens, and an heir (keepers.py), are told so, and the keeper is asked what it knows,
   all at one point of the ticks: each tick is in the answer, or comes to the one who asked.
3. An answer counts for the opening it was asked for and for no other (questions.py).
4. A key is live from the moment a feed that is there is asked for it until the last such feed
   releases it or is gone.
5. A shard that has no leg, and is sent no tick as keeper or heir, is told to know nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from hub.core import codec, stream, topics
from hub.core.interest import InterestTable
from hub.core.keepers import Keepers
from hub.core.model import Want
from hub.core.questions import NOTHING, Question, Questions


class Send(NamedTuple):
    """A message for a shard's stream, which must not be lost."""

    shard: int
    parts: list[bytes]


class Outcome(NamedTuple):
    """What follows from a change: keys whose routes are no longer right, then what to send."""

    changed: list[bytes]
    sends: list[Send]


class Legs:
    """The interest of all shards, live keys, their keepers, and what these are asked."""

    def __init__(self, shards: int) -> None:
        self.interest = InterestTable()
        self.keepers = Keepers(shards, self.interest)
        self._stays: dict[int, bytes] = {}
        self._live: dict[str, dict[bytes, None]] = {}  # of each feed that is there
        self._questions = Questions()

    def __repr__(self) -> str:
        return f"<Legs of {len(self._stays)} shards, {len(self._questions)} questions>"

    # Shards.

    def arrived(self, shard: int, stay: bytes) -> None:
        """A shard has been welcomed; `stay` is the token its stream carries."""
        self._stays[shard] = stay

    def left(self, shard: int) -> Outcome:
        """A shard is gone: it wants nothing, keeps nothing, and will answer nothing."""
        self._stays.pop(shard, None)
        changed = self.interest.drop(shard).keys
        void = self._questions.end_those_of(shard)
        empty = self._questions.end_those_to(shard)
        touched = [key for question in (*void, *empty) for key in question.keys]
        follows = self._follow(dict.fromkeys([*changed, *touched]))
        answers = [_values(question, NOTHING) for question in empty]
        return Outcome(
            list(dict.fromkeys([*changed, *follows.changed])), [*answers, *follows.sends]
        )

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
        opening = self._open(shard, number, change.opened, fresh)
        opened = self._follow(change.opened, asking=shard)
        closed = self._follow(change.closed, closing=shard)
        return Outcome(change.keys, [*opening, *opened.sends, *closed.sends])

    def answered(self, stay: bytes, number: int, batch: bytes) -> Outcome:
        """A keeper has answered; nothing follows when who asked has left meanwhile."""
        question = self._questions.end(number, stay)
        if question is None:
            return Outcome([], [])
        follows = self._follow(question.keys)
        answer = _values(question, question.answer(batch))
        return Outcome(follows.changed, [answer, *follows.sends])

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
        """A shard's `number`th word has opened legs."""
        asked: dict[int, list[bytes]] = defaultdict(list)
        for key in opened:
            asked[self.keepers.of(key)].append(key)
        return [
            send
            for keeper, keys in asked.items()
            for send in self._ask(keeper, shard, keys, fresh, number)
        ]

    def _follow(
        self, keys: Iterable[bytes], *, asking: int | None = None, closing: int | None = None
    ) -> Outcome:
        """Let keepers follow a change of these keys' legs or of what is known of them. The shard
        `asking` has just asked about them all; the one that is `closing` has no leg of them."""
        changed: list[bytes] = []
        told: dict[tuple[int, int], list[bytes]] = defaultdict(list)
        ended: dict[int, dict[bytes, None]] = defaultdict(dict)
        for key in keys:
            if topics.is_own(key):
                continue
            unsettled = self._questions.unsettled(key)
            move = self.keepers.tend(key, self._stays, unsettled, asking)
            if move.changed:
                changed.append(key)
            if move.heir is not None:
                told[move.keeper, move.heir].append(key)
            for shard in move.dismissed:
                ended[shard][key] = None
            if closing is not None and closing not in self.keepers.all_ticks(key):
                ended[closing][key] = None
        sends: list[Send] = []
        for (keeper, heir), heirlooms in told.items():
            idle = {key for key in self._idle({*heirlooms}) if key not in self.interest}
            sends += self._ask(keeper, heir, heirlooms, idle)
        return Outcome(changed, [*sends, *self._end(ended)])

    def _ask(
        self, keeper: int, shard: int, keys: list[bytes], fresh: set[bytes], number: int = 0
    ) -> list[Send]:
        """Tell a shard that it is sent ticks of these keys from here, by its `number`th word or by
        none, and ask their keeper what was before, `fresh` keys as such that were not live."""
        question = self._questions.make(keeper, shard, self._stays[shard], keys)
        told = {"t": "opened", "keys": keys, "number": number, "question": question.number}
        opened = Send(shard, [stream.OPENED, codec.encode(told)])
        if keeper not in self._stays:
            return [opened, _values(question, NOTHING)]
        if keeper != shard:  # one that asks itself needs nobody to pass the answer on
            self._questions.begin(question)
        asked = {
            "t": "query",
            "stay": question.stay,
            "question": question.number,
            "live": [key for key in keys if key not in fresh],
            "other": [key for key in keys if key in fresh],
        }
        return [opened, Send(keeper, [stream.QUERY, codec.encode(asked)])]

    def _end(self, ended: dict[int, dict[bytes, None]]) -> list[Send]:
        """Tell shards that they are sent nothing of these keys any more."""
        sends = []
        for shard, keys in ended.items():
            for key in keys:
                self._questions.drop(shard, key)
            if shard in self._stays:
                told = codec.encode({"t": "closed", "keys": [*keys]})
                sends.append(Send(shard, [stream.CLOSED, told]))
        return sends

    def _forget(self, ended: Iterable[bytes]) -> list[Send]:
        """Void those of these keys that no feed has any more, everywhere and in answers that are
        still under way."""
        keys = sorted(self._idle(set(ended)))
        if not keys:
            return []
        self._questions.void(keys)
        parts = [stream.FORGET, codec.encode({"t": "forget", "keys": keys})]
        return [Send(shard, parts) for shard in self._stays]


def _values(question: Question, batch: bytes) -> Send:
    told = {"t": "values", "keys": question.keys, "question": question.number}
    return Send(question.asker, [stream.VALUES, batch, codec.encode(told)])
