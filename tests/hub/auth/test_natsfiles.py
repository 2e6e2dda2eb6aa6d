"""The files by which a machine is known to NATS."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from hub.auth import natsfiles
from hub.core.config import Nats
from hub.core.errors import ConfigError
from tests.tls import issue


def make(path: Path, text: str = "secret\n", mode: int = 0o600) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def problems(nats: Nats) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        natsfiles.check(nats)
    return caught.value.problems


def test_what_is_there_and_its_owner_s_alone_is_fine(tmp_path: Path) -> None:
    cert, key = issue(tmp_path)
    creds = make(tmp_path / "a.creds")
    nats = Nats(creds_file=creds, tls_ca=str(cert), tls_cert=str(cert), tls_key=str(key))
    natsfiles.check(nats)
    natsfiles.check(Nats())
    assert natsfiles.paths(nats) == [Path(creds), cert, cert, key]


@pytest.mark.parametrize("name", ["password_file", "token_file", "nkey_file", "creds_file"])
def test_a_secret_that_is_missing_empty_or_open_is_told_and_never_shown(
    tmp_path: Path, name: str
) -> None:
    def told(path: str) -> str:
        (problem,) = problems(msgspec.structs.replace(Nats(), **{name: path}))
        return problem

    assert told(str(tmp_path / "none")) == f"nats.{name}: {tmp_path / 'none'} is not there"
    assert "is empty" in told(make(tmp_path / "empty", "\n"))
    shown = told(make(tmp_path / "open", "s3cret", 0o644))
    assert f"`chmod 600 {tmp_path / 'open'}`" in shown
    assert "s3cret" not in shown


def test_what_is_no_pem_is_told_all_at_once(tmp_path: Path) -> None:
    no = make(tmp_path / "no.pem")
    found = problems(Nats(tls_ca=str(tmp_path / "none"), tls_cert=no, tls_key=no))
    assert found == (
        f"nats.tls_ca: {tmp_path / 'none'} cannot be read: No such file or directory",
        f"nats.tls_cert: {no} has no certificate in PEM",
        f"nats.tls_key: {no} has no private key in PEM",
    )
