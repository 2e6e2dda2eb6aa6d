"""`hub record`: an ordinary client that writes ticks into a file."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.filesize import decimal
from rich.text import Text

from cli import render
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
from cli.options import config_option, lines, openalgo_option, runtime_option, seconds
from cli.terminal import console, waiting
from hub.client import Client, Tick
from hub.core import topics
from hub.core.errors import HubError
from hub.core.model import Instrument, Mode
from hub.recording import rows
from hub.recording.rows import Row
from hub.recording.write import Writer, check, open_writer

FLUSH_S = 1.0
"""What is lost at most when the recorder is killed."""


@click.command(
    epilog=lines(
        "Examples:",
        "hub record NSE:RELIANCE,NSE_INDEX:NIFTY --out today.jsonl.zst",
        "hub record @nifty50.txt --mode depth --for 6h15m --out today.parquet",
        "hub replay today.jsonl.zst --speed 10",
    )
    + ABOUT_KEYS
)
@symbols_argument
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where to: FILE.jsonl, FILE.jsonl.zst or FILE.parquet.",
)
@mode_option
@click.option("--levels", type=click.IntRange(1, 200), metavar="N", help="Levels of a book.")
@click.option("--for", "for_s", callback=seconds, metavar="TIME", help="End after 90s, 10m, 6h15m.")
@click.option("--count", type=click.IntRange(1), metavar="N", help="End after so many ticks.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
@key_option
@url_option
@ca_option
@config_option
@openalgo_option
@runtime_option
def record(
    *,
    symbols: tuple[str, ...],
    out: Path,
    mode: str,
    levels: int | None,
    for_s: float | None,
    count: int | None,
    force: bool,
    key_file: Path | None,
    url: str | None,
    ca: Path | None,
    config_file: Path | None,
    openalgo: Path | None,
    runtime_dir: Path | None,
) -> None:
    """Record the ticks of SYMBOLS into a file until Ctrl-C: EXCHANGE:SYMBOL, several with commas,
    or @FILE.

    Each tick is written with the time at which it came, its topic and its data. When the hub goes
    away the recording goes on as soon as it is back. What is written is safe after a second, also
    when this command is killed.
    """
    wanted = symbols_of(symbols)
    check(out, force=force)
    found = login(url, key_file, config_file, openalgo, runtime_dir, ca)
    recorder = Recorder(out, count=count, force=force)
    wish = Mode.DEPTH if levels else Mode.from_client(mode)
    try:
        try:
            with explained():
                asyncio.run(recorder.run(found, wanted, wish, levels or 0, for_s))
        finally:
            with waiting(f"writing {out}"):
                recorder.close()
    except OSError as error:
        raise HubError(f"{out} cannot be written: {error.strerror}") from None
    click.echo(f"{out}: {recorder.summary()}", err=True)


class Recorder:
    """Writes what a client is sent. `ticks` is how many so far, `left_out` how many the hub did not
    send because they were not read fast enough."""

    def __init__(self, out: Path, *, count: int | None, force: bool) -> None:
        self._out = out
        self._count = count
        self._force = force
        self._writer: Writer | None = None
        self._symbols: set[Instrument] = set()
        self._began_s = time.monotonic()
        self.ticks = 0
        self.left_out = 0

    def __repr__(self) -> str:
        return f"<Recorder {self._out.name}, {self.ticks} ticks>"

    async def run(
        self,
        found: Login,
        wanted: Sequence[Instrument],
        mode: Mode,
        levels: int,
        for_s: float | None,
    ) -> None:
        """Record until it is time, enough, or told to end. Raises HubError, OSError."""
        async with found.connect(conflation_info=True) as client:
            outcomes = await client.subscribe(wanted, mode, depth=levels, strict=False)
            tell_refused(outcomes)
            self._writer = writer = open_writer(self._out, force=self._force)
            self._began_s = time.monotonic()
            with _told_to_end() as ending:
                await _first(for_s, self._take(client, writer), self._tend(writer), ending.wait())

    def close(self) -> None:
        """Make the file whole. Raises HubError, OSError."""
        if self._writer is not None:
            self._writer.close()

    def summary(self) -> str:
        """How much there is, in a line."""
        size = self._writer.size_bytes() if self._writer is not None else 0
        names = len(self._symbols)
        lost = f" ({self.left_out:,} left out: they were not read in time)" if self.left_out else ""
        return (
            f"{self.ticks:,} ticks{lost} of {names:,} symbol{'s' * (names != 1)} in "
            f"{render.duration(time.monotonic() - self._began_s)}, {decimal(size)}"
        )

    async def _take(self, client: Client, writer: Writer) -> None:
        while True:
            for tick in await client.take():
                self.ticks += 1
                self.left_out += tick.skipped
                self._symbols.add(tick.instrument)
                writer.write(row_of(tick))
                if self.ticks == self._count:
                    return

    async def _tend(self, writer: Writer) -> None:
        """Flush, and on a terminal say how far it is."""
        screen = console(err=True)
        with screen.status("recording; Ctrl-C ends it") as line:
            before = self.ticks
            while True:
                await asyncio.sleep(FLUSH_S)
                writer.flush()
                rate, before = (self.ticks - before) / FLUSH_S, self.ticks
                if screen.is_terminal:
                    told = f"{render.rate(rate)} a second: {self.summary()}; Ctrl-C ends it"
                    line.update(Text(told, no_wrap=True, overflow="ellipsis"))


def row_of(tick: Tick) -> Row:
    """A tick as a row of a recording."""
    return Row(
        time_ns=tick.received_ns,
        topic=topics.of(tick.instrument.key, tick.mode).decode(),
        exchange=tick.exchange,
        symbol=tick.symbol,
        data=msgspec.Raw(rows.json_of(tick.data)),
    )


async def _first(within_s: float | None, *work: Coroutine[Any, Any, object]) -> None:
    """Do these side by side until one of them is done, or time is up. Raises what that raises."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        done, _ = await asyncio.wait(tasks, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


@contextlib.contextmanager
def _told_to_end() -> Iterator[asyncio.Event]:
    """Set by Ctrl-C and SIGTERM: they end a recording, they do not break it off."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    try:
        yield ended
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
