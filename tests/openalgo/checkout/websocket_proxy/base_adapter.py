"""What adapters inherit: the interface of OpenAlgo's base class, as far as a host meets it."""

import json
import os
import threading
from abc import ABC, abstractmethod

import zmq
from utils.logging import get_logger

from websocket_proxy import connection_manager


class BaseBrokerWebSocketAdapter(ABC):
    _bound_ports: set = set()  # noqa: RUF012  # as it is there
    _port_lock = threading.Lock()

    def __init__(self):
        self.logger = get_logger("adapter")
        self.subscriptions = {}
        self.connected = False
        context = connection_manager._pooled_creation_context
        self._uses_shared_zmq = getattr(context, "active", False)
        self._shared_publisher = getattr(context, "shared_publisher", None)
        if self._uses_shared_zmq:
            self.socket = self._shared_publisher.socket
            self.zmq_port = self._shared_publisher.zmq_port
            self.context = self._shared_publisher.context
        else:
            self.context = zmq.Context.instance()
            self.socket = self.context.socket(zmq.PUB)
            self.zmq_port = int(os.environ["ZMQ_PORT"])
            self.socket.connect(f"tcp://127.0.0.1:{self.zmq_port}")

    @abstractmethod
    def initialize(self, broker_name, user_id, auth_data=None): ...

    @abstractmethod
    def connect(self): ...

    @abstractmethod
    def disconnect(self): ...

    @abstractmethod
    def subscribe(self, symbol, exchange, mode=2, depth_level=5): ...

    @abstractmethod
    def unsubscribe(self, symbol, exchange, mode=2): ...

    def publish_market_data(self, topic, data):
        if self._uses_shared_zmq:
            self._shared_publisher.publish(topic, data)
        else:
            self.socket.send_multipart([topic.encode(), json.dumps(data).encode()])

    def cleanup_zmq(self):
        if not self._uses_shared_zmq:
            self.socket.close(linger=0)

    def _create_success_response(self, message, **more):
        return {"status": "success", "message": message, **more}

    def _create_error_response(self, code, message):
        return {"status": "error", "code": code, "message": message}
