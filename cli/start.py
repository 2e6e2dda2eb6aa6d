"""`hub start`: runs the supervisor in this process, says how far it is and how to use the hub."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from cli import complete
from cli.banner import Start, banner
from cli.brokers import broker_flags, broker_options
from cli.demo import STORE, demo_key
from cli.keys import store_of
from cli.machines import machine_options, nats_flags, with_others
from cli.options import (
    config_option,
    find_file,
    lines,
    load_settings,
    python_option,
    runtime_option,
    whole,
)
from cli.place import usual_dir
from cli.progress import Progress
from cli.terminal import show_long
from hub.auth.sources import keys_of
from hub.cluster.machines import machine_name
from hub.core.config import said
from hub.core.errors import StartError
from hub.core.names import OPENALGO
from hub.core.settings import NATS, Settings
from hub.feeds import catalogue
from hub.monitor.token import AUTO, VARIABLE, make_token, token_of
from hub.openalgo.checkout import Checkout
from hub.openalgo.service import services
from hub.openalgo.survey import PORTS, PYTHON, Finding, Scene, State, survey
from hub.runtime.nats_login import login
from hub.runtime.paths import make_runtime_dir
from hub.runtime.tls import identity
from hub.supervisor import Supervisor

_AUTO = "auto"
_DEMO_FEEDS = ["sim", "bus"]
_CRYPTO = (("CRYPTO", "BTCUSDT"), ("CRYPTO", "ETHUSDT"))
_WINDOWS_MS = {"low": 0.0, "balanced": 2.0, "frugal": 5.0}


@click.command(
    epilog=lines(
        "Examples:",
        "hub start --demo               a simulated market and a key to try it with",
        "hub start --shards 8",
        "hub start --config hub.toml --feed bus --port 9000",
        "hub start --feed binance       a live market that anybody may see",
        "hub start --feed angel         a broker account, without OpenAlgo (docs/feeds.md)",
        "hub start --host 0.0.0.0 --tls-cert fullchain.pem --tls-key privkey.pem",
        "hub start --page-host 0.0.0.0 --token auto    the page for others, who need the token",
    )
    + lines(
        "A broker at another address than its own, such as a server to test with; each setting of",
        "`hub config doc` in its section has such an option (BROKER is angel, fyers, ...):",
        "hub start --feed angel --angel-url ws://127.0.0.1:9001",
        "          --BROKER-url, --BROKER-api-url, --BROKER-instruments-url, --BROKER-credentials,",
        "          --BROKER-sockets",
    )
    + lines(
        "Several machines, by way of a NATS server (docs/scale.md):",
        "hub start --demo --publish nats://nats-1           offers its feeds to other machines",
        "hub start --feed openalgo --shards 0 --publish nats://nats-1,nats://nats-2",
        "hub start --bus nats://nats-1 --shards 8           serves clients what those offer",
        "hub start --bus tls://nats-1 --nats-creds edge.creds --nats-tls-ca ca.pem",
        "hub status --cluster                               then shows all of them",
    )
)
@click.option(
    "--shards",
    type=int,
    metavar="N",
    help="Shard processes that serve clients; with --publish 0 will do.",
)
@click.option(
    "--demo",
    is_flag=True,
    help="Run the simulator too, with a throw-away API key; with --bus the key alone.",
)
@click.option("--host", metavar="H", help="Address clients connect to.")
@click.option("--port", type=int, metavar="P", help="Port clients connect to; 0 picks one.")
@click.option(
    "--tls-cert",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Certificate in PEM, with its chain: clients use wss://.",
)
@click.option(
    "--tls-key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Its key; `kill -HUP` of the hub has both read anew.  [default: in the same file]",
)
@click.option("--bus-port", type=int, metavar="P", help="Port of the ZMQ bus; 0 picks one.")
@click.option(
    "--page/--no-page", default=None, help="Serve the page with the hub's figures.  [default: yes]"
)
@click.option("--page-host", metavar="H", help="Address of the page; other than loopback: --token.")
@click.option("--page-port", type=int, metavar="P", help="Port of the page; 0 picks one.")
@click.option(
    "--token",
    metavar="FILE|auto",
    help="File of the token that the page asks for; auto makes one and shows it.",
)
@click.option(
    "--latency",
    type=click.Choice([*_WINDOWS_MS]),
    help="How long a tick may wait for company under load, which saves CPU: low, not at all; "
    "balanced, 2 ms; frugal, 5 ms. An idle hub never waits.  [default: balanced]",
)
@click.option(
    "--feed",
    "feeds",
    multiple=True,
    metavar="NAME",
    shell_complete=complete.feeds,
    help="Feed to run; repeatable.",
)
@click.option(
    "--openalgo",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Serve the checkout of OpenAlgo in this folder, with the settings of its .env.",
)
@python_option
@machine_options
@broker_options
@click.option(
    "--log-level",
    metavar="LEVEL",
    help="Least severe message: debug, info, warning or error.  [default: info; a terminal shows "
    "warnings, `hub logs` the rest]",
)
@config_option
@runtime_option
def start(*, demo: bool, config_file: Path | None, **given: Any) -> None:
    """Start a hub and keep it running until Ctrl-C or `hub stop`.

    A process that ends is started again; clients of a shard that ended reconnect to the others.
    """
    if given["openalgo_python"] and not (given["openalgo"] or os.environ.get("HUB_OPENALGO_PATH")):
        raise click.UsageError("--openalgo-python is for --openalgo PATH, which is not given.")
    if demo and given["openalgo"]:
        raise click.UsageError("--demo has a market of its own; leave it out, or --openalgo.")
    file = config_file or find_file()
    settings = load_settings(file, flags(given, demo=demo))
    if given["token"] == _AUTO:
        settings = _with_token(settings)
    catalogue.check(settings)
    keys_of(settings)  # for what is wrong with them
    login(settings.nats)  # the same
    token_of(settings, os.environ)  # the same
    options = f" --config {shlex.quote(str(config_file))}" if config_file else ""
    least = shown_level(file, given["log_level"])
    if not settings.openalgo.path:
        demo = demo and not settings.keys.file
        symbols = _CRYPTO if settings.hub.feeds == ["binance"] else None
        sys.exit(run_hub(settings, demo=demo, config_options=options, least=least, symbols=symbols))
    findings = _look(settings)
    try:
        sys.exit(run_hub(settings, demo=False, config_options=options, least=least))
    except StartError as error:
        ports = [one for one in findings if one.state is State.BAD and one.what in PORTS]
        raise StartError("; ".join([str(error), *(one.advice for one in ports[:1])])) from None


def _look(settings: Settings) -> list[Finding]:
    """What is found in the checkout; what is worth a look is told. Raises StartError when its
    Python cannot run the adapters: they would be started again and again."""
    checkout = Checkout.read(Path(settings.openalgo.path))
    program = shlex.quote(os.environ.get("HUB_PROGRAM", "hub"))
    install = f"sudo {program} openalgo install {shlex.quote(str(checkout.root))}"
    findings = list(survey(Scene(checkout, settings, services(checkout.root), install)))
    for what, state, found, advice in findings:
        if state is State.BAD and what == PYTHON and OPENALGO in settings.hub.feeds:
            raise StartError(f"{found}; {advice}")
        if state is not State.FINE and what not in {"service", "brokers", *PORTS}:
            click.echo(f"{what}: {found}; {advice}", err=True)
    return findings


def flags(given: Mapping[str, Any], *, demo: bool) -> dict[str, Any]:
    """The options as settings; None is not given."""
    feeds = list(given["feeds"]) or (_DEMO_FEEDS if demo and not given["bus"] else [])
    directory = given["runtime_dir"]
    return (
        {
            "hub.shards": given["shards"],
            "hub.feeds": with_others(feeds, given["bus"]) or None,
            "hub.runtime_dir": str(directory.absolute()) if directory else None,
            "hub.log_level": given["log_level"],
            "websocket.host": given["host"],
            "websocket.port": given["port"],
            "websocket.tls_cert": whole(given["tls_cert"]),
            "websocket.tls_key": whole(given["tls_key"]),
            "bus.port": given["bus_port"],
            "page.enabled": given["page"],
            "page.host": given["page_host"],
            "page.port": given["page_port"],
            "page.token_file": None if given["token"] == _AUTO else _whole(given["token"]),
            "flow.window_ms": _WINDOWS_MS.get(given["latency"] or ""),
            "openalgo.path": whole(given["openalgo"]),
            "openalgo.python": whole(given["openalgo_python"]),
        }
        | nats_flags(given)
        | broker_flags(given)
    )


def _whole(token_file: str | None) -> str | None:
    return whole(Path(token_file)) if token_file else None


def _with_token(settings: Settings) -> Settings:
    """The same with a token of the hub's own."""
    file = make_token(make_runtime_dir(settings))
    page = msgspec.structs.replace(settings.page, token_file=str(file))
    return msgspec.structs.replace(settings, page=page)


