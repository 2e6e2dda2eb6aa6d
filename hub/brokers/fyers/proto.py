"""The messages of Fyers' deep books, for protobuf. Pure.

They are built of the table below when this is imported, so that nothing generated, with a version
of protobuf in it, has to be kept. Fields that nobody here reads are not in it: protobuf skips them.

Numbers stand in messages of their own, `Number` and `Signed`, as absent is not zero.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Type = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final = {
    "bool": _Type.TYPE_BOOL,
    "int64": _Type.TYPE_INT64,
    "string": _Type.TYPE_STRING,
    "uint64": _Type.TYPE_UINT64,
}
_MESSAGES: Final = {
    "Number": ("value uint64 1",),
    "Signed": ("value int64 1",),
    "Level": ("price Signed 1", "qty Number 2", "nord Number 3", "num Number 4"),
    "Depth": ("tbq Number 1", "tsq Number 2", "asks Level* 3", "bids Level* 4"),
    "Quote": ("ltp Signed 1",),
    "Feed": (
        "quote Quote 1",
        "depth Depth 5",
        "feed_time Number 6",
        "sequence_no uint64 9",
        "snapshot bool 10",
        "ticker string 11",
    ),
    "Entry": ("key string 1", "value Feed 2"),
    "Message": ("feeds Entry* 2", "snapshot bool 3", "msg string 4", "error bool 5"),
}


def _build() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="fyers_books.proto", package="fyers_books", syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field in fields:
            word, kind, number = field.split(" ")
            many = kind.endswith("*")
            added = message.field.add(
                name=word,
                number=int(number),
                label=_Type.LABEL_REPEATED if many else _Type.LABEL_OPTIONAL,
            )
            if kind in _SCALARS:
                added.type = _SCALARS[kind]
            else:
                added.type = _Type.TYPE_MESSAGE
                added.type_name = f".fyers_books.{kind.rstrip('*')}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("fyers_books.Message"))


Message: Final = _build()
"""What one binary message of the stream is."""
