"""The brokers there are, by name. One is imported when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterable

from hub.brokers.base import Broker
from hub.core.settings import BROKERS

NAMES = BROKERS


def get(name: str) -> Broker:
    """The broker of that name, one of NAMES."""
    found: Broker = importlib.import_module(f"hub.brokers.{name}").BROKER
    return found


def of_feed(name: str) -> list[str]:
    """The brokers of a feed's name, such as `angel` or `angel-zerodha`; none when it is no such
    name."""
    parts = name.split("-")
    known = all(part in NAMES for part in parts)
    return parts if known and len(set(parts)) == len(parts) else []


def among(feeds: Iterable[str]) -> list[str]:
    """The brokers of those feeds."""
    return list(dict.fromkeys(broker for feed in feeds for broker in of_feed(feed)))
