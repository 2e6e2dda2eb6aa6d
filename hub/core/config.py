"""How the settings (hub/core/settings.py) are read, and written for people and processes.

Sources in order of weakness: the defaults below, what the caller has from elsewhere (OpenAlgo's
.env, see hub/openalgo/settings.py), a TOML file, the environment, flags. An unknown name is an
error that names the nearest known one, and all problems are reported at once.
"""

from __future__ import annotations

import difflib
import functools
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints
from urllib.parse import urlsplit

import msgspec

from hub.core import market, proxies
from hub.core.errors import ConfigError
from hub.core.settings import BROKERS, NATS, NATS_CREDENTIALS, Settings

_NEAR = 0.85


class Given(NamedTuple):
    """What a source says of one setting, and how an error names that source."""

    source: str
    value: Any


_Values = dict[str, dict[str, Given]]
"""What is set, by section and name."""


class Definition(NamedTuple):
    """One setting as documented: where it stands, what it means, what it is without being set."""

    section: str
    name: str
    type: str
    default: Any
    unit: str
    text: str

    @property
    def path(self) -> str:
        """`section.name`, as in the TOML file and in error messages."""
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable that sets it; lists are written with commas."""
        return env_name(self.section, self.name)


def env_name(section: str, name: str) -> str:
    """`HUB_SHARDS`, `HUB_WEBSOCKET_PORT`: the variable of one setting."""
    return "_".join(
        part for part in ("HUB", "" if section == "hub" else section, name) if part
    ).upper()


def definitions() -> Iterator[Definition]:
    """Every setting in the order of the file."""
    for section, struct in _sections().items():
        hints = _hints(struct)
        for field in msgspec.structs.fields(struct):
            meta = _meta(hints[field.name])
            yield Definition(
                section,
                field.name,
                _type_name(hints[field.name]),
                _default(field),
                meta.get("unit", ""),
                meta.get("text", ""),
            )


def load(
    file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    flags: Mapping[str, Any] | None = None,
    weakest: Mapping[str, Given] | None = None,
) -> Settings:
    """Read the settings from all sources.

    `flags` maps `section.name` to a value; None means not given. `weakest` is what the file may
    overrule. Raises ConfigError with every problem found, each naming its source.
    """
    values, problems = _gather(file, environ, flags or {}, weakest or {})
    built = {
        section: msgspec.convert(
            {name: given.value for name, given in found.items()}, _sections()[section]
        )
        for section, found in values.items()
    }
    if problems:
        raise ConfigError(problems)
    settings = Settings(**built)
    problems = [*_together(settings)]
    if problems:
        raise ConfigError(problems)
    return settings


def _together(settings: Settings) -> Iterator[str]:
    """What is wrong with settings that are right one by one."""
    nats, takes = settings.nats, NATS in settings.hub.feeds
    port = settings.bus.port
    if settings.websocket.port == port != 0:
        yield f"websocket.port and bus.port are both {port}; each needs its own"
    if nats.publish and takes:
        yield (
            f"nats.publish and the feed {NATS} exclude each other: a machine gives its feeds to "
            "others (hub start --publish), or takes theirs (hub start --bus); run two hubs for both"
        )
    if (nats.publish or takes) and not nats.servers:
        yield "nats.servers is empty; name NATS's address, such as nats://127.0.0.1:4222"
    if nats.standby and not nats.publish:
        yield "nats.standby is for machines that publish their feeds; see nats.publish"
    ways = [name for name in NATS_CREDENTIALS if getattr(nats, name)]
    if len(ways) > 1:
        yield f"nats.{' and nats.'.join(ways)}: there is one way to say who one is"
    if bool(nats.user) != bool(nats.password_file):
        yield "nats.user and nats.password_file belong together"
    if bool(nats.tls_cert) != bool(nats.tls_key):
        yield "nats.tls_cert and nats.tls_key belong together"


def said(
    path: str,
    file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    flags: Mapping[str, Any] | None = None,
) -> Any:
    """What the strongest source says of the setting `section.name`, None when none does.

    For what has to be known before all the rest; a problem is left to `load`.
    """
    section, _, name = path.partition(".")
    values, _ = _gather(file, environ, flags or {}, {})
    found = values[section].get(name)
    return found.value if found else None


def environment(settings: Settings) -> dict[str, str]:
    """The environment variables that make `load` return the same settings in a child process."""
    variables = {}
    for definition in definitions():
        value = getattr(getattr(settings, definition.section), definition.name)
        variables[definition.variable] = _text(value)
    return variables


def as_toml(settings: Settings | None = None) -> str:
    """A complete TOML file with a comment for each setting."""
    lines = []
    section = ""
    for definition in definitions():
        if definition.section != section:
            section = definition.section
            lines += ["", f"# {(_sections()[section].__doc__ or '').strip()}", f"[{section}]"]
        value = definition.default
        if settings is not None:
            value = getattr(getattr(settings, section), definition.name)
        unit = f" [{definition.unit}]" if definition.unit else ""
        lines.append(f"# {definition.text}{unit}")
        lines.append(f"{definition.name} = {msgspec.json.encode(value).decode()}")
    return "\n".join(lines).lstrip() + "\n"


@functools.cache
def _sections() -> dict[str, Any]:
    return {
        field.name: get_type_hints(Settings)[field.name]
        for field in msgspec.structs.fields(Settings)
    }


@functools.cache
def _hints(struct: type[Any]) -> dict[str, Any]:
    return get_type_hints(struct, include_extras=True)


def _meta(hint: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for meta in getattr(hint, "__metadata__", ()):
        if meta.description:
            found["text"] = meta.description
        found.update(meta.extra or {})
    return found


def _type_name(hint: Any) -> str:
    base = getattr(hint, "__origin__", hint)
    return {bool: "true or false", int: "integer", float: "number", str: "text"}.get(
        base, "list of text"
    )


def _default(field: Any) -> Any:
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()


def _gather(
    file: Path | None,
    environ: Mapping[str, str],
    flags: Mapping[str, Any],
    weakest: Mapping[str, Given],
) -> tuple[_Values, list[str]]:
    """What is set, by section and name, and every problem; a source overwrites the weaker ones."""
    problems: list[str] = []
    values: _Values = {section: {} for section in _sections()}
    for path, given in weakest.items():
        section, _, name = path.partition(".")
        _put(values, section, name, given.value, given.source, problems)
    if file is not None:
        _from_file(file, values, problems)
    _from_environment(environ, values, problems)
    for path, value in flags.items():
        if value is not None:
            section, _, name = path.partition(".")
            _put(values, section, name, value, "flag", problems)
    problems += _nobody_serves(values)
    return values, problems


def _nobody_serves(values: _Values) -> list[str]:
    """No shards are a problem, but for a machine that publishes its feeds."""
    shards, publish = values["hub"].get("shards"), values["nats"].get("publish")
    if shards is None or shards.value or (publish and publish.value):
        return []
    del values["hub"]["shards"]
    problem = (
        "nobody would serve clients; only a machine that publishes its feeds (nats.publish) may "
        "have none"
    )
    return [f"{shards.source}: hub.shards = 0: {problem}"]


def _from_file(file: Path, values: _Values, problems: list[str]) -> None:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"{file}: cannot be read: {error.strerror}")
        return
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{file}: not a TOML file: {error}")
        return
    for section, given in document.items():
        if not isinstance(given, dict):
            problems.append(f"{file}: {section} stands outside a section such as [hub]")
            continue
        for name, value in given.items():
            _put(values, section, name, value, str(file), problems)


def _from_environment(environ: Mapping[str, str], values: _Values, problems: list[str]) -> None:
    known = {definition.variable: definition for definition in definitions()}
    for variable, text in environ.items():
        definition = known.get(variable)
        if definition is None and variable.startswith("HUB_"):
            near = difflib.get_close_matches(variable, known, 1, _NEAR)
            problems += [f"${variable}: no such setting; did you mean ${name}?" for name in near]
        elif definition is not None:
            value: Any = text
            if definition.type == "list of text":
                value = [part.strip() for part in text.split(",") if part.strip()]
            _put(values, definition.section, definition.name, value, f"${variable}", problems)


def _put(
    values: _Values,
    section: str,
    name: str,
    value: Any,
    source: str,
    problems: list[str],
) -> None:
    """Check one value and keep it; a problem is noted instead."""
    struct = _sections().get(section)
    fields = _hints(struct) if struct else {}
    if name not in fields:
        paths = [definition.path for definition in definitions()]
        near = difflib.get_close_matches(f"{section}.{name}", paths, 1, 0.5)
        hint = f"; did you mean {near[0]}?" if near else "; see `hub config doc`"
        problems.append(f"{source}: there is no setting {section}.{name}{hint}")
        return
    try:
        found = msgspec.convert(value, fields[name], strict=not isinstance(value, str))
    except msgspec.ValidationError as error:
        shown = "..." if "@" in str(value) else repr(value)  # there may be a password in it
        problems.append(f"{source}: {section}.{name} = {shown}: {error}")
        return
    values[section][name] = Given(source, found)
    if check := _CHECKS.get(f"{section}.{name}"):
        told = map(check, found if isinstance(found, list) else [found])
        problems += [f"{source}: {section}.{name}: {problem}" for problem in told if problem]


def _server_problem(address: str) -> str:
    """What is wrong with an address of NATS. What it may hold of a secret is not told."""
    try:
        found = urlsplit(address)
        port = found.port
    except ValueError:
        return "it is no address; write nats://host:4222"
    if "@" in address:
        return (
            "an address may hold no credentials; see nats.user, token_file, nkey_file, creds_file"
        )
    if found.scheme not in {"nats", "tls"} or not found.hostname or port == 0:
        return "it is no address of NATS; write nats://host:4222, or tls://host:4222"
    return ""


def _credentials_problem(place: str) -> str:
    """What is wrong with a place of credentials: processes are told of it in a list with commas."""
    return "a comma cannot stand in it; put the command into a script" if "," in place else ""


_CHECKS: dict[str, Callable[[str], str]] = {
    "market.sessions": market.session_problem,
    "market.timezone": market.zone_problem,
    "market.holidays": market.holiday_problem,
    "websocket.trusted_proxies": proxies.problem,
    "nats.servers": _server_problem,
    **{f"{broker}.credentials": _credentials_problem for broker in BROKERS},
}
"""What a type cannot say of a setting, or of each of its values: the problem, empty if none."""


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(value) if isinstance(value, list) else str(value)
