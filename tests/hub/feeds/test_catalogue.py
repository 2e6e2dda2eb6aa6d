"""The feeds there are."""

from __future__ import annotations

import pytest

from hub.core.config import Settings
from hub.core.errors import ConfigError
from hub.feeds import catalogue


@pytest.mark.parametrize("name", catalogue.NAMES)
def test_every_name_makes_the_feed_of_that_name(name: str) -> None:
    assert catalogue.make(name, Settings()).name == name


@pytest.mark.parametrize("name", ["zerodha", "", "BUS", "sim "])
def test_an_unknown_name_is_a_config_error_that_names_those_there_are(name: str) -> None:
    with pytest.raises(ConfigError, match="there are bus, sim"):
        catalogue.make(name, Settings())


def test_a_feed_that_is_named_twice_is_told() -> None:
    """Two hosts of one feed would push each other out of the hub for ever."""
    with pytest.raises(ConfigError) as caught:
        catalogue.check(["sim", "bus", "sim"])
    assert caught.value.problems == ("hub.feeds: feed sim is named twice; once is enough",)


def test_all_unknown_names_are_told_at_once_each_with_the_nearest_there_is() -> None:
    catalogue.check(["sim", "bus"])
    with pytest.raises(ConfigError) as caught:
        catalogue.check(["sim", "BUS", "simm", "zerodha"])
    assert caught.value.problems == (
        "hub.feeds: there is no feed 'BUS'; there are bus, sim; did you mean bus?",
        "hub.feeds: there is no feed 'simm'; there are bus, sim; did you mean sim?",
        "hub.feeds: there is no feed 'zerodha'; there are bus, sim",
    )
