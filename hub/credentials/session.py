"""What a login has brought: kept in a file that only its owner can read.

1. A session is laid over the credentials that it was made with. Once they are others, it counts
   for nothing: a token that somebody has put in by hand is newer.
2. A file that cannot be understood is replaced by the next login, and used by nobody.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import msgspec

from hub.core.errors import KeyStoreError
from hub.runtime.ownfile import OwnFile, Stamp


class Session(msgspec.Struct, frozen=True):
    """A login: when it was made (epoch seconds), the `mark` of the credentials that it was made
    with, and what it has brought."""

    made: float
    mark: str
    fields: dict[str, str]

    def __repr__(self) -> str:
        return f"<Session of {self.made:.0f}: {', '.join(self.fields)}>"


class SessionFile:
    """The file at `path`, which need not exist. Its methods block; they raise KeyStoreError."""

    def __init__(self, path: Path) -> None:
        self._file = OwnFile(path)

    def __repr__(self) -> str:
        return f"<SessionFile {self.path}>"

    @property
    def path(self) -> Path:
        """Where it is, or will be."""
        return self._file.path

    def stamp(self) -> Stamp | None:
        """Tells one session from the next."""
        return self._file.stamp()

    def load(self, credentials: Mapping[str, str]) -> Session | None:
        """The session that was made with these credentials; None when there is none."""
        read = self._file.read()
        if read is None:
            return None
        try:
            session = msgspec.json.decode(read[1], type=Session)
        except msgspec.MsgspecError:
            return None
        return session if session.mark == mark_of(credentials) else None

    def save(self, credentials: Mapping[str, str], fields: dict[str, str], now: float) -> Session:
        """Keep what a login with these credentials has brought; `now` is in epoch seconds."""
        session = Session(now, mark_of(credentials), fields)
        with self._file.alone():
            self._file.replace(msgspec.json.encode(session))
        return session

    def remove(self) -> bool:
        """Forget the session; whether there was one."""
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise KeyStoreError(f"{self.path} cannot be removed: {error.strerror}") from None
        return True


def mark_of(credentials: Mapping[str, str]) -> str:
    """Tells some credentials from others."""
    text = json.dumps(sorted(credentials.items())).encode()
    return hashlib.sha256(b"shardhub session\0" + text).hexdigest()
