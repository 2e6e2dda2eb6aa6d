"""What clients say to a server: how one joins, what cuts its bytes into blocks, how it is kept."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import NamedTuple, Protocol

import msgspec

from hub.core import forms
from scripts.benchmark import handshake, mqtt, nats
from scripts.benchmark.batches import BatchWalker
from scripts.benchmark.handshake import masked
from scripts.benchmark.loads import Load
from scripts.benchmark.walk import BINARY, Block, Walker

_PONG = 0x8A


class Join(msgspec.Struct, frozen=True):
    """Where clients connect, what they speak there, and whose they are."""

    port: int
    speech: str  # a name in SPEECHES
    key: str = ""
    probed: bool = True  # whether the server's publisher begins with a probe


class Cutter(Protocol):
    """Cuts what a server sends into blocks."""

    def take(self, chunk: bytes) -> list[Block]:
        """The blocks that are whole now that these bytes have come."""


class Speech(NamedTuple):
    """One way to speak."""

    join: Callable[[socket.socket, Load, Join], None]
    cutter: Callable[[], Cutter]


def pong(ping: Block) -> bytes:
    """The answer to a ping, of WebSocket or of what is spoken inside."""
    if ping.header_bytes:
        return masked(_PONG, ping.payload)
    return masked(BINARY, nats.PONG)


def _hub(form: int) -> Speech:
    """The hub's protocol, with everything in this form."""

    def join_hub(sock: socket.socket, load: Load, join: Join) -> None:
        handshake.shake_hands(sock, join.port)
        handshake.subscribe(sock, load, join.key, form)

    return Speech(join_hub, BatchWalker if form & forms.BATCH else Walker)


def _nats(sock: socket.socket, load: Load, join: Join) -> None:
    """Subscribe, and wait until the server has taken it all in."""
    early = handshake.shake_hands(sock, join.port)
    said = nats.subscribes(load)
    for start in range(0, len(said), handshake.CHUNK_BYTES):
        sock.sendall(masked(BINARY, said[start : start + handshake.CHUNK_BYTES]))
    cutter = nats.NatsWalker()
    cutter.take(early)
    while not cutter.pongs:
        for block in cutter.take(handshake.some(sock)):
            sock.sendall(pong(block))


def _mqtt(sock: socket.socket, load: Load, join: Join) -> None:
    """Open a session and subscribe, waiting for each answer."""
    walker = Walker()
    walker.take(handshake.shake_hands(sock, join.port, mqtt.SUBPROTOCOL))

    def ask(packet: bytes, kind: int) -> None:
        sock.sendall(masked(BINARY, packet))
        while not any(block.payload[0] == kind for block in walker.take(handshake.some(sock))):
            pass

    ask(mqtt.connect(), mqtt.CONNACK)
    for packet in mqtt.subscribes(load):
        ask(packet, mqtt.SUBACK)


def _nothing(sock: socket.socket, load: Load, join: Join) -> None:
    """Just read."""


SPEECHES = {
    "hub": _hub(forms.PLAIN),
    "hub batch": _hub(forms.BATCH),
    "hub msgpack": _hub(forms.MSGPACK),
    "hub both": _hub(forms.BATCH | forms.MSGPACK),
    "nats": Speech(_nats, nats.NatsWalker),
    "mqtt": Speech(_mqtt, Walker),
    "nothing": Speech(_nothing, Walker),
}
