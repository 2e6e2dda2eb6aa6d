"""A fake Zerodha: Kite's stream, its login and its list of instruments, with an encoder of its own.

It refuses a wrong key with 403 and a socket too many with 429, speaks one byte every `beat_s`,
passes over tokens that are texts or unknown, and sends packets of each instrument's own mode, many
in a frame. A token is in mode quote until another is asked for.
"""

from __future__ import annotations

import asyncio
import csv
import gzip
import hashlib
import io
import json
import random
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from hub.brokers.base import Listing
from tests.brokers.fake import Answer, Asked, Data, Fake, Peer, Sample, Script, main

CREDENTIALS = {"api_key": "kite1", "api_secret": "s3cret", "access_token": "tok-1"}
REQUEST_TOKEN = "rq-77"
MODES = ("", "ltp", "quote", "full")
COLUMNS = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,"
    "lot_size,instrument_type,segment,exchange"
)
INSTRUMENTS = f"""{COLUMNS}
738561,2885,RELIANCE,RELIANCE INDUSTRIES,0,,0,0.1,1,EQ,NSE,NSE
408065,1594,INFY,INFOSYS,0,,0,0.1,1,EQ,NSE,NSE
128083204,500325,RELIANCE,RELIANCE INDUSTRIES,0,,0,0.05,1,EQ,BSE,BSE
256265,1001,NIFTY 50,NIFTY 50,0,,0,0,0,EQ,INDICES,NSE
264969,1035,INDIA VIX,INDIA VIX,0,,0,0,0,EQ,INDICES,NSE
265225,1036,SNSX50,SENSEX 50,0,,0,0,0,EQ,INDICES,BSE
12345602,48225,NIFTY26NOVFUT,"NIFTY",0,2026-11-26,0,0.1,75,FUT,NFO-FUT,NFO
12345858,48226,NIFTY26NOV25000CE,"NIFTY",0,2026-11-26,25000,0.05,75,CE,NFO-OPT,NFO
412675,1612,USDINR26NOVFUT,"USDINR",0,2026-11-26,0,0.0025,1,FUT,CDS-FUT,CDS
412931,1613,USDINR26NOV85.25PE,"USDINR",0,2026-11-26,85.25,0.0025,1,PE,CDS-OPT,CDS
1038342,4056,USDINR26NOVFUT,"USDINR",0,2026-11-26,0,0.0025,1,FUT,BCD-FUT,BCD
115000327,449220,GOLD26DECFUT,"GOLD",0,2026-12-04,0,1,100,FUT,MCX-FUT,MCX
68108,266,GOLDNCO,"GOLD",0,,0,1,100,EQ,NCO,NCO
"""
KNOWN = {int(row["instrument_token"]): row for row in csv.DictReader(io.StringIO(INSTRUMENTS))}


class Values(NamedTuple):
    """What an instrument is at, in the broker's own units (prices not divided yet)."""

    last: int = 250_005
    quantity: int = 10
    average: int = 249_900
    volume: int = 3_000_000_000  # more than fits into 31 bits, as it happens
    buys: int = 120_000
    sells: int = 95_000
    open: int = 248_000
    high: int = 251_000
    low: int = 247_500
    close: int = 247_000
    traded_s: int = 1_795_000_001
    oi: int = 77_000
    oi_high: int = 80_000
    oi_low: int = 70_000
    exchange_s: int = 1_795_000_002

    def levels(self) -> list[tuple[int, int, int]]:
        """Five buys and five sells: quantity, price, orders."""
        buys = [(100 + i, self.last - 5 * (i + 1), i + 1) for i in range(5)]
        return buys + [(200 + i, self.last + 5 * (i + 1), i + 6) for i in range(5)]


def packet(token: int, values: Values, mode: str) -> bytes:
    """One packet: it is an index's when the token's last byte is 9."""

    def word(number: int) -> bytes:
        return (number & 0xFFFFFFFF).to_bytes(4, "big")

    parts = [token, values.last]
    if mode == "ltp":
        return b"".join(map(word, parts))
    if token % 256 == 9:
        parts += [values.high, values.low, values.open, values.close, values.last - values.close]
        return b"".join(map(word, parts + [values.exchange_s] * (mode == "full")))
    parts += [values.quantity, values.average, values.volume, values.buys, values.sells]
    parts += [values.open, values.high, values.low, values.close]
    if mode == "quote":
        return b"".join(map(word, parts))
    parts += [values.traded_s, values.oi, values.oi_high, values.oi_low, values.exchange_s]
    out = b"".join(map(word, parts))
    for quantity, price, orders in values.levels():
        out += word(quantity) + word(price) + orders.to_bytes(2, "big") + b"\0\0"
    return out


def frame(packets: Sequence[bytes]) -> bytes:
    """Packets in one message."""
    out = len(packets).to_bytes(2, "big")
    return out + b"".join(len(one).to_bytes(2, "big") + one for one in packets)


