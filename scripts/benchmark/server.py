"""The hub that is measured: a supervisor with everything in a directory of its own."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from hub.auth.keystore import KeyStore
from hub.core import config
from hub.core.supervision import Child, State
from hub.supervisor import Supervisor
from scripts.benchmark import leash


def main(runtime_dir: Path, flags: Mapping[str, object]) -> int:
    """Run a hub on free loopback ports until SIGTERM; says `ready` with ports, key and pids."""
    leash.hold(lambda: os.kill(os.getpid(), signal.SIGTERM))
    keys = runtime_dir / "keys.json"
    key = KeyStore(keys).add("bench", "bench", "bus", now=time.time())
    own = {
        "hub.runtime_dir": str(runtime_dir),
        "hub.feeds": flags.get("hub.feeds", ["bus"]),
        "keys.file": str(keys),
        "websocket.port": 0,
        "bus.port": 0,
        "page.port": 0,
    }
    settings = config.load(environ={}, flags={**flags, **own})

    def report(children: Sequence[Child]) -> None:
        if all(child.state is State.READY for child in children):
            leash.say(
                "ready",
                ws=supervisor.settings.websocket.port,
                bus=supervisor.settings.bus.port,
                key=key,
                pids={child.name: child.pid for child in children} | {"supervisor": os.getpid()},
            )

    supervisor = Supervisor(settings, report)
    return supervisor.run()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=dict[str, object])))
