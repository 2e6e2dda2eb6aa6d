"""The systemd service that runs a checkout of OpenAlgo, as its unit files describe it. Only read.

A unit is OpenAlgo's when its WorkingDirectory is the checkout. Drop-ins count, in systemd's order;
what a generator or `systemctl set-property` made does not, and neither does a template's instance.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FOLDERS = (
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
)
"""Where units are (systemd.unit(5)), the strongest first."""
MODE = "APP_MODE"
STANDALONE = "standalone"
"""What APP_MODE is when OpenAlgo does not start its own proxy."""


class Service(NamedTuple):
    """One of them: its name without `.service`, whom it runs as, and its environment.

    An empty user is root, an empty group the user's own.
    """

    name: str
    user: str
    group: str
    environment: dict[str, str]

    @property
    def standalone(self) -> bool:
        """Whether it says that OpenAlgo is not to start its own proxy."""
        return self.environment.get(MODE, "").strip("'\" ") == STANDALONE


def services(checkout: Path, system: Path = Path("/")) -> list[Service]:
    """The services of this checkout, by name; `system` is the root of the file system."""
    units: dict[str, Path] = {}
    for folder in reversed(FOLDERS):
        units |= {path.stem: path for path in (system / folder).glob("*.service")}
    found = []
    for name in sorted(units):
        settings = list(_settings(units[name], system))
        place = dict(settings).get("WorkingDirectory", "").strip('"').removeprefix("-")
        named = place.startswith("/") and "@" not in name  # it may be `~`, a home, too
        if named and os.path.realpath(place) == os.path.realpath(checkout):
            found.append(_service(name, settings))
    return found


def _service(name: str, settings: list[tuple[str, str]]) -> Service:
    last = dict(settings)
    environment: dict[str, str] = {}
    for key, value in settings:
        if key == "Environment":
            if not value:
                environment.clear()
            with contextlib.suppress(ValueError):  # quotes that do not end: systemd skips it, too
                environment |= dict(w.split("=", 1) for w in shlex.split(value) if "=" in w)
    return Service(name, last.get("User", ""), last.get("Group", ""), environment)


def _settings(file: Path, system: Path) -> Iterator[tuple[str, str]]:
    """The settings of its [Service] section and of its drop-ins; those of a file that cannot be
    read do not count."""
    drop_ins: dict[str, Path] = {}
    for folder in reversed(FOLDERS):
        drop_ins |= {
            path.name: path for path in (system / folder / f"{file.name}.d").glob("*.conf")
        }
    for path in (file, *(drop_ins[name] for name in sorted(drop_ins))):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            yield from _parse(path.read_text(encoding="utf-8"))


def _parse(text: str) -> Iterator[tuple[str, str]]:
    section = ""
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("["):
            section = line.strip()
        elif section == "[Service]" and "=" in line and line[0] not in "#;":
            key, _, value = line.partition("=")
            yield key.strip(), value.strip()
