"""The names of the hub's own sockets and files in its runtime directory, and of its visitors."""

from __future__ import annotations

CONTROL = "control"
"""Everybody's control link to the router."""

CLI = "cli-"
"""How the names begin under which the command line comes to the control link."""

INGEST = "ingest"
"""Where feeds put their ticks, and keepers the values they were asked for."""

OPENALGO = "openalgo"
"""Where the feed host talks to the process of OpenAlgo's adapters; a number follows."""

LOCK = "hub.lock"
"""Locked by the supervisor for as long as it lives (hub/runtime/lock)."""

LOG = "hub.log"
"""What the processes under a supervisor have logged (hub/runtime/logfile)."""

NOTIFY = "notify"
"""Where children tell the supervisor that they are ready."""

DEMO_KEY = "demo.key"
"""The throw-away API key of `--demo`, for `hub tail`."""

PAGE_KEYS = "page-keys.json"
"""The file of the key with which the monitor is a client of its own hub (hub/monitor/ticker)."""


def pipe_name(shard: int) -> str:
    """Where a shard reads its stream from the router."""
    return f"ticks-{shard}"
