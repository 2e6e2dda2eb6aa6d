"""What publishers send to a server, read from a socket of our own."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest

from scripts.benchmark import mqtt, nats
from scripts.benchmark.loads import Load
from scripts.benchmark.outlets import Mqtt, Nats, Outlet
from scripts.benchmark.ticks import PROBE_PAYLOAD, Ticks

TICKS = Ticks(Load(name="test", clients=1, symbols=2, rate=10))
TIME = re.compile(rb'(?<="sent_ns": ")\d{19}')


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.settimeout(10)
        yield made


def received(sock: socket.socket, size: int) -> bytes:
    """So many bytes, without the times in them."""
    sock.settimeout(10)
    data = b""
    while len(data) < size:
        data += sock.recv(size - len(data))
    return TIME.sub(b"0" * 19, data)


def talk(listener: socket.socket, outlet: Outlet, hello: bytes, expected: bytes) -> socket.socket:
    """What an outlet says of a probe and of three ticks."""
    sock, _ = listener.accept()
    assert received(sock, len(hello)) == hello
    outlet.probe()
    outlet.send(range(5, 8))
    assert received(sock, len(expected)) == expected
    return sock


def test_nats_gets_a_publish_for_each_tick_and_its_pings_are_answered(
    listener: socket.socket,
) -> None:
    outlet = Nats(str(listener.getsockname()[1]), TICKS)
    names = [f"NSE.SYM00000{number % 2}.QUOTE".encode() for number in range(5, 8)]
    ticks = [nats.pub(name, TICKS.message(number, 0)[1]) for number, name in enumerate(names, 5)]
    probe = nats.pub(b"NSE.PROBE.QUOTE", PROBE_PAYLOAD)
    with talk(listener, outlet, nats.HELLO, probe + b"".join(ticks)) as sock:
        sock.sendall(b"PING\r\n")
        said = b""
        while nats.PONG not in said:
            outlet.send(range(1))
            said += sock.recv(1 << 16)
        outlet.close()


def test_mqtt_gets_a_publish_for_each_tick(listener: socket.socket) -> None:
    outlet = Mqtt(str(listener.getsockname()[1]), TICKS)
    names = [f"NSE/SYM00000{number % 2}/QUOTE".encode() for number in range(5, 8)]
    ticks = [
        mqtt.publish(name, TICKS.message(number, 0)[1]) for number, name in enumerate(names, 5)
    ]
    probe = mqtt.publish(b"NSE/PROBE/QUOTE", PROBE_PAYLOAD)
    talk(listener, outlet, mqtt.connect(), probe + b"".join(ticks)).close()
    outlet.close()
