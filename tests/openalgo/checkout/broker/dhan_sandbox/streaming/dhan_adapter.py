"""Another broker's, left lying here."""

from broker.market import MarketAdapter


class DhanWebSocketAdapter(MarketAdapter):
    pass
