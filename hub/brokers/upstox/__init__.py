"""Upstox: what is known of it. Pure."""

from functools import partial

from hub.brokers import jwt
from hub.brokers.base import Addresses, Broker, Channel, Field, Limits
from hub.brokers.upstox.codec import PER_MESSAGE, Codec
from hub.brokers.upstox.instruments import READER
from hub.brokers.upstox.login import LOGIN

_ADDRESSES = Addresses("wss://api.upstox.com/v3/feed/market-data-feed", "https://api.upstox.com")
_DEEP = 30


BROKER = Broker(
    name="upstox",
    title="Upstox",
    channels=(
        Channel(
            "ticks",
            _ADDRESSES,
            Limits(
                sockets=2,
                per_socket=(2000, 1500, 1500),
                per_message=PER_MESSAGE,
                gap_s=0.1,
                confirm_s=6.0,
                idle_s=60.0,
            ),
            Codec,
        ),
        Channel(
            "depth30",
            _ADDRESSES,
            Limits(
                sockets=1,
                per_socket=(50, 50, 50),
                per_account=50,
                per_message=50,
                gap_s=0.1,
                confirm_s=6.0,
                idle_s=60.0,
            ),
            partial(Codec, levels=_DEEP),
            levels=_DEEP,
            exchanges=("NSE", "BSE", "NFO", "BFO", "CDS", "BCD", "MCX", "NCO"),
        ),
    ),
    instruments=READER,
    fields=(
        Field("access_token", "today's token", kept=True),
        Field(
            "api_key", "the key of your app; only hub login needs it", needed=False, secret=False
        ),
        Field("api_secret", "its secret; only hub login needs it", needed=False),
        Field(
            "redirect_uri",
            "its redirect address; only hub login needs it",
            needed=False,
            secret=False,
        ),
    ),
    login=LOGIN,
    expires=jwt.expires,
    sockets=2,
)
