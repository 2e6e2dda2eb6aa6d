"""Names of the family's lists become OpenAlgo's; what cannot be told is left out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pytest

from hub.brokers.base import Listing
from hub.brokers.noren import instruments
from hub.core.errors import Malformed

SHARES = "Token,LotSize,Symbol,TradingSymbol,Instrument,TickSize,"
CONTRACTS = "Token,LotSize,Symbol,TradingSymbol,Expiry,Instrument,OptionType,StrikePrice,TickSize,"


def cash(exchange: str, *lines: str, paise: bool = False) -> list[Listing]:
    return list(instruments.cash(exchange, rows(SHARES, lines), paise=paise))


def contracts(exchange: str, *lines: str) -> list[Listing]:
    return list(instruments.contracts(exchange, rows(CONTRACTS, lines), {"BSXOPT": "SENSEX"}))


def rows(head: str, lines: Sequence[str]) -> list[instruments.Row]:
    return list(instruments.rows([head, *lines], ("token",), "it"))


@pytest.mark.parametrize(
    ("broker_symbol", "symbol"), [("ACC-EQ", "ACC"), ("ACC-BE", "ACC"), ("ACC-N1", "ACC-N1")]
)
def test_a_share_of_nse_has_the_name_without_its_usual_series(
    broker_symbol: str, symbol: str
) -> None:
    (found,) = cash("NSE", f"22,1,ACC,{broker_symbol},EQ,0.05,")
    assert found == Listing(
        "NSE", symbol, "NSE", "22", broker_symbol, name="ACC", kind="EQ", lot=1, tick=0.05
    )


def test_of_two_series_the_usual_one_has_the_name() -> None:
    found = cash("NSE", "7,1,ACC,ACC-BE,BE,0.05,", "22,1,ACC,ACC-EQ,EQ,0.05,", "8,1,B,B-BE,BE,1,")
    assert [(one.symbol, one.token) for one in found] == [("ACC", "22"), ("B", "8")]


@pytest.mark.parametrize(
    ("exchange", "broker_symbol", "symbol"),
    [
        ("NSE", "Nifty 50", "NIFTY"), ("NSE", "Nifty Bank", "BANKNIFTY"),
        ("NSE", "NIFTY MID SELECT", "MIDCPNIFTY"), ("NSE", "Nifty Next 50", "NIFTYNXT50"),
        ("NSE", "Nifty Fin Service", "FINNIFTY"), ("NSE", "INDIA VIX", "INDIAVIX"),
        ("NSE", "Nifty Auto", "NIFTYAUTO"), ("BSE", "S&P BSE SENSEX", "SENSEX"),
    ],
)  # fmt: skip
def test_an_index_has_openalgo_s_name(exchange: str, broker_symbol: str, symbol: str) -> None:
    (found,) = cash(exchange, f"26000,1,x,{broker_symbol},INDEX,0.05,")
    assert (found.exchange, found.symbol, found.segment, found.kind) == (
        f"{exchange}_INDEX", symbol, exchange, "INDEX",
    )  # fmt: skip


@pytest.mark.parametrize(("told", "tick"), [("5", 0.05), ("0.05", 0.05), ("100", 1.0), ("", 0.0)])
def test_a_tick_in_paise_becomes_rupees(told: str, tick: float) -> None:
    (found,) = cash("NSE", f"22,1,ACC,ACC-EQ,EQ,{told},", paise=True)
    assert found.tick == tick


def test_contracts_have_openalgo_s_names() -> None:
    found = contracts(
        "NFO",
        "65872,65,NIFTY,NIFTY29DEC26F,29-DEC-2026,FUTIDX,XX,-0.01,0.10,",
        "43001,65,NIFTY,NIFTY29DEC26C25000,29-DEC-2026,OPTIDX,CE,25000,0.05,",
        "43002,475,M&M,M&M29DEC26P3012.5,29-DEC-2026,OPTSTK,PE,3012.50,0.05,",
    )
    assert [one.symbol for one in found] == [
        "NIFTY29DEC26FUT", "NIFTY29DEC2625000CE", "M&M29DEC263012.5PE",
    ]  # fmt: skip
    assert found[1] == Listing(
        "NFO", "NIFTY29DEC2625000CE", "NFO", "43001", "NIFTY29DEC26C25000", "NIFTY", "CE",
        "2026-12-29", 25000.0, 65, 0.05, 2,
    )  # fmt: skip
    assert (found[0].kind, found[0].strike) == ("FUT", 0.0)


@pytest.mark.parametrize(
    ("name", "trading", "symbol"),
    [
        ("BSXOPT", "SENSEX26DEC91000PE", "SENSEX29DEC2691000PE"),
        ("SX50OPT", "SENSEX5026D2991000PE", "SENSEX5029DEC2691000PE"),
        ("SX50OPT", "SENSEX5026DEC91000PE", "SENSEX5029DEC2691000PE"),
        ("ODDOPT", "UNREADABLE", "ODDOPT29DEC2691000PE"),
    ],
)
def test_an_underlying_by_another_name_is_had_from_the_contract_s_own(
    name: str, trading: str, symbol: str
) -> None:
    (found,) = contracts("BFO", f"1,20,{name},{trading},29-DEC-2026,OPTIDX,PE,91000,0.05,")
    assert found.symbol == symbol


def test_a_currency_has_four_decimals() -> None:
    (found,) = contracts("CDS", "1155,1,USDINR,USDINR29DEC26F,29-DEC-2026,FUTCUR,XX,0,0.0025,")
    assert (found.precision, found.tick) == (4, 0.0025)


@pytest.mark.parametrize(
    "line",
    [
        "1,1,,,,,,,,", ",65,NIFTY,X,29-DEC-2026,FUTIDX,XX,0,1,",
        "1,65,NIFTY,X,never,FUTIDX,XX,0,1,",
        "1,65,NIFTY,X,29-DEC-2026,OPTIDX,CE,0,1,", "1,65,NIFTY,X,29-DEC-2026,OPTIDX,ZZ,5,1,",
        "1,65,NIFTY,X,29-DEC-2026,OPTIDX,CE,nan,1,", "1", "",
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_read_is_left_out(line: str) -> None:
    assert contracts("NFO", line) == []


def test_a_list_without_its_columns_is_none() -> None:
    with pytest.raises(Malformed, match="no column token"):
        list(instruments.rows(["<html>"], ("token",), "it"))
    with pytest.raises(Malformed, match="no list of instruments"):
        list(instruments.rows([], ("token",), "it"))


def test_a_contract_s_own_name_ends_in_its_day() -> None:
    day = date(2026, 11, 19)
    assert instruments.base_of("SENSEX26NOV85000CE", day, "85000CE") == "SENSEX"
    assert instruments.base_of("SENSEX26N1985000CE", day, "85000CE") == "SENSEX"
    assert instruments.base_of("SENSEX19NOV26FUT", day, "FUT") == "SENSEX"
    assert instruments.base_of("SENSEX26DEC85000CE", day, "85000CE") == ""
