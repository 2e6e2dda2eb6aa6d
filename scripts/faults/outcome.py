"""What is asked for, and what came of it."""

from __future__ import annotations

from typing import NamedTuple

from scripts.faults.account import Broken
from scripts.faults.plan import Fault


class Order(NamedTuple):
    """What is asked for."""

    seed: int
    seconds: float
    shards: int = 4
    symbols: int = 1000
    rate: int = 5000
    only: tuple[str, ...] = ()  # kinds of faults; all when empty


class Done(NamedTuple):
    """One fault that was done."""

    at_s: float
    fault: Fault
    figures: dict[str, float]
    notes: list[str]
    problem: str


class Outcome(NamedTuple):
    """What came of it."""

    order: Order
    done: list[Done]
    broken: list[Broken]
    received: int
    published: int
    skipped: int
    excused: dict[str, int]  # ticks missed within the windows of faults, by what was done to whom
    before_reply: int  # order updates passed over that were published before the subscribe's reply
    disconnected: int
    retries: dict[str, int]
    memory: dict[str, tuple[int, int, int]]  # at start, at most, at the end
    restarts: dict[str, int]
    last: dict[str, float]  # figures of the end
    held_up_s: float
    p99_ms: float  # before the first fault
