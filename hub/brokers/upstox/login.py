"""Upstox' login: a browser brings a code (OAuth), which is exchanged for an access token. Pure.

Source: Upstox' documentation of its login.
"""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlencode

from hub.brokers.base import Addresses, Credentials, Login, Reply, Request
from hub.brokers.upstox.session import AGENT, document, why
from hub.core.errors import BrokerError
from hub.core.model import Fault


def visit(credentials: Credentials, addresses: Addresses) -> str:
    """The page on which one logs in. It leads back to the app's redirect address."""
    query = {
        "response_type": "code",
        "client_id": credentials["api_key"],
        "redirect_uri": credentials["redirect_uri"],
    }
    return f"{addresses.api}/v2/login/authorization/dialog?{urlencode(query)}"


def request(credentials: Credentials, addresses: Addresses, code: str, _: float) -> Request:
    """The code is good once; the redirect address has to be the same as in `visit`."""
    form = {
        "code": code,
        "client_id": credentials["api_key"],
        "client_secret": credentials["api_secret"],
        "redirect_uri": credentials["redirect_uri"],
        "grant_type": "authorization_code",
    }
    headers = {
        "Accept": "application/json",
        "Content-Type": "application/x-www-form-urlencoded",
        "User-Agent": AGENT,
    }
    url = f"{addresses.api}/v2/login/authorization/token"
    return Request("POST", url, headers, urlencode(form).encode())


def take(reply: Reply, _: Credentials) -> dict[str, str]:
    """The access token of the reply."""
    if reply.status != HTTPStatus.OK:
        fault, text = why(reply.status, reply.body)
        refused = HTTPStatus.BAD_REQUEST <= reply.status < HTTPStatus.INTERNAL_SERVER_ERROR
        if refused and fault is Fault.NETWORK:
            fault, text = Fault.AUTH, f"Upstox refuses the login (HTTP {reply.status})"
        raise BrokerError(fault, text)
    token = document(reply.body).get("access_token")
    if not isinstance(token, str) or not token:
        raise BrokerError(Fault.AUTH, "Upstox' answer to the login holds no access token")
    return {"access_token": token}


LOGIN = Login(("api_key", "api_secret", "redirect_uri"), request, take, visit, "code")
