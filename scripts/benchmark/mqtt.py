"""MQTT as a peer: what is needed of MQTT 3.1.1, and Mosquitto, which speaks it over WebSocket.

Mosquitto sends each packet as a binary frame of its own, so frames are walked as the hub's are.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from struct import pack

from scripts.benchmark.loads import Load
from scripts.benchmark.ticks import EXCHANGE, PROBE, symbols

SUBPROTOCOL = "mqtt"
CONNACK, SUBACK = 0x20, 0x90
_CONNECT, _SUBSCRIBE, _PUBLISH = 0x10, 0x82, 0x30
_AT_ONCE = 1000


def binary() -> Path | None:
    """The program, where it is installed; Debian puts it where only root looks."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    return Path(found) if found else None


def version(program: Path) -> str:
    """What the program says it is."""
    said = subprocess.run([program, "-h"], capture_output=True, text=True, check=False)
    first = said.stdout.partition("\n")[0]
    return f"mosquitto {first.rpartition(' ')[2]}"


def config(port: int, ws_port: int) -> str:
    """A configuration of it: plain clients on one port, WebSocket ones on the other."""
    return (
        f"listener {port} 127.0.0.1\nlistener {ws_port} 127.0.0.1\nprotocol websockets\n"
        "allow_anonymous true\npersistence false\nset_tcp_nodelay true\nmax_queued_messages 0\n"
    )


def topic(symbol: str) -> bytes:
    """The topic of a symbol."""
    return f"{EXCHANGE}/{symbol}/QUOTE".encode()


def connect() -> bytes:
    """A packet that opens a clean session without keep-alive; `CONNACK` answers it."""
    return _packet(_CONNECT, b"\x00\x04MQTT\x04\x02\x00\x00\x00\x00")


def subscribes(load: Load) -> Iterator[bytes]:
    """Packets that subscribe to all symbols and the probe; SUBACK answers each."""
    names = [*symbols(load), PROBE]
    for number, start in enumerate(range(0, len(names), _AT_ONCE), 1):
        wanted = b"".join(_text(topic(name)) + b"\x00" for name in names[start : start + _AT_ONCE])
        yield _packet(_SUBSCRIBE, pack(">H", number) + wanted)


def publish(name: bytes, payload: bytes) -> bytes:
    """A packet with a tick that is not acknowledged."""
    return _packet(_PUBLISH, _text(name) + payload)


def _packet(kind: int, rest: bytes) -> bytes:
    size, left = bytearray(), len(rest)
    while True:
        left, low = left >> 7, left & 0x7F
        size.append(low | 0x80 if left else low)
        if not left:
            return bytes((kind,)) + bytes(size) + rest


def _text(value: bytes) -> bytes:
    return pack(">H", len(value)) + value
