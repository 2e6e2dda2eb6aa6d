"""Keepers: which shard knows the last values of a key, and how another comes to know them. Pure.

1. Every key has one keeper: all ticks of the key reach it, in order, whatever it wants of them, and
   it is the one who is asked. A shard stays keeper for as long as it may be.
2. A shard that has a leg may be keeper. When nobody has one, the home of the key may.
3. A keeper that may no longer be is followed by an heir. It is sent every tick from when the keeper
   is asked for what it knows, and is keeper itself when it has been sent the answer, not before.
4. A leg in the lowest mode is sent every tick anyway: it inherits without another question, as soon
   as the one it asked when it opened is settled.
5. What a keeper that is gone knew is lost, unless a leg of rule 4 knows it too, which inherits at
   once. Who else inherits begins with nothing: others may have been sent newer than it knows.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from hub.core.interest import InterestTable
from hub.core.model import Mode
from hub.core.placement import home

_LOWEST = int(Mode.LTP)


class Move(NamedTuple):
    """What follows for the keeper of a key: the heir to whom it is to be told what the `keeper`
    knows, if there is one, and who is sent nothing of the key any more. `changed` tells whether
    others are sent all its ticks than before."""

    keeper: int
    heir: int | None
    dismissed: list[int]
    changed: bool


class Keepers:
    """The keepers of all keys, and the heirs of those that may be no longer."""

    def __init__(self, shards: int, interest: InterestTable) -> None:
        self._shards = shards
        self._interest = interest
        self._keepers: dict[bytes, int] = {}  # of keys that are not kept at home
        self._heirs: dict[bytes, int] = {}

    def __repr__(self) -> str:
        return f"<Keepers, {len(self._keepers)} keys kept away from home, {len(self._heirs)} heirs>"

    def of(self, key: bytes) -> int:
        """Who keeps a key: the one to ask."""
        keeper = self._keepers.get(key)
        return home(key, self._shards) if keeper is None else keeper

    def all_ticks(self, key: bytes) -> tuple[int, ...]:
        """Who is sent all ticks of a key: its keeper, and the heir if there is one."""
        keeper, heir = self.of(key), self._heirs.get(key)
        return (keeper,) if heir is None else (keeper, heir)

    def tend(
        self,
        key: bytes,
        here: Collection[int],
        unsettled: Collection[int],
        asking: int | None = None,
    ) -> Move:
        """The legs of a key have changed, or a question about it is settled. `here` are the shards
        that are there, `unsettled` those whose question about the key is under way. `asking` has
        put one just now, so it needs no other."""
        legs, at_home = self._interest.legs(key), home(key, self._shards)
        keeper, before = self._keepers.get(key, at_home), self._heirs.pop(key, None)
        told: int | None = None
        if keeper in legs or (not legs and keeper == at_home):
            if before is None:
                return Move(keeper, None, [], changed=False)
            after, heir = keeper, None
        else:
            may = list(legs) or [at_home]
            able = [one for one in may if one in (before, asking) or legs.get(one) == _LOWEST]
            ready = [one for one in able if one not in unsettled]
            chosen = (ready or able or may)[0]
            if ready or keeper not in here or chosen not in here:
                after, heir = chosen, None
            else:
                self._heirs[key] = heir = chosen
                after = keeper
            if not ready and (legs if heir is None else not able):
                told = chosen  # a home that begins with nothing knows that it knows nothing
        if after != keeper:
            self._set(key, after, at_home)
        was = [keeper] if before is None else [keeper, before]
        dismissed = [one for one in was if one not in (after, heir) and one not in legs]
        return Move(keeper, told, dismissed, changed=(keeper, before) != (after, heir))

    def _set(self, key: bytes, keeper: int, at_home: int) -> None:
        if keeper == at_home:
            del self._keepers[key]
        else:
            self._keepers[key] = keeper
