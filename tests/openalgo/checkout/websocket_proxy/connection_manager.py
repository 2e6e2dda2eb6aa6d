"""Several connections for one account: the pool's interface and its ladder of modes."""

import os
import threading

import zmq

_pooled_creation_context = threading.local()
_STALE = ("401", "403", "unauthorized", "token expired", "invalid token", "session expired")


class SharedZmqPublisher:
    """The process's own publisher; a host puts another one in its place."""

    def __init__(self):
        self.context = zmq.Context.instance()
        self.socket = self.context.socket(zmq.PUB)
        self.zmq_port = None
        self._connected = False

    def connect(self):
        raise RuntimeError("the shared publisher of the checkout was connected")

    def publish(self, topic, data):
        raise RuntimeError("the shared publisher of the checkout was used")

    def cleanup(self):
        self.socket.close(linger=0)


def _failed(answer):
    if answer and (answer.get("success") is False or answer.get("status") == "error"):
        return answer.get("message", answer.get("error", "failed"))
    return None


class ConnectionPool:
    def __init__(self, adapter_class, broker_name, user_id, max_symbols=None, max_connections=None):
        self.adapter_class = adapter_class
        self.broker_name = broker_name
        self.user_id = user_id
        self.max_symbols = max_symbols or int(os.environ["MAX_SYMBOLS_PER_WEBSOCKET"])
        self.max_connections = max_connections or int(os.environ["MAX_WEBSOCKET_CONNECTIONS"])
        self.lock = threading.RLock()
        self.adapters = []
        self.adapter_symbol_counts = []
        self.subscription_map = {}
        self.shared_publisher = SharedZmqPublisher()
        self.initialized = False
        self.connected = False

    def _create_adapter(self):
        self.shared_publisher.connect()
        _pooled_creation_context.active = True
        _pooled_creation_context.shared_publisher = self.shared_publisher
        try:
            return self.adapter_class()
        finally:
            _pooled_creation_context.active = False
            _pooled_creation_context.shared_publisher = None

    def initialize(self, broker_name=None, user_id=None, auth_data=None, force=False):
        with self.lock:
            if self.initialized and not force:
                return {"success": True, "message": "initialized before"}
            if self.initialized:
                self.disconnect()
            try:
                adapter = self._create_adapter()
                error = _failed(adapter.initialize(self.broker_name, self.user_id))
            except Exception as failure:
                error = str(failure)
            if error:
                return {"success": False, "error": error}
            self.adapters.append(adapter)
            self.adapter_symbol_counts.append(0)
            self.initialized = True
            return {"success": True, "message": "initialized"}

    def connect(self):
        if not self.initialized:
            return {"success": False, "error": "Not initialized"}
        with self.lock:
            try:
                error = _failed(self.adapters[0].connect())
            except Exception as failure:
                error = str(failure)
            if error:
                return {"success": False, "error": error}
            self.connected = True
            return {"success": True, "message": "connected"}

    def _place(self):
        for index, count in enumerate(self.adapter_symbol_counts):
            if count < self.max_symbols:
                return index
        if len(self.adapters) == self.max_connections:
            return None
        adapter = self._create_adapter()
        adapter.initialize(self.broker_name, self.user_id)
        adapter.connect()
        self.adapters.append(adapter)
        self.adapter_symbol_counts.append(0)
        return len(self.adapters) - 1

    def _modes(self, symbol, exchange):
        held = self.subscription_map.items()
        return {m: index for (s, e, m), index in held if (s, e) == (symbol, exchange)}

    def subscribe(self, symbol, exchange, mode=2, depth_level=5):
        with self.lock:
            present = self._modes(symbol, exchange)
            if mode in present:
                return {"status": "success", "message": "subscribed before"}
            if present and mode < max(present):
                self.subscription_map[symbol, exchange, mode] = present[max(present)]
                return {"status": "success", "message": "covered by a higher mode"}
            index = present[max(present)] if present else self._place()
            if index is None:
                text = f"Maximum capacity reached: {self.max_connections} connections"
                return {"status": "error", "code": "MAX_CAPACITY_REACHED", "message": text}
            try:
                answer = self.adapters[index].subscribe(symbol, exchange, mode, depth_level)
            except Exception as failure:
                answer = {"status": "error", "code": "SUBSCRIPTION_ERROR", "message": str(failure)}
            if answer["status"] == "success":
                self.adapter_symbol_counts[index] += not present
                self.subscription_map[symbol, exchange, mode] = index
            return answer

    def unsubscribe(self, symbol, exchange, mode=2):
        with self.lock:
            index = self.subscription_map.pop((symbol, exchange, mode), None)
            if index is None:
                return {"status": "error", "code": "NOT_SUBSCRIBED", "message": "not subscribed"}
            left = self._modes(symbol, exchange)
            if left and mode < max(left):
                return {"status": "success", "message": "a higher mode goes on"}
            answer = self.adapters[index].unsubscribe(symbol, exchange, mode)
            if left:
                return self.adapters[index].subscribe(symbol, exchange, max(left), 5)
            self.adapter_symbol_counts[index] -= 1
            return answer

    def unsubscribe_all(self):
        with self.lock:
            for adapter in self.adapters:
                if hasattr(adapter, "unsubscribe_all"):
                    adapter.unsubscribe_all()
            self.subscription_map.clear()
            self.adapter_symbol_counts = [0] * len(self.adapters)

    def disconnect(self):
        with self.lock:
            for adapter in self.adapters:
                adapter.disconnect()
            self.adapters.clear()
            self.adapter_symbol_counts.clear()
            self.subscription_map.clear()
            self.connected = False
            self.initialized = False
