"""Kept connected; an alias has the broker's name."""

from broker.market import CoolingAdapter as FlatTradeWebSocketAdapter

__all__ = ["FlatTradeWebSocketAdapter"]
