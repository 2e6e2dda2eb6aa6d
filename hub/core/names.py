"""The names of the hub's own sockets and files in its runtime directory, and of its visitors."""

from __future__ import annotations

from hub.core.errors import Malformed

CONTROL = "control"
"""Everybody's control link to the router."""

CLI = "cli-"
"""How the names begin under which the command line comes to the control link."""

INGEST = "ingest"
"""Where feeds put their ticks, and keepers the values they were asked for."""

FEED = "feed-"
SHARD = "shard-"
"""How the names of processes begin that there are several of."""

UPLINK = "uplink"
"""The process that brings this machine's feeds to others. To the router it is one more shard: the
last, whose clients are other machines."""

OPENALGO = "openalgo"
"""Where the feed host talks to the process of OpenAlgo's adapters; a number follows."""

LOCK = "hub.lock"
"""Locked by the supervisor for as long as it lives (hub/runtime/lock)."""

LOG = "hub.log"
"""What the processes under a supervisor have logged (hub/runtime/logfile)."""

POSITION = "account-events"
"""How far a machine has followed the account events of the others (hub/cluster/position)."""

NOTIFY = "notify"
"""Where children tell the supervisor that they are ready."""

DEMO_KEY = "demo.key"
"""The throw-away API key of `--demo`, for `hub tail`."""

PAGE_KEYS = "page-keys.json"
"""The file of the key with which the monitor is a client of its own hub (hub/monitor/ticker)."""


def pipe_name(shard: int) -> str:
    """Where a shard reads its stream from the router."""
    return f"ticks-{shard}"


def reader(number: int, shards: int) -> str:
    """The process that reads this stream, of a hub with so many shards."""
    return UPLINK if number == shards else f"{SHARD}{number}"


def reader_number(name: str, shards: int, streams: int) -> int:
    """The stream a process reads, of so many. Raises Malformed when it is none of this hub's."""
    number = shards if name == UPLINK else int(name.removeprefix(SHARD))
    if not 0 <= number < (streams if name == UPLINK else shards):
        raise Malformed(f"{name}: this hub has {shards} shards, and {streams - shards} uplinks")
    return number


def is_reader(name: str) -> bool:
    """Whether a process reads a stream of the router's."""
    return name.startswith(SHARD) or name == UPLINK
