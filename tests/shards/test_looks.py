"""Which clients are slow, and which cost most."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hub.core.index import Index
from hub.core.model import Instrument, Mode
from shards.looks import BUSIEST, MOST, Looks
from shards.outbox import Outbox


class Session:
    def __init__(self, user: str) -> None:
        self.user = user
        self.outbox = Outbox(10)
        self.behind_since_s = 7.0


def wire(session: Session | None, peer: str = "127.0.0.1:5") -> Any:
    return SimpleNamespace(peer=peer, session=session, began_s=0.0, unsent_bytes=lambda: 12)


def test_a_client_that_is_behind_comes_first_then_who_was_conflated_then_who_gets_most() -> None:
    index: Index[Any] = Index()
    slow, spared, busy, idle = (Session(name) for name in ("slow", "spared", "busy", "idle"))
    slow.outbox.fall_behind()
    spared.outbox.conflated = 4
    index.add(busy, Instrument("NSE", "A"), Mode.LTP, "x")
    index.add(busy, Instrument("NSE", "B"), Mode.DEPTH, "x")
    index.add(idle, Instrument("NSE", "A"), Mode.DEPTH, "x")
    looks = Looks(index)
    wires = [wire(one) for one in (idle, busy, spared, slow)] + [wire(None)]
    assert [row["out_s"] for row in looks.look(wires, 9.0)] == [0.0] * 4
    assert looks.heat.on
    looks.heat.count([b"NSE_A_LTP", b"NSE_A_LTP", b"NSE_B_QUOTE", b"NSE_A_DEPTH", b"@sample", b"x"])
    rows = looks.look(wires, 11.0)
    assert [row["user"] for row in rows] == ["slow", "spared", "busy", "idle"]
    first, _, third, fourth = rows
    assert (first["behind"], first["behind_s"], first["unsent_bytes"]) == (True, 4.0, 12)
    assert (third["out_s"], third["symbols"], third["behind_s"]) == (1.5, 2, 0.0)
    assert (third["share"], fourth["share"]) == (0.75, 0.25)
    assert fourth["age_s"] == 11.0


def test_only_so_many_are_told() -> None:
    looks = Looks(Index())
    found = looks.look([wire(Session("a")) for _ in range(MOST + 5)], 0.0)
    assert MOST <= len(found) <= MOST + BUSIEST


def test_who_is_sent_most_is_told_of_however_many_are_slow() -> None:
    index: Index[Any] = Index()
    busy = Session("busy")
    index.add(busy, Instrument("NSE", "A"), Mode.LTP, "x")
    slow = [Session("slow") for _ in range(MOST)]
    for one in slow:
        one.outbox.fall_behind()
    looks, wires = Looks(index), [wire(one) for one in (busy, *slow)]
    looks.look(wires, 0.0)
    looks.heat.count([b"NSE_A_LTP"])
    rows = looks.look(wires, 1.0)
    assert [row["user"] for row in rows] == ["slow"] * MOST + ["busy"]
