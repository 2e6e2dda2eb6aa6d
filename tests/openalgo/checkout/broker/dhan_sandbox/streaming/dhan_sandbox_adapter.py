"""Named by the rule, underscore and all; sends on the socket itself."""

import json

from broker.market import MarketAdapter


class Dhan_sandboxWebSocketAdapter(MarketAdapter):
    def publish_market_data(self, topic, data):
        self.socket.send_multipart([topic.encode(), json.dumps(data).encode()])
