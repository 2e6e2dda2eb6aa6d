"""docs/grafana.json and docs/alerts.yml, held to what the hub tells Prometheus.

1. Prometheus's own promtool finds the rules valid, and they alarm when tests/alerts*.test.yml say.
2. Every metric that a rule or a panel names is told by the hub, and with the labels they use.
3. Whoever imports the dashboard is asked for nothing but a data source.
4. docs/operations.md lists every metric, and its configuration of Prometheus is valid.
"""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from hub.core.histogram import Histogram
from hub.core.journey import HOPS
from hub.monitor import metrics
from hub.monitor.latencies import Latencies
from hub.monitor.metrics import FIGURES
from tests.promtool import needs_promtool, promtool
from tests.test_docs import bare, block, table

TESTS = Path(__file__).parent
DOCS = TESTS.parent / "docs"
ALERTS = (DOCS / "alerts.yml").read_text(encoding="utf-8")
BOARD: dict[str, Any] = json.loads((DOCS / "grafana.json").read_text(encoding="utf-8"))
FEED = {"name": "sim", "state": "connected", "ticks": 5, "last_tick_s": 0.25}
OPERATIONS = "docs/operations.md"
JOB = "shardhub"
PROMETHEUS_OWN = {"instance", "job", "le"}


def exposed() -> str:
    """Everything that the hub may tell."""
    figures = {figure.source: 5 for figure in FIGURES}
    figures |= {f"nats_{way}_{what}": 5 for way in ("in", "out") for what in ("msgs", "bytes")}
    names = ("supervisor", "router", "feed-sim", "shard-0", "uplink", "monitor")
    rows = [
        {"name": name, "role": name.partition("-")[0], "state": "ready"} | figures for name in names
    ]
    took = Histogram()
    took.add(250)
    kept = Latencies()
    kept.heard("shard-0", 7, {"latency": {"total": took.encode()}}, 100.0)
    return metrics.text("1.2", rows, [FEED], kept).decode()


def families() -> dict[str, Metric]:
    return {metric.name: metric for metric in text_string_to_metric_families(exposed())}


def labels() -> dict[str, set[str]]:
    """The series that there are, by name, with their labels."""
    found: dict[str, set[str]] = {}
    for metric in families().values():
        for sample in metric.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for panel in BOARD["panels"] if panel["type"] != "row"]


def queries() -> list[str]:
    """All that the dashboard asks Prometheus."""
    asked = [target["expr"] for panel in panels() for target in panel["targets"]]
    return asked + [one["expr"] for one in BOARD["annotations"]["list"]]


def series(query: str) -> set[str]:
    return set(re.findall(r"\bshardhub_\w+", query))


@needs_promtool
def test_the_rules_are_valid() -> None:
    assert "SUCCESS" in promtool("check", "rules", str(DOCS / "alerts.yml"))


@needs_promtool
@pytest.mark.parametrize("name", ["alerts.test.yml", "alerts.week.test.yml"])
def test_the_rules_alarm_when_they_should_and_not_before(name: str) -> None:
    assert "SUCCESS" in promtool("test", "rules", str(TESTS / name))


@needs_promtool
def test_what_is_told_is_as_prometheus_likes_it() -> None:
    assert promtool("check", "metrics", given=exposed()) == ""


@needs_promtool
def test_the_configuration_that_operations_shows_is_valid(tmp_path: Path) -> None:
    shown = block(OPERATIONS, "prometheus.yml")
    there = re.sub(r"/etc/prometheus/\S+\.yml", str(DOCS / "alerts.yml"), shown)
    (tmp_path / "prometheus.yml").write_text(there, encoding="utf-8")
    said = promtool("check", "config", str(tmp_path / "prometheus.yml"))
    assert "rules found" in said
    assert f"job_name: {JOB}\n" in shown
    assert f'up{{job="{JOB}"}}' in ALERTS


def test_operations_lists_every_metric_and_what_it_says() -> None:
    listed = {bare(name): (kind, of, text) for name, kind, of, text in table(OPERATIONS, "metric")}
    for name, metric in families().items():
        kind, _, text = listed.pop(name + "_total" * (metric.type == "counter"))
        assert kind == metric.type, name
        assert name == "shardhub_info" or text.rstrip(".") in metric.documentation, name
    assert listed == {}, "what the hub does not tell"


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_operations_says_of_whom_a_figure_is(figure: metrics.Figure) -> None:
    name = f"shardhub_{figure.name}" + "_total" * figure.counter
    (of,) = [row[2] for row in table(OPERATIONS, "metric") if bare(row[0]) == name]
    roles = (
        {"supervisor", "router", "feed", "shard", "uplink", "monitor"}
        if of == "all"
        else of.split(", ")
    )
    assert {*roles} == {*figure.roles}


