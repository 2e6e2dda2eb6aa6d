"""The feeds there are."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hub.core.errors import ConfigError
from hub.core.settings import BROKERS, NATS, Hub, OpenAlgo, Settings
from hub.feeds import catalogue
from tests.openalgo import Checkout

THERE = f"there are bus, sim, replay, openalgo, nats, {', '.join(BROKERS)}"


def settings(*feeds: str, path: str = "", python: str = "") -> Settings:
    return Settings(hub=Hub(feeds=list(feeds)), openalgo=OpenAlgo(path=path, python=python))


@pytest.fixture
def place(tmp_path: Path) -> dict[str, str]:
    """A checkout with a Python, as settings."""
    return {"path": str(Checkout(tmp_path).root), "python": sys.executable}


@pytest.mark.parametrize("name", [name for name in catalogue.NAMES if name != NATS])
def test_every_name_makes_the_feed_of_that_name(name: str, place: dict[str, str]) -> None:
    assert catalogue.make(name, settings(name, **place)).name == name


def test_adapters_that_cannot_be_run_are_told_before_anything_is_started(
    place: dict[str, str],
) -> None:
    catalogue.check(settings("openalgo", **place))
    for broken in ({}, place | {"path": "/nowhere"}, place | {"python": "/no/python"}):
        with pytest.raises(ConfigError):
            catalogue.check(settings("openalgo", **broken))


@pytest.mark.parametrize("name", ["kotak", "", "BUS", "sim "])
def test_an_unknown_name_is_a_config_error_that_names_those_there_are(name: str) -> None:
    with pytest.raises(ConfigError, match=THERE):
        catalogue.make(name, Settings())


def test_a_replay_needs_a_recording_before_anything_is_started() -> None:
    with pytest.raises(ConfigError, match=r"replay\.file: the feed replay needs a recording"):
        catalogue.check(settings("sim", "replay"))


def test_a_feed_that_is_named_twice_is_told() -> None:
    """Two hosts of one feed would push each other out of the hub for ever."""
    with pytest.raises(ConfigError) as caught:
        catalogue.check(settings("sim", "bus", "sim"))
    assert caught.value.problems == ("hub.feeds: feed sim is named twice; once is enough",)


def test_two_feeds_whose_ticks_would_be_mixed_are_told_to_be_one() -> None:
    with pytest.raises(ConfigError) as caught:
        catalogue.check(settings("angel", "sim", "zerodha-dhan"))
    (problem,) = caught.value.problems
    assert "angel and zerodha-dhan have the same symbols" in problem
    assert problem.endswith("make them one feed, angel-zerodha-dhan")
    catalogue.check(settings("angel", "binance", "sim"))


def test_all_unknown_names_are_told_at_once_each_with_the_nearest_there_is() -> None:
    catalogue.check(settings("sim", "bus"))
    with pytest.raises(ConfigError) as caught:
        catalogue.check(settings("sim", "BUS", "simm", "kotak"))
    assert caught.value.problems == (
        f"hub.feeds: there is no feed 'BUS'; {THERE}; did you mean bus?",
        f"hub.feeds: there is no feed 'simm'; {THERE}; did you mean sim?",
        f"hub.feeds: there is no feed 'kotak'; {THERE}",
    )
