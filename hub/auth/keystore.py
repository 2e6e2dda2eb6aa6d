"""API keys, kept in one JSON file as keyed hashes.

1. A key is shown once, by `add`. The file holds its hash; nothing else holds anything of it.
2. The file is its owner's alone (see hub/runtime/ownfile.py).
3. Two changes at once lose nothing: each reads, decides and writes under the lock.
4. A file that cannot be understood is never overwritten.
"""

from __future__ import annotations

import difflib
import secrets
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeAlias

from hub.auth.records import (
    SALT_BYTES,
    Entry,
    KeyRecord,
    decode,
    encode,
    keyed_hash,
    text_problem,
)
from hub.core.errors import KeyStoreError, Malformed
from hub.runtime.ownfile import OwnFile, Stamp
from hub.runtime.paths import place

_SECRET_BYTES = 32
_Records: TypeAlias = list[KeyRecord]


class Contents(NamedTuple):
    """The file as it was at one moment: its stamp (None: no file) and its entries by id."""

    stamp: Stamp | None
    entries: Mapping[str, Entry]


class KeyStore:
    """The file of API keys at `path`. No file is an empty store.

    Every method raises KeyStoreError with a sentence for the person at the terminal. Processes
    may add and revoke at the same time.
    """

    def __init__(self, path: Path) -> None:
        self._file = OwnFile(path)

    def __repr__(self) -> str:
        return f"<KeyStore {self.path}>"

    @property
    def path(self) -> Path:
        """Where the file is, or will be."""
        return self._file.path

    def add(self, name: str, user: str, broker: str, *, now: float) -> str:
        """Make a key and return it, for the only time. `now` is in seconds since the epoch."""
        for what, text in (("name", name), ("user", user), ("broker", broker)):
            _check_text(what, text)
        with self._change() as entries:
            if taken := _named(entries, name):
                raise KeyStoreError(_already(taken))
            key_id = _unused(entries)
            key = f"hub_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
            salt = secrets.token_bytes(SALT_BYTES).hex()
            hash_ = keyed_hash(key, salt)
            entries[key_id] = Entry(key_id, name, user, broker, int(now), salt, hash_)
        return key

    def list(self) -> _Records:
        """All keys, in the order they were added."""
        return [entry.record for entry in self.load().entries.values()]

    def revoke(self, name: str) -> KeyRecord:
        """Delete the key of this name and return what it was."""
        _check_text("name", name)
        with self._change() as entries:
            entry = _named(entries, name)
            if entry is None:
                raise KeyStoreError(_unknown(name, [known.name for known in entries.values()]))
            del entries[entry.id]
        return entry.record

    def stamp(self) -> Stamp | None:
        """Tell, from one stat, whether the file is still the one that was loaded."""
        return self._file.stamp()

    def load(self) -> Contents:
        """Read the file."""
        read = self._file.read()
        if read is None:
            return Contents(None, {})
        stamp, content = read
        try:
            return Contents(stamp, decode(content))
        except Malformed as error:
            raise KeyStoreError(
                f"{self.path} is no file of API keys that this hub can read: {error}; nothing was "
                "changed. Put a good copy in its place, or move it away and add each key anew "
                "with `hub keys add`"
            ) from None

    @contextmanager
    def _change(self) -> Iterator[dict[str, Entry]]:
        """Lend the entries for a change, which is written unless the body raises."""
        self.load()  # refuse before a lock is made that the file's owner could not open
        with self._file.alone():
            entries = dict(self.load().entries)
            yield entries
            self._file.replace(encode(entries.values()))


def default_path(environ: Mapping[str, str]) -> Path:
    """Where the keys are unless `keys.file` says otherwise.

    systemd's directory for this service; else this user's configuration directory; else, for
    a user without a home, the machine's.
    """
    xdg = ("XDG_CONFIG_HOME", ".config")
    return place(environ, "CONFIGURATION_DIRECTORY", xdg, "/etc") / "keys.json"


def _check_text(what: str, text: str) -> None:
    if problem := text_problem(text):
        raise KeyStoreError(f"the {what} {problem}")


def _named(entries: Mapping[str, Entry], name: str) -> Entry | None:
    return next((entry for entry in entries.values() if entry.name == name), None)


def _already(entry: Entry) -> str:
    return (
        f"there is already a key named {entry.name!r} (id {entry.id}, user {entry.user!r}, "
        f"broker {entry.broker!r}); choose another name, or type "
        f"`hub keys revoke {shlex.quote(entry.name)}` first"
    )


def _unknown(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, 1, 0.5)
    hint = f"did you mean {near[0]!r}?" if near else "see `hub keys list`"
    return f"there is no key named {name!r}; {hint if names else 'the store is empty'}"


def _unused(entries: Mapping[str, Entry]) -> str:
    while (key_id := secrets.token_hex(4)) in entries:
        pass
    return key_id
