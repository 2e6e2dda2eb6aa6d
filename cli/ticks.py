"""What `hub tail` sends and what it makes of the hub's messages. Pure."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from cli import render
from hub.core.model import Instrument, Mode

_MILLISECONDS = 1e11
"""Timestamps above this are in milliseconds, since as seconds they were in the year 5138."""


def instruments(symbols: str) -> list[Instrument]:
    """`EXCHANGE:SYMBOL,EXCHANGE:SYMBOL` as instruments, each once. Raises ValueError."""
    found: dict[Instrument, None] = {}
    for part in symbols.split(","):
        exchange, colon, symbol = part.strip().partition(":")
        if part.strip():
            if not (exchange and colon and symbol):
                raise ValueError(f"{part.strip()!r} is not EXCHANGE:SYMBOL, such as NSE:RELIANCE")
            found[Instrument(exchange, symbol)] = None
    if not found:
        raise ValueError("name at least one EXCHANGE:SYMBOL, such as NSE:RELIANCE")
    return list(found)


def authenticate(key: str) -> str:
    """The request that logs in."""
    return json.dumps({"action": "authenticate", "api_key": key})


def subscribe(wanted: Sequence[Instrument], mode: Mode) -> str:
    """The request for these symbols."""
    symbols = [one._asdict() for one in wanted]
    return json.dumps({"action": "subscribe", "symbols": symbols, "mode": mode.label})


def refused(reply: Mapping[str, Any]) -> list[str]:
    """A sentence for each symbol of a subscribe reply that failed."""
    return [
        f"{row.get('exchange')}:{row.get('symbol')}: {row.get('message', 'refused')}"
        for row in reply.get("subscriptions", ())
        if row.get("status") != "success"
    ]


def line(message: Mapping[str, Any], width: int, now_s: float) -> Text:
    """A tick as a line: time, name (`width` columns), price, change, volume, best bid and ask.

    What the tick does not carry is left out, and beside a book the percentage.
    `now_s` (epoch) stands in for a missing time.
    """
    data = message.get("data") or {}
    name = f"{message.get('exchange')}:{message.get('symbol')}"
    text = Text.assemble((clock(data.get("timestamp"), now_s), "dim"), "  ", name.ljust(width))
    ltp = _number(data.get("ltp"))
    text.append(f"  {'' if ltp is None else render.price(ltp):>10}", "bold")
    move, book = change(data), best(data)
    if move is not None:
        moved = f"  {move[0]:>+9,.2f}" + ("" if book else f"  {move[1]:>+6.2f} %")
        text.append_text(render.signed(move[0], moved))
    volume = _number(data.get("volume"))
    if volume is not None:
        text.append(f"  {render.quantity(volume):>11}")
    return text.append(f"  {book}", "cyan") if book else text


def clock(timestamp: object, now_s: float) -> str:
    """Local time of day to the millisecond, of a timestamp in ms or s since the epoch."""
    number = _number(timestamp) or now_s
    millis = round(number if number > _MILLISECONDS else number * 1000)
    return time.strftime("%H:%M:%S", time.localtime(millis // 1000)) + f".{millis % 1000:03d}"


def change(data: Mapping[str, Any]) -> tuple[float, float] | None:
    """Rupees and percent since the previous close; None when the tick does not tell."""
    ltp, close = _number(data.get("ltp")), _number(data.get("close"))
    move, percent = _number(data.get("change")), _number(data.get("change_percent"))
    if move is None and ltp is not None and close:
        move = ltp - close
    if move is None:
        return None
    if percent is None:
        percent = 100 * move / close if close else 0.0
    return move, percent


def best(data: Mapping[str, Any]) -> str:
    """`quantity @ bid | ask @ quantity` of a depth's best level; empty without one."""
    depth = data.get("depth")
    if not isinstance(depth, dict) or not depth.get("buy") or not depth.get("sell"):
        return ""
    bid, ask = depth["buy"][0], depth["sell"][0]
    bought = f"{render.quantity(bid.get('quantity'))} @ {render.price(bid.get('price', 0))}"
    sold = f"{render.price(ask.get('price', 0))} @ {render.quantity(ask.get('quantity'))}"
    return f"{bought} | {sold}"


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
