"""What of the ticks that come is looked at more closely."""

from __future__ import annotations

from hub.core.histogram import Histogram
from hub.core.observer import Observer

A = b"NSE_A_LTP"
S = 1_000_000_000


def always(_topic: bytes, _payload: bytes) -> bool:
    return True


def test_after_a_sample_there_is_nothing_to_do_until_the_next_is_due() -> None:
    observer = Observer(50)
    assert observer.from_ns == 0
    observer.observe([A, b"{}"], 1 * S)
    assert observer.chosen
    observer.place(always, 2 * S)
    assert not observer.chosen
    assert observer.from_ns == 2 * S + 50_000_000
    assert Histogram.decode(observer.figures()["routed"]).count == 1


def test_without_samples_there_is_never_anything_to_do() -> None:
    observer = Observer(0)
    assert observer.from_ns > 2**62
    observer.tend(5 * S)
    assert observer.from_ns > 2**62


def test_while_somebody_looks_all_ticks_are_observed() -> None:
    observer = Observer(0)
    assert observer.look(1.0) == []
    assert observer.from_ns == 0
    observer.observe([A, b"{}", A, b"{}"], 2 * S)
    assert not observer.chosen
    assert observer.look(3.0) == [(A, 1.0)]
    observer.tend(20 * S)
    assert observer.from_ns > 2**62


def test_while_somebody_traces_all_ticks_are_observed() -> None:
    observer = Observer(0)
    observer.trace(b"NSE_A", "cli-1", 5 * S)
    assert observer.from_ns == 0
    observer.observe([b"NSE_B_LTP", b"{}", A, b"{}"], 2 * S)
    assert [one.topic for one in observer.chosen] == [A]
    observer.place(always, 2 * S)
    observer.tend(6 * S)
    assert observer.from_ns > 2**62
