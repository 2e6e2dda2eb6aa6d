"""A fake Upstox: the authorization of a connection, its stream of protobuf, login and instruments.

It authorizes by HTTP and gives an address that is good for once, takes requests as JSON in binary
messages only (texts are passed over), keeps each user to its number of sockets and each socket to
its quota of a mode, sends `market_info` first, a snapshot after a subscribe, and then updates that
lack whatever `parts` leaves out. Every message has fields that nobody has heard of.
"""

from __future__ import annotations

import gzip
import json
import random
import struct
from collections.abc import Collection, Sequence
from itertools import count
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from hub.brokers.base import Listing
from tests.brokers.fake import Answer, Asked, Data, Fake, Peer, Sample, Script, main

CREDENTIALS = {
    "api_key": "app1",
    "api_secret": "s3cret",
    "redirect_uri": "https://localhost/back",
    "access_token": "tok-1",
}
CODE = "code-9"
INITIAL, LIVE, MARKET_INFO = 0, 1, 2
PARTS = ("ltpc", "level", "day", "numbers")
"""What an update may hold of a full feed."""

ROWS: list[dict[str, Any]] = [
    {"segment": "NSE_EQ", "instrument_key": "NSE_EQ|INE002A01018", "trading_symbol": "RELIANCE",
     "name": "RELIANCE INDUSTRIES", "instrument_type": "EQ", "lot_size": 1, "tick_size": 10.0},
    {"segment": "NSE_EQ", "instrument_key": "NSE_EQ|INE009A01021", "trading_symbol": "INFY",
     "name": "INFOSYS", "instrument_type": "EQ", "lot_size": 1, "tick_size": 10.0},
    {"segment": "BSE_EQ", "instrument_key": "BSE_EQ|INE002A01018", "trading_symbol": "RELIANCE",
     "name": "RELIANCE INDUSTRIES", "instrument_type": "A", "lot_size": 1, "tick_size": 5.0},
    {"segment": "NSE_INDEX", "instrument_key": "NSE_INDEX|Nifty 50", "trading_symbol": "NIFTY",
     "name": "Nifty 50", "instrument_type": "INDEX"},
    {"segment": "BSE_INDEX", "instrument_key": "BSE_INDEX|SNSX50", "trading_symbol": "SNSX50",
     "name": "SENSEX 50", "instrument_type": "INDEX"},
    {"segment": "NSE_FO", "instrument_key": "NSE_FO|48225", "name": "NIFTY", "lot_size": 75,
     "trading_symbol": "NIFTY FUT 26 NOV 26", "instrument_type": "FUT", "tick_size": 10.0,
     "expiry": 1795717799000, "strike_price": 0.0},
    {"segment": "NSE_FO", "instrument_key": "NSE_FO|48226", "name": "NIFTY", "lot_size": 75,
     "trading_symbol": "NIFTY 25000 CE 26 NOV 26", "instrument_type": "CE", "tick_size": 5.0,
     "expiry": 1795717799000, "strike_price": 25000.0},
    {"segment": "NCD_FO", "instrument_key": "NCD_FO|1613", "name": "USDINR", "lot_size": 1,
     "trading_symbol": "USDINR 85.25 PE 26 NOV 26", "instrument_type": "PE", "tick_size": 0.25,
     "expiry": 1795717799000, "strike_price": 85.25},
    {"segment": "MCX_FO", "instrument_key": "MCX_FO|449220", "name": "GOLD", "lot_size": 1,
     "trading_symbol": "GOLD FUT 04 DEC 26", "instrument_type": "FUT", "tick_size": 100.0,
     "expiry": 1796408999000, "strike_price": 0.0},
    {"segment": "GLOBAL_INDEX", "instrument_key": "GLOBAL_INDEX|^DJI", "trading_symbol": "^DJI",
     "name": "Dow Jones", "instrument_type": "INDEX"},
]  # fmt: skip


class Values(NamedTuple):
    """What an instrument is at, in rupees."""

    ltp: float = 2500.05
    ltt: int = 1_795_000_001_000
    ltq: int = 10
    cp: float = 2470.0
    open: float = 2480.0
    high: float = 2510.0
    low: float = 2475.0
    close: float = 2499.0
    traded: int = 999
    atp: float = 2499.0
    vtt: int = 3_000_000_000
    oi: float = 77_000.0
    tbq: float = 120_000.0
    tsq: float = 95_000.0

    def levels(self, number: int) -> list[tuple[int, float, int, float]]:
        """Bid quantity and price, ask quantity and price."""
        steps = (round(0.05 * (i + 1), 2) for i in range(number))
        return [
            (100 + i, round(self.ltp - step, 2), 200 + i, round(self.ltp + step, 2))
            for i, step in enumerate(steps)
        ]


