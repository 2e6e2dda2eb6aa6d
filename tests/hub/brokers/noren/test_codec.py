"""The codec of the Noren family speaks as its servers do, and believes what it should."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.brokers import flattrade, shoonya
from hub.brokers.base import (
    Addresses,
    Change,
    Confirmed,
    Ended,
    Endpoint,
    Failed,
    Listing,
    Ready,
    Subscription,
)
from hub.brokers.noren.codec import NorenCodec, Profile
from hub.core.errors import BrokerError
from hub.core.model import Fault

NOW_MS = 1_795_665_600_000
CREDENTIALS = {"user_id": "FT012345", "access_token": "secret-of-today"}
ADDRESSES = Addresses("ws://127.0.0.1:1")
LTP, QUOTE, DEPTH = 1, 2, 3
ACC = Listing("NSE", "ACC", "NSE", "22", "ACC-EQ")
ACC_ON_BSE = Listing("BSE", "ACC", "BSE", "22", "ACC")
NIFTY = Listing("NSE_INDEX", "NIFTY", "NSE", "26000", "Nifty 50", kind="INDEX")
FUTURE = Listing("NFO", "NIFTY29DEC26FUT", "NFO", "65872", kind="FUT")
ACK = '{"t":"ak","uid":"FT012345","s":"OK"}'
TK = (
    '{"t":"tk","e":"NSE","tk":"22","ts":"ACC-EQ","pp":"2","ls":"1","ti":"0.05","lp":"1815.10",'
    '"pc":"0.53","v":"38452","o":"1806.00","h":"1820.45","l":"1801.20","c":"1805.55",'
    '"ap":"1812.33","oi":"120","poi":"110","toi":"987654","ltq":"4","ltt":"09:31:07",'
    '"ft":"1795665601","bp1":"1815.05","bq1":"12","sp1":"1815.25","sq1":"3"}'
)
DK = (
    '{"t":"dk","e":"NSE","tk":"22","lp":"1815.10","pc":"0.53","v":"38452","o":"1806.00",'
    '"h":"1820.45","l":"1801.20","c":"1805.55","ap":"1812.33","oi":"120","toi":"987654",'
    '"ltq":"4","ltt":"09:31:07","ft":"1795665601","tbq":"5000","tsq":"7000","uc":"1986.10",'
    '"lc":"1625.00","52h":"2320.00","52l":"1700.10",'
    '"bp1":"1815.05","bq1":"12","bo1":"2","bp2":"1815.00","bq2":"40","bo2":"5",'
    '"sp1":"1815.25","sq1":"3","so1":"1","sp2":"1815.30","sq2":"0","so2":"0"}'
)


class Tick(NamedTuple):
    sub: Subscription
    mode: int
    said: dict[str, Any]
    at_ms: int


class Line:
    """A codec, and what it has given."""

    def __init__(self, codec: NorenCodec | None = None, *, let_in: bool = True) -> None:
        self.codec = codec or flattrade.codec(CREDENTIALS, ADDRESSES)
        self.ticks: list[Tick] = []
        self.events: list[object] = []
        if let_in:
            self.hear(ACK)
            self.events.clear()

    def hear(self, *data: str | bytes) -> list[Tick]:
        """The ticks that these messages give."""
        before = len(self.ticks)
        for one in data:
            self.events += self.codec.receive(one, NOW_MS, self._take)
        return self.ticks[before:]

    def want(self, listing: Listing, mode: int) -> Subscription:
        sub = Subscription(listing)
        self.switch(sub, mode)
        return sub

    def switch(self, sub: Subscription, mode: int) -> list[dict[str, str]]:
        was, sub.mode = sub.mode, mode
        return read(self.codec.change([Change(sub, was, mode)]))

    def _take(self, sub: Subscription, mode: int, payload: bytes, at_ms: int, seq: int) -> None:
        assert mode <= sub.mode
        assert not seq
        self.ticks.append(Tick(sub, mode, json.loads(payload), at_ms))


def read(frames: Sequence[str | bytes]) -> list[dict[str, str]]:
    return [json.loads(frame) for frame in frames]


def tf(kind: str = "tf", exchange: str = "NSE", token: str = "22", **fields: str) -> str:
    return json.dumps({"t": kind, "e": exchange, "tk": token, **fields})


# Coming in.


def test_the_first_message_is_the_login() -> None:
    codec = flattrade.codec(CREDENTIALS, ADDRESSES)
    assert codec.ask() is None
    assert codec.endpoint(None) == Endpoint("ws://127.0.0.1:1")
    (login,) = codec.opened()
    assert login == (
        '{"t":"a","uid":"FT012345","actid":"FT012345","source":"API",'
        '"accesstoken":"secret-of-today"}'
    )
    assert not codec.ready


def test_a_dialect_has_other_words_for_it() -> None:
    profile = Profile(
        "definedge", "Definedge", flattrade.PROFILE.payloads, 50, "c", "susertoken", "TRTP"
    )
    codec = NorenCodec(profile, {**CREDENTIALS, "account_id": "A1"}, ADDRESSES)
    assert read(codec.opened()) == [
        {"t": "c", "uid": "FT012345", "actid": "A1", "source": "TRTP",
         "susertoken": "secret-of-today"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    "answer",
    [
        '{"t":"ak","s":"OK"}',
        '{"t":"ck","s":"Ok","uid":"X"}',
        '{"t":"cf","k":"OK"}',
        b'{"s":"ok","t":"ak"}',
    ],
)
def test_any_acknowledgement_of_the_family_lets_us_in(answer: str | bytes) -> None:
    line = Line(let_in=False)
    line.hear(answer)
    assert line.events == [Ready()]
    assert line.codec.ready
    line.hear(answer)
    assert line.events == [Ready()]


@pytest.mark.parametrize("word", ["NOT_OK", "Not_Ok", "", None, 1])
def test_any_other_answer_refuses_the_session_and_names_no_secret(word: object) -> None:
    line = Line(let_in=False)
    line.hear(json.dumps({"t": "ak", "s": word}))
    (failed,) = line.events
    assert isinstance(failed, Failed)
    assert failed.fault is Fault.AUTH
    assert "does not take the session" in failed.text
    assert "secret" not in failed.text
    assert not line.codec.ready


@pytest.mark.parametrize("missing", ["user_id", "access_token"])
def test_credentials_without_a_session_do_not_connect(missing: str) -> None:
    codec = flattrade.codec({**CREDENTIALS, missing: ""}, ADDRESSES)
    with pytest.raises(BrokerError, match=missing.upper()) as raised:
        codec.endpoint(None)
    assert raised.value.fault is Fault.AUTH


def test_a_beat_is_answered_with_a_beat_and_orders_are_no_matter_of_this_feed() -> None:
    line = Line()
    assert line.codec.beat() == ('{"t":"h"}',)
    line.hear('{"t":"h"}', '{"t":"ok"}', '{"t":"om","status":"COMPLETE"}', '{"t":"uk"}')
    assert (line.events, line.ticks, line.codec.malformed) == ([], [], 0)


# What is asked.


def test_quotes_are_asked_as_touchlines_and_depth_as_depth() -> None:
    line = Line()
    subs = [Subscription(one) for one in (ACC, ACC_ON_BSE, NIFTY, FUTURE)]
    changes = [Change(sub, 0, mode) for sub, mode in zip(subs, (1, 2, 3, 3), strict=True)]
    assert line.codec.change(changes) == [
        '{"t":"t","k":"NSE|22#BSE|22"}',
        '{"t":"d","k":"NSE|26000#NFO|65872"}',
    ]


@pytest.mark.parametrize(
    ("was", "to", "asked"),
    [
        (1, 2, ["t"]), (2, 1, []), (1, 3, ["d", "u"]), (2, 3, ["d", "u"]),
        (3, 1, ["t", "ud"]), (3, 2, ["t", "ud"]), (1, 0, ["u"]), (3, 0, ["ud"]),
    ],
)  # fmt: skip
def test_a_change_of_mode_asks_for_the_new_stream_before_it_leaves_the_old(
    was: int, to: int, asked: list[str]
) -> None:
    line = Line()
    sub = line.want(ACC, was)
    frames = line.switch(sub, to)
    assert [frame["t"] for frame in frames] == asked
    assert all(frame["k"] == "NSE|22" for frame in frames)


def test_no_message_asks_for_more_than_the_broker_takes() -> None:
    line = Line()
    subs = [Subscription(Listing("NSE", f"S{n}", "NSE", str(n))) for n in range(120)]
    frames = read(line.codec.change([Change(sub, 0, 2) for sub in subs]))
    assert [len(frame["k"].split("#")) for frame in frames] == [50, 50, 20]
    assert "#".join(frame["k"] for frame in frames).split("#") == [f"NSE|{n}" for n in range(120)]


def test_one_that_is_wanted_again_in_the_same_breath_is_left_first() -> None:
    line = Line()
    old = line.want(ACC, QUOTE)
    new = Subscription(ACC)
    old.mode, new.mode = 0, QUOTE
    frames = read(line.codec.change([Change(old, QUOTE, 0), Change(new, 0, QUOTE)]))
    assert [frame["t"] for frame in frames] == ["u", "t"]
    assert [tick.sub for tick in line.hear(TK)] == [new]


def test_what_another_subscription_has_taken_over_is_not_unsubscribed() -> None:
    line = Line()
    old = line.want(ACC, QUOTE)
    new = line.want(ACC, QUOTE)
    assert line.switch(old, 0) == []
    assert [tick.sub for tick in line.hear(TK)] == [new]


# Ticks.


def test_quote_where_ltp_was_had_is_published_with_whatever_comes_next() -> None:
    line = Line()
    sub = line.want(ACC, LTP)
    line.hear(TK)
    sub.waits = False
    assert line.switch(sub, QUOTE) == [{"t": "t", "k": "NSE|22"}, {"t": "h"}]
    (tick,) = line.hear('{"t":"h"}')
    assert (tick.sub, tick.mode, tick.said["volume"]) == (sub, QUOTE, 38452)
    assert line.hear('{"t":"h"}') == []


@pytest.mark.parametrize("then", [0, LTP, DEPTH])
def test_quote_that_is_no_longer_wanted_is_not_published(then: int) -> None:
    line = Line()
    sub = line.want(ACC, LTP)
    line.hear(TK)
    sub.waits = False
    line.switch(sub, QUOTE)
    line.switch(sub, then)
    assert line.hear('{"t":"h"}') == []


def test_flattrade_s_payloads_are_those_of_openalgo_s_adapter() -> None:
    line = Line()
    sub = line.want(ACC, LTP)
    (tick,) = line.hear(TK)
    tail = {"symbol": "ACC", "exchange": "NSE", "timestamp": NOW_MS}
    assert tick == (
        sub, LTP, {"mode": 1, "ltp": 1815.1, "flattrade_timestamp": 1795665601, **tail},
        1795665601000,
    )  # fmt: skip
    quote = {
        "mode": 2, "ltp": 1815.1, "volume": 38452, "open": 1806.0, "high": 1820.45, "low": 1801.2,
        "close": 1805.55, "average_price": 1812.33, "percent_change": 0.53, "last_quantity": 4,
        "last_trade_time": "09:31:07",
    }  # fmt: skip
    line.switch(sub, QUOTE)
    (tick,) = line.hear(TK)
    expected = {**quote, "flattrade_timestamp": 1795665601, "oi": 120, **tail}
    assert list(tick.said.items()) == list(expected.items())
    line.switch(sub, DEPTH)
    (tick,) = line.hear(DK)
    none = {"price": 0.0, "quantity": 0, "orders": 0}
    buy = [{"price": 1815.05, "quantity": 12, "orders": 2}, {"price": 1815.0, "quantity": 40, "orders": 5}]  # fmt: skip  # noqa: E501
    sell = [{"price": 1815.25, "quantity": 3, "orders": 1}]
    expected = {
        **quote, "mode": 3, "total_buy_quantity": 5000, "total_sell_quantity": 7000,
        "flattrade_timestamp": 1795665601,
        "depth": {"buy": buy + 3 * [none], "sell": sell + 4 * [none]}, "depth_level": 5,
        "upper_circuit": 1986.1, "lower_circuit": 1625.0, "52_week_high": 2320.0,
        "52_week_low": 1700.1, "total_traded_value": round(38452 * 1812.33), "oi": 120, **tail,
    }  # fmt: skip
    assert list(tick.said.items()) == list(expected.items())


def test_shoonya_s_payloads_differ_in_their_names_and_have_the_contract_s_own_interest() -> None:
    line = Line(shoonya.codec(CREDENTIALS, ADDRESSES))
    sub = line.want(ACC, LTP)
    (tick,) = line.hear(TK)
    assert list(tick.said) == [
        "mode", "ltp", "last_trade_time", "shoonya_timestamp", "symbol", "exchange", "timestamp",
    ]  # fmt: skip
    assert tick.said["last_trade_time"] == "09:31:07"
    line.switch(sub, DEPTH)
    (tick,) = line.hear(DK)
    assert tick.said["open_interest"] == tick.said["oi"] == 120
    assert "total_traded_value" not in tick.said
    assert tick.said["shoonya_timestamp"] == 1795665601


def test_a_partial_message_is_merged_before_it_is_published() -> None:
    line = Line()
    line.want(ACC, QUOTE)
    line.hear(TK)
    (tick,) = line.hear(tf(lp="1816.00", v="38460"))
    assert (tick.said["ltp"], tick.said["volume"]) == (1816.0, 38460)
    assert (tick.said["high"], tick.said["last_trade_time"]) == (1820.45, "09:31:07")


def test_numbers_that_are_no_text_and_empty_fields_are_taken_for_what_they_are() -> None:
    line = Line()
    line.want(ACC, QUOTE)
    line.hear(TK)
    (tick,) = line.hear('{"lp":1816,"t":"tf","h":"","e":"NSE","l":"-","tk":22,"v":38461}')
    said = tick.said
    assert (said["ltp"], said["volume"], said["high"], said["low"]) == (
        1816.0,
        38461,
        1820.45,
        1801.2,
    )
    assert line.codec.malformed == 0


def test_the_same_token_on_two_exchanges_never_mixes() -> None:
    line = Line()
    here, there = line.want(ACC, QUOTE), line.want(ACC_ON_BSE, LTP)
    ticks = line.hear(TK, tf("tk", "BSE", lp="1816.40"), tf(lp="1815.20"), tf("tf", "BSE", v="7"))
    assert [(tick.sub, tick.said["ltp"]) for tick in ticks] == [
        (here, 1815.1), (there, 1816.4), (here, 1815.2), (there, 1816.4),
    ]  # fmt: skip
    assert [tick.said["exchange"] for tick in ticks] == ["NSE", "BSE", "NSE", "BSE"]


def test_of_what_was_released_and_of_what_nobody_asked_nothing_is_published() -> None:
    line = Line()
    sub = line.want(ACC, QUOTE)
    sub.mode = 0
    assert line.hear(TK) == []
    line.codec.change([Change(sub, QUOTE, 0)])
    assert line.hear(TK, tf(token="99"), tf(exchange="NFO")) == []
    assert line.codec.malformed == 0


def test_an_acknowledgement_without_any_price_confirms_and_is_no_tick() -> None:
    line = Line()
    sub = line.want(FUTURE, QUOTE)
    assert line.hear(tf("tk", "NFO", "65872", c="12.5")) == []
    assert line.events == [Confirmed(sub)]
    sub.waits = False
    line.hear(tf("tk", "NFO", "65872", c="12.5"))
    assert line.events == [Confirmed(sub)]


def test_a_book_without_any_price_is_a_tick_all_the_same() -> None:
    line = Line()
    line.want(FUTURE, DEPTH)
    (tick,) = line.hear(tf("dk", "NFO", "65872", bp1="3.05", bq1="75", bo1="1"))
    assert (tick.mode, tick.said["ltp"]) == (DEPTH, 0.0)


# From one stream to the other.


def test_until_depth_has_come_the_touchline_still_counts_and_never_after() -> None:
    line = Line()
    sub = line.want(ACC, QUOTE)
    line.hear(TK)
    line.switch(sub, DEPTH)
    sub.waits = False
    (tick,) = line.hear(tf(lp="1815.50"))
    assert (tick.mode, tick.said["ltp"]) == (QUOTE, 1815.5)
    assert [tick.mode for tick in line.hear(DK)] == [DEPTH]
    assert line.hear(tf(lp="1.00")) == []
    (tick,) = line.hear(tf("df", lp="1815.60"))
    assert (tick.mode, tick.said["ltp"]) == (DEPTH, 1815.6)


def test_a_touchline_on_its_way_does_not_pass_for_the_acknowledgement_of_depth() -> None:
    line = Line()
    sub = line.want(ACC, QUOTE)
    line.hear(TK)
    line.switch(sub, DEPTH)
    sub.waits = True
    assert line.hear(tf(lp="1815.50", h="1830.00")) == []
    (tick,) = line.hear(tf("dk", bp1="1815.00", bq1="1"))
    assert (tick.mode, tick.said["ltp"], tick.said["high"]) == (DEPTH, 1815.5, 1830.0)


def test_until_the_touchline_has_come_depth_still_counts_and_never_after() -> None:
    line = Line()
    sub = line.want(ACC, DEPTH)
    line.hear(DK)
    line.switch(sub, LTP)
    (tick,) = line.hear(tf("df", lp="1815.50"))
    assert (tick.mode, tick.said["ltp"]) == (LTP, 1815.5)
    assert [tick.mode for tick in line.hear(TK)] == [LTP]
    assert line.hear(tf("df", lp="1.00"), DK) == []


def test_an_old_book_is_never_shown_as_that_of_now() -> None:
    line = Line()
    sub = line.want(ACC, DEPTH)
    line.hear(DK)
    line.switch(sub, QUOTE)
    line.hear(TK)
    line.switch(sub, DEPTH)
    assert [tick.mode for tick in line.hear(tf("df", bp2="1814.00", bq2="1"), tf(lp="1"))] == [
        QUOTE
    ]
    (tick,) = line.hear(DK)
    assert tick.said["depth"]["buy"][1]["price"] == 1815.0


def test_a_book_that_came_when_depth_was_left_is_none_when_depth_is_wanted_again() -> None:
    line = Line()
    sub = line.want(ACC, DEPTH)
    line.hear(DK)
    line.switch(sub, QUOTE)
    line.hear(DK, TK)
    sub.mode, sub.waits = DEPTH, False  # and nothing asked yet
    assert [tick.mode for tick in line.hear(tf(lp="1815.50"))] == [QUOTE]


def test_after_a_reconnect_values_are_kept_and_the_book_waits_for_a_full_message() -> None:
    line = Line()
    sub = line.want(ACC, DEPTH)
    line.hear(DK)
    again = Line()
    again.codec.change([Change(sub, 0, DEPTH)])
    (tick,) = again.hear(tf("df", bq1="99"))
    assert (tick.mode, tick.said["high"]) == (QUOTE, 1820.45)
    (tick,) = again.hear(tf("dk", lp="1815.70", bp1="1815.60", bq1="1", bo1="1"))
    assert tick.said["depth"]["buy"][1]["price"] == 0.0


# How it ends.


@pytest.mark.parametrize(
    ("end", "fault"),
    [
        (Ended(code=1000, ready=True), Fault.EVICTED),
        (Ended(code=1000, ready=False), Fault.RATE),
        (Ended(code=1006, ready=True), Fault.NETWORK),
        (Ended(), Fault.NETWORK),
        (Ended(status=401), Fault.AUTH),
        (Ended(status=403), Fault.AUTH),
        (Ended(status=429), Fault.RATE),
        (Ended(status=502), Fault.NETWORK),
    ],
)
def test_why_it_ended_is_told_apart(end: Ended, fault: Fault) -> None:
    found, text = flattrade.codec(CREDENTIALS, ADDRESSES).ended(end)
    assert found is fault
    assert "Flattrade" in text


# Whatever comes.


@pytest.mark.parametrize(
    "data",
    [
        "", "x", "{", "[]", "null", "{}", '{"t":7}', '{"t":"zz"}', '{"t":"tf"}', b"", b"\xff\xfe",
        '{"t":"tf","e":"NSE"}', '{"t":"tf","e":[],"tk":"22"}', "\ud800", '{"t":' * 50_000,
        '{"t":"tf","e":"NSE","tk":"22","lp":"nan"}', '{"t":"tf","e":"NSE","tk":"22","lp":[1]}',
        '{"t":"tf","e":"NSE","tk":"22","lp":"1e999"}',
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_counted_and_changes_nothing(data: str | bytes) -> None:
    line = Line()
    line.want(ACC, QUOTE)
    line.hear(TK)
    after = line.hear(data)
    assert line.codec.malformed == 1
    assert all(tick.said["ltp"] == 1815.1 for tick in after)


_WORDS = st.sampled_from(
    ["tk", "tf", "dk", "df", "ak", "h", "om", "NSE", "BSE", "22", "1.5", "0", "-", ""]
)
_VALUES = _WORDS | st.integers() | st.floats() | st.none() | st.text(max_size=3) | st.lists(_WORDS)
_FIELDS = st.sampled_from(["t", "e", "tk", "lp", "v", "o", "ltt", "ft", "s", "bp1", "bq1", "52h"])


@given(
    st.lists(
        st.binary()
        | st.text()
        | st.dictionaries(_FIELDS, _VALUES).map(json.dumps)
        | st.integers(0, len(DK)).map(lambda size: DK[:size]),
        max_size=8,
    )
)
def test_nothing_that_comes_raises_or_is_taken_for_something_else(data: list[str | bytes]) -> None:
    line = Line()
    here, there = line.want(ACC, DEPTH), line.want(ACC_ON_BSE, QUOTE)
    line.hear(DK, tf("tk", "BSE", lp="2.0"))
    for one in data:
        for tick in line.hear(one):
            said = json.loads(one)
            assert (said["e"], str(said["tk"]).strip()) == (tick.said["exchange"], "22")
            assert tick.sub is (here if said["e"].strip() == "NSE" else there)
