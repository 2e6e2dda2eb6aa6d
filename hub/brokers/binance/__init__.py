"""Binance, spot: public market data, without an account. Pure."""

from __future__ import annotations

from hub.brokers.base import Addresses, Broker, Channel, Limits
from hub.brokers.binance.codec import AT_ONCE, Codec
from hub.brokers.binance.instruments import READER

_STREAMS = 1024
"""What a socket carries; a symbol is two of them in mode LTP, else three."""

BROKER = Broker(
    name="binance",
    title="Binance (spot)",
    channels=(
        Channel(
            "market",
            Addresses("wss://data-stream.binance.vision"),
            Limits(
                sockets=10,
                per_socket=(_STREAMS // 2, _STREAMS // 3, _STREAMS // 3),
                per_message=AT_ONCE,
                gap_s=0.34,  # of 5 messages a second, pings and pongs are some
                ping_s=20.0,
                rest_s=1.0,
            ),
            Codec,
        ),
    ),
    instruments=READER,
)
