"""Angel One: what is known of it. Its stream is in `codec`, the session in `login`.

Limits: 3 connections of a client code with 1,000 tokens each (Angel's forum), 50 tokens of NSE's
cash segment with 20 levels (smartapi-python). It drops who is not heard of for about a minute.
"""

from __future__ import annotations

from functools import partial

from hub.brokers import jwt
from hub.brokers.angel import codec
from hub.brokers.angel.instruments import READER
from hub.brokers.angel.login import LOGIN
from hub.brokers.base import Addresses, Broker, Channel, Credentials, Field, Limits

_ADDRESSES = Addresses(
    "wss://smartapisocket.angelone.in/smart-stream", "https://apiconnect.angelone.in"
)
_USUAL = Limits(
    sockets=3,
    per_socket=(1000, 1000, 1000),
    per_message=codec.PER_MESSAGE,
    gap_s=0.05,
    confirms=False,
    confirm_s=3.0,
    beat_s=10.0,
    ping_s=10.0,
    idle_s=60.0,
    rest_s=1.0,
)
_DEEP = _USUAL._replace(sockets=1, per_socket=(1000, 1000, 50), per_message=50)


def expires(credentials: Credentials) -> float | None:
    """When the first of the session's two tokens ends."""
    ends = [jwt.expiry(credentials.get(name, "")) for name in ("access_token", "feed_token")]
    return min((end for end in ends if end is not None), default=None)


BROKER = Broker(
    "angel",
    "Angel One",
    (
        Channel("stream", _ADDRESSES, _USUAL, codec.Codec),
        Channel(
            "depth20",
            _ADDRESSES,
            _DEEP,
            partial(codec.Codec, deep=True),
            levels=20,
            exchanges=("NSE",),
        ),
    ),
    READER,
    (
        Field("api_key", "key of your SmartAPI app"),
        Field("client_code", "your client code", secret=False),
        Field("pin", "PIN with which you log in", needed=False),
        Field("totp_secret", "secret that Angel shows with the QR code", needed=False),
        Field("access_token", "token of the session (jwtToken)", kept=True),
        Field("feed_token", "token of its stream (feedToken)", kept=True),
    ),
    LOGIN,
    expires,
    sockets=3,
)
