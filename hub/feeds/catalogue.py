"""The feeds there are, by name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hub.core.config import Settings
from hub.core.errors import ConfigError
from hub.feeds.base import Feed
from hub.feeds.bus import BusFeed
from hub.feeds.sim import SimFeed

NAMES = ("bus", "sim")
_IST = timedelta(hours=5, minutes=30)


def make(name: str, settings: Settings) -> Feed:
    """The feed of that name. Raises ConfigError when there is none."""
    if name == "bus":
        return BusFeed()
    if name == "sim":
        sim = settings.sim
        return SimFeed(sim.symbols, sim.rate, sim.seed, (datetime.now(UTC) + _IST).date())
    raise ConfigError([f"hub.feeds: there is no feed {name}; there are {', '.join(NAMES)}"])
