"""Classes of protobuf messages, made of a table of their fields. Pure.

A table stands beside the codec that reads by it, where it can be read: no file is generated, and
none has to be kept in step with a compiler.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

Table: TypeAlias = Mapping[str, Mapping[str, tuple[int, str]]]
"""The fields of messages, by the message's name and the field's: the number of the field, and its
type. That is one of protobuf's own (`double`, `int64`, ...) or the name of a message of the table;
`repeated` before it makes a list, `map` a map of texts to it. An enumeration is an `int32`, on the
wire as well; what wraps a value is a message with that value in field 1."""

_SCALARS = {
    name: getattr(FieldDescriptorProto, f"TYPE_{name.upper()}")
    for name in (
        "double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64",
        "fixed32", "fixed64", "sfixed32", "sfixed64", "bool", "string", "bytes",
    )
}  # fmt: skip


def messages(package: str, table: Table) -> dict[str, Any]:
    """A class for each message of the table, by its name; they follow the rules of proto3.

    Raises TypeError for a table that names a message it does not have.
    """
    file = FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in table.items():
        message = file.message_type.add(name=name)
        for field, (number, type_) in fields.items():
            _add(message, f".{package}.{name}", package, field, number, type_)
    pool = DescriptorPool()
    pool.Add(file)
    return {
        name: GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in table
    }


def _add(
    message: DescriptorProto, full: str, package: str, field: str, number: int, type_: str
) -> None:
    kind, _, inner = type_.rpartition(" ")
    added = message.field.add(name=field, number=number)
    added.label = added.LABEL_REPEATED if kind else added.LABEL_OPTIONAL
    if kind == "map":
        entry = message.nested_type.add(name=_entry(field))
        entry.options.map_entry = True
        _add(entry, full, package, "key", 1, "string")
        _add(entry, full, package, "value", 2, inner)
        added.type = added.TYPE_MESSAGE
        added.type_name = f"{full}.{entry.name}"
    elif inner in _SCALARS:
        added.type = _SCALARS[inner]
    else:
        added.type = added.TYPE_MESSAGE
        added.type_name = f".{package}.{inner}"


def _entry(field: str) -> str:
    """The name that protobuf wants the entry of a map to have: `feedsById` has FeedsByIdEntry."""
    parts = field.split("_")
    return "".join(part[:1].upper() + part[1:] for part in parts) + "Entry"
