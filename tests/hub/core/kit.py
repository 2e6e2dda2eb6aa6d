"""Either twin of hub.core.hot with something to work on; and JSON of all kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

TEXTS = st.text(max_size=20)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(st.characters(codec="utf-8"), max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)
OBJECTS = st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), JSON, max_size=5)


def unreached(*_: object) -> Any:
    raise AssertionError("nobody is to be asked")


def raises(*_: object) -> Any:
    raise LookupError("on purpose")


def waiting(groups: list[Any]) -> list[list[bytes]]:
    return [list(group.pairs) for group in groups]


class Router:
    """Groups and the list they register in."""

    def __init__(self, twin: Any, groups: int = 2) -> None:
        self.dirty: list[Any] = []
        self.groups = [twin.Group((number, number + 1), self.dirty) for number in range(groups)]


class Told:
    """A member's calls; each may be given something to do when it is called."""

    def __init__(self, twin: Any, name: str, log: list[Any], then: Callable[[], None]) -> None:
        class Member(twin.Sink):  # type: ignore[misc]  # it is one of two
            def deliver(self, data: bytes, lines: list[Any]) -> None:
                log.append((name, "deliver", data, [line.seq for line in lines]))
                then()

            def unsent(self, data: bytes, sent: int) -> None:
                log.append((name, "unsent", data, sent))
                then()

        self.sink = Member()


class Shard:
    """Lines, audiences, members: `a` and `b` are in one audience, `b` is in another as well."""

    def __init__(self, twin: Any, then: Callable[[], None] = lambda: None) -> None:
        self.twin = twin
        self.log: list[Any] = []
        self.a, self.b = (Told(twin, name, self.log, then).sink for name in "ab")
        self.both = twin.Audience(1, (self.a, self.b))
        self.one = twin.Audience(2, (self.b,))
        self.dirty: list[Any] = []
        self.lines = {key: twin.Line(key, 1) for key in (b"K", b"L")}
        self.lines[b"K"].routes = ((b"<", b">", (self.both,)),)
        self.lines[b"L"].routes = ((b"(", b")", (self.both,)), (b"[", b"]", (self.one,)))

    def fan(
        self,
        *pairs: bytes,
        seq: int = 0,
        admit: Callable[[bytes], Any] = unreached,
        resolve: Callable[[Any], Any] = unreached,
        formed: Callable[[Any], None] = unreached,
    ) -> int:
        found: int = self.twin.fan(list(pairs), self.lines, admit, resolve, formed, self.dirty, seq)
        return found

    def flush(self) -> int:
        dirty, self.dirty = self.dirty, []
        found: int = self.twin.flush(dirty)
        return found


def framed(twin: Any, text: bytes) -> bytes:
    found: bytes = twin.header(len(text)) + text
    return found
