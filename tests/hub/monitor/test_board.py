"""The board: what the monitor has heard and measured, put together."""

from __future__ import annotations

import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hub.core import config
from hub.core.histogram import Histogram
from hub.monitor.board import MOST, SECONDS, Board
from hub.monitor.monitor import _facts
from hub.monitor.record import Record
from tests.test_docs import table

EPOCH_S = 5000.0
FACTS = _facts(config.load(environ={}, flags={"hub.shards": 2, "hub.feeds": ["sim", "bus"]}))
WANTED = ("router", "feed-sim", "feed-bus", "shard-0", "shard-1")
COMES_IN = "in"


class Hub:
    """A hub of a router, two feeds and two shards, as its monitor hears it second by second."""

    def __init__(self, now_s: float = 100.0) -> None:
        self.record = Record(WANTED)
        self.board = Board(self.record, "1.2", FACTS)
        self.now_s = now_s
        self.pids = {name: 10 + number for number, name in enumerate(WANTED)}
        self.figures: dict[str, dict[str, Any]] = {name: {} for name in WANTED}
        self.cpu_s = dict.fromkeys(WANTED, 1.0)

    def beat(self, *names: str, **figures: Any) -> None:
        """These have counted so far, and say so with their next beats."""
        for name in names or WANTED:
            self.figures[name] |= figures

    def passes(self, seconds: int = 1, *, without: tuple[str, ...] = ()) -> Hub:
        """So many seconds pass, without beats and processes of some."""
        for _ in range(seconds):
            self.now_s += 1.0
            measured = {}
            for name, pid in self.pids.items():
                if name not in without:
                    self.record.heard(name, pid, dict(self.figures[name]), self.now_s)
                    self.board.latencies.heard(name, pid, self.figures[name], self.now_s)
                    measured[name] = self.cost(name)
            self.record.take(measured, self.now_s)
            self.board.take(self.now_s, EPOCH_S)
        return self

    def cost(self, name: str) -> dict[str, Any]:
        """What psutil says of a process."""
        return {"cpu_s": self.cpu_s[name], "rss": 1000, "threads": 2, "age_s": 50.0}

    def told(self) -> dict[str, Any]:
        """The board."""
        return self.board.board(self.now_s, EPOCH_S)

    def row(self, name: str) -> dict[str, Any]:
        """One process of the board."""
        found: dict[str, Any]
        (found,) = [row for row in self.told()["processes"] if row["name"] == name]
        return found

    def feed(self, name: str) -> dict[str, Any]:
        """One feed of the board."""
        found: dict[str, Any]
        (found,) = [feed for feed in self.told()["feeds"] if feed["name"] == name]
        return found

    def supervised(self, **states: tuple[str, int]) -> None:
        """The supervisor says how its children are."""
        told = {
            name.replace("_", "-"): {"state": state, "pid": pid, "restarts": 0, "last_code": None}
            for name, (state, pid) in states.items()
        }
        self.record.heard("supervisor", 1, {"children": told}, self.now_s)


def latency(*us: float) -> dict[str, list[float]]:
    found = Histogram()
    for one in us:
        found.add(one)
    return {"total": found.encode()}


def test_before_anything_is_known_it_says_so() -> None:
    board = Board(Record(), "1.2", FACTS).board(100.0, EPOCH_S)
    assert (board["level"], board["reasons"]) == ("bad", ["nothing is known yet"])
    assert (board["processes"], board["feeds"], board["events"]) == ([], [], [])


def test_it_has_the_fields_that_the_page_shows() -> None:
    hub = Hub()
    hub.beat("router", window_ms=2.0)
    board = hub.passes(2).told()
    assert [*board] == [
        "at", "version", "hub", "level", "reasons", "totals", "latency", "processes", "feeds",
        "hottest", "slowest", "events",
    ]  # fmt: skip
    assert (board["at"], board["version"]) == (EPOCH_S, "1.2")
    assert board["hub"] == FACTS | {"window_ms": 2.0}
    assert (board["level"], board["reasons"]) == ("ok", [])
    assert [event["text"] for event in board["events"]] == ["is here"] * 5


def test_processes_tell_what_they_cost_and_how_they_are() -> None:
    hub = Hub().passes(3)
    hub.cpu_s["shard-0"] += 1.8
    hub.passes(2)
    row = hub.row("shard-0")
    assert row["cpu_percent"] == pytest.approx(90.0)
    assert (row["rss"], row["threads"], row["level"]) == (1000, 2, "warn")
    assert hub.row("shard-1")["level"] == "ok"
    board = hub.told()
    assert (board["level"], board["reasons"]) == ("warn", ["shard-0 uses 90 % of a core"])


