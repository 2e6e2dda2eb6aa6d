"""A day at Fyers begins in a browser; the code that it leads back with is good for a token."""

from __future__ import annotations

import hashlib
import json
from urllib.parse import parse_qs, urlsplit

import pytest

from hub.brokers.base import Addresses, Reply
from hub.brokers.fyers import BROKER
from hub.core.errors import BrokerError
from hub.core.model import Fault
from tests.brokers import fyers_wire as wire

ADDRESSES = Addresses("", "https://api.example/")
SAYS = {"api_key": "APP-100", "api_secret": "S3", "redirect_url": "https://127.0.0.1:5000/back"}


def test_the_owner_logs_in_at_an_address() -> None:
    assert BROKER.login is not None
    assert BROKER.login.visit is not None
    url = urlsplit(BROKER.login.visit(SAYS, ADDRESSES))
    assert (url.netloc, url.path) == ("api.example", "/api/v3/generate-authcode")
    assert parse_qs(url.query) == {
        "client_id": ["APP-100"], "redirect_uri": [SAYS["redirect_url"]],
        "response_type": ["code"], "state": ["shardhub"],
    }  # fmt: skip
    assert BROKER.login.code == "auth_code"
    assert "S3" not in url.query


def test_the_code_is_exchanged_without_the_secret() -> None:
    assert BROKER.login is not None
    request = BROKER.login.request(SAYS, ADDRESSES, "code-1", 0.0)
    assert (request.method, request.url) == (
        "POST", "https://api.example/api/v3/validate-authcode",
    )  # fmt: skip
    assert json.loads(request.body) == {
        "grant_type": "authorization_code",
        "appIdHash": hashlib.sha256(b"APP-100:S3").hexdigest(),
        "code": "code-1",
    }


def test_the_token_is_kept() -> None:
    assert BROKER.login is not None
    reply = Reply(200, {}, b'{"s":"ok","access_token":"T","refresh_token":"R"}')
    assert BROKER.login.take(reply, SAYS) == {"access_token": "T"}


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (400, b'{"s":"error","message":"invalid auth code"}', Fault.AUTH),
        (200, b'{"s":"ok"}', Fault.AUTH),
        (200, b'{"s":"error","access_token":"T"}', Fault.AUTH),
        (429, b'{"s":"error"}', Fault.RATE),
        (502, b"<html>", Fault.NETWORK),
        (503, b'{"s":"error","message":"try again later"}', Fault.NETWORK),
        (200, b"\xff", Fault.NETWORK),
    ],
)
def test_without_a_token_it_says_why(status: int, body: bytes, fault: Fault) -> None:
    assert BROKER.login is not None
    with pytest.raises(BrokerError) as caught:
        BROKER.login.take(Reply(status, {}, body), SAYS)
    assert caught.value.fault is fault


def test_credentials_expire_with_their_token() -> None:
    assert BROKER.expires({"access_token": f"APP-100:{wire.token(exp=1_795_000_000)}"}) == 1.795e9
    assert BROKER.expires({}) is None
    assert {field.name for field in BROKER.fields if field.needed} == {"access_token"}
