"""What a keeper of keys is told by the router, taken from the stream."""

from __future__ import annotations

from typing import Any

import pytest

from hub.core import codec, stream
from shards import keeping

KEYS = [b"NSE_A", b"NSE_B"]
PAIRS = [b"NSE_A_LTP", b"{}"]


class Snapshots:
    """Keeps what it is told; knows one value."""

    def __init__(self) -> None:
        self.told: list[tuple[str, tuple[Any, ...]]] = []

    def query(self, live: list[bytes], other: list[bytes], now_s: float) -> list[bytes]:
        assert now_s > 0
        self.told.append(("query", (live, other)))
        return PAIRS

    def __getattr__(self, name: str) -> Any:
        return lambda *given: self.told.append((name, given))


@pytest.mark.parametrize("own", [True, False])
def test_each_kind_is_taken_and_an_answer_goes_to_who_asked(own: bool) -> None:
    snapshots: Any = Snapshots()
    answers: list[list[bytes]] = []
    kinds = keeping.kinds(snapshots, lambda stay: own and stay == b"mine", answers.append)
    told = {"keys": KEYS, "number": 3, "question": 4}
    kinds[stream.OPENED]([codec.encode({"t": "opened"} | told)])
    kinds[stream.CLOSED]([codec.encode({"t": "closed"} | told)])
    kinds[stream.FORGET]([codec.encode({"t": "forget"} | told)])
    kinds[stream.VALUES]([codec.pack(PAIRS), codec.encode({"t": "values"} | told)])
    asked = {"t": "query", "stay": b"mine", "question": 5, "live": KEYS[:1], "other": KEYS[1:]}
    kinds[stream.QUERY]([codec.encode(asked)])
    assert snapshots.told == [
        ("opened", (KEYS, 3, 4)),
        ("closed", (KEYS,)),
        ("forget", (KEYS,)),
        ("values", (PAIRS, KEYS, 4)),
        ("query", (KEYS[:1], KEYS[1:])),
        *([("own", (KEYS, 5))] if own else []),
    ]
    assert answers == ([] if own else [[stream.VALUES, b"mine", b"5", codec.pack(PAIRS)]])