# Protobuf, as little of it as this takes.


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 127:
        out.append(number % 128 + 128)
        number //= 128
    return bytes([*out, number])


def whole(field: int, value: int) -> bytes:
    return varint(field * 8) + varint(value) if value else b""


def real(field: int, value: float) -> bytes:
    return varint(field * 8 + 1) + struct.pack("<d", value) if value else b""


def inner(field: int, value: bytes) -> bytes:
    return varint(field * 8 + 2) + varint(len(value)) + value


UNHEARD_OF = whole(900, 7) + inner(901, b"\0new")


def ltpc(values: Values) -> bytes:
    numbers = real(1, values.ltp) + whole(2, values.ltt) + whole(3, values.ltq)
    return numbers + real(4, values.cp) + UNHEARD_OF


def day(values: Values) -> bytes:
    def candle(name: bytes, share: float, volume: int) -> bytes:
        prices = (values.open, values.high, values.low, values.close)
        return (
            inner(1, name)
            + b"".join(real(2 + i, price * share) for i, price in enumerate(prices))
            + whole(6, volume)
            + whole(7, values.ltt)
        )

    return inner(1, candle(b"1d", 1.0, values.traded)) + inner(1, candle(b"I1", 0.5, 3))


def full(values: Values, parts: Collection[str], levels: int = 5) -> bytes:
    """A full feed of what is traded."""
    out = b""
    if "ltpc" in parts:
        out += inner(1, ltpc(values))
    if "level" in parts:
        quotes = (
            whole(1, bid_q) + real(2, bid) + whole(3, ask_q) + real(4, ask)
            for bid_q, bid, ask_q, ask in values.levels(levels)
        )
        out += inner(2, b"".join(inner(1, quote) for quote in quotes))
    if "day" in parts:
        out += inner(4, day(values))
    if "numbers" in parts:
        out += real(5, values.atp) + whole(6, values.vtt) + real(7, values.oi) + real(8, 0.2)
        out += real(9, values.tbq) + real(10, values.tsq)
    return inner(2, inner(1, out + inner(3, real(1, 0.5)) + UNHEARD_OF))


def index(values: Values, parts: Collection[str]) -> bytes:
    """A full feed of an index: there is no book, nor any volume."""
    out = inner(1, ltpc(values._replace(ltq=0))) if "ltpc" in parts else b""
    return inner(2, inner(2, out + (inner(2, day(values)) if "day" in parts else b"")))


def feed(key: str, values: Values, mode: str, parts: Collection[str] = PARTS) -> bytes:
    """What a message says of one instrument in that mode."""
    if mode == "ltpc":
        body = inner(1, ltpc(values))
    elif "_INDEX|" in key:
        body = index(values, parts) + whole(4, 1)
    else:
        deep = mode == "full_d30"
        body = full(values, parts, 30 if deep else 5) + whole(4, 3 if deep else 1)
    return inner(1, key.encode()) + inner(2, body)


def message(kind: int, feeds: Sequence[bytes], now_ms: int = 1_795_000_002_000) -> bytes:
    """A message of feeds."""
    out = whole(1, kind) + b"".join(inner(2, one) for one in feeds) + whole(3, now_ms)
    return out + UNHEARD_OF


def market_info() -> bytes:
    """The state of the exchanges."""
    states = inner(1, inner(1, b"NSE_EQ") + whole(2, 2)) + inner(1, inner(1, b"MCX_FO"))
    return whole(1, MARKET_INFO) + inner(4, states) + whole(3, 1_795_000_000_000)


