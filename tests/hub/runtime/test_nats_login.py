"""Credentials from their files, and what is said of those that cannot be used."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Any

import nkeys
import pytest

from hub.core.errors import ConfigError
from hub.core.settings import Nats
from hub.runtime.nats_login import login, reason
from tests import tls

SEED = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER).decode()


def file(folder: Path, text: str, mode: int = 0o600) -> str:
    path = folder / "secret"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def problem(**settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        login(Nats(**settings))
    return str(caught.value)


def test_without_any_file_there_is_nothing_and_no_tls() -> None:
    assert login(Nats(servers=["nats://a:1"])) == (None, "", "", "", "", "")


@pytest.mark.parametrize("text", ["s3 cret ", "s3 cret \n", "s3 cret \r\n"])
def test_a_password_is_a_line(tmp_path: Path, text: str) -> None:
    found = login(Nats(user="ann", password_file=file(tmp_path, text)))
    assert (found.user, found.password) == ("ann", "s3 cret ")
    assert "cret" not in repr(found)
    assert "ann" not in repr(found)


def test_a_file_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    path = file(tmp_path, "secret", 0o640)
    assert problem(token_file=path) == (
        f"nats.token_file: {path} is open to other users; type `chmod 600 {path}`"
    )


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("token_file", "\n", "is empty"),
        ("nkey_file", "nonsense", "no seed of a user's NKey"),
        ("nkey_file", SEED[:-1], "no seed of a user's NKey"),
        ("creds_file", "nonsense", "BEGIN NATS USER JWT"),
        ("creds_file", "-----BEGIN NATS USER JWT-----\nx\n", "BEGIN USER NKEY SEED"),
    ],
)
def test_what_is_none_is_told_without_it(tmp_path: Path, name: str, text: str, told: str) -> None:
    said = problem(**{name: file(tmp_path, text)})
    assert said.startswith(f"nats.{name}: ")
    assert told in said
    assert "nonsense" not in said
    assert SEED[:-1] not in said


def test_a_secret_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.touch(mode=0o600)
    path.write_bytes(b"\xff\xfe")
    assert problem(token_file=str(path)) == f"nats.token_file: {path} is no text"


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    said = problem(password_file=str(tmp_path / "a"), user="x", tls_ca=str(tmp_path / "b"))
    assert [line.split(":")[0] for line in said.splitlines()] == [
        "nats.password_file",
        "nats.tls_ca",
    ]


def test_an_address_or_a_file_asks_for_tls(tmp_path: Path) -> None:
    assert login(Nats(servers=["nats://a:1", "tls://b:1"])).tls is not None
    found = login(Nats(servers=["nats://a:1"], tls_ca=str(tls.trusted(tmp_path))))
    assert found.tls is not None
    assert found.tls.check_hostname
    assert found.tls.verify_mode == ssl.CERT_REQUIRED
    assert repr(found) == "<Login by nothing over TLS>"


def test_a_pair_that_is_none(tmp_path: Path) -> None:
    one, other = tls.issue(tmp_path, file="one"), tls.issue(tmp_path, file="other")
    said = problem(tls_cert=str(one.cert), tls_key=str(other.key))
    assert said.startswith(f"nats.tls_cert: {one.cert} with {other.key} cannot be used: ")
    assert "mismatch" in said


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConnectionRefusedError(111, "refused"), "nobody listens there"),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed"), "nobody listens there"),
        (TimeoutError(), "no answer"),
        (OSError(-2, "Name or service not known"), "Name or service not known"),
        (ValueError("nats: 'Authorization Violation'"), "see to nats.token_file"),
        (ValueError("nats: 'User Authentication Expired'"), "see to nats.token_file"),
        (ValueError(), "ValueError"),
    ],
)
def test_why_there_is_no_connection(error: Exception, told: str) -> None:
    assert told in reason(error, Nats(token_file="t"))


def test_the_sentences_of_the_operations_page_are_said() -> None:
    root = Path(__file__).parents[3]
    page = (root / "docs/operations.md").read_text()
    table = page.partition("| in the log | what to do |")[2].partition("\n\n")[0]
    source = "".join(
        (root / f"hub/runtime/{name}.py").read_text() for name in ("nats", "nats_login")
    )
    told = re.sub(r"[\"'\s]+", " ", source)
    rows = [line.split("|")[1].strip() for line in table.splitlines()[2:]]
    assert len(rows) > 8
    for row in rows:
        for part in re.split(r"\.\.\.|\(.*\)|\d s|: ", row):
            assert part.strip() in told, row
