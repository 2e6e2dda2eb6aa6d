"""The hub that is under fault: a supervisor that says what becomes of its children."""

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
from hub.core.supervision import Child
from hub.supervisor import Supervisor
from scripts.benchmark import leash


def main(runtime_dir: Path, users: Mapping[str, str], flags: Mapping[str, object]) -> int:
    """Run a hub on free loopback ports until SIGTERM; says `ports` and the key of each user, then
    `children` whenever one of them has changed. `users` have their broker."""
    leash.hold(lambda: os.kill(os.getpid(), signal.SIGTERM), longest_s=0)
    keys = runtime_dir / "keys.json"
    store = KeyStore(keys)
    own = {
        "hub.runtime_dir": str(runtime_dir),
        "keys.file": str(keys),
        "websocket.port": 0,
        "bus.port": 0,
        "page.port": 0,
    }
    settings = config.load(environ={}, flags={**flags, **own})
    supervisor = Supervisor(settings, _report)
    leash.say(
        "ports",
        ws=supervisor.settings.websocket.port,
        bus=supervisor.settings.bus.port,
        keys={
            user: store.add(user, user, broker, now=time.time()) for user, broker in users.items()
        },
    )
    return supervisor.run()


def _report(children: Sequence[Child]) -> None:
    rows = {child.name: [child.state.value, child.pid, child.restarts] for child in children}
    leash.say("children", rows=rows)


if __name__ == "__main__":
    sys.exit(
        main(
            Path(sys.argv[1]),
            msgspec.json.decode(sys.argv[2], type=dict[str, str]),
            msgspec.json.decode(sys.argv[3], type=dict[str, object]),
        )
    )
