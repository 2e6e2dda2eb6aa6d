"""Fyers: its data socket, and a stream of books with 50 levels beside it. Pure."""

from __future__ import annotations

from hub.brokers import jwt
from hub.brokers.base import Addresses, Broker, Channel, Field, Limits
from hub.brokers.fyers.codec import FyersCodec
from hub.brokers.fyers.instruments import READER
from hub.brokers.fyers.login import LOGIN
from hub.brokers.fyers.tbt import TbtCodec

_API = "https://api-t1.fyers.in"


BROKER = Broker(
    name="fyers",
    title="Fyers",
    channels=(
        Channel(
            "feed",
            Addresses("wss://socket.fyers.in/hsm/v1-5/prod", _API),
            Limits(
                sockets=1,  # how many a token may open is not known
                per_socket=(5000, 5000, 2500),  # a book is a topic more
                per_account=5000,
                per_message=1500,
                gap_s=0.5,
                confirm_s=6.0,
                beat_s=10.0,
                rest_s=1.0,
            ),
            FyersCodec,
        ),
        Channel(
            "deep",
            Addresses("wss://rtsocket-api.fyers.in/versova", _API),
            Limits(
                sockets=3,
                per_socket=(5, 5, 5),
                per_account=15,
                per_message=5,
                gap_s=0.2,
                confirm_s=6.0,
                beat_s=10.0,
                rest_s=1.0,
            ),
            TbtCodec,
            levels=50,
            exchanges=("NSE", "NFO"),
            books=True,
        ),
    ),
    instruments=READER,
    fields=(
        Field(
            "api_key",
            "the application's id, such as XY12345678-100: for logging in and for deep books",
            needed=False,
            secret=False,
        ),
        Field("api_secret", "the application's secret: for logging in", needed=False),
        Field(
            "redirect_url",
            "the address that the application leads back to: for logging in",
            needed=False,
            secret=False,
        ),
        Field("access_token", "the token of the day", kept=True),
    ),
    login=LOGIN,
    expires=jwt.expires,
)