def test_counters_become_rates_over_two_seconds() -> None:
    hub = Hub().passes(2)
    for second in range(3):
        hub.beat("router", bus=100 * second, conflated=10 * second)
        hub.beat("feed-sim", dropped=5 * second, out=40 * second)
        hub.passes()
    assert (hub.row("router")["bus_s"], hub.row("router")["conflated_s"]) == (100.0, 10.0)
    assert hub.row("feed-sim")["dropped_s"] == 5.0
    assert (hub.feed("bus")["in_s"], hub.feed("sim")["in_s"]) == (100.0, 40.0)
    assert "bus_s" not in hub.row("shard-0")


def test_totals_are_of_the_router_where_it_counts_once_and_of_all_shards() -> None:
    hub = Hub()
    hub.beat("shard-0", "shard-1", clients=3, behind=1, symbols=40, out=0, conflated=0)
    hub.beat("router", symbols=70, **{COMES_IN: 0})
    hub.beat("feed-sim", dropped=4)
    hub.passes(3)
    hub.beat("shard-0", "shard-1", out=200, conflated=20)
    hub.beat("router", **{COMES_IN: 300})
    found = hub.passes(2).told()["totals"]
    assert found == {
        "in_s": 150.0, "out_s": 200.0, "clients": 6, "symbols": 70, "cpu_percent": 0.0,
        "rss": 5000, "behind": 2, "conflated_s": 20.0, "dropped": 4,
    }  # fmt: skip


def test_clients_of_a_shard_that_is_gone_are_not_counted() -> None:
    hub = Hub()
    hub.beat("shard-0", "shard-1", clients=250, behind=4)
    hub.passes(2).supervised(shard_0=("backoff", 0))
    assert hub.told()["totals"]["clients"] == 250
    hub = Hub()
    hub.beat("shard-0", "shard-1", clients=250)
    hub.passes(2).passes(4, without=("shard-0",))
    assert hub.row("shard-0")["state"] == "silent"
    assert hub.told()["totals"]["clients"] == 250


def test_one_that_has_never_come_makes_it_bad() -> None:
    """A hub of systemd whose shard-1 was never started seemed to be well."""
    hub = Hub()
    del hub.pids["shard-1"]
    hub.passes(2)
    assert (hub.told()["level"], hub.told()["reasons"]) == ("warn", ["shard-1 is waiting"])
    hub.passes(3)
    assert (hub.told()["level"], hub.told()["reasons"]) == ("bad", ["shard-1 says nothing"])


def test_reasons_begin_with_the_worst() -> None:
    hub = Hub()
    hub.beat("router", lag_ms=60.0)
    hub.beat("shard-1", lag_ms=300.0)
    assert [text.split()[0] for text in hub.passes(2).told()["reasons"]] == ["shard-1", "router"]


def test_latencies_are_of_the_last_seconds_and_of_all_shards_together() -> None:
    hub = Hub()
    hub.beat("shard-0", "shard-1", latency=latency(5))
    hub.beat("router", latency={"routed": latency(5)["total"]})
    hub.passes(2)
    hub.beat("shard-0", latency=latency(5, 100, 100))
    hub.beat("shard-1", latency=latency(5, 9000))
    board = hub.passes().told()
    assert board["latency"]["total"]["count"] == 3
    assert board["latency"]["total"]["p99_us"] >= 9000
    assert hub.row("shard-0")["latency"]["total"]["count"] == 2
    assert hub.row("feed-sim")["latency"] == {}
    assert "routed" not in board["latency"], "the shards count that hop, too"


def test_histories_are_two_minutes_long_and_have_holes_where_nothing_was_known() -> None:
    hub = Hub()
    hub.beat("shard-0", clients=3, latency=latency())
    hub.passes(SECONDS + 5)
    hub.beat("shard-0", latency=latency(100))
    hub.passes().passes(4, without=("shard-0",))
    found = hub.board.history()
    assert found["every_s"] == 1.0
    series = found["series"]["shard-0"]
    assert {len(values) for values in series.values()} == {SECONDS}
    assert series["clients"][0] == 3
    assert series["rss"][-5:] == [1000, None, None, None, None]
    assert (series["p99_us"][-6], series["p99_us"][-5]) == (None, pytest.approx(100, rel=0.2))
    assert found["series"]["router"]["clients"] == [None] * SECONDS


