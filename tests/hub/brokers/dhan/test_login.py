"""A day's token of Dhan, without a browser."""

from __future__ import annotations

import hmac
import json
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest

from hub.brokers.base import Addresses, Reply
from hub.brokers.dhan import BROKER
from hub.core.errors import BrokerError
from hub.core.model import Fault
from tests.brokers.dhan_server import CREDENTIALS

NOW = 1_790_000_000.0


def login() -> tuple[str, str]:
    assert BROKER.login is not None
    asked = BROKER.login.request(CREDENTIALS, Addresses("", "https://auth.dhan.co"), "", NOW)
    return asked.method, asked.url


def taken(status: int, body: object) -> dict[str, str]:
    assert BROKER.login is not None
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return BROKER.login.take(Reply(status, {}, text), CREDENTIALS)


def test_the_request_has_the_pin_and_the_password_of_the_moment() -> None:
    method, url = login()
    parts = urlsplit(url)
    assert (method, parts.netloc, parts.path) == (
        "POST", "auth.dhan.co", "/app/generateAccessToken",
    )  # fmt: skip
    assert parse_qs(parts.query) == {
        "dhanClientId": ["1100000001"],
        "pin": ["123456"],
        "totp": [pyotp.TOTP(CREDENTIALS["totp_secret"]).at(int(NOW))],
    }


def test_a_secret_of_80_bits_will_do() -> None:
    assert BROKER.login is not None
    short = {**CREDENTIALS, "totp_secret": "jbsw y3dp ehpk 3pxp"}
    # RFC 6238 by hand: HMAC-SHA1 of the number of half minutes.
    digest = hmac.digest(b"Hello!\xde\xad\xbe\xef", (int(NOW) // 30).to_bytes(8, "big"), "sha1")
    at = digest[-1] & 15
    code = int.from_bytes(digest[at : at + 4], "big") & 0x7FFFFFFF
    url = BROKER.login.request(short, Addresses("", "https://auth.dhan.co"), "", NOW).url
    assert parse_qs(urlsplit(url).query)["totp"] == [f"{code % 1_000_000:06}"]


@pytest.mark.parametrize("change", [{"totp_secret": "1!"}, {"pin": None}])
def test_credentials_that_are_none_are_told(change: dict[str, str | None]) -> None:
    assert BROKER.login is not None
    wrong = {k: v for k, v in {**CREDENTIALS, **change}.items() if v is not None}
    with pytest.raises(BrokerError, match=f"(?i){next(iter(change))}") as caught:
        BROKER.login.request(wrong, Addresses("", "https://x"), "", NOW)
    assert caught.value.fault is Fault.AUTH


def test_the_token_is_kept() -> None:
    assert taken(200, {"accessToken": "abc", "expiryTime": "x"}) == {"access_token": "abc"}


@pytest.mark.parametrize(
    ("status", "body", "fault", "words"),
    [
        (200, {"status": "error", "message": "Invalid TOTP"}, Fault.AUTH, "Invalid TOTP"),
        (200, {"message": "Token can be generated once every 2 minutes"}, Fault.RATE, "two min"),
        (429, b"", Fault.RATE, "429"),
        (502, b"<html>", Fault.NETWORK, "502"),
        (200, b"[" * 10_000, Fault.AUTH, "200"),
        (200, {"accessToken": 5}, Fault.AUTH, "200"),
        (400, b"\xff", Fault.AUTH, "400"),
    ],
)
def test_refusals_are_told_apart(status: int, body: object, fault: Fault, words: str) -> None:
    with pytest.raises(BrokerError, match=words) as caught:
        taken(status, body)
    assert caught.value.fault is fault


def test_what_hub_login_brings_is_kept_and_its_expiry_known() -> None:
    assert BROKER.login is not None
    names = {field.name for field in BROKER.fields}
    assert set(BROKER.login.needs) <= names
    assert [field.name for field in BROKER.fields if field.kept] == ["access_token"]
    assert BROKER.expires(CREDENTIALS) == 4_102_444_800
    assert BROKER.expires({}) is None
