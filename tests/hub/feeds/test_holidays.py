"""Holidays as the package knows them: read once, late, and missed by nobody."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Coroutine
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from hub.core.errors import ConfigError
from hub.core.settings import Market, Settings
from hub.feeds import catalogue
from hub.feeds import holidays as module
from hub.feeds.holidays import Holidays

ROOT = Path(__file__).parents[3]
REPUBLIC_DAY = date(2026, 1, 26)


def learned(code: str) -> Holidays:
    found = Holidays(code)
    works: list[Coroutine[Any, Any, None]] = []
    found.learn(works.append)
    found.learn(works.append)
    assert len(works) == bool(code), "read once"
    for work in works:
        asyncio.run(work)
    return found


def test_indias_holidays_are_known() -> None:
    found = learned("XNSE")
    assert REPUBLIC_DAY in found
    assert date(2026, 1, 27) not in found
    assert date(2031, 1, 26) in found or date(2031, 1, 27) not in found, "of any year"


def test_until_they_are_known_each_day_is_one() -> None:
    assert date(2026, 1, 27) in Holidays("XNSE")


def test_without_a_calendar_there_are_none() -> None:
    assert REPUBLIC_DAY not in learned("")


def test_what_cannot_be_read_is_told_and_leaves_each_day_a_holiday(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: str) -> Any:
        raise ImportError("no holidays")

    monkeypatch.setattr(module, "_read", broken)
    found = learned("XNSE")
    assert date(2026, 1, 27) in found
    assert "nothing is called stale" in caplog.text


def test_a_calendar_that_there_is_not_is_told_before_anything_starts() -> None:
    catalogue.check(Settings())
    catalogue.check(Settings(market=Market(calendar="XBOM")))
    with pytest.raises(ConfigError, match=r"market\.calendar: no holidays are known of 'NOPE'"):
        catalogue.check(Settings(market=Market(calendar="NOPE")))


def test_the_package_is_not_imported_before_something_may_be_stale() -> None:
    program = "import sys; import hub.feeds.host; sys.exit('holidays' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
