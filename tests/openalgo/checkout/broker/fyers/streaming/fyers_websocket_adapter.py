"""The adapter is in a module that is not named by the rule."""

from broker.market import MarketAdapter


class FyersWebSocketAdapter(MarketAdapter):
    pass
