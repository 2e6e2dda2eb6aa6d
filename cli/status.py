"""`hub status`: every process and how it is, as the monitor knows it."""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.text import Text

from cli import accounts, cluster, render
from cli.monitor import ask_monitor
from cli.options import config_option, json_option, lines, openalgo_option, runtime_option
from cli.place import hub_dir
from cli.render import Cell, Column
from cli.terminal import show
from hub.monitor import health
from hub.runtime.log import shown

_SILENT_S = 3.0
_NOTES = ("dropped", "malformed", "conflated", "behind", "stale", "holes")
_COUNTS = ("", "once", "twice", *(f"{n} times" for n in ("three", "four", "five", "six", "seven")))
_COLUMNS = (
    Column("process", whole=True),
    Column("pid", right=True, whole=True),
    Column("state"),
    Column("uptime", right=True),
    Column("clients", right=True),
    Column("symbols", right=True),
    Column("in/s", right=True),
    Column("out/s", right=True),
    Column("lag", right=True),
    Column("restarts", right=True, spare=True),
    Column("notes", wide=True, spare=True),
)


@click.command(
    epilog=lines(
        "Examples:",
        "hub status",
        "hub status --json | jq '.processes[] | select(.state != \"ready\")'",
        "hub status --cluster                 all machines, where NATS connects several",
    )
    + lines(
        "Columns:",
        "in/s, out/s  ticks a second into and out of a process",
        "lag          longest time its loop kept a timer waiting in the last second",
    )
)
@click.option(
    "--cluster",
    "of_cluster",
    is_flag=True,
    help="Show all machines that NATS connects, their feeds, and who takes what from whom.",
)
@json_option
@config_option
@openalgo_option
@runtime_option
def status(
    *,
    of_cluster: bool,
    as_json: bool,
    config_file: Path | None,
    openalgo: Path | None,
    runtime_dir: Path | None,
) -> None:
    """Show every process of the hub and how it is; with --cluster, every machine.

    The exit code is 0 when all are ready, 1 when one is not, 69 when no hub answers.
    """
    directory = hub_dir(runtime_dir, config_file, openalgo)
    if of_cluster:
        _show_cluster(directory, as_json=as_json)
        return
    answer = ask_status(directory)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    else:
        show(picture(answer))
    processes = answer["processes"]
    if not processes or any(process.get("state") != "ready" for process in processes):
        raise click.exceptions.Exit(1)


def _show_cluster(directory: Path, *, as_json: bool) -> None:
    found = cluster.ask_cluster(directory)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        show(cluster.picture(found, time.time()))
    if not cluster.is_well(found):
        raise click.exceptions.Exit(1)


def ask_status(runtime_dir: Path) -> dict[str, Any]:
    """The monitor's answer without the envelope. Raises NotRunning, NoAnswer."""
    reply = ask_monitor(runtime_dir, {"t": "status"})
    return {
        "version": reply.get("version", "?"),
        "at": reply.get("at"),
        "hub": reply.get("hub") or {},
        "processes": reply.get("processes") or [],
    }


def picture(answer: Mapping[str, Any]) -> RenderableType:
    """The answer as a headline, a table, and the sentences that do not fit into it."""
    processes = answer["processes"]
    return Group(
        _headline(answer),
        Text(),
        render.table(_COLUMNS, [_row(process) for process in processes], _totals(processes)),
        *accounts.pictures(processes),
        *_problems(processes),
        *_stale(processes),
        *_uncompiled(processes),
        *_crashes(processes),
    )


def _headline(answer: Mapping[str, Any]) -> Text:
    hub = answer["hub"]
    parts = [hub.get("url", ""), f"bus {hub['bus']}" if hub.get("bus") else ""]
    if hub.get("feeds"):
        parts.append(f"feeds {', '.join(hub['feeds'])}")
    text = Text(f"Shardhub {answer['version']}", style="bold", no_wrap=True, overflow="ellipsis")
    return text.append("   " + " · ".join(part for part in parts if part), style="not bold")


def _row(process: Mapping[str, Any]) -> Sequence[Cell]:
    return (
        str(process.get("name", "?")),
        str(process["pid"]) if process.get("pid") else render.ABSENT,
        render.state(str(process.get("state", "?"))),
        render.duration(process.get("uptime_s") if process.get("pid") else None),
        render.figure(process.get("clients")),
        render.figure(process.get("symbols")),
        render.rate(process.get("in_s")),
        render.rate(process.get("out_s")),
        render.millis(process.get("lag_ms")),
        render.figure(process.get("restarts")) if process.get("restarts") else render.ABSENT,
        _notes(process),
    )


