"""The command line of the fuzzing: scripts/fuzz."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import click

from scripts.fuzzing.hunt import Outcome, hunt
from scripts.fuzzing.targets import TARGETS

_UNUSABLE = 78  # sysexits(3): this installation cannot be used


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, type=click.Choice([*TARGETS]))
@click.option("--list", "list_", is_flag=True, help="Show the targets and leave.")
@click.option(
    "--seconds",
    type=click.IntRange(1, 86_400),
    default=30,
    show_default=True,
    help="How long each target is tried.",
)
@click.option(
    "--seed",
    type=click.IntRange(1, (1 << 31) - 1),
    default=1,
    show_default=True,
    help="Where the dice begin; with a fresh corpus the same seed tries much the same.",
)
@click.option(
    "--corpus",
    type=click.Path(file_okay=False, path_type=Path),
    help="A directory in which inputs worth trying again are kept from one run to the next.",
)
def main(
    names: Sequence[str], seconds: int, seed: int, corpus: Path | None, *, list_: bool
) -> None:
    """Look for bytes that break what reads them, guided by the code they reach: all targets in
    turn, or those that are named. Exits with 1 when something is found, and shows the bytes."""
    if list_:
        for target in TARGETS.values():
            click.echo(f"{target.name:10} {target.text}")
        return
    if find_spec("atheris") is None:
        click.echo("shardhub: atheris is not installed here; scripts/fuzz installs it.", err=True)
        sys.exit(_UNUSABLE)
    with tempfile.TemporaryDirectory(prefix="hub-fuzz-") as room:
        where = corpus or Path(room)
        failed = [
            outcome
            for name in names or TARGETS
            if (outcome := _tell(name, where, seconds, seed)).found is not None
        ]
    for outcome in failed:
        click.echo(f"\n{outcome.report()}")
    sys.exit(1 if failed else 0)


def _tell(name: str, corpus: Path, seconds: int, seed: int) -> Outcome:
    outcome = hunt(name, TARGETS[name].seeds, corpus / name, seconds, seed)
    click.echo(outcome.line())
    return outcome


if __name__ == "__main__":
    main()
