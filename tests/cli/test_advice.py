"""What the figures of `hub cpu` mean."""

from __future__ import annotations

from cli.advice import advice
from hub.monitor.usage import Row


def row(process: str, cpu: float) -> Row:
    return Row(process, 1, cpu, 0.0, 0, 1, 0.0, 0.0, None, None, None, None, None)


def test_a_shard_far_above_the_mean_is_named_with_who_makes_it_so() -> None:
    rows = [row("router", 20), row("shard-0", 20), row("shard-1", 20), row("shard-2", 38)]
    found = advice(rows, {"shard-2": {"clients": 3, "share": 0.714}}, 8)
    assert found == ["shard 2 is 46 % above the mean: 3 clients hold 71 % of its deliveries"]
    found = advice(rows, {"shard-2": {"clients": 1, "share": 0.5}}, 8)
    assert found == ["shard 2 is 46 % above the mean: 1 client holds 50 % of its deliveries"]
    assert advice(rows, {}, 8) == ["shard 2 is 46 % above the mean"]


def test_even_shards_and_idle_ones_are_not_worth_a_word() -> None:
    assert advice([row("shard-0", 20), row("shard-1", 24)], {}, 8) == []
    assert advice([row("shard-0", 1), row("shard-1", 9)], {}, 8) == []
    assert advice([row("shard-0", 50)], {}, 8) == []
    assert advice([], {}, 8) == []


def test_a_full_router_comes_first() -> None:
    first, second = advice([row("router", 85), row("shard-0", 10), row("shard-1", 60)], {}, 8)
    assert "router uses 85 % of a core" in first
    assert second.startswith("shard 1")


def test_full_shards_are_told_of_idle_cores_or_that_there_are_none() -> None:
    rows = [row("shard-0", 90), row("shard-1", 95)]
    assert advice(rows, {}, 8) == ["all shards are busy and 6 cores are idle: try `--shards 8`"]
    assert advice(rows, {}, 2) == ["all shards are busy, and so are the 2 cores of this machine"]
