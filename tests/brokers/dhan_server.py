"""A fake Dhan: the live market feed, its deep books, its list of instruments and its login.

By hand: `python -m tests.brokers.dhan_server --port 9001`. Paths tell the streams apart, as
hosts do with Dhan itself: `/twentydepth`, `/twohundreddepth`, and any other for the usual one.

It lets in who has the right token and client id, and sends who has not a code-50 packet; the sixth
socket of an account throws out the first (805). It takes no message that names more than 100
instruments (50, or 1, where books are deep): such a one is counted in `rejected`. Who connects more
than `burst` times within a second is refused with 429. Whoever subscribes gets the previous close.
"""

from __future__ import annotations

import asyncio
import json
import random
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyotp

from hub.brokers.base import Listing
from tests.brokers.fake import Answer, Asked, Data, Fake, Peer, Sample, Script, main

CREDENTIALS = {
    "client_id": "1100000001",
    "access_token": "eyJhbGciOiJub25lIn0.eyJleHAiOjQxMDI0NDQ4MDB9.c2ln",
    "pin": "123456",
    "totp_secret": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
}
NUMBERS = {
    "IDX_I": 0, "NSE_EQ": 1, "NSE_FNO": 2, "NSE_CURRENCY": 3, "BSE_EQ": 4, "MCX_COMM": 5,
    "BSE_CURRENCY": 7, "BSE_FNO": 8,
}  # fmt: skip
INDIA_S = 19_800
MASTER = """\
SEM_EXM_EXCH_ID,SEM_SEGMENT,SEM_SMST_SECURITY_ID,SEM_INSTRUMENT_NAME,SEM_EXPIRY_CODE,\
SEM_TRADING_SYMBOL,SEM_LOT_UNITS,SEM_CUSTOM_SYMBOL,SEM_EXPIRY_DATE,SEM_STRIKE_PRICE,\
SEM_OPTION_TYPE,SEM_TICK_SIZE,SEM_EXPIRY_FLAG,SEM_EXCH_INSTRUMENT_TYPE,SEM_SERIES,SM_SYMBOL_NAME
NSE,E,2885,EQUITY,0,RELIANCE,1.0,Reliance Industries,,,XX,10.0000,NA,ES,EQ,RELIANCE INDUSTRIES LTD
NSE,E,1333,EQUITY,0,HDFCBANK,1.0,HDFC Bank,,,XX,5.0000,NA,ES,EQ,HDFC BANK LTD
BSE,E,500325,EQUITY,0,RELIANCE,1.0,Reliance Industries,,,XX,0.0500,NA,ES,A,RELIANCE INDUSTRIES LTD
NSE,I,13,INDEX,0,NIFTY,1.0,Nifty 50,0001-01-01,,XX,0.0500,,INDEX,X,NIFTY
NSE,I,21,INDEX,0,INDIA VIX,1.0,India VIX,0001-01-01,,XX,0.0500,,INDEX,X,INDIA VIX
NSE,I,38,INDEX,0,NIFTY NEXT 50,1.0,Nifty Next 50,0001-01-01,,XX,0.0500,,INDEX,X,NIFTYNXT50
BSE,I,51,INDEX,0,SENSEX,1.0,Sensex,0001-01-01,,XX,0.0100,,INDEX,X,SENSEX
BSE,I,83,INDEX,0,SNSX50,1.0,Sensex 50,0001-01-01,,XX,0.0100,,INDEX,X,SENSEX50
NSE,D,52175,FUTIDX,0,NIFTY-Dec2026-FUT,75.0,NIFTY DEC FUT,2026-12-29 14:30:00,-0.01,XX,10.0,M,F,,
NSE,D,60001,OPTIDX,0,NIFTY-Dec2026-25000-CE,75.0,NIFTY 29 DEC 25000 CALL,2026-12-29 14:30:00,\
25000.00000,CE,5.0000,M,OP,,
NSE,D,60002,OPTSTK,0,BAJAJ-AUTO-Dec2026-9000-PE,75.0,BAJAJ-AUTO 29 DEC 9000 PUT,\
2026-12-29 14:30:00,9000.00000,PE,5.0000,M,OP,,BAJOPT
NSE,C,1401,FUTCUR,0,USDINR-Dec2026-FUT,1.0,USDINR DEC FUT,2026-12-29 12:30:00,-0.01,XX,0.2500,M,F,,
NSE,C,1402,OPTCUR,0,USDINR-Dec2026-84.25-CE,1.0,USDINR 29 DEC 84.25 CALL,2026-12-29 12:30:00,\
84.25000,CE,0.2500,M,OP,,
BSE,D,842364,OPTIDX,0,SENSEX-Dec2026-80000-PE,20.0,SENSEX 31 DEC 80000 PUT,2026-12-31 15:30:00,\
80000.00000,PE,5.0000,M,OP,,BSXOPT
MCX,M,436580,FUTCOM,0,GOLD-04DEC2026-FUT,1.0,GOLD DEC FUT,2026-12-04 23:30:00,-0.01,XX,100.0,M,F,,
MCX,M,436581,OPTFUT,0,CRUDEOIL-16Dec2026-5500-CE,100.0,CRUDEOIL 16 DEC 5500 CALL,\
2026-12-16 23:30:00,5500.00000,CE,10.0000,M,OP,,CRUDEOIL
"""


