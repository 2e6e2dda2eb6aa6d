"""Angel's list of instruments under OpenAlgo's symbols."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.brokers.angel import instruments
from hub.brokers.angel.instruments import READER, SOURCE, read
from hub.brokers.base import Listing
from hub.core.errors import Malformed
from tests.brokers.angel_server import master_rows


def listed(rows: object) -> dict[tuple[str, str], Listing]:
    found = [*read(SOURCE.name, io.BytesIO(json.dumps(rows).encode()))]
    by_name = {(one.exchange, one.symbol): one for one in found}
    assert len(by_name) == len(found), "no name twice"
    return by_name


def row(**more: str) -> Mapping[str, str]:
    plain = {"token": "1", "symbol": "X-EQ", "name": "X", "exch_seg": "NSE", "tick_size": "5"}
    return plain | more


def test_names_are_openalgos() -> None:
    assert [*listed(master_rows())] == [
        ("NSE", "RELIANCE"),
        ("NSE", "TCS"),
        ("NSE", "INFY"),
        ("BSE", "RELIANCE"),
        ("NSE_INDEX", "NIFTY"),
        ("NSE_INDEX", "BANKNIFTY"),
        ("BSE_INDEX", "SENSEX"),
        ("NFO", "NIFTY29DEC26FUT"),
        ("NFO", "NIFTY29DEC2625000CE"),
        ("NFO", "ITC29DEC26402.5PE"),
        ("BFO", "SENSEX31DEC2685000CE"),
        ("MCX", "GOLDM05JAN27FUT"),
        ("CDS", "USDINR29DEC26FUT"),
        ("CDS", "USDINR29DEC2683.25CE"),
        ("NSE", "ABAN"),
    ]


def test_a_share_an_index_and_contracts() -> None:
    found = listed(master_rows())
    assert found["NSE", "RELIANCE"] == Listing(
        "NSE", "RELIANCE", "1", "2885", "RELIANCE-EQ", "RELIANCE", tick=0.1
    )
    assert found["NSE_INDEX", "NIFTY"] == Listing(
        "NSE_INDEX", "NIFTY", "1", "99926000", "Nifty 50", "NIFTY", "INDEX"
    )
    assert found["NFO", "ITC29DEC26402.5PE"] == Listing(
        "NFO", "ITC29DEC26402.5PE", "2", "52003", "ITC29DEC26402.5PE", "ITC", "PE", "2026-12-29",
        402.5, 1600, 0.05,
    )  # fmt: skip
    assert found["CDS", "USDINR29DEC2683.25CE"] == Listing(
        "CDS", "USDINR29DEC2683.25CE", "13", "1285", "USDINR26DEC83.25CE", "USDINR", "CE",
        "2026-12-29", 83.25, 1, 0.0025, 4,
    )  # fmt: skip


@pytest.mark.parametrize("reverse", [False, True])
def test_eq_goes_before_other_series_of_its_name(reverse: bool) -> None:
    rows = [row(symbol="X-BE", token="9"), row(symbol="X-EQ", token="5")]
    found = listed(rows[::-1] if reverse else rows)
    assert [one.token for one in found.values()] == ["5"]


@pytest.mark.parametrize(
    ("name", "exchange", "symbol"),
    [
        ("Nifty 50", "NSE", "NIFTY"),
        ("NIFTY FIN SERVICE", "NSE", "FINNIFTY"),
        ("NIFTY MID SELECT", "NSE", "MIDCPNIFTY"),
        ("NIFTY NEXT 50", "NSE", "NIFTYNXT50"),
        ("INDIA VIX", "NSE", "INDIAVIX"),
        ("S&P BSE-100", "BSE", "BSE100"),
        ("SNSX50", "BSE", "SENSEX50"),
    ],
)
def test_names_of_indices(name: str, exchange: str, symbol: str) -> None:
    found = listed([row(name=name, exch_seg=exchange, instrumenttype="AMXIDX")])
    assert [*found] == [(f"{exchange}_INDEX", symbol)]


NOT_LISTED = [
    row(exch_seg="NCO"),
    row(token=""),
    row(token="9" * 26),
    row(token="9ä"),
    row(symbol=""),
    row(tick_size="x"),
    row(lotsize="inf"),
    row(lotsize="nan"),
    row(exch_seg="NFO", instrumenttype="FUTSTK", expiry="soon"),
    row(exch_seg="NFO", instrumenttype="FUTSTK", expiry="31FEB2026"),
    row(exch_seg="NFO", instrumenttype="OPTSTK", expiry="26NOV2026", symbol="X26NOV26100XX"),
    row(exch_seg="CDS", instrumenttype="UNDCUR"),
    row(exch_seg="NFO", instrumenttype="AMXIDX"),
    {"token": 5, "symbol": "X-EQ", "exch_seg": "NSE"},
    {"symbol": "X-EQ"},
    {},
]


@pytest.mark.parametrize("bad", NOT_LISTED)
def test_a_row_that_cannot_be_read_is_left_out(bad: Mapping[str, str]) -> None:
    assert [*listed([bad, row(symbol="GOOD-EQ")])] == [("NSE", "GOOD")]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1 << 20])
def test_pieces_may_end_anywhere(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instruments, "_PIECE_BYTES", size)
    assert len(listed(master_rows())) == 15


WHOLE = json.dumps(master_rows()).encode()


@pytest.mark.parametrize("file", [b"", b"<html>no</html>", b"{}", b"[", WHOLE[:-1], WHOLE[:200]])
def test_what_is_no_list_or_half_of_one_is_malformed(file: bytes) -> None:
    with pytest.raises(Malformed):
        [*read(SOURCE.name, io.BytesIO(file))]


def test_a_row_without_an_end_is_not_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instruments, "_PIECE_BYTES", 1 << 10)
    file = io.BytesIO(b'[{"token": "' + b"9" * (1 << 20))
    with pytest.raises(Malformed):
        [*read(SOURCE.name, file)]
    assert file.tell() < 1 << 18


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda more: WHOLE[:300] + more))
def test_only_malformed_is_raised(file: bytes) -> None:
    try:
        [*read(SOURCE.name, io.BytesIO(file))]
    except Malformed:
        return
    assert file.rstrip().endswith(b"]")


def test_the_reader_says_where_the_file_is() -> None:
    assert READER.sources == (SOURCE,)
    assert SOURCE.url.endswith("/OpenAPIScripMaster.json")
