"""What is installed to run a hub beside OpenAlgo's service under systemd. Pure: texts by path.

1. The units are those of systemd/ under the names of OpenAlgo's service, so that each of several
   instances has its own. They run as OpenAlgo's user: its files are that user's alone.
2. They may do what those may do, and what OpenAlgo's adapters need besides.
3. Each file begins with MARK. One that does not is somebody else's, and stays as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hub.openalgo.service import MODE, STANDALONE, Service

MARK = "# Written by `hub openalgo install`; `hub openalgo install --undo` takes it away."
UNITS = ("hub-router.service", "hub-monitor.service", "hub-feed@.service", "hub-shard@.service")
"""The units of systemd/ that are taken over."""
FEED = "openalgo"

_SYSTEM = Path("etc/systemd/system")
_CONFIG = Path("etc/shardhub")
_HOMES = ("/home", "/root", "/run/user")
"""What ProtectHome= hides (systemd.exec(5))."""
_PLAIN = re.compile(r"[\w./+:@,-]+")
_OURS = re.compile(r"\bhub(?=\.target|-router\.service|-shard@|-feed@|-monitor\.service)")


@dataclass(frozen=True)
class Plan:
    """What is to be installed: for which service and checkout, with which interpreter, how many
    shards, and where the hub's own repository is. `touched` are more files that it runs or reads,
    `writable` more folders that OpenAlgo writes.
    """

    service: Service
    checkout: Path
    python: Path
    shards: int
    repository: Path
    touched: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """What the names of units and directories begin with."""
        return f"{self.service.name}-hub"

    @property
    def target(self) -> str:
        """The unit that stands for all of them."""
        return f"{self.name}.target"

    @property
    def settings(self) -> Path:
        """The hub's settings file, below the root of the file system."""
        return _CONFIG / f"{self.name}.toml"


def problems(plan: Plan) -> list[str]:
    """Why it cannot be: names that a unit file cannot hold."""
    paths = (plan.checkout, plan.python, plan.repository, *plan.writable)
    found = [
        f"{path}: has characters in its name that a unit file cannot do with; move it, to /opt "
        "for example"
        for path in paths
        if not _PLAIN.fullmatch(str(path))
    ]
    if not _PLAIN.fullmatch(plan.name):
        found.append(
            f"service {plan.service.name}: has characters in its name that a unit file cannot do "
            "with; rename it"
        )
    return found


def files(plan: Plan, templates: Mapping[str, str]) -> dict[Path, str]:
    """All files by their paths below the root of the file system; `templates` are UNITS' texts."""
    made = {
        _drop_in(plan.service.name): f"[Service]\nEnvironment={MODE}={STANDALONE}\n",
        plan.settings: _settings(plan),
        _SYSTEM / plan.target: _target(plan),
    }
    for name, text in templates.items():
        made[_SYSTEM / _renamed(plan, name)] = _unit(plan, name, text)
    return {path: f"{MARK}\n{text}" for path, text in made.items()}


def paths(service: str) -> list[Path]:
    """The paths of all files that are installed beside this service."""
    plan = Plan(Service(service, "", "", {}), Path(), Path(), 0, Path())
    return list(files(plan, dict.fromkeys(UNITS, "")))


def target_path(service: str) -> Path:
    """Where the unit is that stands for all of them: whether it is there tells if they are."""
    return _SYSTEM / f"{service}-hub.target"


def _drop_in(service: str) -> Path:
    return _SYSTEM / f"{service}.service.d" / "50-shardhub.conf"


def _settings(plan: Plan) -> str:
    """TOML, whose strings JSON's are; all else comes from the checkout's .env and the defaults."""
    sections: dict[str, dict[str, object]] = {
        "hub": {"shards": plan.shards, "feeds": [FEED], "runtime_dir": f"/run/{plan.name}"},
        "openalgo": {"path": str(plan.checkout), "python": str(plan.python)},
        "keys": {"file": f"/var/lib/{plan.name}/keys.json"},
    }
    lines = []
    for section, values in sections.items():
        lines += ["", f"[{section}]", *(f"{name} = {json.dumps(v)}" for name, v in values.items())]
    return "\n".join(lines[1:]) + "\n"


def _target(plan: Plan) -> str:
    shards = [f"{plan.name}-shard@{number}.service" for number in range(plan.shards)]
    wanted = [
        f"{plan.name}-router.service",
        f"{plan.name}-monitor.service",
        f"{plan.name}-feed@{FEED}.service",
        *shards,
    ]
    return "\n".join(
        [
            "[Unit]",
            f"Description=Shardhub: the market-data hub of {plan.service.name}",
            f"Documentation=file://{plan.repository}/docs/openalgo.md",
            *(f"Wants={unit}" for unit in wanted),
            "",
            "[Install]",
            "WantedBy=multi-user.target",
            "",
        ]
    )


def _renamed(plan: Plan, text: str) -> str:
    return _OURS.sub(lambda _: plan.name, text)


def _unit(plan: Plan, name: str, text: str) -> str:
    """A unit of systemd/ as one of this plan."""
    service = plan.service
    changes = {
        "User": service.user or "root",
        "Group": service.group,
        "Environment": f"HUB_CONFIG=/{plan.settings}",
        "RuntimeDirectory": plan.name,
        "StateDirectory": plan.name,
        "Description": f"{{}} of {service.name}",
    }
    if _in_a_home(plan):
        changes["ProtectHome"] = "read-only"
    if name.startswith("hub-feed@"):
        # What OpenAlgo's adapters load (ctypes callbacks, numpy) may make code at run time.
        changes["MemoryDenyWriteExecute"] = "no"
    lines = []
    for line in _renamed(plan, text).replace("/opt/shardhub", str(plan.repository)).splitlines():
        setting, _, value = line.partition("=")
        new = changes.get(setting, "{}").format(value) if value else ""
        if setting != "Group" or new:  # else it is the user's own
            lines.append(f"{setting}={new}" if new else line)
        if line == "ProtectSystem=strict" and name.startswith(("hub-feed@", "hub-monitor")):
            # What OpenAlgo's adapters write, and the stats file.
            lines.append(f"ReadWritePaths={plan.checkout}")
            lines += [f"ReadWritePaths=-{path}" for path in plan.writable]  # - it may be missing
    return "\n".join(lines) + "\n"


def _in_a_home(plan: Plan) -> bool:
    paths = (plan.checkout, plan.python, plan.repository, *plan.touched)
    return any(path.is_relative_to(home) for path in paths for home in _HOMES)
