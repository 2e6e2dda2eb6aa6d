"""Instructions per tick and per delivery, counted by valgrind: scripts/instructions.

Unlike time they are the same on a machine that is busy with something else.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec

from hub.core.errors import HubError
from scripts.benchmark import callgrind, gate, lockstep
from scripts.benchmark.callgrind import Profile
from scripts.benchmark.children import Child
from scripts.benchmark.counted import FROM, TO
from scripts.benchmark.gate import Record, Share

RECORD = Path(__file__).with_name("instructions.json")
_WARM, _COUNTED = 120, 100
_START_S = 120.0
_AT_ONCE = 2
_SHARD = "shard-0"


class Scenario(NamedTuple):
    """A role, where its ticks come from, and whether it goes without the compiled twin."""

    name: str
    role: str
    ingest: bool
    pure: bool

    @property
    def share(self) -> Share:
        """What a burst is."""
        ends = lockstep.CLIENTS if self.role == _SHARD else lockstep.SHARDS
        return Share(lockstep.BURST, lockstep.BURST * ends)


SCENARIOS = {
    name + suffix: Scenario(name + suffix, role, ingest, pure)
    for suffix, pure in (("", False), ("-pure", True))
    for name, role, ingest in (
        ("router-bus", "router", False),
        ("router-ingest", "router", True),
        ("shard", _SHARD, False),
    )
}


class NotCompiled(Exception):
    """There is no compiled twin here."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, type=click.Choice(list(SCENARIOS)))
@click.option("--record", "record_", is_flag=True, help="Write the figures into the record.")
@click.option("--top", type=click.IntRange(1), help="Show so many of the most expensive functions.")
@click.option("--calls", type=click.IntRange(1), help="Show so many of what Python calls most.")
def main(
    names: tuple[str, ...],
    record_: bool,  # noqa: FBT001  # click's flags are positional
    top: int | None,
    calls: int | None,
) -> None:
    """Count the instructions of router and shard and compare them with the record.

    Exits with 1 when one of the scenarios NAMES (all when none is named) costs 10 % more.
    """
    chosen = [SCENARIOS[name] for name in names or SCENARIOS]
    if calls:
        for one in chosen:
            click.echo(f"{one.name}: calls per burst of {lockstep.BURST} ticks")
            click.echo("\n".join(gate.called(_count_calls(one), _COUNTED, calls)))
        return
    if shutil.which("valgrind") is None:
        click.echo("valgrind is not installed here, so no instructions are counted.")
        return
    profiles = _count_all(chosen)
    for name, profile in profiles.items() if top else ():
        click.echo("\n".join((name, *gate.top(profile, _COUNTED, top or 0))))
    sys.exit(_judge(profiles, record=record_))


def _judge(profiles: dict[str, Profile], *, record: bool) -> int:
    """Show the figures beside those on record; the exit code."""
    old, holds_for = msgspec.json.decode(RECORD.read_bytes(), type=Record), _machine()
    now = {name: gate.figure(profile, _COUNTED) for name, profile in profiles.items()}
    shares = {name: SCENARIOS[name].share for name in now}
    click.echo("\n".join(gate.table(now, old, shares)))
    if record:
        kept = old.figures if old.holds_for == holds_for else {}
        new = Record(holds_for, kept | now)
        RECORD.write_bytes(msgspec.json.format(msgspec.json.encode(new, order="sorted")) + b"\n")
        return 0
    if old.holds_for != holds_for:
        click.echo(f"Not judged: the record holds for {old.holds_for}; this is {holds_for}.")
        return 0
    dear = gate.failed(now, old)
    for name in dear:
        click.echo(f"{name} costs more than {gate.MOST:.0%} more; instructions per burst:")
        click.echo("\n".join(gate.grown(now[name], old.figures[name])))
    if dear:
        click.echo("If it is worth that: scripts/instructions --record")
    return bool(dear)


def _machine() -> str:
    """What instructions depend on besides the program."""
    libc = " ".join(platform.libc_ver())
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{python} by {platform.python_compiler()}, {libc}, {platform.machine()}"


def _count_all(chosen: Sequence[Scenario]) -> dict[str, Profile]:
    """Count two at a time. What goes with the compiled twin is left out where there is none."""
    found = {}
    with ThreadPoolExecutor(min(_AT_ONCE, os.cpu_count() or 1)) as pool:
        runs = {one.name: pool.submit(_count, one) for one in chosen}
        for name, run in runs.items():
            try:
                found[name] = run.result()
            except NotCompiled:
                click.echo(f"{name} is not counted: hub/core/_hot is not compiled here.")
    return found


def _count(scenario: Scenario) -> Profile:
    with tempfile.TemporaryDirectory(prefix="hub-count-") as folder:
        out = Path(folder, "out")
        valgrind = (
            *("valgrind", "-q", "--tool=callgrind", "--dump-line=no"),
            *(f"--callgrind-out-file={out}", f"--dump-before={FROM}", f"--dump-before={TO}"),
        )
        _run(scenario, Path(folder), "count", valgrind)
        with Path(f"{out}.2").open(encoding="utf-8") as dump:  # .1 is what came before
            return callgrind.read(dump)


def _count_calls(scenario: Scenario) -> dict[str, int]:
    with tempfile.TemporaryDirectory(prefix="hub-count-") as folder:
        counts: dict[str, int] = _run(scenario, Path(folder), "calls", ())["calls"]
        return counts


def _run(scenario: Scenario, folder: Path, how: str, under: Sequence[str]) -> dict[str, Any]:
    """Run a scenario; what the role says at its end."""
    is_shard = scenario.role == _SHARD
    flags = lockstep.settings(folder, 1 if is_shard else lockstep.SHARDS)
    environ = {"PYTHONHASHSEED": "0", "SHARDHUB_PURE": "1" if scenario.pure else ""}
    arguments = (scenario.role, msgspec.json.encode(flags).decode(), how)

    log = folder / "log"

    def drive(child: Child, line: lockstep.Line) -> dict[str, Any]:
        line.run(_WARM)
        child.tell("begin")
        child.wait("begin", _START_S)
        line.run(_COUNTED)
        child.tell("end")
        return child.wait("end", _START_S)

    def start() -> Child:
        return Child(
            log,
            lambda: None,
            "scripts.benchmark.counted",
            *arguments,
            under=under,
            environ=environ,
        )

    def ready(child: Child) -> None:
        if not scenario.pure and not child.wait("up", _START_S)["compiled"]:
            raise NotCompiled
        child.wait("ready", _START_S)

    def counted(connect: Callable[[], lockstep.Line]) -> dict[str, Any]:
        child = start()
        try:
            ready(child)
            return drive(child, connect())
        except (OSError, lockstep.Closed) as error:  # a timeout is an OSError
            said = log.read_text(encoding="utf-8", errors="replace")
            raise HubError(f"{scenario.name} came to a halt: {error!r}\n{said}") from None
        finally:
            child.close()

    if not is_shard:
        return counted(lambda: lockstep.to_router(folder, flags, ingest=scenario.ingest))
    key = lockstep.make_key(flags)
    with lockstep.around_shard(flags):
        return counted(lambda: lockstep.to_shard(flags, key))


if __name__ == "__main__":
    try:
        main(prog_name="scripts/instructions")
    except HubError as error:
        raise SystemExit(f"Error: {error}") from None
