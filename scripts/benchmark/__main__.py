"""The command line of the benchmark: scripts/bench."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console

from hub.core.errors import HubError
from scripts.benchmark import contenders, limit, report, rounds, usage
from scripts.benchmark.contenders import Contender
from scripts.benchmark.loads import LOADS, Load
from scripts.benchmark.ticks import smallest_payload

_QUICK = {"seconds": 3.0, "warm_s": 1.0}
_LIMIT_FORM = {"clients": 4, "symbols": 1000}
_USUAL = ("c-loop", "loop", "nats")
_SETTING_BEGINS = re.compile(r",(?=\w+\.\w+=)")
_FORMS = ("plain", "batch", "msgpack", "both")
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
@click.option(
    "--single/--bursts",
    default=None,
    help="Publish ticks one by one, evenly spaced, or in bursts of a millisecond.",
)
@click.option("--quick", is_flag=True, help="3 s for each load instead of 10.")
@click.option(
    "--rounds",
    "count",
    type=click.IntRange(1, 50),
    default=1,
    help="Run each load so often, in turn.",
)
@click.option(
    "--peers",
    default=",".join(_USUAL),
    show_default=True,
    metavar="NAMES",
    help=f"What runs beside the hub: {', '.join(contenders.PEERS)}.",
)
@click.option(
    "--openalgo",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="PATH",
    help="Run the proxy of this checkout of OpenAlgo beside the hub, from a copy.",
)
@click.option(
    "--openalgo-python",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Python that OpenAlgo runs with.  [default: the one of the checkout's .venv]",
)
@click.option("--no-peer", is_flag=True, help="Run the hub alone.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option(
    "--set", "-s", "settings", multiple=True, metavar="SECTION.NAME=VALUE", help="A hub setting."
)
@click.option(
    "--hub-variant",
    "variants",
    multiple=True,
    metavar="NAME:SECTION.NAME=VALUE,...",
    help="Run the hub with other settings too, in the same rounds.",
)
@click.option(
    "--ingest", is_flag=True, help="Run the hub too with ticks that come as a feed's batches."
)
@click.option(
    "--form",
    "forms",
    multiple=True,
    type=click.Choice(_FORMS),
    default=["plain"],
    help="Run the hub too with clients that ask for batches, msgpack or both; plain is always run.",
)
@click.option(
    "--disturbed",
    type=click.IntRange(1, 500),
    metavar="K",
    help="Run the hub too beside K more clients that read nothing and K that read 4 KB/s; the "
    "figures are those of the others.",
)
@click.option(
    "--find-limit",
    is_flag=True,
    help=f"Search the highest rate with nothing lost and a p99 below {limit.P99_MS:g} ms, of 4 "
    "clients x 1,000 symbols unless said otherwise.",
)
def main(
    names: tuple[str, ...],
    list_: bool,  # noqa: FBT001  # click's flags are positional
    quick: bool,  # noqa: FBT001
    count: int,
    peers: str,
    openalgo: Path | None,
    openalgo_python: Path | None,
    no_peer: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    settings: tuple[str, ...],
    variants: tuple[str, ...],
    ingest: bool,  # noqa: FBT001
    forms: tuple[str, ...],
    disturbed: int | None,
    find_limit: bool,  # noqa: FBT001
    **changes: Any,
) -> None:
    """Measure a hub of its own under the loads NAMES (all when none is named).

    With --clients, --symbols or --rate alone, one load of that form is run. Exits with 1 when
    the hub lost something, or it came twice or out of order.
    """
    if find_limit and (
        names or disturbed or "rate" in {k for k, v in changes.items() if v is not None}
    ):
        raise click.BadParameter(
            "--find-limit tries rates of its own; name no load, no --rate and no --disturbed"
        )
    changes = (_QUICK if quick else {}) | {k: v for k, v in changes.items() if v is not None}
    chosen = _choose(names, changes)
    if list_:
        for load in chosen:
            click.echo(_describe(load))
        return
    own = dict(_setting(text) for text in settings)
    field = _hubs(own, variants, forms, ingest=ingest, outlet="direct" if find_limit else "bus")
    if disturbed:
        field.append(contenders.hub("hub disturbed", own, disturbers=disturbed))
    try:
        if find_limit:
            load = _changed(LOADS[0], _LIMIT_FORM | _QUICK | changes, rename=True)
            _show_limits(
                rounds.find_limits(load, field, None if as_json else click.echo), as_json=as_json
            )
            return
        field += [] if no_peer else _peers(peers)
        if openalgo:
            field.append(contenders.openalgo(openalgo, openalgo_python))
        rows = rounds.run(chosen, field, count)
    except HubError as error:
        raise click.ClickException(str(error)) from None
    machine = usage.machine(contender.version for contender in field)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report.as_json(machine, rows))))
    else:
        report.show(Console(width=None if sys.stdout.isatty() else 160), machine, rows)
    sys.exit(0 if all(row.results[name].sound for row in rows for name in row.hubs) else 1)


def _show_limits(found: Sequence[rounds.Found], *, as_json: bool) -> None:
    """What to expect, a sentence for each hub; as JSON with the figures."""
    if as_json:
        limits = [{"who": one.who, "says": one.says, **limit.as_json(one.limit)} for one in found]
        value = {"machine": usage.machine(), "limits": limits}
        click.echo(msgspec.json.format(msgspec.json.encode(value)))
        return
    for one in found:
        click.echo(one.says)
    click.echo(usage.machine())


def _hubs(
    settings: dict[str, str],
    variants: Sequence[str],
    forms: Sequence[str],
    *,
    ingest: bool,
    outlet: str,
) -> list[Contender]:
    """The hub, its variants, the hub that gets batches, and the hub with clients of other forms."""
    found = [contenders.hub("hub", settings, outlet)]
    for text in variants:
        name, colon, rest = text.partition(":")
        if not colon or not name:
            raise click.BadParameter(f"{text!r} is not NAME:SECTION.NAME=VALUE,...")
        own = dict(_setting(one) for one in _SETTING_BEGINS.split(rest))
        found.append(contenders.hub(f"hub {name}", settings | own, outlet))
    if ingest:
        found.append(contenders.hub("hub ingest", settings, "ingest"))
    others = [f"hub {form}" for form in _FORMS[1:] if form in forms]
    return found + [contenders.hub(name, settings, outlet, name) for name in others]


def _peers(names: str) -> list[Contender]:
    """What stands beside it; one that cannot be had is passed over with a word."""
    found = []
    for name in filter(None, names.split(",")):
        if name not in contenders.PEERS:
            known = ", ".join(contenders.PEERS)
            raise click.BadParameter(f"there is no peer {name!r}; there are {known}")
        try:
            found.append(contenders.PEERS[name]())
        except HubError as error:
            click.echo(f"Without {name}: {error}", err=True)
    return found


def _choose(names: Sequence[str], changes: dict[str, Any]) -> list[Load]:
    """The loads asked for, with what was changed."""
    form = {"clients", "symbols", "rate", "single"} & changes.keys()
    if names or not form:
        chosen = [load for load in LOADS if load.name in names or not names]
        return [_changed(load, changes, rename=bool(form)) for load in chosen]
    return [_changed(LOADS[1], changes, rename=True)]


def _changed(load: Load, changes: dict[str, Any], *, rename: bool) -> Load:
    changed = msgspec.structs.replace(load, **changes)
    if rename:
        single = "-single" if changed.single else ""
        name = f"{changed.clients}x{changed.rate}{single}"
        changed = msgspec.structs.replace(changed, name=name)
    return changed


def _setting(text: str) -> tuple[str, str]:
    path, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} is not SECTION.NAME=VALUE")
    return path, value


def _describe(load: Load) -> str:
    return (
        f"{load.name:<14} {load.clients:>4} clients x {load.symbols:,} symbols, {load.rate:,} "
        f"ticks/s of {load.payload_bytes} bytes, {load.clients * load.rate:,} frames/s, "
        f"{load.shards} shards, {load.seconds:g} s{', one by one' if load.single else ''}"
    )


if __name__ == "__main__":
    main(prog_name="scripts/bench")
