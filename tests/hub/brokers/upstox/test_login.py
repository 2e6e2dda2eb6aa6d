"""Upstox' login takes the code that the browser brought to an access token."""

from __future__ import annotations

import base64

import pytest

from hub.brokers.base import Addresses, Reply, Request
from hub.brokers.upstox import BROKER
from hub.brokers.upstox.login import LOGIN
from hub.core.errors import BrokerError
from hub.core.model import Fault
from tests.brokers.fake import Asked
from tests.brokers.upstox_server import CODE, CREDENTIALS, Server

ADDRESSES = Addresses("ws://x", "http://api")


def made(code: str = CODE) -> Request:
    return LOGIN.request(CREDENTIALS, ADDRESSES, code, 0.0)


def answered(request: Request) -> Reply:
    """What the fake broker answers."""
    path = request.url.removeprefix(ADDRESSES.api)
    answer = Server().answer(Asked(request.method, path, {}, {}, request.body))
    return Reply(answer.status, {}, answer.body)


def test_the_page_knows_where_to_lead_back() -> None:
    assert LOGIN.visit
    assert LOGIN.visit(CREDENTIALS, ADDRESSES) == (
        "http://api/v2/login/authorization/dialog?response_type=code&client_id=app1"
        "&redirect_uri=https%3A%2F%2Flocalhost%2Fback"
    )
    assert LOGIN.code == "code"


def test_the_code_is_exchanged_for_an_access_token() -> None:
    assert LOGIN.take(answered(made()), CREDENTIALS) == {"access_token": "tok-1"}


def test_the_secret_is_in_the_body_alone() -> None:
    request = made()
    assert CREDENTIALS["api_secret"] not in f"{request.url}{request.headers}"


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (answered(made("stale")), Fault.AUTH),
        (Reply(401, {}, b""), Fault.AUTH),
        (Reply(429, {}, b""), Fault.RATE),
        (Reply(200, {}, b'{"access_token":7}'), Fault.AUTH),
        (Reply(200, {}, b"[]"), Fault.AUTH),
        (Reply(502, {}, b"\xff"), Fault.NETWORK),
    ],
)
def test_a_refusal_says_why(reply: Reply, fault: Fault) -> None:
    with pytest.raises(BrokerError) as error:
        LOGIN.take(reply, CREDENTIALS)
    assert error.value.fault is fault


def test_the_token_says_when_it_expires() -> None:
    claims = base64.urlsafe_b64encode(b'{"exp":1795000000}').decode().rstrip("=")
    assert BROKER.expires({"access_token": f"e30.{claims}.x"}) == 1_795_000_000
    assert BROKER.expires({}) is None
