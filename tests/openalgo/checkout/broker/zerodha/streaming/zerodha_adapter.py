"""The only adapter defined here, whatever its name."""

from broker.market import MarketAdapter


class KiteTickerAdapter(MarketAdapter):
    pass
