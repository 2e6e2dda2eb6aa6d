"""The stats file that OpenAlgo's Health page reads."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hub.monitor.stats import stats, write

FEED: dict[str, Any] = {"connections": 3, "topics": 2400, "brokers": ["angel", "zerodha"]}


def row(role: str, state: str = "ready", **figures: Any) -> dict[str, Any]:
    return {"name": f"{role}-0", "role": role, "state": state, **figures}


def test_it_holds_what_openalgos_own_proxy_writes() -> None:
    processes = [
        row("router", topics=9, symbols=9),
        row("feed", **FEED),
        row("feed", topics=0, connections=0, brokers=[]),
        row("shard", clients=2, symbols=7),
        row("shard", clients=5),
        row("monitor"),
    ]
    assert stats(processes, 1_700_000_000.25) == {
        "timestamp": 1_700_000_000.25,
        "total_connections": 3,
        "total_symbols": 2400,
        "clients_connected": 7,
        "brokers": ["angel", "zerodha"],
    }


@pytest.mark.parametrize("state", ["silent", "starting", "waiting"])
def test_who_is_not_there_counts_for_nothing(state: str) -> None:
    processes = [row("feed", state, **FEED), row("shard", state, clients=2)]
    content = stats(processes, 1.0)
    assert list(content.values()) == [1.0, 0, 0, 0, []]


def test_it_is_replaced_as_a_whole_and_everybody_may_read_it(tmp_path: Path) -> None:
    file = tmp_path / "stats.json"
    before = os.umask(0o077)
    try:
        for number in (1, 2):
            write(file, {"timestamp": number})
            assert json.loads(file.read_text()) == {"timestamp": number}
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [file]


def test_the_folder_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "log" / "stats.json", {})
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_its_way_is_not_followed(tmp_path: Path) -> None:
    """The folder is OpenAlgo's; what the hub's user alone may write is not overwritten."""
    other = tmp_path / "other"
    other.write_text("private")
    other.chmod(0o600)
    (tmp_path / "stats.json.tmp").symlink_to(other)
    with pytest.raises(OSError, match="symbolic links"):
        write(tmp_path / "stats.json", {})
    assert other.read_text() == "private"
    assert other.stat().st_mode & 0o777 == 0o600
