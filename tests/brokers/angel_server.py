"""A fake Angel One: smart-stream, login and list of instruments.

Its packets are written field by field at the offsets that Angel's documentation names, not with the
codec's layouts. Manners: four headers or 401; a fourth connection gets 429; `ping` gets `pong`;
nothing is confirmed; E1001 for what it does not understand, E1002 beyond the quota, and neither
disturbs what was subscribed; a token in two modes is two streams; who says nothing for `idle_s` is
left; an index has no sequence number; 20 levels are for 50 tokens of NSE's cash segment.

By hand: `python -m tests.brokers.angel_server --port 9001 --rate 5 --master`
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import struct
import time
from collections.abc import Iterable, Mapping
from typing import Any

from hub.brokers.base import Listing
from tests.brokers.fake import Answer, Asked, Data, Fake, Peer, Sample, Script, main

CREDENTIALS = {
    "api_key": "angelkey",
    "client_code": "A12345",
    "pin": "4321",
    "totp_secret": "JBSWY3DPEHPK3PXP",
    "access_token": "eyJhbGciOiJIUzUxMiJ9.eyJ1c2VybmFtZSI6IkExMjM0NSIsImV4cCI6NDEwMjQ0NDgwMH0.c2ln",
    "feed_token": "feed-1",
}
_HEADERS = {
    "x-api-key": "api_key",
    "x-client-code": "client_code",
    "x-feed-token": "feed_token",
    "authorization": "access_token",
}
_SEGMENTS = {1, 2, 3, 4, 5, 7, 13}
_QUOTE_AT = {
    "last_quantity": 51,
    "average": 59,
    "volume": 67,
    "open": 91,
    "high": 99,
    "low": 107,
    "close": 115,
}
_SNAPSHOT_AT = {
    "last_trade_s": 123,
    "oi": 131,
    "upper": 347,
    "lower": 355,
    "year_high": 363,
    "year_low": 371,
}
_SIZES = {1: 51, 2: 123, 3: 379, 4: 443}
START_MS = 1_764_150_300_000


def packet(mode: int, segment: int, token: str, values: Mapping[str, Any]) -> bytes:
    """One packet. Prices in `values` are integers as on the wire; books are lists of (price,
    quantity, orders), `buy` and `sell`."""
    wire = bytearray(_SIZES[mode])
    wire[0], wire[1] = mode, segment
    wire[2 : 2 + len(token)] = token.encode("ascii")
    _put(wire, 27, values.get("sequence", 0))
    _put(wire, 35, values.get("at_ms", START_MS))
    if mode == 4:
        for base, side in ((43, "buy"), (243, "sell")):
            for row, (price, quantity, orders) in enumerate(values.get(side, ())):
                struct.pack_into("<iih", wire, base + 10 * row, quantity, price, orders)
        return bytes(wire)
    _put(wire, 43, values.get("ltp", 0))
    if mode >= 2:
        for name, at in _QUOTE_AT.items():
            _put(wire, at, values.get(name, 0))
        struct.pack_into("<d", wire, 75, values.get("total_buy", 0.0))
        struct.pack_into("<d", wire, 83, values.get("total_sell", 0.0))
    if mode == 3:
        for name, at in _SNAPSHOT_AT.items():
            _put(wire, at, values.get(name, 0))
        struct.pack_into("<d", wire, 139, values.get("oi_change", 0.0))
        for base, side, flag in ((147, "buy", 1), (247, "sell", 0)):
            rows = [*values.get(side, ()), *[(0, 0, 0)] * 5][:5]
            for row, (price, quantity, orders) in enumerate(rows):
                at = base + 20 * row
                wire[at : at + 2] = flag.to_bytes(2, "little")
                _put(wire, at + 2, quantity)
                _put(wire, at + 10, price)
                wire[at + 18 : at + 20] = orders.to_bytes(2, "little")
    return bytes(wire)


def _put(wire: bytearray, at: int, value: int) -> None:
    wire[at : at + 8] = value.to_bytes(8, "little", signed=True)


def market(lots: random.Random, price: int, sequence: int, levels: int = 5) -> dict[str, Any]:
    """Values of an instrument near that price."""
    last = price + lots.randrange(-50, 51) * 5
    return {
        "sequence": sequence,
        "at_ms": START_MS + sequence * 200,
        "ltp": last,
        "last_quantity": lots.randrange(1, 900),
        "average": price + 3,
        "volume": 1_000_000 + sequence * 17,
        "total_buy": float(lots.randrange(1, 10**6)),
        "total_sell": float(lots.randrange(1, 10**6)),
        "open": price - 120,
        "high": price + 400,
        "low": price - 500,
        "close": price - 65,
        "last_trade_s": (START_MS + sequence * 200) // 1000,
        "oi": 88_000,
        "upper": price * 11 // 10,
        "lower": price * 9 // 10,
        "year_high": price * 2,
        "year_low": price // 2,
        "buy": [(last - 5 * n, lots.randrange(1, 9999), n) for n in range(1, levels + 1)],
        "sell": [(last + 5 * n, lots.randrange(1, 9999), n) for n in range(1, levels + 1)],
    }


class Server(Fake):
    """`wants` of a peer are (mode, segment, token); `indices` are tokens without a sequence."""

    idle_s = 60.0

    def __init__(self, script: Script | None = None, **options: Any) -> None:
        default = Script(dict(CREDENTIALS), sockets=3, symbols=1000)
        super().__init__(script or default, **options)
        self.indices = {"99926000", "99926009", "99919000"}
        self.deep_tokens = 50
        self.master = master_rows()
        self.sequence = 0

    def admit(self, asked: Asked) -> Answer | None:
        for header, name in _HEADERS.items():
            given = asked.headers.get(header, "").removeprefix("Bearer ")
            if given != self.script.credentials[name]:
                return Answer(401, b"", {"x-error-message": f"Invalid {header}"})
        if self.script.sockets and len(self.peers) >= self.script.sockets:
            why = "Invalid Request. Connection Limit Exceeded."
            return Answer(429, b"<html>", {"x-error-message": why})
        return None

    async def received(self, peer: Peer, data: Data) -> None:
        if data == "ping":
            await peer.send("pong")
            return
        try:
            asked = json.loads(data)
            name = str(asked.get("correlationID", ""))
        except (ValueError, AttributeError):
            await self._refuse(peer, "", "E1001", "Invalid Request Payload.")
            return
        try:
            wants = list(_wants(asked))
        except (ValueError, KeyError, TypeError, AttributeError):
            await self._refuse(peer, name, "E1001", "Invalid Request Payload.")
            return
        if asked["action"] == 0:
            for want in wants:
                peer.wants.pop(want, None)
            return
        later = peer.wants | dict.fromkeys(wants)
        deep = sum(mode == 4 for mode, _, _ in later)
        if len(later) > self.script.symbols > 0 or deep > self.deep_tokens:
            await self._refuse(peer, name, "E1002", "Subscription limit exceeded.")
            return
        peer.wants = later
        await self.push(peer, self._packets(wants))

    def ticks(self, peer: Peer) -> list[Data]:
        return self._packets(peer.wants)

    def answer(self, asked: Asked) -> Answer:
        if asked.path.endswith("/OpenAPIScripMaster.json"):
            return Answer(200, json.dumps(self.master).encode())
        if asked.method == "POST" and asked.path.endswith("/user/v1/loginByPassword"):
            return self._login(asked)
        return Answer(404)

    def rotate(self, number: int) -> None:
        """From now on only a new session is let in."""
        self.script.credentials["feed_token"] = f"feed-{number}"
        self.script.credentials["access_token"] = f"head.{number}.sign"

    def _login(self, asked: Asked) -> Answer:
        known, said, now_s = self.script.credentials, json.loads(asked.body), time.time()
        right = (
            asked.headers.get("x-privatekey") == known["api_key"]
            and said["clientcode"] == known["client_code"]
            and said["password"] == known["pin"]
            and said["totp"] in [one_time(known["totp_secret"], now_s - n * 30) for n in (-1, 0, 1)]
        )
        if not right:
            refused = {"status": False, "message": "Invalid totp", "errorcode": "AB1050"}
            return Answer(200, json.dumps(refused | {"data": None}).encode())
        data = {
            "jwtToken": known["access_token"],
            "refreshToken": "refresh",
            "feedToken": known["feed_token"],
        }
        granted = {"status": True, "message": "SUCCESS", "errorcode": "", "data": data}
        return Answer(200, json.dumps(granted).encode())

    async def _refuse(self, peer: Peer, name: str, code: str, why: str) -> None:
        said = {"correlationID": name, "errorCode": code, "errorMessage": why}
        await peer.send(json.dumps(said))

    def _packets(self, wants: Iterable[tuple[int, int, str]]) -> list[Data]:
        sent: list[Data] = []
        for mode, segment, token in wants:
            self.sequence += 1
            price = 10_000 + sum(token.encode()) * 37
            values = market(self.random, price, self.sequence, 20 if mode == 4 else 5)
            if token in self.indices:
                values["sequence"] = 0
            sent.append(packet(mode, segment, token, values))
        return sent


def one_time(secret: str, at_s: float) -> str:
    """The one-time password of RFC 6238."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    made = hmac.new(key, int(at_s // 30).to_bytes(8), hashlib.sha1).digest()
    at = made[-1] % 16
    return f"{int.from_bytes(made[at : at + 4]) % 2**31 % 10**6:06}"


