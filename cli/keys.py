"""`hub keys`: API keys are added, listed and revoked in the file of their hashes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import click
from rich.text import Text

from cli import complete, render
from cli.options import config_option, json_option, lines, load_settings
from cli.render import Column
from cli.terminal import show, show_long
from hub.auth.keystore import KeyStore, default_path
from hub.auth.records import KeyRecord
from hub.core.settings import Settings

_COLUMNS = (
    Column("name"),
    Column("id"),
    Column("user"),
    Column("broker"),
    Column("added"),
)


@click.group(
    epilog=lines("Examples:", "hub keys add algo", "hub keys list", "hub keys revoke algo")
)
def keys() -> None:
    """Add, list and revoke the API keys with which clients log in.

    Keys are kept as keyed hashes: a key is shown once, when it is added, and never again. A
    running hub sees every change of the file by itself.
    """


@keys.command(
    epilog=lines(
        "Examples:",
        "hub keys add algo",
        "hub keys add charts --user alice --broker zerodha",
        "(umask 077; hub keys add algo --quiet > algo.key)",
    )
)
@click.argument("name")
@click.option("--user", help="Whose order updates it may see.  [default: NAME]")
@click.option(
    "--broker",
    shell_complete=complete.feeds,
    help="The feed its ticks come from.  [default: the first feed]",
)
@click.option("--quiet", "-q", is_flag=True, help="Print the key and nothing else.")
@config_option
def add(
    *, name: str, user: str | None, broker: str | None, quiet: bool, config_file: Path | None
) -> None:
    """Make a new API key called NAME and show it, for the only time."""
    settings = load_settings(config_file)
    store, user, broker = store_of(settings), user or name, broker or settings.hub.feeds[0]
    key = store.add(name, user, broker, now=time.time())
    if quiet:
        click.echo(key)
        return
    rows = {"key": key, "name": name, "user": user, "broker": broker, "file": str(store.path)}
    show_long(_card(rows))
    click.echo("\nKeep the key now: only its hash is stored, so it cannot be shown again.")


@keys.command("list", epilog=lines("Examples:", "hub keys list", "hub keys list --json"))
@json_option
@config_option
def list_(*, as_json: bool, config_file: Path | None) -> None:
    """List the API keys, without anything secret."""
    store = store_of(load_settings(config_file))
    records = store.list()
    if as_json:
        click.echo(json.dumps([record._asdict() for record in records], indent=2))
    elif records:
        show(render.table(_COLUMNS, [_row(record) for record in records]))
    else:
        click.echo(f"There is no key yet in {store.path}. Add one: hub keys add NAME")


@keys.command(epilog=lines("Example:", "hub keys revoke algo"))
@click.argument("name", shell_complete=complete.keys)
@config_option
def revoke(*, name: str, config_file: Path | None) -> None:
    """Delete the API key called NAME: nobody logs in with it any more."""
    settings = load_settings(config_file)
    record = store_of(settings).revoke(name)
    click.echo(f"Revoked {record.name} (id {record.id}, user {record.user}).")
    within_s = max(1.0, settings.keys.cache_s)
    click.echo(f"Clients that are connected with it are disconnected within {within_s:g} s.")


def store_of(settings: Settings) -> KeyStore:
    """The file of keys that a hub with these settings uses."""
    return KeyStore(Path(settings.keys.file) if settings.keys.file else default_path(os.environ))


def _row(record: KeyRecord) -> Sequence[str]:
    added = time.strftime("%Y-%m-%d %H:%M", time.localtime(record.created))
    return record.name, record.id, record.user, record.broker, added


def _card(rows: dict[str, str]) -> Text:
    """Names and values, one a line; no value is cut, for the key among them is to be copied."""
    card = Text()
    for name, value in rows.items():
        style = "bold green" if name == "key" else ""
        card.append(f"{name:<8}", "dim").append(f"{value}\n", style)
    card.rstrip()
    return card
