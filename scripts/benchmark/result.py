"""What a contender did with a load, in one round or in several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from scripts.benchmark import usage
from scripts.benchmark.histogram import Histogram
from scripts.benchmark.loads import Load
from scripts.benchmark.usage import Usage

_LIMITED = 90.0
_LATE_MS = 100.0
_NOISE = 30.0
_FULL = 95.0
_BEHIND_NS = 100_000_000


class Result(NamedTuple):
    """What one server did with one load."""

    load: Load
    delivered: int  # frames, each client and tick counted once
    early: int  # the same of the warm-up
    duplicates: int
    disordered: int
    latency: Histogram
    warm_up: Histogram
    server: Usage
    readers: dict[str, float]  # CPU of clients and publisher, in % of one core
    received_bytes: int  # warm-up included
    notes: list[str]  # why this run does not count; empty when it does
    rounds: int = 1

    @property
    def ratio(self) -> float:
        """Delivered of what should have been."""
        return self.delivered / (self.load.deliveries * self.rounds)

    @property
    def early_ratio(self) -> float:
        """The same of the warm-up; 1 when there was none."""
        due = self.load.first * self.load.clients * self.rounds
        return self.early / due if due else 1.0

    @property
    def us(self) -> float:
        """CPU time of the server in the window, in microseconds."""
        return self.server.total / 100 * self.server.seconds * 1e6

    @property
    def us_per_frame(self) -> float:
        """CPU time of the server for one tick to one client, in microseconds."""
        return self.us / max(self.delivered, 1)

    @property
    def us_per_tick(self) -> float:
        """CPU time of the server for one tick to all clients, in microseconds."""
        return self.us / (self.load.ticks * self.rounds)

    @property
    def frames_per_s(self) -> float:
        """Delivered in a second, to all clients."""
        return self.delivered / self.server.seconds

    @property
    def bytes_per_s(self) -> float:
        """Delivered in a second, to all clients; over warm-up and window, as bytes are counted."""
        share = self.load.ticks / self.load.last
        return self.received_bytes * share / self.server.seconds

    @property
    def others(self) -> float:
        """CPU of everything on this machine that is not the benchmark's, in % of one core."""
        return max(0.0, self.server.machine - self.server.total - sum(self.readers.values()))

    @property
    def counts(self) -> str:
        """`yes`; `no` when it was not the server that was measured; `behind` when it did not keep
        up, so that part of its work was done after the window and its cost is higher than told;
        `noisy` when others were busy, so that delivery counts and time does not; `full` when all
        cores were busy with the benchmark itself, so that time is more than it need be."""
        if self.notes:
            return "no"
        if self.latency.percentile_ns(50) > _BEHIND_NS:
            return "behind"
        if self.others > _NOISE:
            return "noisy"
        return "full" if self.server.machine > self.server.cores * _FULL else "yes"

    @property
    def sound(self) -> bool:
        """Whether nothing was lost, doubled or disordered, as far as the run counts."""
        whole = self.ratio == 1 or bool(self.notes)
        return whole and not self.duplicates and not self.disordered


class Row(NamedTuple):
    """A load, and what each contender did with it, round by round."""

    load: Load
    rounds: dict[str, list[Result]]
    hubs: Sequence[str]  # which of them are hubs

    @property
    def results(self) -> dict[str, Result]:
        """All rounds of each as one."""
        return {name: together(results) for name, results in self.rounds.items()}


def together(results: Sequence[Result]) -> Result:
    """Several rounds as one: counts added up, CPU and the like on the average."""
    first = results[0]
    latency, warm_up = Histogram(), Histogram()
    for result in results:
        latency.merge(result.latency)
        warm_up.merge(result.warm_up)
    count = len(results)
    return first._replace(
        delivered=sum(result.delivered for result in results),
        early=sum(result.early for result in results),
        duplicates=sum(result.duplicates for result in results),
        disordered=sum(result.disordered for result in results),
        latency=latency,
        warm_up=warm_up,
        server=usage.together([result.server for result in results]),
        readers={
            name: sum(result.readers.get(name, 0.0) for result in results) / count
            for name in first.readers
        },
        received_bytes=sum(result.received_bytes for result in results),
        notes=[note for result in results for note in result.notes],
        rounds=count,
    )


def ratio(ours: float, theirs: float) -> float:
    """How many times as much; 0 when there is nothing to compare with."""
    return ours / theirs if theirs else 0.0


def limits(cpu: Mapping[str, float], stretch: float, late_ms: float) -> list[str]:
    """Where it was not the server that was measured: a process of ours was busy all the time, or
    the load was published too slowly."""
    notes = [
        f"{name} at {percent:.0f} %: the limit"
        for name, percent in cpu.items()
        if percent > _LIMITED
    ]
    if stretch > 1.01:
        held_up = cpu.get("publisher", _LIMITED) < _LIMITED / 2
        why = ": not busy, but held up by the server or the machine" if held_up else ""
        notes.append(f"published {(stretch - 1) * 100:.0f} % too slowly{why}")
    elif late_ms > _LATE_MS:
        notes.append(f"published up to {late_ms:.0f} ms late")
    return notes
