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
    with pytest.raises(ConfigError) as caught:
        catalogue.make(name, Settings())
    assert caught.value.problems == (f"hub.feeds: there is no feed {name}; there are bus, sim",)
