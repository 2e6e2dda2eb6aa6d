"""The units of one hub, made from those of systemd/. Pure: texts by path.

1. All names of units, directories and settings begin with the hub's own, so that several hubs do
   not meet.
2. They may do what those of systemd/ may do, and more only where it is asked for here.
3. Each file begins with the mark of who wrote it. One that does not is somebody else's, and stays.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_SHARD, _UPLINK = "hub-shard@.service", "hub-uplink.service"
TEMPLATES = ("hub-router.service", "hub-monitor.service", "hub-feed@.service", _SHARD, _UPLINK)
"""The units of systemd/ that are taken over."""
SYSTEM = Path("etc/systemd/system")
SETTINGS = Path("etc/shardhub")
"""Where units and settings go, below the root of the file system."""

_HOMES = ("/home", "/root", "/run/user")
"""What ProtectHome= hides (systemd.exec(5))."""
_PLAIN = re.compile(r"[\w./+:@,-]+")
_OURS = re.compile(r"\bhub(?=\.target|-(router|monitor|uplink)\.service|-shard@|-feed@)")


@dataclass(frozen=True)
class Units:
    """What is to be installed: `name` is what the names of units begin with, `directory` that of
    the runtime and state directories, `user` whom it runs as (an empty group is the user's own).

    `page` is the document that the units name, `of` whose hub it is. `touched` are files that it
    runs or reads outside of the repository, `writable` folders that feeds and the monitor write (a
    `-` before one: it may be missing). With `jit` feeds may make code at run time.
    """

    name: str
    directory: str
    user: str
    settings: Path
    repository: Path
    shards: int
    feeds: tuple[str, ...]
    uplink: bool = False
    group: str = ""
    of: str = ""
    page: str = "README.md"
    touched: tuple[Path, ...] = ()
    writable: tuple[str, ...] = ()
    jit: bool = False

    @property
    def target(self) -> str:
        """The unit that stands for all of them."""
        return f"{self.name}.target"

    @property
    def instances(self) -> list[str]:
        """The units of all processes."""
        return [
            f"{self.name}-router.service",
            f"{self.name}-monitor.service",
            *(f"{self.name}-feed@{feed}.service" for feed in self.feeds),
            *(f"{self.name}-shard@{number}.service" for number in range(self.shards)),
            *([f"{self.name}-uplink.service"] if self.uplink else []),
        ]


def patterns(name: str) -> list[str]:
    """What systemctl and journalctl take for all processes of a hub, and for nobody else's."""
    roles = ("router", "monitor", "feed@*", "shard@*", "uplin[k]")  # it need not be there
    return [f"{name}-{role}.service" for role in roles]


def unnameable(paths: tuple[Path, ...]) -> list[str]:
    """Why it cannot be: paths that a unit file cannot hold."""
    return [
        f"{path}: has characters in its name that a unit file cannot do with; move it, to /opt "
        "for example"
        for path in paths
        if not plain(str(path))
    ]


def plain(text: str) -> bool:
    """Whether a unit file can hold it as it is."""
    return bool(_PLAIN.fullmatch(text))


def files(units: Units, templates: Mapping[str, str], mark: str) -> dict[Path, str]:
    """All units that are needed, by their paths below the root of the file system; `templates` are
    TEMPLATES' texts."""
    made = {SYSTEM / units.target: _target(units)}
    unneeded = {_SHARD: not units.shards, _UPLINK: not units.uplink}
    for name, text in templates.items():
        if unneeded.get(name):
            continue
        made[SYSTEM / _renamed(units.name, name)] = _unit(units, name, text)
    return {path: f"{mark}\n{text}" for path, text in made.items()}


def paths(name: str) -> list[Path]:
    """The paths of all units of the hub of this name."""
    return [SYSTEM / f"{name}.target", *(SYSTEM / _renamed(name, one) for one in TEMPLATES)]


def wanted_by(target: str) -> list[str]:
    """The instances that the text of a target names."""
    return re.findall(r"^Wants=(\S+)$", target, re.MULTILINE)


def _target(units: Units) -> str:
    return "\n".join(
        [
            "[Unit]",
            f"Description=Shardhub: the market-data hub{units.of and f' of {units.of}'}",
            f"Documentation=file://{units.repository}/{units.page}",
            *(f"Wants={unit}" for unit in units.instances),
            "",
            "[Install]",
            "WantedBy=multi-user.target",
            "",
        ]
    )


def _renamed(name: str, text: str) -> str:
    return _OURS.sub(lambda _: name, text)


def _unit(units: Units, name: str, text: str) -> str:
    """A unit of systemd/ as one of this hub."""
    feed, monitor = name.startswith("hub-feed@"), name.startswith("hub-monitor")
    changes = {
        "User": units.user,
        "Group": units.group,
        "Environment": f"HUB_CONFIG={units.settings}",
        "RuntimeDirectory": units.directory,
        "StateDirectory": units.directory,
        "Description": f"{{}} of {units.of}" if units.of else "{}",
    }
    if _in_a_home(units):
        changes["ProtectHome"] = "read-only"
    if feed and units.jit:
        changes["MemoryDenyWriteExecute"] = "no"
    lines = []
    for line in _renamed(units.name, text).splitlines():
        setting, _, value = line.replace("/opt/shardhub", str(units.repository)).partition("=")
        new = changes.get(setting, "{}").format(value) if value else ""
        if setting != "Group" or new:  # else it is the user's own
            lines.append(f"{setting}={new}" if new else line)
        if line == "ProtectSystem=strict" and (feed or monitor):
            lines += [f"ReadWritePaths={path}" for path in units.writable]
    return "\n".join(lines) + "\n"


def _in_a_home(units: Units) -> bool:
    paths = (units.repository, *units.touched)
    return any(path.is_relative_to(home) for path in paths for home in _HOMES)
