"""The command `hub`: its commands by section, and what becomes of an error.

A command's module is loaded when the command is used, so that `hub --help` is there at once.
Exit codes: 0 fine, 1 something is not ready, 2 wrong usage, 3 too busy (`hub cpu --max-cpu`), those
of hub/core/errors.py, 130 after Ctrl-C, 141 when nobody reads the output any more.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import os
import sys
from typing import Any, NamedTuple

import click

import hub
from cli.options import lines
from hub.core.errors import ConfigError, HubError

_INTERRUPTED = 130
_BROKEN_PIPE = 141


class Entry(NamedTuple):
    """One command of `hub --help`: where it is, in which section, and what it does."""

    module: str
    section: str
    summary: str


COMMANDS = {
    "start": Entry("cli.start", "Run a hub", "Start a hub and keep it running."),
    "stop": Entry("cli.stop", "Run a hub", "Stop the hub that runs here."),
    "restart": Entry(
        "cli.restart",
        "Run a hub",
        "Restart processes of a running hub, one after another.",
    ),
    "status": Entry("cli.status", "Look at it", "Show every process of the hub and how it is."),
    "cpu": Entry("cli.cpu", "Look at it", "Show what each process costs: CPU, memory, switches."),
    "top": Entry("cli.top", "Look at it", "Show processes, symbols and clients, live."),
    "latency": Entry("cli.latency", "Look at it", "Show how long ticks take, hop by hop."),
    "logs": Entry("cli.logs", "Look at it", "Show what the processes of a hub have logged."),
    "tail": Entry("cli.tail", "Look at it", "Print the ticks of some symbols as they come."),
    "doctor": Entry(
        "cli.doctor", "Look at it", "Check this machine and this hub, and say what to mend."
    ),
    "bench": Entry(
        "cli.bench", "Look at it", "Measure a hub of its own under load, beside others."
    ),
    "record": Entry(
        "cli.record", "Record a market", "Record the ticks of some symbols into a file."
    ),
    "replay": Entry("cli.replay", "Record a market", "Play a recording, as fast as you like."),
    "systemd": Entry(
        "cli.systemd",
        "Set it up",
        "Install a hub as systemd units, one for each process.",
    ),
    "openalgo": Entry(
        "cli.openalgo", "Set it up", "Check a checkout of OpenAlgo, and install a hub beside it."
    ),
    "login": Entry(
        "cli.brokerlogin", "Set it up", "Log in to a broker, or show which logins there are."
    ),
    "instruments": Entry(
        "cli.instruments", "Set it up", "Download and search the lists of instruments of brokers."
    ),
    "keys": Entry("cli.keys", "Set it up", "Add, list and revoke API keys."),
    "config": Entry("cli.config", "Set it up", "Explain, write and check the settings."),
    "completion": Entry(
        "cli.completion", "Set it up", "Print what a shell reads to complete `hub`."
    ),
    "router": Entry("cli.roles", "", "Become the router."),
    "shard": Entry("cli.roles", "", "Become one shard."),
    "feed": Entry("cli.roles", "", "Become one feed host."),
    "uplink": Entry("cli.roles", "", "Become the uplink to other machines."),
    "monitor": Entry("cli.roles", "", "Become the monitor."),
}
"""All commands; those without a section are hidden. A test holds the summaries to the commands."""


class Hub(click.Group):
    """The group of all commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """All names, hidden ones too."""
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002  # click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """The command of that name, from the module that has it."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(
            importlib.import_module(COMMANDS[cmd_name].module), cmd_name
        )
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, and with the nearest name when there is none."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            hint = f"Did you mean {near[0]!r}?" if near else "See `hub --help`."
            ctx.fail(f"There is no command {args[0]!r}. {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002  # click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """The commands by section, without loading any."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, entry in COMMANDS.items():
            sections.setdefault(entry.section, []).append((f"{name:<10}", entry.summary))
        for section, rows in sections.items():
            if section:
                with formatter.section(section):
                    formatter.write_dl(rows, col_spacing=4)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what goes wrong ends in a message or an exit code, never a traceback."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError):  # not every stream that is put there has it
                stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # see above
        try:
            return super().invoke(ctx)
        except HubError as error:
            _complain(error)
            raise click.exceptions.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            if sys.stderr.isatty():
                click.echo(err=True)  # the terminal has written ^C
            raise click.exceptions.Exit(_INTERRUPTED) from None
        except BrokenPipeError:
            _forget_stdout()
            raise click.exceptions.Exit(_BROKEN_PIPE) from None


@click.group(
    cls=Hub,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=lines(
        "Try it, in two terminals:", "hub start --demo", "hub tail NSE:RELIANCE,NSE_INDEX:NIFTY"
    )
    + "Each command explains itself: hub start --help",
)
@click.version_option(hub.__version__, prog_name="shardhub", message="%(prog)s %(version)s")
def main() -> None:
    """A market-data hub: ticks in from your brokers, out to every client, on all cores."""


def message_of(error: HubError) -> str:
    """What an error says at the terminal; several problems stand in a list."""
    if isinstance(error, ConfigError) and len(error.problems) > 1:
        return "\n".join(["these settings cannot be used:", *(f"  - {p}" for p in error.problems)])
    return str(error)


def _complain(error: HubError) -> None:
    """Print the message, and nothing else, to stderr."""
    click.echo(f"{click.style('Error:', fg='red', bold=True)} {message_of(error)}", err=True)


def _forget_stdout() -> None:
    """Let what is still buffered go nowhere, lest Python complains at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
