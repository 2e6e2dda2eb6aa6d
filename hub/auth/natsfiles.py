"""The files by which this machine is known to NATS: whether they are there, and fit to be used.

Secrets are files of their owner's alone (auth/ownfile). Of TLS only what can be seen without
OpenSSL is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hub.core.config import Nats
from hub.core.errors import ConfigError, KeyStoreError
from hub.runtime.ownfile import OwnFile

_SECRETS = ("password_file", "token_file", "nkey_file", "creds_file")
_PEM = {"tls_ca": "CERTIFICATE", "tls_cert": "CERTIFICATE", "tls_key": "PRIVATE KEY"}


def check(nats: Nats) -> None:
    """Raises ConfigError with what is wrong with each file that the settings name."""
    problems = [*_problems(nats)]
    if problems:
        raise ConfigError(problems)


def paths(nats: Nats) -> list[Path]:
    """The files that the settings name."""
    named = (getattr(nats, name) for name in (*_SECRETS, *_PEM))
    return [Path(path) for path in named if path]


def _problems(nats: Nats) -> Iterator[str]:
    for name in _SECRETS:
        path = getattr(nats, name)
        if path and (problem := _secret_problem(Path(path))):
            yield f"nats.{name}: {problem}"
    for name, what in _PEM.items():
        path = getattr(nats, name)
        if path and (problem := _pem_problem(Path(path), what)):
            yield f"nats.{name}: {problem}"


def _secret_problem(path: Path) -> str:
    try:
        found = OwnFile(path).read()
    except KeyStoreError as error:
        return str(error)
    if found is None:
        return f"{path} is not there"
    return "" if found[1].strip() else f"{path} is empty"


def _pem_problem(path: Path, what: str) -> str:
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    return "" if f"{what}-----" in text else f"{path} has no {what.lower()} in PEM"