class Server(Fake):
    """`values` are what instruments are at; `known` tokens are those it has ticks of."""

    beat_s = 1.0

    def __init__(self, script: Script | None = None, **options: Any) -> None:
        super().__init__(script or Script(dict(CREDENTIALS), sockets=3, symbols=3000), **options)
        self.values: dict[int, Values] = {}
        self.known = set(KNOWN)
        self._beats: set[asyncio.Task[None]] = set()

    async def __aexit__(self, *error: object) -> None:
        for beat in self._beats:
            beat.cancel()
        await asyncio.gather(*self._beats, return_exceptions=True)
        await super().__aexit__(*error)

    def admit(self, asked: Asked) -> Answer | None:
        for name in ("api_key", "access_token"):
            if asked.query.get(name) != self.script.credentials[name]:
                text = {"status": "error", "message": f"Invalid `{name}`."}
                return Answer(403, json.dumps(text).encode())
        if self.script.sockets and len(self.peers) >= self.script.sockets:
            return Answer(429, b"Too many connections")
        return None

    async def opened(self, peer: Peer) -> None:
        peer.let_in = True
        await peer.send('{"type":"instruments_meta","data":{"count":13,"etag":"W/1"}}')
        self._beats.add(asyncio.create_task(self._beat(peer)))

    async def _beat(self, peer: Peer) -> None:
        while peer in self.peers:
            await peer.send(b"\0")
            await asyncio.sleep(self.beat_s)

    async def received(self, peer: Peer, data: Data) -> None:
        try:
            message = json.loads(data)
            action, value = message["a"], message["v"]
            mode, tokens = value if action == "mode" else ("quote", value)
            assert action in ("subscribe", "unsubscribe", "mode")
            assert mode in MODES
        except (ValueError, KeyError, TypeError, AssertionError):
            await self.say(peer, "error", "Invalid message")
            return
        tokens = [token for token in tokens if type(token) is int]
        if action == "unsubscribe":
            for token in tokens:
                peer.wants.pop(token, None)
            return
        if action == "subscribe":
            room = self.script.symbols
            if room and len({*peer.wants, *tokens}) > room:
                await self.say(peer, "error", f"Exceeded the limit of {room} instruments")
                return
            peer.wants |= {token: peer.wants.get(token, mode) for token in tokens}
        elif action == "mode":
            peer.wants |= {token: mode for token in tokens if token in peer.wants}
        await self.push(peer, self.ticks(peer, tokens))

    async def say(self, peer: Peer, kind: str, data: object) -> None:
        """Send a text: an order, an error, a message."""
        await peer.send(json.dumps({"type": kind, "data": data}))

    def ticks(self, peer: Peer, tokens: Sequence[int] | None = None) -> Sequence[Data]:
        return [
            packet(token, self.values.get(token, Values()), peer.wants[token])
            for token in (peer.wants if tokens is None else tokens)
            if token in self.known and token in peer.wants
        ]

    def framed(self, ticks: Sequence[Data]) -> Sequence[Data]:
        packets = [one for one in ticks if isinstance(one, bytes)]
        size = max(self.script.together, 1)
        return [frame(packets[at : at + size]) for at in range(0, len(packets), size)]

    def answer(self, asked: Asked) -> Answer:
        if asked.path == "/session/token" and asked.method == "POST":
            return self._login(parse_qs(asked.body.decode()))
        if asked.path in ("/", "/instruments", "/instruments.csv"):
            return Answer(200, gzip.compress(INSTRUMENTS.encode()))
        return Answer(404)

    def _login(self, form: dict[str, list[str]]) -> Answer:
        known = self.script.credentials
        text = known["api_key"] + REQUEST_TOKEN + known["api_secret"]
        right = hashlib.sha256(text.encode()).hexdigest()
        if form.get("request_token") != [REQUEST_TOKEN] or form.get("checksum") != [right]:
            text = '{"status":"error","message":"Token is invalid or has expired."}'
            return Answer(403, text.encode())
        data = {"access_token": known["access_token"], "user_id": "AB1234"}
        return Answer(200, json.dumps({"status": "success", "data": data}).encode())


def sample(symbols: int, mode: int, count: int) -> Sample:
    """Ticks of so many instruments, fifty to a frame."""
    draw = random.Random(11)
    tokens = [(5000 + number) << 8 | 1 for number in range(symbols)]
    listings = [Listing("NSE", f"S{token}", "NSE", str(token)) for token in tokens]
    packets = [
        packet(tokens[i % symbols], Values(last=draw.randrange(100_000, 900_000)), MODES[mode])
        for i in range(count)
    ]
    return listings, [frame(packets[at : at + 50]) for at in range(0, count, 50)]


if __name__ == "__main__":
    main(Server, "zerodha")
