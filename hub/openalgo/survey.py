"""What a person is told about a checkout of OpenAlgo before a hub serves it: line by line, with
what to do. Only looks: nothing of the checkout is run but its Python, and nothing is written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from hub.auth.database import Database, KeyRow
from hub.auth.openalgo import MIN_PEPPER
from hub.core.errors import ConfigError, KeyStoreError, StartError
from hub.core.settings import Settings
from hub.openalgo.checkout import Checkout, interpreter
from hub.openalgo.ports import Kind, holder, user_name
from hub.openalgo.service import MODE, STANDALONE, Service
from hub.runtime.process import said_by

_OURS = {"zmq": "pyzmq", "msgpack": "msgpack"}
"""What the hub's process in that Python imports, and the packages that have it."""
_THEIRS = {
    "sqlalchemy": "SQLAlchemy",
    "dotenv": "python-dotenv",
    "cachetools": "cachetools",
    "cryptography": "cryptography",
    "pytz": "pytz",
    "websocket": "websocket-client",
}
"""What OpenAlgo's adapters import."""
_PROBE = """
import importlib, json, sys
missing = []
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception:
        missing.append(name)
print(json.dumps({"version": sys.version.split()[0], "missing": missing}))
"""
_PROBE_S = 30.0
_PLACEHOLDER = "PLACEHOLDER"
"""Stands in the secrets of OpenAlgo's .sample.env."""


PYTHON = "Python"
PORTS = ("clients' port", "bus's port")
"""What findings are about that others go by."""


class State(StrEnum):
    """How it is: fine, worth a look, or in the way of a hub."""

    FINE = "fine"
    LOOK = "look"
    BAD = "bad"


class Finding(NamedTuple):
    """One line: what was looked at, how it is, what was found, and what to do about it."""

    what: str
    state: State
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Scene:
    """What is looked at. `settings` are those a hub would have; `services` run the checkout."""

    checkout: Checkout
    settings: Settings
    services: list[Service]
    install: str
    """The command that installs a hub there."""


def survey(scene: Scene) -> Iterator[Finding]:
    """Everything that is found, in the order in which it is to be mended. What a checkout says
    goes to a terminal, so it is shown and not obeyed."""
    for what, state, found, advice in _look(scene):
        yield Finding(what, state, _printable(found), _printable(advice))


def _look(scene: Scene) -> Iterator[Finding]:
    checkout, settings = scene.checkout, scene.settings
    version = f"OpenAlgo {checkout.version}" if checkout.version else "OpenAlgo, unknown version"
    yield Finding("checkout", State.FINE, f"{checkout.root}, {version}")
    yield _variables(checkout)
    yield _python(checkout, settings)
    yield from _database(checkout)
    yield _brokers(checkout)
    yield _user(checkout, scene.services)
    yield _service(scene)
    yield _port(scene, PORTS[0], settings.websocket.host, settings.websocket.port)
    yield _port(scene, PORTS[1], settings.bus.host, settings.bus.port)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)


def _variables(checkout: Checkout) -> Finding:
    what, found = ".env", f"{len(checkout.variables)} variables"
    if len(checkout.pepper) < MIN_PEPPER:
        advice = "let OpenAlgo make its .env, or put the one there that its API keys were made with"
        return Finding(what, State.BAD, f"{found}, but no API_KEY_PEPPER that is one", advice)
    if _PLACEHOLDER in checkout.pepper:
        advice = "let OpenAlgo start once: it makes a .env of its own from .sample.env"
        return Finding(what, State.BAD, f"{found}, API_KEY_PEPPER is the sample's", advice)
    if not checkout.variables.get("FERNET_SALT"):
        advice = "let OpenAlgo of this version start once: it writes one"
        return Finding(what, State.LOOK, f"{found}, no FERNET_SALT", advice)
    mode = checkout.variables.get(MODE, "").strip("'\" ")
    if mode and mode != STANDALONE:
        advice = f"remove it from there: it outweighs {MODE}={STANDALONE} of the service"
        return Finding(what, State.BAD, f"{found}, {MODE}={mode} among them", advice)
    return Finding(what, State.FINE, found)


def _python(checkout: Checkout, settings: Settings) -> Finding:
    what = PYTHON
    try:
        python = interpreter(checkout.root, settings.openalgo.python)
    except ConfigError as error:
        return Finding(what, State.BAD, *error.problems[0].split("; ", 1))
    advice = "name the one that OpenAlgo runs with by --openalgo-python"
    try:
        owner = (
            checkout.root.stat().st_uid
        )  # what is in there is that user's, root shall not run it
        command = [str(python), "-c", _PROBE, *_OURS, *_THEIRS]
        said = json.loads(said_by(command, _PROBE_S, owner=owner))
        version = said["version"]
        missing = [(_OURS | _THEIRS)[name] for name in said["missing"]]
    except (StartError, ValueError, LookupError, TypeError) as error:
        return Finding(what, State.BAD, f"{python} does not run: {error}", advice)
    if missing:
        lacks = f"{python}, {version}, lacks {', '.join(missing)}"
        state = State.BAD if _OURS.keys() & said["missing"] else State.LOOK
        return Finding(what, state, lacks, f"{advice}, or update OpenAlgo's packages")
    return Finding(what, State.FINE, f"{python}, {version}, has what the adapters need")


