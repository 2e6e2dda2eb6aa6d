"""Why a connection to Fyers ended, of either of its streams. Pure."""

from __future__ import annotations

from hub.brokers.base import Ended
from hub.core.model import Fault


def why_ended(end: Ended) -> tuple[Fault, str]:
    """The kind, and a sentence."""
    if end.status in {401, 403}:
        return Fault.AUTH, f"Fyers refuses the access token (HTTP {end.status})"
    if end.status == 429:
        return Fault.RATE, "Fyers was asked too often (HTTP 429)"
    if end.status:
        return Fault.NETWORK, f"Fyers refused the connection with HTTP {end.status}"
    how = f"code {end.code}" if end.code else "without a word"
    why = f", {end.reason}" if end.reason else ""
    when = "" if end.ready else " before it let us in"
    return Fault.NETWORK, f"Fyers closed the connection{when} ({how}{why})"
