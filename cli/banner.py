"""What `hub start` says once everything is ready. Pure.

The lines to paste stand at the left edge, unwrapped and without a frame; what is said about them
is a comment, so that the whole may be pasted too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from rich.text import Text

import hub
from hub.core.settings import NATS, Nats, Settings
from hub.monitor.token import is_loopback

_SYMBOLS = (("NSE", "RELIANCE"), ("NSE_INDEX", "NIFTY"))
_OPENALGO = "http://127.0.0.1:5000"


class Start(NamedTuple):
    """What the banner needs to know: the demo's key (empty: none), whether any key exists, and
    the options by which another command finds this hub, and how the command itself is called; the
    page's token if it is to be shown, and why there is no page; for which symbols (exchange and
    symbol) there are lines to paste; of the certificate that clients are shown, its names and how
    long it is good (empty: none); the name of this machine among others."""

    settings: Settings
    demo_key: str = ""
    has_keys: bool = True
    hub_options: str = ""
    config_options: str = ""
    program: str = "hub"
    page_token: str = ""
    page_problem: str = ""
    symbols: Sequence[tuple[str, str]] = _SYMBOLS
    certificate: str = ""
    machine: str = ""


def banner(start: Start) -> Text:
    """The banner."""
    text = Text("\n")
    _facts(text, start)
    _others(text, start)
    if start.settings.hub.shards:
        _clients(text, start)
    return text.append("\n").append("Ctrl-C stops the hub.\n", "dim")


def _others(text: Text, start: Start) -> None:
    """What to type where other machines are part of it."""
    role, nats = start.settings.cluster_role, start.settings.nats
    if role == "ingest":
        _paste(
            text,
            f"On another machine, to serve clients what these feeds have{_here(nats)}:",
            _edge(start, nats),
        )
    if role:
        command = f"{start.program} status --cluster{start.hub_options}"
        _paste(text, "All machines, and which feed is where:", command)


def _edge(start: Start, nats: Nats) -> str:
    """The command for a machine that takes these feeds."""
    prefix = f"HUB_NATS_PREFIX={nats.prefix} " if nats.prefix != Nats().prefix else ""
    demo = " --demo" if start.demo_key else ""
    named = {"--nats-creds": nats.creds_file, "--nats-tls-ca": nats.tls_ca}
    files = "".join(f" {option} FILE" for option, file in named.items() if file)
    servers = ",".join(nats.servers)
    return f"{prefix}{start.program} start{demo} --bus {servers} --shards 4{files}"


def _here(nats: Nats) -> str:
    """What is to be said of an address that leads others nowhere."""
    hosts = (urlsplit(server).hostname or "" for server in nats.servers)
    own = next((host for host in hosts if host == "localhost" or is_loopback(host)), "")
    return f",\n# with this machine's address in place of {own}" if own else ""


def _clients(text: Text, start: Start) -> None:
    """What to paste into a client."""
    if not start.demo_key and not start.has_keys:
        _paste(
            text,
            "No API key exists yet, so no client can log in. Add one, in another terminal:",
            f"{start.program} keys add NAME{start.config_options}",
        )
    if start.settings.openalgo.path:
        text.append("\n# YOUR_API_KEY below is the one of OpenAlgo's page, under API Key.\n", "dim")
    key = start.demo_key or "YOUR_API_KEY"
    url = start.settings.ws_url()
    _paste(
        text,
        "Python, with OpenAlgo's SDK (pip install openalgo):",
        *python(url, key, start.symbols),
    )
    given = "" if start.demo_key else "HUB_API_KEY=YOUR_API_KEY "
    symbols = ",".join(":".join(pair) for pair in start.symbols)
    _paste(text, "A terminal:", f"{given}{start.program} tail {symbols}{start.hub_options}")
    _paste(
        text,
        "A browser's console, on a page of this machine, such as OpenAlgo's:",
        *browser(url, key, start.symbols),
    )


def python(url: str, key: str, symbols: Sequence[tuple[str, str]] = _SYMBOLS) -> list[str]:
    """Lines of Python that print ticks."""
    pairs = (f'{{"exchange": "{exchange}", "symbol": "{symbol}"}}' for exchange, symbol in symbols)
    return [
        "from openalgo import api",
        f'client = api(api_key="{key}",',
        f'             host="{_OPENALGO}", ws_url="{url}")',
        "client.connect()",
        "client.subscribe_ltp([",
        *(f"    {pair}," for pair in pairs),
        "], on_data_received=print)",
    ]


def browser(url: str, key: str, symbols: Sequence[tuple[str, str]] = _SYMBOLS) -> list[str]:
    """Lines of JavaScript that log ticks: log in, and subscribe when that is answered."""
    pairs = (f'{{exchange: "{exchange}", symbol: "{symbol}"}}' for exchange, symbol in symbols)
    return [
        f'ws = new WebSocket("{url}");',
        f'key = "{key}";',
        'ws.onopen = () => ws.send(JSON.stringify({action: "authenticate", api_key: key}));',
        "ws.onmessage = m => { const d = JSON.parse(m.data); console.log(d);",
        '  if (d.type === "auth") ws.send(JSON.stringify({action: "subscribe", mode: "LTP",',
        f"    symbols: [{', '.join(pairs)}]",
        "  })); };",
        'ws.onclose = e => console.log("closed:", e.code, e.reason);',
    ]


def _facts(text: Text, start: Start) -> None:
    settings = start.settings
    shards = settings.hub.shards
    text.append(f"Shardhub {hub.__version__}", "bold").append(" is ready: ")
    role = f"{settings.cluster_role}, " if settings.cluster_role else ""
    text.append(f"{role}{shards or 'no'} shard{'s' * (shards != 1)}, ")
    text.append(f"feeds {', '.join(settings.hub.feeds)}\n\n")
    rows = [*_doors(start), ("Bus", f"tcp://{settings.bus.host}:{settings.bus.port}", "")]
    if role:
        rows.append(_nats(start))
    if settings.page.enabled:
        rows.append(_page(start))
    if start.demo_key and shards:
        rows.append(("API key", start.demo_key, "  (until this hub stops)"))
    for name, value, note in rows:
        text.append(f"  {name:<11}", "dim").append(value, "bold green").append(f"{note}\n", "dim")


def _doors(start: Start) -> Iterator[tuple[str, str, str]]:
    """Where clients come in."""
    settings = start.settings
    if not settings.hub.shards:
        return
    yield "WebSocket", settings.ws_url(), ""
    if start.certificate:
        yield "TLS", f"certificate of {start.certificate}", ""
    if settings.websocket.unix:
        yield "or by", settings.websocket.unix, "  (Unix socket, ws)"


def _nats(start: Start) -> tuple[str, str, str]:
    settings = start.settings
    own = ", ".join(feed for feed in settings.hub.feeds if feed != NATS)
    does = f"publishes {own}" if settings.nats.publish else "takes what other machines publish"
    return "NATS", ", ".join(settings.nats.servers), f"  ({does}, as {start.machine})"


def _page(start: Start) -> tuple[str, str, str]:
    if start.page_problem:
        return "Page", "none", f"  ({start.page_problem}; --page-port 0 picks another)"
    token = f"/#token={start.page_token}" if start.page_token else ""
    everywhere = start.settings.page.host in {"0.0.0.0", "::"}  # noqa: S104  # binds nothing
    note = "  (from elsewhere: with this machine's address)" if everywhere else ""
    return "Page", f"{start.settings.page_url()}{token}", note


def _paste(text: Text, comment: str, *lines: str) -> None:
    text.append(f"\n# {comment}\n", "dim")
    for line in lines:
        text.append(f"{line}\n", "cyan")
