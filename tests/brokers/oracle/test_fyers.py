"""Fyers' own parser (fyers-apiv3) reads the fake server's packets as the codecs do.

Where the two differ on purpose: its circuits are 0 and it drops the open interest, it reads
quantities with a sign, and an update that changes nothing makes no tick of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.brokers.base import Addresses, Change, Listing, Subscription
from hub.brokers.fyers.codec import FyersCodec
from hub.brokers.fyers.tbt import TbtCodec
from tests.brokers import fyers_wire as wire
from tests.brokers.fyers_server import CREDENTIALS
from tests.brokers.fyers_tbt import whole
from tests.brokers.oracle.stubs import client

TRANSPORT = (
    "aws_lambda_powertools", "pkg_resources", "requests", "websocket", "aiohttp",
)  # fmt: skip
SHARE = Listing("NSE", "RELIANCE", "nse_cm", "2885", "NSE:RELIANCE-EQ")
NIFTY = Listing("NSE_INDEX", "NIFTY", "nse_cm", "Nifty 50", kind="INDEX")
SF, DP, IF = "sf|nse_cm|2885", "dp|nse_cm|2885", "if|nse_cm|Nifty 50"
NOW_MS = 1_795_000_000_000
TICKER = SHARE.broker_symbol
QUOTE = {
    "ltp": "ltp", "vol_traded_today": "volume", "last_traded_time": "last_traded_time",
    "exch_feed_time": "exchange_time", "bid_size": "bid_size", "ask_size": "ask_size",
    "bid_price": "bid_price", "ask_price": "ask_price", "last_traded_qty": "last_trade_quantity",
    "tot_buy_qty": "total_buy_quantity", "tot_sell_qty": "total_sell_quantity",
    "avg_trade_price": "avg_trade_price", "low_price": "low", "high_price": "high",
    "open_price": "open", "prev_close_price": "close",
}  # fmt: skip
"""Their names of what we read, and ours."""


@pytest.fixture(scope="module")
def sdk() -> Iterator[Any]:
    """The SDK's modules, with nothing that they connect by or write with."""
    without = (*TRANSPORT, "fyers_apiv3.fyers_logger")
    with (
        client("fyers_apiv3.FyersWebsocket.data_ws", *without) as data,
        client("fyers_apiv3.FyersWebsocket.tbt_ws", *without) as books,
    ):
        yield data, books


class Theirs:
    """Their parser of the data socket."""

    def __init__(self, data: Any) -> None:
        self.said: list[dict[str, Any]] = []
        socket = object.__new__(data.FyersDataSocket)
        lists = json.loads((Path(data.__file__).parent / "map.json").read_text())
        for name in ("data_val", "index_val", "lite_val", "depthvalue"):
            setattr(socket, name, lists[name])
        for name in ("resp", "dp_sym", "index_sym", "scrips_sym"):
            setattr(socket, name, {})
        socket.symbol_token = {SF: "share", DP: "share", IF: "index"}
        socket.ack_count = socket.update_count = 0
        socket.lite = False
        socket.data_logger = MagicMock(exception=_raise)
        socket.OnMessage = lambda said: self.said.append(dict(said))
        socket.OnError = self.said.append
        self.hear = socket._FyersDataSocket__response_msg
        self.auth = socket


def _raise(error: BaseException) -> None:
    raise error


class Ours:
    """Our codec, with a share in Quote or in Depth, and an index."""

    def __init__(self, mode: int) -> None:
        self.codec = FyersCodec(CREDENTIALS, Addresses(""))
        self.said: list[dict[str, Any]] = []
        subs = [Subscription(SHARE), Subscription(NIFTY)]
        for sub in subs:
            sub.mode = mode
        self.codec.change([Change(sub, 0, mode) for sub in subs])

    def hear(self, data: bytes) -> None:
        self.codec.receive(data, NOW_MS, self._take)

    def _take(self, sub: Subscription, mode: int, payload: bytes, at_ms: int, seq: int) -> None:
        sub.waits = False
        self.said.append(json.loads(payload))


_FIGURE = st.integers(1, 2**31 - 1)
_CHANGE = st.one_of(st.none(), _FIGURE)
_SCALES = {"precision": st.integers(0, 5), "multiplier": st.integers(1, 1000)}


@given(
    st.lists(_FIGURE, min_size=21, max_size=21),
    st.lists(_FIGURE, min_size=6, max_size=6),
    st.lists(_CHANGE, min_size=21, max_size=21),
    st.lists(_CHANGE, min_size=6, max_size=6),
    st.fixed_dictionaries(_SCALES),
)
def test_quotes_and_indices(
    sdk: Any,
    share: Sequence[int],
    index: Sequence[int],
    changed: Sequence[int | None],
    moved: Sequence[int | None],
    scale: dict[str, int],
) -> None:
    theirs, ours = Theirs(sdk[0]), Ours(2)
    frame = wire.data(
        1,
        [
            wire.snapshot(258, IF, index, **scale),  # type: ignore[arg-type]
            wire.snapshot(513, SF, share, **scale),  # type: ignore[arg-type]
            wire.update(
                513, [None if new == old else new for new, old in zip(changed, share, strict=True)]
            ),
            wire.update(
                258, [None if new == old else new for new, old in zip(moved, index, strict=True)]
            ),
        ],
    )
    theirs.hear(bytearray(frame))
    ours.hear(frame)
    _alike(theirs.said, ours.said)


