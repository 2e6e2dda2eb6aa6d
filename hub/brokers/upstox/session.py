"""Who we are to Upstox, and what its refusals mean. Pure.

Source: Upstox' documentation of its errors, and of the authorization of its market data feed.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from hub.brokers.base import Credentials, Reply
from hub.core.errors import BrokerError
from hub.core.model import Fault

AGENT = "Mozilla/5.0 (X11; Linux x86_64) Shardhub"
"""Its guard refuses the names that HTTP libraries give themselves."""

_GUARDED = b"error code: 1010"


def headers(credentials: Credentials) -> Mapping[str, str]:
    """Of a request in the name of that account. Raises BrokerError when it has no token."""
    token = credentials.get("access_token", "")
    if not token:
        raise BrokerError(Fault.AUTH, "Upstox needs an access_token")
    return {"Authorization": f"Bearer {token}", "Accept": "application/json", "User-Agent": AGENT}


def redirect(reply: Reply | None) -> str:
    """The address in the answer to an authorization. Raises BrokerError."""
    if reply is None:
        raise BrokerError(Fault.NETWORK, "Upstox has not authorized the connection")
    if reply.status != HTTPStatus.OK:
        raise BrokerError(*why(reply.status, reply.body))
    answer = document(reply.body)
    data = answer.get("data")
    found = data if isinstance(data, dict) else {}
    url = found.get("authorized_redirect_uri") or found.get("authorizedRedirectUri")
    if not isinstance(url, str) or not url.startswith(("wss://", "ws://")):
        raise BrokerError(Fault.NETWORK, "Upstox' authorization holds no address to connect to")
    return url


def why(status: int, body: bytes) -> tuple[Fault, str]:
    """What a refusal means: the kind, and a sentence with the broker's own code in it."""
    said = f"HTTP {status}{_code(body)}"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Fault.RATE, f"Upstox was asked too often ({said})"
    if _GUARDED in body:
        return Fault.NETWORK, f"Upstox' guard before the API lets nothing through ({said})"
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return Fault.AUTH, f"Upstox refuses the access token ({said})"
    return Fault.NETWORK, f"Upstox does not take the connection ({said})"


def document(body: bytes) -> dict[str, Any]:
    """The JSON object of an answer; empty when it is none."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}


def _code(body: bytes) -> str:
    errors = document(body).get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict):
        return ""
    code = first.get("errorCode") or first.get("error_code")
    return f", {code[:40]}" if isinstance(code, str) else ""
