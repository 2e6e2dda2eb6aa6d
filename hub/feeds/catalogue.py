"""The feeds there are, by name."""

from __future__ import annotations

import difflib
from collections import Counter
from datetime import UTC, datetime, timedelta

from hub.brokers import catalogue as brokers
from hub.core.errors import ConfigError
from hub.core.settings import NATS, Settings
from hub.feeds import holidays, openalgo, replay
from hub.feeds.base import Feed
from hub.feeds.bus import BusFeed
from hub.feeds.nats import NatsFeed
from hub.feeds.sim import SimFeed

NAMES = ("bus", "sim", replay.NAME, openalgo.NAME, NATS, *brokers.NAMES)
"""A feed may also be several brokers in one, as `angel-zerodha`."""

_IST = timedelta(hours=5, minutes=30)
_APART = "binance"
"""The broker that has no exchange in common with another."""


def check(settings: Settings) -> None:
    """Raises ConfigError when there is no feed of one of the names in the settings, one is named
    twice, two have the same symbols, the calendar is none, there is nothing to replay, or
    OpenAlgo's adapters cannot be run."""
    names = settings.hub.feeds
    native = [name for name in names if brokers.of_feed(name)]
    problems = [_unknown(name) for name in names if name not in NAMES and name not in native]
    problems += [
        f"hub.feeds: feed {name} is named twice; once is enough"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    twice = Counter(broker for name in native for broker in brokers.of_feed(name))
    problems += [
        f"hub.feeds: {broker} is in two feeds; an account is one feed's"
        for broker, times in twice.items()
        if times > 1
    ]
    alike = [name for name in dict.fromkeys(native) if name != _APART]
    if len(alike) > 1 and not problems:
        problems.append(
            f"hub.feeds: {' and '.join(alike)} have the same symbols, and clients would get the "
            f"ticks of both, mixed; make them one feed, {'-'.join(alike)}"
        )
    problems += filter(None, [holidays.problem(settings.market.calendar)])
    if replay.NAME in names:
        problems += replay.problems(settings)
    if problems:
        raise ConfigError(problems)
    for broker in twice:
        from hub.credentials.provider import providers  # noqa: PLC0415  # only a broker has any

        providers(brokers.get(broker), settings)
    if openalgo.NAME in names:
        openalgo.find(settings)


def make(name: str, settings: Settings) -> Feed:
    """The feed of that name. Raises ConfigError when there is none."""
    if name == "bus":
        return BusFeed()
    if name == "sim":
        sim = settings.sim
        return SimFeed(sim.symbols, sim.rate, sim.seed, (datetime.now(UTC) + _IST).date())
    if name == replay.NAME:
        return replay.ReplayFeed(settings)
    if name == openalgo.NAME:
        return openalgo.OpenAlgoFeed(settings)
    if name == NATS:
        return NatsFeed(settings)
    if brokers.of_feed(name):
        from hub.feeds.native.feed import NativeFeed  # noqa: PLC0415  # it brings much along

        return NativeFeed(name, settings)
    raise ConfigError([_unknown(name)])


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), NAMES, 1, 0.5)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"hub.feeds: there is no feed {name!r}; there are {', '.join(NAMES)}{hint}"
