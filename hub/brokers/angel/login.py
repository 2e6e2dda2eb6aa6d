"""How a session at Angel One is begun: client code, PIN and a one-time password, no browser. Pure.

Source: Angel's documentation of its users' API. The addresses of a computer that its headers ask
for are not checked; none are told.
"""

from __future__ import annotations

import msgspec

from hub.brokers import totp
from hub.brokers.base import Addresses, Credentials, Login, Reply, Request
from hub.core.errors import BrokerError
from hub.core.model import Fault

NEEDS = ("api_key", "client_code", "pin", "totp_secret")
_PATH = "/rest/auth/angelbroking/user/v1/loginByPassword"
_TOO_OFTEN = b"access rate"


class _Session(msgspec.Struct, rename="camel"):
    jwt_token: str = ""
    feed_token: str = ""


class _Answer(msgspec.Struct):
    """`data` is null when there is no session; `message` says why."""

    message: str | None = None
    errorcode: str | None = None
    data: _Session | str | None = None


_answer = msgspec.json.Decoder(_Answer).decode


def request(credentials: Credentials, addresses: Addresses, code: str, now_s: float) -> Request:
    """The request for a session, with the one-time password of that second."""
    del code  # there is no browser that would bring one
    body = {
        "clientcode": credentials["client_code"],
        "password": credentials["pin"],
        "totp": totp.password(credentials["totp_secret"], now_s, "Angel"),
    }
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "X-UserType": "USER",
        "X-SourceID": "WEB",
        "X-ClientLocalIP": "127.0.0.1",
        "X-ClientPublicIP": "127.0.0.1",
        "X-MACAddress": "00:00:00:00:00:00",
        "X-PrivateKey": credentials["api_key"],
    }
    return Request("POST", addresses.api + _PATH, headers, msgspec.json.encode(body))


def take(reply: Reply, credentials: Credentials) -> dict[str, str]:
    """The two tokens of a session."""
    try:
        answer = _answer(reply.body)
    except (ValueError, RecursionError):
        answer = _Answer()
    session = answer.data
    if isinstance(session, _Session) and session.jwt_token and session.feed_token:
        return {"access_token": session.jwt_token, "feed_token": session.feed_token}
    why = _without_secrets(answer.message or "it does not say why", credentials)[:200]
    told = f"{why} ({answer.errorcode})" if answer.errorcode else why
    if reply.status == 429 or _TOO_OFTEN in reply.body.lower():
        raise BrokerError(Fault.RATE, f"Angel was asked too often: {told}")
    if reply.status >= 500 or not answer.message:
        raise BrokerError(Fault.NETWORK, f"Angel has no session for us ({reply.status}): {told}")
    raise BrokerError(Fault.AUTH, f"Angel refuses the login: {told}")


LOGIN = Login(NEEDS, request, take)


def _without_secrets(text: str, credentials: Credentials) -> str:
    for name in NEEDS:
        if len(credentials[name]) >= 4:
            text = text.replace(credentials[name], "…")
    return text
