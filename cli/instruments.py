"""`hub instruments`: brokers' lists of instruments are downloaded, shown and searched."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from cli import complete, render
from cli.options import config_option, json_option, lines, load_settings
from cli.render import Column
from cli.terminal import console, show
from hub.brokers import catalogue
from hub.brokers.base import Listing
from hub.core.errors import HubError
from hub.instruments import store
from hub.instruments import update as updating
from hub.instruments.store import Store, Unusable

_LISTS = (
    Column("broker"),
    Column("instruments", right=True),
    Column("age", right=True),
    Column("exchanges", wide=True),
    Column("file", wide=True),
)
_FOUND = (
    Column("instrument", whole=True),
    Column("name", wide=True),
    Column("kind"),
    Column("expiry", spare=True),
    Column("lot", right=True),
    Column("tick", right=True),
    Column("at the broker", wide=True),
    Column("token", right=True),
    Column("broker"),
)
_BROKER = click.Choice(catalogue.NAMES)
_ZONE = ZoneInfo("Asia/Kolkata")


@click.group(
    epilog=lines(
        "Examples:",
        "hub instruments update angel",
        "hub instruments search nifty 25000 ce --exchange NFO",
        "hub instruments list",
    )
)
def instruments() -> None:
    """Download and search the lists of instruments of brokers.

    The hub knows symbols by OpenAlgo's names, such as NFO:NIFTY29DEC26FUT, and each broker by its
    own. Which is which stands in the broker's list. A feed fetches the list of its broker once a
    day by itself; these commands do it at once, and look into what is there.
    """


@instruments.command(
    epilog=lines(
        "Examples:",
        "hub instruments update angel",
        "hub instruments update zerodha dhan",
    )
)
@click.argument(
    "brokers", nargs=-1, type=_BROKER, metavar="[BROKER]...", shell_complete=complete.brokers
)
@click.option(
    "--from",
    "where",
    metavar="ADDRESS|FOLDER",
    help="Where the broker's files are by their names.  [default: as the settings say]",
)
@config_option
def update(*, brokers: tuple[str, ...], where: str | None, config_file: Path | None) -> None:
    """Download the list of each BROKER, and put it in the place of the one that is there.

    Without a BROKER it is done for those among the feeds of the settings. The list that is there
    stays when the new one cannot be had, or is too short to be right. They come from the broker's
    own address, unless --from or `instruments_url` of its settings names another, or a folder.
    """
    settings = load_settings(config_file)
    wanted = brokers or tuple(catalogue.among(settings.hub.feeds))
    if not wanted:
        raise click.UsageError(f"Name a BROKER: {', '.join(catalogue.NAMES)}.")
    failed = []
    for name in dict.fromkeys(wanted):
        try:
            _update(name, where or updating.where_of(name, settings))
        except HubError as error:
            failed.append(error)
            if len(wanted) > 1:
                click.echo(f"{name}: {error}", err=True)
    if failed:
        raise failed[0] if len(wanted) == 1 else HubError(f"{len(failed)} of {len(wanted)} failed")


@instruments.command(
    epilog=lines(
        "Examples:",
        "hub instruments search reliance",
        "hub instruments search nifty 25000 ce --exchange NFO",
        "hub instruments search banknifty fut --broker angel --json",
    )
)
@click.argument("text", nargs=-1, required=True)
@click.option("--exchange", metavar="NAME", default="", help="Of this exchange alone, such as NFO.")
@click.option(
    "--broker", type=_BROKER, shell_complete=complete.brokers, help="In the list of this broker."
)
@click.option(
    "--most", type=click.IntRange(1, 10_000), default=20, show_default=True, metavar="N",
    help="So many at most.",
)  # fmt: skip
@json_option
@config_option
def search(
    *,
    text: tuple[str, ...],
    exchange: str,
    broker: str | None,
    most: int,
    as_json: bool,
    config_file: Path | None,
) -> None:
    """Show the instruments that have all words of TEXT in their symbol or name.

    Words may stand in any order. What fits best comes first: an index and its equity before
    contracts, the nearest expiry before later ones, what has expired last.
    """
    load_settings(config_file)  # a wrong setting is told by every command
    today = datetime.now(_ZONE).date().isoformat()
    found: list[tuple[str, Listing]] = []
    served: dict[str, None] = {}
    for name, kept in _stores([broker] if broker else _there()):
        served |= dict.fromkeys(kept.served)
        listings = kept.search(" ".join(text), exchange.upper(), most, today)
        found += [(name, listing) for listing in listings]
    if as_json:
        rows = [{"broker": name, **listing._asdict()} for name, listing in found]
        click.echo(json.dumps(rows, indent=2))
    elif found:
        show(render.table(_FOUND, [_row(name, listing) for name, listing in found]))
    elif exchange and exchange.upper() not in served:
        raise HubError(f"there is no exchange {exchange.upper()}; there are {', '.join(served)}")
    else:
        where = f" on {exchange.upper()}" if exchange else ""
        raise HubError(f"nothing{where} has all of these words; try fewer, or parts of them")


@instruments.command(
    "list", epilog=lines("Examples:", "hub instruments list", "hub instruments list --json")
)
@json_option
@config_option
def list_(*, as_json: bool, config_file: Path | None) -> None:
    """List which brokers' lists are there: how long, how old, and where."""
    load_settings(config_file)
    names = _there()
    rows, told = list[Sequence[str | Text]](), list[dict[str, object]]()
    for name, kept in _stores(names) if names else ():
        age, served = render.duration(time.time() - kept.built), kept.served
        rows.append((name, f"{kept.count:,}", age, ", ".join(served), str(kept.path)))
        told.append(
            {"broker": name, "count": kept.count, "built": kept.built, "exchanges": served,
             "path": str(kept.path)}
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps(told, indent=2))
    elif rows:
        show(render.table(_LISTS, rows))
    else:
        click.echo(f"There is no list yet in {store.folder()}.")
        click.echo("Get one: hub instruments update BROKER")


