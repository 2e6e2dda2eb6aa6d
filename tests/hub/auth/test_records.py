"""What a key is, and how the file of keys reads."""

from __future__ import annotations

import json
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.auth.records import Entry, decode, encode, id_of, text_problem
from hub.core.errors import Malformed
from hub.core.model import Identity

HASH = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA"
KEY = "hub_0123abcd_" + "Az09_-xyz" * 4 + "1234567"

texts = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=64)
ids = st.integers(0, 2**32 - 1).map(lambda number: f"{number:08x}")
entries = st.builds(Entry, ids, texts, texts, texts, st.integers(0, 2**40), st.just(HASH))
stores = st.lists(entries, max_size=5, unique_by=(lambda e: e.id, lambda e: e.name))


def document(**changes: object) -> bytes:
    """A file of one key, with some of its fields changed."""
    entry = {"id": "0123abcd", "name": "n", "user": "u", "broker": "b", "created": 1, "hash": HASH}
    return json.dumps({"version": 1, "keys": [entry | changes]}).encode()


@given(stores)
def test_what_is_encoded_is_decoded_in_the_same_order(store: list[Entry]) -> None:
    assert list(decode(encode(store)).items()) == [(entry.id, entry) for entry in store]


@given(stores, st.data())
def test_a_truncated_file_is_never_read(store: list[Entry], data: st.DataObject) -> None:
    content = encode(store).rstrip()
    with pytest.raises(Malformed):
        decode(content[: data.draw(st.integers(0, len(content) - 1))])


@given(st.data())
def test_a_damaged_file_is_read_or_refused_without_quoting_it(data: st.DataObject) -> None:
    content = bytearray(document())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.sampled_from(b'"{}[]:,\\\xff0a'))
    told = ""
    try:
        decode(bytes(content))
    except Malformed as error:
        told = "".join(traceback.format_exception(error))
    assert "aGFzaGhhc" not in told


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b"\xff",
        b'{"version": 1}',
        b'{"version": true, "keys": []}',
        b'{"version": 1, "keys": {}}',
        b'{"version": 1, "keys": [], "more": 1}',
        b'{"version": 1, "keys": []} {}',
        b'{"version": 1, "x": ' + b"[" * 100_000,
        document(id="0123ABCD"),
        document(id="0123abcd\n"),
        document(name=""),
        document(user="u" * 65),
        document(broker=7),
        document(created=-1),
        document(hash="plain"),
        document(note="mine"),
        document(user="two\nlines"),
        document(name=" n"),
    ],
)
def test_a_file_that_does_not_follow_its_format_is_malformed(content: bytes) -> None:
    with pytest.raises(Malformed):
        decode(content)


def test_a_field_that_holds_a_hash_by_mistake_is_not_quoted() -> None:
    with pytest.raises(Malformed, match="a field this hub does not know") as caught:
        decode(document(**{HASH: 1}))
    assert HASH not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("same", ["id", "name"])
def test_ids_and_names_are_unique_in_the_file(same: str) -> None:
    one = json.loads(document())["keys"][0]
    other = one | {"id": "ffffffff", "name": "other"} | {same: one[same]}
    with pytest.raises(Malformed, match="twice"):
        decode(json.dumps({"version": 1, "keys": [one, other]}).encode())


def test_another_version_is_named_before_anything_else_is_judged() -> None:
    with pytest.raises(Malformed, match="version 2, this hub reads version 1"):
        decode(b'{"version": 2, "keys": "in another form", "new": 1}')


def test_the_id_of_a_key() -> None:
    assert id_of(KEY) == "0123abcd"


@pytest.mark.parametrize(
    "text",
    [
        "",
        KEY + "x",
        KEY[:-1],
        KEY + "\n",
        " " + KEY,
        KEY.upper(),
        KEY.replace("hub", "hug"),
        KEY.replace("0123abcd", "0123abcg"),
        KEY[:-1] + "+",
        KEY[:-1] + "é",
        KEY[:-1] + "\ud800",
        "x" * 1_000_000,
    ],
)
def test_any_other_text_has_no_id(text: str) -> None:
    assert id_of(text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x" * 65,
        " x",
        "x ",
        "a\tb",
        "a\nb",
        "\x7f",
        "\ud800",
        "\u202e",
    ],
)
def test_texts_that_are_refused(text: str) -> None:
    assert text_problem(text)


@pytest.mark.parametrize("text", ["x", "x" * 64, "two words", "आलोक", "a.b@c", "hub_1"])
def test_texts_that_are_taken(text: str) -> None:
    assert text_problem(text) == ""


def test_a_text_that_holds_a_key_is_refused_without_repeating_it() -> None:
    problem = text_problem(f"my {KEY}")
    assert "API key" in problem
    assert KEY not in problem


def test_the_hash_is_in_no_repr_and_not_in_what_may_be_shown() -> None:
    entry = Entry("0123abcd", "n", "u", "b", 1, HASH)
    assert HASH not in f"{entry!r} {entry} {entry.record!r} {entry.identity!r}"
    assert tuple(entry.record) == ("0123abcd", "n", "u", "b", 1)
    assert entry.identity == Identity("u", "b")
