"""What every tick passes through, in Python; `_hot.pyx` is the same in C. See hot.py.

The two have the same names, take the same and do the same; tests run against both.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgpack
import msgspec

from hub.core.errors import Malformed
from hub.core.payload import clean

_TEXT = 0x81  # FIN, opcode 1
_SHORT, _MEDIUM = 126, 1 << 16
_MORE, _LONG, _COMMAND = 1, 2, 4  # flags of a frame of ZMTP
_LONG_HEADER, _ONE_BYTE, _LEAST = 9, 256, 4
_packer = msgpack.Packer(autoreset=True)
_batch = msgspec.msgpack.Decoder(list[bytes])
READ_BYTES = 1 << 16
PART_BYTES = 64
"""What a part of a message costs beside its bytes: one of very many empty parts is large, too."""


class Group:
    """A set of shards that get the same ticks, and the pairs pending for them."""

    __slots__ = ("dirty", "pairs", "shards")

    def __init__(self, shards: tuple[int, ...], dirty: list[Group]) -> None:
        self.shards = shards
        self.pairs: list[bytes] = []
        self.dirty = dirty  # where it registers when its first pair comes

    def __repr__(self) -> str:
        return f"<Group {self.shards} with {len(self.pairs) // 2} ticks>"


class Line:
    """One topic on one shard: its last value, and the routes of its ticks once resolved: plain
    ones, and `formed` ones."""

    __slots__ = ("formed", "key", "mode", "packed", "payload", "routes", "seen_s", "seq")

    def __init__(self, key: bytes, mode: int) -> None:
        self.key = key
        self.mode = mode
        self.payload: bytes | None = None
        self.packed: tuple[bytes, bytes] | None = None  # a payload, and it as msgpack
        self.seq = 0
        self.seen_s = 0.0  # when an unasked-for value came, by the shard's clock
        self.routes: tuple[tuple[bytes, bytes, tuple[Any, ...]], ...] | None = None
        self.formed: tuple[tuple[bytes, bytes, int, tuple[Any, ...]], ...] = ()

    def __repr__(self) -> str:
        return f"<Line {self.key.decode(errors='replace')} mode {self.mode} seq {self.seq}>"


class Sink:
    """Where frames go. `fd` is the socket they are written to at once; -1 while `deliver` is to be
    asked, because something has to go first."""

    __slots__ = ("fd",)

    def __init__(self) -> None:
        self.fd = -1

    def deliver(self, data: bytes, lines: Sequence[Line]) -> None:
        """Take whole frames; `lines` are where they came from, for one that is behind."""
        raise NotImplementedError

    def unsent(self, data: bytes, sent: int) -> None:
        """The socket took only so many bytes of this, if any."""
        raise NotImplementedError


class Way(Sink):
    """A sink of messages of ZMTP. `token` goes behind the kind of each; `sent` counts them."""

    __slots__ = ("sent", "token")

    def __init__(self) -> None:
        super().__init__()
        self.token = b""
        self.sent = 0


S = TypeVar("S")


class Audience(Generic[S]):
    """Sessions that are sent the same, and what waits for their next flush.

    `frames` and `lines` run side by side: the frame for those that keep up (in batches a piece of
    one), the line it came from for those that are behind.
    """

    __slots__ = ("form", "frames", "lines", "members", "name", "variants")

    def __init__(self, name: int, members: tuple[S, ...], form: int = 0) -> None:
        self.name = name
        self.members = members
        self.form = form
        self.variants = 0
        self.frames: list[bytes] = []
        self.lines: list[Line] = []

    def __repr__(self) -> str:
        return f"<Audience of {len(self.members)}, {len(self.frames)} frames waiting>"


class Decoder:
    """Cuts ZMTP's frames, as they come behind the handshake, into messages and commands.

    A message may be `most_bytes` large with all of its parts; more raises Malformed before it is
    kept, and so does what is no frame. Nothing that comes after that means anything.
    """

    __slots__ = ("_at", "_data", "_late", "_missing", "_most_bytes", "_parts", "_size")

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._data = b""
        self._at = 0
        self._late = bytearray()  # what has come behind `data`, while more is missing
        self._missing = 0
        self._parts: list[bytes] = []
        self._size = 0

    def __repr__(self) -> str:
        return f"<Decoder {self.kept} bytes, {len(self._parts)} parts>"

    @property
    def kept(self) -> int:
        """How many bytes are kept: of what is not whole, or not taken yet."""
        return len(self._data) - self._at + len(self._late) + sum(map(len, self._parts))

    def receive(self, fd: int) -> int:
        """Read once from a socket; how many bytes, 0 when nothing is there. Raises OSError, and
        ConnectionError when it was closed."""
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return 0
        if not data:
            raise ConnectionError
        self.feed(data)
        return len(data)

    def feed(self, data: bytes) -> None:
        """Bytes have come."""
        if self._missing > len(data):
            self._late += data
            self._missing -= len(data)
            return
        held = self._data[self._at :]
        if held or self._late:
            data = b"".join((held, self._late, data))
            self._late = bytearray()
        self._data, self._at, self._missing = data, 0, 0

    def pairs(self, found: list[bytes], largest_bytes: int, most: int) -> int:
        """Put the messages of two parts that lie next into `found`, first part and second, up to
        `most` of them; how many. It stops at what is anything else, is not whole, or has a second
        part of more than `largest_bytes`: `item` tells."""
        if self._parts or self._missing:
            return 0
        data, at = self._data, self._at
        end = len(data)
        count = 0
        while count < most and end - at >= _LEAST and data[at] == _MORE:
            first = at + 2
            head = first + data[at + 1]
            if end - head < 2:
                break
            flags = data[head]
            if not flags:
                second, size = head + 2, data[head + 1]
            elif flags == _LONG and end - head >= _LONG_HEADER:
                second, size = head + 9, int.from_bytes(data[head + 1 : head + 9], "big")
            else:
                break
            stop = second + size
            if stop > end or size > largest_bytes:
                break
            found.append(data[first:head])
            found.append(data[second:stop])
            at = stop
            count += 1
        self._at = at
        return count

    def item(self) -> list[bytes] | bytes | None:
        """What lies next: the parts of a message, or the body of a command, which may stand between
        two of them; None when it is not whole yet. Raises Malformed."""
        if self._missing:
            return None
        data = self._data
        while len(data) - self._at >= 2:
            at, flags = self._at, data[self._at]
            if not flags & _LONG:
                start, size = at + 2, data[at + 1]
            elif len(data) - at >= _LONG_HEADER:
                start, size = at + 9, int.from_bytes(data[at + 1 : at + 9], "big")
            else:
                break
            if flags & ~(_MORE | _LONG | _COMMAND):
                raise Malformed(f"a frame with the flags {flags:#04x}")
            if size + (0 if flags & _COMMAND else self._size) > self._most_bytes:
                raise Malformed(f"a message of more than {self._most_bytes} bytes")
            end = start + size
            if end > len(data):
                self._missing = end - len(data)
                break
            self._at = end
            if flags & _COMMAND:
                return data[start:end]
            self._parts.append(data[start:end])
            self._size += size + PART_BYTES
            if not flags & _MORE:
                parts, self._parts, self._size = self._parts, [], 0
                return parts
        self._data, self._at = data[self._at :], 0  # what was read is not held any longer
        return None


def message(parts: Sequence[bytes]) -> bytes:
    """A message of these parts as ZMTP's frames."""
    frames = []
    last = len(parts) - 1
    for number, part in enumerate(parts):
        size, flags = len(part), _MORE if number < last else 0
        if size < _ONE_BYTE:
            frames.append(bytes((flags, size)))
        else:
            frames.append(struct.pack(">BQ", flags | _LONG, size))
        frames.append(part)
    return b"".join(frames)


