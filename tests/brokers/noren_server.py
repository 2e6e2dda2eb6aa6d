"""A fake broker of the Noren family: Flattrade, Shoonya, or Definedge's dialect.

It lets in who presents the session, and shuts nobody out who does not: such a connection stays open
and is told nothing more. A second login of the same session closes the first connection in order.
Each subscribe of something that it knows is acknowledged with all fields, later messages have those
that have changed, all of them text. With `cool_down_s` it closes on who logs in that soon after a
connection was closed in order. It knows ACC, Nifty 50 and others; `more` adds to them.

By hand: `python -m tests.brokers.noren_server flattrade`, or shoonya, or definedge.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, ClassVar, NamedTuple
from urllib.parse import unquote

from websockets.asyncio.server import ServerConnection

from hub.brokers.base import Listing
from tests.brokers.fake import Answer, Asked, Data, Fake, Peer, Sample, Script, main
from tests.brokers.noren_files import FILES, packed, plain

CREDENTIALS = {
    "user_id": "FT012345",
    "access_token": "session-of-the-day",
    "api_key": "key-1",
    "client_id": "FT012345_U",
    "api_secret": "secret-1",
}
CODE = "code-1"
"""What the page in the browser hands over; it is good once for each server."""


class Dialect(NamedTuple):
    """How one broker of the family has its first messages."""

    broker: str
    login: str
    field: str
    source: str
    answer: str
    accepts: str
    refuses: str


FLATTRADE = Dialect("flattrade", "a", "accesstoken", "API", "ak", "OK", "NOT_OK")
SHOONYA = Dialect("shoonya", "a", "accesstoken", "API", "ak", "OK", "NOT_OK")
DEFINEDGE = Dialect("definedge", "c", "susertoken", "TRTP", "ck", "Ok", "Not_Ok")

Key = tuple[str, str]


class Thing:
    """One instrument and its market: prices in units of its last decimal."""

    def __init__(
        self, exchange: str, token: str, name: str, last: int, decimals: int = 2, kind: str = "EQ"
    ) -> None:
        self.exchange, self.token, self.name, self.kind = exchange, token, name, kind
        self.decimals = decimals
        self.last = self.open = self.high = self.low = last
        self.close = last - 7
        self.volume = 1000
        self.interest = 500
        self.seconds = 9 * 3600 + 15 * 60
        self.book = [(last - 5 * n, 10 * n, n) for n in range(1, 6)]
        self.book += [(last + 5 * n, 11 * n, n) for n in range(1, 6)]

    def trade(self, lots: random.Random) -> None:
        """One trade, and what it does to the book."""
        self.last += lots.choice((-5, 0, 5))
        self.high, self.low = max(self.high, self.last), min(self.low, self.last)
        self.volume += lots.randrange(1, 100)
        self.seconds += 1
        level = lots.randrange(10)
        price, quantity, orders = self.book[level]
        self.book[level] = (price, max(1, quantity + lots.randrange(-3, 9)), orders)

    def price(self, units: int) -> str:
        """That many units as the server writes a price."""
        whole, rest = divmod(abs(units), 10**self.decimals)
        return f"{'-' if units < 0 else ''}{whole}.{rest:0{self.decimals}}"

    def touchline(self, at_s: int) -> dict[str, str]:
        """All fields of a touchline, as text."""
        hours, rest = divmod(self.seconds, 3600)
        (bid, bids, _), (ask, asks, _) = self.book[0], self.book[5]
        told = {
            "e": self.exchange, "tk": self.token, "ts": self.name, "pp": str(self.decimals),
            "ls": "1", "ti": self.price(5), "lp": self.price(self.last),
            "pc": f"{(self.last - self.close) / self.close * 100:.2f}",
            "o": self.price(self.open), "h": self.price(self.high), "l": self.price(self.low),
            "c": self.price(self.close), "ap": self.price((self.high + self.low) // 2),
            "ft": str(at_s), "ltt": f"{hours:02}:{rest // 60:02}:{rest % 60:02}", "ltq": "3",
        }  # fmt: skip
        if self.kind != "INDEX":
            told |= {"v": str(self.volume), "toi": str(self.interest * 77)}
            told |= {"bp1": self.price(bid), "bq1": str(bids)}
            told |= {"sp1": self.price(ask), "sq1": str(asks)}
        if self.kind not in ("EQ", "INDEX"):
            told |= {"oi": str(self.interest), "poi": str(self.interest - 1)}
        return told

    def depth(self, at_s: int) -> dict[str, str]:
        """All fields of depth, as text."""
        told = self.touchline(at_s)
        told |= {"tbq": "4000", "tsq": "5000", "uc": self.price(2 * self.close), "lc": "0.05"}
        told |= {"52h": self.price(self.high + 100), "52l": self.price(self.low - 50)}
        for place, (price, quantity, orders) in enumerate(self.book):
            side, number = "bs"[place // 5], place % 5 + 1
            told[f"{side}p{number}"] = self.price(price)
            told[f"{side}q{number}"] = str(quantity)
            told[f"{side}o{number}"] = str(orders)
        return told


def things() -> list[Thing]:
    """What every server knows: a token on two exchanges, an index, a contract, a currency."""
    return [
        Thing("NSE", "22", "ACC-EQ", 181500),
        Thing("NSE", "2885", "RELIANCE-EQ", 294510),
        Thing("NSE", "26000", "Nifty 50", 2500000, kind="INDEX"),
        Thing("BSE", "22", "ACC", 181600),
        Thing("BSE", "1", "SENSEX", 8200000, kind="INDEX"),
        Thing("NFO", "65872", "NIFTY29DEC26F", 2510000, kind="FUTIDX"),
        Thing("CDS", "1155", "USDINR29DEC26F", 842575, 4, kind="FUTCUR"),
    ]


def text(kind: str, told: dict[str, str]) -> str:
    """One message."""
    return json.dumps({"t": kind, **told}, separators=(",", ":"))


class Server(Fake):
    """Flattrade's server."""

    dialect: ClassVar[Dialect] = FLATTRADE
    ping_s = 10.0

    def __init__(self, script: Script | None = None, **options: Any) -> None:
        super().__init__(script or Script(credentials=dict(CREDENTIALS)), **options)
        self.things: dict[Key, Thing] = {}
        self.more(things())
        self.at_s = 1_795_673_700
        self.cool_down_s = 0.0
        self.duplicates_answered = True
        self._told: dict[tuple[int, Key, str], dict[str, str]] = {}
        self._closed_at_s = float("-inf")
        self._codes = {CODE}

    def more(self, more: Iterable[Thing]) -> None:
        """Know these, too."""
        self.things |= {(thing.exchange, thing.token): thing for thing in more}

    async def _serve_peer(self, connection: ServerConnection) -> None:
        await super()._serve_peer(connection)
        if connection.close_code in (1000, 1001):
            self._closed_at_s = asyncio.get_running_loop().time()

    async def received(self, peer: Peer, data: Data) -> None:
        """Answer as the family does."""
        try:
            asked = json.loads(data)
        except ValueError:
            return
        kind = asked.get("t") if isinstance(asked, dict) else None
        if kind == self.dialect.login:
            await self._log_in(peer, asked)
        elif kind == "h":
            await peer.send('{"t":"h"}')
        elif not peer.let_in:
            return
        elif kind in ("t", "d"):
            await self._subscribe(peer, kind, str(asked.get("k", "")).split("#"))
        elif kind in ("u", "ud"):
            for key in str(asked.get("k", "")).split("#"):
                peer.wants.get(_key(key), set()).discard("t" if kind == "u" else "d")
        elif kind == "o":
            await peer.send('{"t":"ok"}')

    def order(self) -> str:
        """Word of an order, which comes on the same connection."""
        return text("om", {"norenordno": "1", "status": "COMPLETE", "e": "NSE", "tk": "22"})

    def partial(self, peer: Peer, key: Key, kind: str) -> str:
        """What has changed of an instrument since this peer was last told."""
        thing = self.things[key]
        now = thing.touchline(self.at_s) if kind == "t" else thing.depth(self.at_s)
        before = self._told.get((peer.number, key, kind), {})
        self._told[peer.number, key, kind] = now
        changed = {name: value for name, value in now.items() if before.get(name) != value}
        return text(f"{kind}f", {"e": thing.exchange, "tk": thing.token} | changed)

    def ticks(self, peer: Peer) -> Sequence[Data]:
        """A trade of each instrument that the peer wants, told in each stream."""
        self.at_s += 1
        found: list[Data] = []
        for key, kinds in list(peer.wants.items()):
            self.things[key].trade(self.random)
            found += [self.partial(peer, key, kind) for kind in sorted(kinds)]
        return found

    async def _log_in(self, peer: Peer, asked: dict[str, Any]) -> None:
        script, dialect = self.script, self.dialect
        if not script.auth_answers:
            return
        await asyncio.sleep(script.auth_delay_s)
        if asyncio.get_running_loop().time() < self._closed_at_s + self.cool_down_s:
            await peer.close(1000)
            return
        known = script.credentials
        good = (
            asked.get("uid") == known["user_id"]
            and asked.get(dialect.field) == known["access_token"]
            and asked.get("source") == dialect.source
            and bool(asked.get("actid"))
        )
        word = dialect.accepts if good else dialect.refuses
        await peer.send(text(dialect.answer, {"uid": str(asked.get("uid")), "s": word}))
        if good:
            peer.let_in = True
            for other in [one for one in self.peers if one.let_in and one is not peer]:
                other.let_in = False
                await other.close(1000)

    async def _subscribe(self, peer: Peer, kind: str, keys: Sequence[str]) -> None:
        for key in map(_key, keys):
            full = self.script.symbols and len(peer.wants) >= self.script.symbols
            if key not in self.things or (full and key not in peer.wants):
                continue
            had = peer.wants.setdefault(key, set())
            if kind in had and not self.duplicates_answered:
                continue
            had.add(kind)
            thing = self.things[key]
            told = thing.touchline(self.at_s) if kind == "t" else thing.depth(self.at_s)
            self._told[peer.number, key, kind] = told
            await peer.send(text(f"{kind}k", told))

    def answer(self, asked: Asked) -> Answer:
        """The exchange of a code, and the lists of instruments."""
        if asked.path == "/trade/apitoken":
            return self._session(json.loads(asked.body), "api_key", "request_code", "api_secret")
        if asked.path == "/NorenWClientAPI/GenAcsTok":
            with suppress(ValueError):
                body = json.loads(unquote(asked.body.decode()).removeprefix("jData="))
                return self._session(body, "client_id", "code", "checksum")
        name = asked.path.rpartition("/")[2]
        if name in FILES:
            return Answer(200, self.file(name))
        return Answer(404)

    def file(self, name: str) -> bytes:
        """A list of instruments, as this server has it."""
        return packed(name) if name.endswith(".zip") else plain(name)

    def _session(self, body: dict[str, str], who: str, code: str, proof: str) -> Answer:
        known = self.script.credentials
        secret, key = known["api_secret"], known[who]
        given = body.get(code, "")
        made = key + given + secret if who == "api_key" else key + secret + given
        if given not in self._codes or body.get(proof) != hashlib.sha256(made.encode()).hexdigest():
            return _answer({"stat": "Not_Ok", "emsg": "Invalid Input : INVALID_CODE"})
        self._codes.remove(given)
        if who == "api_key":
            return _answer(
                {"stat": "Ok", "token": known["access_token"], "client": known["user_id"]}
            )
        user = known["user_id"]
        return _answer(
            {"stat": "Ok", "access_token": known["access_token"], "USERID": user, "actid": user}
        )


