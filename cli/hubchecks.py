"""What `hub doctor` thinks of the hub itself: its settings, keys, directory, code and units.

Only looks: nothing is written, and no hub need run.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shlex
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

import hub
from cli.checks import Finding, State
from cli.keys import store_of
from cli.units import PROGRAM, REPOSITORY
from hub.core.errors import ConfigError, HubError, KeyStoreError, StartError
from hub.core.hot import COMPILED
from hub.core.names import DEMO_KEY, NOTIFY
from hub.core.settings import Settings
from hub.feeds import catalogue
from hub.openalgo.ports import is_hub, user_name
from hub.systemd import plan as plans
from hub.systemd.files import templates

_TESTED = ((3, 11), (3, 13))
_PINNED = re.compile(r"^([a-z0-9][a-z0-9-]*)==(\S+)", re.MULTILINE)
_NAMED = 4
_WITH_SUDO = "type the same with sudo"
_ON_THEIR_WAY = {"waiting", "starting", "leaving"}


def settings_problems(problems: Sequence[str], file: Path | None) -> Iterator[Finding]:
    """Whether the settings can be used."""
    for problem in problems:
        yield Finding("settings", State.BAD, problem, "mend it, then `hub config check`")
    if not problems:
        yield Finding("settings", State.OK, str(file) if file else "the defaults; no file is there")


def feeds(settings: Settings) -> Iterator[Finding]:
    """Whether the feeds are there and can start."""
    try:
        catalogue.check(settings)
    except ConfigError as error:
        yield from settings_problems(error.problems, None)


def keys(settings: Settings, place: Path) -> Finding:
    """Whether clients have something to log in with; of a demo that runs at `place` they have."""
    if (place / DEMO_KEY).exists():
        return Finding("API keys", State.OK, f"the demo's, in {place / DEMO_KEY}")
    store = store_of(settings)
    if theirs := _somebody_elses(store.path, place):
        return theirs
    try:
        number = len(store.list())
    except KeyStoreError as error:
        text, _, mend = str(error).partition("; ")
        return Finding("API keys", State.BAD, text, mend)
    if number:
        return Finding("API keys", State.OK, f"{number} in {store.path}")
    found = f"none in {store.path}"
    if settings.openalgo.path:
        return Finding("API keys", State.OK, f"{found}; OpenAlgo's count")
    mend = f"{_as_whoever_has(place)}hub keys add algo"
    return Finding("API keys", State.WARN, f"{found}: nobody can log in", mend)


def _as_whoever_has(place: Path) -> str:
    """What makes a command one of the hub's user: a file of root's is one that it may not read."""
    try:
        owner = place.stat().st_uid
    except OSError:
        return ""
    return "" if owner == os.geteuid() else f"sudo -u {user_name(owner)} "


def _somebody_elses(path: Path, place: Path) -> Finding | None:
    """What can be said of the file of a hub that is another user's: it is looked at from outside.
    None for this user's own, and for one that is to be."""
    if _as_whoever_has(place) == "" and os.geteuid() != 0:
        return None
    try:
        found = path.stat()
    except PermissionError:
        return Finding("API keys", State.WARN, f"{path} may not be looked at", _WITH_SUDO)
    except OSError:
        return None
    if found.st_uid == os.geteuid():
        return None
    if found.st_mode & 0o077:
        mend = f"sudo chmod 600 {shlex.quote(str(path))}"
        return Finding("API keys", State.BAD, f"{path} is open to other users", mend)
    return Finding("API keys", State.OK, f"{path}, of {user_name(found.st_uid)}")


def directory(place: Path, *, running: bool) -> Iterator[Finding]:
    """Whether the runtime directory can be used, and what is left in it."""
    what, quoted = "runtime directory", shlex.quote(str(place))
    try:
        found = place.lstat()
        names = sorted(path.name for path in place.iterdir())
    except FileNotFoundError:
        yield Finding(what, State.OK, f"{place} is made at the first start")
        return
    except PermissionError:
        yield Finding(what, State.WARN, f"{place} may not be looked at", _WITH_SUDO)
        return
    except OSError as error:
        yield Finding(what, State.BAD, f"{place}: {error.strerror}", f"sudo rm {quoted}")
        return
    if found.st_uid != os.geteuid() and not (running or os.geteuid() == 0):
        text = f"{place} belongs to {user_name(found.st_uid)}"
        yield Finding(what, State.BAD, text, f"sudo rm -r {quoted}, or set hub.runtime_dir")
    elif found.st_mode & 0o077:
        yield Finding(what, State.BAD, f"others may enter {place}", f"chmod 700 {quoted}")
    elif not running:
        yield _leftovers(place, names)
    else:
        yield Finding(what, State.OK, str(place))


def _leftovers(place: Path, names: Iterable[str]) -> Finding:
    """A hub that ends in order leaves some of its sockets; one that was killed more than that."""
    sockets = [name for name in names if stat.S_ISSOCK(_mode(place / name))]
    if NOTIFY in sockets:
        return Finding(
            "stale sockets",
            State.WARN,
            f"{len(sockets)} in {place}, of a hub that was killed; the next start replaces them",
            " ".join(["rm", *(shlex.quote(str(place / name)) for name in sockets)]),
        )
    return Finding("runtime directory", State.OK, f"{place}; no hub runs there")


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except OSError:
        return 0


