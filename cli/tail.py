"""`hub tail`: an ordinary WebSocket client that prints ticks, one line each."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidURI, WebSocketException

from cli import ticks
from cli.monitor import ask_monitor
from cli.options import (
    config_option,
    json_option,
    lines,
    load_settings,
    openalgo_option,
    runtime_option,
    whole,
)
from cli.place import hub_dir
from cli.terminal import console
from hub.core.errors import HubError, NoAnswer, NotRunning
from hub.core.model import Instrument, Mode
from hub.core.names import DEMO_KEY
from hub.runtime.tls import client_context

_VARIABLE = "HUB_API_KEY"
_FIRST_BACKOFF_S = 0.25
_LONGEST_BACKOFF_S = 5.0
_ASK_S = 1.0
_MODES = [mode.name.lower() for mode in Mode]


@click.command(
    epilog=lines(
        "Examples:",
        "hub tail NSE:RELIANCE,NSE_INDEX:NIFTY",
        "hub tail MCX:GOLD30JAN25FUT --mode depth --key-file algo.key",
        "hub tail NSE:SBIN --json --count 100 > sbin.ndjson",
    )
    + lines(
        "The API key comes from",
        "--key-file FILE, else $HUB_API_KEY, else the running demo's own key.",
        "It is never an argument, where everyone on this machine could read it in `ps`.",
    )
)
@click.argument("symbols")
@click.option(
    "--mode", type=click.Choice(_MODES, case_sensitive=False), default="quote", show_default=True
)
@click.option(
    "--key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="F",
    help="File that holds the API key.",
)
@click.option("--url", metavar="URL", help="Hub to connect to.  [default: the one that runs here]")
@click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="For wss://: certificates to trust, such as the hub's own.  [default: this machine's]",
)
@click.option("--count", type=click.IntRange(1), metavar="N", help="End after so many ticks.")
@json_option
@config_option
@openalgo_option
@runtime_option
def tail(
    *,
    symbols: str,
    mode: str,
    key_file: Path | None,
    url: str | None,
    ca: Path | None,
    count: int | None,
    as_json: bool,
    config_file: Path | None,
    openalgo: Path | None,
    runtime_dir: Path | None,
) -> None:
    """Print the ticks of SYMBOLS as they come: EXCHANGE:SYMBOL, several with commas.

    A line has the time, the symbol, the last price, its change since the previous close and the
    volume; --mode depth adds the best bid and ask. With --json it is the hub's own message.
    """
    try:
        wanted = ticks.instruments(symbols)
    except ValueError as problem:
        raise click.BadParameter(str(problem), param_hint="SYMBOLS") from None
    directory = hub_dir(runtime_dir, config_file, openalgo)
    key = read_key(key_file, directory)
    url = (
        url
        or _find(directory)
        or load_settings(config_file, {"openalgo.path": whole(openalgo)}).ws_url()
    )
    printer = Printer(wanted, as_json=as_json, count=count)
    tls = client_context(ca) if url.startswith("wss:") else None
    asyncio.run(Tail(url, key, wanted, Mode.from_client(mode), printer, tls).run())


def read_key(key_file: Path | None, runtime_dir: Path) -> str:
    """The API key from where it may stand. Raises a usage error when it stands nowhere."""
    if key_file is None and os.environ.get(_VARIABLE):
        return os.environ[_VARIABLE].strip()
    path = key_file or runtime_dir / DEMO_KEY
    try:
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        key = ""
    if key:
        return key
    if key_file is not None:
        raise click.UsageError(f"{key_file} holds no API key that can be read.")
    raise click.UsageError(
        f"There is no API key: give --key-file FILE or set ${_VARIABLE}. It is the key of "
        "OpenAlgo's page, or one that `hub keys add NAME` makes; `hub start --demo` needs none."
    )


class Printer:
    """Writes ticks to stdout; `done` once `count` of them are written."""

    def __init__(self, wanted: Sequence[Instrument], *, as_json: bool, count: int | None) -> None:
        self._width = max(len(one.exchange) + len(one.symbol) + 1 for one in wanted)
        self._as_json = as_json
        self._left = count
        self._console: Console = console()

    def __repr__(self) -> str:
        return f"<Printer {'json' if self._as_json else 'lines'}, {self._left} left>"

    @property
    def done(self) -> bool:
        """Whether nothing more is to be printed."""
        return self._left == 0

    def tick(self, message: dict[str, Any]) -> None:
        """Print one tick."""
        if self._as_json:
            click.echo(json.dumps(message))
        else:
            self._console.print(ticks.line(message, self._width, time.time()), soft_wrap=True)
        if self._left is not None:
            self._left -= 1


class Tail:
    """One subscription, kept through reconnects."""

    def __init__(
        self,
        url: str,
        key: str,
        wanted: Sequence[Instrument],
        mode: Mode,
        printer: Printer,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._url = url
        self._key = key
        self._wanted = wanted
        self._mode = mode
        self._printer = printer
        self._tls = tls
        self._backoff_s = _FIRST_BACKOFF_S
        self._was_there = False

    def __repr__(self) -> str:
        return f"<Tail {self._url} {len(self._wanted)} symbols>"

    async def run(self) -> None:
        """Print until the printer is done. Raises NotRunning, HubError."""
        while not self._printer.done:
            try:
                await self._once()
            except InvalidURI as error:
                raise HubError(f"{self._url} is not a WebSocket address: {error.msg}") from None
            except (OSError, WebSocketException) as error:
                if isinstance(error, BrokenPipeError):
                    raise  # it is stdout that nobody reads
                if not self._was_there:
                    raise self._refused(error) from None
                await self._pause(error)

    async def _once(self) -> None:
        """One connection, from its beginning to its end."""
        options: dict[str, Any] = {"max_size": None, "compression": None, "proxy": None}
        async with connect(self._url, ssl=self._tls, **options) as socket:
            await socket.send(ticks.authenticate(self._key))
            async for text in socket:
                await self._take(socket, json.loads(text))
                if self._printer.done:
                    return
            raise ConnectionClosed(socket.protocol.close_rcvd, None)

    async def _take(self, socket: ClientConnection, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind == "market_data":
            self._printer.tick(message)
        elif kind == "auth" and message.get("status") == "success":
            self._was_there, self._backoff_s = True, _FIRST_BACKOFF_S
            await socket.send(ticks.subscribe(self._wanted, self._mode))
        elif kind == "subscribe":
            self._judge(message)
        elif message.get("status") == "error":
            raise HubError(f"the hub refuses: {message.get('message')} ({message.get('code')})")

    def _judge(self, reply: dict[str, Any]) -> None:
        """Say which symbols failed. Raises HubError when all did."""
        sentences = ticks.refused(reply)
        for sentence in sentences:
            click.echo(sentence, err=True)
        if len(sentences) == len(self._wanted):
            raise HubError("none of these symbols can be subscribed")

    def _refused(self, error: Exception) -> HubError:
        if isinstance(error, ssl.SSLCertVerificationError):
            return HubError(
                f"the certificate of {self._url} is not trusted: "
                f"{error.verify_message.rstrip('.')}; give --ca FILE with the hub's own or its "
                "authority's, and --url with a name that is in it"
            )
        return NotRunning(
            f"no hub answers at {self._url} ({reason(error)}); start one with `hub start`, or "
            "name it with --url"
        )

    async def _pause(self, error: Exception) -> None:
        wait_s = self._backoff_s
        click.echo(f"the hub is away ({reason(error)}); again in {wait_s:g} s", err=True)
        self._backoff_s = min(2 * wait_s, _LONGEST_BACKOFF_S)
        await asyncio.sleep(wait_s)


def reason(error: Exception) -> str:
    """Why a connection failed or ended, in a few words."""
    if isinstance(error, ConnectionClosed):
        close = error.rcvd
        return f"closed: {close.code} {close.reason}".strip() if close else "connection lost"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return str(error)


def _find(runtime_dir: Path) -> str:
    """The address of the hub that runs at this directory; empty when none says so."""
    try:
        reply = ask_monitor(runtime_dir, {"t": "status"}, _ASK_S)
    except (NotRunning, NoAnswer):
        return ""
    return str((reply.get("hub") or {}).get("url", ""))
