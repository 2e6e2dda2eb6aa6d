"""What all adapters of the miniature do: tokens from the database, ticks from own threads."""

import itertools
import os
import threading
import time
from pathlib import Path

import mischief
from database.auth_db import get_auth_token, get_feed_token
from websocket_proxy.base_adapter import BaseBrokerWebSocketAdapter
from websocket_proxy.mapping import SymbolMapper

MODES = {1: "LTP", 2: "QUOTE", 3: "DEPTH"}
EVERY_S = 0.1
_born = itertools.count(1)


class MarketAdapter(BaseBrokerWebSocketAdapter):
    """Every subscribed (symbol, mode) ticks some times a second, its `n` counting up."""

    def __init__(self):
        super().__init__()
        self.user = ""
        self.name = f"{os.getpid()}.{next(_born)}"
        self.running = False
        self.counters = {}

    def initialize(self, broker_name, user_id, auth_data=None):
        self.user = user_id
        token = get_auth_token(user_id)
        facts = {"broker": broker_name, "token": token, "feed_token": get_feed_token(user_id)}
        facts["class"] = type(self).__name__
        answer = mischief.meet(user_id, "initialize", adapter=id(self), **facts)
        if answer is None and token is None:
            raise ValueError(f"no token for {user_id}")
        return answer

    def connect(self):
        answer = mischief.meet(self.user, "connect", adapter=id(self), cwd=str(Path.cwd()))
        print(f"{self.user} connects")
        os.write(1, b"a library connects\n")
        if answer is None:
            self.running = self.connected = True
            for number in range(mischief.told(self.user, "publish").get("threads", 1)):
                threading.Thread(target=self._publish, args=(number,), daemon=True).start()
        return answer

    def disconnect(self):
        self.running = self.connected = False
        self.cleanup_zmq()
        mischief.meet(self.user, "disconnect", adapter=id(self))

    def subscribe(self, symbol, exchange, mode=2, depth_level=5):
        facts = {"exchange": exchange, "mode": mode, "depth": depth_level, "adapter": id(self)}
        answer = mischief.meet(self.user, "subscribe", symbol, **facts)
        if answer is not None:
            return answer
        if not SymbolMapper.get_token_from_symbol(symbol, exchange):
            return self._create_error_response("SYMBOL_NOT_FOUND", f"no symbol {symbol}")
        self.subscriptions[symbol, exchange, mode] = depth_level
        self.counters.setdefault((symbol, exchange, mode), itertools.count())
        depth = mischief.told(self.user, "subscribe").get("depth")
        more = {"actual_depth": depth} if depth is not None and mode == 3 else {}
        return self._create_success_response("subscribed", **more)

    def unsubscribe(self, symbol, exchange, mode=2):
        answer = mischief.meet(
            self.user, "unsubscribe", symbol, exchange=exchange, mode=mode, adapter=id(self)
        )
        self.subscriptions.pop((symbol, exchange, mode), None)
        return answer or {"status": "warning", "message": "unsubscribed"}

    def subscribed(self):
        return list(self.subscriptions)

    def _publish(self, number):
        while self.running:
            orders = mischief.told(self.user, "publish")
            if orders.get("die"):
                self.connected = False
                raise SystemExit
            for symbol, exchange, mode in self.subscribed():
                data = {
                    "symbol": symbol,
                    "exchange": exchange,
                    "n": next(self.counters[symbol, exchange, mode]),
                    "thread": number,
                    "ltp": 1.5,
                    "user": self.user,
                    "adapter": self.name,
                }
                topic = f"{exchange}_{symbol}_{MODES[mode]}"
                if orders.get("odd"):
                    self.publish_market_data(topic, {"odd": object()})
                self.publish_market_data(topic, data)
            for kind in orders.get("private", ()):
                self.publish_market_data(f"broker_{kind}", {"kind": kind})
            time.sleep(EVERY_S)


class CoolingAdapter(MarketAdapter):
    """An adapter of a broker that does not like to be connected again soon."""

    def unsubscribe_all(self):
        mischief.meet(self.user, "unsubscribe_all", adapter=id(self))
        self.subscriptions.clear()


class LeavingAdapter(MarketAdapter):
    """Hangs up with its last symbol, and connects again by itself."""

    def subscribe(self, symbol, exchange, mode=2, depth_level=5):
        if not self.connected:
            self.connect()
        return super().subscribe(symbol, exchange, mode, depth_level)

    def unsubscribe(self, symbol, exchange, mode=2):
        answer = super().unsubscribe(symbol, exchange, mode)
        if not self.subscriptions:
            self.running = self.connected = False
        return answer


class CopyingAdapter(MarketAdapter):
    """Keeps every subscribe as an entry of its own, and ticks for each; unsubscribe takes one."""

    def subscribe(self, symbol, exchange, mode=2, depth_level=5):
        answer = super().subscribe(symbol, exchange, mode, depth_level)
        if self.subscriptions.pop((symbol, exchange, mode), None) is not None:
            entry = {"symbol": symbol, "exchange": exchange, "mode": mode}
            self.subscriptions[f"{symbol}_{next(_born)}"] = entry
        return answer

    def unsubscribe(self, symbol, exchange, mode=2):
        super().unsubscribe(symbol, exchange, mode)
        entry = {"symbol": symbol, "exchange": exchange, "mode": mode}
        for name, present in list(self.subscriptions.items()):
            if present == entry:
                del self.subscriptions[name]
                return self._create_success_response("unsubscribed")
        return self._create_error_response("NOT_SUBSCRIBED", "not subscribed")

    def subscribed(self):
        return [tuple(entry.values()) for entry in list(self.subscriptions.values())]
