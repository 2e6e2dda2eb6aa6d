"""The tokens of OpenAlgo's logins are read as it keeps them, and a new login is noticed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from hub.core.errors import HubError
from hub.credentials.openalgo import OpenAlgoSource, fields_of
from tests.hub.auth.openalgo_kit import PEPPER, Tables

SALT = hashlib.sha256(b"salt").hexdigest()


def fernet(salt: bytes) -> Fernet:
    """OpenAlgo's cipher, made as OpenAlgo makes it: by the `cryptography` package."""
    kdf = PBKDF2HMAC(algorithm=hashes.SHA256(), length=32, salt=salt, iterations=100_000)
    return Fernet(base64.urlsafe_b64encode(kdf.derive(PEPPER.encode())))


class Checkout:
    """A checkout of OpenAlgo with these lines in its .env."""

    def __init__(self, root: Path, *lines: str, salt: str = SALT) -> None:
        (root / "websocket_proxy").mkdir()
        self.env = root / ".env"
        said = (f"API_KEY_PEPPER='{PEPPER}'", f"FERNET_SALT='{salt}'", *lines)
        self.env.write_text("\n".join(said))
        self.root = root
        self.tables = Tables(root / "db/openalgo.db")
        own = bytes.fromhex(salt) if len(salt) == 64 else b"openalgo_static_salt"
        self.cipher = fernet(own)

    def login(self, user: str, broker: str, auth: str, feed: str = "", client: str = "") -> None:
        self.tables.login(user, broker)
        tokens = [
            self.cipher.encrypt(text.encode()).decode() if text else "" for text in (auth, feed)
        ]
        self.tables.run(
            "UPDATE auth SET auth = ?, feed_token = ?, user_id = ? WHERE name = ?",
            *tokens, client, user,
        )  # fmt: skip


def read(root: Path, user: str, broker: str) -> dict[str, str]:
    return dict(asyncio.run(OpenAlgoSource(user, broker, str(root)).read()).fields)


@pytest.mark.parametrize("salt", [SALT, "", "short"])
def test_tokens_are_decrypted_with_the_salt_of_the_env_or_the_old_one(
    tmp_path: Path, salt: str
) -> None:
    checkout = Checkout(tmp_path, "BROKER_API_KEY='key1'", salt=salt)
    checkout.login("alice", "angel", "jwt1", "feed1", "A1")
    for user in ("alice", ""):
        found = read(tmp_path, user, "angel")
        assert found["access_token"] == "jwt1"
        assert found["feed_token"] == "feed1"
        assert found["client_code"] == "A1"
        assert found["api_key"] == "key1"
        assert "api_secret" not in found


@pytest.mark.parametrize(
    ("broker", "auth", "key", "expected"),
    [
        ("zerodha", "k2:tok:en", "k1", {"api_key": "k2", "access_token": "tok:en"}),
        ("zerodha", "token", "k1", {"api_key": "k1", "access_token": "token"}),
        ("dhan", "t", "C1:::k", {"client_id": "C1", "api_key": "k"}),
        ("flattrade", "t", "F1:::k", {"user_id": "F1", "client_id": "F1", "api_key": "k"}),
        ("shoonya", "t", "S1:::S1_U", {"user_id": "S1", "client_id": "S1_U", "access_token": "t"}),
        ("fyers", "t", "APP-100", {"app_id": "APP-100", "client_id": "row", "access_token": "t"}),
    ],
)
def test_each_broker_has_its_own_form(
    broker: str, auth: str, key: str, expected: dict[str, str]
) -> None:
    found = fields_of(broker, "row", auth, "", {"BROKER_API_KEY": key, "BROKER_API_SECRET": "s"})
    assert found.items() >= {**expected, "api_secret": "s"}.items()


def test_who_is_not_logged_in_is_told(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    checkout.login("alice", "angel", "a")
    checkout.login("bob", "angel", "b")
    checkout.login("carol", "dhan", "c")
    checkout.tables.revoke("bob")
    for user, broker, sentence in (
        ("carol", "angel", "user carol of OpenAlgo is not logged in to angel; log in there"),
        ("bob", "angel", "user bob of OpenAlgo is not logged in to angel"),
        ("dave", "angel", "OpenAlgo has no login of user dave"),
        ("", "fyers", "no user of OpenAlgo is logged in to fyers"),
    ):
        with pytest.raises(HubError, match=sentence):
            read(tmp_path, user, broker)
    assert read(tmp_path, "", "angel")["access_token"] == "a"
    checkout.login("bob", "angel", "b")
    with pytest.raises(HubError, match="are logged in to angel: alice, bob; name one"):
        read(tmp_path, "", "angel")


def test_tokens_of_another_salt_are_told_without_them(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    checkout.cipher = fernet(b"another")
    checkout.login("alice", "angel", "sesame")
    with pytest.raises(HubError, match=r"not encrypted with what .*env says now") as raised:
        read(tmp_path, "alice", "angel")
    assert PEPPER not in str(raised.value)


def test_a_new_login_has_another_stamp(tmp_path: Path) -> None:
    checkout, now = Checkout(tmp_path), [0.0]
    checkout.login("alice", "angel", "a")
    source = OpenAlgoSource("alice", "angel", str(tmp_path), lambda: now[0])
    first = asyncio.run(source.read())
    now[0] = 10.0
    assert asyncio.run(source.stamp()) == first.stamp
    checkout.login("alice", "angel", "b")
    assert asyncio.run(source.stamp()) == first.stamp, "it was looked at a moment ago"
    now[0] = 20.0
    assert asyncio.run(source.stamp()) != first.stamp
    checkout.tables.revoke("alice")
    now[0] = 30.0
    assert "log in there" in str(asyncio.run(source.stamp()))