def header(size: int, first: int = _TEXT) -> bytes:
    """The frame header of an unmasked message of `size` bytes, text by default (RFC 6455, 5.2)."""
    if size < _SHORT:
        return bytes((first, size))
    if size < _MEDIUM:
        return bytes((first, 126)) + size.to_bytes(2, "big")
    return bytes((first, 127)) + size.to_bytes(8, "big")


_HEADERS = tuple(header(size) for size in range(8192))  # of the sizes that ticks have
_CACHED = len(_HEADERS)


def route(
    pairs: Sequence[bytes],
    routes: Mapping[bytes, tuple[Group, ...]],
    resolve: Callable[[bytes], tuple[bytes, tuple[Group, ...]]],
    strays: list[tuple[bytes, bytes]],
    *,
    checked: bool = False,
) -> int:
    """Put ticks `[topic, json, ...]` down in the groups of their routes; how many were no JSON
    object, unless they are `checked` already. `resolve` gives a new topic in its canonical form
    and its route, or raises Malformed: then the pair is put into `strays`."""
    _check_pairs(pairs)
    malformed = 0
    parts = iter(pairs)
    for topic, raw in zip(parts, parts, strict=True):
        groups = routes.get(topic)
        if groups is None:
            try:
                topic, groups = resolve(topic)  # noqa: PLW2901  # its canonical form
            except Malformed:
                strays.append((topic, raw))
                continue
        try:
            payload = raw if checked else clean(raw)
        except Malformed:
            malformed += 1
            continue
        for group in groups:
            waiting = group.pairs
            if not waiting:
                group.dirty.append(group)
            waiting.append(topic)
            waiting.append(payload)
    return malformed


