"""The options of a hub that is one of several machines, and what they mean as settings."""

from __future__ import annotations

import pwd
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import click

from cli.options import whole
from hub.core.settings import NATS


def _servers(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> list[str]:
    """Repeated, or with commas."""
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


_BUS = click.option(
    "--bus",
    multiple=True,
    metavar="URL",
    callback=_servers,
    help="Serve clients what other machines publish at this NATS server; the ZMQ bus has "
    "--bus-port.",
)
_OPTIONS = (
    click.option(
        "--publish",
        multiple=True,
        metavar="URL",
        callback=_servers,
        help="Offer what the feeds here have to other machines, by the NATS server at URL, such as "
        "nats://host:4222; of a cluster name several, with commas.",
    ),
    _BUS,
    click.option(
        "--nats-creds",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Who this machine is at NATS: a file (0600) as nsc makes them. There are other ways, "
        "in settings: `hub config doc`.",
    ),
    click.option(
        "--nats-tls-ca",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Certificates of who has signed that of NATS.  [default: the system's]",
    ),
    click.option(
        "--machine",
        metavar="NAME",
        help="What this machine is called there.  [default: its host's name]",
    ),
    click.option(
        "--standby",
        metavar="NAME",
        help="With --publish: machines of the same NAME stand in for each other, and one of them "
        "runs each feed at a time.",
    ),
)


def ingest_options(function: Callable[..., None]) -> Callable[..., None]:
    """Those of a machine that can but publish."""
    ours = [option for option in _OPTIONS if option is not _BUS]
    return reduce(lambda made, option: option(made), reversed(ours), function)


def machine_options(function: Callable[..., None]) -> Callable[..., None]:
    """The options that make a hub one of several machines."""
    return reduce(lambda made, option: option(made), reversed(_OPTIONS), function)


def with_others(feeds: Sequence[str], bus: Sequence[str]) -> list[str]:
    """These feeds, and those of other machines if they are asked for."""
    return [*feeds, *([NATS] if bus and NATS not in feeds else [])]


def nats_flags(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options as settings; None is not given."""
    servers = list(dict.fromkeys([*given["publish"], *given.get("bus", ())]))
    return {
        "nats.servers": servers or None,
        "nats.publish": True if given["publish"] else None,
        "nats.creds_file": whole(given.get("nats_creds")),
        "nats.tls_ca": whole(given.get("nats_tls_ca")),
        "nats.name": given.get("machine"),
        "nats.standby": given.get("standby"),
    }


def creds_problems(user: str, file: Path | None) -> Iterator[str]:
    """Why units that run as this user could not use this file of credentials."""
    if file is None:
        return
    try:
        owner = file.stat().st_uid
    except OSError as error:
        yield f"{file} cannot be used as --nats-creds: {error.strerror}"
        return
    hand_over = f"sudo chown {shlex.quote(user)} {shlex.quote(str(file))}"
    try:
        wanted = pwd.getpwnam(user).pw_uid
    except KeyError:
        hand_over = f"sudo useradd --system {shlex.quote(user)} && {hand_over}"
        wanted = -1
    if owner != wanted:
        yield f"{file} is not {user}'s, as whom the units run, and is a secret; type: {hand_over}"
