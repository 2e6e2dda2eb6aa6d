"""Zerodha (Kite Connect): what is known of it. Pure."""

from hub.brokers.base import Addresses, Broker, Channel, Field, Limits
from hub.brokers.zerodha.codec import PER_MESSAGE, Codec
from hub.brokers.zerodha.instruments import READER
from hub.brokers.zerodha.login import LOGIN

BROKER = Broker(
    name="zerodha",
    title="Zerodha (Kite Connect)",
    channels=(
        Channel(
            "ticks",
            Addresses("wss://ws.kite.trade", "https://api.kite.trade"),
            Limits(
                sockets=3,
                per_socket=(3000, 3000, 3000),
                per_account=9000,
                per_message=PER_MESSAGE,
                gap_s=0.1,
                confirms=False,
                idle_s=30.0,
            ),
            Codec,
        ),
    ),
    instruments=READER,
    fields=(
        Field("api_key", "the key of your Kite Connect app", needed=False, secret=False),
        Field("api_secret", "its secret; only hub login needs it", needed=False),
        Field(
            "access_token",
            "today's token; `api_key:access_token`, as OpenAlgo keeps it, is understood too",
            kept=True,
        ),
    ),
    login=LOGIN,
)
