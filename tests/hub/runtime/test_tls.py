"""TLS: what may be shown to clients, and what is told of what may not."""

from __future__ import annotations

import contextlib
import datetime as dt
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from trustme import KeyType

from hub.core.errors import ConfigError
from hub.core.settings import Settings, Websocket
from hub.runtime.tls import Identity, client_context, identity, pinned_context
from tests.tls import Pair, issue, trusted

NOW = dt.datetime.now(dt.UTC)


def settings(pair: Pair) -> Websocket:
    return Websocket(tls_cert=str(pair.cert), tls_key=str(pair.key))


def shown(pair: Pair) -> Identity:
    found = identity(settings(pair))
    assert found is not None
    return found


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> dict[str, Any]:
    """What a client is shown that calls localhost. Raises SSLError when it does not like it."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(down, up, server_hostname="localhost"),
        server.wrap_bio(up, down, server_side=True),
    )
    for end in ends * 3:
        with contextlib.suppress(ssl.SSLWantReadError):
            end.do_handshake()
    return ends[0].getpeercert() or {}


def told(websocket: Websocket) -> str:
    with pytest.raises(ConfigError) as error:
        identity(websocket)
    return str(error.value)


def test_without_a_certificate_the_hub_speaks_plain() -> None:
    assert identity(Websocket()) is None
    assert Settings().ws_url() == "ws://127.0.0.1:8765"


def test_with_one_its_address_is_secure() -> None:
    websocket = Websocket(tls_cert="hub.crt", host="0.0.0.0", port=443)
    assert Settings(websocket=websocket).ws_url() == "wss://127.0.0.1:443"


def test_a_good_pair_is_used_and_whose_it_is_is_told(tmp_path: Path) -> None:
    found = shown(issue(tmp_path, "hub.example.com", "192.0.2.7"))
    assert found.text.startswith("hub.example.com, 192.0.2.7, until ")
    assert found.warnings == ()
    assert found.context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_both_may_be_in_one_file(tmp_path: Path) -> None:
    pair = issue(tmp_path)
    pair.key.write_bytes(pair.key.read_bytes() + pair.cert.read_bytes())
    found = identity(Websocket(tls_cert=str(pair.key)))
    assert found is not None
    assert found.warnings == ()


def test_rule_1_all_that_is_missing_is_named_with_its_setting(tmp_path: Path) -> None:
    problems = told(Websocket(tls_cert="/no/hub.crt", tls_key=str(tmp_path))).splitlines()
    assert problems == [
        "websocket.tls_cert: /no/hub.crt is not there; name the file of the certificate, in PEM",
        f"websocket.tls_key: {tmp_path} cannot be read: Is a directory",
    ]


def test_rule_1_a_key_alone_is_of_no_use(tmp_path: Path) -> None:
    key = str(issue(tmp_path).key)
    assert "no use without websocket.tls_cert" in told(Websocket(tls_key=key))


def test_rule_1_a_key_that_may_not_be_read_is_to_be_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As certbot's may be by root alone; which tests may be, too."""
    pair = issue(tmp_path)
    read_text = Path.read_text

    def refused(path: Path, *args: Any, **options: Any) -> str:
        if path == pair.key:
            raise PermissionError(13, "Permission denied")
        return read_text(path, *args, **options)

    monkeypatch.setattr(Path, "read_text", refused)
    user = psutil.Process().username()
    problem = told(settings(pair))
    assert f"{pair.key} may not be read by {user}; give it a copy: " in problem
    assert f"sudo install -o {user} -m 0600 {pair.key} " in problem


def test_rule_1_the_two_in_the_wrong_order_are_told(tmp_path: Path) -> None:
    cert, key = issue(tmp_path)
    problems = told(settings(Pair(key, cert)))
    assert f"tls_cert: {key} has no certificate in PEM" in problems
    assert f"tls_key: {cert} has no private key in PEM" in problems


@pytest.mark.parametrize("kind", [KeyType.ECDSA, KeyType.RSA])
def test_rule_1_a_key_of_another_certificate_is_told(tmp_path: Path, kind: KeyType) -> None:
    mine, other = issue(tmp_path), issue(tmp_path, file="other", key_type=kind)
    problem = told(settings(Pair(mine.cert, other.key)))
    assert problem.startswith(f"websocket.tls_key: the key in {other.key} is not that of")


def test_rule_1_what_openssl_cannot_read_is_told_in_its_words(tmp_path: Path) -> None:
    pair = issue(tmp_path)
    pair.cert.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    problem = told(settings(pair))
    assert f"{pair.cert} with {pair.key} cannot be used: OpenSSL says " in problem


def test_rule_2_an_expired_one_is_told_and_used(tmp_path: Path) -> None:
    found = shown(issue(tmp_path, not_after=NOW - dt.timedelta(days=1)))
    (warning,) = found.warnings
    assert "has expired" in warning


def test_rule_2_one_that_is_not_valid_yet_is_told_and_used(tmp_path: Path) -> None:
    tomorrow = NOW + dt.timedelta(days=1)
    (warning,) = shown(
        issue(tmp_path, not_before=tomorrow, not_after=tomorrow + dt.timedelta(days=90))
    ).warnings
    assert "is not valid yet" in warning


def test_rule_2_one_that_expires_soon_is_told(tmp_path: Path) -> None:
    (warning,) = shown(issue(tmp_path, not_after=NOW + dt.timedelta(days=10))).warnings
    assert "expires on " in warning


def test_rule_2_a_key_that_all_may_read_is_told_and_used(tmp_path: Path) -> None:
    pair = issue(tmp_path)
    pair.key.chmod(0o644)
    (warning,) = shown(pair).warnings
    assert warning.endswith(f"chmod 0600 {pair.key}")
    assert "mode 0644" in warning
    pair.key.chmod(0o640)  # a group of those who may is common
    assert shown(pair).warnings == ()


def test_rule_3_a_key_with_a_passphrase_is_refused_and_nobody_is_asked(tmp_path: Path) -> None:
    pair = issue(tmp_path)
    locked = tmp_path / "locked.key"
    command = f"openssl pkey -aes128 -passout pass:x -in {pair.key} -out {locked}"
    subprocess.run(command.split(), check=True)
    assert "has a passphrase" in told(settings(Pair(pair.cert, locked)))


def test_a_client_may_trust_an_authority_or_the_hub_s_own_certificate(tmp_path: Path) -> None:
    pair = issue(tmp_path)
    for file in (trusted(tmp_path), pair.cert):
        client = client_context(file)
        assert client.check_hostname
        assert shake_hands(client, shown(pair).context)["notAfter"]


@pytest.mark.parametrize("context", [client_context, pinned_context])
def test_a_file_without_certificates_is_told_to_a_client(
    tmp_path: Path, context: Callable[[Path], ssl.SSLContext]
) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(ConfigError, match="empty: no certificate can be read"):
        context(tmp_path / "empty")


def test_who_knows_the_certificate_trusts_it_by_any_name_and_no_other(tmp_path: Path) -> None:
    pair, other = issue(tmp_path, "hub.example"), issue(tmp_path, "hub.example", file="other")
    pair.cert.write_bytes(pair.cert.read_bytes() + trusted(tmp_path).read_bytes())
    assert shake_hands(pinned_context(pair.cert), shown(pair).context)["notAfter"]
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(pinned_context(pair.cert), shown(other).context)
