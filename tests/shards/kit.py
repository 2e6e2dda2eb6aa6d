"""What the tests of a shard share: a reader of frames, clients without a socket, keys by home."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

import msgspec

from hub.core import forms, topics
from hub.core.hot import Line
from hub.core.model import Identity, Instrument, Mode, Offer, Result, Want
from hub.core.placement import home
from hub.core.settings import Settings
from shards.desk import Desk
from shards.guests import Guests
from shards.protocol import NO_OPTIONS, Request
from shards.tally import Tally
from shards.wanted import ACCOUNTS, Word

ALICE = Identity("alice", "zerodha")
BOB = Identity("bob", "dhan")


def make_settings(**sections: dict[str, Any]) -> Settings:
    """The defaults with some values changed: `make_settings(hub={"shards": 2})`."""
    return msgspec.convert(sections, Settings)


def make_guests(settings: Settings, tally: Tally | None = None) -> Guests:
    """The limits of a hub of one shard that shares them with nobody."""
    return Guests(settings.websocket, tally or Tally(None, 0, 1, lambda *_: False))


def messages(data: bytes) -> list[str]:
    """The messages in a server's bytes, which are all texts."""
    found = bodies(data)
    assert all(isinstance(text, str) for text in found), f"not only texts: {found}"
    return [str(text) for text in found]


def replies(data: bytes) -> list[dict[str, Any]]:
    """The JSON objects in a server's bytes."""
    return [json.loads(text) for text in messages(data)]


def received(data: bytes, form: int) -> list[Any]:
    """What the messages in a server's bytes say, which are all in the encoding of this form."""
    found = bodies(data)
    kind = bytes if form & forms.MSGPACK else str
    assert all(isinstance(one, kind) for one in found), f"not only {kind}: {found}"
    return [decoded(one) for one in found]


def decoded(body: str | bytes) -> Any:
    """What a message says."""
    return json.loads(body) if isinstance(body, str) else msgspec.msgpack.decode(body)


def ticks(data: bytes, form: int) -> list[dict[str, Any]]:
    """The ticks in a server's bytes, where there is nothing else."""
    found = received(data, form)
    if form & forms.BATCH:
        assert all(isinstance(batch, list) and batch for batch in found)
        return [one for batch in found for one in batch]
    return found


def bodies(data: bytes) -> list[str | bytes]:
    """The messages in a server's bytes, read as RFC 6455 (5.2) says; each is one frame that is
    final and unmasked. What is binary stays bytes."""
    found: list[str | bytes] = []
    while data:
        assert data[0] in {0x81, 0x82}, f"not a final frame: {data[:16]!r}"
        is_text = data[0] == 0x81
        size, start = data[1], 2
        assert size <= 127, "a server's frames carry no mask"
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
            assert size >= 126, "the shortest form is due"
        elif size == 127:
            size, start = int.from_bytes(data[2:10], "big"), 10
            assert size >= 1 << 16, "the shortest form is due"
        assert len(data) >= start + size, "the frame is cut"
        body = data[start : start + size]
        found.append(body.decode() if is_text else body)
        data = data[start + size :]
    return found


def values(data: bytes, form: int = forms.PLAIN) -> list[tuple[str, int, Any]]:
    """Symbol, tag and payload of each tick in a server's bytes."""
    return [(found["symbol"], found["mode"], found["data"]) for found in ticks(data, form)]


def instruments(shard: int, shards: int, how_many: int) -> list[Instrument]:
    """Instruments whose home this shard is."""
    found = (Instrument("NSE", f"S{number}") for number in count())
    mine = (one for one in found if home(one.key, shards) == shard)
    return [next(mine) for _ in range(how_many)]


def tick(instrument: Instrument, mode: Mode, value: object) -> list[bytes]:
    """One tick as a pair."""
    return [topics.of(instrument.key, mode), json.dumps({"ltp": value}).encode()]


