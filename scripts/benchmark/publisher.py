"""The publisher: a load at its pace, by one of the outlets."""

from __future__ import annotations

import sys
import time

from scripts.benchmark import leash, loads
from scripts.benchmark.outlets import OUTLETS
from scripts.benchmark.pace import Pace, sharpen
from scripts.benchmark.ticks import Ticks

_PROBE_S = 0.05
_SETTLE_S = 0.5


def main(load: loads.Load, outlet_name: str, address: str) -> None:
    """Probe until told to start, then publish the load."""
    heard = leash.hold()
    outlet = OUTLETS[outlet_name](address, Ticks(load))
    leash.say("ready")
    while "start" not in heard:
        outlet.probe()
        time.sleep(_PROBE_S)
    time.sleep(_SETTLE_S)
    if load.single:
        sharpen()
    pace = Pace(load, time.monotonic_ns, time.sleep)
    send = outlet.send
    for burst in pace.bursts():
        if burst.start == load.first:
            leash.say("window")
        send(burst)
    leash.say("done", late_ms=pace.late_ns / 1e6)
    leash.wait_for("end", heard)
    outlet.close()


if __name__ == "__main__":
    main(loads.decode(sys.argv[1]), *sys.argv[2:])
