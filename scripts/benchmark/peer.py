"""What everything is compared with: a plain loop that sends the same frames to the same clients.

Once a millisecond it makes the frames that are due and does `for sock in socks: sock.send(...)`.
It has no bus, no subscriptions and no queues: what it costs is what the kernel asks for.
"""

from __future__ import annotations

import socket
import sys
import time

from scripts.benchmark import leash, loads
from scripts.benchmark.pace import Pace
from scripts.benchmark.ticks import Ticks

_ACCEPT_S = 10.0
_SEND_S = 10.0


def main(load: loads.Load) -> None:
    """Take as many clients as the load has, then send at its pace when told to start."""
    heard = leash.hold()
    with socket.create_server(("127.0.0.1", 0), backlog=load.clients) as listener:
        listener.settimeout(_ACCEPT_S)
        leash.say("ready", port=listener.getsockname()[1])
        socks = [listener.accept()[0] for _ in range(load.clients)]
    for sock in socks:
        sock.settimeout(_SEND_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    ticks = Ticks(load)
    leash.wait_for("start", heard)
    pace = Pace(load, time.monotonic_ns, time.sleep)
    frame, clock_ns = ticks.frame, time.monotonic_ns
    for burst in pace.bursts():
        if burst.start == load.first:
            leash.say("window")
        data = b"".join([frame(number, clock_ns()) for number in burst])
        for sock in socks:
            sock.sendall(data)
    leash.say("done", late_ms=pace.late_ns / 1e6)
    leash.wait_for("end", heard)


if __name__ == "__main__":
    main(loads.decode(sys.argv[1]))
