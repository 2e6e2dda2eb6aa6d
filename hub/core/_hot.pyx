# cython: language_level=3, boundscheck=False, wraparound=False, nonecheck=True
# cython: freethreading_compatible=False, auto_pickle=False
"""What every tick passes through, compiled; `_pure.py` is the same in Python. See hot.py.

The two have the same names, take the same and do the same; tests run against both. What a method or
function promises stands there.

1. Whatever Python hands in is checked before C looks into it: a wrong type raises, and so does None.
   `<T?>` checks, `<T>` does not; `len` knows None, `GET_SIZE` does not.
2. A callback may do anything, also to the lists that are being walked through. So nothing is borrowed
   while one runs, and the end of a list is looked for again after it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove, strncmp

from hub.core.errors import Malformed
from hub.core.payload import clean


cdef extern from "sys/socket.h" nogil:
    ssize_t recv(int fd, void *data, size_t size, int flags)
    ssize_t send(int fd, const void *data, size_t size, int flags)
    int MSG_DONTWAIT, MSG_NOSIGNAL


cdef extern from *:
    """
    #ifndef HOT_SOURCE
    #define HOT_SOURCE ""
    #endif
    """
    const char *HOT_SOURCE

SOURCE = HOT_SOURCE.decode()  # the SHA-256 of this file, if who compiled it has said so
cdef object _clean = clean

cdef enum:
    TEXT = 0x81  # FIN, opcode 1
    MORE = 1, LONG = 2, COMMAND = 4  # flags of a frame of ZMTP
    READ = 1 << 16
    PART = 64  # what a part of a message costs beside its bytes
    BIN_8 = 0xC4, BIN_32 = 0xC6, ARRAY_16 = 0xDC, ARRAY_32 = 0xDD  # kinds of msgpack
    DEEPEST = 60  # how deeply a plain payload may be nested

READ_BYTES, PART_BYTES = READ, PART


cdef class Group:
    cdef public tuple shards
    cdef public list pairs, dirty

    def __init__(self, tuple shards, list dirty):
        self.shards, self.pairs, self.dirty = shards, [], dirty

    def __repr__(self):
        return f"<Group {self.shards} with {len(self.pairs) // 2} ticks>"


cdef class Line:
    cdef public bytes key, payload
    cdef public int mode
    cdef public long long seq
    cdef public double seen_s
    cdef public tuple packed, routes, formed

    def __init__(self, bytes key, int mode):
        self.key, self.mode, self.formed = key, mode, ()

    def __repr__(self):
        return f"<Line {self.key.decode(errors='replace')} mode {self.mode} seq {self.seq}>"


cdef class Sink:
    cdef public int fd

    def __cinit__(self, *_, **__):
        self.fd = -1

    def deliver(self, data, lines):
        raise NotImplementedError

    def unsent(self, data, sent):
        raise NotImplementedError


cdef class Way(Sink):
    cdef public bytes token
    cdef public long long sent

    def __cinit__(self, *_, **__):
        self.token = b""


cdef class Audience:
    cdef public object name
    cdef public tuple members
    cdef public int form
    cdef public Py_ssize_t variants
    cdef public list frames, lines

    def __init__(self, name, tuple members, int form=0):
        self.name, self.members, self.form = name, members, form
        self.frames, self.lines = [], []

    def __repr__(self):
        return f"<Audience of {len(self.members)}, {len(self.frames)} frames waiting>"


cdef inline char *_put(char *to, uint64_t number, int width) noexcept:
    """Write a number into so many bytes, the highest first; what comes behind it."""
    cdef int place
    for place in range(width):
        to[place] = <char>((number >> (8 * (width - 1 - place))) & 0xFF)
    return to + width


cdef inline uint64_t _get(const unsigned char *raw, int width) noexcept:
    cdef uint64_t number = 0
    cdef int place
    for place in range(width):
        number = (number << 8) | raw[place]
    return number


cdef inline Py_ssize_t _header_size(Py_ssize_t size) noexcept:
    return 2 if size < 126 else 4 if size < 65536 else 10


cdef inline char *_put_header(char *to, Py_ssize_t size, int first) noexcept:
    """Write the header of a WebSocket message; where its payload goes."""
    to[0] = <char>first
    if size < 126:
        return _put(to + 1, size, 1)
    to[1] = 126 if size < 65536 else 127
    return _put(to + 2, size, 2 if size < 65536 else 8)


def header(Py_ssize_t size, int first=TEXT):
    if size < 0 or not 0 <= first < 256:
        raise ValueError("no header has such a size or first byte")
    cdef bytes made = PyBytes_FromStringAndSize(NULL, _header_size(size))
    _put_header(PyBytes_AS_STRING(made), size, first)
    return made


cdef class Decoder:
    cdef char *buffer  # what has come lies there, from `at` to `end`
    cdef Py_ssize_t room, at, end, missing, most_bytes, size
    cdef list parts

    def __cinit__(self, Py_ssize_t most_bytes):
        self.most_bytes = most_bytes
        self.parts = []

    def __dealloc__(self):
        free(self.buffer)

    def __repr__(self):
        return f"<Decoder {self.kept} bytes, {len(self.parts)} parts>"

    @property
    def kept(self):
        return self.end - self.at + sum(map(len, self.parts))

    def receive(self, int fd):
        cdef ssize_t got
        cdef int problem
        self.make_room(READ)
        got = recv(fd, self.buffer + self.end, READ, MSG_DONTWAIT)
        if got < 0:
            problem = errno
            if problem == EAGAIN or problem == EINTR:
                return 0
            raise OSError(problem, "recv")
        if got == 0:
            raise ConnectionError
        self.took(got)
        return got

    def feed(self, bytes data not None):
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        if size:  # else there may be no buffer
            self.make_room(size)
            memcpy(self.buffer + self.end, PyBytes_AS_STRING(data), size)
            self.took(size)

    cdef void took(self, Py_ssize_t size) noexcept:
        self.end += size
        self.missing = max(0, self.missing - size)

    cdef int make_room(self, Py_ssize_t size) except -1:
        """Room behind what is held. A buffer that was once large does not stay so."""
        cdef Py_ssize_t held = self.end - self.at, wanted = held + size
        cdef bint loose = self.room > 4 * READ and self.room > 4 * wanted
        cdef char *made
        if self.at > 0 and (held == 0 or loose or self.end + size > self.room):
            memmove(self.buffer, self.buffer + self.at, held)
            self.at, self.end = 0, held
        if loose or self.end + size > self.room:
            made = <char *>realloc(self.buffer, 2 * wanted)
            if made is NULL:
                raise MemoryError
            self.buffer, self.room = made, 2 * wanted
        return 0

    def pairs(self, list found not None, Py_ssize_t largest_bytes, Py_ssize_t most):
        cdef const unsigned char *raw = <const unsigned char *>self.buffer
        cdef Py_ssize_t at = self.at, end = self.end, count = 0
        cdef Py_ssize_t first, head, second
        cdef uint64_t size
        if self.missing or self.parts or largest_bytes < 0:
            return 0
        while count < most and end - at >= 4 and raw[at] == MORE:
            first = at + 2
            head = first + raw[at + 1]
            if end - head < 2:
                break
            if raw[head] == 0:
                second = head + 2
                size = raw[head + 1]
            elif raw[head] == LONG and end - head >= 9:
                second = head + 9
                size = _get(raw + head + 1, 8)
            else:
                break
            if size > <uint64_t>(end - second) or size > <uint64_t>largest_bytes:
                break
            found.append(PyBytes_FromStringAndSize(self.buffer + first, head - first))
            found.append(PyBytes_FromStringAndSize(self.buffer + second, <Py_ssize_t>size))
            at = second + <Py_ssize_t>size
            count += 1
        self.at = at
        return count

    def item(self):
        cdef const unsigned char *raw
        cdef Py_ssize_t start, used
        cdef uint64_t size
        cdef unsigned char flags
        cdef bytes body
        if self.missing:
            return None
        while self.end - self.at >= 2:
            raw = <const unsigned char *>self.buffer + self.at
            flags = raw[0]
            if not flags & LONG:
                start, size = self.at + 2, raw[1]
            elif self.end - self.at >= 9:
                start, size = self.at + 9, _get(raw + 1, 8)
            else:
                break
            if flags & ~(MORE | LONG | COMMAND):
                raise Malformed(f"a frame with the flags {flags:#04x}")
            used = 0 if flags & COMMAND else self.size
            if used > self.most_bytes or size > <uint64_t>(self.most_bytes - used):
                raise Malformed(f"a message of more than {self.most_bytes} bytes")
            if size > <uint64_t>(self.end - start):
                self.missing = <Py_ssize_t>size - (self.end - start)
                break
            body = PyBytes_FromStringAndSize(self.buffer + start, <Py_ssize_t>size)
            self.at = start + <Py_ssize_t>size
            if flags & COMMAND:
                return body
            self.parts.append(body)
            self.size += <Py_ssize_t>size + PART
            if not flags & MORE:
                parts, self.parts, self.size = self.parts, [], 0
                return parts
        if self.at == self.end and self.room > 4 * READ:
            free(self.buffer)
            self.buffer, self.room, self.at, self.end = NULL, 0, 0, 0
        return None


def message(parts):
    cdef list all_parts = list(parts)
    cdef Py_ssize_t number, size = 0, last = len(all_parts) - 1
    cdef bytes part, data
    cdef char *to
    for part in all_parts:
        size += len(part) + (2 if len(part) < 256 else 9)
    data = PyBytes_FromStringAndSize(NULL, size)
    to = PyBytes_AS_STRING(data)
    for number, part in enumerate(all_parts):
        size = PyBytes_GET_SIZE(part)
        to[0] = <char>((MORE if number < last else 0) | (LONG if size > 255 else 0))
        to = _put(to + 1, size, 8 if size > 255 else 1)
        memcpy(to, PyBytes_AS_STRING(part), size)
        to += size
    return data


cdef bytes _cleaned(bytes raw):
    """As `payload.clean`; most payloads need no more than a look: whether it is a JSON object (RFC
    8259) of the plain kind, ASCII, no \\u, not nested deeply. What is not may be one all the same.
    Behind it stands a zero, at which everything stops."""
    cdef const unsigned char *at = _past_blank(<const unsigned char *>PyBytes_AS_STRING(raw))
    cdef const unsigned char *end = <const unsigned char *>PyBytes_AS_STRING(raw) + PyBytes_GET_SIZE(raw)
    at = _past_value(at, DEEPEST) if at[0] == b"{" else NULL
    return raw if at is not NULL and _past_blank(at) == end else _clean(raw)


cdef unsigned char _PLAIN[256]  # whether a string may hold this byte as it is
for _one in range(256):
    _PLAIN[_one] = 32 <= _one < 127 and _one not in b'"\\'


cdef const unsigned char *_past_value(const unsigned char *at, int depth) noexcept:
    """What comes behind a plain value; NULL if it is none. So do all that look past something."""
    cdef unsigned char kind = at[0], last = b"}" if kind == b"{" else b"]"
    if kind == b'"':
        return _past_string(at + 1)
    if kind != b"{" and kind != b"[":
        return _past_word(at)
    at = _past_blank(at + 1)
    if depth == 0 or at[0] == last:
        return NULL if depth == 0 else at + 1
    while True:
        if kind == b"{":
            at = _past_string(at + 1) if at[0] == b'"' else NULL
            if at is not NULL:
                at = _past_blank(at)
                at = _past_blank(at + 1) if at[0] == b":" else NULL
            if at is NULL:
                return NULL
        at = _past_value(at, depth - 1)
        if at is NULL:
            return NULL
        at = _past_blank(at)
        if at[0] != b",":
            return at + 1 if at[0] == last else NULL
        at = _past_blank(at + 1)


cdef inline const unsigned char *_past_blank(const unsigned char *at) noexcept:
    while at[0] == b" " or at[0] == b"\n" or at[0] == b"\r" or at[0] == b"\t":
        at += 1
    return at


cdef inline const unsigned char *_past_string(const unsigned char *at) noexcept:
    """A plain string, whose quote is passed."""
    while True:
        while _PLAIN[at[0]]:
            at += 1
        if at[0] == b'"':
            return at + 1
        if at[0] != b"\\" or at[1] not in b'"\\/bfnrt':
            return NULL
        at += 2


cdef inline const unsigned char *_past_word(const unsigned char *at) noexcept:
    """A number, true, false or null."""
    if at[0] == b"t" or at[0] == b"n" or at[0] == b"f":
        if strncmp(<const char *>at, b"true", 4) == 0 or strncmp(<const char *>at, b"null", 4) == 0:
            return at + 4
        return at + 5 if strncmp(<const char *>at, b"false", 5) == 0 else NULL
    if at[0] == b"-":
        at += 1
    at = at + 1 if at[0] == b"0" else _past_digits(at)
    if at is not NULL and at[0] == b".":
        at = _past_digits(at + 1)
    if at is not NULL and (at[0] == b"e" or at[0] == b"E"):
        at = _past_digits(at + 2 if at[1] == b"+" or at[1] == b"-" else at + 1)
    return at


cdef inline const unsigned char *_past_digits(const unsigned char *at) noexcept:
    """At least one digit."""
    cdef const unsigned char *start = at
    while 48 <= at[0] <= 57:
        at += 1
    return at if at > start else NULL


def route(list pairs not None, dict routes not None, resolve, list strays not None, *, bint checked=False):
    cdef Py_ssize_t at = 0, malformed = 0
    cdef bytes topic, payload
    cdef tuple groups
    cdef Group group
    cdef PyObject *found
    if len(pairs) % 2:
        raise ValueError("ticks come in pairs")
    while at + 1 < len(pairs):
        topic, payload = <bytes?>pairs[at], <bytes?>pairs[at + 1]
        at += 2
        found = PyDict_GetItemWithError(routes, topic)
        if found is not NULL:
            groups = <tuple?><object>found
        else:
            try:
                topic, groups = resolve(topic)
            except Malformed:
                strays.append((topic, payload))
                continue
        try:
            payload = payload if checked else _cleaned(payload)
        except Malformed:
            malformed += 1
            continue
        for group in groups:
            if not group.pairs:
                group.dirty.append(group)
            group.pairs.append(topic)
            group.pairs.append(payload)
    return malformed


def take(list dirty not None):
    cdef dict batches = {}
    cdef Group group
    cdef bytes packed
    for group in dirty:
        packed = pack(group.pairs)
        group.pairs = []
        for shard in group.shards:
            (<list>batches.setdefault(shard, [])).append(packed)
    dirty.clear()
    return batches


def deal(list dirty not None, list ways not None, bytes kind not None):
    cdef dict left = {}
    cdef Way way
    for shard, batches in take(dirty).items():
        way = <Way?>ways[shard]
        if way.fd < 0:
            left[shard] = batches
        else:
            _send(way, way.fd, message([kind + way.token, *batches]))
            way.sent += 1
    return left


def pack(pairs):
    cdef list parts = pairs if type(pairs) is list else list(pairs)
    cdef Py_ssize_t size = 5
    cdef bytes part, packed
    cdef char *to
    for part in parts:
        if len(part) > 0xFFFFFFFF:
            raise ValueError("it is too large for msgpack")
        size += 5 + len(part)
    packed = PyBytes_FromStringAndSize(NULL, size)
    to = PyBytes_AS_STRING(packed)
    to[0] = <char>ARRAY_32
    to = _put(to + 1, len(parts), 4)
    for part in parts:
        to[0] = <char>BIN_32
        to = _put(to + 1, PyBytes_GET_SIZE(part), 4)
        memcpy(to, PyBytes_AS_STRING(part), PyBytes_GET_SIZE(part))
        to += PyBytes_GET_SIZE(part)
    return packed


def unpack(bytes frame not None):
    cdef const unsigned char *at = <const unsigned char *>PyBytes_AS_STRING(frame)
    cdef const unsigned char *end = at + PyBytes_GET_SIZE(frame)
    cdef Py_ssize_t number, size, count = _get_size(&at, end, ARRAY_16, ARRAY_32, 2)
    cdef list parts = []
    for number in range(count):
        size = _get_size(&at, end, BIN_8, BIN_32, 1)
        if size < 0 or size > end - at:
            raise Malformed("not a batch of ticks: its parts are no byte strings, or cut")
        parts.append(PyBytes_FromStringAndSize(<const char *>at, size))
        at += size
    if count < 0 or count % 2 or at != end:
        raise Malformed("not a batch of ticks: an array of byte strings that come in pairs")
    return parts


cdef inline Py_ssize_t _get_size(
    const unsigned char **at, const unsigned char *end, int low, int high, int width
) noexcept:
    """Read one of msgpack's headers and go past it; -1 if there is none of the kinds from `low`,
    which has a size of `width` bytes, to `high`, each twice as wide; or a short array's."""
    cdef const unsigned char *raw = at[0]
    if low == ARRAY_16 and raw < end and raw[0] & 0xF0 == 0x90:
        at[0] += 1
        return raw[0] & 0x0F
    if raw >= end or not low <= raw[0] <= high:
        return -1
    width <<= raw[0] - low
    if end - raw <= width:
        return -1
    at[0] += 1 + width
    return _get(raw + 1, width)


