"""Which twin is taken; and what both make of bytes: headers, messages, batches."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core import hot
from hub.core.errors import Malformed

ROOT = Path(__file__).parents[3]
SIZES = (0, 1, 124, 125, 126, 127, 254, 255, 256, 257, 65534, 65535, 65536, 65537)


def python(code: str, cwd: Path = ROOT, **environment: str) -> str:
    """What this code prints, in a process of its own that may find another twin."""
    kept = {name: value for name, value in os.environ.items() if name != "SHARDHUB_PURE"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=kept | environment, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


def has_compiler() -> bool:
    headers = Path(sysconfig.get_path("include"), "Python.h")
    return shutil.which("cc") is not None and headers.exists()


LOOK = "from hub.core import hot; print(hot.COMPILED, hot.Line.__module__, hot.take.__module__)"
PURE = "False hub.core._pure hub.core._pure"


@pytest.mark.skipif(not has_compiler(), reason="there is no compiler")
def test_where_there_is_a_compiler_the_compiled_twin_is_taken() -> None:
    assert python(LOOK) == "True hub.core._hot hub.core._hot", "type `scripts/hub --version`"


def test_the_environment_takes_the_other_one() -> None:
    assert python(LOOK, SHARDHUB_PURE="1") == PURE


def test_what_was_compiled_from_another_source_is_not_taken(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "hub", tmp_path / "hub", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "hub/core/_hot.pyx").open("a") as source:
        source.write("\n# one more line\n")
    assert python(LOOK, tmp_path) == PURE


def test_a_module_of_another_making_is_not_taken(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "hub", tmp_path / "hub", ignore=shutil.ignore_patterns("*.so"))
    module = tmp_path / "hub/core/_hot.py"
    module.write_text("class Line: pass\n")
    assert python(LOOK, tmp_path) == PURE
    module.write_text("from hub.core.payload import no_longer_there\n")
    assert python(LOOK, tmp_path) == PURE


def test_both_have_all_that_is_asked_for(twins: tuple[Any, Any]) -> None:
    for name in set(hot.__all__) - {"COMPILED"}:
        assert all(hasattr(twin, name) for twin in twins), name


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "8100"),
        (125, "817d"),
        (126, "817e007e"),
        (65535, "817effff"),
        (65536, "817f0000000000010000"),
        (2**40 + 3, "817f0000010000000003"),
    ],
)
def test_a_header_is_that_of_rfc_6455(twin: Any, size: int, expected: str) -> None:
    assert twin.header(size).hex() == expected
    assert twin.header(size, 0x82).hex() == "82" + expected[2:]


@pytest.mark.parametrize(("size", "first"), [(-1, 0x81), (1, -1), (1, 256)])
def test_what_is_no_header_raises(twin: Any, size: int, first: int) -> None:
    with pytest.raises(ValueError):
        twin.header(size, first)


@pytest.mark.parametrize("size", SIZES)
def test_a_part_of_a_message_has_a_header_for_its_size(twin: Any, size: int) -> None:
    part = bytes(size)
    long = size.to_bytes(8, "big")
    first = b"\3" + long if size > 255 else bytes((1, size))
    second = b"\2" + long if size > 255 else bytes((0, size))
    assert twin.message([part, part]) == first + part + second + part


def test_a_message_may_be_empty_or_a_tuple(twin: Any) -> None:
    assert twin.message([]) == b""
    assert twin.message((b"a", b"")) == b"\1\1a\0\0"


def pairs_of(count: int, size: int = 1) -> list[bytes]:
    return [b"x" * size for _ in range(count)]


@pytest.mark.parametrize("count", [0, 2, 14, 16, 18, 65534, 65536, 65538])
def test_a_batch_is_msgpack_whatever_its_count(twin: Any, count: int) -> None:
    assert msgpack.unpackb(twin.pack(pairs_of(count))) == pairs_of(count)
    assert twin.unpack(msgpack.packb(pairs_of(count))) == pairs_of(count)


@pytest.mark.parametrize("size", SIZES)
def test_a_batch_is_msgpack_whatever_its_sizes(twin: Any, size: int) -> None:
    pairs = pairs_of(2, size)
    assert msgpack.unpackb(twin.pack(pairs)) == msgpack.unpackb(twin.pack(tuple(pairs))) == pairs
    assert twin.unpack(msgpack.packb(pairs)) == pairs


@given(pairs=st.lists(st.binary(max_size=300), max_size=40))
def test_any_batch_is_msgpack(twin: Any, pairs: list[bytes]) -> None:
    assert msgpack.unpackb(twin.pack(pairs)) == pairs


def outcome(call: Callable[[bytes], list[bytes]], frame: bytes) -> object:
    try:
        return call(frame)
    except Malformed:
        return None


@given(
    pairs=st.lists(st.binary(max_size=9), max_size=40),
    at=st.integers(0, 60),
    instead=st.binary(max_size=6),
    cut=st.integers(0, 60) | st.none(),
)
def test_both_read_the_same_of_any_bytes(
    twins: tuple[Any, Any], pairs: list[bytes], at: int, instead: bytes, cut: int | None
) -> None:
    """Whole, cut short, with something behind it, or other bytes in its midst."""
    pure, compiled = twins
    for frame in (compiled.pack(pairs), msgpack.packb(pairs)):
        for changed in (frame, (frame[:at] + instead + frame[at + len(instead) :])[:cut]):
            assert outcome(pure.unpack, changed) == outcome(compiled.unpack, changed)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x91\xc4\x01a",
        b"\x92\xc4\x01a",
        b"\x92\xc4\x01a\xc4",
        b"\x92\xc4\x01a\xc4\x01",
        b"\x92\xc4\x01a\xc4\x01bc",
        b"\x92\xc4\x01a\xc6\xff\xff\xff\xff",
        b"\x92\xc4\x01a\xa1b",
        b"\xdd\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff",
        b"\xdc\x00",
        b"\xdc\x00\x02\xc4\x00\xc5\x00",
    ],
)
def test_what_is_no_batch_is_malformed(twin: Any, frame: bytes) -> None:
    with pytest.raises(Malformed):
        twin.unpack(frame)


def routes_to(twin: Any, groups: Any) -> None:
    twin.route([b"a", b"{}"], {b"a": groups}, None, [])


def fans_to(twin: Any, routes: Any) -> None:
    line = twin.Line(b"a", 1)
    twin.fan([b"a", b"{}"], {b"a": line}, None, lambda _: routes, None, [], 0)


def deals_to(twin: Any, way: Any) -> None:
    dirty: list[Any] = []
    twin.route([b"a", b"{}"], {b"a": (twin.Group((0,), dirty),)}, None, [])
    twin.deal(dirty, [way], b"t")


WRONG: dict[str, Callable[[Any], object]] = {
    "a part of a message": lambda twin: twin.message([b"a", "b"]),
    "no part of a message": lambda twin: twin.message([None]),
    "a part of a batch": lambda twin: twin.pack([b"a", 7]),
    "a batch": lambda twin: twin.unpack("ab"),
    "no batch": lambda twin: twin.unpack(None),
    "a token": lambda twin: setattr(twin.Way(), "token", "t"),
    "a way": lambda twin: deals_to(twin, object()),
    "no part of a batch": lambda twin: twin.pack([b"a", None]),
    "a size": lambda twin: twin.header(None),
    "shards of a group": lambda twin: twin.Group([1], []),
    "a key": lambda twin: twin.Line("key", 1),
    "a number": lambda twin: setattr(twin.Line(b"key", 1), "seq", "1"),
    "a payload": lambda twin: setattr(twin.Line(b"key", 1), "payload", "{}"),
    "bytes of a decoder": lambda twin: twin.Decoder(9).feed(None),
    "a list for a decoder": lambda twin: twin.Decoder(9).pairs(None, 1, 1),
    "a decoder's limit": lambda twin: twin.Decoder(None),
    "a group": lambda twin: twin.take([object()]),
    "no group": lambda twin: twin.take([None]),
    "a group without anything": lambda twin: twin.take([twin.Group.__new__(twin.Group)]),
    "no list of groups": lambda twin: twin.take(None),
    "an audience": lambda twin: twin.flush([object()]),
    "no audience": lambda twin: twin.flush([None]),
    "no audiences": lambda twin: twin.flush([None, None]),
    "an audience without anything": lambda twin: twin.flush([twin.Audience.__new__(twin.Audience)]),
    "a frame": lambda twin: flushes(twin, frames=["text"]),
    "no frame": lambda twin: flushes(twin, frames=[None]),
    "no members": lambda twin: flushes(twin, members=None),
    "a member": lambda twin: flushes(twin, members=(object(),)),
    "a topic to route": lambda twin: twin.route(["a", b"{}"], {}, None, []),
    "a payload to route": lambda twin: twin.route([b"a", None], {b"a": ()}, None, []),
    "no pairs": lambda twin: twin.route(None, {}, None, []),
    "no routes": lambda twin: twin.route([b"a", b"{}"], None, None, []),
    "groups": lambda twin: routes_to(twin, [twin.Group((1,), [])]),
    "none of the groups": lambda twin: routes_to(twin, (None,)),
    "a thing among groups": lambda twin: routes_to(twin, (object(),)),
    "a group without pairs": lambda twin: routes_to(twin, (twin.Group.__new__(twin.Group),)),
    "what resolve gives": lambda twin: twin.route([b"a", b"{}"], {}, lambda _: None, []),
    "groups that resolve gives": lambda twin: twin.route(
        [b"a", b"{}"], {}, lambda topic: (topic, None), []
    ),
    "a topic to fan": lambda twin: twin.fan([7, b"{}"], {}, None, None, None, [], 0),
    "a line": lambda twin: twin.fan([b"a", b"{}"], {b"a": object()}, None, None, None, [], 0),
    "what admit gives": lambda twin: twin.fan(
        [b"a", b"{}"], {}, lambda _: object(), None, None, [], 0
    ),
    "no routes of a line": lambda twin: fans_to(twin, None),
    "routes of a line": lambda twin: fans_to(twin, ((b"head",),)),
    "a head": lambda twin: fans_to(twin, ((None, b"", ()),)),
    "a tail": lambda twin: fans_to(twin, ((b"", 7, ()),)),
    "audiences": lambda twin: fans_to(twin, ((b"", b"", None),)),
    "an audience of a line": lambda twin: fans_to(twin, ((b"", b"", (None,)),)),
}


def flushes(twin: Any, frames: Any = (), members: Any = ()) -> None:
    audience = twin.Audience(0, members)
    audience.frames = list(frames)
    twin.flush([audience])


@pytest.mark.parametrize("what", WRONG)
def test_the_compiled_twin_looks_at_what_it_is_handed(twins: tuple[Any, Any], what: str) -> None:
    """The other one does so where it costs nothing; C would read what is not there."""
    with pytest.raises((TypeError, AttributeError, ValueError)):
        WRONG[what](twins[1])
