"""The command line of the demo."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress

import click
import uvloop
from rich.console import Console
from rich.live import Live
from rich.table import Table

from hub.core.errors import HubError
from scripts.benchmark import nats
from scripts.cluster_demo.play import Cluster, Result, cluster, faults, instruments, suffer

_EPILOG = """\b
Examples:
  scripts/cluster-demo
  scripts/cluster-demo --only uplink
  scripts/cluster-demo --no-faults      look around with the commands that it shows"""


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@click.option("--no-faults", is_flag=True, help="Kill nothing; run until Ctrl-C.")
@click.option("--only", metavar="WORD", default="", help="Only faults with this word in them.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def main(*, no_faults: bool, only: str, as_json: bool) -> None:
    """Several machines on this one: three NATS nodes, an ingest with the simulator, two edges.

    A client at each edge holds twenty symbols. Then one thing after another is killed, and it is
    told for how long each client got no tick, and whether it was disconnected. It takes about a
    minute and a half, and leaves nothing behind.
    """
    program = nats.binary()
    if program is None:
        raise click.ClickException("there is no nats-server here; scripts/cluster-demo installs it")
    screen = Console(stderr=as_json)
    try:
        results = uvloop.run(_play(program, screen, only=only, forever=no_faults))
    except HubError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        sys.exit(130)
    except asyncio.CancelledError:
        sys.exit(143)
    if as_json:
        click.echo(json.dumps([result._asdict() for result in results], indent=2))
    elif results:
        screen.print(_table(results))
    sys.exit(1 if any(result.lost for result in results) else 0)


async def _play(program: object, screen: Console, *, only: str, forever: bool) -> list[Result]:
    results = []
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel if task else sys.exit)
    with Live(console=screen, auto_refresh=False, transient=True) as live:

        def tell(text: str) -> None:
            live.console.print(text, highlight=False)

        async with cluster(program, tell) as made:  # type: ignore[arg-type]  # a Path
            for line in _commands(made):
                tell(line)
            show = asyncio.create_task(_show(made, live))
            try:
                if forever:
                    with suppress(asyncio.CancelledError):
                        await asyncio.Event().wait()
                for name, deed in faults(made).items() if not forever else ():
                    if only.lower() in name:
                        tell(f"[bold]{name}[/]")
                        results.append(await suffer(made, name, deed))
                        tell(f"  {_told(results[-1])}")
            finally:
                show.cancel()
            tell("that is all; everything leaves")
    return results


def _commands(made: Cluster) -> Iterator[str]:
    yield "ticks flow at both edges. In another terminal:"
    for machine in (made.ingest, *made.edges):
        yield f"  scripts/hub status --cluster --runtime-dir {machine.runtime_dir}"


async def _show(made: Cluster, live: Live) -> None:
    """A table of what the clients see just now, on a terminal."""
    while live.console.is_terminal:
        table = Table("client at", instruments()[0], "ticks/s", "ticks", "disconnected")
        for watch in made.watches:
            price = f"{watch.price:,.2f}"
            row = watch.name, price, str(watch.rate), f"{watch.ticks:,}", f"{watch.lost} times"
            table.add_row(*row)
        live.update(table, refresh=True)
        await asyncio.sleep(0.25)


def _told(result: Result) -> str:
    gaps = ", ".join(f"{gap_s:.1f} s at {edge}" for edge, gap_s in result.gaps_s.items())
    return f"no tick for {gaps}; {result.lost or 'nobody'} disconnected"


def _table(results: list[Result]) -> Table:
    edges = [*results[0].gaps_s]
    table = Table("what happened", *[f"no tick at {edge}" for edge in edges], "disconnected")
    for result in results:
        gaps = [f"{result.gaps_s[edge]:.2f} s" for edge in edges]
        table.add_row(result.fault, *gaps, str(result.lost))
    return table


if __name__ == "__main__":
    main()
