"""How a day begins at Fyers: a browser, and a code for a token. Pure.

Whoever owns the account logs in at the address of `visit`; Fyers leads the browser back to the
application's redirect_url with `auth_code` in it, which is good for one access token.
"""

from __future__ import annotations

import hashlib
import json
from urllib.parse import urlencode

from hub.brokers.base import Addresses, Credentials, Login, Reply, Request
from hub.core.errors import BrokerError
from hub.core.model import Fault

_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}


def visit(credentials: Credentials, addresses: Addresses) -> str:
    """Where the owner logs in."""
    query = urlencode(
        {
            "client_id": credentials["api_key"],
            "redirect_uri": credentials["redirect_url"],
            "response_type": "code",
            "state": "shardhub",
        }
    )
    return f"{addresses.api.rstrip('/')}/api/v3/generate-authcode?{query}"


def request(credentials: Credentials, addresses: Addresses, code: str, _now_s: float) -> Request:
    """Asks for an access token."""
    secret = f"{credentials['api_key']}:{credentials['api_secret']}"
    said = {
        "grant_type": "authorization_code",
        "appIdHash": hashlib.sha256(secret.encode()).hexdigest(),
        "code": code,
    }
    url = f"{addresses.api.rstrip('/')}/api/v3/validate-authcode"
    return Request("POST", url, _HEADERS, json.dumps(said).encode())


def take(reply: Reply, _credentials: Credentials) -> dict[str, str]:
    """The access token. Raises BrokerError when there is none."""
    try:
        said = json.loads(reply.body)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise BrokerError(Fault.NETWORK, f"Fyers answered HTTP {reply.status}, and no JSON")
    found = said.get("access_token")
    if said.get("s") != "ok" or not isinstance(found, str) or not found:
        own = Fault.NETWORK if reply.status >= 500 else Fault.AUTH
        raise BrokerError(
            Fault.RATE if reply.status == 429 else own,
            f"Fyers gives no access token (HTTP {reply.status}): {str(said.get('message'))[:200]}",
        )
    return {"access_token": found}


LOGIN = Login(
    needs=("api_key", "api_secret", "redirect_url"),
    request=request,
    take=take,
    visit=visit,
    code="auth_code",
)