class ShoonyaServer(Server):
    """Shoonya's server."""

    dialect = SHOONYA


class DefinedgeServer(Server):
    """Definedge's server."""

    dialect = DEFINEDGE


SERVERS = {one.dialect.broker: one for one in (Server, ShoonyaServer, DefinedgeServer)}


def sample(symbols: int, mode: int, count: int) -> Sample:
    """Listings of so many instruments; and what a client that has asked for all of them in that
    mode is sent: the answer to its login, a full message of each, then changes in `count`
    messages."""
    lots, kind = random.Random(3), "d" if mode == 3 else "t"
    some = [Thing("NSE", str(1000 + n), f"S{n}-EQ", 100_000 + 5 * n) for n in range(symbols)]
    listings = [Listing("NSE", one.name[:-3], "NSE", one.token) for one in some]
    at_s = 1_795_673_700

    def all_of(one: Thing) -> dict[str, str]:
        return one.depth(at_s) if mode == 3 else one.touchline(at_s)

    told = {one.token: all_of(one) for one in some}
    frames: list[Data] = ['{"t":"ak","uid":"FT012345","s":"OK"}']
    frames += [text(f"{kind}k", fields) for fields in told.values()]
    for number in range(count):
        one = some[number % symbols]
        at_s += number % symbols == 0
        one.trade(lots)
        now, before = all_of(one), told[one.token]
        told[one.token] = now
        changed = {name: now[name] for name in now if now[name] != before.get(name)}
        frames.append(text(f"{kind}f", {"e": "NSE", "tk": one.token} | changed))
    return listings, frames


def _key(text: str) -> Key:
    exchange, _, token = text.partition("|")
    return exchange, token


def _answer(told: dict[str, str]) -> Answer:
    return Answer(200, json.dumps(told).encode(), {"Content-Type": "application/json"})


if __name__ == "__main__":
    chosen = sys.argv.pop(1) if sys.argv[1:] and sys.argv[1] in SERVERS else "flattrade"
    main(SERVERS[chosen], chosen)
