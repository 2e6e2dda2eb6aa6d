"""Who holds what on a shard: sessions by key, keys by session.

1. The sessions of a key are parted by how they hold it (modes, names, broker): a variant each.
   A session is in one variant of a key, so all topics of that key take the same way to it.
2. Variants with the same sessions share one audience, whatever their keys: a tick is put down
   once per audience, not once per session.
3. An audience's name is the XOR of its members' names, so one more key costs one look-up.
4. Sessions come and go between flushes: an audience's members never change, a new one is made.
5. A session holds all its keys in one form, so an audience has one form too.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from hashlib import blake2b
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar

from hub.core.hot import Audience
from hub.core.model import Instrument, Mode

S = TypeVar("S", bound=Hashable)


class Variant(NamedTuple):
    """How a session holds a key: the set of modes, the names it used, the broker it is told, the
    feed it was asked of, the form its ticks are written in (core/forms)."""

    modes: int
    exchange: str
    symbol: str
    broker: str
    feed: str = ""
    form: int = 0


_NONE: Mapping[Variant, Audience[object]] = MappingProxyType({})


class Index(Generic[S]):
    """The subscription index."""

    def __init__(self) -> None:
        self._names: dict[S, int] = {}
        self._held: dict[S, dict[bytes, Variant]] = {}
        self._keys: dict[bytes, dict[Variant, Audience[S]]] = {}
        self._audiences: dict[int, Audience[S]] = {}
        self._born = 0

    def __repr__(self) -> str:
        return (
            f"<Index {len(self._keys)} keys, {len(self._held)} sessions, "
            f"{len(self._audiences)} audiences>"
        )

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def sessions(self) -> int:
        """How many sessions hold something, or held and are still there."""
        return len(self._names)

    def __contains__(self, key: bytes) -> bool:
        return key in self._keys

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._keys)

    def holders(self) -> Iterable[S]:
        """The sessions that hold something."""
        return self._held

    def held(self, session: S) -> Mapping[bytes, Variant]:
        """What a session holds, in the order it began."""
        return self._held.get(session, {})

    def modes(self, session: S, key: bytes) -> int:
        """The set of modes in which a session holds a key."""
        held = self._held.get(session)
        variant = held.get(key) if held else None
        return variant.modes if variant else 0

    def audiences(self, key: bytes) -> Mapping[Variant, Audience[S]]:
        """The sessions of a key, by how they hold it."""
        return self._keys.get(key, _NONE)  # type: ignore[arg-type]  # empty for every session type

    def add(
        self,
        session: S,
        instrument: Instrument,
        mode: Mode,
        broker: str,
        feed: str = "",
        form: int = 0,
    ) -> None:
        """A session begins to hold a key in a mode; a no-op when it does already."""
        self.add_key(session, instrument.key, instrument, mode, broker=broker, feed=feed, form=form)

    def add_key(
        self,
        session: S,
        key: bytes,
        instrument: Instrument,
        mode: Mode,
        *,
        broker: str,
        feed: str,
        form: int = 0,
    ) -> Variant:
        """The same for who has made the key already; how the session holds it now."""
        held = self._held.get(session)
        if held is None:
            held = self._held[session] = {}
        before = held.get(key)
        if before is not None and before.modes & mode.bit:
            return before
        modes = (before.modes if before else 0) | mode.bit
        after = Variant(modes, *instrument, broker, feed, form)
        alone = self._audiences.get(self._name(session))
        if alone is not None and key not in self._keys:  # the most common case of all
            alone.variants += 1
            self._keys[key] = {after: alone}
            held[key] = after
            return after
        return self._move(session, key, before, after) or after

    def remove(self, session: S, key: bytes, mode: Mode) -> Variant | None:
        """A session ceases to hold a key in a mode; how it held it, None if it did not."""
        before = self._held.get(session, {}).get(key)
        if before is None or not before.modes & mode.bit:
            return None
        modes = before.modes & ~mode.bit
        self._move(session, key, before, before._replace(modes=modes) if modes else None)
        return before

    def drop(self, session: S) -> None:
        """A session is gone, and holds nothing."""
        for key, variant in list(self.held(session).items()):
            self._move(session, key, variant, None)
        self._names.pop(session, None)

    def _move(
        self, session: S, key: bytes, before: Variant | None, after: Variant | None
    ) -> Variant | None:
        """A session holds a key another way. Those who hold it alike share one variant."""
        variants = self._keys.setdefault(key, {})
        if after in variants:
            after = next(known for known in variants if known == after)
        if before is not None:
            self._change(variants, before, session, joins=False)
        if after is not None:
            self._change(variants, after, session, joins=True)
            self._held[session][key] = after
        else:
            del self._held[session][key]
            if not self._held[session]:
                del self._held[session]
        if not variants:
            del self._keys[key]
        return after

    def _change(
        self, variants: dict[Variant, Audience[S]], variant: Variant, session: S, *, joins: bool
    ) -> None:
        """Exchange a variant's audience for the one with, or without, this session."""
        old = variants.pop(variant, None)
        name = (old.name if old else 0) ^ self._name(session)
        if name:
            new = self._audiences.get(name)
            if new is None:
                members = old.members if old else ()
                members = (
                    (*members, session)
                    if joins
                    else tuple(member for member in members if member is not session)
                )
                new = self._audiences[name] = Audience(name, members, variant.form)
            new.variants += 1
            variants[variant] = new
        if old is not None:
            old.variants -= 1
            if not old.variants:
                del self._audiences[old.name]

    def _name(self, session: S) -> int:
        """A session's name: 128 bits that no set of other names adds up to."""
        name = self._names.get(session)
        if name is None:
            self._born += 1
            digest = blake2b(self._born.to_bytes(8, "big"), digest_size=16).digest()
            name = self._names[session] = int.from_bytes(digest, "big")
        return name
