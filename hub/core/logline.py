"""Lines of the log: as a process writes them, and as the log file keeps them. Pure.

A process writes `09:15:00 WARNING shard-0    text`, for the journal `<4>WARNING shard-0    text`;
the file has `2026-11-26 09:15:00 WARNING shard-0    text`. What is no message of the log, such as a
traceback, goes with the message before, and has MORE in place of a level.
"""

from __future__ import annotations

import re
from typing import NamedTuple

LEVELS = ("debug", "info", "warning", "error", "critical")
"""From the least severe on."""
PRIORITIES = dict(zip(LEVELS, (7, 6, 4, 3, 2), strict=True))
"""What the journal calls them (sd-daemon(3))."""
MORE = "|"

_ROLE = r"(\S{11,}|.{10}) "
_SAID = re.compile(rf"(?:<\d>|\d\d:\d\d:\d\d )({'|'.join(LEVELS).upper()}) +{_ROLE}(.*)", re.DOTALL)
_KEPT = re.compile(rf"(\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d) (\S+) +{_ROLE}(.*)")


class LogLine(NamedTuple):
    """One line of the file: when it was kept (local time), its level in small letters, who said it.
    With `more` it goes with the message before, whose level it has."""

    at: str
    level: str
    role: str
    text: str
    more: bool = False

    def __str__(self) -> str:
        level = MORE if self.more else self.level.upper()
        return f"{self.at} {level:<7} {self.role:<10} {self.text}"


class Reader:
    """Gives lines that go with the message before their level."""

    def __init__(self) -> None:
        self._levels: dict[str, str] = {}

    def said(self, at: str, role: str, line: str) -> LogLine:
        """A line as a process has written it."""
        found = _SAID.fullmatch(line)
        if found is None:
            text = without_priority(line)
            return LogLine(at, self._levels.get(role, "info"), role, text, more=True)
        return LogLine(at, self._keep(role, found[1].lower()), role, found[3])

    def kept(self, line: str) -> LogLine | None:
        """A line of the file; None for one that is cut off, or none of it."""
        found = _KEPT.fullmatch(line)
        if found is None:
            return None
        at, level, padded, text = found.groups()
        role = padded.rstrip()
        if level == MORE:
            return LogLine(at, self._levels.get(role, "info"), role, text, more=True)
        return LogLine(at, self._keep(role, level.lower()), role, text)

    def _keep(self, role: str, level: str) -> str:
        self._levels[role] = level
        return level


def as_severe(level: str, least: str) -> bool:
    """Whether a level is `least` or more severe; an unknown one is."""
    return level not in LEVELS or LEVELS.index(level) >= LEVELS.index(least)


def without_priority(line: str) -> str:
    """A line without what only the journal reads."""
    return re.sub(r"\A<\d>", "", line)
