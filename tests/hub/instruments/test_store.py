"""Lists of instruments are replaced as a whole, and looked up quickly."""

from __future__ import annotations

import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.brokers.base import Listing
from hub.instruments import store
from hub.instruments.store import Store, Unusable

TODAY = date(2026, 11, 26)
LISTINGS = [
    Listing("NSE_INDEX", "NIFTY", "1", "26000", "Nifty 50", "NIFTY", "INDEX"),
    Listing("NSE", "RELIANCE", "1", "2885", "RELIANCE-EQ", "RELIANCE", tick=0.05),
    Listing("NSE", "RELINFRA", "1", "553", "RELINFRA-EQ", "RELINFRA"),
    Listing("NFO", "NIFTY24NOV26FUT", "2", "1", "", "NIFTY", "FUT", "2026-11-24", 0, 75),
    Listing("NFO", "NIFTY29DEC26FUT", "2", "2", "", "NIFTY", "FUT", "2026-12-29", 0, 75),
    Listing("NFO", "NIFTY29DEC2625000CE", "2", "3", "", "NIFTY", "CE", "2026-12-29", 25000.0, 75),
]


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Store]:
    path = tmp_path / "angel.sqlite"
    assert store.write(path, "Angel One", LISTINGS, 1000.5) == len(LISTINGS)
    with Store(path) as opened:
        yield opened


def test_what_is_written_is_found_as_it_was(kept: Store) -> None:
    assert [kept.find(one.exchange, one.symbol) for one in LISTINGS] == LISTINGS
    assert kept.find("NSE", "NIFTY") is None
    assert (kept.title, kept.built, kept.count) == ("Angel One", 1000.5, len(LISTINGS))
    assert kept.served == {"NFO": 3, "NSE": 2, "NSE_INDEX": 1}


def test_of_two_of_the_same_name_the_first_counts(tmp_path: Path) -> None:
    twice = [LISTINGS[1], LISTINGS[1]._replace(token="other")]
    assert store.write(tmp_path / "a.sqlite", "Angel One", twice, 0) == 1
    with Store(tmp_path / "a.sqlite") as kept:
        found = kept.find("NSE", "RELIANCE")
    assert found is not None
    assert found.token == "2885"


def test_what_cannot_be_held_is_left_out_alone(tmp_path: Path) -> None:
    odd = [
        LISTINGS[1],
        LISTINGS[2]._replace(lot=1 << 80),
        LISTINGS[2]._replace(symbol="X", name="\ud800"),
        LISTINGS[3],
    ]
    assert store.write(tmp_path / "a.sqlite", "Angel One", odd, 0) == 2
    with Store(tmp_path / "a.sqlite") as kept:
        assert kept.find("NFO", LISTINGS[3].symbol) == LISTINGS[3]
        assert kept.find("NFO", "\ud800") is None
        assert "no NFO:" in kept.unknown("NFO", "\ud800", TODAY)


def test_the_old_list_stays_when_the_new_one_is_short_or_breaks_off(tmp_path: Path) -> None:
    path = tmp_path / "angel.sqlite"
    store.write(path, "Angel One", LISTINGS, 1)

    def broken() -> Iterator[Listing]:
        yield LISTINGS[0]
        raise Unusable("the file ends in the middle")

    with pytest.raises(Unusable, match="has 1 instruments, and a good one has 5 or more"):
        store.write(path, "Angel One", LISTINGS[:1], 2, least=5)
    with pytest.raises(Unusable, match="in the middle"):
        store.write(path, "Angel One", broken(), 2)
    with Store(path) as kept:
        assert (kept.built, kept.count) == (1, len(LISTINGS))
    assert [found.name for found in tmp_path.iterdir()] == ["angel.sqlite"]


def test_an_open_store_reads_on_and_knows_of_the_newer_one(kept: Store) -> None:
    assert not kept.stale
    store.write(kept.path, "Angel One", LISTINGS[:2], 2)
    assert kept.stale
    assert kept.find("NSE", "RELINFRA") == LISTINGS[2]
    kept.path.unlink()
    assert not kept.stale, "none there is no reason to open another"


@pytest.mark.parametrize("content", [None, b"", b"no database", "empty", "newer"])
def test_a_file_that_is_none_says_what_to_type(tmp_path: Path, content: bytes | str | None) -> None:
    path = tmp_path / "angel.sqlite"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        store.write(path, "Angel One", LISTINGS, 1)
        with sqlite3.connect(path) as base:
            base.execute("DELETE FROM about" if content == "empty" else "UPDATE about SET format=9")
        base.close()
    with pytest.raises(Unusable, match="type `hub instruments update angel`"):
        Store(path)


