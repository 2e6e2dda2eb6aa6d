"""How the names on the bus are read, whatever bytes come."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub.core import topics
from hub.core.errors import Malformed
from hub.core.model import Instrument, Mode
from hub.core.topics import Kind

NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=40)
EXCHANGES = NAMES.filter(lambda name: name[0] not in "@_")
MODES = st.sampled_from(Mode)


@given(EXCHANGES, NAMES, MODES)
@example("NSE_INDEX", "NIFTY_50_", Mode.LTP)
@example("NSE", "A_LTP", Mode.QUOTE)
@example("NSE", "_", Mode.DEPTH)
def test_rule_1_and_2_every_instrument_makes_the_round_trip(
    exchange: str, symbol: str, mode: Mode
) -> None:
    key = Instrument(exchange, symbol).key
    assert topics.parse(topics.of(key, mode)) == (key, mode)


@given(st.binary(max_size=40) | st.binary(max_size=30).map(lambda head: b"N_" + head + b"_LTP"))
def test_rule_1_bytes_are_read_as_they_stand_or_malformed(topic: bytes) -> None:
    try:
        key, mode = topics.parse(topic)
    except Malformed:
        return
    assert topics.of(key, mode).upper() == topic.upper()
    assert topic.startswith(key)
    assert key.decode().partition("_")[1] == "_"
    assert not topics.key_problem(topics.plain(key))


@given(MODES, st.data())
def test_the_label_may_come_in_any_case(mode: Mode, data: st.DataObject) -> None:
    label = "".join(data.draw(st.sampled_from((c, c.lower()))) for c in mode.name)
    assert topics.parse(f"NSE_RELIANCE_{label}".encode()) == (b"NSE_RELIANCE", mode)


def test_of_writes_the_label_as_the_adapters_do() -> None:
    assert topics.of(b"NSE_INDEX_NIFTY", 1) == b"NSE_INDEX_NIFTY_LTP"
    assert topics.of(b"NSE_RELIANCE", Mode.QUOTE) == b"NSE_RELIANCE_QUOTE"
    assert topics.of(b"NSE_RELIANCE", 3) == b"NSE_RELIANCE_DEPTH"


@pytest.mark.parametrize(
    "topic", [b"", b"_", b"LTP", b"_LTP", b"NSE_RELIANCE", b"NSE_RELIANCE_FULL", b"NSE_RELIANCE_"]
)
def test_a_topic_without_a_mode_is_malformed(topic: bytes) -> None:
    with pytest.raises(Malformed):
        topics.parse(topic)


@pytest.mark.parametrize("key", [b"", b"NSE", b"NSE_", b"_RELIANCE", b"_"])
def test_a_key_needs_an_exchange_and_a_symbol(key: bytes) -> None:
    assert topics.key_problem(key) == "it needs an exchange and a symbol"
    with pytest.raises(Malformed, match="needs an exchange"):
        topics.parse(key + b"_LTP")


@pytest.mark.parametrize("key", [b"@orders:alice_x", b"@_x", b"@orders:a_b_c"])
def test_rule_3_names_with_an_at_sign_never_come_from_outside(key: bytes) -> None:
    assert "reserved" in topics.key_problem(key)
    with pytest.raises(Malformed, match="reserved"):
        topics.parse(key + b"_LTP")


def test_an_at_sign_elsewhere_is_a_letter_like_any_other() -> None:
    assert topics.parse(b"NSE_@A_LTP").key == b"NSE_@A"


def test_a_key_may_have_256_bytes_and_no_more() -> None:
    longest = b"NSE_" + b"A" * (topics.MAX_KEY_BYTES - 4)
    assert topics.MAX_KEY_BYTES == 256
    assert topics.parse(longest + b"_DEPTH").key == longest
    with pytest.raises(Malformed, match="longer than 256 bytes"):
        topics.parse(longest + b"A_DEPTH")


@given(st.text(min_size=1, max_size=300), st.text(min_size=1, max_size=300))
def test_what_a_client_names_is_read_as_the_key_it_makes(exchange: str, symbol: str) -> None:
    try:
        key, problem = topics.key_of(exchange, symbol)
    except UnicodeEncodeError:
        return
    assert key == Instrument(exchange, symbol).key
    assert problem == topics.key_problem(key)


@pytest.mark.parametrize(
    ("exchange", "symbol"),
    [("_", "A"), ("_NSE", "A"), ("@orders:a", "b"), ("NSE", "A\n"), ("NSE", "A\x7f"),
     ("NSE", "\x85"), ("NSE", "A" * 252), ("NSE", "A" * 253), ("NSE", "M&M"), ("A B", "C"),
     ("NSE", "\u2028")],
)  # fmt: skip
def test_a_key_made_of_names_is_judged_like_any_other(exchange: str, symbol: str) -> None:
    key, problem = topics.key_of(exchange, symbol)
    assert problem == topics.key_problem(key)


@pytest.mark.parametrize("key", [b"NSE_\xff", b"\xc3_A", b"NSE_\xed\xa0\x80", b"NSE_\xc0\xaf"])
def test_a_key_that_is_not_utf_8_is_malformed(key: bytes) -> None:
    assert topics.key_problem(key) == "it is not UTF-8"
    with pytest.raises(Malformed, match="not UTF-8"):
        topics.parse(key + b"_LTP")


def test_what_is_wrong_is_told_without_repeating_a_huge_topic() -> None:
    with pytest.raises(Malformed) as caught:
        topics.parse(b"x" * 1_000_000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("topic", "kind"),
    [
        (b"NSE_RELIANCE_LTP", Kind.TICK),
        (b"anything", Kind.TICK),
        (b"", Kind.TICK),
        (b"zerodha_alice_orders", Kind.ORDERS),
        (b"zerodha_alice_positions", Kind.IGNORED),
        (b"zerodha_alice_margins", Kind.IGNORED),
        (b"CACHE_INVALIDATE", Kind.INVALIDATE),
        (b"CACHE_INVALIDATE_ALL_alice", Kind.INVALIDATE),
        (b"CACHE_INVALIDATE_AUTH_a_orders", Kind.INVALIDATE),  # upstream looks at the head first
    ],
)
def test_the_topic_alone_tells_what_a_bus_message_is(topic: bytes, kind: Kind) -> None:
    assert topics.kind(topic) is kind


@given(st.text(), st.text())
@example("\ud800", "\ud801")
def test_users_have_keys_of_their_own_that_no_tick_can_have(one: str, other: str) -> None:
    key = topics.orders(one)
    assert key.startswith(b"@")
    assert (key == topics.orders(other)) == (one == other)
    with pytest.raises(Malformed):
        topics.parse(key)


@pytest.mark.parametrize("user", ["algo_quote", "ltp", "x_DEPTH"])
def test_word_of_credentials_is_no_tick_whatever_the_users_name_ends_in(user: str) -> None:
    with pytest.raises(Malformed, match="credentials"):
        topics.parse(f"CACHE_INVALIDATE_ALL_{user}".encode())


@pytest.mark.parametrize("control", ["\n", "\r", "\0", "\x1b", "\x7f", "\x85", "\u2028"])
def test_a_name_with_control_characters_is_refused(control: str) -> None:
    """Names stand in log lines: a line break in one would forge the next line."""
    key = Instrument("NSE", f"A{control}12:00:00 WARNING forged").key
    assert topics.key_problem(key) == "control characters are not allowed in names"
    with pytest.raises(Malformed):
        topics.parse(topics.of(key, Mode.LTP))


ORIGINS = st.text(min_size=1, max_size=40) | st.sampled_from(["angel", "a_b", "CACHE_INVALIDATE"])


@given(ORIGINS, EXCHANGES, NAMES, MODES)
@example("\x1f", "NSE", "A", Mode.LTP)
@example("\ud800", "NSE", "A", Mode.LTP)
def test_rule_4_a_key_keeps_its_scope_and_is_the_same_without_it(
    origin: str, exchange: str, symbol: str, mode: Mode
) -> None:
    key = Instrument(exchange, symbol).key
    scoped = topics.scope(origin) + key
    assert scoped != key
    assert topics.plain(scoped) == key
    assert topics.plain(topics.of(scoped, mode)) == topics.of(key, mode)
    assert topics.parse(topics.of(scoped, mode)) == (scoped, mode)
    assert topics.kind(scoped + b"_LTP") is Kind.TICK


@given(ORIGINS, ORIGINS)
@example("\x1f", "\x1e")
def test_rule_4_two_origins_have_two_scopes(one: str, other: str) -> None:
    assert (topics.scope(one) == topics.scope(other)) == (one == other)


def test_without_an_origin_there_is_no_scope() -> None:
    assert topics.scope("") == b""
    assert topics.plain(b"NSE_A") == b"NSE_A"
    assert topics.plain(b"") == b""


@pytest.mark.parametrize(
    "key",
    [
        b"NSE\x1fx\x1f_A",
        b"\x1fangel",
        b"\x1fangel\x1f",
        b"\x1fa\x1fb\x1fNSE_A",
        b"\x1f\x1f@orders:a_b",
    ],
)
def test_rule_4_what_only_looks_like_a_scope_is_malformed(key: bytes) -> None:
    with pytest.raises(Malformed):
        topics.parse(key + b"_LTP")


def test_a_key_is_shown_with_its_origin() -> None:
    assert topics.shown(b"NSE_RELIANCE") == "NSE_RELIANCE"
    assert topics.shown(topics.scope("angel") + b"NSE_RELIANCE") == "NSE_RELIANCE of angel"
    assert topics.shown(b"") == ""
