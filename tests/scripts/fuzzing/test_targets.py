"""The targets themselves, without what finds inputs: they take any bytes, and they bite."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from hub.brokers.binance import streams
from hub.brokers.dhan.codec import Codec as Dhan
from hub.brokers.upstox.state import State
from hub.brokers.zerodha import codec as zerodha
from hub.core import topics, zmtp
from scripts.fuzzing import parsers
from scripts.fuzzing.targets import TARGETS
from shards import handshake, protocol
from shards.session import Session

GREETING = "ff00000000000000007f03014e554c4c" + "00" * 48
FOUND = (
    # Inputs that once broke something: the name of the target, and the bytes in hex.
    ("zmtp", f"0581{GREETING}041905524541445d0b536f636b65742d5479706500000003505542"),
)


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_its_seeds_and_whatever_becomes_of_them(name: str) -> None:
    target, dice = TARGETS[name], random.Random(1)
    assert target.seeds
    for data in (b"", b"\0", b"\xff" * 40, *target.seeds):
        target.run(data)
    for seed in target.seeds:
        for _ in range(5):
            changed = bytearray(seed)
            for _ in range(dice.randrange(1, 4)):
                at = dice.randrange(len(changed) + 1)
                changed[at : at + dice.randrange(3)] = dice.randbytes(dice.randrange(3))
            target.run(bytes(changed))


@pytest.mark.parametrize(("name", "data"), FOUND)
def test_what_was_found_once_breaks_nothing_now(name: str, data: str) -> None:
    TARGETS[name].run(bytes.fromhex(data))


def run_all(name: str) -> None:
    for seed in TARGETS[name].seeds:
        TARGETS[name].run(seed)


def broken(*_: Any, **__: Any) -> Any:
    raise KeyError("nobody meant this")


def broken_decoder() -> Any:
    class Decoder(parsers.TWINS[0].Decoder):  # type: ignore[misc]  # one of two
        def pairs(self, found: list[bytes], largest_bytes: int, most: int) -> int:
            count: int = super().pairs(found, largest_bytes, most)
            del found[2:]
            return count

    return Decoder


@pytest.mark.parametrize(
    ("name", "where", "what", "instead"),
    [
        ("zmtp", parsers.TWINS[0], "Decoder", broken_decoder()),
        ("zmtp", zmtp, "read", broken),
        ("batch", parsers.TWINS[0], "unpack", lambda data: [data]),
        ("topic", topics, "kind", broken),
        ("topic", topics, "key_problem", lambda _: ""),
        ("json", parsers, "clean", lambda data: data),
        ("client", protocol, "api_key", broken),
        ("client", topics, "scope_of", lambda _: b""),
        ("websocket", handshake, "_END", re.compile(b"never")),
        ("frames", Session, "_subscribe", broken),
        ("requests", protocol, "broker_info", broken),
        ("requests", Session, "gone", lambda _: None),
        ("zerodha", zerodha, "_divisor", broken),
        ("zerodha", zerodha, "_encode", lambda _: b"{}"),
        ("dhan", Dhan, "_read", broken),
        ("upstox", State, "take", broken),
        ("binance", streams, "encode", lambda _: b"{}"),
    ],
)
def test_a_target_fails_when_something_is_broken(
    name: str, where: Any, what: str, instead: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, what, instead)
    with pytest.raises((AssertionError, KeyError)):
        run_all(name)


def test_each_target_is_told_in_a_line() -> None:
    assert all(name == target.name for name, target in TARGETS.items())
    assert all(target.text and "\n" not in target.text for target in TARGETS.values())
