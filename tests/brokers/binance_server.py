"""A fake Binance: combined market data streams, and its list of symbols.

By hand: `python -m tests.brokers.binance_server --port 9001`.

A request is acknowledged, whether there is such a symbol or not; one that it does not understand
is answered with an error, in one of both forms that Binance has. Who sends more than `pace`
messages in a second is disconnected (1008), more than `streams` streams are refused.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hub.brokers.base import Listing
from tests.brokers.fake import Answer, Asked, Data, Fake, Peer, Sample, Script, main

CREDENTIALS: dict[str, str] = {}
SYMBOLS = {
    "BTCUSDT": ("BTC", "USDT", "0.01000000", "TRADING"),
    "ETHUSDT": ("ETH", "USDT", "0.01000000", "TRADING"),
    "SHIBUSDT": ("SHIB", "USDT", "0.00000001", "TRADING"),
    "BTCJPY": ("BTC", "JPY", "1.00000000", "TRADING"),
    "LUNAUSDT": ("LUNA", "USDT", "0.00010000", "BREAK"),
}


@dataclass
class Market:
    """What a symbol's messages are made of. Texts are what Binance writes numbers as."""

    last: float = 68_000.1
    quantity: str = "0.00250000"
    trade: int = 5_000
    at_ms: int = 1_790_000_000_000
    open: str = "67000.00000000"
    high: str = "68500.00000000"
    low: str = "66800.50000000"
    before: str = "66999.99000000"
    average: str = "67750.12345678"
    volume: str = "12345.67890000"
    spread: float = 0.02

    @property
    def bid(self) -> str:
        return f"{self.last - self.spread / 2:.8f}"

    @property
    def ask(self) -> str:
        return f"{self.last + self.spread / 2:.8f}"


def trade(symbol: str, m: Market) -> dict[str, Any]:
    return {
        "e": "aggTrade", "E": m.at_ms + 1, "s": symbol, "a": m.trade - 2000, "p": f"{m.last:.8f}",
        "q": m.quantity, "f": m.trade, "l": m.trade, "T": m.at_ms, "m": True, "M": True,
    }  # fmt: skip


def day(symbol: str, m: Market) -> dict[str, Any]:
    return {
        "e": "24hrTicker", "E": m.at_ms + 3, "s": symbol, "p": "1000.10000000", "P": "1.493",
        "w": m.average, "x": m.before, "c": f"{m.last:.8f}", "Q": m.quantity, "b": m.bid,
        "B": "1.50000000", "a": m.ask, "A": "2.50000000", "o": m.open, "h": m.high, "l": m.low,
        "v": m.volume, "q": "840000000.00000000", "O": m.at_ms - 86_400_000, "C": m.at_ms + 2,
        "F": 1, "L": m.trade, "n": m.trade,
    }  # fmt: skip


def best(symbol: str, m: Market, quantity: str = "3.25000000") -> dict[str, Any]:
    return {"u": 400_900, "s": symbol, "b": m.bid, "B": quantity, "a": m.ask, "A": "4.75000000"}


def book(m: Market, levels: int = 5) -> dict[str, Any]:
    bids = [[f"{float(m.bid) - 0.01 * i:.8f}", f"{1 + i}.50000000"] for i in range(levels)]
    asks = [[f"{float(m.ask) + 0.01 * i:.8f}", f"{2 + i}.25000000"] for i in range(levels)]
    return {"lastUpdateId": 160, "bids": bids, "asks": asks}


def wrapped(symbol: str, kind: str, data: dict[str, Any]) -> str:
    both = {"stream": f"{symbol.lower()}@{kind}", "data": data}
    return json.dumps(both, ensure_ascii=False, separators=(",", ":"))


def message(stream: str, m: Market) -> str | None:
    """What a stream says now; None for a stream of nothing."""
    name, _, kind = stream.partition("@")
    symbol = name.upper()
    makers = {
        "aggTrade": lambda: trade(symbol, m),
        "ticker": lambda: day(symbol, m),
        "bookTicker": lambda: best(symbol, m),
        "depth5@100ms": lambda: book(m),
    }
    return wrapped(symbol, kind, makers[kind]()) if kind in makers else None


