"""Clients that take little or nothing: what they do to the others is what is measured.

Half of them read nothing, the other half a few KB a second. All hold everything, and their buffers
are small, so that the server is left with what they do not take.
"""

from __future__ import annotations

import socket
import sys
import time
from contextlib import suppress

import msgspec

from scripts.benchmark import leash, loads
from scripts.benchmark.loads import Load
from scripts.benchmark.speech import SPEECHES, Join

BUFFER_BYTES = 1 << 14
SLOW_BYTES_S = 4096
_STEP_S = 0.25


def main(load: Load, join: Join) -> None:
    """Connect as many frozen clients as the load has, and as many slow ones; until the end."""
    heard = leash.hold()
    frozen, slow = ([_join(load, join) for _ in range(load.clients)] for _ in range(2))
    leash.say("subscribed")
    while "end" not in heard:
        for sock in slow:
            with suppress(OSError):  # nothing there, or the server has had enough of it
                sock.recv(int(SLOW_BYTES_S * _STEP_S))
        time.sleep(_STEP_S)
    for sock in (*frozen, *slow):
        sock.close()


def _join(load: Load, join: Join) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    sock.settimeout(20)
    sock.connect(("127.0.0.1", join.port))
    SPEECHES[join.speech].join(sock, load, join)
    sock.setblocking(False)
    return sock


if __name__ == "__main__":
    main(loads.decode(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=Join))
