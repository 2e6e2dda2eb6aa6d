"""Dhan: the live market feed (v2), and books of 20 and 200 levels. Pure."""

from __future__ import annotations

from hub.brokers import jwt
from hub.brokers.base import Addresses, Broker, Channel, Field, Limits
from hub.brokers.dhan.codec import AT_ONCE, Codec
from hub.brokers.dhan.deep import AT_ONCE as DEEP_AT_ONCE
from hub.brokers.dhan.deep import Deep, Deepest
from hub.brokers.dhan.instruments import READER
from hub.brokers.dhan.login import LOGIN

_API = "https://auth.dhan.co"
_SOCKETS = 5
_LIMITS = Limits(
    sockets=_SOCKETS,
    per_socket=(5000, 5000, 5000),
    per_message=AT_ONCE,
    gap_s=0.1,
    confirms=False,
    ping_s=20.0,
    idle_s=90.0,
    rest_s=3.0,
)
_DEEP = ("NSE", "NFO")


BROKER = Broker(
    name="dhan",
    title="Dhan",
    channels=(
        Channel("feed", Addresses("wss://api-feed.dhan.co", _API), _LIMITS, Codec),
        Channel(
            "depth20",
            Addresses("wss://depth-api-feed.dhan.co/twentydepth", _API),
            _LIMITS._replace(per_socket=(50, 50, 50), per_message=DEEP_AT_ONCE),
            Deep,
            20,
            _DEEP,
            books=True,
        ),
        Channel(
            "depth200",
            Addresses("wss://full-depth-api.dhan.co/twohundreddepth", _API),
            _LIMITS._replace(per_socket=(1, 1, 1), per_message=1),
            Deepest,
            200,
            _DEEP,
            books=True,
        ),
    ),
    instruments=READER,
    fields=(
        Field("client_id", "the client id, as Dhan's web console shows it", secret=False),
        Field("access_token", "a day's token, from the web console or by hub login", kept=True),
        Field("pin", "the PIN of the app, for hub login", needed=False),
        Field("totp_secret", "the text beside the QR code of TOTP, for hub login", needed=False),
    ),
    login=LOGIN,
    expires=jwt.expires,
    sockets=_SOCKETS,
)