def _wants(asked: Any) -> Iterable[tuple[int, int, str]]:
    """What a request names. Raises for one that Angel would not understand."""
    mode = asked["params"]["mode"]
    if asked["action"] not in {0, 1} or mode not in {1, 2, 3, 4}:
        raise ValueError(mode)
    for group in asked["params"]["tokenList"]:
        segment = group["exchangeType"]
        if segment not in _SEGMENTS or (mode == 4 and segment != 1):
            raise ValueError(segment)
        for token in group["tokens"]:
            if not isinstance(token, str):
                raise TypeError(token)
            yield mode, segment, token


_MASTER = """
2885|RELIANCE-EQ|RELIANCE||-1|1||NSE|10
9999|RELIANCE-BE|RELIANCE||-1|1||NSE|10
11536|TCS-EQ|TCS||-1|1||NSE|10
1594|INFY-EQ|INFY||-1|1||NSE|10
21614|ABAN-BE|ABAN||-1|1||NSE|1
500325|RELIANCE|RELIANCE||-1|1||BSE|5
26000|NIFTY|NIFTY||-1|1||NSE|0
99926000|Nifty 50|NIFTY||-1|1|AMXIDX|NSE|0
99926009|Nifty Bank|BANKNIFTY||-1|1|AMXIDX|NSE|0
99919000|SENSEX|SENSEX||-1|1|AMXIDX|BSE|0
52001|NIFTY29DEC26FUT|NIFTY|29DEC2026|-1|75|FUTIDX|NFO|10
52002|NIFTY29DEC2625000CE|NIFTY|29DEC2026|2500000|75|OPTIDX|NFO|5
52003|ITC29DEC26402.5PE|ITC|29DEC2026|40250|1600|OPTSTK|NFO|5
860001|SENSEX26D3185000CE|SENSEX|31DEC2026|8500000|20|OPTIDX|BFO|5
440001|GOLDM26JANFUT|GOLDM|05JAN2027|0|10|FUTCOM|MCX|100
1284|USDINR26DECFUT|USDINR|29DEC2026|-1|1|FUTCUR|CDS|25000
1285|USDINR26DEC83.25CE|USDINR|29DEC2026|832500000|1|OPTCUR|CDS|25000
101|USDINR|USDINR||-1|1|UNDCUR|CDS|0
"""
_COLUMNS = (
    "token", "symbol", "name", "expiry", "strike", "lotsize", "instrumenttype", "exch_seg",
    "tick_size",
)  # fmt: skip


def master_rows() -> list[dict[str, str]]:
    """A small list of instruments, with the traps of the real one."""
    rows = [
        dict(zip(_COLUMNS, line.split("|"), strict=True)) for line in _MASTER.strip().splitlines()
    ]
    for row in rows:
        for name in ("strike", "tick_size"):
            row[name] = f"{float(row[name]):.6f}"
    return rows


def sample(symbols: int, mode: int, count: int) -> Sample:
    """See tests/brokers/fake.py."""
    lots = random.Random(11)
    listings = [Listing("NSE", f"SHARE{n}", "1", str(10_000 + n)) for n in range(symbols)]
    frames: list[Data] = []
    for n in range(count):
        listing = listings[n % symbols]
        values = market(lots, 100_000 + n % symbols * 45, n + 1)
        frames.append(packet(mode, 1, listing.token, values))
    return listings, frames


if __name__ == "__main__":
    main(Server, "angel")
