"""The command line of the random faults: scripts/chaos."""

from __future__ import annotations

import asyncio
import random
import sys
import time

import click
import msgspec
import uvloop

from hub.core.errors import HubError
from scripts.benchmark import usage
from scripts.faults import report
from scripts.faults.outcome import Order
from scripts.faults.run import play

_EPILOG = """\b
Examples:
  scripts/chaos --minutes 2
  scripts/chaos --minutes 30 --seed 7 --json
  scripts/chaos --minutes 1 --only kill-shard --only stop-shard"""


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@click.option(
    "--minutes",
    type=click.FloatRange(0.1, 240),
    default=2.0,
    show_default=True,
    help="How long faults are done; start and end take about half a minute more.",
)
@click.option("--seed", type=int, help="The same seed gives the same faults.  [default: drawn]")
@click.option("--shards", type=click.IntRange(2, 16), default=4, show_default=True)
@click.option(
    "--rate", type=click.IntRange(500, 50_000), default=5000, show_default=True, help="Ticks/s."
)
@click.option(
    "--only",
    multiple=True,
    metavar="KIND[-ROLE]",
    help="Only such faults: kill, stop, terminate, freeze, slow, reset, slice, delay, mute, storm, "
    "vandal; or of a role, such as kill-shard.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON at the end instead of text.")
def main(
    minutes: float,
    seed: int | None,
    shards: int,
    rate: int,
    only: tuple[str, ...],
    as_json: bool,  # noqa: FBT001  # click's flags are positional
) -> None:
    """Random faults under load, on a hub of its own, and what clients got meanwhile.

    Processes of the hub are killed, stopped and told to leave; lines to clients freeze, slow down
    and break; publishers misbehave; crowds of clients come at once. Every tick carries a number,
    and each of some forty clients proves that it got what docs/guarantees.md promises. Each fault
    is told with the times it took to be well again.

    Exits with 1 when a promise was broken, and tells by whom, when and after which fault.
    """
    order = Order(
        random.SystemRandom().randrange(10**6) if seed is None else seed,
        minutes * 60,
        shards=shards,
        rate=rate,
        only=only,
    )
    live = sys.stderr.isatty()
    start_s = time.monotonic()

    def tell(text: str) -> None:
        if not as_json:
            click.echo(f"\r\x1b[K{text}" if live else text, err=live)
        if live:
            left_s = order.seconds - (time.monotonic() - start_s)
            click.echo(f"\r\x1b[K{max(0, left_s):.0f} s to go", nl=False, err=True)

    tell(f"Seed {order.seed}, {minutes:g} minutes, {shards} shards, {rate:,} ticks/s.")
    try:
        outcome = uvloop.run(play(order, tell))
    except HubError as error:
        raise click.ClickException(str(error)) from None
    except asyncio.CancelledError:
        sys.exit(143)  # SIGTERM: everything was ended on the way here
    machine = usage.machine()
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report.as_json(machine, outcome))))
    else:
        for text in report.lines(machine, outcome):
            click.echo(text)
    sys.exit(1 if outcome.broken else 0)


if __name__ == "__main__":
    main(prog_name="scripts/chaos")
