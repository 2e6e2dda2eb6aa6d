"""A fake Fyers on loopback: its data socket (HSM), its stream of deep books (TBT, at `/versova`),
its login and its lists of instruments.

By hand: `python -m tests.brokers.fyers_server --port 9001 --rate 5`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from hub.brokers.base import Listing
from tests.brokers import fyers_wire as wire
from tests.brokers.fake import Answer, Asked, Data, Fake, Peer, Sample, Script, main
from tests.brokers.fyers_lists import FILES, listings
from tests.brokers.fyers_tbt import Books

CREDENTIALS = {"api_key": "TESTAPP-100", "access_token": wire.token()}
_MAX_PENDING = 2
"""So many acknowledgements may be missing before nothing flows any more."""


@dataclass
class FyersScript(Script):
    """`ack_every` data frames are to be acknowledged; `verdict` is what a login with the right key
    is answered with. More topics than `plan` (0: all) are refused with 51001. Without `snapshots`
    none follows a subscription. `precision` and `multiplier` are those of every topic; new ids
    of topics are drawn from `ids`."""

    credentials: dict[str, str] = field(default_factory=lambda: dict(CREDENTIALS))
    ack_every: int = 0
    verdict: bytes = b"K"
    plan: int = 0
    snapshots: bool = True
    precision: int = 2
    multiplier: int = 1


class Server(Fake):
    """One Fyers. `acknowledged` are the numbers of data frames that clients have acknowledged,
    `pings` how many there were; `books` is the part with deep books."""

    script: FyersScript

    def __init__(
        self, script: FyersScript | None = None, *, rate: float = 0.0, port: int = 0
    ) -> None:
        super().__init__(script or FyersScript(), rate=rate, port=port)
        self.acknowledged: list[int] = []
        self.pings = 0
        self.books = Books(self)
        self._pending: dict[int, int] = {}
        self._number = 0
        self._step = 0

    def admit(self, asked: Asked) -> Answer | None:
        return self.books.admit(asked) if asked.path == Books.PATH else None

    async def opened(self, peer: Peer) -> None:
        if peer.asked.path != Books.PATH:
            await peer.send(wire.reply(13, wire.field(1, b"\x00master")))

    async def received(self, peer: Peer, data: Data) -> None:
        if peer.asked.path == Books.PATH:
            await self.books.received(peer, data)
        elif data == b"\x00\x01\x0b":
            self.pings += 1
        elif isinstance(data, bytes) and "authorization" not in peer.asked.headers:
            await self._heard(peer, data[2], _fields(data))

    async def _heard(self, peer: Peer, kind: int, fields: dict[int, bytes]) -> None:
        if kind == 1:
            await self._login(peer, fields)
        elif not peer.let_in:
            return
        elif kind == 3:
            self.acknowledged.append(int.from_bytes(fields[1], "big"))
            self._pending[peer.number] = 0
        elif kind == 4:
            await self._subscribe(peer, list(_names(fields[1])))
        elif kind == 5:
            for name in _names(fields[1]):
                peer.wants.pop(name, None)
            await peer.send(wire.yes(5))
        else:
            await peer.send(wire.yes(kind))

    async def _login(self, peer: Peer, fields: dict[int, bytes]) -> None:
        script = self.script
        if not script.auth_answers:
            return
        good = wire.token(fields[1].decode()) == script.credentials["access_token"]
        peer.let_in = good and script.verdict == b"K"
        if peer.let_in:
            await peer.send(wire.yes(1, script.ack_every))
        else:
            verdict = script.verdict if good else b"N"
            await peer.send(wire.reply(1, wire.field(1, verdict), wire.field(2, b"\0\0\0\0")))

    async def _subscribe(self, peer: Peer, names: list[str]) -> None:
        script = self.script
        new = [name for name in names if name not in peer.wants]
        room = script.plan - len(peer.wants) if script.plan else len(new)
        for name in new[:room]:
            peer.wants[name] = self._new_id(peer)
        if len(new) > room:
            await peer.send(wire.custom(51001, "Symbol limit exceeded for your plan", 4))
        await peer.send(wire.yes(4))
        if script.snapshots:
            snapshots = [self.snapshot_of(peer, name) for name in names if name in peer.wants]
            await self.push(peer, snapshots)

    def _new_id(self, peer: Peer) -> int:
        taken = set(peer.wants.values())
        return next(
            found for found in iter(lambda: self.random.randrange(65536), -1) if found not in taken
        )

    def snapshot_of(
        self, peer: Peer, name: str, values: Sequence[int | None] | None = None
    ) -> bytes:
        """All there is of a topic."""
        figures = list(full(name, self._step) if values is None else values)
        exchange, token = name.split("|")[1:]
        return wire.snapshot(
            peer.wants[name],
            name,
            figures,
            precision=self.script.precision,
            multiplier=self.script.multiplier,
            texts=(exchange[:3].upper(), token, f"{token}-EQ"),
        )

    def ticks(self, peer: Peer) -> Sequence[Data]:
        if peer.asked.path == Books.PATH:
            return self.books.ticks(peer)
        self._step += 1
        return [
            wire.update(number, partial(name, self._step)) for name, number in peer.wants.items()
        ]

    async def push(self, peer: Peer, ticks: Sequence[Data]) -> None:
        script = self.script
        waiting = self._pending.get(peer.number, 0)
        if script.ack_every and waiting > _MAX_PENDING * script.ack_every:
            return
        before = self._number
        await super().push(peer, ticks)
        self._pending[peer.number] = waiting + self._number - before

    def framed(self, ticks: Sequence[Data]) -> Sequence[Data]:
        entries = [tick for tick in ticks if isinstance(tick, bytes)]
        if entries and entries[0][:1] not in {b"S", b"U", b"L"}:
            return ticks
        size = self.script.together
        frames = []
        for at in range(0, len(entries), size):
            self._number += 1
            frames.append(wire.data(self._number, entries[at : at + size]))
        return frames

    def answer(self, asked: Asked) -> Answer:
        if asked.path == "/indus/home/tbtws":
            return self.books.address(asked, f"{self.url}{Books.PATH}")
        if asked.path == "/api/v3/validate-authcode":
            return self._validate(json.loads(asked.body))
        file = FILES.get(asked.path.rpartition("/")[2])
        return Answer(200, file) if file else Answer(404)

    def _validate(self, said: dict[str, str]) -> Answer:
        if said.get("code") != "auth-code-1" or len(said.get("appIdHash", "")) != 64:
            said_no = {"s": "error", "code": -413, "message": "invalid auth code"}
            return Answer(400, json.dumps(said_no).encode())
        token = self.script.credentials["access_token"]
        return Answer(200, json.dumps({"s": "ok", "code": 200, "access_token": token}).encode())


def full(name: str, step: int) -> list[int]:
    """The figures of a topic at some step, each different from the others."""
    base = 10_000 + sum(name.encode()) * 7 % 50_000 + step
    if name.startswith("if|"):
        return [base, base - 40, 1_790_000_000 + step, base + 90, base - 90, base - 10]
    if name.startswith("dp|"):
        prices = [base - 5 * n for n in range(1, 6)] + [base + 5 * n for n in range(1, 6)]
        return prices + [100 * n + step for n in range(1, 11)] + list(range(1, 11))
    first = base - step
    return [
        base, 500_000 + step, 1_790_000_000 + step, 1_790_000_000 + step, 75, 150, base - 5,
        base + 5, 25, 90_000 + step, 80_000 - step, base - 3, 1_200, first - 90, first + 900,
        first + 1_900, first - 1_900, first - 2_000, first + 2_000, first - 10, first - 40,
    ]  # fmt: skip


def partial(name: str, step: int) -> list[int | None]:
    """What has changed since the step before, and holes for the rest."""
    now, before = full(name, step), full(name, step - 1)
    return [new if new != old else None for new, old in zip(now, before, strict=True)]


def _fields(data: bytes) -> dict[int, bytes]:
    found, at = {}, 4
    while at < len(data):
        size = int.from_bytes(data[at + 1 : at + 3], "big")
        found[data[at]] = data[at + 3 : at + 3 + size]
        at += 3 + size
    return found


def _names(listed: bytes) -> Iterator[str]:
    at = 2
    for _ in range(int.from_bytes(listed[:2], "big")):
        yield listed[at + 1 : at + 1 + listed[at]].decode()
        at += 1 + listed[at]


def sample(symbols: int, mode: int, count: int) -> Sample:
    """See tests/brokers/fake.py. An update names about half of its fields, ten are in a frame."""
    wanted: list[Listing] = listings(symbols)
    kinds = ("sf", "dp") if mode == 3 else ("sf",)
    names = [f"{kind}|{one.segment}|{one.token}" for kind in kinds for one in wanted]
    numbers = {name: number for number, name in enumerate(names)}
    entries = [wire.snapshot(number, name, full(name, 0)) for name, number in numbers.items()]
    frames: list[Data] = [wire.yes(1, 0)]
    frames += [wire.data(at, entries[at : at + 50]) for at in range(0, len(entries), 50)]
    sent = [names[n % len(names)] for n in range(count)]
    updates = [
        wire.update(numbers[name], partial(name, 1 + n // len(names)))
        for n, name in enumerate(sent)
    ]
    frames += [wire.data(at, updates[at : at + 10]) for at in range(0, count, 10)]
    return wanted, frames


if __name__ == "__main__":
    main(Server, "fyers")
