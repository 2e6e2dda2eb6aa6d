"""`hub bench`: becomes scripts/bench of the clone that this file stands in.

The benchmark is not installed, so an installation has no more than a sentence for it.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from cli.options import lines
from hub.core.errors import HubError

_SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "bench"


@click.command(
    context_settings={"ignore_unknown_options": True},
    epilog=lines("Examples:", "hub bench --list", "hub bench --quick", "hub bench --find-limit")
    + "All options: ./scripts/bench --help",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench(arguments: tuple[str, ...]) -> None:
    """Measure a hub of its own under load, beside others.

    Works in a clone, where it is ./scripts/bench: all ARGUMENTS go there.
    """
    if not _SCRIPT.exists():
        raise HubError(
            "the benchmark is not installed: clone the repository and type `./scripts/bench` there"
        )
    os.execv(_SCRIPT, [str(_SCRIPT), *arguments])  # noqa: S606  # the script is our own
