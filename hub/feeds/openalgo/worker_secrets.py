"""No secret that is known gets into what this process says: its log, its tracebacks, its errors.

What was known once stays hidden. A line of a log is hidden in as it is written, whoever writes it:
the checkout's code logs and prints what it likes, URLs with tokens among it.

Runs in the checkout's interpreter: see `worker.py` for what may be imported.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus

HIDDEN = "***"
SHORTEST = 8
"""What is shorter, in characters, would be found in innocent words."""


class Secrets:
    """What is known to be secret. Any thread may use it."""

    def __init__(self) -> None:
        self._known: tuple[str, ...] = ()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Secrets {len(self._known)}>"

    def learn(self, values: Iterable[str]) -> None:
        """More of them, and their parts: some are written as `client:::key`. In URLs they are
        written in other characters."""
        parts = {part for value in values for part in (value, *value.split(":"))}
        longer = {part for part in parts if len(part) >= SHORTEST}
        raw = [part.encode("utf-8", "surrogatepass") for part in longer]
        forms = {*longer, *map(quote, raw), *map(quote_plus, raw)}
        with self._lock:
            self._known = tuple(sorted({*self._known, *forms}, key=len, reverse=True))

    def hide(self, text: str) -> str:
        """The text without them."""
        for secret in self._known:
            text = text.replace(secret, HIDDEN)
        return text


class Discreet:
    """A text stream that hides secrets in what is written to it."""

    def __init__(self, stream: Any, secrets: Secrets) -> None:
        self._stream = stream
        self._secrets = secrets

    def write(self, text: str) -> int:
        """Write it without its secrets."""
        self._stream.write(self._secrets.hide(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write all of them so."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        """All else is the stream's."""
        return getattr(self._stream, name)


SECRETS = Secrets()
"""Those of this process."""
