"""What is installed to run a hub beside OpenAlgo's service under systemd. Pure: texts by path.

1. The units are those of hub/systemd/units.py under the names of OpenAlgo's service, so that each
   of several instances has its own. They run as OpenAlgo's user: its files are that user's alone.
2. They may do what OpenAlgo's adapters need besides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hub.core.names import OPENALGO
from hub.openalgo.service import MODE, STANDALONE, Service
from hub.systemd import units
from hub.systemd.units import SETTINGS, SYSTEM, Units

MARK = "# Written by `hub openalgo install`; `hub openalgo install --undo` takes it away."


@dataclass(frozen=True)
class Plan:
    """What is to be installed: for which service and checkout, with which interpreter, how many
    shards, and where the hub's own repository is. `touched` are more files that it runs or reads,
    `writable` more folders that OpenAlgo writes, `nats` the settings of that section.
    """

    service: Service
    checkout: Path
    python: Path
    shards: int
    repository: Path
    touched: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    nats: Mapping[str, Any] = field(default_factory=dict)

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
        return SETTINGS / f"{self.name}.toml"

    @property
    def units(self) -> Units:
        """The units of it. What OpenAlgo's adapters load (ctypes callbacks, numpy) may make code
        at run time, and they write to the checkout, as the monitor its stats file."""
        return Units(
            name=self.name,
            directory=self.name,
            user=self.service.user or "root",
            group=self.service.group,
            settings=Path("/") / self.settings,
            repository=self.repository,
            shards=self.shards,
            feeds=(OPENALGO,),
            uplink=bool(self.nats.get("publish")),
            of=self.service.name,
            page="docs/openalgo.md",
            touched=(self.checkout, self.python, *self.touched),
            writable=(str(self.checkout), *(f"-{path}" for path in self.writable)),
            jit=True,
        )


def problems(plan: Plan) -> list[str]:
    """Why it cannot be: names that a unit file cannot hold."""
    found = units.unnameable((plan.checkout, plan.python, plan.repository, *plan.writable))
    if not units.plain(plan.name):
        found.append(
            f"service {plan.service.name}: has characters in its name that a unit file cannot do "
            "with; rename it"
        )
    return found


def files(plan: Plan, templates: Mapping[str, str]) -> dict[Path, str]:
    """All files by their paths below the root of the file system."""
    made = {
        _drop_in(plan.service.name): f"[Service]\nEnvironment={MODE}={STANDALONE}\n",
        plan.settings: _settings(plan),
    }
    marked = {path: f"{MARK}\n{text}" for path, text in made.items()}
    return marked | units.files(plan.units, templates, MARK)


def paths(service: str) -> list[Path]:
    """The paths of all files that are installed beside this service."""
    name = f"{service}-hub"
    return [_drop_in(service), SETTINGS / f"{name}.toml", *units.paths(name)]


def target_path(service: str) -> Path:
    """Where the unit is that stands for all of them: whether it is there tells if they are."""
    return SYSTEM / f"{service}-hub.target"


def _drop_in(service: str) -> Path:
    return SYSTEM / f"{service}.service.d" / "50-shardhub.conf"


def _settings(plan: Plan) -> str:
    """TOML, whose strings JSON's are; all else comes from the checkout's .env and the defaults."""
    sections: dict[str, dict[str, object]] = {
        "hub": {"shards": plan.shards, "feeds": [OPENALGO], "runtime_dir": f"/run/{plan.name}"},
        "openalgo": {"path": str(plan.checkout), "python": str(plan.python)},
        "keys": {"file": f"/var/lib/{plan.name}/keys.json"},
    }
    if plan.nats:
        sections["nats"] = dict(plan.nats)
    lines = []
    for section, values in sections.items():
        lines += ["", f"[{section}]", *(f"{name} = {json.dumps(v)}" for name, v in values.items())]
    return "\n".join(lines[1:]) + "\n"
