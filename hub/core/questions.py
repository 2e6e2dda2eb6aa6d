"""Questions to keepers that are under way, and for whom. Pure.

1. Every question is answered once: by its keeper, or empty when that one is not there or leaves.
2. An answer counts for the stay that asked. Of a key, a shard's newest question alone settles it.
3. What is forgotten meanwhile is in no answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from hub.core import codec, topics
from hub.core.errors import Malformed

NOTHING = codec.pack([])
"""An answer without values."""


@dataclass(slots=True)
class Question:
    """What a keeper is asked on behalf of a shard; `void` keys were forgotten since."""

    number: int
    keeper: int
    asker: int
    stay: bytes
    keys: list[bytes]
    void: set[bytes] = field(default_factory=set)

    def answer(self, batch: bytes) -> bytes:
        """What counts of an answer; nothing when it cannot be read."""
        if not self.void:
            return batch
        void = self.void
        try:
            return codec.pack(topics.select(codec.unpack(batch), lambda key: key not in void))
        except Malformed:
            return NOTHING


class Questions:
    """The questions under way, by number, and who waits for an answer about which key."""

    def __init__(self) -> None:
        self._asked = 0
        self._open: dict[int, Question] = {}
        self._newest: dict[bytes, dict[int, int]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def make(self, keeper: int, asker: int, stay: bytes, keys: list[bytes]) -> Question:
        """A question with a number of its own; what the asker has asked about these keys before
        settles nothing any more."""
        if self._newest:
            for key in keys:
                self.drop(asker, key)
        self._asked += 1
        return Question(self._asked, keeper, asker, stay, keys)

    def begin(self, question: Question) -> None:
        """A question is under way."""
        self._open[question.number] = question
        for key in question.keys:
            self._newest.setdefault(key, {})[question.asker] = question.number

    def unsettled(self, key: bytes) -> Collection[int]:
        """The shards that wait for an answer about a key."""
        return self._newest.get(key, ())

    def drop(self, asker: int, key: bytes) -> None:
        """A shard waits for no answer about this key any more; if one comes, it is not taken."""
        askers = self._newest.get(key)
        if askers is not None and askers.pop(asker, None) is not None and not askers:
            del self._newest[key]

    def end(self, number: int, stay: bytes) -> Question | None:
        """A question is answered; None when none of this number and stay is under way."""
        question = self._open.get(number)
        if question is None or question.stay != stay:
            return None
        return self._end(question)

    def end_those_of(self, asker: int) -> list[Question]:
        """Who asked has left."""
        return self._end_all(lambda question: question.asker == asker)

    def end_those_to(self, keeper: int) -> list[Question]:
        """Who was asked has left."""
        return self._end_all(lambda question: question.keeper == keeper)

    def void(self, keys: Iterable[bytes]) -> None:
        """What is known of these keys is forgotten everywhere."""
        for question in self._open.values():
            question.void.update(keys)

    def _end_all(self, which: Callable[[Question], bool]) -> list[Question]:
        return [self._end(question) for question in [*self._open.values()] if which(question)]

    def _end(self, question: Question) -> Question:
        del self._open[question.number]
        for key in question.keys:
            if self._newest.get(key, {}).get(question.asker) == question.number:
                self.drop(question.asker, key)
        return question
