"""What all sockets of Dhan have in common: who connects, what is asked, what an end means. Pure.

Source of the facts: Dhan's documentation of its API (v2), its annexure, and the parser of its own
SDK, which the tests are held against.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Sequence
from urllib.parse import urlencode

from hub.brokers.base import (
    Addresses,
    Credentials,
    Ended,
    Endpoint,
    Failed,
    Frame,
    Listing,
    Reply,
    Request,
    Subscription,
)
from hub.core.errors import BrokerError
from hub.core.model import Fault

SEGMENTS = {
    "IDX_I": 0, "NSE_EQ": 1, "NSE_FNO": 2, "NSE_CURRENCY": 3, "BSE_EQ": 4, "MCX_COMM": 5,
    "BSE_CURRENCY": 7, "BSE_FNO": 8,
}  # fmt: skip
"""Segments by the names that requests have for them: the numbers that packets have."""

DISCONNECT = 50

_KEY = struct.Struct("<Bi")
_REASON = struct.Struct("<H")
_REASONS = {
    805: (
        Fault.EVICTED,
        "something else opens sockets of this account, and Dhan allows 5: stop it",
    ),
    806: (Fault.AUTH, "the account has no Data API plan: subscribe to one in Dhan's web console"),
    807: (Fault.AUTH, "the access token has expired: make a new one"),
    808: (Fault.AUTH, "the client id is not one that Dhan knows: correct client_id"),
    809: (Fault.AUTH, "Dhan refuses the access token: make a new one"),
}
_TOO_OFTEN = (
    "Dhan was asked too often, or has blocked the client id, as it does when the Data API plan has "
    "run out (HTTP 429)"
)
_STATUSES = {
    400: (Fault.AUTH, "Dhan refuses the credentials (HTTP 400): make a new access token"),
    401: (Fault.AUTH, "Dhan refuses the access token (HTTP 401): make a new one"),
    403: (Fault.AUTH, "Dhan refuses the access token (HTTP 403): make a new one"),
    429: (Fault.RATE, _TOO_OFTEN),
}


class Connection:
    """What the codecs of Dhan are made of. `_subs` are by what packets say of an instrument: the
    byte of its segment, and the four of its security id."""

    query: tuple[tuple[str, str], ...] = ()
    """What the address says before it says who connects."""

    def __init__(self, credentials: Credentials, addresses: Addresses) -> None:
        self.malformed = 0
        self._credentials = credentials
        self._addresses = addresses
        self._subs: dict[bytes, Subscription] = {}

    def ask(self) -> Request | None:
        """Nothing: the address says who connects."""
        return None

    def endpoint(self, reply: Reply | None) -> Endpoint:  # noqa: ARG002 - nothing was asked
        """The stream's address, with the token and the client id in its query."""
        try:
            token, client = self._credentials["access_token"], self._credentials["client_id"]
        except KeyError as error:
            raise BrokerError(Fault.AUTH, f"the credentials have no {error.args[0]}") from None
        query = [*self.query, ("token", token), ("clientId", client), ("authType", "2")]
        return Endpoint(f"{self._addresses.url}?{urlencode(query)}")

    def opened(self) -> Sequence[Frame]:
        """Nothing has to be said first."""
        return ()

    @property
    def ready(self) -> bool:
        """Who is connected is let in."""
        return True

    def beat(self) -> Sequence[Frame]:
        """Dhan pings, and the WebSocket client answers."""
        return ()

    def ended(self, end: Ended) -> tuple[Fault, str]:
        """Why it ended; a code-50 packet before has said more."""
        if end.status:
            return _STATUSES.get(
                end.status, (Fault.NETWORK, f"Dhan refused the connection with HTTP {end.status}")
            )
        return Fault.NETWORK, f"the connection to Dhan ended ({end.why})"


def key_of(listing: Listing) -> bytes:
    """What packets know an instrument by."""
    return _KEY.pack(SEGMENTS[listing.segment], int(listing.token))


def requests(code: int, listings: Sequence[Listing], at_once: int) -> Iterable[str]:
    """The messages that ask for something of these instruments, so many in each."""
    for start in range(0, len(listings), at_once):
        part = listings[start : start + at_once]
        named = [{"ExchangeSegment": one.segment, "SecurityId": one.token} for one in part]
        yield json.dumps(
            {"RequestCode": code, "InstrumentCount": len(named), "InstrumentList": named}
        )


def disconnected(body: bytes) -> Failed:
    """What a code-50 packet says; `body` is what follows its header."""
    if len(body) < _REASON.size:
        return Failed(Fault.NETWORK, "Dhan disconnected, and did not say why")
    (reason,) = _REASON.unpack_from(body)
    fault, text = _REASONS.get(reason, (Fault.NETWORK, "Dhan disconnected"))
    return Failed(fault, f"{text} (code {reason})")