def strays(place: Path, *, running: bool) -> Iterator[Finding]:
    """Processes of a hub that has gone: none should outlive it."""
    if running:
        return
    found = []
    for process in psutil.process_iter(["cmdline", "pid"]):
        try:
            ours = is_hub(process.info["cmdline"] or [])
            if ours and process.environ().get("HUB_RUNTIME_DIR") == str(place):
                found.append(process.info["pid"])
        except (psutil.Error, OSError):
            continue
    if found:
        pids = " ".join(map(str, found))
        text = f"{len(found)} of a hub that has gone still run (pid {pids})"
        yield Finding("processes", State.BAD, text, f"kill {pids}")


def software() -> Iterator[Finding]:
    """Whether Python, the packages and the tick path are what the hub is tested with."""
    version, (least, most) = sys.version_info[:2], _TESTED
    text = f"{platform.python_version()} at {sys.executable}"
    if least <= version <= most:
        yield Finding("Python", State.OK, text)
    else:
        tested = f"{least[0]}.{least[1]} to {most[0]}.{most[1]}"
        mend = f"rm -r {REPOSITORY}/.venv; PYTHON=python3.{most[1]} {PROGRAM} --version"
        yield Finding("Python", State.WARN, f"{text}; tested are {tested}", mend)
    yield from packages(REPOSITORY / "requirements.lock")
    yield compiled(pure=bool(os.environ.get("SHARDHUB_PURE")), compiled_=COMPILED)


def packages(lock: Path) -> Iterator[Finding]:
    """Whether what is installed is what the lock file says."""
    try:
        pinned = dict(_PINNED.findall(lock.read_text(encoding="utf-8")))
    except OSError:
        return  # installed by pip, without one
    installed = {name: _version(name) for name in pinned}
    other = [
        f"{name} {version} (tested: {pinned[name]})"
        for name, version in installed.items()
        if version not in {None, pinned[name]}
    ]
    here = [name for name, version in installed.items() if version is not None]
    mend = f"rm -f {REPOSITORY}/.venv/.stamp; {PROGRAM} --version"
    if other:
        more = f" and {len(other) - _NAMED} more" if len(other) > _NAMED else ""
        yield Finding("packages", State.WARN, ", ".join(other[:_NAMED]) + more, mend)
    else:
        yield Finding("packages", State.OK, f"{len(here)}, all as tested")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None  # of another platform; a package that is needed would have been missed by now


def compiled(*, pure: bool, compiled_: bool) -> Finding:
    """Whether the tick path is the compiled one."""
    what = "tick path"
    if compiled_:
        return Finding(what, State.OK, "compiled")
    if pure:
        found = "not the compiled one, for $SHARDHUB_PURE is set"
        return Finding(what, State.WARN, found, "unset SHARDHUB_PURE")
    mend = f"sudo apt install gcc python3-dev && rm -f {REPOSITORY}/.venv/.hot; {PROGRAM} --version"
    return Finding(what, State.WARN, "not compiled, which costs up to half more CPU", mend)


def units(system: Path, program: str) -> Iterator[Finding]:
    """Whether the units that are installed are those of this version."""
    name = plans.NAME
    try:
        if not plans.instances(name, system):
            return
        plan = plans.make(plans.Wish(), REPOSITORY, system, (Path(sys.executable).resolve(),))
        what = plans.due(plan, templates(REPOSITORY), system)
    except (ConfigError, StartError) as error:
        yield Finding("systemd units", State.BAD, str(error), f"sudo {program} systemd install")
        return
    if what:
        names = ", ".join(change.path.name for change in what)
        text = f"not those of this version: {names}"
        yield Finding("systemd units", State.WARN, text, f"sudo {program} systemd install")
    else:
        text = f"{len(plan.units.instances)}, as this version has them"
        yield Finding("systemd units", State.OK, text)


def live(answer: Mapping[str, Any] | HubError, place: Path, program: str) -> Iterator[Finding]:
    """What the hub that runs says of itself."""
    if isinstance(answer, HubError):
        text = f"one runs at {place}, but {answer}"
        yield Finding("hub", State.BAD, text, f"{program} logs --level warning")
        return
    processes = answer["processes"]
    away = {str(one.get("name")): str(one.get("state")) for one in processes
            if one.get("state") != "ready"}  # fmt: skip
    if away:
        on_their_way = set(away.values()) <= _ON_THEIR_WAY
        told = ", ".join(f"{name} ({state})" for name, state in away.items())
        mend = "look again in a few seconds" if on_their_way else f"{program} logs --level warning"
        yield Finding("hub", State.WARN if on_their_way else State.BAD, f"not ready: {told}", mend)
    else:
        text = f"runs at {place}, {len(processes)} processes, all ready"
        yield Finding("hub", State.OK, text)
    if answer["version"] != hub.__version__:
        text = f"version {answer['version']} runs, {hub.__version__} is installed"
        yield Finding("version", State.WARN, text, f"{program} restart --rolling")
    pure = [str(one.get("name")) for one in processes if one.get("compiled") is False]
    if pure and COMPILED:  # else that is told already
        text = f"not the compiled one in {', '.join(pure)}"
        yield Finding("tick path", State.WARN, text, f"{program} restart --rolling")
