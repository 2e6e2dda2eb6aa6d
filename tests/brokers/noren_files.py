"""The lists of instruments that a fake broker of the Noren family has: Shoonya's, then Flattrade's.

Each has what is odd about the broker's own: rows that name nothing, a comma at the end, an
underlying by another name, tokens that are no contracts.
"""

from __future__ import annotations

import csv
import io
import zipfile

_CONTRACT = ["Exchange", "Token", "LotSize", "Symbol", "TradingSymbol", "Expiry", "Instrument"]
_CONTRACT += ["OptionType", "StrikePrice", "TickSize", ""]
_SHARE = ["Exchange", "Token", "LotSize", "Symbol", "TradingSymbol", "Instrument", "TickSize", ""]
_PLAIN = ["Token", "Lotsize", "Symbol", "Tradingsymbol", "Instrument", "Expiry", "Strike"]
_PLAIN += ["Optiontype"]
_CURRENCY = [*_CONTRACT[:3], "Precision", "Multiplier", *_CONTRACT[3:]]
_GOODS = [*_CONTRACT[:3], "GNGD", *_CONTRACT[3:]]
_EXPIRY = "29-DEC-2026"

FILES: dict[str, list[list[str]]] = {
    "NSE_symbols.txt.zip": [
        _SHARE,
        ["NSE", "22", "1", "ACC", "ACC-EQ", "EQ", "5", ""],
        ["NSE", "2885", "1", "RELIANCE", "RELIANCE-EQ", "EQ", "10", ""],
        ["NSE", "26000", "1", "Nifty 50", "Nifty 50", "INDEX", "5", ""],
        ["NSE", "26009", "1", "Nifty Bank", "Nifty Bank", "INDEX", "5", ""],
    ],
    "BSE_symbols.txt.zip": [_SHARE, ["BSE", "22", "1", "ACC", "ACC", "A", "5", ""]],
    "NFO_symbols.txt.zip": [
        _CONTRACT,
        ["NFO", "1", "1", "", "", "", "", "", "", "", ""],
        ["NFO", "65872", "65", "NIFTY", "NIFTY29DEC26F", _EXPIRY, "FUTIDX", "XX", "-0.01", "0.10"],
        ["NFO", "43001", "65", "NIFTY", "NIFTY29DEC26C25000", _EXPIRY, "OPTIDX", "CE", "25000",
         "0.05", ""],
    ],
    "BFO_symbols.txt.zip": [
        _CONTRACT,
        ["BFO", "837931", "20", "BSXOPT", "SENSEX26DEC91000PE", _EXPIRY, "OPTIDX", "PE", "91000",
         "0.05", ""],
    ],
    "CDS_symbols.txt.zip": [
        _CURRENCY,
        ["CDS", "3", "1", "4", "1", "USDINR", "USDINR", "", "UNDCUR", "XX", "", "0.0025", ""],
        ["CDS", "1155", "1", "4", "1000", "USDINR", "USDINR29DEC26F", _EXPIRY, "FUTCUR", "XX",
         "-0.01", "0.0025", ""],
        ["CDS", "1156", "1", "4", "1000", "USDINR", "USDINR29DEC26C82.5", _EXPIRY, "OPTCUR", "CE",
         "82.5", "0.0025", ""],
    ],
    "MCX_symbols.txt.zip": [
        _GOODS,
        ["MCX", "565899", "100", "1", "CRUDEOIL", "CRUDEOIL21DEC26", "21-DEC-2026", "FUTCOM", "XX",
         "0", "1", ""],
    ],
    "NSE_Equity.csv": [
        _PLAIN,
        ["22", "1", "ACC", "ACC-EQ", "EQ", "", "", ""],
        ["2885", "1", "RELIANCE", "RELIANCE-EQ", "EQ", "", "", ""],
        ["26000", "1", "Nifty 50", "Nifty 50", "INDEX", "", "", ""],
    ],
    "BSE_Equity.csv": [
        _PLAIN,
        ["22", "1", "ACC", "ACC", "A", "", "", ""],
        ["1", "1", "SENSEX", "SENSEX", "UNDIND", "", "", ""],
    ],
    "Nfo_Equity_Derivatives.csv": [
        _PLAIN,
        ["52001", "500", "RELIANCE", "RELIANCE29DEC26F", "FUTSTK", _EXPIRY, "", "XX"],
    ],
    "Nfo_Index_Derivatives.csv": [
        _PLAIN,
        ["65872", "65", "NIFTY", "NIFTY29DEC26F", "FUTIDX", _EXPIRY, "0", "XX"],
        ["43001", "65", "NIFTY", "NIFTY29DEC26C25000", "OPTIDX", _EXPIRY, "25000", "CE"],
    ],
    "Bfo_Equity_Derivatives.csv": [_PLAIN],
    "Bfo_Index_Derivatives.csv": [
        _PLAIN,
        ["837931", "20", "SENSEX", "SENSEX26DEC91000PE", "OPTIDX", _EXPIRY, "91000", "PE"],
    ],
    "Currency_Derivatives.csv": [
        _PLAIN,
        ["1156", "1", "USDINR", "USDINR29DEC26C82.5", "OPTCUR", _EXPIRY, "82.5", "CE"],
    ],
    "Commodity.csv": [
        _PLAIN,
        ["565899", "100", "CRUDEOIL", "CRUDEOIL21DEC26", "FUTCOM", "21-DEC-2026", "0", "XX"],
    ],
}  # fmt: skip


def plain(name: str) -> bytes:
    """A file as CSV."""
    made = io.StringIO()
    csv.writer(made).writerows(FILES[name])
    return made.getvalue().encode()


def packed(name: str) -> bytes:
    """A file as CSV in a ZIP."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name.removesuffix(".zip"), plain(name))
    return made.getvalue()