class Server(Fake):
    """`peer.wants` has the names of streams. `markets` are by symbol, in lower case."""

    ping_s = 20.0

    def __init__(self, script: Script | None = None, *, rate: float = 0.0, port: int = 0) -> None:
        super().__init__(script, rate=rate, port=port)
        self.markets = {name.lower(): Market() for name in SYMBOLS}
        self.pace = 5
        self.streams = 1024

    def admit(self, asked: Asked) -> Answer | None:
        return None if asked.path == "/stream" else Answer(404)

    async def received(self, peer: Peer, data: Data) -> None:
        at_s = self.heard[-1].at_s
        recent = [one for one in self.heard if one.peer == peer.number and at_s - one.at_s < 1]
        if len(recent) > self.pace:
            await peer.close(1008, "Too many requests")
            return
        await peer.send(json.dumps(self._done(peer, data)))

    def _done(self, peer: Peer, data: Data) -> dict[str, Any]:
        try:
            request = json.loads(data)
        except ValueError:
            return {"code": 3, "msg": "Invalid JSON: expected value at line 1 column 1"}
        number, names = request.get("id"), request.get("params", [])
        if request.get("method") == "SUBSCRIBE":
            if len(set(peer.wants) | set(names)) > self.streams:
                return {"error": {"code": 2, "msg": "Invalid request: too many streams"},
                        "id": number}  # fmt: skip
            peer.wants.update(dict.fromkeys(names, True))
        elif request.get("method") == "UNSUBSCRIBE":
            for name in names:
                peer.wants.pop(name, None)
        else:
            return {"code": 2, "msg": "Invalid request: unknown variant", "id": number}
        return {"result": None, "id": number}

    def ticks(self, peer: Peer) -> Sequence[Data]:
        moved: set[str] = set()
        found: list[Data] = []
        for stream in peer.wants:
            name = stream.partition("@")[0]
            market = self.markets.get(name)
            if market is None:
                continue
            if name not in moved:
                moved.add(name)
                _move(market, self.random)
            said = message(stream, market)
            if said:
                found.append(said)
        return found

    async def shut_down(self, peer: Peer) -> None:
        """Tell that the server is about to."""
        data = {"e": "serverShutdown", "E": 1_790_000_000_000}
        await peer.send(json.dumps({"stream": "!serverShutdown", "data": data}))

    def answer(self, asked: Asked) -> Answer:
        return Answer(200, master(100), {"Content-Type": "application/json"})


def master(more: int = 0) -> bytes:
    """What `exchangeInfo` answers, with so many symbols that nobody trades."""
    made = {f"X{n:03}USDT": (f"X{n:03}", "USDT", "0.00100000", "TRADING") for n in range(more)}
    symbols = [
        {
            "symbol": name, "status": status, "baseAsset": base, "baseAssetPrecision": 8,
            "quoteAsset": quote, "isSpotTradingAllowed": True,
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": tick, "tickSize": tick},
                {"filterType": "LOT_SIZE", "minQty": "0.00001000", "stepSize": "0.00001000"},
            ],
        }
        for name, (base, quote, tick, status) in (SYMBOLS | made).items()
    ]  # fmt: skip
    return json.dumps({"timezone": "UTC", "rateLimits": [], "symbols": symbols}).encode()


def _move(market: Market, lots: random.Random) -> None:
    market.last = round(market.last + 0.01 * lots.randint(-50, 50), 2)
    market.trade += 1
    market.at_ms += 100


def sample(symbols: int, mode: int, count: int) -> Sample:
    """The figures of 24 hours of each symbol first; then trades, and in mode 2 as many changes of
    the best bid and ask, in mode 3 as many books."""
    lots = random.Random(3)
    names = [f"S{i:04}USDT" for i in range(symbols)]
    listings = [Listing("CRYPTO", name, "SPOT", name.lower(), tick=0.01) for name in names]
    markets = [Market(last=round(lots.uniform(10, 90_000), 2)) for _ in names]
    frames: list[Data] = [
        wrapped(name, "ticker", day(name, market))
        for name, market in zip(names, markets, strict=True)
    ]
    if mode == 3:
        frames += [
            wrapped(name, "depth5@100ms", book(market))
            for name, market in zip(names, markets, strict=True)
        ]
    for n in range(count):
        name, market = names[n % symbols], markets[n % symbols]
        _move(market, lots)
        market.last += 0.01
        if mode > 1 and n // symbols % 2:
            one = message(f"{name}@{'bookTicker' if mode == 2 else 'depth5@100ms'}", market)
            frames.append(str(one))
        else:
            frames.append(wrapped(name, "aggTrade", trade(name, market)))
    return listings, frames


if __name__ == "__main__":
    main(Server, "binance")
