"""A checkout of OpenAlgo as its files describe it. Only read, never written, nothing of it run.

1. What the .env says counts, as in OpenAlgo itself, which loads it over its environment. What it
   does not say has OpenAlgo's default: this process's environment is not OpenAlgo's. Only `${NAME}`
   inside a value may come from there, where the .env does not set NAME, as OpenAlgo reads it too.
2. Of several problems all are told, each with what to do.
3. Secrets stand in `variables` alone: no repr, no message and no setting shows them.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from dotenv import dotenv_values

from hub.core.config import Given
from hub.core.errors import ConfigError

_PACKAGE = "websocket_proxy"
_DATABASE_URL = "sqlite:///db/openalgo.db"
_STATS_FILE = "log/ws_proxy_stats.json"
_ORIGIN = re.compile(r"https?://[^/\s]+|\*$")
_NUMBERS = {
    "WEBSOCKET_PORT": 8765,
    "ZMQ_PORT": 5555,
    "WS_AUTH_GRACE_SECONDS": 15,
    "WS_PING_INTERVAL": 20,
    "WS_PING_TIMEOUT": 20,
    "WS_MAX_QUEUE": 1024,
    "MAX_SYMBOLS_PER_WEBSOCKET": 1000,
    "MAX_WEBSOCKET_CONNECTIONS": 3,
}
"""The variables that hold whole numbers, and OpenAlgo's defaults."""
_LIMITS = ("MAX_SYMBOLS_PER_WEBSOCKET", "MAX_WEBSOCKET_CONNECTIONS")
_SETTINGS = {
    "websocket.port": "WEBSOCKET_PORT",
    "bus.port": "ZMQ_PORT",
    "websocket.auth_window_s": "WS_AUTH_GRACE_SECONDS",
    "websocket.ping_interval_s": "WS_PING_INTERVAL",
    "websocket.ping_timeout_s": "WS_PING_TIMEOUT",
    "websocket.max_requests": "WS_MAX_QUEUE",  # of frames that come in, whatever OpenAlgo says
}


@dataclass(frozen=True, repr=False)
class Checkout:
    """What one checkout says. `variables` is its .env; `numbers` are those of it that are such."""

    root: Path
    version: str
    variables: Mapping[str, str]
    numbers: Mapping[str, int]

    @classmethod
    def read(cls, path: Path) -> Checkout:
        """The checkout in this folder. Raises ConfigError with every problem found."""
        root = Path(os.path.realpath(path))
        try:
            names = {entry.name for entry in root.iterdir()}
        except OSError as error:
            raise ConfigError([_unreadable(root, error)]) from None
        problems = [] if _PACKAGE in names else [_no_checkout(root)]
        variables = _variables(root / ".env", problems)
        numbers = _numbers(root / ".env", variables, problems)
        if problems:
            raise ConfigError(problems)
        return cls(root, _version(root), MappingProxyType(variables), MappingProxyType(numbers))

    @property
    def pepper(self) -> str:
        """What is appended to an API key before it is hashed; empty when the .env has none."""
        return self.variables.get("API_KEY_PEPPER", "")

    @property
    def database_url(self) -> str:
        """The main database as the .env has it; a relative file is relative to `root`."""
        return self.variables.get("DATABASE_URL") or _DATABASE_URL

    @property
    def stats_file(self) -> Path:
        """Where OpenAlgo looks for the figures of its proxy; its folder need not exist."""
        return self.root / (self.variables.get("WS_PROXY_STATS_FILE") or _STATS_FILE)

    def elsewhere(self, database: Path | None) -> tuple[Path, ...]:
        """The folders outside of it that OpenAlgo writes: for figures, logs and its database, if
        that is a file."""
        named = [self.stats_file.parent, self.root / self.variables.get("LOG_DIR", "log")]
        named += [database.parent] if database else []
        found = [Path(os.path.normpath(path)) for path in named]
        return tuple(dict.fromkeys(path for path in found if not path.is_relative_to(self.root)))

    @property
    def brokers(self) -> list[str]:
        """The brokers this instance may use."""
        names = self.variables.get("VALID_BROKERS", "").split(",")
        return [name.strip() for name in names if name.strip()]

    @property
    def origins(self) -> list[str]:
        """The origins of OpenAlgo's own pages, and of those that may ask it; `*` is all."""
        texts = (self.variables.get(name, "") for name in ("HOST_SERVER", "CORS_ALLOWED_ORIGINS"))
        found = [_ORIGIN.match(name.strip()) for text in texts for name in text.split(",")]
        return list(dict.fromkeys(match[0] for match in found if match))

    @property
    def max_symbols(self) -> int:
        """Symbols of one broker connection in the pool."""
        return self.numbers["MAX_SYMBOLS_PER_WEBSOCKET"]

    @property
    def max_connections(self) -> int:
        """Broker connections in the pool of one user."""
        return self.numbers["MAX_WEBSOCKET_CONNECTIONS"]

    def __repr__(self) -> str:
        version = self.version or "of unknown version"
        return f"<Checkout {self.root}: OpenAlgo {version}, {len(self.variables)} variables>"