cdef inline bytes _frame(bytes head, bytes payload, bytes tail):
    cdef Py_ssize_t first = len(head), middle = len(payload), last = len(tail)
    cdef Py_ssize_t size = first + middle + last
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, _header_size(size) + size)
    cdef char *to = _put_header(PyBytes_AS_STRING(frame), size, TEXT)
    memcpy(to, PyBytes_AS_STRING(head), first)
    memcpy(to + first, PyBytes_AS_STRING(payload), middle)
    memcpy(to + first + middle, PyBytes_AS_STRING(tail), last)
    return frame


def fan(
    list pairs not None, dict lines not None, admit, resolve, formed, list dirty not None, long long seq
):
    cdef Py_ssize_t at = 0
    cdef bytes topic, payload, head, tail, frame
    cdef Line line
    cdef tuple routes, audiences
    cdef Audience audience
    cdef PyObject *found
    if len(pairs) % 2:
        raise ValueError("ticks come in pairs")
    while at + 1 < len(pairs):
        topic, payload = <bytes?>pairs[at], <bytes?>pairs[at + 1]
        at += 2
        found = PyDict_GetItemWithError(lines, topic)
        line = <Line?><object>found if found is not NULL else admit(topic)
        if line is None:
            continue
        seq += 1
        line.seq = seq
        line.payload = payload
        routes = line.routes
        if routes is None:
            routes = resolve(line)
        for head, tail, audiences in routes:
            frame = _frame(head, payload, tail)
            for audience in audiences:
                if not audience.frames:
                    dirty.append(audience)
                audience.frames.append(frame)
                audience.lines.append(line)
        if line.formed:
            formed(line)
    return seq


