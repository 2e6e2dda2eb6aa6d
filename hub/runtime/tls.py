"""TLS: the contexts of both ends, and what is wrong with a certificate or its key.

1. A pair that cannot be used is an error that says what to do, with every problem found.
2. One that can be used and is not as it should be, expired or readable by all, is told and used.
3. Nobody is asked for a passphrase: a hub has to start without anybody there.
"""

from __future__ import annotations

import ssl
import stat
import time
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import psutil

from hub.core.errors import ConfigError
from hub.core.settings import Websocket

_CERTIFICATE = "-----BEGIN CERTIFICATE-----"
_END = "-----END CERTIFICATE-----"
_KEY = "PRIVATE KEY-----"
_SOON_S = 14 * 86_400
_EXPIRED, _NOT_YET = 10, 9  # X509_V_ERR_... of OpenSSL's x509_vfy.h
_NOT_A_PAIR = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
"""What OpenSSL says of a key of another certificate; the latter two where it is of another kind."""
_ROUNDS = 8
"""A handshake has fewer parts than this."""


class Identity(NamedTuple):
    """A certificate and its key, ready for use; `text` says for which names it is and until when,
    `warnings` what is not as it should be."""

    context: ssl.SSLContext
    text: str
    warnings: tuple[str, ...]


class _Locked(Exception):
    """The key has a passphrase."""


def identity(settings: Websocket) -> Identity | None:
    """What clients are shown; None where the hub speaks plain. Raises ConfigError."""
    if not settings.tls_cert:
        if settings.tls_key:
            raise ConfigError(["websocket.tls_key is of no use without websocket.tls_cert"])
        return None
    cert = Path(settings.tls_cert)
    key = Path(settings.tls_key or settings.tls_cert)
    key_setting = "tls_key" if settings.tls_key else "tls_cert"
    problems = [
        *_file_problems("tls_cert", cert, _CERTIFICATE),
        *_file_problems(key_setting, key, _KEY),
    ]
    if problems:
        raise ConfigError(problems)
    context = _server_context()
    try:
        context.load_cert_chain(cert, key, _no_passphrase)
    except _Locked:
        problem = (
            f"websocket.{key_setting}: {key} has a passphrase, and nobody is there to type it; "
            f"take it off: (umask 077; openssl pkey -in {key} -out NEW.pem)"
        )
        raise ConfigError([problem]) from None
    except (ssl.SSLError, OSError) as error:
        raise ConfigError([_pair_problem(cert, key, key_setting, error)]) from None
    text, warnings = _judged(context, cert)
    return Identity(context, text, (*_mode_warnings(key_setting, key), *warnings))


def client_context(ca: Path | None = None) -> ssl.SSLContext:
    """For a client of wss://: whom this machine trusts, or the authorities of this file, which
    may be the hub's own certificate. Raises ConfigError."""
    if ca is None:
        return ssl.create_default_context()
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise _unreadable(ca, error) from None
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # home-made authorities seldom are
    return context


def pinned_context(cert: Path) -> ssl.SSLContext:
    """For a client that knows which certificate it will be shown: the first of this file, whatever
    the names in it. Raises ConfigError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        first, end, _ = cert.read_text(encoding="ascii", errors="replace").partition(_END)
        context.load_verify_locations(cadata=first + end)
    except (OSError, ValueError) as error:
        raise _unreadable(cert, error) from None
    return context


def _unreadable(path: Path, error: Exception) -> ConfigError:
    why = getattr(error, "strerror", None) or error
    return ConfigError([f"{path}: no certificate can be read from it: {why}"])


def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    return context


def _no_passphrase() -> NoReturn:
    raise _Locked


def _file_problems(setting: str, path: Path, begin: str) -> list[str]:
    """Why a file cannot be used, as far as that is seen without OpenSSL."""
    what = "certificate" if begin == _CERTIFICATE else "private key"
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return [f"websocket.{setting}: {path} is not there; name the file of the {what}, in PEM"]
    except PermissionError:
        user = psutil.Process().username()
        advice = f"give it a copy: sudo install -o {user} -m 0600 {path} NEW.pem"
        return [f"websocket.{setting}: {path} may not be read by {user}; {advice}"]
    except OSError as error:
        return [f"websocket.{setting}: {path} cannot be read: {error.strerror}"]
    if begin in text:
        return []
    return [f"websocket.{setting}: {path} has no {what} in PEM: no line has {begin!r} in it"]


def _pair_problem(cert: Path, key: Path, key_setting: str, error: Exception) -> str:
    """Why OpenSSL refuses a pair."""
    reason = getattr(error, "reason", "") or str(error)
    if reason in _NOT_A_PAIR:
        return (
            f"websocket.{key_setting}: the key in {key} is not that of the certificate in {cert}, "
            "or of the first one there; the server's own has to come before its authority's"
        )
    shown = reason.lower().replace("_", " ")
    return f"websocket.tls_cert: {cert} with {key} cannot be used: OpenSSL says {shown}"


def _mode_warnings(setting: str, key: Path) -> list[str]:
    mode = stat.S_IMODE(key.stat().st_mode)
    if not mode & stat.S_IRWXO:
        return []
    who = f"everybody on this machine may read or write it; chmod 0600 {key}"
    return [f"websocket.{setting}: the key in {key} has mode {mode:04o}: {who}"]


def _judged(context: ssl.SSLContext, cert: Path) -> tuple[str, list[str]]:
    """Whose a certificate is and until when, and what is wrong with it, by a handshake in memory
    with a client that trusts nothing but this file."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        trusting.load_verify_locations(cert)
        shown = _shake_hands(context, trusting)
    except ssl.SSLCertVerificationError as error:
        why = {
            _EXPIRED: "has expired; clients will refuse it until it is renewed",
            _NOT_YET: "is not valid yet; see to this machine's clock",
        }.get(error.verify_code, f"will be refused by clients: {error.verify_message}")
        return str(cert), [f"websocket.tls_cert: the certificate in {cert} {why}"]
    names = ", ".join(str(name) for _, name in shown.get("subjectAltName", ())) or "no name"
    until = str(shown.get("notAfter", ""))
    warnings = []
    if ssl.cert_time_to_seconds(until) - time.time() < _SOON_S:
        warnings.append(f"websocket.tls_cert: the certificate in {cert} expires on {until}")
    return f"{names}, until {until}", warnings


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> dict[str, Any]:
    """The server's certificate as a client sees it. Raises SSLError."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(down, up), server.wrap_bio(up, down, server_side=True)]
    for _ in range(_ROUNDS):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return ends[0].getpeercert() or {}
