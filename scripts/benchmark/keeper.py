"""Keeps a program that is not ours, such as a server to compare with, for as long as its leash."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

import msgspec

from hub.core.errors import HubError
from scripts.benchmark import leash

_OPEN_S = 30.0
_LEAVE_S = 5.0
_LOOK_S = 0.05


class Program(msgspec.Struct, frozen=True):
    """What is started, and the ports it listens on when it is ready."""

    command: Sequence[str]
    ports: Sequence[int]
    folder: str = ""
    environ: dict[str, str] = {}


def main(program: Program) -> None:
    """Start it, say `ready` with its pid when its ports are open, end it when told to."""
    process = subprocess.Popen(
        program.command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        cwd=program.folder or None,
        env=os.environ | program.environ,
    )

    def forsaken() -> None:
        process.kill()
        process.wait()
        os._exit(1)

    heard = leash.hold(forsaken)
    try:
        for port in program.ports:
            _wait(process, port)
        leash.say("ready", pid=process.pid)
        leash.wait_for("end", heard)
    finally:
        process.terminate()
        try:
            process.wait(_LEAVE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    until_s = time.monotonic() + _OPEN_S
    while process.poll() is None and time.monotonic() < until_s:
        with socket.socket() as sock:
            if not sock.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(_LOOK_S)
    raise HubError(f"{process.args!r} does not listen on {port}")


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody has just now."""
    socks = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in socks]
    for sock in socks:
        sock.close()
    return ports


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=Program))
