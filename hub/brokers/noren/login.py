"""How a session of a Noren broker begins: in the browser, once a day. Sans-I/O.

The broker's page leads back to the address that is registered with the API key, and puts a code
into it. The code and a hash that only the owner of the key can make are exchanged for the session.

Source of the format: what OpenAlgo sends, and the brokers' own descriptions of their logins.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import quote

from hub.brokers.base import Addresses, Credentials, Reply, Request
from hub.core.errors import BrokerError
from hub.core.model import Fault

_JSON = {"Content-Type": "application/json"}
_TEXT = {"Content-Type": "text/plain"}


def flattrade_visit(credentials: Credentials, _addresses: Addresses) -> str:
    """Flattrade's page for that key."""
    return f"https://auth.flattrade.in/?app_key={quote(credentials['api_key'], safe='')}"


def flattrade_request(
    credentials: Credentials, addresses: Addresses, code: str, _now_s: float
) -> Request:
    """Exchange the code: the hash is of key, code and secret."""
    key = credentials["api_key"]
    body = {
        "api_key": key,
        "request_code": code,
        "api_secret": _sha256(key + code + credentials["api_secret"]),
    }
    return Request("POST", f"{addresses.api}/trade/apitoken", _JSON, json.dumps(body).encode())


def flattrade_take(reply: Reply, _credentials: Credentials) -> dict[str, str]:
    """The session, and whose it is."""
    found = _read(reply, "Flattrade")
    return _kept(found, "Flattrade", {"access_token": "token", "user_id": "client"})


def shoonya_visit(credentials: Credentials, _addresses: Addresses) -> str:
    """Shoonya's page for that client of its API."""
    client = quote(credentials["client_id"], safe="")
    return f"https://trade.shoonya.com/OAuthlogin/authorize/oauth?client_id={client}"


def shoonya_request(
    credentials: Credentials, addresses: Addresses, code: str, _now_s: float
) -> Request:
    """Exchange the code: the hash is of client, secret and code."""
    made = credentials["client_id"] + credentials["api_secret"] + code
    body = {"code": code, "checksum": _sha256(made)}
    if user := credentials.get("user_id"):
        body["uid"] = user
    return Request(
        "POST",
        f"{addresses.api}/NorenWClientAPI/GenAcsTok",
        _TEXT,
        ("jData=" + json.dumps(body)).encode(),
    )


def shoonya_take(reply: Reply, _credentials: Credentials) -> dict[str, str]:
    """The session, and whose it is."""
    found = _read(reply, "Shoonya")
    fields = {"access_token": "access_token", "user_id": "USERID", "account_id": "actid"}
    return _kept(found, "Shoonya", fields)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read(reply: Reply, title: str) -> dict[str, Any]:
    """What a reply says; raises BrokerError for a refusal, and for what is no reply of the
    broker's. Only its own sentence is repeated."""
    try:
        found = json.loads(reply.body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        fault = {401: Fault.AUTH, 403: Fault.AUTH, 429: Fault.RATE}.get(reply.status, Fault.NETWORK)
        raise BrokerError(fault, f"{title} did not answer the login (HTTP {reply.status})")
    if str(found.get("stat", "")).lower() != "ok" or reply.status >= 400:
        why = " ".join(str(found.get("emsg") or f"HTTP {reply.status}").split())[:200]
        fault = Fault.RATE if reply.status == 429 else Fault.AUTH
        raise BrokerError(
            fault, f"{title} refused the login: {why}. A code is good once: fetch a new one"
        )
    return found


def _kept(found: dict[str, Any], title: str, fields: dict[str, str]) -> dict[str, str]:
    """Fields to keep, by the names they have in the reply; the session has to be there."""
    kept = {
        name: value
        for name, wire in fields.items()
        if isinstance(value := found.get(wire), str) and value
    }
    if "access_token" not in kept:
        raise BrokerError(Fault.AUTH, f"{title} took the code, and gave no session for it")
    return kept
