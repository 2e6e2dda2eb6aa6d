"""What a Fyers access token says. Pure.

A token is a JSON Web Token, often written behind the application's id and a colon. The data socket
wants nothing of it but the claim `hsm_key`.
"""

from __future__ import annotations

from hub.brokers import jwt
from hub.brokers.base import Credentials
from hub.core.errors import BrokerError
from hub.core.model import Fault


def bare(token: str) -> str:
    """The token without the application's id before it."""
    return token.strip().rpartition(":")[2]


def hsm_key(token: str) -> str:
    """What lets us into the data socket. Raises BrokerError for what is no such token."""
    key = jwt.claims(token).get("hsm_key")
    if not isinstance(key, str) or not key or not key.isascii():
        raise BrokerError(
            Fault.AUTH,
            "this is no access token of Fyers' API v3 (it has no hsm_key)",
        )
    return key


def authorization(credentials: Credentials) -> str:
    """The header that Fyers' REST API and its stream of deep books want: the application's id, a
    colon, and the token. Raises BrokerError."""
    said = credentials.get("access_token", "").strip()
    key, token = credentials.get("api_key", "").strip() or said.rpartition(":")[0], bare(said)
    if not key or not token:
        raise BrokerError(
            Fault.AUTH,
            "for deep books Fyers needs the application's id (api_key) and an access_token",
        )
    return f"{key}:{token}"
