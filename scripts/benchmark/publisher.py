"""A publisher on the bus, as OpenAlgo's adapters are: PUB, connected, topic and JSON per tick.

Its queue has no bound, so that what is lost is lost by the hub.
"""

from __future__ import annotations

import sys
import time

from hub.runtime import links
from scripts.benchmark import leash, loads
from scripts.benchmark.pace import Pace
from scripts.benchmark.ticks import PROBE_PAYLOAD, PROBE_TOPIC, Ticks

_PROBE_S = 0.05
_SETTLE_S = 0.5


def main(load: loads.Load, address: str) -> None:
    """Probe until told to start, then publish the load at its pace."""
    heard = leash.hold()
    sock = links.connect(links.PUB, address)
    ticks = Ticks(load)
    leash.say("ready")
    while "start" not in heard:
        sock.send_multipart((PROBE_TOPIC, PROBE_PAYLOAD))
        time.sleep(_PROBE_S)
    time.sleep(_SETTLE_S)
    pace = Pace(load, time.monotonic_ns, time.sleep)
    send, message, clock_ns = sock.send_multipart, ticks.message, time.monotonic_ns
    for burst in pace.bursts():
        if burst.start == load.first:
            leash.say("window")
        for number in burst:
            send(message(number, clock_ns()))
    leash.say("done", late_ms=pace.late_ns / 1e6)
    leash.wait_for("end", heard)


if __name__ == "__main__":
    main(loads.decode(sys.argv[1]), sys.argv[2])
