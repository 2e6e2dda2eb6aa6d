"""How ticks read in a terminal: lines, and the ladder of a book. Pure."""

from __future__ import annotations

import time

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli import render
from hub.client.messages import Depth, Level, Tick

_MILLISECONDS = 1e11
"""Timestamps above this are in milliseconds, since as seconds they were in the year 5138."""

_LATEST_MS = 4e12
_LEAST_BAR, _MOST_BAR = 4, 28
_FIGURES = 62
"""Columns that a ladder needs beside its bars."""


def line(tick: Tick, width: int, before: float | None = None) -> Text:
    """A tick as a line: time, name (`width` columns), price, change, volume, best bid and ask.

    What the tick does not carry is left out, and beside a book the percentage. The price is green
    when it is above the one `before`, red when below. The time of arrival stands in for a missing
    time.
    """
    text = Text.assemble((clock(tick), "dim"), "  ", tick.name.ljust(width))
    ltp = tick.ltp
    text.append(f"  {'' if ltp is None else render.price(ltp):>10}", _moved(ltp, before))
    move, book = change(tick), best(tick.depth)
    if move is not None:
        moved = f"  {move[0]:>+9,.2f}" + ("" if book else f"  {move[1]:>+6.2f} %")
        text.append_text(render.signed(move[0], moved))
    if tick.volume is not None:
        text.append(f"  {render.quantity(tick.volume):>11}")
    return text.append(f"  {book}", "cyan") if book else text


def clock(tick: Tick) -> str:
    """Local time of day to the millisecond, of a timestamp in ms or s since the epoch, else of its
    arrival."""
    number = tick.timestamp or 0
    if not 0 < number < _LATEST_MS:
        number = tick.received_ns / 1e9
    millis = round(number if number > _MILLISECONDS else number * 1000)
    return time.strftime("%H:%M:%S", time.localtime(millis // 1000)) + f".{millis % 1000:03d}"


def change(tick: Tick) -> tuple[float, float] | None:
    """Rupees and percent since the previous close; None when the tick does not tell."""
    move, percent = tick.number("change"), tick.number("change_percent")
    close = tick.close
    if move is None and tick.ltp is not None and close:
        move = tick.ltp - close
    if move is None:
        return None
    if percent is None:
        percent = 100 * move / close if close else 0.0
    return move, percent


def best(depth: Depth | None) -> str:
    """`quantity @ bid | ask @ quantity` of a book's best level; empty without one."""
    if depth is None or not depth.buy or not depth.sell:
        return ""
    bid, ask = depth.buy[0], depth.sell[0]
    bought = f"{render.quantity(bid.quantity)} @ {render.price(bid.price)}"
    sold = f"{render.price(ask.price)} @ {render.quantity(ask.quantity)}"
    return f"{bought} | {sold}"


def ladder(tick: Tick, before: float | None, width: int, height: int = 1000) -> RenderableType:
    """A book as a ladder, best level on top: bids and their quantities on the left, asks on the
    right, each with a bar that is as long as its quantity is large. What does not fit into `height`
    lines is left out."""
    depth = tick.depth or Depth((), ())
    rows = min(max(len(depth.buy), len(depth.sell)), max(1, height - 4))
    shown = [*depth.buy[:rows], *depth.sell[:rows]]
    most = max((level.quantity for level in shown), default=0)
    bar = min(_MOST_BAR, max(_LEAST_BAR, (width - _FIGURES) // 2))
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("", "orders", "quantity", "bid"):
        table.add_column(title, justify="right", no_wrap=True)
    for title in ("ask", "quantity", "orders", ""):
        table.add_column(title, justify="left" if title in {"ask", ""} else "right", no_wrap=True)
    for row in range(rows):
        buy, sell = depth.buy[row : row + 1], depth.sell[row : row + 1]
        left, right = _side(buy, most, bar, "green"), _side(sell, most, bar, "red")
        left[0].align("right", bar)
        table.add_row(*left, *reversed(right))
    return Group(line(_without_book(tick), len(tick.name), before), table, balance(depth, 40))


def balance(depth: Depth, width: int) -> Text:
    """What is bid for and what is on offer in all levels, and their shares as a bar."""
    bid, ask = (sum(level.quantity for level in side) for side in (depth.buy, depth.sell))
    if not bid + ask:
        return Text("no book", "dim")
    left = round(width * bid / (bid + ask))
    return Text.assemble(
        (f"{render.quantity(bid)} bid ", "green"), ("━" * left, "green"),
        ("━" * (width - left), "red"), (f" {render.quantity(ask)} asked", "red"),
        (f"  {100 * bid / (bid + ask):.0f} : {100 * ask / (bid + ask):.0f}", "dim"),
    )  # fmt: skip


def _side(levels: tuple[Level, ...], most: float, bar: int, style: str) -> list[Text]:
    """Bar, orders, quantity and price of one level, or as many blanks."""
    if not levels:
        return [Text() for _ in range(4)]
    level = levels[0]
    cells = max(1, round(bar * level.quantity / most)) if level.quantity > 0 else 0
    return [
        Text("█" * cells, style),
        Text(render.quantity(level.orders) if level.orders else "", "dim"),
        Text(render.quantity(level.quantity)),
        Text(render.price(level.price), f"bold {style}"),
    ]


def _moved(ltp: float | None, before: float | None) -> str:
    if ltp is None or before is None or ltp == before:
        return "bold"
    return "bold green" if ltp > before else "bold red"


def _without_book(tick: Tick) -> Tick:
    data = {name: value for name, value in tick.data.items() if name != "depth"}
    return Tick(tick.exchange, tick.symbol, tick.mode, data, tick.received_ns, tick.raw)
