"""The brokers there are, by name. One is imported when it is asked for."""

from __future__ import annotations

import importlib

from hub.brokers.base import Broker

NAMES = ("angel", "flattrade", "shoonya", "fyers", "zerodha", "upstox", "dhan", "binance")


def get(name: str) -> Broker:
    """The broker of that name, one of NAMES."""
    found: Broker = importlib.import_module(f"hub.brokers.{name}").BROKER
    return found
