"""`hub config`: the settings explained, written out and checked, all from their definitions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from cli.options import config_option, find_file, lines, load_settings
from cli.terminal import show
from hub.core.config import Definition, as_toml, definitions
from hub.feeds import catalogue
from hub.monitor.token import token_of
from hub.runtime.nats_login import login
from hub.runtime.tls import identity


@click.group(
    epilog=lines(
        "Examples:",
        "hub config doc",
        "hub config default > ~/.config/shardhub/hub.toml",
        "hub config check",
    )
)
def config() -> None:
    """Explain, write and check the settings.

    Sources in order of weakness: the defaults, the .env of the checkout of OpenAlgo that
    `openalgo.path` names, a TOML file, the environment, flags.
    """


@config.command(epilog=lines("Examples:", "hub config doc", "hub config doc --markdown"))
@click.option("--markdown", "as_markdown", is_flag=True, help="Print Markdown instead.")
def doc(*, as_markdown: bool) -> None:
    """Explain every setting: its default, its unit, its environment variable."""
    if as_markdown:
        click.echo("\n".join(markdown()))
    else:
        show(picture())


@config.command(epilog=lines("Example:", "hub config default > ~/.config/shardhub/hub.toml"))
def default() -> None:
    """Print a complete settings file with every default."""
    click.echo(as_toml(), nl=False)


@config.command(
    epilog=lines("Examples:", "hub config check", "hub config check /etc/shardhub/hub.toml")
)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@config_option
def check(*, file: Path | None, config_file: Path | None) -> None:
    """Check FILE, or the file that would be used, with the environment and OpenAlgo's .env; the
    certificate and its key, too, and the files that NATS asks for.

    Reports all problems at once, with exit code 78.
    """
    used = file or config_file or find_file()
    settings = load_settings(used)
    catalogue.check(settings)
    shown = identity(settings.websocket)
    for warning in shown.warnings if shown else ():
        click.echo(warning, err=True)
    token_of(settings)
    login(settings.nats)
    click.echo(f"OK: {used}" if used else "OK: no settings file; the defaults are used")


def markdown() -> Iterator[str]:
    """The settings as Markdown, line by line: a heading and a table for each section."""
    section = ""
    for definition in definitions():
        if definition.section != section:
            if section:
                yield ""
            section = definition.section
            yield from (f"## `[{section}]`", "", "| setting | default | variable | meaning |")
            yield "|---|---|---|---|"
        cells = (f"`{definition.name}`", f"`{_default(definition)}`{_unit(definition)}",
                 f"`{definition.variable}`", definition.text)  # fmt: skip
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def picture() -> RenderableType:
    """The settings for a terminal: under its section each with what it is, and what it means."""
    parts: list[RenderableType] = []
    section = ""
    for definition in definitions():
        if definition.section != section:
            section = definition.section
            parts.append(Text(f"\n[{section}]" if parts else f"[{section}]", style="bold"))
        parts += (_heading(definition), Padding(definition.text, (0, 0, 0, 6), expand=False))
    return Group(*parts)


def _heading(definition: Definition) -> Text:
    value = f"{definition.name} = {_default(definition)}"
    unit = f" [{definition.unit}]" if definition.unit else ""
    text = Text("  ").append(value, "cyan").append(unit, "dim")
    text.pad_right(max(2, 48 - len(text)))
    return text.append(definition.variable, "dim")


def _default(definition: Definition) -> str:
    return json.dumps(definition.default)


def _unit(definition: Definition) -> str:
    return f" {definition.unit}" if definition.unit else ""
