"""The holidays of exchanges, as the package holidays knows them.

It is imported when something may be stale, and not before: it takes 0.2 s and 20 MB.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Container
from datetime import UTC, datetime
from typing import Any

from hub.core.settings import Market
from hub.runtime.control import Background
from hub.runtime.log import log


class Holidays:
    """The holidays of the exchange with this code; none for the empty one. Until they are known
    each day counts as one."""

    def __init__(self, code: str) -> None:
        self._code = code
        self._days: Container[object] | None = None if code else ()
        self._asked = False

    def __repr__(self) -> str:
        return f"<Holidays of {self._code or 'none'}{'' if self._days is not None else ', unread'}>"

    def __contains__(self, day: object) -> bool:
        return self._days is None or day in self._days

    def learn(self, background: Background) -> None:
        """Read them in a thread, once."""
        if self._days is None and not self._asked:
            self._asked = True
            background(self._learn())

    async def _learn(self) -> None:
        try:
            self._days = await asyncio.to_thread(_read, self._code)
        except Exception as error:  # noqa: BLE001  # the code of others, and of any version
            log.warning("holidays of %s: %r; nothing is called stale", self._code, error)


def problem(code: str) -> str:
    """What is wrong with an exchange's code, in words; empty when nothing is."""
    if code in {"", Market().calendar}:  # that one is there, and asking takes time
        return ""
    try:
        _read(code)
    except NotImplementedError:
        return f"market.calendar: no holidays are known of {code!r}"
    return ""


def _read(code: str) -> Container[object]:
    """The holidays of an exchange, by its code. Raises NotImplementedError for an unknown one."""
    year = datetime.now(UTC).year
    known: Any = importlib.import_module("holidays")
    days: Container[object] = known.financial_holidays(code, years=(year, year + 1))
    return days
