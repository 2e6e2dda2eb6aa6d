"""A codec that tests have let in, and what came out of it."""

from __future__ import annotations

import json
from typing import Any

from hub.brokers.base import Addresses, Change, Event, Listing, Subscription
from hub.brokers.fyers.codec import FyersCodec
from tests.brokers import fyers_wire as wire
from tests.brokers.fyers_server import CREDENTIALS

NOW_MS = 1_795_000_000_001
RELIANCE = Listing("NSE", "RELIANCE", "nse_cm", "2885", "NSE:RELIANCE-EQ")
SBIN = Listing("NSE", "SBIN", "nse_cm", "3045", "NSE:SBIN-EQ")
NIFTY = Listing("NSE_INDEX", "NIFTY", "nse_cm", "Nifty 50", "NSE:NIFTY50-INDEX", kind="INDEX")
SF, DP, IF = "sf|nse_cm|2885", "dp|nse_cm|2885", "if|nse_cm|Nifty 50"
HOLES = [None] * 21


class Desk:
    """A codec that has been let in, and what came out of it."""

    def __init__(self, ack_every: int = 0) -> None:
        self.codec = FyersCodec(CREDENTIALS, Addresses("ws://127.0.0.1:1"))
        self.ticks: list[tuple[Subscription, int, dict[str, Any], int]] = []
        self.hear(wire.yes(1, ack_every))

    def hear(self, data: str | bytes) -> list[Event]:
        return list(self.codec.receive(data, NOW_MS, self.take))

    def take(self, sub: Subscription, mode: int, payload: bytes, at_ms: int, seq: int) -> None:
        assert 0 < mode <= sub.mode
        assert seq == 0
        sub.waits = False
        self.ticks.append((sub, mode, json.loads(payload), at_ms))

    def want(self, listing: Listing, mode: int) -> Subscription:
        sub = Subscription(listing)
        self.move(sub, mode)
        return sub

    def move(self, sub: Subscription, mode: int) -> list[bytes]:
        was, sub.mode = sub.mode, mode
        frames = self.codec.change([Change(sub, was, mode)])
        sub.waits = sub.waits or mode > was
        assert all(isinstance(frame, bytes) for frame in frames)
        return [bytes(frame) for frame in frames]  # type: ignore[arg-type]

    def data(self, *entries: bytes) -> list[Event]:
        return self.hear(wire.data(7, entries))

    @property
    def modes(self) -> list[int]:
        return [mode for _, mode, _, _ in self.ticks]
