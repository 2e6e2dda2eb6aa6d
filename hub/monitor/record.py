"""What the monitor has heard and measured, and what it answers. Pure.

A snapshot is `{"at_s": monotonic seconds, "processes": {name: figures}}` with, per process, `pid`,
`cpu_s` (user and system time so far), `rss` (bytes), `threads`, `switches_voluntary`,
`switches_involuntary`, and the counters and gauges of its last heartbeat.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import Any

from hub.core.liveness import MISSED_S
from hub.monitor.usage import per_second, rank

Figures = dict[str, Any]
_KEPT = 601
_ROUTER = "router"
_RATES = {"in": "in_s", "out": "out_s"}
_OF_THE_END = ("last_code", "deaths", "last_lines")
"""What the supervisor says of how a process ended: its code (-signal if killed), and while a crash
is news how often in a row, and the last lines of its log."""


class Record:
    """Heartbeats by process, and a history of snapshots, one a second. `wanted` are the processes
    that the hub is to have: where no supervisor tells of them, they are missed all the same."""

    def __init__(self, wanted: Iterable[str] = ()) -> None:
        self._wanted = [*wanted]
        self._began_s = math.inf
        self._router_s = -math.inf
        """When the router came, or came back: heartbeats of all others pass through it."""
        self._beats: dict[str, tuple[float, int, Figures]] = {}
        self._told: dict[str, tuple[float, int]] = {}
        self._cut_s: dict[str, float] = {}
        """Since when a process says that NATS is away."""
        self._history: deque[Figures] = deque(maxlen=_KEPT)

    def __repr__(self) -> str:
        return f"<Record {len(self._beats)} processes, {len(self._history)} snapshots>"

    def heard(self, name: str, pid: int, figures: Figures, now_s: float) -> None:
        """A heartbeat has come."""
        self._began_s = min(self._began_s, now_s)
        if name == _ROUTER:
            before_s, before_pid, _ = self._beats.get(name, (-math.inf, 0, {}))
            if before_pid != pid or now_s - before_s > MISSED_S:
                self._router_s = now_s
        if "nats" in figures:
            figures = figures | {f"nats_{key}": value for key, value in figures["nats"].items()}
            del figures["nats"]
            if figures.get("nats_connected"):
                self._cut_s.pop(name, None)
            else:
                self._cut_s.setdefault(name, now_s)
        self._beats[name] = (now_s, pid, figures)
        for child, told in figures.get("children", {}).items():
            child_pid = told.get("pid") or 0
            if child not in self._told or self._told[child][1] != child_pid:
                self._told[child] = (now_s, child_pid)

    def pids(self) -> dict[str, int]:
        """Whom to measure. Guests are in the process of another feed's host."""
        return {name: pid for name, (_, pid, beat) in self._beats.items() if "guest" not in beat}

    def brokers(self) -> dict[str, list[str]]:
        """The brokers at which users are logged in, by feed."""
        return {
            name.removeprefix("feed-"): [*map(str, beat.get("brokers", ()))]
            for name, (_, _, beat) in self._beats.items()
            if name.startswith("feed-")
        }

    def take(self, measured: dict[str, Figures], now_s: float) -> None:
        """Keep a snapshot: what was measured just now beside what was heard last."""
        processes = {}
        for name, figures in measured.items():
            _, pid, beat = self._beats[name]
            plain = {key: value for key, value in beat.items() if not isinstance(value, dict)}
            processes[name] = plain | figures | {"pid": pid}
        self._history.append({"at_s": now_s, "processes": processes})

    def usage(self, over_s: float) -> tuple[Figures, Figures]:
        """The newest snapshot and the one `over_s` before it, or as old as there is.

        Right after the start the older one is empty and as old as the newest process, since a
        process that is missing from it was at zero then.
        """
        if not self._history:
            return {"at_s": 0.0, "processes": {}}, {"at_s": 0.0, "processes": {}}
        after = self._history[-1]
        before = after
        for before in reversed(self._history):
            if after["at_s"] - before["at_s"] >= over_s - 0.05:  # the clock jitters
                break
        if before is after:
            ages = [figures["age_s"] for figures in after["processes"].values()]
            return {"at_s": after["at_s"] - max(ages, default=1.0), "processes": {}}, after
        return before, after

    def status(self, now_s: float, now_epoch_s: float) -> list[Figures]:
        """One row for each process that was ever heard of, or is wanted."""
        before, after = self.usage(2.0)
        children = self._beats.get("supervisor", (0.0, 0, {}))[2].get("children", {})
        here = [name for name in self._beats if not self._has_left(name, now_s)]
        names = list(dict.fromkeys([*children, *here, *self._wanted]))
        names.sort(key=rank)
        return [
            self._row(name, children.get(name, {}), before, after, now_s, now_epoch_s)
            for name in names
        ]

    def _has_left(self, name: str, now_s: float) -> bool:
        """Whether this is a guest that is not here any more: they come and go."""
        heard_s, _, beat = self._beats[name]
        return "guest" in beat and now_s - max(heard_s, self._router_s) > MISSED_S

    def _row(
        self,
        name: str,
        child: Figures,
        before: Figures,
        after: Figures,
        now_s: float,
        now_epoch_s: float,
    ) -> Figures:
        heard_s, pid, beat = self._beats.get(name, (None, child.get("pid") or 0, {}))
        if child and pid != child.get("pid"):  # what was heard is of a process that is gone
            heard_s, beat = None, {}
        state = child.get("state") or ("waiting" if heard_s is None else "ready")
        if now_s - self._quiet_since_s(name, heard_s) > MISSED_S:
            state = "silent" if state == "ready" or not child else state
        elif state == "ready" and beat.get("leaving"):
            state = "leaving"
        row = {
            key: value
            for key, value in beat.items()
            if key not in {"children", "latency", "started_s", "leaving", *_RATES}
        }
        row |= {
            "name": name,
            "role": name.partition("-")[0],
            "pid": child.get("pid") or pid,
            "state": state,
            "uptime_s": max(0.0, now_epoch_s - beat.get("started_s", now_epoch_s)),
            "restarts": child.get("restarts", 0),
            "beat_age_s": None if heard_s is None else now_s - heard_s,
        }
        row |= {key: child[key] for key in _OF_THE_END if key in child}
        if row.get("nats_connected") is False:
            row["nats_away_s"] = now_s - self._cut_s[name]
        elapsed_s = after["at_s"] - before["at_s"]
        for counter, rate in _RATES.items():
            if counter in beat and elapsed_s > 0:
                figures = after["processes"].get(name)
                start = before["processes"].get(name)
                row[rate] = (
                    per_second(counter, start, figures, elapsed_s) if figures is not None else 0.0
                )
        return row

    def _quiet_since_s(self, name: str, heard_s: float | None) -> float:
        """Since when a process, which was heard last at `heard_s`, could be heard and was not."""
        if heard_s is None:
            heard_s = self._told[name][0] if name in self._told else self._began_s
        return heard_s if name == _ROUTER else max(heard_s, self._router_s)
