"""How a session at Angel is begun."""

from __future__ import annotations

import json

import pytest

from hub.brokers.angel import BROKER
from hub.brokers.angel.login import LOGIN, request, take
from hub.brokers.base import Addresses, Reply
from hub.core.errors import BrokerError
from hub.core.model import Fault
from tests.brokers.angel_server import CREDENTIALS, one_time

ADDRESSES = Addresses("", "https://api.example")
NOW_S = 1_764_150_300.0


def reply(body: object, status: int = 200) -> Reply:
    return Reply(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode())


def test_it_needs_no_browser() -> None:
    assert BROKER.login is LOGIN
    assert LOGIN.visit is None
    assert set(LOGIN.needs) <= {field.name for field in BROKER.fields}


def test_the_request_has_the_one_time_password_of_that_second() -> None:
    asked = request(CREDENTIALS, ADDRESSES, "", NOW_S)
    assert (asked.method, asked.url) == (
        "POST",
        "https://api.example/rest/auth/angelbroking/user/v1/loginByPassword",
    )
    assert asked.headers["X-PrivateKey"] == "angelkey"
    assert json.loads(asked.body) == {"clientcode": "A12345", "password": "4321", "totp": "889824"}
    later = json.loads(request(CREDENTIALS, ADDRESSES, "", NOW_S + 30).body)
    assert later["totp"] == one_time("JBSWY3DPEHPK3PXP", NOW_S + 30) != "889824"


def test_a_secret_may_be_written_in_groups_of_small_letters() -> None:
    written = CREDENTIALS | {"totp_secret": "jbsw y3dp ehpk 3pxp"}
    assert request(written, ADDRESSES, "", NOW_S) == request(CREDENTIALS, ADDRESSES, "", NOW_S)


def test_a_long_secret_is_as_good() -> None:
    long = {"totp_secret": "Q65C5R7WJ2AR77VA623OC2SI5D5KM447"}
    body = json.loads(request(CREDENTIALS | long, ADDRESSES, "", NOW_S).body)
    assert body["totp"] == one_time(long["totp_secret"], NOW_S)


def test_a_secret_that_is_none_is_said_to_be_none() -> None:
    with pytest.raises(BrokerError, match="TOTP_SECRET") as failed:
        request(CREDENTIALS | {"totp_secret": "not-base-32!"}, ADDRESSES, "", NOW_S)
    assert failed.value.fault is Fault.AUTH
    assert "not-base-32!" not in str(failed.value)


def test_both_tokens_are_kept() -> None:
    session = {"jwtToken": "a.b.c", "refreshToken": "r", "feedToken": "f"}
    body = {"status": True, "message": "SUCCESS", "errorcode": "", "data": session}
    kept = take(reply(body), CREDENTIALS)
    assert kept == {"access_token": "a.b.c", "feed_token": "f"}
    assert set(kept) == {field.name for field in BROKER.fields if field.kept}


REFUSED = {"status": False, "message": "Invalid totp", "errorcode": "AB1050", "data": None}


@pytest.mark.parametrize(
    ("answer", "fault", "said"),
    [
        (reply(REFUSED), Fault.AUTH, "Invalid totp (AB1050)"),
        (reply(REFUSED | {"data": ""}), Fault.AUTH, "Invalid totp"),
        (reply(REFUSED, 401), Fault.AUTH, "Invalid totp"),
        (reply(REFUSED, 503), Fault.NETWORK, "503"),
        (reply(b"Access denied because of exceeding access rate", 403), Fault.RATE, "too often"),
        (reply(REFUSED, 429), Fault.RATE, "too often"),
        (reply(b"<html>", 200), Fault.NETWORK, "no session"),
        (reply(b"[" * 9999), Fault.NETWORK, "no session"),
        (reply({"message": "SUCCESS", "data": {"jwtToken": "x"}}), Fault.AUTH, "SUCCESS"),
    ],
)
def test_refusals_are_told_apart(answer: Reply, fault: Fault, said: str) -> None:
    with pytest.raises(BrokerError) as failed:
        take(answer, CREDENTIALS)
    assert failed.value.fault is fault
    assert said in str(failed.value)


def test_what_angel_repeats_of_our_secrets_is_left_out() -> None:
    with pytest.raises(BrokerError) as failed:
        take(reply(REFUSED | {"message": "PIN 4321 of angelkey is wrong"}), CREDENTIALS)
    assert "4321" not in str(failed.value)
    assert "angelkey" not in str(failed.value)