@dataclass
class Values:
    """What an instrument's packets are made of; `traded_s` is in epoch seconds."""

    ltp: float = 2850.35
    ltq: int = 25
    traded_s: int = 1_790_000_000
    average: float = 2841.17
    volume: int = 4_812_345
    sell: int = 312_456
    buy: int = 298_321
    oi: int = 12_345_600
    oi_high: int = 12_400_000
    oi_low: int = 12_000_000
    open: float = 2830.0
    close: float = 0.0
    high: float = 2861.9
    low: float = 2825.55
    previous: float = 2828.4


def packet(code: int, segment: str, token: int, body: bytes) -> bytes:
    """The usual stream's: code, length, segment, security id, and what it is about."""
    length = 8 + len(body)
    return b"".join((
        bytes([code]),
        length.to_bytes(2, "little"),
        bytes([NUMBERS[segment]]),
        token.to_bytes(4, "little", signed=True),
        body,
    ))  # fmt: skip


def ticker(segment: str, token: int, v: Values) -> bytes:
    return packet(2, segment, token, _floats(v.ltp) + _time(v))


def quote(segment: str, token: int, v: Values) -> bytes:
    return packet(4, segment, token, _begin(v) + _floats(v.open, v.close, v.high, v.low))


def full(segment: str, token: int, v: Values) -> bytes:
    body = _begin(v) + _ints(v.oi, v.oi_high, v.oi_low)
    body += _floats(v.open, v.close, v.high, v.low)
    for level in range(5):
        bid, ask = v.ltp - 0.05 * (level + 1), v.ltp + 0.05 * (level + 1)
        body += _ints(100 + level, 200 + level)
        body += (10 + level).to_bytes(2, "little") + (20 + level).to_bytes(2, "little")
        body += _floats(bid, ask)
    return packet(8, segment, token, body)


def open_interest(segment: str, token: int, oi: int) -> bytes:
    return packet(5, segment, token, _ints(oi))


def previous_close(segment: str, token: int, price: float, oi: int = 0) -> bytes:
    return packet(6, segment, token, _floats(price) + _ints(oi))


def disconnect(reason: int) -> bytes:
    return packet(50, "IDX_I", 0, reason.to_bytes(2, "little"))


def side(
    bids: bool, segment: str, token: int, rows: Sequence[tuple[float, int, int]], number: int = 0
) -> bytes:
    """One side of a deep book: its header begins with the length, and rows have doubles."""
    body = b"".join(struct.pack("<d", price) + _ints(q, n) for price, q, n in rows)
    head = (12 + len(body)).to_bytes(2, "little") + bytes([41 if bids else 51, NUMBERS[segment]])
    return head + token.to_bytes(4, "little", signed=True) + _ints(number) + body


def rows(levels: int, best: float, step: float) -> list[tuple[float, int, int]]:
    return [(round(best + step * i, 2), 100 + i, 1 + i) for i in range(levels)]


def _begin(v: Values) -> bytes:
    last = _floats(v.ltp) + v.ltq.to_bytes(2, "little") + _time(v)
    return last + _floats(v.average) + _ints(v.volume, v.sell, v.buy)


def _time(v: Values) -> bytes:
    return _ints(v.traded_s + INDIA_S if v.traded_s else 0)


def _floats(*values: float) -> bytes:
    return b"".join(struct.pack("<f", value) for value in values)


def _ints(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "little") for value in values)


