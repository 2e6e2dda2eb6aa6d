"""What `hub status` shows of broker accounts: a line for each, and what was refused."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from cli import render
from cli.render import Cell, Column

_COLUMNS = (
    Column("account", whole=True),
    Column("state", whole=True),
    Column("sockets", right=True),
    Column("symbols", right=True),
    Column("last tick", right=True),
    Column("reconnects", right=True),
    Column("malformed", right=True, spare=True),
    Column("credentials", wide=True),
)
_STATES = {"up": "green", "connecting": "yellow"}
_FIRST = 5
"""Refused symbols that are named."""


def pictures(processes: Iterable[Mapping[str, Any]]) -> list[RenderableType]:
    """The accounts of all feeds, and which symbols they refuse; nothing where there are none."""
    found: list[RenderableType] = []
    for process in processes:
        if rows := process.get("accounts"):
            found += [Text(), render.table(_COLUMNS, [_row(row) for row in rows])]
        if refused := process.get("refused"):
            found += _refused(str(process.get("name")), refused)
    return found


def _row(row: Mapping[str, Any]) -> Sequence[Cell]:
    state = str(row.get("state", "?"))
    return (
        str(row.get("account", "?")),
        Text(state, style=_STATES.get(state, "bold red")),
        _of(row.get("sockets"), row.get("most_sockets")),
        _of(row.get("symbols"), row.get("limit")),
        render.duration(row.get("tick_age_s")),
        render.figure(row.get("reconnects")),
        render.figure(row.get("malformed")),
        _credentials(row),
    )


def _of(count: int | None, most: int | None) -> str:
    """`3/1,000`; without the limit where there is none."""
    return f"{count or 0:,}/{most:,}" if most else f"{count or 0:,}"


def _credentials(row: Mapping[str, Any]) -> str:
    expires, name = row.get("expires"), str(row.get("credentials") or "")
    if not expires:
        return name
    left_s = expires - time.time()
    when = f"expire in {_left(left_s)}" if left_s > 0 else f"expired {_left(-left_s)} ago"
    return f"{when}; {name}" if name else when


def _left(seconds: float) -> Cell:
    return render.duration(seconds)


def _refused(name: str, refused: Sequence[Sequence[str]]) -> list[RenderableType]:
    lines = [Text.assemble((f"{name}: ", "yellow"), f"{key} was refused: {why}")
             for key, why in refused[-_FIRST:]]  # fmt: skip
    more = len(refused) - _FIRST
    return [Text(), *lines, *([Text(f"    and {more} more")] if more > 0 else [])]
