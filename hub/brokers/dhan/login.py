"""How a day's token is had from Dhan by the PIN and a one-time password, without a browser. Pure.

Source: Dhan's documentation of its authentication, and its SDK. What it answers is not documented
for a success; what is read here is what public clients report, `{"accessToken", "expiryTime"}`, and
for a refusal HTTP 200 with `{"status": "error", "message"}`. Dhan makes one token in two minutes.
"""

from __future__ import annotations

from urllib.parse import urlencode

import msgspec

from hub.brokers import totp
from hub.brokers.base import Addresses, Credentials, Login, Reply, Request
from hub.core.errors import BrokerError
from hub.core.model import Fault


class _Answer(msgspec.Struct):
    access_token: str = msgspec.field(default="", name="accessToken")
    message: str = ""


_decode = msgspec.json.Decoder(_Answer).decode


def request(credentials: Credentials, addresses: Addresses, code: str, now_s: float) -> Request:  # noqa: ARG001 - there is no browser, and no code of one
    """The request for a token. What it carries is in the address: it must not be logged."""
    try:
        query = urlencode(
            {
                "dhanClientId": credentials["client_id"],
                "pin": credentials["pin"],
                "totp": totp.password(credentials["totp_secret"], now_s, "Dhan"),
            }
        )
    except KeyError as error:
        raise BrokerError(Fault.AUTH, f"the credentials have no {error.args[0]}") from None
    url = f"{addresses.api}/app/generateAccessToken?{query}"
    return Request("POST", url, {"Accept": "application/json"})


def take(reply: Reply, credentials: Credentials) -> dict[str, str]:  # noqa: ARG001 - they stay as they are
    """The token, to be kept."""
    try:
        answer = _decode(reply.body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        answer = _Answer()
    if reply.status == 200 and answer.access_token:
        return {"access_token": answer.access_token}
    said = answer.message[:200] or f"HTTP {reply.status}"
    if reply.status >= 500:
        raise BrokerError(Fault.NETWORK, f"Dhan made no token: {said}")
    if reply.status == 429 or "2 minutes" in said.lower():
        raise BrokerError(Fault.RATE, f"Dhan makes one token in two minutes: {said}")
    raise BrokerError(Fault.AUTH, f"Dhan made no token: {said}")


LOGIN = Login(("client_id", "pin", "totp_secret"), request, take)
