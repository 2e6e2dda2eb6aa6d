"""How commands come to a hub as its clients do: which hub, with which key, for which symbols."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from cli.monitor import ask_monitor
from cli.options import lines, load_settings, whole
from cli.place import hub_dir
from hub import client
from hub.client import Client, Outcome, State, wishes
from hub.core.errors import HubError, NoAnswer, NotRunning, NotTrusted, RequestError
from hub.core.model import Instrument, Mode
from hub.core.names import DEMO_KEY
from hub.runtime.tls import client_context, pinned_context

_VARIABLE = "HUB_API_KEY"
_ASK_S = 1.0

ABOUT_KEYS = lines(
    "The API key comes from",
    "--key-file FILE, else $HUB_API_KEY, else the running demo's own key.",
    "It is never an argument, where everyone on this machine could read it in `ps`.",
)

symbols_argument = click.argument("symbols", nargs=-1, required=True)
mode_option = click.option(
    "--mode",
    type=click.Choice([mode.name.lower() for mode in Mode], case_sensitive=False),
    default="quote",
    show_default=True,
)
key_option = click.option(
    "--key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="F",
    help="File that holds the API key.",
)
url_option = click.option(
    "--url", metavar="URL", help="Hub to connect to.  [default: the one that runs here]"
)


ca_option = click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="For wss://: certificates to trust, such as the hub's own.  [default: this machine's, and "
    "that of the hub that runs here]",
)


class Login(NamedTuple):
    """Where to connect to, with which key, and whom to trust at wss://."""

    url: str
    key: str
    tls: ssl.SSLContext | None

    def connect(self, **options: Any) -> Client:
        """The client, with these options of `hub.client.connect`; it says when the hub is away."""
        return client.connect(self.url, self.key, on_state=tell_state, ssl=self.tls, **options)


def login(
    url: str | None,
    key_file: Path | None,
    config_file: Path | None,
    openalgo: Path | None,
    runtime_dir: Path | None,
    ca: Path | None,
) -> Login:
    """The login that these options name. Raises UsageError without a key, ConfigError."""
    directory = hub_dir(runtime_dir, config_file, openalgo)
    key = read_key(key_file, directory)
    flags = {"openalgo.path": whole(openalgo)}
    here = "" if url else find(directory)
    url = url or here or load_settings(config_file, flags).ws_url()
    if not url.startswith("wss:"):
        return Login(url, key, None)
    own = find(directory, "tls_cert") if here and ca is None else ""
    is_known = bool(own) and os.access(own, os.R_OK)
    return Login(url, key, pinned_context(Path(own)) if is_known else client_context(ca))


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


def find(runtime_dir: Path, what: str = "url") -> str:
    """The address of the hub that runs at this directory, or that of its `bus`, or the file of its
    certificate (`tls_cert`); empty when none says so. Raises HubError when it serves no clients."""
    try:
        reply = ask_monitor(runtime_dir, {"t": "status"}, _ASK_S)
    except (NotRunning, NoAnswer):
        return ""
    hub = reply.get("hub") or {}
    if what == "url" and hub.get("shards") == 0:
        raise HubError(
            f"the hub at {runtime_dir} has no shards, so it serves no clients; name one that does "
            "with --url, such as ws://HOST:8765"
        )
    return str(hub.get(what, ""))


def symbols_of(words: Sequence[str]) -> list[Instrument]:
    """The symbols that these words name: EXCHANGE:SYMBOL, several with commas, or @FILE with as
    many as one likes, one or more a line, `#` for remarks. Raises BadParameter."""
    try:
        return wishes.instruments([part for word in words for part in _expanded(word)])
    except OSError as error:
        problem = f"{error.filename} cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        problem = f"{' '.join(words)}: the file is not UTF-8"
    except ValueError as error:
        problem = str(error)
    raise click.BadParameter(problem, param_hint="SYMBOLS")


def _expanded(word: str) -> Iterator[str]:
    if not word.startswith("@"):
        yield word
        return
    for text in Path(word[1:]).read_text(encoding="utf-8").splitlines():
        yield from text.partition("#")[0].split()


def tell_state(state: State) -> None:
    """Say on stderr that the hub is away."""
    if state.again_s:
        click.echo(f"the hub is away ({state.reason}); again in {state.again_s:.1f} s", err=True)


def tell_refused(outcomes: Sequence[Outcome]) -> None:
    """Say on stderr which symbols cannot be had. Raises HubError when none can."""
    refused = [one for one in outcomes if one.error]
    for one in refused:
        named = one.error.startswith(one.name)
        click.echo(one.error if named else f"{one.name}: {one.error}", err=True)
    if len(refused) == len(outcomes):
        raise HubError("none of these symbols can be subscribed")


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """What a client raises, with what to do about it."""
    try:
        yield
    except NotRunning as error:
        raise NotRunning(f"{error}; start one with `hub start`, or name it with --url") from None
    except NotTrusted as error:
        raise NotTrusted(f"{error}; give --ca FILE if it is the hub's own") from None
    except RequestError as error:
        raise HubError(f"the hub refuses: {error} ({error.code})") from None