def flush(list dirty not None):
    cdef Py_ssize_t delivered = 0
    cdef Audience audience
    cdef bytes data
    cdef list lines, parts, all_lines
    cdef dict waiting = {}
    cdef bint alone = len(dirty) == 1
    for audience in dirty:
        lines = audience.lines
        delivered += len(audience.frames) * len(audience.members)
        data = _take(audience)
        for member in audience.members:
            if alone:
                _hand(member, data, lines)
                continue
            found = waiting.get(member)
            if found is None:
                waiting[member] = ([data], [*lines])
            else:
                parts, all_lines = <tuple>found
                parts.append(data)
                all_lines.extend(lines)
    for member, (parts, all_lines) in waiting.items():
        _hand(member, b"".join(parts), all_lines)
    return delivered


cdef bytes _take(Audience audience):
    """What waits for an audience, as one; it waits no more."""
    cdef list frames = audience.frames
    cdef Py_ssize_t size = 0
    cdef bytes frame, data
    audience.frames, audience.lines = [], []
    for frame in frames:
        size += len(frame)
    data = PyBytes_FromStringAndSize(NULL, size)
    cdef char *to = PyBytes_AS_STRING(data)
    for frame in frames:
        memcpy(to, PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame))
        to += PyBytes_GET_SIZE(frame)
    return data


cdef int _hand(member, bytes data, list lines) except -1:
    cdef int fd = (<Sink>member).fd if isinstance(member, Sink) else member.fd
    if fd < 0:
        member.deliver(data, lines)
    else:
        _send(member, fd, data)
    return 0


cdef int _send(member, int fd, bytes data) except -1:
    cdef ssize_t sent = send(fd, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), MSG_DONTWAIT | MSG_NOSIGNAL)
    if sent < PyBytes_GET_SIZE(data):
        member.unsent(data, max(sent, 0))
    return 0