class Server(Fake):
    """`values` are what instruments are at, `parts` what updates hold; `quotas` of a socket are by
    mode. `authorized` are the addresses given away and not used yet."""

    ping_s = 10.0

    def __init__(self, script: Script | None = None, **options: Any) -> None:
        super().__init__(script or Script(dict(CREDENTIALS), sockets=2), **options)
        self.values: dict[str, Values] = {}
        self.known = {row["instrument_key"] for row in ROWS}
        self.parts: Collection[str] = PARTS
        self.quotas = {"ltpc": 2000, "full": 1500, "full_d30": 50}
        self.authorized: set[str] = set()
        self._codes = count(1)

    def admit(self, asked: Asked) -> Answer | None:
        code = asked.query.get("code", "")
        if code not in self.authorized:
            return Answer(403, b"Forbidden")
        self.authorized.remove(code)
        if self.script.sockets and len(self.peers) >= self.script.sockets:
            return Answer(403, b"Too many connections")
        return None

    async def opened(self, peer: Peer) -> None:
        peer.let_in = True
        await peer.send(market_info())

    async def received(self, peer: Peer, data: Data) -> None:
        if isinstance(data, str):
            return
        try:
            request = json.loads(data)
            method, keys = request["method"], request["data"]["instrumentKeys"]
            mode = request["data"].get("mode", "ltpc")
        except (ValueError, KeyError, TypeError, AttributeError):
            return
        if method == "unsub":
            for key in keys:
                peer.wants.pop(key, None)
            return
        if mode not in self.quotas or method not in ("sub", "change_mode"):
            return
        there = sum(wanted == mode for wanted in peer.wants.values())
        taken = [key for key in keys if key in self.known][: self.quotas[mode] - there]
        if method == "change_mode":
            taken = [key for key in taken if key in peer.wants]
        peer.wants |= dict.fromkeys(taken, mode)
        if taken and not self.script.silent:
            feeds = [feed(key, self._at(key), mode) for key in taken]
            await peer.send(message(INITIAL, feeds))

    def _at(self, key: str) -> Values:
        return self.values.get(key, Values())

    def ticks(self, peer: Peer) -> Sequence[Data]:
        return [feed(key, self._at(key), mode, self.parts) for key, mode in peer.wants.items()]

    def framed(self, ticks: Sequence[Data]) -> Sequence[Data]:
        feeds = [one for one in ticks if isinstance(one, bytes)]
        size = max(self.script.together, 1)
        return [message(LIVE, feeds[at : at + size]) for at in range(0, len(feeds), size)]

    def answer(self, asked: Asked) -> Answer:
        if asked.path == "/v3/feed/market-data-feed/authorize":
            return self._authorize(asked)
        if asked.path == "/v2/login/authorization/token" and asked.method == "POST":
            return self._login(parse_qs(asked.body.decode()))
        if asked.path == "/" or asked.path.endswith(".json.gz"):
            return Answer(200, gzip.compress(json.dumps(ROWS).encode()))
        return Answer(404)

    def _authorize(self, asked: Asked) -> Answer:
        if "mozilla" not in asked.headers.get("user-agent", "").lower():
            return Answer(403, b"error code: 1010")
        if (
            asked.headers.get("authorization")
            != f"Bearer {self.script.credentials['access_token']}"
        ):
            return _refused(401, "UDAPI100050", "Invalid token used to access API")
        code = f"once-{next(self._codes)}"
        self.authorized.add(code)
        data = {"authorized_redirect_uri": f"{self.url}/?requestId=1&code={code}"}
        return Answer(200, json.dumps({"status": "success", "data": data}).encode())

    def _login(self, form: dict[str, list[str]]) -> Answer:
        known = self.script.credentials
        right = {
            "code": [CODE],
            "client_id": [known["api_key"]],
            "client_secret": [known["api_secret"]],
            "redirect_uri": [known["redirect_uri"]],
            "grant_type": ["authorization_code"],
        }
        if form != right:
            return _refused(400, "UDAPI100057", "Invalid Auth code")
        answer = {"access_token": known["access_token"], "user_id": "AB1234"}
        return Answer(200, json.dumps(answer).encode())


def _refused(status: int, code: str, text: str) -> Answer:
    errors = [{"errorCode": code, "message": text}]
    return Answer(status, json.dumps({"status": "error", "errors": errors}).encode())


def sample(symbols: int, mode: int, ticks: int) -> Sample:
    """A snapshot of so many instruments, and then updates of them, fifty to a message. Each is a
    trade: all of it changes but the day's open, high and low, and what was known before it."""
    draw = random.Random(11)
    keys = [f"NSE_EQ|INE{number:09}" for number in range(symbols)]
    listings = [Listing("NSE", f"S{number}", "NSE_EQ", key) for number, key in enumerate(keys)]
    name = ("", "ltpc", "full", "full")[mode]

    def trade(number: int) -> Values:
        ltp = draw.randrange(20_000, 900_000) / 20
        return Values(
            ltp=ltp, close=ltp, ltt=1_795_000_001_000 + number, ltq=1 + number % 97,
            traded=3_000_000 + number, vtt=3_000_000 + number, atp=2499 + number % 100 / 100,
            tbq=120_000.0 + number, tsq=95_000.0 - number,
        )  # fmt: skip

    def feeds(first: int, last: int) -> list[bytes]:
        return [feed(keys[i % symbols], trade(i), name) for i in range(first, last)]

    snapshot: list[Data] = [message(INITIAL, feeds(0, symbols))]
    return listings, snapshot + [
        message(LIVE, feeds(at, min(at + 50, ticks))) for at in range(0, ticks, 50)
    ]


if __name__ == "__main__":
    main(Server, "upstox")
