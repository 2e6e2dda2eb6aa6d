"""The machines of a cluster as one of them hears them: what `hub status --cluster` shows."""

from __future__ import annotations

import socket
from typing import Any

import msgspec

from hub.core.cluster import INGEST, VERSION, Beat
from hub.core.config import Settings

SAME_NAME = "two machines are called %s; give each a name of its own (nats.name, --machine)"
KEPT_S = 3600.0
"""How long a machine that has fallen silent is still told of."""


def machine_name(settings: Settings) -> str:
    """The name of this machine for others."""
    return settings.nats.name or socket.gethostname()


class Machines:
    """The newest beat of each machine; `now_s` is monotonic."""

    def __init__(self) -> None:
        self._beats: dict[str, tuple[float, Beat]] = {}

    def __repr__(self) -> str:
        return f"<Machines {' '.join(sorted(self._beats)) or 'none'}>"

    def heard(self, beat: Beat, now_s: float) -> None:
        """A machine is there."""
        self._beats[beat.machine] = now_s, beat

    def told(self, now_s: float) -> list[dict[str, Any]]:
        """All machines, ingests first; of the silent ones those of the last hour."""
        self._beats = {
            name: (at_s, beat)
            for name, (at_s, beat) in self._beats.items()
            if now_s - at_s < KEPT_S
        }
        ordered = sorted(
            self._beats.values(), key=lambda heard: (heard[1].role != INGEST, heard[1].machine)
        )
        return [_row(beat, now_s - at_s) for at_s, beat in ordered]


def _row(beat: Beat, age_s: float) -> dict[str, Any]:
    problem = beat.problem
    if beat.version != VERSION:
        problem = f"speaks version {beat.version} of what machines tell each other, not {VERSION}"
    return {
        "name": beat.machine,
        "role": beat.role,
        "version": beat.hub,
        "since_s": beat.since_s,
        "heard_s": age_s,
        "shards": beat.shards,
        "problem": problem,
        **beat.figures,
        "feeds": [
            {
                "name": feed.name,
                "keys": feed.keys,
                "lease": msgspec.structs.asdict(feed.lease) if feed.lease else None,
            }
            for feed in beat.feeds
        ],
        "leases": [msgspec.structs.asdict(lease) for lease in beat.leases],
    }