def test_it_is_opened_for_reading_alone(kept: Store) -> None:
    kept.path.chmod(stat.S_IRUSR)
    with Store(kept.path) as second, pytest.raises(sqlite3.OperationalError, match="readonly"):
        second._base.execute("DELETE FROM listing")


@pytest.mark.parametrize(
    ("exchange", "symbol", "sentence"),
    [
        ("NFO", "NIFTY28OCT25FUT", "NFO:NIFTY28OCT25FUT expired on 28 Oct 2025"),
        ("NSE", "RELIANC", "no NSE:RELIANC at Angel One; nearest are RELIANCE, RELINFRA"),
        ("NSE", "infra", "at Angel One; nearest is RELINFRA"),
        ("NSE", "zzz", "there is no NSE:zzz at Angel One"),
        ("MCX", "GOLD", "Angel One does not serve MCX; it serves NFO, NSE, NSE_INDEX"),
        ("NFO", "NIFTY29DEC26FUTT", "nearest are NIFTY29DEC26FUT, NIFTY24NOV26FUT"),
    ],
)
def test_what_is_not_there_is_explained(
    kept: Store, exchange: str, symbol: str, sentence: str
) -> None:
    assert sentence in kept.unknown(exchange, symbol, TODAY)


@pytest.mark.parametrize(
    ("text", "exchange", "symbols"),
    [
        ("nifty", "", ["NIFTY", "NIFTY29DEC26FUT", "NIFTY29DEC2625000CE", "NIFTY24NOV26FUT"]),
        ("CE 25000 nifty", "", ["NIFTY29DEC2625000CE"]),
        ("nifty", "NFO", ["NIFTY29DEC26FUT", "NIFTY29DEC2625000CE", "NIFTY24NOV26FUT"]),
        ("reli", "", ["RELIANCE", "RELINFRA"]),
        ("NFO:NIFTY24NOV26FUT", "", []),
        ("nifty24nov26fut", "", ["NIFTY24NOV26FUT"]),
        ("100%", "", []),
        (" ", "", []),
    ],
)
def test_words_in_any_order_find_the_best_first(
    kept: Store, text: str, exchange: str, symbols: list[str]
) -> None:
    found = kept.search(text, exchange, today=TODAY.isoformat())
    assert [one.symbol for one in found] == symbols
    assert kept.search(text, exchange, 1, TODAY.isoformat()) == found[:1]


@st.composite
def listings_(draw: st.DrawFn) -> Listing:
    exchange = draw(st.sampled_from(["NSE", "NFO"]))
    symbol = draw(st.text("AB1&-", min_size=1, max_size=3))
    strike = draw(st.floats(allow_nan=False))
    return Listing(exchange, symbol, "1", draw(st.text(max_size=3)), strike=strike)


@settings(max_examples=30, deadline=None)
@given(st.lists(listings_()))
def test_a_store_is_what_a_table_of_the_first_of_each_name_is(listings: list[Listing]) -> None:
    table: dict[tuple[str, str], Listing] = {}
    for one in listings:
        table.setdefault((one.exchange, one.symbol), one)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "a.sqlite")
        assert store.write(path, "A", listings, 0, least=0) == len(table)
        with Store(path) as kept:
            assert {name: kept.find(*name) for name in table} == table
            assert kept.count == len(table)
            for exchange, symbol in table:
                assert kept.near(exchange, symbol, 1) == [symbol]
                assert kept.search(symbol, exchange, 1)[0].symbol == symbol


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (
            {"STATE_DIRECTORY": "/var/lib/shardhub:/x", "HOME": "/h"},
            "/var/lib/shardhub/instruments",
        ),
        ({"XDG_DATA_HOME": "/d", "HOME": "/h"}, "/d/shardhub/instruments"),
        ({"XDG_DATA_HOME": "d", "HOME": "/h"}, "/h/.local/share/shardhub/instruments"),
        ({}, "/var/lib/shardhub/instruments"),
    ],
)
def test_where_lists_are(environ: dict[str, str], expected: str) -> None:
    assert store.path_of("fyers", environ) == Path(expected, "fyers.sqlite")


def test_a_list_that_is_damaged_in_the_middle_is_unusable(tmp_path: Path) -> None:
    path = tmp_path / "angel.sqlite"
    store.write(path, "X", (Listing("NSE", f"S{one}", "1", str(one)) for one in range(5000)), 0.0)
    whole = path.read_bytes()
    path.write_bytes(whole[:16384] + b"\xa5" * (len(whole) - 3 * 8192) + whole[-8192:])
    with Store(path) as kept:
        for ask in (
            lambda: kept.find("NSE", "S4321"),
            lambda: kept.search("S4321"),
            lambda: kept.unknown("NSE", "S9999", date(2026, 1, 1)),
        ):
            with pytest.raises(Unusable, match="cannot be read; type `hub instruments update ang"):
                ask()
