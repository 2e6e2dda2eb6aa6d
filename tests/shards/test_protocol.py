"""Every request and reply of the client protocol, as OpenAlgo's clients know them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub.core.errors import RequestError
from hub.core.forms import BATCH, MSGPACK, PLAIN
from hub.core.index import Variant
from hub.core.model import Instrument, Mode
from shards import protocol
from shards.protocol import NO_OPTIONS, Drop, Options
from tests.shards.kit import ALICE
from tests.shards.strategies import ENTRY, JSON, KNOWN, REQUESTS

SBIN = Instrument("NSE", "SBIN")
NIFTY = Instrument("NSE_INDEX", "NIFTY")


def code(ask: Any, *args: Any, **kwargs: Any) -> str:
    """The code of the error reply that this call ends in."""
    with pytest.raises(RequestError) as caught:
        ask(*args, **kwargs)
    return caught.value.code


def drops(request: dict[str, Any]) -> list[Drop]:
    """What an unsubscribe names; it is not one of everything."""
    found = protocol.unsubscribe(request)
    assert found is not None
    return list(found)


# Reading.


@pytest.mark.parametrize("text", ["", "{", "nonsense", b"", "{'a': 1}", "\ufeff{}"])
def test_what_is_not_json_is_invalid_json(text: str | bytes) -> None:
    assert code(protocol.read, text) == "INVALID_JSON"


@pytest.mark.parametrize("text", ["[]", "1", '"text"', "null", "true", "1.5", "1" * 5000])
def test_json_that_is_no_object_is_a_server_error(text: str) -> None:
    assert code(protocol.read, text) == "SERVER_ERROR"


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000])
def test_nesting_without_end_is_answered_not_fatal(text: str) -> None:
    assert code(protocol.read, text) == "SERVER_ERROR"


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"\xff{}", b'"\xc3"'])
def test_bytes_that_are_no_utf_8_are_a_server_error(data: bytes) -> None:
    assert code(protocol.read, data) == "SERVER_ERROR"


def test_text_and_binary_messages_are_read_alike() -> None:
    assert protocol.read('{"action": "ping"}') == protocol.read(b'{"action": "ping"}')


@given(st.text() | st.binary() | JSON.map(json.dumps))
def test_reading_raises_nothing_but_request_errors(text: str | bytes) -> None:
    try:
        assert isinstance(protocol.read(text), dict)
    except RequestError as error:
        assert error.code in {"INVALID_JSON", "SERVER_ERROR"}


# The action.


@pytest.mark.parametrize(
    ("asked", "means"),
    [
        ("authenticate", "authenticate"),
        ("auth", "authenticate"),
        ("subscribe", "subscribe"),
        ("unsubscribe", "unsubscribe"),
        ("unsubscribe_all", "unsubscribe"),
        ("subscribe_orders", "orders"),
        ("unsubscribe_orders", "orders"),
        ("get_broker_info", "get_broker_info"),
        ("get_supported_brokers", "get_supported_brokers"),
        ("ping", "ping"),
    ],
)
@pytest.mark.parametrize("field", ["action", "type"])
def test_each_action_is_known_under_both_fields(field: str, asked: str, means: str) -> None:
    assert protocol.action({field: asked}) == means


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"action": "pong"},
        {"action": "PING"},
        {"action": " ping"},
        {"action": 5},
        {"action": ["ping"]},
        {"action": {"a": 1}},
        {"action": True},
        {"type": 1.5},
        {"action": "nonsense", "type": "ping"},
    ],
)
def test_an_unknown_action_is_invalid(request_: dict[str, Any]) -> None:
    assert code(protocol.action, request_) == "INVALID_ACTION"


@pytest.mark.parametrize("nothing", ["", None, 0, False, [], {}])
def test_type_counts_when_action_is_nothing(nothing: object) -> None:
    assert protocol.action({"action": nothing, "type": "ping"}) == "ping"


def test_action_wins_over_type() -> None:
    assert protocol.action({"action": "ping", "type": "subscribe"}) == "ping"


def test_an_invalid_action_is_named_but_not_at_any_length() -> None:
    with pytest.raises(RequestError, match="None"):
        protocol.action({})
    with pytest.raises(RequestError) as caught:
        protocol.action({"action": "x" * 100_000})
    assert len(str(caught.value)) < 300


def test_three_actions_are_open_to_all() -> None:
    known = {protocol.action({"action": name}) for name in KNOWN}
    assert known & protocol.OPEN_TO_ALL == {"authenticate", "ping", "get_supported_brokers"}


# Authenticate.


@pytest.mark.parametrize("field", ["api_key", "apikey"])
def test_the_key_has_two_names(field: str) -> None:
    assert protocol.api_key({field: "secret"}) == "secret"


def test_api_key_counts_before_its_alias() -> None:
    assert protocol.api_key({"api_key": "a", "apikey": "b"}) == "a"
    assert protocol.api_key({"api_key": "", "apikey": "b"}) == "b"


@pytest.mark.parametrize("key", ["", None, 0, [], {}, False])
def test_a_missing_key_is_an_authentication_error(key: object) -> None:
    assert code(protocol.api_key, {"api_key": key}) == "AUTHENTICATION_ERROR"
    assert code(protocol.api_key, {}) == "AUTHENTICATION_ERROR"


@pytest.mark.parametrize("key", [5, ["k"], {"k": 1}, True, 1.5])
def test_a_key_that_is_no_text_is_a_server_error(key: object) -> None:
    assert code(protocol.api_key, {"api_key": key}) == "SERVER_ERROR"


@pytest.mark.parametrize(
    ("given_", "default", "on"),
    [
        (True, False, True),
        (False, True, False),
        (1, False, False),
        (None, True, True),
        ("no", True, True),
    ],
)
def test_snapshots_are_switched_by_true_and_false_only(
    given_: object, default: bool, on: bool
) -> None:
    assert protocol.wants_snapshots({"snapshot": given_}, default=default) is on
    asked = protocol.subscribe({"symbols": [ENTRY], "snapshot": given_}, snapshot=default)
    assert asked.snapshot is on


@pytest.mark.parametrize(
    ("asked", "default", "form"),
    [
        ({}, PLAIN, PLAIN),
        ({}, BATCH | MSGPACK, BATCH | MSGPACK),
        ({"batch": None, "encoding": None}, MSGPACK, MSGPACK),
        ({"batch": True}, PLAIN, BATCH),
        ({"batch": True}, MSGPACK, BATCH | MSGPACK),
        ({"batch": False}, BATCH | MSGPACK, MSGPACK),
        ({"encoding": "msgpack"}, PLAIN, MSGPACK),
        ({"encoding": "json"}, BATCH | MSGPACK, BATCH),
        ({"batch": True, "encoding": "msgpack"}, PLAIN, BATCH | MSGPACK),
        ({"batch": False, "encoding": "json"}, BATCH | MSGPACK, PLAIN),
    ],
)
def test_a_form_is_asked_for_by_two_fields_and_stays_where_they_say_nothing(
    asked: dict[str, Any], default: int, form: int
) -> None:
    assert protocol.form(asked, default=default) == form


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"batch": 1}, "batch 1 is not true or false"),
        ({"batch": "true"}, "batch true is not true or false"),
        ({"batch": {}}, "batch {} is not true or false"),
        ({"encoding": "cbor"}, "encoding cbor is not one of json, msgpack"),
        ({"encoding": "JSON"}, "encoding JSON is not one of json, msgpack"),
        ({"encoding": ["json"]}, "encoding ['json'] is not one of json, msgpack"),
        ({"encoding": False, "batch": True}, "encoding False is not one of json, msgpack"),
    ],
)
def test_a_form_that_is_none_is_told_as_such(asked: dict[str, Any], problem: str) -> None:
    with pytest.raises(RequestError) as caught:
        protocol.form(asked, default=PLAIN)
    assert (caught.value.code, str(caught.value)) == ("INVALID_PARAMETERS", problem)


@pytest.mark.parametrize(
    ("asked", "options"),
    [
        ({}, Options(conflation_info=True, max_rate=7)),
        ({"conflation_info": False}, Options(conflation_info=False, max_rate=7)),
        ({"conflation_info": True, "max_rate": 0.1}, Options(conflation_info=True, max_rate=0.1)),
        ({"max_rate": 1000}, Options(conflation_info=True, max_rate=1000)),
        ({"max_rate": 0}, Options(conflation_info=True)),
        ({"max_rate": 0.0}, Options(conflation_info=True)),
        ({"max_rate": None}, Options(conflation_info=True)),
        ({"conflation_info": None}, Options(conflation_info=True, max_rate=7)),
        ({"stale_info": True}, Options(conflation_info=True, max_rate=7, stale_info=True)),
    ],
)
def test_options_stay_where_nothing_is_said_of_them(
    asked: dict[str, Any], options: Options
) -> None:
    before = Options(conflation_info=True, max_rate=7)
    assert protocol.options(asked, default=before) == options


@pytest.mark.parametrize("rate", [0.09, 1000.1, -1, True, False, "4", [], {}, 10**30, -0.1])
def test_a_rate_that_is_none_is_told_what_would_be_one(rate: object) -> None:
    shown = json.dumps(rate).strip('"') if not isinstance(rate, bool) else rate
    for call in (
        lambda: protocol.options({"max_rate": rate}, default=NO_OPTIONS),
        lambda: protocol.check_subscribe({**ENTRY, "max_rate": rate}),
    ):
        with pytest.raises(RequestError) as caught:
            call()
        assert caught.value.code == "INVALID_PARAMETERS"
        assert str(caught.value) == (
            f"max_rate {shown} is not a number of ticks a second from 0.1 to 1000, "
            "nor 0 or null for no limit"
        )


@pytest.mark.parametrize("info", [1, 0, "true", [], {}])
def test_conflation_info_is_true_or_false_and_nothing_else(info: object) -> None:
    for call in (
        lambda: protocol.options({"conflation_info": info}, default=NO_OPTIONS),
        lambda: protocol.check_subscribe({**ENTRY, "conflation_info": info}),
    ):
        with pytest.raises(RequestError, match="is not true or false") as caught:
            call()
        assert caught.value.code == "INVALID_PARAMETERS"


@pytest.mark.parametrize(
    ("more", "rate"), [({}, None), ({"max_rate": 4}, 4), ({"max_rate": None}, 0)]
)
def test_a_subscribe_may_have_a_rate(more: dict[str, Any], rate: float | None) -> None:
    assert protocol.subscribe({**ENTRY, **more}, snapshot=True).max_rate == rate


# Subscribe.

MODES = [
    (1, Mode.LTP),
    (2, Mode.QUOTE),
    (3, Mode.DEPTH),
    ("LTP", Mode.LTP),
    ("ltp", Mode.LTP),
    ("Quote", Mode.QUOTE),
    ("  qUoTe\t", Mode.QUOTE),
    ("DEPTH\n", Mode.DEPTH),
]
NO_MODES = ["1", "", " ", "full", "LTP QUOTE", 1.0, 2.5, None, True, False, 0, 4, -1, [], [1], {}]


@pytest.mark.parametrize(("value", "mode"), MODES)
def test_a_mode_is_a_number_or_a_label(value: object, mode: Mode) -> None:
    asked = {**ENTRY, "mode": value}
    assert protocol.subscribe(asked, snapshot=True).mode is mode
    assert drops(asked) == drops({"symbols": [asked]}) == [Drop(SBIN, mode)]


@pytest.mark.parametrize("value", NO_MODES)
def test_no_other_value_is_a_mode(value: object) -> None:
    assert code(protocol.subscribe, {**ENTRY, "mode": value}, snapshot=True) == "INVALID_MODE"
    assert code(protocol.unsubscribe, {**ENTRY, "mode": value}) == "INVALID_MODE"


def test_the_mode_is_looked_at_before_the_symbols() -> None:
    assert code(protocol.subscribe, {"mode": 9}, snapshot=True) == "INVALID_MODE"
    assert code(protocol.subscribe, {"mode": 9, "symbols": [1]}, snapshot=True) == "INVALID_MODE"


def test_a_subscribe_means_quote_at_depth_five_unless_it_says_so() -> None:
    asked = protocol.subscribe({"symbols": [ENTRY]}, snapshot=True)
    assert (asked.mode, asked.depth) == (Mode.QUOTE, 5)


@pytest.mark.parametrize(
    ("depth", "taken"),
    [(1, 1), (20, 20), (200, 200), (201, 5), (0, 5), (-1, 5), (10**400, 5), (True, 5), (7.0, 5),
     ("20", 5), (None, 5), ([1], 5), ("x" * 100_000, 5)],
)  # fmt: skip
def test_depth_is_a_number_of_levels_or_the_default(depth: object, taken: int) -> None:
    """It stands in every row of the reply: 175 KB of request became 417 MiB of reply."""
    asked = protocol.subscribe(
        {"symbols": [ENTRY], "depth": depth, "depth_level": 7}, snapshot=True
    )
    assert asked.depth == taken


@pytest.mark.parametrize("name", ["request_id", "_pingId", "timestamp"])
@pytest.mark.parametrize("value", ["x" * 1023, [["x" * 1021]], list(range(300)), 10**1024])
def test_what_is_echoed_is_short(name: str, value: object) -> None:
    with pytest.raises(RequestError, match=f"{name} is longer than 1024 bytes") as caught:
        protocol.read(json.dumps({"action": "ping", name: value}))
    assert caught.value.code == protocol.INVALID_PARAMETERS


@pytest.mark.parametrize("name", ["request_id", "_pingId", "timestamp"])
@pytest.mark.parametrize("value", ["x" * 1022, {"a": [1, None]}, 1.5, 10**1023, None, True])
def test_what_is_short_is_echoed_whatever_it_is(name: str, value: object) -> None:
    assert protocol.read(json.dumps({name: value})) == {name: value}


def test_a_mode_of_any_length_is_shown_short() -> None:
    with pytest.raises(RequestError) as caught:
        protocol.subscribe({"symbols": [ENTRY], "mode": "x" * 100_000}, snapshot=True)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"symbols": []},
        {"symbols": None},
        {"symbols": ""},
        {"symbols": 0},
        {"symbol": "SBIN"},
        {"exchange": "NSE"},
        {"symbol": "", "exchange": "NSE"},
        {"symbols": [], "symbol": "SBIN", "exchange": None},
    ],
)
def test_no_symbols_are_invalid_parameters(request_: dict[str, Any]) -> None:
    assert code(protocol.subscribe, request_, snapshot=True) == "INVALID_PARAMETERS"
    assert code(protocol.unsubscribe, request_) == "INVALID_PARAMETERS"


def test_a_single_symbol_counts_when_there_is_no_list() -> None:
    forms: list[dict[str, Any]] = [{}, {"symbols": []}, {"symbols": None}]
    for symbols in forms:
        asked = protocol.subscribe({**ENTRY, **symbols}, snapshot=True)
        assert list(asked.entries) == [(SBIN, SBIN.key, "")]
    asked = protocol.subscribe(
        {**ENTRY, "symbols": [{"symbol": "NIFTY", "exchange": "NSE_INDEX"}]}, snapshot=True
    )
    assert list(asked.entries) == [(NIFTY, NIFTY.key, "")]


@pytest.mark.parametrize(
    "entry",
    [{}, {"symbol": "X"}, {"exchange": "NSE"}, {"symbol": "", "exchange": "NSE"},
     {"symbol": "X", "exchange": None}, {"symbol": 0, "exchange": "NSE"}],
)  # fmt: skip
def test_an_entry_without_a_name_is_passed_over_in_silence(entry: dict[str, Any]) -> None:
    assert not list(protocol.subscribe({"symbols": [entry]}, snapshot=True).entries)
    asked = protocol.subscribe({"symbols": [entry, ENTRY]}, snapshot=True)
    assert list(asked.entries) == [(SBIN, SBIN.key, "")]
    assert drops({"symbols": [entry, ENTRY]}) == [Drop(SBIN, None)]


@pytest.mark.parametrize("symbols", [["SBIN"], [ENTRY, 5], [None], "SBIN", {"a": 1}, 5, True])
def test_symbols_of_another_form_are_a_server_error(symbols: object) -> None:
    assert code(protocol.subscribe, {"symbols": symbols}, snapshot=True) == "SERVER_ERROR"
    assert code(protocol.unsubscribe, {"symbols": symbols}) == "SERVER_ERROR"


def test_names_are_taken_verbatim() -> None:
    names = [("nse", "sbin"), (" NSE ", " SBIN"), ("NSE_INDEX", "A_B"), ("NSE", "₹&\"'")]
    asked = protocol.subscribe(
        {"symbols": [{"exchange": exchange, "symbol": symbol} for exchange, symbol in names]},
        snapshot=True,
    )
    wanted = [Instrument(*name) for name in names]
    assert list(asked.entries) == [(one, one.key, "") for one in wanted]


def test_a_mode_inside_an_entry_of_a_subscribe_does_not_count() -> None:
    asked = protocol.subscribe({"symbols": [{**ENTRY, "mode": 1}], "mode": 3}, snapshot=True)
    assert asked.mode is Mode.DEPTH


@pytest.mark.parametrize(
    ("exchange", "symbol"),
    [("NSE", 5), (["NSE"], "X"), ("NSE", {"a": 1}), (True, "X"), ("@orders:bob", "X"),
     ("@", "x"), ("NSE", "X" * 300), ("NSE", "\ud800"), ("_", "x")],
)  # fmt: skip
def test_a_name_that_cannot_be_used_is_a_problem_of_its_entry_alone(
    exchange: object, symbol: object
) -> None:
    bad = {"exchange": exchange, "symbol": symbol}
    asked = protocol.subscribe({"symbols": [bad, ENTRY]}, snapshot=True)
    (_, _, problem), good = asked.entries
    assert problem
    assert good == (SBIN, SBIN.key, "")


# Unsubscribe.


@pytest.mark.parametrize(
    "request_",
    [
        {"action": "unsubscribe_all"},
        {"type": "unsubscribe_all"},
        {"action": "unsubscribe", "type": "unsubscribe_all"},
        {"action": "unsubscribe_all", "type": "unsubscribe", "symbols": [ENTRY], "mode": 9},
    ],
)
def test_unsubscribe_all_is_told_by_either_field(request_: dict[str, Any]) -> None:
    assert protocol.action(request_) == "unsubscribe"
    assert protocol.unsubscribe(request_) is None


def test_without_any_mode_an_unsubscribe_leaves_it_to_the_desk() -> None:
    assert drops(ENTRY) == drops({"symbols": [ENTRY]}) == [Drop(SBIN, None)]


def test_an_entry_without_a_mode_takes_that_of_the_message() -> None:
    found = drops({"mode": "LTP", "symbols": [ENTRY, {**ENTRY, "mode": 3}]})
    assert found == [Drop(SBIN, Mode.LTP), Drop(SBIN, Mode.DEPTH)]


@pytest.mark.parametrize("mode", NO_MODES)
def test_a_bad_mode_of_the_message_is_ignored_where_entries_have_their_own(mode: object) -> None:
    found = drops({"mode": mode, "symbols": [ENTRY, {**ENTRY, "mode": 1}]})
    assert found == [Drop(SBIN, None), Drop(SBIN, Mode.LTP)]


@pytest.mark.parametrize("mode", NO_MODES)
def test_a_bad_mode_of_an_entry_is_that_entrys_problem(mode: object) -> None:
    bad, good = drops({"symbols": [{**ENTRY, "mode": mode}, ENTRY]})
    assert bad.problem
    assert good == Drop(SBIN, None)


def test_the_single_form_counts_only_without_a_list() -> None:
    found = drops(
        {**ENTRY, "mode": 1, "symbols": [{"symbol": "NIFTY", "exchange": "NSE_INDEX", "mode": 3}]}
    )
    assert found == [Drop(NIFTY, Mode.DEPTH)]


@pytest.mark.parametrize("names", [{}, {"symbol": "SBIN"}, {"exchange": "NSE"}])
def test_a_mode_that_is_none_fails_its_entry_whatever_that_names(names: dict[str, str]) -> None:
    (drop,) = drops({"symbols": [{**names, "mode": 9}]})
    assert drop.problem
    assert drop.instrument == (names.get("exchange"), names.get("symbol"))


@pytest.mark.parametrize("symbols", [["SBIN"], [None], "SBIN", 5])
def test_what_symbols_are_is_not_looked_at_before_there_is_a_broker(symbols: object) -> None:
    protocol.check_subscribe({"symbols": symbols})
    protocol.check_unsubscribe({"symbols": symbols, "mode": 9})
    assert code(protocol.check_subscribe, {"symbols": symbols, "mode": 9}) == "INVALID_MODE"


# Orders.


@pytest.mark.parametrize("field", ["action", "type"])
def test_orders_are_subscribed_and_unsubscribed(field: str) -> None:
    assert protocol.wants_orders({field: "subscribe_orders"})
    assert not protocol.wants_orders({field: "unsubscribe_orders"})
    assert protocol.wants_orders({"action": "subscribe_orders", "type": "unsubscribe_orders"})


# Anything at all.


@given(REQUESTS)
@example({"action": "unsubscribe", "symbols": [{"symbol": "\ud800", "exchange": "N"}]})
@example({"action": "subscribe", "mode": float("nan")})
def test_any_json_in_any_field_raises_nothing_but_request_errors(request_: dict[str, Any]) -> None:
    read = protocol.read(json.dumps(request_))
    for ask in (
        protocol.action,
        protocol.api_key,
        lambda asked: protocol.subscribe(asked, snapshot=True),
        lambda asked: list(protocol.unsubscribe(asked) or ()),
        protocol.wants_orders,
        lambda asked: protocol.wants_snapshots(asked, default=True),
        lambda asked: protocol.pong(asked, 1),
        lambda asked: protocol.subscribed(asked, [], "b", failed=False),
        lambda asked: protocol.orders(asked, on=True),
    ):
        try:
            ask(read)
        except RequestError as error:
            reply = json.loads(protocol.error(error.code, str(error)))
            assert list(reply) == ["status", "code", "message"]


@given(REQUESTS)
def test_an_instrument_without_a_problem_has_a_key(request_: dict[str, Any]) -> None:
    try:
        asked = protocol.subscribe(request_, snapshot=True)
    except RequestError:
        return
    for instrument, key, problem in asked.entries:
        assert problem or key == instrument.key


# Replies.


def text(reply: bytes) -> str:
    return reply.decode("ascii")


def test_an_error_has_exactly_three_keys() -> None:
    assert text(protocol.error("INVALID_MODE", "no ₹")) == (
        '{"status": "error", "code": "INVALID_MODE", "message": "no \\u20b9"}'
    )


def test_the_reply_to_authenticate_has_its_fixed_order() -> None:
    assert text(protocol.authenticated(ALICE)) == (
        '{"type": "auth", "status": "success", "message": "Authentication successful", '
        '"broker": "zerodha", "user_id": "alice", '
        '"supported_features": {"ltp": true, "quote": true, "depth": true}}'
    )


@pytest.mark.parametrize(
    ("form", "told"),
    [
        (BATCH, '"batch": true, "encoding": "json"}'),
        (MSGPACK, '"batch": false, "encoding": "msgpack"}'),
        (BATCH | MSGPACK, '"batch": true, "encoding": "msgpack"}'),
    ],
)
def test_the_reply_to_authenticate_tells_of_another_form_at_its_end(form: int, told: str) -> None:
    plain = text(protocol.authenticated(ALICE))
    assert text(protocol.authenticated(ALICE, form)) == plain[:-1] + ", " + told


def test_the_reply_to_authenticate_tells_who_asked_what_is_stale_that_it_is_told() -> None:
    plain = text(protocol.authenticated(ALICE, BATCH))
    told = text(protocol.authenticated(ALICE, BATCH, Options(stale_info=True)))
    assert told == plain[:-1] + ', "stale_info": true}'


def test_whether_a_client_asks_what_is_stale_stays_as_it_is_unless_it_says_so() -> None:
    for before in (True, False):
        for asked in ({}, {"stale_info": None}):
            stays = protocol.options(asked, default=Options(stale_info=before))
            assert stays.stale_info is before
        for wish in (True, False):
            now = protocol.options({"stale_info": wish}, default=Options(stale_info=before))
            assert now.stale_info is wish


@pytest.mark.parametrize("wrong", [0, 1, "true", [], {}])
def test_what_is_neither_true_nor_false_is_refused(wrong: object) -> None:
    with pytest.raises(RequestError, match="is not true or false") as caught:
        protocol.options({"stale_info": wrong}, default=NO_OPTIONS)
    assert caught.value.code == "INVALID_PARAMETERS"
    protocol.check_subscribe({**ENTRY, "stale_info": wrong})  # which has no such field


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (Options(conflation_info=True), '"conflation_info": true}'),
        (Options(max_rate=4), '"max_rate": 4}'),
        (Options(conflation_info=True, max_rate=0.5), '"conflation_info": true, "max_rate": 0.5}'),
    ],
)
def test_the_reply_to_authenticate_tells_of_what_was_asked_for(options: Options, told: str) -> None:
    for form in (PLAIN, BATCH | MSGPACK):
        plain = text(protocol.authenticated(ALICE, form))
        assert text(protocol.authenticated(ALICE, form, options)) == plain[:-1] + ", " + told


@pytest.mark.parametrize(
    ("mode", "label"), [(Mode.LTP, "LTP"), (Mode.QUOTE, "Quote"), (Mode.DEPTH, "Depth")]
)
def test_a_subscribed_row_carries_the_label_of_its_mode(mode: Mode, label: str) -> None:
    tail = protocol.subscribed_tail(mode, None, "b")
    assert protocol.subscribed_text(SBIN, tail) == (
        '{"symbol": "SBIN", "exchange": "NSE", "status": "success", '
        f'"mode": "{label}", "depth": null, "broker": "b"}}'
    )


@given(st.text(), st.text(), JSON, st.text())
def test_rows_are_written_as_json_dumps_would(
    exchange: str, symbol: str, depth: object, broker: str
) -> None:
    instrument = Instrument(exchange, symbol)
    rows = [
        protocol.subscribed_text(instrument, protocol.subscribed_tail(Mode.LTP, depth, broker)),
        protocol.failed_text(instrument, "why", broker),
    ]
    reply = text(protocol.subscribed({"request_id": depth}, rows, broker, failed=True))
    assert reply == json.dumps(json.loads(reply))


@pytest.mark.parametrize(
    ("good", "bad", "status"),
    [(0, 0, "success"), (2, 0, "success"), (2, 1, "partial"), (0, 1, "partial")],
)
def test_a_subscribe_is_partial_as_soon_as_one_row_failed(good: int, bad: int, status: str) -> None:
    tail = protocol.subscribed_tail(Mode.LTP, 5, "b")
    rows = [protocol.subscribed_text(SBIN, tail)] * good
    rows += [protocol.failed_text(SBIN, "why", "b")] * bad
    reply = json.loads(protocol.subscribed({}, rows, "b", failed=bool(bad)))
    assert list(reply) == ["type", "status", "subscriptions", "message", "broker"]
    assert (reply["type"], reply["status"], reply["broker"]) == ("subscribe", status, "b")
    assert reply["subscriptions"] == [json.loads(row) for row in rows]


def test_names_come_back_as_they_were_written_whatever_they_are() -> None:
    for exchange, symbol in (("NSE", '₹&"[]'), (5, [1, []]), (True, {"a": None})):
        one = Instrument(exchange, symbol)  # type: ignore[arg-type]  # clients write anything
        row = protocol.unsubscribed_text(one, "b[]")
        found = {"symbol": symbol, "exchange": exchange, "status": "success", "broker": "b[]"}
        assert row == json.dumps(found)
        failed = protocol.failed_text(one, "why []", "b[]")
        reply = text(protocol.unsubscribed({"request_id": []}, [row, row], [failed], "b[]"))
        assert reply == json.dumps(json.loads(reply))
        assert json.loads(reply)["successful"] == [found, found]
        assert json.loads(reply)["failed"] == [json.loads(failed)]


def test_a_mode_nested_without_end_is_a_problem_of_its_entry_alone() -> None:
    nested: list[object] = []
    for _ in range(10_000):
        nested = [nested]
    bad, good = drops({"symbols": [{**ENTRY, "mode": nested}, ENTRY]})
    assert bad.problem == "mode is nested too deeply"
    assert good == Drop(SBIN, None)


@pytest.mark.parametrize(
    ("good", "bad", "status"),
    [(0, 0, "success"), (2, 0, "success"), (2, 1, "partial"), (0, 1, "error")],
)
def test_an_unsubscribe_tells_what_went_and_what_failed(good: int, bad: int, status: str) -> None:
    failed = [protocol.failed_text(SBIN, "why", "b")] * bad
    dropped = [protocol.unsubscribed_text(SBIN, "b")] * good
    reply = json.loads(protocol.unsubscribed({}, dropped, failed, "b"))
    assert list(reply) == ["type", "status", "message", "successful", "failed", "broker"]
    row = {"symbol": "SBIN", "exchange": "NSE", "status": "success", "broker": "b"}
    assert (reply["type"], reply["status"]) == ("unsubscribe", status)
    assert reply["successful"] == [row] * good
    assert reply["failed"] == [json.loads(row) for row in failed]


ECHOING = [
    lambda request: protocol.subscribed(request, [], "b", failed=False),
    lambda request: protocol.unsubscribed(request, [], [], "b"),
    lambda request: protocol.orders(request, on=True),
    lambda request: protocol.orders(request, on=False),
]


@pytest.mark.parametrize("reply", ECHOING)
@pytest.mark.parametrize("value", [0, False, "", "a", [], {"a": [1]}, 1.5])
def test_a_request_id_is_echoed_whatever_it_is(reply: Any, value: object) -> None:
    found = json.loads(reply({"request_id": value}))
    assert found["request_id"] == value
    assert list(found)[-1] == "request_id"


@pytest.mark.parametrize("reply", ECHOING)
def test_no_request_id_is_echoed_as_none(reply: Any) -> None:
    assert "request_id" not in json.loads(reply({"request_id": None}))
    assert "request_id" not in json.loads(reply({}))


def test_the_replies_to_orders_are_told_apart() -> None:
    for on, kind in ((True, "subscribe_orders"), (False, "unsubscribe_orders")):
        reply = json.loads(protocol.orders({}, on=on))
        assert list(reply) == ["type", "status", "message"]
        assert (reply["type"], reply["status"]) == (kind, "success")


@pytest.mark.parametrize(("connected", "status"), [(True, "connected"), (False, "disconnected")])
def test_broker_info_tells_whether_the_feed_is_there(connected: bool, status: str) -> None:
    assert text(protocol.broker_info(ALICE, connected=connected)) == (
        '{"type": "broker_info", "status": "success", "broker": "zerodha", '
        f'"adapter_status": "{status}", "user_id": "alice"}}'
    )


def test_supported_brokers_are_listed_and_counted() -> None:
    assert text(protocol.supported_brokers(["a", "b"])) == (
        '{"type": "supported_brokers", "status": "success", "brokers": ["a", "b"], "count": 2}'
    )


@pytest.mark.parametrize(
    ("request_", "echoed"),
    [
        ({}, {}),
        ({"timestamp": None, "_pingId": None, "request_id": 1}, {}),
        ({"timestamp": 0}, {"client_timestamp": 0}),
        ({"_pingId": False}, {"_pingId": False}),
        ({"timestamp": "t", "_pingId": [1]}, {"client_timestamp": "t", "_pingId": [1]}),
    ],
)
def test_a_pong_echoes_all_but_null(request_: dict[str, Any], echoed: dict[str, Any]) -> None:
    assert json.loads(protocol.pong(request_, 17)) == {
        "type": "pong", "status": "success", "server_timestamp": 17, **echoed,
    }  # fmt: skip


def test_the_names_of_a_holding_are_those_the_client_used() -> None:
    assert protocol.names(Variant(1, "NSE_INDEX", "NIFTY", "b")) == NIFTY


@pytest.mark.parametrize("echoed", ["1e999", "[-1e999]", '{"a": [1e999, NaN]}', "Infinity"])
def test_a_number_that_no_float_holds_is_null_wherever_it_is_echoed(echoed: str) -> None:
    """`Infinity` is no JSON: a client in a browser could not read the reply."""

    def never(constant: str) -> None:
        raise AssertionError(constant)

    texts = [f'"{name}": {echoed}' for name in ("timestamp", "_pingId", "request_id")]
    row = f'"symbols": [{{"symbol": {echoed}, "exchange": {echoed}}}]'
    request = protocol.read("{" + ", ".join([*texts, row, f'"mode": {echoed}']) + "}")
    for reply in (
        protocol.pong(request, 1),
        protocol.orders(request, on=True),
    ):
        json.loads(reply, parse_constant=never)
    for drop in drops(request):
        json.loads(protocol.unsubscribed_text(drop.instrument, "sim"), parse_constant=never)
    for names, _, problem in protocol.subscribe(request | {"mode": 1}, snapshot=True).entries:
        json.loads(protocol.failed_text(names, problem, "sim"), parse_constant=never)
