"""Findings for a terminal: a sign, what was looked at, what was found, and what to do under it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

_SIGNS = {
    "fine": ("✓", "green"),
    "ok": ("✓", "green"),
    "look": ("!", "yellow"),
    "warn": ("!", "yellow"),
    "bad": ("✗", "bold red"),
}

Row = tuple[str, str, str, str]
"""What, its state, what was found, what to do."""


def picture(findings: Sequence[Row], last: str) -> RenderableType:
    """All of them, and what there is to say at the end."""
    width = max((len(what) for what, *_ in findings), default=0)
    parts = []
    for what, state, found, advice in findings:
        sign, style = _SIGNS[state]
        parts.append(Text.assemble((f"{sign} ", style), f"{what:<{width}}  {found}"))
        if advice:
            parts.append(Text(f"{'':{width + 4}}→ {advice}", style))
    return Group(*parts, Text(f"\n{last}", "bold"))
