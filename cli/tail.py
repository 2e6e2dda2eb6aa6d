"""`hub tail`: an ordinary client that prints ticks, one line each, or a book as a ladder."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import click
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from cli import ticks
from cli.login import (
    ABOUT_KEYS,
    Login,
    ca_option,
    explained,
    key_option,
    login,
    mode_option,
    symbols_argument,
    symbols_of,
    tell_refused,
    url_option,
)
from cli.options import config_option, json_option, lines, openalgo_option, runtime_option
from cli.terminal import console
from hub.client import Tick
from hub.core.model import Instrument, Mode

_PICTURES = 10
"""Pictures of a ladder a second, however many ticks come."""


@click.command(
    epilog=lines(
        "Examples:",
        "hub tail NSE:RELIANCE,NSE_INDEX:NIFTY",
        "hub tail NSE:RELIANCE --depth --levels 20",
        "hub tail MCX:GOLD30JAN25FUT --mode depth --key-file algo.key",
        "hub tail NSE:SBIN --json --count 100 > sbin.ndjson",
    )
    + ABOUT_KEYS
)
@symbols_argument
@mode_option
@click.option("--depth", is_flag=True, help="Show the book of one symbol as a ladder.")
@click.option(
    "--levels", type=click.IntRange(1, 200), metavar="N", help="Levels of the book.  [default: 5]"
)
@key_option
@url_option
@ca_option
@click.option("--count", type=click.IntRange(1), metavar="N", help="End after so many ticks.")
@json_option
@config_option
@openalgo_option
@runtime_option
def tail(
    *,
    symbols: tuple[str, ...],
    mode: str,
    depth: bool,
    levels: int | None,
    key_file: Path | None,
    url: str | None,
    ca: Path | None,
    count: int | None,
    as_json: bool,
    config_file: Path | None,
    openalgo: Path | None,
    runtime_dir: Path | None,
) -> None:
    """Print the ticks of SYMBOLS as they come: EXCHANGE:SYMBOL, several with commas, or @FILE.

    A line has the time, the symbol, the last price (green when it went up, red when down), its
    change since the previous close and the volume; --mode depth adds the best bid and ask. On a
    terminal --depth shows the whole book, and how it changes. With --json it is the hub's own
    message.
    """
    wanted = symbols_of(symbols)
    if depth and len(wanted) > 1:
        raise click.BadParameter("--depth shows the book of one symbol", param_hint="SYMBOLS")
    wish = Mode.DEPTH if depth or levels else Mode.from_client(mode)
    found = login(url, key_file, config_file, openalgo, runtime_dir, ca)
    screen = console()
    if depth and screen.is_terminal and not as_json:
        printer: Printer = Ladder(screen, count)
    else:
        printer = Lines(screen, wanted, as_json=as_json, count=count)
    with explained():
        asyncio.run(_tail(found, wanted, wish, levels or 0, printer))


async def _tail(
    found: Login, wanted: Sequence[Instrument], mode: Mode, levels: int, printer: Printer
) -> None:
    """Print until the printer is done."""
    async with found.connect() as client:
        outcomes = await client.subscribe(wanted, mode, depth=levels, strict=False)
        tell_refused(outcomes)
        with printer.shown():
            async for tick in client:
                printer.tick(tick)
                if printer.done:
                    return


class Printer:
    """Writes ticks to stdout; `done` once `count` of them are written."""

    def __init__(self, screen: Console, count: int | None) -> None:
        self._console = screen
        self._left = count
        self._before: dict[Instrument, float | None] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._left} left>"

    @property
    def done(self) -> bool:
        """Whether nothing more is to be printed."""
        return self._left == 0

    def shown(self) -> AbstractContextManager[object]:
        """While ticks are printed."""
        return nullcontext()

    def tick(self, tick: Tick) -> None:
        """Print one tick."""
        self.show(tick, self._before.get(tick.instrument))
        self._before[tick.instrument] = tick.ltp
        if self._left is not None:
            self._left -= 1

    def show(self, tick: Tick, before: float | None) -> None:
        """Print one tick; `before` is the price of the one before it."""
        raise NotImplementedError


class Lines(Printer):
    """A line for each tick."""

    def __init__(
        self, screen: Console, wanted: Sequence[Instrument], *, as_json: bool, count: int | None
    ) -> None:
        super().__init__(screen, count)
        self._width = max(len(one.exchange) + len(one.symbol) + 1 for one in wanted)
        self._as_json = as_json

    def show(self, tick: Tick, before: float | None) -> None:
        """See `Printer`."""
        if self._as_json:
            click.echo(json.dumps(tick.raw))
        else:
            self._console.print(ticks.line(tick, self._width, before), soft_wrap=True)


class Ladder(Printer):
    """One picture that changes; the last one stays."""

    def __init__(self, screen: Console, count: int | None) -> None:
        super().__init__(screen, count)
        self._picture: tuple[Tick, float | None] | None = None
        self._live = Live(console=screen, get_renderable=self.draw, refresh_per_second=_PICTURES)

    def shown(self) -> AbstractContextManager[object]:
        """See `Printer`."""
        return self._live

    def show(self, tick: Tick, before: float | None) -> None:
        """See `Printer`. It is drawn when the next picture is due."""
        self._picture = tick, before

    def draw(self) -> RenderableType:
        """The picture of now."""
        if self._picture is None:
            return Text("waiting for the first tick", "dim")
        tick, before = self._picture
        return ticks.ladder(tick, before, self._console.width, self._console.height)
