"""Subjects: any name is one token, and an edge hears the sets that it is of."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub.core import topics
from hub.core.errors import Malformed
from hub.core.model import Mode
from hub.core.subjects import (
    ask,
    audience,
    beat,
    edge,
    escape,
    mine,
    topic,
    topic_of,
    unescape,
)

FORBIDDEN = re.compile(r"[.*>\s\x00-\x20\x7f-\uffff]")
ODD = ("", "%", "%41", "M&M", "NIFTY 50", "a.b", "*", ">", "a:b", "₹", "NIFTY28NOV2424500.00CE")
MODES = st.sampled_from(list(Mode))
NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=40)
EDGES = st.sets(st.integers(0, 40), max_size=12)


def hears(pattern: str, subject: str) -> bool:
    """Whether who subscribes the pattern gets a message on the subject, as NATS decides it."""
    wanted, told = pattern.split("."), subject.split(".")
    return len(wanted) == len(told) and all(
        want in {"*", one} for want, one in zip(wanted, told, strict=True)
    )


@given(st.one_of(st.binary(max_size=60), st.sampled_from(ODD).map(str.encode)))
def test_every_name_is_one_token_and_comes_back(name: bytes) -> None:
    token = escape(name)
    assert token
    assert not FORBIDDEN.search(token)
    assert unescape(token) == name


@given(st.text(max_size=40))
@example("\ud800")
def test_text_is_its_utf_8(name: str) -> None:
    assert escape(name) == escape(name.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(
    ("name", "token"),
    [
        ("NSE_RELIANCE", "NSE_RELIANCE"),
        ("NFO_NIFTY-FUT", "NFO_NIFTY-FUT"),
        ("NSE_M&M", "NSE_M%26M"),
        ("NSE_INDEX_NIFTY 50", "NSE_INDEX_NIFTY%2050"),
        ("a.b*c>d", "a%2eb%2ac%3ed"),
        ("₹", "%e2%82%b9"),
        ("%", "%25"),
        ("", "%"),
    ],
)
def test_what_can_be_read_stays(name: str, token: str) -> None:
    assert escape(name) == token


@given(st.text("%aA0.4e1 *", max_size=8))
@example("%41")
@example("%2E")
@example("%2")
@example("%%")
@example("")
def test_a_token_has_one_name_or_none(token: str) -> None:
    try:
        name = unescape(token)
    except Malformed:
        return
    assert escape(name) == token


@given(NAMES, NAMES, MODES)
@example("NSE", "M&M", Mode.LTP)
@example("NSE_INDEX", "NIFTY 50", Mode.QUOTE)
@example("NFO", "a.tick.b", Mode.DEPTH)
def test_a_topic_comes_back_from_its_subject(exchange: str, symbol: str, mode: Mode) -> None:
    key, problem = topics.key_of(exchange, symbol)
    if problem:
        return
    found = topics.of(topics.scope("alice") + key, mode)
    subject = topic("hub", found)
    assert topic_of(subject) == found
    prefix, tick, token, named = subject.split(".")
    assert (prefix, tick, named) == ("hub", "tick", mode.name)
    assert not FORBIDDEN.search(token)


def test_a_key_is_not_split() -> None:
    assert topic("p", b"NSE_INDEX_NIFTY_50_QUOTE") == "p.tick.NSE_INDEX_NIFTY_50.QUOTE"
    assert topic("p", b"NSE_A_quote") == topic("p", b"NSE_A_QUOTE")


@pytest.mark.parametrize(
    "subject",
    ["p.tick.NSE_A", "p.tick.NSE_A.quote", "p.tick.NSE_A.FULL", "p.beat", "p.tick.NSE.A.LTP", ""],
)
def test_what_is_no_topics_subject(subject: str) -> None:
    with pytest.raises(Malformed):
        topic_of(subject)


def test_what_is_no_topic() -> None:
    with pytest.raises(Malformed, match="does not end in"):
        topic("p", b"NSE_A_FULL")


@given(EDGES, st.integers(0, 40))
def test_an_edge_hears_the_sets_that_it_is_of_once(edges: set[int], number: int) -> None:
    heard = [one for one in audience("p", "5e", edges) if hears(mine("p", "5e", number), one)]
    assert len(heard) == (number in edges)


@given(EDGES, st.integers(0, 40), st.sampled_from([("q", "5e"), ("p", "5f")]))
def test_of_another_stay_or_prefix_it_hears_nothing(
    edges: set[int], number: int, other: tuple[str, str]
) -> None:
    assert not any(hears(mine("p", "5e", number), one) for one in audience(*other, edges))


@given(st.lists(st.integers(0, 40), max_size=12))
def test_a_set_has_one_subject_for_each_bank(edges: list[int]) -> None:
    found = audience("p", "5e", edges)
    assert len(found) == len({number // 8 for number in edges})
    assert not any("*" in one for one in found)


def test_how_they_look() -> None:
    assert audience("hub", "5e", (0, 2, 9)) == [
        "hub.t.5e.0.1.0.1.0.0.0.0.0",
        "hub.t.5e.1.0.1.0.0.0.0.0.0",
    ]
    assert mine("hub", "5e", 2) == "hub.t.5e.0.*.*.1.*.*.*.*.*"
    assert beat("hub") == "hub.beat"
    assert ask("hub", "desk 1") == "hub.ask.desk%201"
    assert edge("hub", "edge.1") == "hub.edge.edge%2e1"
