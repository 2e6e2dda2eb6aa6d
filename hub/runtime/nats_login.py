"""How this machine says to NATS who it is, and knows NATS: credentials and TLS, from their files.

1. The files are read anew for each connection, so that a new password needs no restart.
2. A file of a secret is its owner's alone, or it is not used (hub/runtime/ownfile.py).
3. Where TLS is wanted nothing is said without it: a server may not talk us out of it.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, NoReturn

import nkeys

from hub.core.errors import ConfigError, KeyStoreError
from hub.core.settings import Nats
from hub.runtime.ownfile import OwnFile
from hub.runtime.tls import client_context

NO_TLS = "it offers no TLS, which an address or a file of ours asks for; nothing was said to it"
_ASKED = "it asks for a certificate of ours; set nats.tls_cert and nats.tls_key"
_NO_JWT = "-----BEGIN NATS USER JWT-----"
_NO_SEED = "-----BEGIN USER NKEY SEED-----"


_FILES = ("password_file", "token_file", "nkey_file", "creds_file")


class Login(NamedTuple):
    """What a connection begins with. At most one of the ways to say who one is is not empty."""

    tls: ssl.SSLContext | None
    user: str = ""
    password: str = ""
    token: str = ""
    seed: str = ""  # of an NKey
    creds: str = ""  # JWT and seed

    def __repr__(self) -> str:
        ways = [name for name in ("user", "token", "seed", "creds") if getattr(self, name)]
        return f"<Login by {ways[0] if ways else 'nothing'}{' over TLS' if self.tls else ''}>"


def login(settings: Nats) -> Login:
    """What the settings and their files say. Raises ConfigError with every problem found."""
    problems: list[str] = []

    def secret(name: str, check: Callable[[str], str] = lambda _: "") -> str:
        path = getattr(settings, name)
        if not path:
            return ""
        try:
            text = _secret(Path(path))
            problem = check(text)
        except (KeyStoreError, ValueError) as error:
            text, problem = "", str(error)
        problems.extend([f"nats.{name}: {problem}"] if problem else [])
        return text

    password, token = secret("password_file"), secret("token_file")
    seed = secret("nkey_file", _seed_problem)
    creds = secret("creds_file", _creds_problem)
    context = None
    try:
        context = _context(settings)
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)
    return Login(context, settings.user, password, token, seed, creds)


def reason(error: Exception, settings: Nats) -> str:
    """Why there is no connection, or what is not allowed, and what to do; holds no secret."""
    if isinstance(error, OSError):
        return _cause(error, settings)
    text = str(error).removeprefix("nats: ").strip("'")
    low = text.lower()
    if "authorization" in low or "authentication" in low:
        return f"it does not take us ({low}); see to {_who(settings)}"
    if "permissions violation" in low:
        return f"{low}; give this user {settings.prefix}.>, _INBOX.>, $JS.> and $KV.> there"
    return text or type(error).__name__


def _cause(error: OSError, settings: Nats) -> str:
    text = error.strerror or str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        ours = "" if settings.tls_ca else ", and set nats.tls_ca where it is no public one"
        return f"its certificate is not trusted: {error.verify_message}; see to its authority{ours}"
    if isinstance(error, ssl.SSLError):
        text = str(error.reason or error).lower().replace("_", " ")
        return _ASKED if "certificate required" in text else f"TLS with it fails: {text}"
    if isinstance(error, ConnectionRefusedError) or "Connect call failed" in text:
        return "nobody listens there; start nats-server, or see to nats.servers"
    if isinstance(error, ConnectionError):
        maybe = f"; maybe {_ASKED}" if _wants_tls(settings) and not settings.tls_cert else ""
        return f"it has closed the connection before it took us{maybe}"
    if isinstance(error, TimeoutError):
        return "no answer; see to nats.servers, and to the network between"
    return text


def _who(settings: Nats) -> str:
    named = [f"nats.{one}" for one in ("user", *_FILES) if getattr(settings, one)]
    return " and ".join(named) or "nats.user, token_file, nkey_file or creds_file"


def _secret(path: Path) -> str:
    """What a file holds, without the end of its line. Raises KeyStoreError, or ValueError with a
    sentence."""
    found = OwnFile(path).read()
    if found is None:
        raise ValueError(f"{path} is not there; make it, with mode 0600")
    try:
        text = found[1].decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text") from None
    if not text:
        raise ValueError(f"{path} is empty")
    return text


def _seed_problem(text: str) -> str:
    with suppress(nkeys.NkeysError, ValueError):
        if text.startswith("SU"):
            nkeys.from_seed(bytearray(text.strip().encode())).wipe()
            return ""
    return "it holds no seed of a user's NKey, which is one line that begins with SU"


def _creds_problem(text: str) -> str:
    missing = [begin for begin in (_NO_JWT, _NO_SEED) if begin not in text]
    return f"no line of it is {missing[0]!r}; make it with `nsc generate creds`" if missing else ""


def _context(settings: Nats) -> ssl.SSLContext | None:
    """For TLS, where an address or a file says that there is to be TLS."""
    if not _wants_tls(settings):
        return None
    try:
        context = client_context(Path(settings.tls_ca) if settings.tls_ca else None)
    except ConfigError as error:
        raise ConfigError([f"nats.tls_ca: {problem}" for problem in error.problems]) from None
    if settings.tls_cert:
        try:
            context.load_cert_chain(settings.tls_cert, settings.tls_key, _no_passphrase)
        except (ssl.SSLError, OSError, ValueError) as error:
            what = f"{settings.tls_cert} with {settings.tls_key}"
            why = getattr(error, "strerror", None) or error
            raise ConfigError([f"nats.tls_cert: {what} cannot be used: {why}"]) from None
    return context


def _wants_tls(settings: Nats) -> bool:
    files = settings.tls_ca or settings.tls_cert
    return bool(files) or any(one.startswith("tls://") for one in settings.servers)


def _no_passphrase() -> NoReturn:
    raise ValueError("the key has a passphrase, and nobody is there to type it")