def _alike(theirs: Sequence[dict[str, Any]], ours: Sequence[dict[str, Any]]) -> None:
    """Of each instrument the first and the last are as theirs."""
    for symbol, type_ in (("RELIANCE", "sf"), ("NIFTY", "if")):
        mine = [one for one in ours if one["symbol"] == symbol]
        yours = [one for one in theirs if one["type"] == type_]
        assert len(mine) >= len(yours) > 0
        for at in (0, -1):
            for their_name, our_name in QUOTE.items():
                if their_name in yours[at]:
                    assert mine[at][our_name] == yours[at][their_name], our_name


@given(
    st.lists(st.integers(1, 2**31 - 1), min_size=30, max_size=30),
    st.lists(st.one_of(st.none(), st.integers(1, 2**31 - 1)), min_size=30, max_size=30),
    st.fixed_dictionaries(_SCALES),
)
def test_books(
    sdk: Any, book: Sequence[int], changed: Sequence[int | None], scale: dict[str, int]
) -> None:
    theirs, ours = Theirs(sdk[0]), Ours(3)
    entries = [
        wire.snapshot(1, SF, [100] * 21),
        wire.snapshot(2, DP, book, **scale),  # type: ignore[arg-type]
        wire.update(2, changed),
    ]
    theirs.hear(bytearray(wire.data(1, entries)))
    ours.hear(wire.data(1, entries))
    last = next(one for one in reversed(theirs.said) if one["type"] == "dp")
    for side, word in (("buy", "bid"), ("sell", "ask")):
        assert ours.said[-1]["depth"][side] == [
            {
                "price": last[f"{word}_price{n}"],
                "quantity": last[f"{word}_size{n}"],
                "orders": last[f"{word}_order{n}"],
            }
            for n in range(1, 6)
        ]


def test_replies_and_messages(sdk: Any) -> None:
    theirs = Theirs(sdk[0])
    theirs.hear(bytearray(wire.yes(1, 50)))
    assert theirs.auth.ack_count == 50
    theirs.hear(bytearray(wire.no(1)))
    theirs.hear(bytearray(wire.custom(51001, "too many", 4)))
    assert [one["code"] for one in theirs.said] == [200, 11001, 51001]
    assert theirs.said[-1]["message"] == "too many"


def test_our_frames_are_as_theirs_but_for_their_length(sdk: Any) -> None:
    theirs = Theirs(sdk[0]).auth
    theirs.source, theirs.mode, theirs.channel_num = "Shardhub", "P", 11
    theirs._FyersDataSocket__hsm_token = "hsm-key-1"
    theirs._FyersDataSocket__access_token = CREDENTIALS["access_token"]
    theirs.scrips_per_channel = {11: []}
    codec = FyersCodec(CREDENTIALS, Addresses(""))
    (login,) = codec.opened()
    assert login[2:] == bytes(theirs._FyersDataSocket__access_token_msg())[2:]
    events = codec.receive(wire.yes(1, 1), 1, lambda *_: None)
    assert events[0].frames == (bytes(theirs._FyersDataSocket__full_mode_msg()),)  # type: ignore[union-attr]
    sub = Subscription(SHARE)
    (asked,) = codec.change([Change(sub, 0, 2)])
    assert asked[2:] == bytes(theirs._FyersDataSocket__subscription_msg([SF]))[2:]
    (left,) = codec.change([Change(sub, 2, 0)])
    assert left[2:] == bytes(theirs._FyersDataSocket__unsubscription_msg([SF]))[2:]
    (said,) = codec.receive(wire.data(77, []), 1, lambda *_: None)
    assert said.frames == (bytes(theirs._FyersDataSocket__ackowledgement_msg(77)),)  # type: ignore[union-attr]


_LEVELS = st.lists(
    st.tuples(
        st.integers(0, 49),
        *(st.one_of(st.none(), st.integers(1, 10**6)) for _ in range(3)),
    ),
    max_size=12,
)


@given(_LEVELS, _LEVELS, st.one_of(st.none(), st.integers(0, 2**40)))
def test_deep_books(
    sdk: Any, bids: Sequence[wire.Level], asks: Sequence[wire.Level], buying: int | None
) -> None:
    codec, said = TbtCodec(CREDENTIALS, Addresses("")), []
    sub = Subscription(SHARE, "RELIANCE:50")
    sub.mode = 3
    codec.change([Change(sub, 0, 3)])
    depth = sdk[1].Depth()
    for feed, snapshot in (
        (whole(TICKER), True),
        (wire.feed(TICKER, bids=bids, asks=asks, buying=buying, sequence=5), False),
    ):
        data = wire.message({"2885": feed}, snapshot=snapshot)
        codec.receive(data, NOW_MS, lambda *tick: said.append(tick))
        message = sdk[1].protomsg.SocketMessage()
        message.ParseFromString(data)
        depth._addDepth(message.feeds["2885"], message.snapshot)
    _, _, text, at_ms, sequence = said[-1]
    payload = json.loads(text)
    assert (at_ms, sequence) == (depth.timestamp * 1000, depth.seqNo)
    assert (payload["total_buy_qty"], payload["total_sell_qty"]) == (depth.tbq, depth.tsq)
    for side, word in (("buy", "bid"), ("sell", "ask")):
        levels = payload["depth"][side]
        assert [one["price"] for one in levels] == getattr(depth, f"{word}price")
        assert [one["quantity"] for one in levels] == getattr(depth, f"{word}qty")
        assert [one["orders"] for one in levels] == getattr(depth, f"{word}ordn")
