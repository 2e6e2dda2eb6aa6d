"""When a token says that it expires. Pure.

Source of the format: RFC 7519. The signature is the broker's to check; a token is read here only to
tell its owner how long it is good for.
"""

from __future__ import annotations

import base64
import json


def expiry(token: str) -> float | None:
    """The `exp` of a JSON Web Token, in epoch seconds; None for what is no such token or has none.

    `Bearer ` before it, or an application's name and a colon, do not matter.
    """
    parts = token.strip().rpartition(" ")[2].rpartition(":")[2].split(".")
    if len(parts) != 3:
        return None
    try:
        body = parts[1].encode("ascii")
        claims = json.loads(base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4)))
    except (ValueError, RecursionError):
        return None
    found = claims.get("exp") if isinstance(claims, dict) else None
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 < found < 1e12:
        return None
    return float(found)
