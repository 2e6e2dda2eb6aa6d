"""How systemd says its units are: what `systemctl show` prints, read. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

PROPERTIES = (
    "Id", "LoadState", "ActiveState", "SubState", "MainPID", "NRestarts", "MemoryCurrent",
    "ActiveEnterTimestamp", "ExecMainStatus",
)  # fmt: skip


class UnitState(NamedTuple):
    """One unit. `state` is systemd's own word (running, dead, auto-restart, failed), or `absent`;
    0 and None stand for what is not known."""

    unit: str
    state: str
    active: bool
    pid: int
    restarts: int
    memory_bytes: int | None
    since: str
    code: int

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return self._asdict()


def read(said: str) -> list[UnitState]:
    """The units of `systemctl show --property=...` in their order."""
    found = []
    for block in said.strip().split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in values:
            found.append(_unit(values))
    return found


def _unit(values: dict[str, str]) -> UnitState:
    memory = values.get("MemoryCurrent", "")
    there = values.get("LoadState") == "loaded"
    failed = values.get("ActiveState") == "failed"
    return UnitState(
        unit=values["Id"],
        state=("failed" if failed else values.get("SubState", "?")) if there else "absent",
        active=values.get("ActiveState") == "active",
        pid=_number(values.get("MainPID", "")),
        restarts=_number(values.get("NRestarts", "")),
        memory_bytes=int(memory) if memory.isdecimal() and len(memory) < 19 else None,
        since=values.get("ActiveEnterTimestamp", ""),
        code=_number(values.get("ExecMainStatus", "")),
    )


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0
