"""One hub for one test: its flags are the argument, what becomes of it goes to stdout as JSON. A
second argument is how many descriptors each of its processes may have; it begins with half of them.

The first line has the ports, or the error that kept the hub from starting; each further line has
the state, pid and restarts of every child, whenever one of them has changed.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Sequence
from typing import Any

from hub.core.errors import HubError
from hub.core.supervision import Child
from hub.openalgo.settings import load
from hub.supervisor import Supervisor


def main() -> int:
    """Run the hub until it is told to stop; its exit code."""
    for most in map(int, sys.argv[2:]):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most // 2, most))
    try:
        supervisor = Supervisor(load(flags=json.loads(sys.argv[1])), _report)
    except HubError as error:
        _say({"error": type(error).__name__, "text": str(error)})
        return error.exit_code
    settings = supervisor.settings
    ports = {"ws": settings.websocket.port, "bus": settings.bus.port, "page": settings.page.port}
    _say(ports)
    return supervisor.run()


def _report(children: Sequence[Child]) -> None:
    _say({"children": {c.name: [c.state.value, c.pid, c.restarts] for c in children}})


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    sys.exit(main())