def test_a_feed_that_is_away_says_so_and_since_when_it_has_not_ticked() -> None:
    hub = Hub()
    hub.beat("feed-sim", feed_state="connected", out=5, symbols=2, limit=100, stale=0)
    hub.passes(2)
    hub.beat("feed-sim", out=9)
    hub.passes()
    found = hub.feed("sim")
    assert (found["state"], found["subscribed"], found["limit"]) == ("connected", 2, 100)
    assert (found["ticks"], found["last_tick_s"], found["level"]) == (9, 0.0, "ok")
    hub.passes(5, without=("feed-sim",))
    found = hub.feed("sim")
    assert (found["state"], found["ticks"], found["last_tick_s"]) == ("away", 9, 5.0)
    assert found["level"] == "bad"


def test_a_monitor_that_has_just_started_does_not_know_when_a_feed_ticked_last() -> None:
    """It said: just now, of feeds that had been quiet since yesterday."""
    hub = Hub()
    hub.beat("feed-sim", out=1_000_000)
    assert hub.passes(3).feed("sim")["last_tick_s"] is None
    hub.beat("feed-sim", out=1_000_001)
    assert hub.passes(3).feed("sim")["last_tick_s"] == 2.0


def test_a_feed_that_was_started_again_has_not_ticked_by_that() -> None:
    hub = Hub()
    hub.beat("feed-sim", out=50)
    hub.passes()
    hub.beat("feed-sim", out=60)
    hub.passes()
    hub.pids["feed-sim"] += 100
    hub.beat("feed-sim", out=0)
    found = hub.passes(4).feed("sim")
    assert (found["ticks"], found["last_tick_s"]) == (0, 4.0)
    hub.beat("feed-sim", out=3)
    assert hub.passes().feed("sim")["last_tick_s"] == 0.0


def test_ticks_of_the_bus_are_those_that_the_router_read_there() -> None:
    hub = Hub()
    hub.beat("feed-bus", out=0, feed_state="connected")
    hub.beat("router", bus=10)
    hub.passes(2)
    hub.beat("router", bus=12)
    found = hub.passes().feed("bus")
    assert (found["ticks"], found["in_s"], found["last_tick_s"]) == (12, 1.0, 0.0)


def client(peer: str, **figures: Any) -> dict[str, Any]:
    plain = {
        "client": peer, "behind": False, "conflated": 0, "unsent_bytes": 0, "out_s": 0.0,
        "share": 0.0,
    }  # fmt: skip
    return plain | figures


def test_the_hottest_topics_are_told_by_key_and_mode_while_they_are_news() -> None:
    hub = Hub().passes(2)
    rates = [(b"NSE_RELIANCE_LTP", 12.5), (b"\x1fu\x1fNSE_M&M_QUOTE", 3.0), (b"\xff", 1.0)]
    hub.board.looked("router", rates, [], hub.now_s)
    assert hub.told()["hottest"] == [
        {"key": "NSE_RELIANCE", "mode": "LTP", "rate": 12.5},
        {"key": "NSE_M&M", "mode": "QUOTE", "rate": 3.0},
        {"key": "\ufffd", "mode": "", "rate": 1.0},
    ]
    hub.board.looked("router", [], [], hub.now_s)
    assert len(hub.told()["hottest"]) == 3
    origins = [(b"\x1fu\x1fNSE_X_LTP", 2.0), (b"NSE_Y_LTP", 3.0), (b"\x1fv\x1fNSE_X_LTP", 1.5)]
    hub.board.looked("router", origins, [], hub.now_s)
    assert [(one["key"], one["rate"]) for one in hub.told()["hottest"]] == [
        ("NSE_X", 3.5),
        ("NSE_Y", 3.0),
    ], "a symbol of two origins is one to whoever reads it"
    hub.board.looked("router", [(b"NSE_X%d_LTP" % n, 1.0) for n in range(50)], [], hub.now_s)
    assert len(hub.told()["hottest"]) == MOST
    assert hub.passes(4).told()["hottest"] == []


