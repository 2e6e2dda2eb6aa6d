"""The data socket's codec: what it says, what it makes of packets, and what it leaves out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.brokers.base import (
    Addresses,
    Change,
    Ended,
    Failed,
    Listing,
    Ready,
    Refused,
    Say,
    Subscription,
    Warned,
)
from hub.brokers.fyers.codec import FyersCodec
from hub.core.errors import BrokerError
from hub.core.model import Fault
from tests.brokers import fyers_wire as wire
from tests.brokers.fyers_server import CREDENTIALS, full
from tests.hub.brokers.fyers.kit import DP, IF, NIFTY, NOW_MS, RELIANCE, SBIN, SF, Desk

# What it says.


def test_no_header_goes_with_the_upgrade() -> None:
    codec = FyersCodec(CREDENTIALS, Addresses("wss://socket.example/hsm"))
    assert codec.ask() is None
    assert codec.endpoint(None) == ("wss://socket.example/hsm", {})


@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c", wire.token(""), "a.bnVsbA.c"])
def test_a_token_without_a_key_is_refused_before_connecting(token: str) -> None:
    with pytest.raises(BrokerError) as caught:
        FyersCodec({"access_token": token}, Addresses("")).endpoint(None)
    assert caught.value.fault is Fault.AUTH


@pytest.mark.parametrize("before", ["", "TESTAPP-100:"])
def test_it_says_who_we_are_with_the_key_of_the_token(before: str) -> None:
    codec = FyersCodec({"access_token": before + wire.token("KEY")}, Addresses(""))
    (frame,) = codec.opened()
    assert frame == (
        b"\x00\x1b\x01\x04" b"\x01\x00\x03KEY" b"\x02\x00\x01P" b"\x03\x00\x01\x01"
        b"\x04\x00\x08Shardhub"
    )  # fmt: skip
    assert not codec.ready
    assert codec.beat() == (b"\x00\x01\x0b",)


def test_let_in_it_asks_for_whole_updates() -> None:
    codec = FyersCodec(CREDENTIALS, Addresses(""))
    events = codec.receive(bytes.fromhex("000f01020100014b02000400000032"), NOW_MS, _nobody)
    mode = bytes.fromhex("00000c02010008000000000000080002000146")
    assert events == (Say((mode,)), Ready())
    assert codec.ready


@pytest.mark.parametrize("verdict", [wire.no(1), wire.reply(1), wire.reply(1, wire.field(2, b"K"))])
def test_anything_but_k_is_a_refusal_of_the_token(verdict: bytes) -> None:
    codec = FyersCodec(CREDENTIALS, Addresses(""))
    (event,) = codec.receive(verdict, NOW_MS, _nobody)
    assert isinstance(event, Failed)
    assert event.fault is Fault.AUTH
    assert not codec.ready


def test_it_asks_for_the_topics_of_a_mode() -> None:
    desk = Desk()
    sub = Subscription(RELIANCE)
    assert desk.move(sub, 1) == [
        b"\x00\x1a\x04\x02\x01\x00\x11\x00\x01\x0esf|nse_cm|2885\x02\x00\x01\x0b"
    ]
    assert [frame[2] for frame in desk.move(sub, 2)] == [12]
    (more,) = desk.move(sub, 3)
    assert more[2] == 4
    assert DP.encode() in more
    assert SF.encode() not in more
    (less,) = desk.move(sub, 2)
    assert less[2] == 5
    assert DP.encode() in less
    assert SF.encode() not in less
    (none,) = desk.move(sub, 0)
    assert none[2] == 5
    assert SF.encode() in none


def test_an_index_has_one_topic_in_each_mode() -> None:
    (frame,) = Desk().move(Subscription(NIFTY), 3)
    assert frame[7:].startswith(b"\x00\x01" + bytes([len(IF)]) + IF.encode())


@pytest.mark.parametrize(("mode", "frames"), [(2, 2), (3, 3)])
def test_a_frame_names_1500_topics_at_most(mode: int, frames: int) -> None:
    desk = Desk()
    subs = [Subscription(Listing("NSE", f"S{n}", "nse_cm", str(n))) for n in range(2000)]
    sent = desk.codec.change([Change(sub, 0, mode) for sub in subs])
    counts = [int.from_bytes(frame[7:9], "big") for frame in sent if isinstance(frame, bytes)]
    assert len(counts) == frames
    assert max(counts) == 1500
    assert sum(counts) == 2000 * (1 if mode == 2 else 2)


def test_names_too_long_for_one_frame_go_in_several() -> None:
    desk = Desk()
    subs = [Subscription(Listing("NSE", f"S{n}", "nse_cm", f"{n:0240}")) for n in range(600)]
    sent = desk.codec.change([Change(sub, 0, 1) for sub in subs])
    assert len(sent) == 3


@pytest.mark.parametrize("every", [0, 1, 3])
def test_data_frames_are_acknowledged_as_often_as_told(every: int) -> None:
    desk = Desk(every)
    said = [event for n in range(1, 7) for event in desk.hear(wire.data(0xFFFFFF00 + n, []))]
    wanted = [n for n in range(1, 7) if every and n % every == 0]
    assert said == [
        Say((b"\x00\x09\x03\x01\x01\x00\x04\xff\xff\xff" + bytes([n]),)) for n in wanted
    ]


# What it is told.


def test_the_plan_s_limit_is_the_capacity_of_those_who_wait() -> None:
    desk = Desk()
    has, first = desk.want(SBIN, 1), desk.want(RELIANCE, 1)
    desk.hear(wire.yes(4))
    desk.data(wire.snapshot(1, "sf|nse_cm|3045", [200]))
    (event,) = desk.hear(wire.custom(51001, "too many symbols", 4))
    assert isinstance(event, Refused)
    assert event.subs == (first,)
    assert event.fault is Fault.CAPACITY
    assert "too many symbols" in event.text
    assert has not in event.subs


def test_the_plan_s_limit_may_be_told_after_the_reply() -> None:
    desk = Desk()
    sub = desk.want(RELIANCE, 1)
    assert desk.hear(wire.yes(4)) == []
    (event,) = desk.hear(wire.custom(51001, "too many symbols", 4))
    assert isinstance(event, Refused)
    assert (event.subs, event.fault) == ((sub,), Fault.CAPACITY)


def test_who_is_refused_is_none_of_this_connection_any_more() -> None:
    desk = Desk()
    sub = desk.want(RELIANCE, 3)
    desk.data(wire.snapshot(1, SF, full(SF, 0)))
    leave, event = desk.hear(wire.custom(51001, "too many symbols", 4))
    assert isinstance(event, Refused)
    assert isinstance(leave, Say)
    assert SF.encode() in bytes(leave.frames[0])  # type: ignore[arg-type]
    assert DP.encode() not in bytes(leave.frames[0])  # type: ignore[arg-type]
    before = repr(sub.state)
    desk.data(wire.snapshot(2, DP, full(DP, 0)), wire.lite(1, 5))
    assert repr(sub.state) == before
    assert desk.ticks == []


def test_the_plan_s_limit_is_told_when_nobody_waits() -> None:
    (event,) = Desk().hear(wire.custom(51001, "too many symbols", 4))
    assert event == Warned("Fyers says 51001: too many symbols")


def test_other_messages_are_told() -> None:
    desk = Desk()
    assert desk.hear(wire.custom(-7, "soon", 0)) == [Warned("Fyers says -7: soon")]
    (event,) = desk.hear(wire.custom(51002, "token expired", 1))
    assert isinstance(event, Failed)
    assert event.fault is Fault.AUTH
    (event,) = desk.hear(wire.custom(-7, "x" * 60_000, 0))
    assert event == Warned(f"Fyers says -7: {'x' * 200}")


def test_requests_that_are_not_taken_are_told() -> None:
    desk = Desk()
    sub = desk.want(RELIANCE, 1)
    (event,) = desk.hear(wire.no(4))
    assert isinstance(event, Refused)
    assert event.subs == (sub,)
    for kind in (5, 12):
        (event,) = desk.hear(wire.no(kind))
        assert isinstance(event, Warned)
        assert desk.hear(wire.yes(kind)) == []


@pytest.mark.parametrize("kind", [7, 8, 13])
def test_what_means_nothing_to_us_is_no_error(kind: int) -> None:
    desk = Desk()
    assert desk.hear(wire.yes(kind)) == []
    assert desk.codec.malformed == 0


@pytest.mark.parametrize(
    ("end", "fault"),
    [
        (Ended(status=401), Fault.AUTH),
        (Ended(status=403), Fault.AUTH),
        (Ended(status=429), Fault.RATE),
        (Ended(status=502), Fault.NETWORK),
        (Ended(1000, "bye", ready=True), Fault.NETWORK),
        (Ended(), Fault.NETWORK),
    ],
)
def test_an_end_has_a_kind_and_a_sentence(end: Ended, fault: Fault) -> None:
    kind, text = Desk().codec.ended(end)
    assert kind is fault
    assert text.startswith("Fyers ")


# What cannot be read.


@pytest.mark.parametrize(
    "data",
    [
        "", "text", b"", b"\0", b"\0\0\x06", b"\0\0\x06\0", b"\0\0\x63\0", b"\0\0\x01\x05",
        wire.data(1, [b"X\0\0"]), wire.data(1, [b"U"]), wire.data(1, [b"U\0\1\5\0"]),
        wire.data(1, [wire.snapshot(1, SF, [1])[:-1]]), wire.data(1, [b"L\0"]),
        wire.data(1, [wire.snapshot(1, SF, [1], multiplier=0)]),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_counted(data: str | bytes) -> None:
    desk = Desk()
    desk.want(RELIANCE, 2)
    assert desk.hear(data) == []
    assert desk.ticks == []
    assert desk.codec.malformed == 1


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=120).map(lambda b: b"\0\0\6\0" + b)))
def test_no_bytes_raise(data: bytes) -> None:
    desk = Desk(1)
    desk.want(RELIANCE, 3)
    desk.data(wire.snapshot(1, SF, full(SF, 0)), wire.snapshot(2, DP, full(DP, 0)))
    desk.hear(data)


_KINDS = {1: SF, 2: DP, 3: IF, 4: "sf|nse_cm|3045"}


@st.composite
def _cut(draw: st.DrawFn) -> tuple[bytes, int]:
    entry = wire.update(draw(st.sampled_from([1, 2, 3])), [draw(st.integers(-9, 9))] * 5)
    frame = wire.data(1, [entry, wire.lite(1, 5)])
    return frame, draw(st.integers(0, len(frame)))


@given(_cut(), st.binary(max_size=8).filter(lambda more: 4 not in more))
def test_damage_does_not_reach_another_instrument(cut: tuple[bytes, int], more: bytes) -> None:
    """Unless it happens to name that one: nobody can tell that from what was meant."""
    desk = Desk()
    for listing in (RELIANCE, NIFTY):
        desk.want(listing, 3)
    other = desk.want(SBIN, 2)
    desk.data(*(wire.snapshot(n, name, full(name, 0)) for n, name in _KINDS.items()))
    before = [tick for tick in desk.ticks if tick[0] is other]
    frame, at = cut
    desk.hear(frame[:at] + more)
    assert [tick for tick in desk.ticks if tick[0] is other] == before


def _nobody(*_: object) -> None:
    raise AssertionError("nobody wants a tick")
