"""What an API key is, and how the file of keys reads. Pure: no file, no clock, no randomness.

A key reads `hub_<id>_<secret>`. The id finds the entry. It is no secret: it stands in the file
and may stand in a log, and whoever knows it has 256 random bits of secret left to guess.

That many bits cannot be guessed at any cost of a guess, so a key is kept as a fast hash, BLAKE2b
keyed with a salt of its own, and compared in constant time.

The file is one JSON object, `{"version": 2, "keys": [...]}`, with an Entry's fields for each key.
A field it does not define is an error, lest the next change of the file lose it silently.
Version 1 held argon2id hashes, which cannot be turned into these.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Annotated, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta

from hub.core.errors import Malformed
from hub.core.model import Identity

VERSION = 2
SALT_BYTES = 16
MAX_TEXT = 64
"""Longest name, user or broker, in characters."""

_KEY = re.compile(r"hub_([0-9a-f]{8})_[A-Za-z0-9_-]{43}")
_Text: TypeAlias = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]


class KeyRecord(NamedTuple):
    """What may be shown of a key. `created` is in seconds since the epoch."""

    id: str
    name: str
    user: str
    broker: str
    created: int


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key as the file holds it: `hash` is `keyed_hash` of it with `salt`."""

    id: Annotated[str, Meta(pattern=r"\A[0-9a-f]{8}\Z")]
    name: _Text
    user: _Text
    broker: _Text
    created: Annotated[int, Meta(ge=0)]
    salt: Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
    hash: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]

    def is_of(self, api_key: str) -> bool:
        """Whether this is the entry of a well-formed key, told in constant time."""
        return hmac.compare_digest(keyed_hash(api_key, self.salt), self.hash)

    @property
    def record(self) -> KeyRecord:
        """The part that may be shown."""
        return KeyRecord(self.id, self.name, self.user, self.broker, self.created)

    @property
    def identity(self) -> Identity:
        """Who presents this key."""
        return Identity(self.user, self.broker)

    def __repr__(self) -> str:
        return f"<Entry {self.id} {self.name!r}>"


class _Version(msgspec.Struct):
    version: int


class _File(_Version, forbid_unknown_fields=True):
    keys: list[Entry]


def keyed_hash(api_key: str, salt: str) -> str:
    """The hash of a well-formed key; both it and the salt are in hexadecimal digits."""
    return hashlib.blake2b(api_key.encode(), key=bytes.fromhex(salt), digest_size=32).hexdigest()


def id_of(api_key: str) -> str:
    """The id of a well-formed API key; empty for any other text."""
    match = _KEY.fullmatch(api_key)
    return match[1] if match else ""


def text_problem(text: str) -> str:
    """What is wrong with a name, user or broker, in words; empty when nothing is.

    The words never repeat the text: it may be an API key, pasted in the wrong place.
    """
    if _KEY.search(text):
        return "contains an API key, which belongs in no name"
    if not 1 <= len(text) <= MAX_TEXT:
        return f"must have 1 to {MAX_TEXT} characters, not {len(text)}"
    if not text.isprintable() or text != text.strip():
        return "must be printable, without blanks at its ends"
    return ""


def encode(entries: Iterable[Entry]) -> bytes:
    """The bytes of the file, indented for the person who opens it."""
    return msgspec.json.format(msgspec.json.encode(_File(VERSION, [*entries])), indent=2) + b"\n"


def decode(content: bytes) -> dict[str, Entry]:
    """The entries by id, in the order of the file. Raises Malformed with the reason.

    The reason quotes nothing of the file, which may be damaged such that anything is anywhere.
    """
    try:
        version = msgspec.json.decode(content, type=_Version).version
        if version != VERSION:
            raise Malformed(f"it is of version {version}, and this hub reads version {VERSION}")
        keys = msgspec.json.decode(content, type=_File).keys
    except (ValueError, RecursionError) as error:
        raise Malformed(_reason(error)) from None
    entries = {entry.id: entry for entry in keys}
    if len(entries) < len(keys) or len({entry.name for entry in keys}) < len(keys):
        raise Malformed("it has the same id or name twice")
    for entry in keys:
        for text in (entry.name, entry.user, entry.broker):
            if problem := text_problem(text):
                raise Malformed(f"a name, user or broker of key {entry.id} {problem}")
    return entries


def _reason(error: Exception) -> str:
    if not isinstance(error, msgspec.DecodeError):
        return "it is not JSON"
    text = str(error)
    return "it has a field this hub does not know" if "unknown field" in text else text