def test_the_slowest_clients_are_those_of_all_shards_that_are_there() -> None:
    hub = Hub().passes(2)
    hub.board.looked("shard-0", [], [client("a", out_s=5.0), client("b", behind=True)], hub.now_s)
    hub.board.looked("shard-1", [], [client("c", conflated=3)], hub.now_s)
    found = [(one["client"], one["shard"]) for one in hub.told()["slowest"]]
    assert found == [("b", 0), ("c", 1), ("a", 0)]
    many = [client(str(n), unsent_bytes=n) for n in range(30)]
    hub.board.looked("shard-1", [], many, hub.now_s)
    assert len(hub.told()["slowest"]) == MOST
    hub.supervised(shard_0=("starting", 99))
    assert {one["shard"] for one in hub.told()["slowest"]} == {1}
    hub.board.looked("shard-1", [], [], hub.now_s)
    assert hub.told()["slowest"] == []
    assert hub.passes(4).told()["slowest"] == []


def test_who_gets_most_of_a_shard_is_told_of_it() -> None:
    hub = Hub().passes(2)
    shares = [client(str(n), share=share) for n, share in enumerate((0.1, 0.4, 0.3, 0.05, 0.0))]
    hub.board.looked("shard-0", [], shares, hub.now_s)
    found = hub.row("shard-0")["busiest"]
    assert found == {"clients": 3, "share": pytest.approx(0.8)}
    assert hub.row("shard-1")["busiest"] == {"clients": 0, "share": 0}


def exposed(hub: Hub) -> dict[str, dict[str, float]]:
    """The values for Prometheus, by name and then by process or feed."""
    text = hub.board.metrics(hub.now_s, EPOCH_S).decode()
    return {
        metric.name.removeprefix("shardhub_"): {
            "-".join(one.labels.get(name, "") for name in ("role", "shard", "feed")).strip("-"): (
                one.value
            )
            for one in metric.samples
        }
        for metric in text_string_to_metric_families(text)
    }


def test_prometheus_gets_counters_as_they_are_and_when_processes_began() -> None:
    hub = Hub()
    hub.beat(started_s=4000.5, out=70, **{COMES_IN: 90})
    found = exposed(hub.passes(3))
    assert found["cpu_seconds"]["shard-1"] == 1.0
    assert found["ticks_received"] == {"router": 90.0}
    assert found["shard_ticks_received"] == {"shard-0": 90.0, "shard-1": 90.0}
    assert found["ticks_delivered"] == {"shard-0": 70.0, "shard-1": 70.0}
    assert {*found["start_time_seconds"].values()} == {4000.5}


def test_prometheus_gets_restarts_of_those_that_a_supervisor_tells_of() -> None:
    """A counter that was 0 until the supervisor was heard seemed to jump as a monitor started."""
    hub = Hub().passes(2)
    assert exposed(hub)["restarts"] == {}
    hub.supervised(shard_0=("ready", hub.pids["shard-0"]))
    assert exposed(hub)["restarts"] == {"shard-0": 0.0}


def test_prometheus_gets_ticks_of_feeds_when_they_are_known() -> None:
    hub = Hub()
    hub.supervised(feed_sim=("ready", hub.pids["feed-sim"]))
    hub.board.take(hub.now_s, EPOCH_S)
    assert exposed(hub)["feed_ticks"] == exposed(hub)["feed_connected"] == {}
    hub.beat("feed-sim", out=1000, feed_state="connected")
    hub.passes()
    assert exposed(hub)["feed_ticks"] == {"sim": 1000.0}
    hub.passes(4, without=("feed-sim",))
    assert exposed(hub)["feed_ticks"] == {}
    assert exposed(hub)["feed_connected"] == {"sim": 0.0}


def test_operations_describes_every_field() -> None:
    hub = Hub().passes(2)
    hub.board.looked("router", [(b"NSE_X_LTP", 1.0)], [], hub.now_s)
    board = hub.told()
    rows = table("docs/operations.md", "field")
    fields = {name: what for names, what in rows for name in re.findall(r"`(\w+)`", names)}
    assert [*fields] == [*board]
    found = {name: set(re.findall(r"`(\w+)`", what)) for name, what in fields.items()}
    for name in ("hub", "totals"):
        assert found[name] == board[name].keys()
    for name in ("feeds", "hottest", "events"):
        assert board[name][0].keys() <= found[name], name
    mine = {"level", "cpu_percent", "rss", "threads", "latency", "busiest"}
    assert mine <= found["processes"]
    status = hub.record.status(hub.now_s, EPOCH_S)[0].keys()
    assert hub.row("router").keys() - status - mine <= {"bus_s", "conflated_s", "dropped_s"}
