"""Certificates for tests: one authority that nobody but its tests trusts."""

from __future__ import annotations

import functools
import ssl
from pathlib import Path
from typing import Any, NamedTuple

import trustme


class Pair(NamedTuple):
    """The files of a certificate and of its key."""

    cert: Path
    key: Path


@functools.cache
def authority() -> trustme.CA:
    """The one authority; it takes a moment to make."""
    return trustme.CA()


def issue(folder: Path, *names: str, file: str = "hub", **options: Any) -> Pair:
    """A new certificate for these names, localhost if there are none, in files of this folder."""
    made = authority().issue_cert(*(names or ("localhost", "127.0.0.1")), **options)
    pair = Pair(folder / f"{file}.crt", folder / f"{file}.key")
    pair.cert.write_bytes(b"".join(one.bytes() for one in made.cert_chain_pems))
    pair.key.touch(mode=0o600)
    pair.key.write_bytes(made.private_key_pem.bytes())
    return pair


def trusted(folder: Path) -> Path:
    """The authority's own certificate, as a file."""
    path = folder / "authority.crt"
    authority().cert_pem.write_to_path(str(path))
    return path


def client_context() -> ssl.SSLContext:
    """A client's, that trusts the authority."""
    context = ssl.create_default_context()
    authority().configure_trust(context)
    return context
