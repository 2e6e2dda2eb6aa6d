"""`hub login`: the sessions of broker accounts are begun and shown."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click
from rich.text import Text

from cli import complete, render
from cli.options import config_option, json_option, lines, load_settings, openalgo_option, whole
from cli.render import Column
from cli.terminal import show, waiting
from hub.brokers import catalogue
from hub.core.errors import BrokerError, HubError
from hub.core.settings import Account, Settings
from hub.credentials.provider import Found, Provider, providers
from hub.credentials.sources import usual_file

_COLUMNS = (
    Column("broker"),
    Column("account", right=True),
    Column("source", wide=True),
    Column("state"),
    Column("expires"),
    Column("logged in", spare=True),
)


class _Look(NamedTuple):
    """An account, and what there is of it: nothing, and why, when it cannot be read."""

    number: int
    provider: Provider
    found: Found | None
    problem: str


@click.command(
    epilog=lines(
        "Examples:",
        "hub login",
        "hub login angel",
        "hub login zerodha --account 2",
    )
    + lines(
        "Where a broker wants a browser, the address that it leads to at the end is asked for.",
        "It holds a code that is good once, for a few minutes, and nothing else of yours.",
    )
)
@click.argument(
    "broker", required=False, type=click.Choice(catalogue.NAMES), metavar="[BROKER]",
    shell_complete=complete.brokers,
)  # fmt: skip
@click.option(
    "--account", type=click.IntRange(1), default=1, show_default=True, metavar="N",
    help="Which of BROKER's credentials in the settings.",
)  # fmt: skip
@click.option(
    "--code", metavar="CODE|ADDRESS",
    help="Where BROKER led the browser to, or the code in it, if you have it already.",
)  # fmt: skip
@json_option
@config_option
@openalgo_option
def login(
    *,
    broker: str | None,
    account: int,
    code: str | None,
    as_json: bool,
    config_file: Path | None,
    openalgo: Path | None,
) -> None:
    """Log in to BROKER, or show which logins there are.

    Brokers' sessions last a day. With a PIN and a TOTP secret among the credentials some are begun
    without anybody there, also by the hub itself; others want their owner in a browser. What the
    login brings is kept beside the credentials, in a file that only you can read; a running hub
    takes it up within seconds. Credentials are read from where the settings say; nothing secret is
    shown.
    """
    settings = load_settings(config_file, {"openalgo.path": whole(openalgo)})
    if broker is None:
        _show_all(settings, as_json=as_json)
        return
    provider = _account(broker, account, settings)
    asyncio.run(_log_in(provider, code))
    found = asyncio.run(provider.find())
    if as_json:
        click.echo(json.dumps(_told(_Look(account, provider, found, "")), indent=2))
        return
    ends = provider.broker.expires(found.credentials)
    until = f" until {_clock(ends)}" if ends else ""
    click.echo(f"Logged in to {provider.broker.title} ({provider.name}){until}.")


def _account(broker: str, number: int, settings: Settings) -> Provider:
    found = providers(catalogue.get(broker), settings, os.environ)
    if number > len(found):
        raise click.UsageError(
            f"{broker}.credentials names {len(found)} account{'s' * (len(found) > 1)}, "
            f"so there is no {number}."
        )
    return found[number - 1]


async def _log_in(provider: Provider, code: str | None) -> None:
    address = "" if code else await provider.visit()
    if address:
        click.echo(
            f"Open this address, log in to {provider.broker.title}, and come back:\n", err=True
        )
        click.echo(address)
        click.echo(
            "\nThe browser ends at a page that may not be there. Copy its address as a whole.",
            err=True,
        )
        code = _ask()
    with waiting(f"logging in to {provider.broker.title}"):
        await provider.login(code or "")


def _ask() -> str:
    click.echo("Its address, or the code in it: ", nl=False, err=True)
    answer = sys.stdin.readline().strip()
    if not answer:
        raise HubError("no address was given, so nobody was logged in")
    return answer


def _show_all(settings: Settings, *, as_json: bool) -> None:
    looks = asyncio.run(_look_at_all(settings))
    if as_json:
        click.echo(json.dumps([_told(look) for look in looks], indent=2))
        return
    if not looks:
        click.echo("No broker is among the feeds of the settings, and none has credentials.")
        click.echo("See what one needs: hub login BROKER")
        return
    show(render.table(_COLUMNS, [_row(look) for look in looks]))
    for look in looks:
        if look.problem:
            click.echo(f"{look.provider.broker.name}: {look.problem}")


async def _look_at_all(settings: Settings) -> list[_Look]:
    """Every account of brokers that are feeds, of which the settings say something, or whose usual
    file is there."""
    looks = []
    feeds = catalogue.among(settings.hub.feeds)
    for name in catalogue.NAMES:
        account: Account = getattr(settings, name)
        if name in feeds or account.credentials or usual_file(name, settings).exists():
            accounts = providers(catalogue.get(name), settings, os.environ)
            looks += [await _look(number, one) for number, one in enumerate(accounts, 1)]
    return looks


async def _look(number: int, provider: Provider) -> _Look:
    try:
        found = await provider.find()
        if found.missing:
            await provider.get()
    except BrokerError as error:
        return _Look(number, provider, None, str(error))
    return _Look(number, provider, found, "")


def _row(look: _Look) -> Sequence[str | Text]:
    told = _told(look)
    made = look.found.session.made if look.found and look.found.session else None
    ends = told["expires"]
    return (
        look.provider.broker.name,
        str(look.number),
        look.provider.name,
        render.state(str(told["state"])),
        _clock(ends) if isinstance(ends, float) else render.ABSENT,
        _clock(made) if made else "",
    )


def _told(look: _Look) -> dict[str, object]:
    """An account as JSON has it: names of fields, and none of their values."""
    found = look.found
    ends = look.provider.broker.expires(found.credentials) if found else None
    state = "ready" if found else "missing"
    if ends is not None and ends < time.time():
        state = "expired"
    return {
        "broker": look.provider.broker.name,
        "account": look.number,
        "source": look.provider.name,
        "state": state,
        "fields": sorted(found.credentials) if found else [],
        "expires": ends,
        "logged_in": found.session.made if found and found.session else None,
        "problem": look.problem,
    }


def _clock(at_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at_s))
