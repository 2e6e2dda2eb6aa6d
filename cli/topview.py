"""What `hub top` shows, and what its keys do. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from cli import render
from cli.keyboard import BACKSPACE, ENTER, ESCAPE
from cli.render import Cell, Column

VIEWS = ("processes", "symbols", "clients")
SORTS = {
    "processes": ("name", "cpu", "memory", "in", "out", "lag", "p99", "clients", "symbols"),
    "symbols": ("rate", "name"),
    "clients": ("slow", "out", "pending", "conflated", "symbols", "age"),
}
"""The orders of each view; the first is how it begins. Numbers come highest first."""

_FIELDS = {
    "cpu": "cpu_percent",
    "memory": "rss",
    "in": "in_s",
    "out": "out_s",
    "lag": "lag_ms",
    "age": "age_s",
}
_LEVELS = {"ok": "green", "warn": "yellow", "bad": "bold red"}
_BAR = 12
_REST_LINES = 9
_REASONS = 3

Board = Mapping[str, Any]
Row = Mapping[str, Any]


class State:
    """What is shown and how, as the keys have it."""

    def __init__(self, view: str, sort: str, wanted: str) -> None:
        self.view = view
        self.sort = sort
        self.wanted = wanted
        self.reverse = False
        self.held = False
        self.over = False
        self.typing = False
        self.problem = ""

    def __repr__(self) -> str:
        return f"<State {self.view} by {self.sort}, filter {self.wanted!r}>"

    def press(self, key: str) -> None:
        """A key was pressed."""
        if self.typing:
            self._type(key)
            return
        views = {view[0]: view for view in VIEWS}
        if key in views:
            self._show(views[key])
        elif key == "\t":
            self._show(_after(VIEWS, self.view))
        elif key == "o":
            self.sort = _after(SORTS[self.view], self.sort)
        elif key == "r":
            self.reverse = not self.reverse
        elif key == " ":
            self.held = not self.held
        elif key == "/":
            self.typing = True
        elif key == ESCAPE:
            self.wanted = ""
        elif key in {"q", "Q"}:
            self.over = True

    def _show(self, view: str) -> None:
        if view != self.view:
            self.view, self.sort, self.reverse = view, SORTS[view][0], False

    def _type(self, key: str) -> None:
        """The filter is being typed."""
        if key in {ENTER, ESCAPE}:
            self.typing = False
            self.wanted = self.wanted if key == ENTER else ""
        elif key == BACKSPACE:
            self.wanted = self.wanted[:-1]
        elif key.isprintable():
            self.wanted += key


def picture(board: Board, state: State, width: int, height: int) -> RenderableType:
    """The board as a headline, what is wrong, the table of the view, and the keys. As many rows as
    fit into `height` lines, all of them when it is 0."""
    make = {"processes": _processes, "symbols": _symbols, "clients": _clients}[state.view]
    columns, rows, empty = make(board, state, width)
    told = _reasons(board, state)
    room = max(3, height - _REST_LINES - len(told)) if height else len(rows)
    more = len(rows) - room
    parts: list[RenderableType] = [*_headline(board, state), *told, Text()]
    parts.append(render.table(columns, rows[:room]) if rows else Text(empty, style="dim"))
    if more > 0:
        parts.append(Text(f"and {more:,} more", style="dim"))
    if height:
        parts += [Text(), _keys(state)]
    return Group(*parts)


def _headline(board: Board, state: State) -> list[Text]:
    totals, hub = board["totals"], board["hub"]
    latency = board["latency"].get("total", {})
    first = Text.assemble(
        (f"Shardhub {board['version']}", "bold"),
        f"  {hub['url']}  ",
        (str(board["level"]), _LEVELS.get(board["level"], "")),
        ("  held" if state.held else "", "yellow"),
    )
    second = Text.assemble(
        *_pair("in/s", render.rate(totals["in_s"])),
        *_pair("out/s", render.rate(totals["out_s"])),
        *_pair("clients", render.figure(totals["clients"])),
        *_pair("symbols", render.figure(totals["symbols"])),
        *_pair("cpu", f"{totals['cpu_percent']:.0f} %"),
        *_pair("memory", render.size(totals["rss"])),
        *_pair("p50", render.micros(latency.get("p50_us"))),
        *_pair("p99", render.micros(latency.get("p99_us"))),
        no_wrap=True,
        overflow="ellipsis",
    )
    return [first, second]


def _pair(name: str, value: Cell) -> tuple[tuple[str, str], tuple[str, str]]:
    return (f"{name} ", "dim"), (f"{value}   ", "")


def _reasons(board: Board, state: State) -> list[Text]:
    reasons = [state.problem] if state.problem else []
    reasons += board["reasons"]
    told = [Text(f"! {reason}", style="yellow") for reason in reasons[:_REASONS]]
    if len(reasons) > _REASONS:
        told.append(Text(f"! and {len(reasons) - _REASONS} more", style="yellow"))
    return told


def _keys(state: State) -> Text:
    if state.typing:
        return Text.assemble(("filter: ", "bold"), state.wanted, ("▏", "blink"))
    views = " ".join(f"[{view[0]}]{view[1:]}" for view in VIEWS)
    wanted = f"  filter {state.wanted!r}" if state.wanted else ""
    order = f"[o]rder {state.sort}{' reversed' if state.reverse else ''}"
    return Text(f"{views}   {order}   [/]filter{wanted}   [space] hold   [q]uit", style="dim")


def _ordered(rows: Iterable[Row], state: State, name: str) -> list[Row]:
    """The rows that pass the filter, in the order that is asked for; numbers highest first."""
    found = [row for row in rows if state.wanted.lower() in str(row[name]).lower()]
    field = _FIELDS.get(state.sort, state.sort)
    if field == "slow" or (field == "name" and name == "name"):
        return found[::-1] if state.reverse else found  # as the monitor has ordered them
    if field == "name":
        found.sort(key=lambda row: str(row[name]), reverse=state.reverse)
    else:
        found.sort(key=lambda row: _value(row, field), reverse=not state.reverse)
    return found


def _value(row: Row, field: str) -> float:
    value = row.get(field)
    if field == "p99":
        value = row["latency"].get("total", {}).get("p99_us")
    return float(value or 0)


_PROCESSES = (
    Column("process", whole=True),
    Column("pid", right=True, whole=True),
    Column("state"),
    Column("cpu %", right=True),
    Column(""),
    Column("memory", right=True),
    Column("in/s", right=True),
    Column("out/s", right=True),
    Column("lag", right=True),
    Column("p50", right=True),
    Column("p99", right=True),
    Column("clients", right=True),
    Column("symbols", right=True),
    Column("behind", right=True, spare=True),
    Column("conflated/s", right=True, spare=True),
    Column("restarts", right=True, spare=True),
)
_NARROW = 110


def _processes(
    board: Board, state: State, width: int
) -> tuple[Sequence[Column], list[Sequence[Cell]], str]:
    rows = _ordered(board["processes"], state, "name")
    full = max([100.0, *(row.get("cpu_percent") or 0.0 for row in rows)])
    length = _BAR if width >= _NARROW else 0
    return _PROCESSES, [_process(row, full, length) for row in rows], "No process has this name."


def _process(row: Row, full: float, length: int) -> Sequence[Cell]:
    latency, cpu = row["latency"].get("total", {}), row.get("cpu_percent")
    return (
        Text(row["name"], style=_LEVELS[row["level"]] if row["level"] != "ok" else ""),
        str(row["pid"]) if row.get("pid") else render.ABSENT,
        render.state(row["state"]),
        render.figure(cpu, 1),
        render.bar(cpu or 0.0, full, length),
        render.size(row.get("rss")),
        render.rate(row.get("in_s")),
        render.rate(row.get("out_s")),
        render.millis(row.get("lag_ms")),
        render.micros(latency.get("p50_us")),
        render.micros(latency.get("p99_us")),
        render.figure(row.get("clients")),
        render.figure(row.get("symbols")),
        render.figure(row.get("behind")),
        render.rate(row.get("conflated_s")),
        render.figure(row.get("restarts")),
    )


_SYMBOLS = (
    Column("symbol", whole=True),
    Column("mode"),
    Column("ticks/s", right=True),
    Column(""),
)


def _symbols(
    board: Board, state: State, width: int
) -> tuple[Sequence[Column], list[Sequence[Cell]], str]:
    rows = _ordered(board["hottest"], state, "key")
    full = max((row["rate"] for row in rows), default=0.0)
    length = max(_BAR, min(40, width - 60))
    cells: list[Sequence[Cell]] = []
    for row in rows:
        bar = render.bar(row["rate"], full, length)
        bar.style = "cyan"
        cells.append((row["key"], row["mode"], render.rate(row["rate"]), bar))
    return _SYMBOLS, cells, "No ticks were counted in the last second."


_CLIENTS = (
    Column("client", whole=True),
    Column("user"),
    Column("shard", right=True),
    Column("state"),
    Column("pending", right=True),
    Column("unsent", right=True),
    Column("conflated", right=True),
    Column("out/s", right=True),
    Column("share", right=True),
    Column("symbols", right=True),
    Column("age", right=True),
)


def _clients(
    board: Board,
    state: State,
    width: int,  # noqa: ARG001  # as for the other views
) -> tuple[Sequence[Column], list[Sequence[Cell]], str]:
    named = [row | {"who": f"{row['client']} {row['user']}"} for row in board["slowest"]]
    rows = _ordered(named, state, "who")
    return (
        _CLIENTS,
        [_client(row) for row in rows],
        "No client is connected, or none was looked at.",
    )


def _client(row: Row) -> Sequence[Cell]:
    behind = Text(f"behind for {render.duration(row['behind_s'])}", style="yellow")
    return (
        row["client"],
        row["user"] or render.ABSENT,
        str(row["shard"]),
        behind if row["behind"] else Text("in step", style="green"),
        render.figure(row["pending"]),
        render.figure(row["unsent_bytes"]),
        render.figure(row["conflated"]),
        render.rate(row["out_s"]),
        f"{100 * row['share']:.0f} %",
        render.figure(row["symbols"]),
        render.duration(row["age_s"]),
    )


def _after(names: Sequence[str], name: str) -> str:
    return names[(names.index(name) + 1) % len(names)]
