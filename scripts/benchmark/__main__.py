"""The command line of the benchmark: scripts/bench."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from hub.core.errors import HubError
from scripts.benchmark import report, run, usage
from scripts.benchmark.loads import LOADS, Load
from scripts.benchmark.run import Pair
from scripts.benchmark.ticks import smallest_payload

_QUICK = {"seconds": 3.0, "warm_s": 1.0}
_NAMES = [load.name for load in LOADS]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, type=click.Choice(_NAMES))
@click.option("--list", "list_", is_flag=True, help="Show the loads and leave.")
@click.option("--clients", type=click.IntRange(1, 2000), help="Clients.")
@click.option("--symbols", type=click.IntRange(1, 100_000), help="Symbols each client holds.")
@click.option("--rate", type=click.IntRange(1, 1_000_000), help="Ticks per second, of all symbols.")
@click.option("--seconds", type=click.FloatRange(1, 300), help="Length of the measured window.")
@click.option(
    "--warm",
    "warm_s",
    type=click.FloatRange(0, 60),
    help="Seconds published before the window; 0 measures the first tick of each topic too.",
)
@click.option("--shards", type=click.IntRange(1, 64), help="Shards of the hub.")
@click.option(
    "--payload",
    "payload_bytes",
    type=click.IntRange(smallest_payload(), 7000),
    help="Bytes of a tick's JSON.",
)
@click.option("--quick", is_flag=True, help="3 s for each load instead of 10.")
@click.option("--repeat", type=click.IntRange(1, 20), default=1, help="Run each load so often.")
@click.option("--peer/--no-peer", default=True, help="Run the plain loop beside the hub.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option(
    "--set", "-s", "settings", multiple=True, metavar="SECTION.NAME=VALUE", help="A hub setting."
)
def main(
    names: tuple[str, ...],
    list_: bool,  # noqa: FBT001  # click's flags are positional
    quick: bool,  # noqa: FBT001
    repeat: int,
    peer: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    settings: tuple[str, ...],
    **changes: Any,
) -> None:
    """Measure a hub of its own under the loads NAMES (all when none is named).

    With --clients, --symbols or --rate alone, one load of that form is run. Exits with 1 when
    something was lost, came twice or out of order.
    """
    changes = (_QUICK if quick else {}) | {k: v for k, v in changes.items() if v is not None}
    chosen = _choose(names, changes)
    if list_:
        for load in chosen:
            click.echo(_describe(load))
        return
    flags = dict(_setting(text) for text in settings)
    try:
        pairs = _run([load for load in chosen for _ in range(repeat)], flags, peer=peer)
    except HubError as error:
        raise click.ClickException(str(error)) from None
    machine = usage.machine()
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report.as_json(machine, pairs))))
    else:
        report.show(Console(width=None if sys.stdout.isatty() else 160), machine, pairs)
    sys.exit(0 if all(_sound(pair) for pair in pairs) else 1)


def _choose(names: Sequence[str], changes: dict[str, Any]) -> list[Load]:
    """The loads asked for, with what was changed."""
    form = {"clients", "symbols", "rate"} & changes.keys()
    if names or not form:
        chosen = [load for load in LOADS if load.name in names or not names]
        return [_changed(load, changes, rename=bool(form)) for load in chosen]
    return [_changed(LOADS[1], changes, rename=True)]


def _changed(load: Load, changes: dict[str, Any], *, rename: bool) -> Load:
    changed = msgspec.structs.replace(load, **changes)
    if rename:
        changed = msgspec.structs.replace(changed, name=f"{changed.clients}x{changed.rate}")
    return changed


def _setting(text: str) -> tuple[str, str]:
    path, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} is not SECTION.NAME=VALUE")
    return path, value


def _describe(load: Load) -> str:
    return (
        f"{load.name:<10} {load.clients:>4} clients x {load.symbols:,} symbols, {load.rate:,} "
        f"ticks/s of {load.payload_bytes} bytes, {load.clients * load.rate:,} frames/s, "
        f"{load.shards} shards, {load.seconds:g} s"
    )


def _run(chosen: Sequence[Load], flags: dict[str, str], *, peer: bool) -> list[Pair]:
    """Run the loads one after the other, with a bar on stderr."""
    pairs = []
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        total = sum(run.seconds(load, peer=peer) for load in chosen)
        task = progress.add_task("", total=total)
        done = 0.0
        for load in chosen:
            progress.update(task, description=load.name)
            until, started_s = done + run.seconds(load, peer=peer), time.monotonic()

            def beat(done: float = done, until: float = until, at_s: float = started_s) -> None:
                progress.update(task, completed=min(until, done + time.monotonic() - at_s))

            pairs.append(run.measure(load, flags, beat, peer=peer))
            done = until
    return pairs


def _sound(pair: Pair) -> bool:
    """Whether nothing was lost, doubled or disordered, as far as the run counts."""
    hub = pair.hub
    whole = hub.ratio == 1 or bool(hub.notes)
    return whole and not hub.duplicates and not hub.disordered


if __name__ == "__main__":
    main(prog_name="scripts/bench")