def _notes(process: Mapping[str, Any]) -> Text:
    """What is out of the ordinary, in a few words."""
    notes = [f"{process[name]:,} {name}" for name in _NOTES if process.get(name)]
    feed_state = process.get("feed_state")
    if feed_state and feed_state != "connected":
        notes.insert(0, str(feed_state))
    age_s = process.get("beat_age_s")
    if age_s is not None and age_s > _SILENT_S:
        notes.insert(0, f"silent for {render.duration(age_s)}")
    if process.get("nats_connected") is False:
        notes.insert(0, f"without NATS for {render.duration(process.get('nats_away_s'))}")
    if _problem(process):
        notes.append("see below")
    return Text(", ".join(notes), style="yellow")


def _totals(processes: Sequence[Mapping[str, Any]]) -> Sequence[Cell]:
    """Clients and deliveries of the shards, ticks into the router: what the hub does as one."""
    ready = sum(process.get("state") == "ready" for process in processes)
    shards = [process for process in processes if process.get("role") == "shard"]
    router = [process for process in processes if process.get("role") == "router"]
    return (
        "total",
        "",
        f"{ready}/{len(processes)}",
        "",
        render.figure(_sum(shards, "clients")),
        render.figure(_sum(router, "symbols")),
        render.rate(_sum(router, "in_s")),
        render.rate(_sum(shards, "out_s")),
        render.millis(max((p["lag_ms"] for p in processes if p.get("lag_ms")), default=None)),
        render.figure(_sum(processes, "restarts")),
        "",
    )


def _sum(processes: Iterable[Mapping[str, Any]], name: str) -> float:
    return sum(process.get(name) or 0 for process in processes)


def _problems(processes: Iterable[Mapping[str, Any]]) -> list[Text]:
    found = [(process.get("name"), text) for process in processes if (text := _problem(process))]
    sentences = [Text.assemble((f"{name}: ", "yellow"), str(problem)) for name, problem in found]
    return [Text(), *sentences] if sentences else []


def _problem(process: Mapping[str, Any]) -> str:
    return str(process.get("problem") or health.nats_problem(process))


def _crashes(processes: Iterable[Mapping[str, Any]]) -> list[Text]:
    """How those ended that are not back, with the last lines of their logs."""
    found: list[Text] = []
    for process in processes:
        lines = process.get("last_lines")
        if lines is None or process.get("state") not in {"backoff", "failed"}:
            continue
        told = f" ended with code {process.get('last_code')} {_times(process.get('deaths', 1))}; "
        told += "last lines of its log:" if lines else "it has logged nothing"
        found += [Text(), Text.assemble((str(process.get("name")), "red"), told)]
        found += [Text(f"    {shown(str(line))}") for line in lines]
    return found


def _times(count: int) -> str:
    return _COUNTS[count] if count < len(_COUNTS) else f"{count} times"


def _stale(processes: Iterable[Mapping[str, Any]]) -> list[Text]:
    """Which topics are stale: the first few of each feed."""
    sentences = []
    for process in processes:
        count, names = process.get("stale"), process.get("stale_first")
        if count and names:
            which = "1 topic has no ticks though its market is open"
            if count > 1:
                which = f"{count:,} topics have no ticks though their market is open"
            told = f"{which}: {', '.join(map(str, names))}"
            more = ", …" if count > len(names) else ""
            sentences.append(Text.assemble((f"{process.get('name')}: ", "yellow"), told + more))
    return [Text(), *sentences] if sentences else []


def _uncompiled(processes: Iterable[Mapping[str, Any]]) -> list[Text]:
    names = [str(process.get("name")) for process in processes if process.get("compiled") is False]
    program = shlex.quote(os.environ.get("HUB_PROGRAM", "hub"))
    sentence = (
        "not compiled, which costs up to half more CPU; type `sudo apt install gcc python3-dev` "
        f"and `{program} --version`, then start anew"
    )
    return [Text(), Text.assemble((f"{', '.join(names)}: ", "yellow"), sentence)] if names else []