def test_operations_explains_every_hop() -> None:
    assert [bare(row[0]) for row in table(OPERATIONS, "`hop`")] == [*HOPS]


def rules() -> list[str]:
    """The text of each alert."""
    return re.split(r"^ +- alert: ", ALERTS, flags=re.MULTILINE)[1:]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.split("\n")[0])
def test_each_alert_waits_is_graded_and_says_what_to_do(rule: str) -> None:
    assert re.search(r"^ +for: \d+m$", rule, re.MULTILINE)
    assert re.search(r"^ +severity: (warning|critical)$", rule, re.MULTILINE)
    assert re.search(r"^ +summary: \S", rule, re.MULTILINE)
    _, _, advice = rule.partition("description:")
    assert len(advice.split()) > 12, "a sentence on what to do"


def test_each_alert_is_tried() -> None:
    tried = (TESTS / "alerts.test.yml").read_text(encoding="utf-8")
    for rule in rules():
        assert rule.split("\n")[0] in tried


def test_rules_name_what_the_hub_tells() -> None:
    named = series(ALERTS)
    assert len(named) > 10
    assert named <= labels().keys()


def test_panels_name_what_the_hub_tells() -> None:
    named = set().union(*map(series, queries()))
    assert len(named) > 20
    assert named <= labels().keys()


def test_what_is_told_is_on_the_dashboard() -> None:
    """But for what says less than something that is."""
    shown = {re.sub(r"_bucket$", "", name) for name in set().union(*map(series, queries()))}
    told = {re.sub(r"_(bucket|count|sum)$", "", name) for name in labels()} - {"shardhub_info"}
    assert told - shown <= {
        "shardhub_threads", "shardhub_restarts_total", "shardhub_topics",
        "shardhub_bus_messages_total", "shardhub_messages_sent_total", "shardhub_faults_total",
        "shardhub_pauses_total",
    }  # fmt: skip


@pytest.mark.parametrize("query", queries())
def test_queries_use_labels_that_their_series_have(query: str) -> None:
    known = labels()
    for name, selector in re.findall(r"\b(shardhub_\w+)(?:\{([^}]*)\})?", query):
        used = set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", selector))
        assert used <= known[name] | PROMETHEUS_OWN, f"{name} in {query}"
        assert 'instance=~"$instance"' in selector, "the dashboard's own choice of a hub"
    for grouped in re.findall(r"\bby \(([^)]*)\)", query):
        have = set().union(*(known[name] for name in series(query)))
        assert {one.strip() for one in grouped.split(",")} <= have | PROMETHEUS_OWN
    counters = {name for name in series(query) if name.endswith(("_total", "_bucket"))}
    if counters:
        assert re.search(r"\b(rate|increase)\(", query), "a counter is no figure by itself"


def test_the_dashboard_asks_for_a_data_source_and_nothing_else() -> None:
    text = json.dumps(BOARD)
    assert set(re.findall(r"\$\{(\w+)\}", text)) == {"datasource"}
    variables = {one["name"]: one for one in BOARD["templating"]["list"]}
    assert [*variables] == ["datasource", "instance"]
    assert variables["datasource"]["type"] == "datasource"
    assert variables["instance"]["definition"] == "label_values(shardhub_info, instance)"
    for panel in panels():
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}


def test_panels_stand_beside_and_below_each_other_and_say_what_they_show() -> None:
    places = [(panel["title"], panel["gridPos"]) for panel in BOARD["panels"]]
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(places)
    for _, place in places:
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
    for (one, a), (other, b) in combinations(places, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        below = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert beside or below, f"{one} covers {other}"
    rows = [panel["title"] for panel in BOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Overview", "Latency", "Shards", "Feeds", "Clients", "Several machines"]
    for panel in panels():
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"].get("unit") or panel["type"] in {
            "heatmap", "state-timeline",
        }  # fmt: skip


def test_latencies_are_shown_as_quantiles_over_what_can_be_added_up_and_as_a_heatmap() -> None:
    quantiles = [query for query in queries() if "histogram_quantile" in query]
    assert len(quantiles) >= 5
    for query in quantiles:
        assert re.search(r"sum by \([^)]*\ble\b[^)]*\) \(rate\(", query), query
    (heatmap,) = [panel for panel in panels() if panel["type"] == "heatmap"]
    assert heatmap["targets"][0]["format"] == "heatmap"
