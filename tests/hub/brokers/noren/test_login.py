"""A code becomes a session as Flattrade and Shoonya want it; nothing secret is in what is said."""

from __future__ import annotations

import hashlib
import json

import pytest

from hub.brokers import flattrade, shoonya
from hub.brokers.base import Addresses, Broker, Reply
from hub.core.errors import BrokerError
from hub.core.model import Fault

ADDRESSES = Addresses("ws://127.0.0.1:1", "http://127.0.0.1:2")
CREDENTIALS = {
    "user_id": "FA1",
    "api_key": "key/1",
    "client_id": "FA1_U",
    "api_secret": "very-secret",
}
BROKERS = (flattrade.BROKER, shoonya.BROKER)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def take(broker: Broker, said: object, status: int = 200) -> dict[str, str]:
    assert broker.login
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    return broker.login.take(Reply(status, {}, body), CREDENTIALS)


def test_flattrade_takes_a_hash_of_key_code_and_secret() -> None:
    login = flattrade.BROKER.login
    assert login
    request = login.request(CREDENTIALS, ADDRESSES, "code-7", 0.0)
    assert (request.method, request.url) == ("POST", "http://127.0.0.1:2/trade/apitoken")
    assert json.loads(request.body) == {
        "api_key": "key/1",
        "request_code": "code-7",
        "api_secret": sha256("key/1code-7very-secret"),
    }


def test_shoonya_takes_a_hash_of_client_secret_and_code() -> None:
    login = shoonya.BROKER.login
    assert login
    request = login.request(CREDENTIALS, ADDRESSES, "code-7", 0.0)
    assert request.url == "http://127.0.0.1:2/NorenWClientAPI/GenAcsTok"
    head, _, body = request.body.decode().partition("=")
    assert head == "jData"
    assert json.loads(body) == {
        "code": "code-7",
        "checksum": sha256("FA1_Uvery-secretcode-7"),
        "uid": "FA1",
    }


@pytest.mark.parametrize("broker", BROKERS)
def test_the_secret_never_leaves_as_it_is(broker: Broker) -> None:
    assert broker.login
    assert broker.login.visit
    request = broker.login.request(CREDENTIALS, ADDRESSES, "code-7", 0.0)
    page = broker.login.visit(CREDENTIALS, ADDRESSES)
    assert "very-secret" not in request.body.decode() + request.url + page
    assert page.startswith("https://")
    assert broker.login.code == "code"


def test_the_page_is_that_of_the_key() -> None:
    pages = [
        one.login.visit(CREDENTIALS, ADDRESSES) for one in BROKERS if one.login and one.login.visit
    ]
    assert pages == [
        "https://auth.flattrade.in/?app_key=key%2F1",
        "https://trade.shoonya.com/OAuthlogin/authorize/oauth?client_id=FA1_U",
    ]


def test_what_is_kept_is_the_session_and_whose_it_is() -> None:
    assert take(flattrade.BROKER, {"stat": "Ok", "token": "T", "client": "FT1", "emsg": ""}) == {
        "access_token": "T",
        "user_id": "FT1",
    }
    said = {"stat": "Ok", "access_token": "T", "USERID": "FA1", "actid": "FA9", "susertoken": "S"}
    kept = take(shoonya.BROKER, said)
    assert kept == {"access_token": "T", "user_id": "FA1", "account_id": "FA9"}
    for broker in BROKERS:
        assert {"access_token", "user_id"} <= {field.name for field in broker.fields if field.kept}


@pytest.mark.parametrize("broker", BROKERS)
@pytest.mark.parametrize(
    ("said", "status", "fault", "why"),
    [
        ({"stat": "Not_Ok", "emsg": "INVALID_IP"}, 200, Fault.AUTH, "INVALID_IP"),
        ({"stat": "Ok"}, 200, Fault.AUTH, "no session"),
        ({"emsg": "slow down"}, 429, Fault.RATE, "slow down"),
        (b"<html>", 502, Fault.NETWORK, "HTTP 502"),
        (b"<html>", 403, Fault.AUTH, "HTTP 403"),
        (b"[" * 100_000, 200, Fault.NETWORK, "HTTP 200"),
        ([], 200, Fault.NETWORK, "HTTP 200"),
    ],
)
def test_a_refusal_is_told_with_its_kind(
    broker: Broker, said: object, status: int, fault: Fault, why: str
) -> None:
    with pytest.raises(BrokerError, match=why) as raised:
        take(broker, said, status)
    assert raised.value.fault is fault
