"""Tables and bars for all commands. Pure: data and a width in, something for a console out.

A figure that does not apply is a dot. No cell is ever wrapped: what does not fit is cut with an
ellipsis, and whoever cuts a sentence prints it in full below the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich import box
from rich.table import Table
from rich.text import Text

Cell = str | Text
ABSENT = Text("·", style="dim")
_EIGHTHS = " ▏▎▍▌▋▊▉"
_FULL = "█"
_STATES = {
    "ready": "green",
    "waiting": "yellow",
    "starting": "yellow",
    "leaving": "yellow",
    "gone": "dim",
}
_HOT, _WARM = 90.0, 60.0


class Column(NamedTuple):
    """A column: its title, on which side its cells stand, whether it is cut first or never, and
    whether it may be left out when it says nothing."""

    title: str
    right: bool = False
    wide: bool = False
    whole: bool = False
    spare: bool = False


def table(
    columns: Sequence[Column], rows: Iterable[Sequence[Cell]], totals: Sequence[Cell] = ()
) -> Table:
    """A table in the hub's one style; `totals` is its last line."""
    made = Table(box=box.SIMPLE, show_edge=False, pad_edge=False, header_style="bold dim")
    made.padding = (0, 1, 0, 0)
    made.show_footer = bool(totals)
    lines = [[_unwrapped(cell) for cell in row] for row in rows]
    foot = [_unwrapped(cell) for cell in totals] or [Text()] * len(columns)
    kept = [
        index
        for index, column in enumerate(columns)
        if not column.spare or not all(_says_nothing(line[index]) for line in [*lines, foot])
    ]
    for index in kept:
        column = columns[index]
        made.add_column(
            column.title,
            foot[index],
            justify="right" if column.right else "left",
            footer_style="bold",
            no_wrap=not column.wide,  # what may be wrapped is what rich makes narrow first
            overflow="ellipsis",
            min_width=max((line[index].cell_len for line in lines), default=0) * column.whole,
        )
    for line in lines:
        made.add_row(*(line[index] for index in kept))
    return made


def _says_nothing(cell: Text) -> bool:
    return cell.plain.strip() in {"", ABSENT.plain, "0"}


def _unwrapped(cell: Cell) -> Text:
    text = Text(cell) if isinstance(cell, str) else cell.copy()
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def state(name: str) -> Text:
    """A state in its colour: green is well, yellow on its way, red needs a look."""
    return Text(name, style=_STATES.get(name, "bold red"))


def bar(value: float, full: float, width: int) -> Text:
    """`value` of `full` as a bar of `width` cells, in steps of an eighth."""
    eighths = round(8 * width * min(1.0, max(0.0, value / full))) if full > 0 else 0
    whole, rest = divmod(eighths, 8)
    drawn = _FULL * whole + (_EIGHTHS[rest] if rest else "")
    return Text(drawn.ljust(width), style=heat(value))


def heat(percent: float) -> str:
    """The colour of a load in percent of one core."""
    if percent >= _HOT:
        return "red"
    return "yellow" if percent >= _WARM else "cyan"


def figure(value: float | None, decimals: int = 0) -> Cell:
    """A number with thousands set apart, or the dot."""
    return ABSENT if value is None else f"{value:,.{decimals}f}"


def rate(value: float | None) -> Cell:
    """A rate in three or four digits: 0, 2.4, 380, 12,400, 1.25M."""
    if value is None:
        return ABSENT
    if value >= 999_500:
        return f"{value / 1e6:,.2f}M"
    return f"{value:,.0f}" if value >= 9.95 or value == 0 else f"{value:.1f}"


def millis(value: float | None) -> Cell:
    """Milliseconds, with a decimal below ten."""
    return ABSENT if value is None else f"{value:,.{1 if value < 9.95 else 0}f} ms"


def micros(value: float | None) -> Cell:
    """Microseconds in three digits: 0.8 us, 85 us, 1.25 ms, 33.6 s."""
    if value is None:
        return ABSENT
    for least, unit in ((1e6, "s"), (1e3, "ms")):
        if value >= least * 0.9995:
            return f"{value / least:.3g} {unit}"
    return f"{value:.2g} us" if value < 9.95 else f"{value:.0f} us"


def size(value: float | None) -> Cell:
    """Bytes, in MiB."""
    return ABSENT if value is None else f"{value / (1 << 20):,.0f} MiB"


def duration(value: float | None) -> Cell:
    """A time in its two largest units: 7s, 4m05s, 2h03m, 5d04h."""
    if value is None:
        return ABSENT
    seconds = int(max(0, value))
    for unit, lower, length, part in (("d", "h", 86400, 3600), ("h", "m", 3600, 60)):
        if seconds >= length:
            return f"{seconds // length}{unit}{seconds % length // part:02d}{lower}"
    return f"{seconds // 60}m{seconds % 60:02d}s" if seconds >= 60 else f"{seconds}s"


def price(value: float) -> str:
    """Rupees: two decimals, or four where there are more than two."""
    return f"{value:,.{2 if round(value, 2) == value else 4}f}"


def quantity(value: float | None) -> str:
    """A whole number with thousands set apart; empty when there is none."""
    return "" if value is None else f"{value:,.0f}"


def signed(value: float, text: str) -> Text:
    """A gain in green, a loss in red."""
    return Text(text, style="green" if value > 0 else "red" if value < 0 else "dim")