def take(dirty: list[Group]) -> dict[int, list[bytes]]:
    """What waits in these groups, packed once each: the batches of each shard. Nothing waits there
    any more."""
    batches: dict[int, list[bytes]] = {}
    for group in dirty:
        packed = pack(group.pairs)
        group.pairs = []
        for shard in group.shards:
            batches.setdefault(shard, []).append(packed)
    dirty.clear()
    return batches


def deal(dirty: list[Group], ways: Sequence[Way], kind: bytes) -> dict[int, list[bytes]]:
    """Send each shard what waits for it in these groups, packed once each, in one message of this
    kind. What is left are the batches of those that cannot be written to at once."""
    left = {}
    for shard, batches in take(dirty).items():
        way = ways[shard]
        if way.fd < 0:
            left[shard] = batches
        else:
            _send(way, message([kind + way.token, *batches]))
            way.sent += 1
    return left


def pack(pairs: Sequence[bytes]) -> bytes:
    """A batch of ticks `[topic, json, ...]` as one msgpack array of byte strings. How wide its
    headers are is left open."""
    packed: bytes = _packer.pack(pairs)
    return packed


def unpack(frame: bytes) -> list[bytes]:
    """The byte strings of a batch. Raises Malformed when it is not a whole number of pairs."""
    try:
        parts = _batch.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Malformed(f"not a batch of ticks: {error}") from None
    if len(parts) % 2:
        raise Malformed(f"a batch of ticks holds {len(parts)} parts; they come in pairs")
    return parts


def fan(
    pairs: Sequence[bytes],
    lines: Mapping[bytes, Line],
    admit: Callable[[bytes], Line | None],
    resolve: Callable[[Line], Any],
    formed: Callable[[Line], None],
    dirty: list[Audience[Any]],
    seq: int,
) -> int:
    """Make frames of ticks `[topic, json, ...]` and put them down for their audiences, numbered
    from `seq` on; the last number. `admit` gives the line of a new topic, or None; `resolve` gives
    a line its routes; `formed` takes a line whose tick goes to somebody in another form than plain
    text, too."""
    _check_pairs(pairs)
    parts = iter(pairs)
    for topic, payload in zip(parts, parts, strict=True):
        line = lines.get(topic) or admit(topic)
        if line is None:
            continue
        seq += 1
        line.seq = seq
        line.payload = payload
        routes = line.routes
        if routes is None:
            routes = resolve(line)
        for head, tail, audiences in routes:
            size = len(head) + len(payload) + len(tail)
            first = _HEADERS[size] if size < _CACHED else header(size)
            frame = b"".join((first, head, payload, tail))
            for audience in audiences:
                if not audience.frames:
                    dirty.append(audience)
                audience.frames.append(frame)
                audience.lines.append(line)
        if line.formed:
            formed(line)
    return seq


def _check_pairs(pairs: Sequence[bytes]) -> None:
    if len(pairs) % 2:
        raise ValueError("ticks come in pairs")


def flush(dirty: Sequence[Audience[Any]]) -> int:
    """Hand over what waits: the same bytes to all members of an audience, and to each member all of
    its audiences' at once; how many frames that were, each counted for each member."""
    delivered, alone = 0, len(dirty) == 1
    waiting: dict[Any, tuple[list[bytes], list[Line]]] = {}
    for audience in dirty:
        frames, lines = audience.frames, audience.lines
        audience.frames, audience.lines = [], []
        data = b"".join(frames)
        delivered += len(frames) * len(audience.members)
        for member in audience.members:
            if alone:
                _hand(member, data, lines)
                continue
            found = waiting.get(member)
            if found is None:
                waiting[member] = [data], [*lines]
            else:
                found[0].append(data)
                found[1].extend(lines)
    for member, (parts, all_lines) in waiting.items():
        _hand(member, b"".join(parts), all_lines)
    return delivered


def _hand(member: Sink, data: bytes, lines: Sequence[Line]) -> None:
    if member.fd < 0:
        member.deliver(data, lines)
    else:
        _send(member, data)


def _send(member: Sink, data: bytes) -> None:
    try:
        sent = os.write(member.fd, data)
    except OSError:  # it is full, or gone: the member knows what to do
        sent = 0
    if sent < len(data):
        member.unsent(data, sent)
