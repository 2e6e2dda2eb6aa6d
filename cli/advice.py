"""What the figures of `hub cpu` mean: sentences for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hub.monitor import health, usage
from hub.monitor.usage import Row

UNEVEN = 0.25
"""A shard that is so much above the mean of all shards is worth a word."""

_LEAST_PERCENT = 10.0
"""Below this much of a core nothing is."""


def uneven(rows: Sequence[Row]) -> tuple[Row, float] | None:
    """The busiest shard and by how much it is above the mean, if that is worth a word."""
    shards = [row for row in rows if usage.role(row.process) == "shard"]
    busiest = usage.busiest(shards)
    if busiest is None or len(shards) < 2 or busiest.cpu_percent < _LEAST_PERCENT:
        return None
    mean = sum(row.cpu_percent for row in shards) / len(shards)
    above = busiest.cpu_percent / mean - 1
    return (busiest, above) if above >= UNEVEN else None


def advice(rows: Sequence[Row], busiest: Mapping[str, Mapping[str, Any]], cores: int) -> list[str]:
    """What to look at, most urgent first. `busiest` says for a shard which part of its deliveries
    its few busiest clients are sent: {"shard-2": {"clients": 3, "share": 0.71}}."""
    return [*_router(rows), *_full(rows, cores), *_uneven(rows, busiest)]


def _router(rows: Sequence[Row]) -> list[str]:
    return [
        f"the router uses {row.cpu_percent:.0f} % of a core and there is only one router: ticks "
        "will wait in it. docs/performance.md says what it costs"
        for row in rows
        if row.process == "router" and row.cpu_percent >= health.BUSY_PERCENT
    ]


def _full(rows: Sequence[Row], cores: int) -> list[str]:
    """All shards are busy: more of them help, if there are cores."""
    shards = [row for row in rows if usage.role(row.process) == "shard"]
    if not shards or min(row.cpu_percent for row in shards) < health.BUSY_PERCENT:
        return []
    idle = cores - sum(row.cpu_percent for row in rows) / 100
    if idle >= 1:
        more = len(shards) + int(idle)
        return [f"all shards are busy and {idle:.0f} cores are idle: try `--shards {more}`"]
    return [f"all shards are busy, and so are the {cores} cores of this machine"]


def _uneven(rows: Sequence[Row], busiest: Mapping[str, Mapping[str, Any]]) -> list[str]:
    found = uneven(rows)
    if found is None:
        return []
    row, above = found
    sentence = f"{row.process.replace('-', ' ')} is {above:.0%} above the mean".replace("%", " %")
    few = busiest.get(row.process) or {}
    if few.get("clients"):
        clients = "1 client holds" if few["clients"] == 1 else f"{few['clients']} clients hold"
        sentence += f": {clients} {100 * few['share']:.0f} % of its deliveries"
    return [sentence]