def _update(name: str, where: str) -> None:
    """Get one list, with a bar on a terminal and a sentence at the end."""
    if "://" not in where and where:
        where = str(Path(where).expanduser().absolute())
    path, began = store.path_of(name), time.monotonic()
    with _bar(name) as tell:
        count = asyncio.run(updating.update(catalogue.get(name), where, path, tell))
    took = render.duration(time.monotonic() - began)
    click.echo(f"{name}: {count:,} instruments in {took}, kept in {path}")


@contextmanager
def _bar(name: str) -> Iterator[updating.Tell]:
    """What shows how far it is, gone at the end."""
    screen = console(err=True)
    progress = Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[had]}"),
        console=screen, disable=not screen.is_terminal, transient=True,
    )  # fmt: skip
    bar = progress.add_task(name, total=None, had="")

    def tell(one: updating.Progress) -> None:
        had = f"{one.rows:,} instruments" if one.rows else decimal(one.bytes)
        progress.update(
            bar, description=f"{name}: {one.source}", completed=one.bytes,
            total=one.whole or None, had=had,
        )  # fmt: skip

    with progress:
        yield tell


def _there() -> list[str]:
    """The brokers whose lists are there."""
    return [name for name in catalogue.NAMES if store.path_of(name).exists()]


def _stores(names: Sequence[str]) -> Iterator[tuple[str, Store]]:
    """Their lists, each open until the next one. Raises Unusable, when there is none also."""
    if not names:
        raise Unusable(
            "there is no list of instruments yet; type `hub instruments update BROKER` with one of "
            f"{', '.join(catalogue.NAMES)}"
        )
    for name in names:
        with Store(store.path_of(name)) as kept:
            yield name, kept


def _row(name: str, one: Listing) -> Sequence[str | Text]:
    tick = f"{one.tick:g}" if one.tick else render.ABSENT
    token = f"{one.segment}:{one.token}" if one.segment else one.token
    return (
        f"{one.exchange}:{one.symbol}", one.name, one.kind, one.expiry, f"{one.lot:,}", tick,
        one.broker_symbol, token, name,
    )  # fmt: skip
