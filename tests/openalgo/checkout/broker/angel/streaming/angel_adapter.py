"""Named by the rule."""

from broker.market import MarketAdapter


class AngelWebSocketAdapter(MarketAdapter):
    pass
