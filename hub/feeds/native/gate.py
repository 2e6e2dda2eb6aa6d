"""Whether an account's credentials may be tried. Pure.

1. Credentials that were refused are tried again twice, and then no more until they are others: a
   broker bans who storms it with a dead token.
2. What has been let in once begins anew.
"""

from __future__ import annotations

from hashlib import blake2b

from hub.brokers.base import Credentials

_WAITS_S = (5.0, 60.0)


class Gate:
    """What is known of the credentials of one account. Of themselves a hash is kept."""

    def __init__(self) -> None:
        self._mark = b""
        self._refusals = 0
        self._last_s = 0.0

    def __repr__(self) -> str:
        return f"<Gate {self._refusals} refusals>"

    @property
    def shut(self) -> bool:
        """Whether nothing is tried any more until there are other credentials."""
        return self._refusals > len(_WAITS_S)

    def wait_s(self, credentials: Credentials, now_s: float) -> float | None:
        """How long to wait before these are tried; None when they are not to be tried again."""
        if _mark(credentials) != self._mark:
            return 0.0
        if self.shut:
            return None
        due_s = self._last_s + _WAITS_S[self._refusals - 1] if self._refusals else now_s
        return max(0.0, due_s - now_s)

    def knows(self, credentials: Credentials) -> bool:
        """Whether these were refused the last time."""
        return bool(self._refusals) and _mark(credentials) == self._mark

    def refused(self, credentials: Credentials, now_s: float) -> None:
        """The broker does not take these."""
        mark = _mark(credentials)
        self._refusals = self._refusals + 1 if mark == self._mark else 1
        self._mark, self._last_s = mark, now_s

    def accepted(self) -> None:
        """It has let us in."""
        self._refusals = 0


def _mark(credentials: Credentials) -> bytes:
    text = "\0".join(f"{name}\0{credentials[name]}" for name in sorted(credentials))
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
