"""The log of a hub under systemd: which units are its own, and what to ask the journal for. Pure
but for `units_of`, which reads the units of this machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from hub.core.errors import StartError
from hub.core.logline import PRIORITIES
from hub.systemd.units import SYSTEM

RUN = Path("/run")
_TEMPLATE = re.compile(r"(.+)-(router|monitor|uplink|shard@|feed@)\.service")


def units_of(runtime_dir: Path, system: Path = Path("/")) -> list[str]:
    """The unit files, by name, whose RuntimeDirectory= is this directory; none when it is no
    directory that systemd makes."""
    if runtime_dir.parent != RUN:
        return []
    line = f"RuntimeDirectory={runtime_dir.name}"
    found = []
    for path in sorted((system / SYSTEM).glob("*.service")):
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        if line in lines:
            found.append(path.name)
    return found


def command(
    files: Iterable[str],
    roles: Sequence[str],
    *,
    follow: bool = False,
    since: str = "",
    level: str = "",
    lines: int | None = None,
    as_json: bool = False,
) -> list[str]:
    """The command that shows the log of these unit files; of all roles, if none is named. `since`
    is a local time as `2026-11-26 09:15:00`. Of a hub in one unit the journal looks for roles in
    the lines, and shows the last ones newest first. Raises StartError when no unit runs these
    roles.
    """
    named, alone = _patterns(files, roles)
    if not (named or alone):
        raise StartError(f"no unit of this hub runs {' or '.join(roles)}: systemd does that itself")
    made = ["journalctl", *(word for unit in [*named, *alone] for word in ("--unit", unit))]
    made += [f"--since={since}"] * bool(since)
    made += [f"--priority={PRIORITIES[level]}"] if level else []
    made += [] if lines is None else [f"--lines={lines}"]
    made += ["--follow"] * follow + ["--output=json"] * as_json
    if roles and alone and not named:
        which = "|".join(f"{role} " if _is_one(role) else f"{role}-" for role in roles)
        made.append(f"--grep=^[A-Z]+ +({which})")
    return made


def _patterns(files: Iterable[str], roles: Sequence[str]) -> tuple[list[str], list[str]]:
    """The units of these roles, and those that are all of a hub in one."""
    named, alone = [], []
    for file in files:
        found = _TEMPLATE.fullmatch(file)
        if found is None:
            alone.append(file)
            continue
        name, kind = found.groups()
        many = kind.endswith("@")
        if not roles:
            named.append(f"{name}-{kind}{'*' * many}.service")
        for role in roles:
            is_kind, _, which = role.partition("-")
            if is_kind == kind.rstrip("@"):
                named.append(f"{name}-{kind}{(which or '*') * many}.service")
    return named, alone


def _is_one(role: str) -> bool:
    return "-" in role or role in {"router", "monitor", "uplink", "supervisor"}