def _database(checkout: Checkout) -> Iterator[Finding]:
    what = "database"
    database = Database(checkout.database_url, checkout.root)
    try:
        rows = database.rows()
    except KeyStoreError as error:
        found, _, advice = str(error).partition("; ")
        yield Finding(what, State.BAD, found, advice or _database_advice(found))
        return
    yield Finding(what, State.FINE, f"{database.shown}, can be read")
    yield _logins(rows)


def _database_advice(problem: str) -> str:
    if "denied" in problem or "unable to open" in problem:
        return "run this as the user that OpenAlgo runs as"
    if "no such table" in problem or "no such column" in problem:
        return "let OpenAlgo of this version start once: it makes its tables"
    if "not a database" in problem or "malformed" in problem:
        return "correct DATABASE_URL in the .env, or bring back a copy of the database"
    return "see that OpenAlgo itself can use it"


def _logins(rows: list[KeyRow]) -> Finding:
    what = "API keys"
    if not rows:
        return Finding(what, State.LOOK, "none yet", "make one at OpenAlgo's page, under API Key")
    stand = [f"{row.user} at {row.active_broker}" for row in rows if row.active_broker]
    away = [row.user for row in rows if not row.active_broker]
    found = "; ".join([*stand, *(f"{user} not logged in at a broker" for user in away)])
    if away:
        return Finding(what, State.LOOK, found, "log in at OpenAlgo's page, as on every morning")
    return Finding(what, State.FINE, found)


def _brokers(checkout: Checkout) -> Finding:
    what, names = "brokers", checkout.brokers
    if not names:
        advice = "name the brokers of this instance in VALID_BROKERS"
        return Finding(what, State.LOOK, "VALID_BROKERS names none", advice)
    missing = [n for n in names if not (checkout.root / "broker" / n / "streaming").is_dir()]
    found = f"{len(names) - len(missing)} of {len(names)} in VALID_BROKERS have an adapter"
    if missing:
        advice = "their users get BROKER_ERROR; see that VALID_BROKERS has no misprint"
        return Finding(what, State.LOOK, f"{found}; not: {', '.join(missing)}", advice)
    return Finding(what, State.FINE, found)


def _user(checkout: Checkout, services: list[Service]) -> Finding:
    what, owner, own = "user", checkout.root.stat().st_uid, os.geteuid()
    if owner == own:
        return Finding(what, State.FINE, f"{user_name(own)}, who owns OpenAlgo's files")
    found = f"{user_name(own)}, but OpenAlgo's files are {user_name(owner)}'s"
    advice = f"start the hub as {user_name(owner)}, for example with `sudo -u {user_name(owner)}`"
    if services:
        advice = f"start the hub as {user_name(owner)}; `hub openalgo install` sees to it"
    return Finding(what, State.LOOK, found, advice)


def _service(scene: Scene) -> Finding:
    what = "service"
    if not scene.services:
        found = f"no systemd service has {scene.checkout.root} as its WorkingDirectory"
        if scene.checkout.variables.get(MODE, "").strip("'\" ") == STANDALONE:
            return Finding(what, State.FINE, f"{found}; {MODE}={STANDALONE} is in the .env")
        advice = f"start OpenAlgo with {MODE}={STANDALONE}, so that it starts no proxy of its own"
        return Finding(what, State.LOOK, found, advice)
    names = ", ".join(service.name for service in scene.services)
    if all(service.standalone for service in scene.services):
        return Finding(what, State.FINE, f"{names}, with {MODE}={STANDALONE}")
    return Finding(what, State.LOOK, f"{names}, starts its own proxy", f"type: {scene.install}")


def _port(scene: Scene, what: str, host: str, port: int) -> Finding:
    place = f"{host}:{port}"
    found = holder(port, scene.checkout.root)
    if found is None:
        return Finding(what, State.FINE, f"{place} is free")
    by = f"{found.name} (pid {found.pid})"
    if found.kind is Kind.UNSEEN:
        by = f"a process that {user_name(os.geteuid())} may not see"
        advice = "run this as root to see which, and end it"
    elif found.kind is Kind.HUB:
        if found.checkout in {None, str(scene.checkout.root)}:
            return Finding(what, State.FINE, f"{place} is the hub's that runs (pid {found.pid})")
        by = f"the hub of {found.checkout or 'no checkout'} (pid {found.pid})"
        advice = "give this instance a port of its own in its .env"
    elif found.kind is Kind.OPENALGO:
        by = f"OpenAlgo's own proxy (pid {found.pid})"
        advice = _without_proxy(scene)
    elif found.name == "docker-proxy":
        advice = "for OpenAlgo in Docker see docs/openalgo.md"
    else:
        advice = "end it, or give the hub another port in the .env"
    return Finding(what, State.BAD, f"{place} is taken by {by}", advice)


def _without_proxy(scene: Scene) -> str:
    if not scene.services:
        return f"start OpenAlgo anew with {MODE}={STANDALONE} in its environment"
    if all(service.standalone for service in scene.services):
        return f"type: sudo systemctl restart {scene.services[0].name}"
    return f"type: {scene.install}"