class Client:
    """A session without a socket: it keeps what it is sent."""

    def __init__(self, name: str = "client", form: int = forms.PLAIN) -> None:
        self.name = name
        self.fd = -1
        self.form = form
        self.options = NO_OPTIONS
        self.sent: list[bytes] = []
        self.lines: list[Line] = []
        self.events: list[bytes] = []
        self.cut = False
        self.answers = 0
        self.owed: set[Line] = set()
        self.kept: dict[Line, bytes | None] = {}

    def __repr__(self) -> str:
        return f"<Client {self.name}>"

    def unsent(self, data: bytes, sent: int) -> None:
        raise AssertionError("it has no socket")

    def deliver(self, data: bytes, lines: Sequence[Line]) -> None:
        assert len(ticks(data, self.form)) == len(lines), "ticks and lines run side by side"
        self.sent.append(data)
        self.lines += lines

    def owes(self, line: Line) -> bool:
        return line in self.owed

    def owing(self) -> Iterable[Line]:
        return self.owed

    def keep(self, line: Line, as_it_was: Line) -> None:
        self.kept[line] = as_it_was.payload

    def deliver_batch(self, batch: bytes, pieces: Sequence[bytes], lines: Sequence[Line]) -> None:
        assert forms.joined(pieces, self.form) == batch
        self.deliver(batch, lines)

    def show(self, pieces: Sequence[bytes], lines: Sequence[Line]) -> None:
        self.deliver(forms.joined(pieces, self.form), lines)

    def limit(self, key: bytes, max_rate: float) -> None:
        pass

    def ceases(self, key: bytes, modes: int) -> None:
        pass

    def deliver_event(self, frame: bytes) -> None:
        self.events.append(frame)

    def event_lost(self) -> None:
        self.cut = True

    def answered(self) -> None:
        self.answers += 1

    def notify(self) -> int:
        return 0

    def withhold(self) -> None:
        pass

    def got(self) -> list[tuple[str, int, Any]]:
        """The ticks sent since this was last asked."""
        data, self.sent = b"".join(self.sent), []
        return values(data, self.form)

    def updates(self) -> list[dict[str, Any]]:
        """The order updates sent since this was last asked."""
        data, self.events = b"".join(self.events), []
        return received(data, self.form)


def subscription(mode: object, *wanted: Instrument, **more: object) -> Request:
    """A subscribe request."""
    symbols = [{"symbol": one.symbol, "exchange": one.exchange} for one in wanted]
    return {"action": "subscribe", "symbols": symbols, "mode": mode, **more}


def answer(desk: Desk, *, now_s: float = 0.0, error: str = "", open_: bool = True) -> int:
    """Play router and feeds: take what the desk tells, open the legs, answer every want.
    Returns how many wants were told. It takes as many turns as there is work left."""
    told = _answer_once(desk, now_s, error, open_=open_)
    while desk.busy:
        told += _answer_once(desk, now_s, error, open_=open_)
    return told


def _answer_once(desk: Desk, now_s: float, error: str, *, open_: bool) -> int:
    told = 0
    desk.silence.tell(desk.feeds)
    for feed, number, wants in desk.tell():
        told += len(wants)
        begun = [want.key for want in wants if want.modes]
        if open_ and feed != ACCOUNTS:
            desk.snapshots.opened(begun, number, number)
            desk.snapshots.values([], begun, number)
            desk.snapshots.closed([want.key for want in wants if not want.modes])
        if feed == ACCOUNTS:
            desk.take_followed(begun, number)
        results = [Result(want.key, want.modes, error) for want in wants if want.modes]
        desk.take_results(feed, results)
    return told


def serve(desk: Desk, *feeds: str) -> None:
    """Play the router's pulse: these feeds are there, `bus` for anybody, others for a broker."""
    desk.take_feeds([Offer(feed, () if feed == "bus" else (feed,)) for feed in feeds], 0.0)


def by_feed(words: Sequence[Word]) -> dict[str, list[Want]]:
    """What a desk tells, by feed."""
    return {word.feed: word.wants for word in words}


def remains(desk: Desk) -> list[str]:
    """What is left in a desk that nobody asks anything of; empty when it is as new."""
    holders = {
        "tickets": desk._tickets,
        "waiting": desk._waiting,
        "pending": desk._pending,
        "legs": desk.wanted._legs,
        "told": desk.snapshots._told,
        "opening": desk.snapshots._opening,
        "awaiting": desk.snapshots._awaiting,
        "doubtful": desk.snapshots._doubtful,
        "accounts asked for": desk.wanted._asked,
        "followers": desk.accounts._followers,
        "who asks what is stale": desk.notices._askers,
        "orders waiting": desk.accounts._waiting,
        "account wants": desk.accounts.wants._records,
        "keys": desk.index._keys,
        "held": desk.index._held,
        "names": desk.index._names,
        "audiences": desk.index._audiences,
        "lines that know nothing": [
            line for line in desk.latest.lines.values() if line.payload is None
        ],
        **{f"wants of {feed}": wants._records for feed, wants in desk.wanted._feeds.items()},
    }
    return [f"{name}: {found}" for name, found in holders.items() if found]
