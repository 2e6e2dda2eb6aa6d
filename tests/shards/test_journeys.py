"""The ticks whose way is timed, on a shard."""

from __future__ import annotations

import pytest

from hub.core import journey, topics
from hub.core.errors import Malformed
from hub.core.histogram import Histogram
from hub.core.journey import Chosen
from shards.journeys import Journeys

A = b"NSE_A_LTP"


def batch(asker: str = "") -> list[bytes]:
    sample = journey.sample(Chosen(topics.scope("alice") + A, 1000, asker), 2000)
    return [topics.scope("alice") + A, b"{}", topics.SAMPLE, sample]


def total(journeys: Journeys) -> Histogram:
    return Histogram.decode(journeys.figures()["total"])


def test_a_tick_counts_when_it_is_written() -> None:
    journeys = Journeys("shard-1")
    journeys.framed(batch(), 3000, 4000, 0)
    assert not total(journeys).count
    assert journeys.written(9000) == []
    assert journeys.written(9500) == []
    assert total(journeys).count == 1
    assert total(journeys).sum_us == 8.0


def test_who_asked_is_told_and_it_counts_for_nobody_else() -> None:
    journeys = Journeys("shard-1")
    journeys.framed(batch("cli-5"), 3000, 4000, 0)
    (told,) = journeys.written(9000)
    assert told["to"] == "cli-5"
    assert (told["shard"], told["topic"], told["received_ns"]) == ("shard-1", A, 1000)
    assert told["took_us"]["written"] == 5.0
    assert not total(journeys).count


def test_a_topic_without_a_sample_is_refused() -> None:
    with pytest.raises(Malformed):
        Journeys("shard-1").framed([A, b"{}"], 0, 0, 0)
