"""Protobuf messages of a table: on the wire they are what a compiler's would be."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError

from hub.brokers.protobuf import messages

TABLE = {
    "Level": {"price": (1, "double"), "count": (2, "int64")},
    "Book": {"levels": (1, "repeated Level"), "name": (2, "string"), "kind": (3, "int32")},
    "Answer": {"books": (2, "map Book"), "states": (3, "map int32"), "last_one": (16, "Level")},
}


def test_a_message_reads_as_protobuf_encodes_it() -> None:
    level = messages("test", TABLE)["Level"].FromString(bytes.fromhex("09000000000000f83f1096 01"))
    assert (level.price, level.count) == (1.5, 150)


def test_lists_maps_and_messages_within() -> None:
    answer = messages("test", TABLE)["Answer"]()
    answer.ParseFromString(
        b"\x12\x12\x0a\x01a\x12\x0d\x0a\x02\x10\x05\x0a\x00\x12\x03one\x18\x07"  # books["a"]
        b"\x1a\x05\x0a\x01s\x10\x02"  # states["s"] = 2
        b"\x82\x01\x00"  # last_one: there, and empty
    )
    (book,) = answer.books.values()
    assert [level.count for level in book.levels] == [5, 0]
    assert (book.name, book.kind) == ("one", 7)
    assert dict(answer.states) == {"s": 2}
    assert answer.HasField("last_one")


def test_what_is_absent_is_told_from_what_is_zero_in_messages_within() -> None:
    answer = messages("test", TABLE)["Answer"]()
    assert not answer.HasField("last_one")


def test_unknown_fields_are_passed_over_and_garbage_is_not() -> None:
    level = messages("test", TABLE)["Level"]
    assert level.FromString(b"\xf8\x07\x01\x10\x05").count == 5
    with pytest.raises(DecodeError):
        level.FromString(b"\x09\x00")


def test_two_tables_may_name_their_messages_alike() -> None:
    one = messages("test", {"Level": {"a": (1, "int32")}})["Level"]
    other = messages("test", {"Level": {"b": (1, "int32")}})["Level"]
    assert one.FromString(b"\x08\x05").a == other.FromString(b"\x08\x05").b == 5


def test_a_message_that_is_not_in_the_table() -> None:
    with pytest.raises(TypeError):
        messages("test", {"Book": {"levels": (1, "repeated Level")}})
