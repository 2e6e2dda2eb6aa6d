"""`hub instruments` with lists of a broker of the tests' own."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from hub.brokers import catalogue
from hub.brokers.base import Listing
from hub.instruments import store
from tests.hub.instruments.kit import broker, lay

SOME = [
    Listing("NSE_INDEX", "NIFTY", "1", "26000", "Nifty 50", "NIFTY 50", "INDEX"),
    Listing("NSE", "RELIANCE", "1", "2885", "RELIANCE-EQ", "RELIANCE LTD", tick=0.05),
    Listing("NFO", "NIFTY29DEC3026000CE", "2", "3", "X", "NIFTY", "CE", "2030-12-29", 26000.0, 75),
    Listing("NFO", "NIFTY29DEC3025000CE", "2", "4", "X", "NIFTY", "CE", "2030-12-29", 25000.0, 75),
]


@pytest.fixture(autouse=True)
def place(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the lists are; the brokers that there are read the tests' files."""
    for name in ("STATE_DIRECTORY", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(catalogue, "get", lambda name: broker(name=name, title=name.title()))
    return home / ".local/share/shardhub/instruments"


def settings(home: Path, where: Path, *names: str, feeds: str = '["sim"]') -> Path:
    file = home / "hub.toml"
    tables = "".join(f'[{name}]\ninstruments_url = "{where}"\n' for name in names)
    file.write_text(f"[hub]\nfeeds = {feeds}\n{tables}")
    return file


def test_an_update_keeps_the_list_and_says_how_long_it_is(
    hub: Any, home: Path, place: Path
) -> None:
    config = settings(home, lay(home / "files", 1500), "angel")
    text = hub("instruments", "update", "angel", "--config", config).stdout
    assert text.startswith("angel: 1,502 instruments in 0s, kept in ")
    assert str(place / "angel.sqlite") in text
    (found,) = json.loads(hub("instruments", "list", "--json").stdout)
    assert found["exchanges"] == {"NFO": 1, "NSE": 1500, "NSE_INDEX": 1}
    assert (found["broker"], found["count"]) == ("angel", 1502)
    assert abs(found["built"] - time.time()) < 60
    assert Path(found["path"]) == place / "angel.sqlite"
    row = hub("instruments", "list").stdout.splitlines()[-1].split()
    assert row[:2] == ["angel", "1,502"]


def test_what_fails_is_told_and_the_others_are_done(hub: Any, home: Path) -> None:
    config = settings(home, lay(home / "files"), "dhan")
    config.write_text(config.read_text() + f'[angel]\ninstruments_url = "{home}/none"\n')
    alone = hub("instruments", "update", "angel", "--config", config, rc=1)
    assert "cash.csv cannot be read: No such file or directory" in alone.stderr
    both = hub("instruments", "update", "angel", "dhan", "--config", config, rc=1)
    assert "angel: " in both.stderr
    assert "1 of 2 failed" in both.stderr
    assert both.stdout.startswith("dhan: 4 instruments")


def test_another_place_can_be_named(hub: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(home / "files")
    monkeypatch.chdir(home)
    assert hub("instruments", "update", "angel", "--from", "files").stdout.startswith("angel: 4 ")
    refused = hub("instruments", "update", "angel", "--from", "http://lists.invalid", rc=1).stderr
    assert "lists.invalid/cash.csv: it is neither https nor of this machine" in refused


def test_without_a_broker_it_is_those_of_the_feeds(hub: Any, home: Path) -> None:
    config = settings(home, lay(home / "files"), "fyers", feeds='["fyers", "sim"]')
    assert hub("instruments", "update", "--config", config).stdout.startswith("fyers: 4")
    none = hub("instruments", "update", rc=2)
    assert "Name a BROKER: angel, flattrade" in none.stderr
    assert "'zerodah' is not one of" in hub("instruments", "update", "zerodah", rc=2).stderr


def test_nothing_there_says_how_to_get_it(hub: Any, place: Path) -> None:
    assert "type `hub instruments update BROKER`" in hub("instruments", "search", "x", rc=1).stderr
    text = hub("instruments", "list").stdout
    assert f"no list yet in {place}" in text
    assert "hub instruments update BROKER" in text
    assert json.loads(hub("instruments", "list", "--json").stdout) == []


@pytest.fixture
def some(place: Path) -> None:
    store.write(place / "angel.sqlite", "Angel One", SOME, time.time())
    store.write(place / "dhan.sqlite", "Dhan", SOME[1:2], time.time())


@pytest.mark.usefixtures("some")
def test_a_search_shows_the_best_of_each_list_first(hub: Any) -> None:
    table = hub("instruments", "search", "reliance").stdout.splitlines()
    assert [line.split()[0] for line in table[2:]] == ["NSE:RELIANCE"] * 2
    assert [line.split()[-1] for line in table[2:]] == ["angel", "dhan"]
    assert "RELIANCE-EQ" in table[2]
    assert "0.05" in table[2]
    assert "1:2885" in table[2]


@pytest.mark.usefixtures("some")
def test_words_and_options_narrow_it(hub: Any) -> None:
    def found(*arguments: str) -> list[str]:
        rows = json.loads(hub("instruments", "search", *arguments, "--json").stdout)
        return [row["symbol"] for row in rows]

    assert found("nifty", "--broker", "angel") == ["NIFTY", SOME[3].symbol, SOME[2].symbol]
    assert found("nifty", "--exchange", "nfo", "--broker", "angel", "--most", "1") == [
        SOME[3].symbol
    ]
    assert found("CE", "26000", "nifty") == [SOME[2].symbol]


@pytest.mark.usefixtures("some")
def test_nothing_found_is_an_exit_code_and_a_sentence(hub: Any) -> None:
    assert "nothing has all of these words" in hub("instruments", "search", "zzz", rc=1).stderr
    refused = hub("instruments", "search", "x", "--exchange", "MCX", rc=1).stderr
    assert "there is no exchange MCX; there are NFO, NSE, NSE_INDEX" in refused
    of_one = hub("instruments", "search", "nifty", "--exchange", "NFO")
    assert "NFO:NIFTY29DEC3025000CE" in of_one.stdout, "Dhan's list, which has none, is no matter"
    assert json.loads(hub("instruments", "search", "zzz", "--json").stdout) == []
