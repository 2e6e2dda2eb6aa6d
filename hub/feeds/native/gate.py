"""Whether an account's credentials may be tried. Pure.

1. Credentials that were refused are tried again twice, and then no more until they are others: a
   broker bans who storms it with a dead token.
2. What has been let in begins anew, unless it is refused within a minute: where the key stands in
   the address, a broker may open the connection first and refuse the key on it.
3. Several connections that end for the same key are one refusal.
"""

from __future__ import annotations

from hashlib import blake2b

from hub.brokers.base import Credentials

_WAITS_S = (5.0, 60.0)
SURE_S = 60.0
"""Who is refused so soon after being let in was not let in."""


class Gate:
    """What is known of the credentials of one account. Of themselves a hash is kept."""

    def __init__(self) -> None:
        self._mark = b""
        self._refusals = 0
        self._last_s = 0.0
        self._before = 0  # refusals before it was let in
        self._let_in_s = -SURE_S

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
        if self.knows(credentials) and self.wait_s(credentials, now_s) != 0.0:
            return  # by a connection that was made before the last refusal
        mark = _mark(credentials)
        if now_s - self._let_in_s < SURE_S:
            self._refusals = self._before
        self._refusals = self._refusals + 1 if mark == self._mark else 1
        self._mark, self._last_s, self._let_in_s = mark, now_s, now_s - SURE_S

    def accepted(self, now_s: float) -> None:
        """It has let us in."""
        if self._refusals or now_s - self._let_in_s >= SURE_S:
            self._before, self._let_in_s = self._refusals, now_s
        self._refusals = 0


def _mark(credentials: Credentials) -> bytes:
    text = "\0".join(f"{name}\0{credentials[name]}" for name in sorted(credentials))
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
