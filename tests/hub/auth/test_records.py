"""What a key is, and how the file of keys reads."""

from __future__ import annotations

import hmac
import json
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.auth.records import Entry, decode, encode, id_of, keyed_hash, text_problem
from hub.core.errors import Malformed
from hub.core.model import Identity

KEY = "hub_0123abcd_" + "Az09_-xyz" * 4 + "1234567"
SALT = "00112233445566778899aabbccddeeff"
HASH = "70000000000000000000000000000000000000000000000000000000000000f1"

texts = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=64)


def digits(size_bytes: int) -> st.SearchStrategy[str]:
    return st.binary(min_size=size_bytes, max_size=size_bytes).map(bytes.hex)


entries = st.builds(
    Entry, digits(4), texts, texts, texts, st.integers(0, 2**40), digits(16), digits(32)
)
stores = st.lists(entries, max_size=5, unique_by=(lambda e: e.id, lambda e: e.name))


def document(**changes: object) -> bytes:
    """A file of one key, with some of its fields changed."""
    entry = {"id": "0123abcd", "name": "n", "user": "u", "broker": "b", "created": 1}
    entry |= {"salt": SALT, "hash": HASH}
    return json.dumps({"version": 2, "keys": [entry | changes]}).encode()


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
    assert HASH[:20] not in told


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b"\xff",
        b'{"version": 2}',
        b'{"version": true, "keys": []}',
        b'{"version": 2, "keys": {}}',
        b'{"version": 2, "keys": [], "more": 1}',
        b'{"version": 2, "keys": []} {}',
        b'{"version": 2, "x": ' + b"[" * 100_000,
        document(id="0123ABCD"),
        document(id="0123abcd\n"),
        document(name=""),
        document(user="u" * 65),
        document(broker=7),
        document(created=-1),
        document(hash="plain"),
        document(hash=HASH + "0"),
        document(hash=HASH[1:]),
        document(hash=HASH.upper()),
        document(hash=HASH + "\n"),
        document(salt=SALT + "0"),
        document(salt=SALT[1:]),
        document(salt=SALT.upper()),
        document(salt=SALT + "\n"),
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
        decode(json.dumps({"version": 2, "keys": [one, other]}).encode())


@pytest.mark.parametrize("version", [1, 3])
def test_another_version_is_named_before_anything_else_is_judged(version: int) -> None:
    with pytest.raises(Malformed, match=f"version {version}, and this hub reads version 2"):
        decode(b'{"version": %d, "keys": "in another form", "new": 1}' % version)


def test_a_hash_is_blake2b_of_the_whole_key_with_the_salt_as_its_key() -> None:
    """Written down, because a file that is read by the next version must say yes to the same."""
    assert keyed_hash(KEY, SALT) == (
        "e5d22c9be7a0a7aaf85af5b014d1004824965d4fe7926db58fe881d83a9b95bf"
    )


def test_an_entry_is_of_its_key_and_of_no_other() -> None:
    entry = Entry("0123abcd", "n", "u", "b", 1, SALT, keyed_hash(KEY, SALT))
    assert entry.is_of(KEY)
    for place in range(len(KEY)):
        other = KEY[:place] + ("1" if KEY[place] != "1" else "2") + KEY[place + 1 :]
        assert not entry.is_of(other)


def test_the_same_key_with_another_salt_has_another_hash() -> None:
    assert keyed_hash(KEY, SALT) != keyed_hash(KEY, SALT[::-1])


def test_hashes_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who can measure how far a comparison came learns the hash, byte by byte."""
    asked: list[tuple[str, str]] = []

    def compare(one: str, other: str) -> bool:
        asked.append((one, other))
        return False

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert not Entry("0123abcd", "n", "u", "b", 1, SALT, HASH).is_of(KEY)
    assert asked == [(keyed_hash(KEY, SALT), HASH)]


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
    entry = Entry("0123abcd", "n", "u", "b", 1, SALT, HASH)
    told = f"{entry!r} {entry} {entry.record!r} {entry.identity!r}"
    assert HASH not in told
    assert SALT not in told
    assert tuple(entry.record) == ("0123abcd", "n", "u", "b", 1)
    assert entry.identity == Identity("u", "b")