class Server(Fake):
    """`peer.wants` has the request codes of each (segment, token). `walk` are what instruments are
    worth."""

    ping_s = 10.0

    def __init__(self, script: Script | None = None, *, rate: float = 0.0, port: int = 0) -> None:
        super().__init__(script, rate=rate, port=port)
        self.script.credentials = self.script.credentials or dict(CREDENTIALS)
        self.walk: dict[tuple[str, int], Values] = {}
        self.burst = 0
        self.rejected = 0
        self._came: list[float] = []

    def admit(self, asked: Asked) -> Answer | None:
        now = asyncio.get_running_loop().time()
        self._came = [*(at for at in self._came if now - at < 1), now]
        if self.burst and len(self._came) > self.burst:
            return Answer(429)
        return None

    async def opened(self, peer: Peer) -> None:
        reason = self._objection(peer.asked)
        if reason:
            await _throw_out(peer, reason)
            return
        peer.let_in = True
        inside = [one for one in self.peers if one.let_in]
        if len(inside) > (self.script.sockets or 5):
            inside[0].let_in = False
            await _throw_out(inside[0], 805)

    def _objection(self, asked: Asked) -> int:
        query, right = asked.query, self.script.credentials
        if query.get("clientId") != right["client_id"]:
            return 808
        if query.get("token") != right["access_token"] or query.get("authType") != "2":
            return 809
        if not _levels(asked) and query.get("version") != "2":
            return 809
        return 0

    async def received(self, peer: Peer, data: Data) -> None:
        if not peer.let_in:
            return
        message = json.loads(data)
        code, levels = message["RequestCode"], _levels(peer.asked)
        named = message.get("InstrumentList", [message])
        if len(named) > {0: 100, 20: 50, 200: 1}[levels] or (levels and code not in {23, 24}):
            self.rejected += 1
            return
        for one in named:
            key = (one["ExchangeSegment"], int(one["SecurityId"]))
            await self._ask(peer, key, code, levels)

    async def _ask(self, peer: Peer, key: tuple[str, int], code: int, levels: int) -> None:
        codes: set[int] = peer.wants.setdefault(key, set())
        if code not in {15, 17, 21, 23}:
            codes.discard(code - 1)
            if not codes:
                del peer.wants[key]
            return
        if self.script.symbols and len(peer.wants) > self.script.symbols:
            del peer.wants[key]
            return
        codes.add(code)
        if not levels:
            await peer.send(previous_close(*key, self.values(key).previous))

    def values(self, key: tuple[str, int]) -> Values:
        return self.walk.setdefault(key, Values())

    def ticks(self, peer: Peer) -> Sequence[Data]:
        found: list[Data] = []
        levels = _levels(peer.asked)
        for key, codes in peer.wants.items():
            segment, token = key
            worth = self.values(key)
            _move(worth, self.random)
            if levels:
                found += [
                    side(True, segment, token, rows(levels, worth.ltp - 0.05, -0.05), levels),
                    side(False, segment, token, rows(levels, worth.ltp + 0.05, 0.05), levels),
                ]
            makers = ((15, ticker), (17, quote), (21, full))
            found += [make(segment, token, worth) for code, make in makers if code in codes]
            if 17 in codes:
                found.append(open_interest(segment, token, worth.oi))
        return found

    def framed(self, ticks: Sequence[Data]) -> Sequence[Data]:
        size = self.script.together
        packets = [tick for tick in ticks if isinstance(tick, bytes)]
        return [b"".join(packets[at : at + size]) for at in range(0, len(packets), size)]

    def answer(self, asked: Asked) -> Answer:
        if asked.path.endswith("generateAccessToken"):
            return self._login(asked.method, asked.query)
        return Answer(200, master(), {"Content-Type": "text/csv"})

    def _login(self, method: str, query: Mapping[str, str]) -> Answer:
        right = self.script.credentials
        known = query.get("dhanClientId") == right["client_id"] and query.get("pin") == right["pin"]
        if method != "POST" or not known:
            return _said({"status": "error", "message": "Invalid Pin"})
        if not pyotp.TOTP(right["totp_secret"]).verify(query.get("totp", ""), valid_window=1):
            return _said({"status": "error", "message": "Invalid TOTP"})
        return _said({"accessToken": right["access_token"], "expiryTime": "2026-11-27T18:30:00"})


def master(rows: int = 10_000) -> bytes:
    """MASTER, and shares that make it as long as a list has to be."""
    more = (
        f"NSE,E,{100_000 + n},EQUITY,0,SHARE{n},1.0,Share {n},,,XX,5.0,NA,ES,EQ,S{n}\n"
        for n in range(rows)
    )
    return (MASTER + "".join(more)).encode()


def _levels(asked: Asked) -> int:
    return {"/twentydepth": 20, "/twohundreddepth": 200}.get(asked.path, 0)


async def _throw_out(peer: Peer, reason: int) -> None:
    if _levels(peer.asked):
        await peer.send(b"\x0e\x00\x32\x00" + bytes(8) + reason.to_bytes(2, "little"))
    else:
        await peer.send(disconnect(reason))
    await peer.close(1000)


def _said(message: Mapping[str, str]) -> Answer:
    return Answer(200, json.dumps(message).encode(), {"Content-Type": "application/json"})


def _move(worth: Values, lots: random.Random) -> None:
    worth.ltp = round(worth.ltp + 0.05 * lots.randint(-3, 3), 2)
    worth.high, worth.low = max(worth.high, worth.ltp), min(worth.low, worth.ltp)
    worth.volume += worth.ltq
    worth.traded_s += 1
    worth.oi += lots.choice((0, 0, 75))


def sample(symbols: int, mode: int, count: int) -> Sample:
    """One packet a frame, which costs most; the previous close of each instrument first."""
    lots = random.Random(3)
    listings = [
        Listing("NSE", f"S{i:04}", "NSE_EQ", str(1000 + i), tick=0.05) for i in range(symbols)
    ]
    worth = [Values(ltp=round(lots.uniform(50, 5000), 1)) for _ in listings]
    make = {1: ticker, 2: quote, 3: full}[mode]
    frames: list[Data] = [
        previous_close("NSE_EQ", 1000 + i, one.previous) for i, one in enumerate(worth)
    ]
    for n in range(count):
        i = n % symbols
        _move(worth[i], lots)
        frames.append(make("NSE_EQ", 1000 + i, worth[i]))
    return listings, frames


if __name__ == "__main__":
    main(Server, "dhan")
