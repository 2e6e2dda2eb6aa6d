"""When to connect again, and why a connection failed, in words. Pure but for the dice."""

from __future__ import annotations

import random
import ssl
from email.utils import parsedate_to_datetime

from websockets.exceptions import ConnectionClosed, InvalidStatus

FIRST_S, LONGEST_S = 0.25, 5.0
"""The first wait and the longest, before the dice are thrown."""

STEADY_S = 5.0
"""A connection that has lasted so long begins anew at the first wait when it ends."""

_UNAVAILABLE = 503


class Backoff:
    """Waits that double, each somewhere between its half and its whole, so that many clients that
    were cut off in the same moment do not come back in the same moment."""

    def __init__(self, first_s: float = FIRST_S, longest_s: float = LONGEST_S) -> None:
        self._first_s = self._next_s = first_s
        self._longest_s = longest_s

    def __repr__(self) -> str:
        return f"<Backoff up to {self._next_s:g} s next>"

    def next(self, least_s: float = 0.0) -> float:
        """How long to wait now, in seconds; never less than `least_s`, which the server asks."""
        most_s = self._next_s
        self._next_s = min(2 * most_s, self._longest_s)
        spread = random.uniform(0.5, 1)  # noqa: S311  # it spreads, it hides nothing
        return least_s + spread * most_s

    def reset(self) -> None:
        """It went well for a while."""
        self._next_s = self._first_s


def asked_s(error: BaseException | None, now_s: float) -> float:
    """How long the server asks to wait (Retry-After, in seconds or as a date); 0 when it does not.
    `now_s` is seconds since the epoch."""
    if not isinstance(error, InvalidStatus):
        return 0.0
    text = error.response.headers.get("Retry-After", "")
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now_s)
    except (TypeError, ValueError):
        return 0.0


def is_full(error: BaseException | None) -> bool:
    """Whether the hub is there and has no room just now."""
    return isinstance(error, InvalidStatus) and error.response.status_code == _UNAVAILABLE


def reason(error: BaseException) -> str:
    """Why a connection failed or ended, in a few words."""
    if isinstance(error, ConnectionClosed):
        close = error.rcvd
        return f"closed: {close.code} {close.reason}".strip() if close else "connection lost"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if is_full(error):
        return "it is full: HTTP 503"
    return str(error) or type(error).__name__
