"""The hub's batches (docs/protocol.md, "Batches and msgpack"), cut into the ticks that are in them.

Ticks of one size stand at even distances, so that they are found without reading them; where they
have different sizes, the message is decoded.
"""

from __future__ import annotations

import msgspec

from scripts.benchmark.walk import BINARY, TEXT, Block, Walker

_BORDER = b', {"type": "market_data"'
_BEGINNING = b"\x86\xa4type\xabmarket_data"
_FEW, _FEW_BITS = 0x90, 0x0F  # msgpack: an array of at most 15, its size in the same byte,
_WIDTHS = {0xDC: 2, 0xDD: 4}  # or in so many bytes behind this one
_json_ticks = msgspec.json.Decoder(list[msgspec.Raw]).decode
_packed_ticks = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


class BatchWalker:
    """Cuts a stream of batches into blocks of ticks, as `Walker` does; what is in no array comes
    as it is."""

    def __init__(self) -> None:
        self._frames = Walker()

    def __repr__(self) -> str:
        return f"<BatchWalker on {self._frames!r}>"

    def take(self, chunk: bytes) -> list[Block]:
        """The blocks that are whole now that these bytes have come."""
        blocks: list[Block] = []
        for block in self._frames.take(chunk):
            if block.kind not in {TEXT, BINARY}:
                blocks.append(block)
                continue
            opened = _json if block.kind == TEXT else _packed
            size, skipped = block.size, block.header_bytes
            for at in range(0, len(block.data), size):
                payload = block.data[at + skipped : at + size]
                blocks += opened(payload) or [Block(block.kind, 1, 0, payload)]
        return blocks


def _json(payload: bytes) -> list[Block]:
    """The ticks of an array; none if it is no array. Each has a byte before and one after it:
    `[{...},`, ` {...},` or ` {...}]`."""
    if not payload.startswith(b"["):
        return []
    count = payload.count(_BORDER) + 1
    size, rest = divmod(len(payload), count)
    if not rest and _all_at(payload, range(size - 1, len(payload) - 1, size), _BORDER):
        return [Block(TEXT, count, 0, payload)]
    return [Block(TEXT, 1, 0, b"[%b]" % bytes(one)) for one in _json_ticks(payload)]


def _packed(payload: bytes) -> list[Block]:
    """The same in msgpack, with nothing around a tick."""
    count, at = _array(payload)
    if not count:
        return []
    size, rest = divmod(len(payload) - at, count)
    if not rest and _all_at(payload, range(at, len(payload), size), _BEGINNING):
        return [Block(BINARY, count, 0, payload[at:])]
    return [Block(BINARY, 1, 0, bytes(one)) for one in _packed_ticks(payload)]


def _array(payload: bytes) -> tuple[int, int]:
    """How many are in an array, 0 if it is none, and where they begin."""
    first = payload[0] if payload else 0
    if first & ~_FEW_BITS == _FEW:
        return first & _FEW_BITS, 1
    width = _WIDTHS.get(first, 0)
    return int.from_bytes(payload[1 : 1 + width], "big"), 1 + width


def _all_at(data: bytes, places: range, mark: bytes) -> bool:
    return all(data.startswith(mark, at) for at in places)
