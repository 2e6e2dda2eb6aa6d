"""What a JSON Web Token says. Pure.

Source of the format: RFC 7519. The signature is the broker's to check; a token is read here only to
tell its owner how long it is good for, and for what a broker wants to be told of it.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from hub.brokers.base import Credentials


def claims(token: str) -> dict[str, Any]:
    """The claims of a token; none of what is no such token.

    `Bearer ` before it, or an application's name and a colon, do not matter.
    """
    parts = token.strip().rpartition(" ")[2].rpartition(":")[2].split(".")
    if len(parts) != 3:
        return {}
    try:
        body = parts[1].encode("ascii")
        found = json.loads(base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4)))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def expiry(token: str) -> float | None:
    """The `exp` of a token, in epoch seconds; None for what is no such token or has none."""
    found = claims(token).get("exp")
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 < found < 1e12:
        return None
    return float(found)


def expires(credentials: Credentials) -> float | None:
    """When their access token does, as `expiry` has it."""
    return expiry(credentials.get("access_token", ""))
