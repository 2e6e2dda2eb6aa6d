"""Zerodha's login: a browser brings a request token, which is exchanged for an access token. Pure.

Source: Kite Connect's documentation of its login flow.
"""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import urlencode

import msgspec

from hub.brokers.base import Addresses, Credentials, Login, Reply, Request
from hub.core.errors import BrokerError
from hub.core.model import Fault

_PAGE = "https://kite.zerodha.com/connect/login"


def visit(credentials: Credentials, _: Addresses) -> str:
    """The page on which one logs in."""
    return f"{_PAGE}?{urlencode({'v': 3, 'api_key': credentials['api_key']})}"


def request(credentials: Credentials, addresses: Addresses, code: str, _: float) -> Request:
    """The request token is good for minutes, and once; the secret is only ever sent hashed."""
    api_key, secret = credentials["api_key"], credentials["api_secret"]
    checksum = hashlib.sha256(f"{api_key}{code}{secret}".encode()).hexdigest()
    form = {"api_key": api_key, "request_token": code, "checksum": checksum}
    headers = {"X-Kite-Version": "3", "Content-Type": "application/x-www-form-urlencoded"}
    return Request("POST", f"{addresses.api}/session/token", headers, urlencode(form).encode())


def take(reply: Reply, _: Credentials) -> dict[str, str]:
    """The access token of the reply."""
    try:
        answer: Any = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        answer = None
    data = answer.get("data") if isinstance(answer, dict) else None
    token = data.get("access_token") if isinstance(data, dict) else None
    if reply.status == 200 and isinstance(token, str) and token:
        return {"access_token": token}
    said = answer.get("message") if isinstance(answer, dict) else None
    own = Fault.NETWORK if reply.status >= 500 else Fault.AUTH
    fault = Fault.RATE if reply.status == 429 else own
    reason = said[:200] if isinstance(said, str) else "no access token in the answer"
    raise BrokerError(fault, f"Zerodha refuses the login (HTTP {reply.status}): {reason}")


LOGIN = Login(("api_key", "api_secret"), request, take, visit, "request_token")
