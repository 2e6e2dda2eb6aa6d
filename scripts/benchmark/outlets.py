"""Ways to publish: each gives a burst of ticks to a server as that server's publishers do."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from hub.core import codec, hot, stream
from hub.core.names import INGEST
from hub.runtime import links
from scripts.benchmark import mqtt, nats
from scripts.benchmark.handshake import greet
from scripts.benchmark.ticks import PROBE, PROBE_PAYLOAD, PROBE_TOPIC, Ticks

_clock_ns = time.monotonic_ns


class Outlet(Protocol):
    """Publishes ticks, each with the time it was made at."""

    def probe(self) -> None:
        """Publish one tick of the probe."""

    def send(self, burst: range) -> None:
        """Publish the ticks with these numbers."""

    def close(self) -> None:
        """Leave."""


class Bus:
    """On the ZMQ bus, as OpenAlgo's adapters do: PUB, connected, topic and JSON for each tick.

    Its queue has no bound, so that what is lost is lost by the hub.
    """

    def __init__(self, address: str, ticks: Ticks) -> None:
        self._sock = links.connect(links.PUB, address, queue=0)
        self._message = ticks.message

    def probe(self) -> None:
        """Publish one tick of the probe."""
        self._sock.send_multipart((PROBE_TOPIC, PROBE_PAYLOAD))

    def send(self, burst: range) -> None:
        """Publish the ticks with these numbers."""
        send, message = self._sock.send_multipart, self._message
        for number in burst:
            send(message(number, _clock_ns()))

    def close(self) -> None:
        """Leave."""
        self._sock.close()


class Direct:
    """On the bus too, as a PUB, but without libzmq, and one write for each burst: a publisher that
    keeps up where a stock one would be the limit."""

    def __init__(self, address: str, ticks: Ticks) -> None:
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        self._sock = greet(_connected(host, int(port)), b"PUB", b"SUB")
        self._message = ticks.message

    def probe(self) -> None:
        """Publish one tick of the probe."""
        self._sock.sendall(hot.message((PROBE_TOPIC, PROBE_PAYLOAD)))

    def send(self, burst: range) -> None:
        """Publish the ticks with these numbers."""
        framed, message = hot.message, self._message
        self._sock.sendall(b"".join([framed(message(n, _clock_ns())) for n in burst]))

    def close(self) -> None:
        """Leave."""
        self._sock.close()


class Ingest:
    """As feeds do: one batch for each burst, to the router's ingest; `address` is the hub's
    runtime directory."""

    def __init__(self, address: str, ticks: Ticks) -> None:
        self._sock = links.connect(links.PUSH, links.ipc(Path(address), INGEST), queue=0)
        self._message = ticks.message

    def probe(self) -> None:
        """Publish one tick of the probe."""
        self._sock.send_multipart([stream.TICKS, codec.pack([PROBE_TOPIC, PROBE_PAYLOAD])])

    def send(self, burst: range) -> None:
        """Publish the ticks with these numbers."""
        message = self._message
        pairs = [part for number in burst for part in message(number, _clock_ns())]
        self._sock.send_multipart([stream.TICKS, codec.pack(pairs)])

    def close(self) -> None:
        """Leave."""
        self._sock.close()


class _Stream:
    """A connection to a server of another kind; `address` is its port."""

    def __init__(self, address: str, hello: bytes) -> None:
        self._sock = _connected("127.0.0.1", int(address))
        self._sock.sendall(hello)

    def close(self) -> None:
        """Leave."""
        self._sock.close()


class Nats(_Stream):
    """To a NATS server over plain TCP, one send for each burst."""

    def __init__(self, address: str, ticks: Ticks) -> None:
        super().__init__(address, nats.HELLO)
        self._subjects = [nats.subject(name).encode() for name in ticks.names]
        self._message = ticks.message

    def probe(self) -> None:
        """Publish one tick of the probe."""
        self._sock.sendall(nats.pub(nats.subject(PROBE).encode(), PROBE_PAYLOAD))

    def send(self, burst: range) -> None:
        """Publish the ticks with these numbers."""
        subjects, message, pub = self._subjects, self._message, nats.pub
        count = len(subjects)
        parts = [pub(subjects[n % count], message(n, _clock_ns())[1]) for n in burst]
        self._sock.sendall(b"".join(parts))
        self._answer()

    def _answer(self) -> None:
        """The server asks now and then whether its client is still there."""
        try:
            said = self._sock.recv(4096, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        if b"PING" in said:
            self._sock.sendall(nats.PONG)


class Mqtt(_Stream):
    """To an MQTT broker over plain TCP, one send for each burst."""

    def __init__(self, address: str, ticks: Ticks) -> None:
        super().__init__(address, mqtt.connect())
        self._topics = [mqtt.topic(name) for name in ticks.names]
        self._message = ticks.message

    def probe(self) -> None:
        """Publish one tick of the probe."""
        self._sock.sendall(mqtt.publish(mqtt.topic(PROBE), PROBE_PAYLOAD))

    def send(self, burst: range) -> None:
        """Publish the ticks with these numbers."""
        topics, message, publish = self._topics, self._message, mqtt.publish
        count = len(topics)
        parts = [publish(topics[n % count], message(n, _clock_ns())[1]) for n in burst]
        self._sock.sendall(b"".join(parts))


def _connected(host: str, port: int) -> socket.socket:
    sock = socket.create_connection((host, port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


OUTLETS: dict[str, Callable[[str, Ticks], Outlet]] = {
    "bus": Bus,
    "direct": Direct,
    "ingest": Ingest,
    "nats": Nats,
    "mqtt": Mqtt,
}
