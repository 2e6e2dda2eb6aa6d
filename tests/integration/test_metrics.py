"""What a real hub tells Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from urllib.request import urlopen

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from hub.core.names import UPLINK
from hub.monitor.metrics import FIGURES
from hub.runtime.process import free_port
from tests.integration.harness import Hub, eventually
from tests.promtool import needs_promtool, promtool


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """The address of a hub's page; one client holds symbols of the simulator all the time."""
    port = free_port("127.0.0.1", 0, "page.port")
    hub = Hub({"hub.shards": 2, "page.enabled": True, "page.port": port, "sim.rate": 200})
    address = f"http://127.0.0.1:{port}"

    async def main() -> None:
        await hub.all_serve()
        async with hub.client("simon") as client:
            await client.subscribe("RELIANCE", "SBIN")
            reading = asyncio.create_task(client.until(lambda _: False))
            await asyncio.to_thread(eventually, lambda: is_known(address), "all is known")
            reading.cancel()

    try:
        hub.start()
        asyncio.run(main())
        yield address
        assert hub.stop() == 0, hub.log()
    finally:
        hub.discard()


def scrape(address: str) -> str:
    with urlopen(f"{address}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def families(text: str) -> dict[str, Metric]:
    return {
        metric.name.removeprefix("shardhub_"): metric
        for metric in text_string_to_metric_families(text)
    }


def is_known(address: str) -> bool:
    """Whether ticks were timed all the way, and the simulator was seen to tick."""
    try:
        found = families(scrape(address))
    except OSError:
        return False
    timed = {one.labels["hop"] for one in found["tick_hop_seconds"].samples if one.value}
    return "total" in timed and bool(found["feed_last_tick_seconds"].samples)


def test_each_figure_is_told_of_each_process_that_has_it(served: str) -> None:
    """A figure whose name in the heartbeats is another would never be told. This hub is alone:
    test_cluster.py has those of the way to others."""
    found = families(scrape(served))
    for figure in FIGURES:
        told = {sample.labels["role"] for sample in found[figure.name].samples}
        if figure.name == "restarts":
            assert told == {"router", "feed", "shard", "monitor"}, "nobody restarts the supervisor"
        else:
            alone = figure.name.startswith("nats_")
            assert told == (set() if alone else {*figure.roles} - {UPLINK}), figure.name
    assert {one.value for one in found["up"].samples} == {1.0}
    assert {one.labels["feed"] for one in found["feed_connected"].samples} == {"bus", "sim"}
    assert {one.labels["feed"] for one in found["feed_ticks"].samples} == {"bus", "sim"}
    assert {one.labels["feed"] for one in found["feed_last_tick_seconds"].samples} == {"sim"}


def test_what_only_grows_does_so(served: str) -> None:
    first, second = families(scrape(served)), families(scrape(served))
    for name, metric in first.items():
        if metric.type in {"counter", "histogram"}:
            after = {(one.name, *one.labels.values()): one.value for one in second[name].samples}
            for one in metric.samples:
                assert after[one.name, *one.labels.values()] >= one.value


def test_a_tick_that_is_timed_is_in_all_hops(served: str) -> None:
    hops = families(scrape(served))["tick_hop_seconds"].samples
    timed: dict[str, set[float]] = {}
    for one in hops:
        if one.name.endswith("_count") and one.labels["shard"] and one.labels["hop"] != "source":
            timed.setdefault(one.labels["shard"], set()).add(one.value)
    assert timed
    assert all(len(counts) == 1 for counts in timed.values())


@needs_promtool
def test_prometheus_likes_what_it_is_told(served: str) -> None:
    assert promtool("check", "metrics", given=scrape(served)) == ""
