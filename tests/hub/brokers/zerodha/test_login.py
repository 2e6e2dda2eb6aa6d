"""Zerodha's login takes what the browser brought to an access token."""

from __future__ import annotations

import pytest

from hub.brokers.base import Addresses, Reply, Request
from hub.brokers.zerodha.login import LOGIN
from hub.core.errors import BrokerError
from hub.core.model import Fault
from tests.brokers.fake import Asked
from tests.brokers.zerodha_server import CREDENTIALS, REQUEST_TOKEN, Server

ADDRESSES = Addresses("ws://x", "http://api")


def made(code: str = REQUEST_TOKEN) -> Request:
    return LOGIN.request(CREDENTIALS, ADDRESSES, code, 0.0)


def answered(request: Request) -> Reply:
    """What the fake broker answers."""
    path = request.url.removeprefix(ADDRESSES.api)
    answer = Server().answer(Asked(request.method, path, {}, {}, request.body))
    return Reply(answer.status, {}, answer.body)


def test_the_page_is_the_apps_own() -> None:
    assert LOGIN.visit
    assert LOGIN.visit(CREDENTIALS, ADDRESSES) == (
        "https://kite.zerodha.com/connect/login?v=3&api_key=kite1"
    )
    assert LOGIN.code == "request_token"


def test_the_request_token_is_exchanged_for_an_access_token() -> None:
    assert LOGIN.take(answered(made()), CREDENTIALS) == {"access_token": "tok-1"}


def test_the_secret_is_never_sent() -> None:
    request = made()
    assert CREDENTIALS["api_secret"] not in repr(request)
    assert request.headers["X-Kite-Version"] == "3"


def test_the_checksum_by_hand() -> None:
    """Of `kite1` + `rq-77` + `s3cret`, as sha256sum has it."""
    checksum = "7532c8102c1acedacba3b8a8534e01da317bb986e086c16d2fcde0125c7026fc"
    assert made().body == f"api_key=kite1&request_token=rq-77&checksum={checksum}".encode()


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (answered(made("stale")), Fault.AUTH),
        (Reply(200, {}, b"{}"), Fault.AUTH),
        (Reply(200, {}, b'{"data":[]}'), Fault.AUTH),
        (Reply(200, {}, b"<html>"), Fault.AUTH),
        (Reply(502, {}, b"\xff"), Fault.NETWORK),
        (Reply(429, {}, b'{"message":"Too many requests"}'), Fault.RATE),
    ],
)
def test_a_refusal_says_why(reply: Reply, fault: Fault) -> None:
    with pytest.raises(BrokerError) as error:
        LOGIN.take(reply, CREDENTIALS)
    assert error.value.fault is fault
    assert f"HTTP {reply.status}" in str(error.value)
