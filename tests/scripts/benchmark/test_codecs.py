"""The benchmark of codecs counts what comes out; what it costs is for people to read."""

from __future__ import annotations

import importlib
import json

import pytest
from click.testing import CliRunner

from hub.brokers import catalogue
from hub.brokers.angel.codec import Codec
from scripts.benchmark import codecs
from scripts.benchmark.codecs import Cost, main, measure, table


def there(broker: str) -> bool:
    """Whether that broker has its codec and a fake server by now."""
    server = importlib.util.find_spec(f"tests.brokers.{codecs.server_of(broker)}")
    package = importlib.import_module(f"hub.brokers.{broker}")
    return server is not None and hasattr(package, "BROKER")


@pytest.mark.parametrize("broker", [name for name in catalogue.NAMES if there(name)])
@pytest.mark.parametrize("mode", codecs.MODES)
def test_all_ticks_come_out(broker: str, mode: int) -> None:
    cost = measure(broker, mode, 30, 600)
    assert cost.ticks == 600 <= cost.taken
    assert cost.whole, f"{cost.malformed} could not be read"
    assert 0 < cost.p50_us <= cost.p99_us
    assert cost.ratio > 0


def test_what_a_codec_leaves_out_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    read = Codec.receive
    monkeypatch.setattr(
        Codec,
        "receive",
        lambda self, data, now_ms, take: read(self, data[:60], now_ms, take),
    )
    result = CliRunner().invoke(main, ["angel", "--symbols", "5", "--rate", "1", "--json"])
    assert result.exit_code == 1
    costs = [Cost(**cost) for cost in json.loads(result.stdout)["costs"]]
    assert [(cost.mode, cost.taken, cost.malformed) for cost in costs] == [
        ("LTP", 20, 0),
        ("Quote", 0, 20),
        ("Depth", 0, 20),
    ]
    assert [cost.whole for cost in costs] == [True, False, False]


def test_a_table_has_a_line_for_each() -> None:
    costs = [Cost("angel", "Quote", 600, 590, 2.5, 3.75, 0.4, 10)]
    head, line = table(costs)
    assert head.split()[0] == "broker"
    assert line.split() == ["angel", "Quote", "2.50", "3.75", "0.40", "600", "590", "10"]


def test_it_says_what_it_ran_on() -> None:
    result = CliRunner().invoke(main, ["angel", "--symbols", "5", "--seconds", "1"])
    assert result.exit_code == 0, result.output
    assert "5 symbols, batches" in result.output
    assert "Python" in result.output


def test_only_known_brokers_are_measured() -> None:
    assert CliRunner().invoke(main, ["nobody"]).exit_code == 2
