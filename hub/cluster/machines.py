"""The machines of a cluster as one of them hears them: what `hub status --cluster` shows."""

from __future__ import annotations

import socket
from typing import Any

import msgspec

from hub.core import cluster
from hub.core.cluster import INGEST, SILENT_S, VERSION, Beat
from hub.core.errors import Malformed
from hub.core.settings import Settings
from hub.runtime.log import Seldom

SAME_NAME = "two machines are called %s; give each a name of its own (nats.name, --machine)"
_COUNTED = ("in", "out")

KEPT_S = 3600.0
"""How long a machine that has fallen silent is still told of."""


def machine_name(settings: Settings) -> str:
    """The name of this machine for others."""
    return settings.nats.name or socket.gethostname()[:40]


class Machines:
    """The newest beat of each machine; `now_s` is monotonic."""

    def __init__(self) -> None:
        self._beats: dict[str, tuple[float, Beat]] = {}
        self._seldom = Seldom()
        self._rates: dict[str, dict[str, float]] = {}

    def __repr__(self) -> str:
        return f"<Machines {' '.join(sorted(self._beats)) or 'none'}>"

    def hear(self, data: bytes, now_s: float) -> Beat | None:
        """Take a beat as it came; None for one that is of no use, of which the log says why."""
        try:
            beat = cluster.beat(data)
        except Malformed as error:
            self._seldom.warning("beat", "%s", error)
            return None
        if not self.heard(beat, now_s):
            self._seldom.warning(beat.machine, SAME_NAME, beat.machine)
            return None
        if beat.version != VERSION:
            self._seldom.warning(beat.machine, "%s has another version of the hub", beat.machine)
            return None
        return beat

    def heard(self, beat: Beat, now_s: float) -> bool:
        """A machine is there. False when it has the name of another that is there, and began later:
        that one counts."""
        at_s, known = self._beats.get(beat.machine, (now_s, beat))
        if beat.epoch < known.epoch and now_s - at_s < SILENT_S:
            return False
        if known is beat:
            self._prune(now_s)
        elif beat.epoch == known.epoch and now_s > at_s:
            self._rates[beat.machine] = {
                f"{name}_s": (beat.figures[name] - known.figures[name]) / (now_s - at_s)
                for name in _COUNTED
                if name in beat.figures and name in known.figures
            }
        self._beats[beat.machine] = now_s, beat
        return True

    def _prune(self, now_s: float) -> None:
        for name in [name for name, (at_s, _) in self._beats.items() if now_s - at_s >= KEPT_S]:
            del self._beats[name]
            self._rates.pop(name, None)

    def told(self, now_s: float) -> list[dict[str, Any]]:
        """All machines, ingests first; of the silent ones those of the last hour, without what they
        have."""
        self._prune(now_s)
        ordered = sorted(
            self._beats.values(), key=lambda heard: (heard[1].role != INGEST, heard[1].machine)
        )
        return [
            _row(beat, now_s - at_s) | self._rates.get(beat.machine, {}) for at_s, beat in ordered
        ]


def _row(beat: Beat, age_s: float) -> dict[str, Any]:
    problem, there = beat.problem, age_s < SILENT_S
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
        **{name: value for name, value in beat.figures.items() if name not in _COUNTED},
        "feeds": [
            {
                "name": feed.name,
                "keys": feed.keys,
                "lease": msgspec.structs.asdict(feed.lease) if feed.lease else None,
            }
            for feed in (beat.feeds if there else ())
        ],
        "leases": [msgspec.structs.asdict(lease) for lease in (beat.leases if there else ())],
    }