def settings_of(checkout: Checkout) -> dict[str, Given]:
    """The hub's settings that the .env says, by `section.name`, each with its place as source.

    They are numbers, texts and lists as the settings have them, but nobody has looked at their
    bounds: `hub.core.config.load` does, and names that place.
    """
    said = checkout.variables
    found: dict[str, tuple[str, object]] = {
        setting: (name, checkout.numbers[name])
        for setting, name in _SETTINGS.items()
        if name in said
    }
    for setting, name in (("websocket.host", "WEBSOCKET_HOST"), ("bus.host", "ZMQ_HOST")):
        if name in said:
            found[setting] = (name, said[name])
    if checkout.brokers:
        found["keys.brokers"] = ("VALID_BROKERS", checkout.brokers)
    if checkout.origins:
        found["websocket.origins"] = ("HOST_SERVER, CORS_ALLOWED_ORIGINS", checkout.origins)
    return {
        setting: Given(f"{checkout.root / '.env'}: {name}", value)
        for setting, (name, value) in found.items()
    }


def interpreter(root: Path, override: str | Path = "") -> Path:
    """The Python that has OpenAlgo's packages. Raises ConfigError when there is none.

    Its installers and images make `.venv` or `venv` in the checkout, older ones `venv` beside it.
    A link is not followed: where it stands makes a Python one of a virtual environment.
    """
    if override:
        places = [Path(override).absolute()]
    else:
        folders = (root / ".venv", root / "venv", root.parent / "venv")
        places = [folder / "bin" / "python" for folder in folders]
    for place in places:
        if os.path.isfile(place) and os.access(place, os.X_OK):  # noqa: PTH113  # never raises
            return place
    looked = ", ".join(map(str, places))
    advice = "name the one that OpenAlgo runs with by --openalgo-python or openalgo.python"
    raise ConfigError([f"no Python that can be run is at {looked}; {advice}"])


def _variables(file: Path, problems: list[str]) -> dict[str, str]:
    """What a .env sets; a name without `=` sets nothing."""
    try:
        if file.exists() and not file.is_file():
            problems.append(f"{file}: is no file; make it from .sample.env")
            return {}
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        problems.append(
            f"{file}: there is none; make it from .sample.env, and let OpenAlgo start once"
        )
        return {}
    except OSError as error:
        problems.append(_unreadable(file, error))
        return {}
    except UnicodeDecodeError:
        problems.append(f"{file}: is not UTF-8, so OpenAlgo cannot read it either; save it as such")
        return {}
    found = dotenv_values(stream=io.StringIO(text))
    return {name: value for name, value in found.items() if value is not None}


def _numbers(file: Path, variables: Mapping[str, str], problems: list[str]) -> dict[str, int]:
    numbers = dict(_NUMBERS)
    for name in _NUMBERS:
        text = variables.get(name)
        if text is None:
            continue
        try:
            numbers[name] = int(text)
        except ValueError:
            problems.append(
                f"{file}: {name} = {text!r} is no whole number; write one, or remove it"
            )
            continue
        if name in _LIMITS and numbers[name] < 1:
            problems.append(f"{file}: {name} = {text!r} leaves no room; write 1 or more")
    return numbers


def _version(root: Path) -> str:
    """As OpenAlgo says it, empty when it does not."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        text = (root / "utils/version.py").read_text(encoding="utf-8")
        if found := re.search(r"""^VERSION\s*=\s*["']([^"'\n]+)["']""", text, re.MULTILINE):
            return found[1]
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return str(project["version"])
    return ""


def _no_checkout(root: Path) -> str:
    inner = root / "openalgo"
    hint = "name the folder that has OpenAlgo's app.py"
    if os.path.isdir(inner / _PACKAGE):  # noqa: PTH112  # never raises
        hint = f"did you mean {inner}?"
    return f"{root}: has no folder {_PACKAGE}, so it is no checkout of OpenAlgo; {hint}"


def _unreadable(path: Path, error: OSError) -> str:
    if isinstance(error, PermissionError):
        advice = "run the hub as the user OpenAlgo runs as, or let this user read it"
    else:
        advice = "name OpenAlgo's folder by --openalgo or openalgo.path"
    return f"{path}: cannot be read: {error.strerror}; {advice}"
