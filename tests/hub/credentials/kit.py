"""A broker of the tests' own: it logs in without a browser, or with one, or not at all."""

from __future__ import annotations

import json
from typing import Any

from hub.brokers.base import (
    Addresses,
    Broker,
    Channel,
    Codec,
    Credentials,
    Field,
    Limits,
    Login,
    Reader,
    Reply,
    Request,
)
from hub.core.errors import BrokerError
from hub.core.model import Fault

SECRET = "sesame"


def _codec(_: Credentials, __: Addresses) -> Codec:
    raise AssertionError("nobody connects here")


def _request(credentials: Credentials, addresses: Addresses, code: str, now: float) -> Request:
    body = {"pin": credentials["pin"], "code": code, "at": now}
    return Request("POST", f"{addresses.api}/login?pin={SECRET}", {}, json.dumps(body).encode())


def _take(reply: Reply, _: Credentials) -> dict[str, str]:
    if reply.status != 200:
        raise BrokerError(Fault.AUTH, "Angel One refuses the PIN")
    return {"access_token": json.loads(reply.body)["token"]}


def _visit(credentials: Credentials, addresses: Addresses) -> str:
    return f"{addresses.api}/ask?key={credentials['api_key']}"


def _expires(credentials: Credentials) -> float | None:
    return float(credentials["expires"]) if "expires" in credentials else None


HERE = Login(("pin",), _request, _take)
IN_BROWSER = Login(("pin",), _request, _take, _visit, "request_code")


def broker(login: Login | None = HERE, **changes: Any) -> Broker:
    """The broker, with that way to log in."""
    made = Broker(
        "angel",
        "Angel One",
        (Channel("usual", Addresses("wss://a.invalid/x", "https://a.invalid"), Limits(), _codec),),
        Reader((), lambda _, __: ()),
        (
            Field("api_key", "its key"),
            Field("pin", "the PIN", needed=False),
            Field("expires", "when", needed=False),
            Field("access_token", "of today", kept=True),
        ),
        login,
        _expires,
    )
    return made._replace(**changes)