def shown_level(file: Path | None, level: str | None) -> str:
    """On a terminal only warnings are shown, unless an option (`level`) or the settings name a
    level: empty is all that is logged. `hub logs` has the rest."""
    named = level or said("hub.log_level", file, os.environ)
    return "warning" if sys.stderr.isatty() and not named else ""


def run_hub(
    settings: Settings,
    *,
    demo: bool,
    config_options: str,
    least: str,
    symbols: Sequence[tuple[str, str]] | None = None,
) -> int:
    """Run a hub until it is told to stop; its exit code. `demo` gives it a throw-away key, whose
    ticks come from the simulator, else from the first feed. The lines to paste are for `symbols`;
    of the log what is `least` severe is shown, as in `shown_level`.
    """
    shown = identity(settings.websocket)  # for what is wrong with it; its warnings are in the log
    directory = make_runtime_dir(settings)
    if demo:
        keys = msgspec.structs.replace(settings.keys, file=str(directory / STORE))
        settings = msgspec.structs.replace(settings, keys=keys)
    has_keys = demo or bool(settings.openalgo.path) or bool(store_of(settings).list())
    supervisor: Supervisor
    key = ""

    def ready() -> None:
        facts = Start(
            supervisor.settings,
            demo_key=key,
            has_keys=has_keys,
            hub_options=_hub_options(directory, settings.openalgo.path),
            config_options=config_options,
            program=os.environ.get("HUB_PROGRAM", "hub"),
            page_token=_own_token(settings, directory),
            page_problem=supervisor.page_problem,
            certificate=shown.text if shown else "",
            machine=machine_name(settings),
        )
        show_long(banner(facts._replace(symbols=symbols) if symbols else facts))

    with Progress(ready) as progress, contextlib.ExitStack() as stack:
        supervisor = Supervisor(settings, progress.report, least)
        if demo:
            feeds = settings.hub.feeds
            simulated = {"sim", NATS} & {*feeds}  # another machine may have the market
            key = stack.enter_context(demo_key(directory, "sim" if simulated else feeds[0]))
        return supervisor.run()


def _own_token(settings: Settings, directory: Path) -> str:
    """The token, if the hub has made it itself: it is shown. One that a user has made is not."""
    own = settings.page.token_file == str(directory / AUTO)
    return token_of(settings, os.environ) if own and VARIABLE not in os.environ else ""


def _hub_options(directory: Path, openalgo: str) -> str:
    """How another command finds this hub, if not by itself."""
    if directory == usual_dir(None):
        return ""
    if openalgo and directory == usual_dir(None, Path(openalgo)):
        return f" --openalgo {shlex.quote(openalgo)}"
    return f" --runtime-dir {shlex.quote(str(directory))}"
