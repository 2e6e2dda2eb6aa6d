"""What indices are called: by Fyers' stream, and by OpenAlgo. Pure."""

from __future__ import annotations

from typing import Final

STREAM: Final = {
    "NSE:FINNIFTY-INDEX": "Nifty Fin Service",
    "NSE:INDIAVIX-INDEX": "India VIX",
    "NSE:MIDCPNIFTY-INDEX": "NIFTY MID SELECT",
    "NSE:NIFTY100-INDEX": "Nifty 100",
    "NSE:NIFTY200-INDEX": "Nifty 200",
    "NSE:NIFTY50-INDEX": "Nifty 50",
    "NSE:NIFTY500-INDEX": "Nifty 500",
    "NSE:NIFTYAUTO-INDEX": "Nifty Auto",
    "NSE:NIFTYBANK-INDEX": "Nifty Bank",
    "NSE:NIFTYFMCG-INDEX": "Nifty FMCG",
    "NSE:NIFTYIT-INDEX": "Nifty IT",
    "NSE:NIFTYMETAL-INDEX": "Nifty Metal",
    "NSE:NIFTYMIDCAP100-INDEX": "NIFTY MIDCAP 100",
    "NSE:NIFTYMIDCAP50-INDEX": "Nifty Midcap 50",
    "NSE:NIFTYNEXT50-INDEX": "Nifty Next 50",
    "NSE:NIFTYNXT50-INDEX": "Nifty Next 50",
    "NSE:NIFTYPHARMA-INDEX": "Nifty Pharma",
    "NSE:NIFTYPSUBANK-INDEX": "Nifty PSU Bank",
    "NSE:NIFTYREALTY-INDEX": "Nifty Realty",
    "BSE:BANKEX-INDEX": "BANKEX",
    "BSE:SENSEX-INDEX": "SENSEX",
    "BSE:SNSX50-INDEX": "SNSX50",
}
"""The stream's names by ticker of the usual indices; Fyers' own file has all of them."""

_BSE_WORDS: Final = {
    "100": "100", "150MIDCAP": "150MIDCAPINDEX", "200": "200",
    "250LARGEMIDCAP": "250LARGEMIDCAPINDEX", "400MIDSMALLCAP": "400MIDSMALLCAPINDEX",
    "500": "500", "AUTO": "AUTO", "CARBONEX": "CARBONEX", "CD": "CONSUMERDURABLES",
    "CG": "CAPITALGOODS", "CPSE": "CPSE", "DOL100": "DOLLEX100", "DOL200": "DOLLEX200",
    "DOL30": "DOLLEX30", "ENERGY": "ENERGY", "FIN": "FINANCIALSERVICES",
    "FMC": "FASTMOVINGCONSUMERGOODS", "GREENEX": "GREENEX", "HC": "HEALTHCARE",
    "INDSTR": "INDUSTRIALS", "INFRA": "INDIAINFRASTRUCTUREINDEX", "IPO": "IPO",
    "IT": "INFORMATIONTECHNOLOGY", "LRGCAP": "LARGECAP", "METAL": "METAL", "MIDCAP": "MIDCAP",
    "MIDSEL": "MIDCAPSELECTINDEX", "OILGAS": "OIL&GAS", "POWER": "POWER", "PSU": "PSU",
    "REALTY": "REALTY", "SMEIPO": "SMEIPO", "SMLCAP": "SMALLCAP", "SMLSEL": "SMALLCAPSELECTINDEX",
    "SNXT50": "SENSEXNEXT50", "TECK": "TECK", "TELCOM": "TELECOM",
}  # fmt: skip
"""What stands behind `BSE` in OpenAlgo's symbols of indices."""
_NSE_OTHERS: Final = {"NIFTYMID50": "NIFTYMIDCAP50"}
_BSE_OTHERS: Final = {"SNSX50": "SENSEX50"}


def symbol(exchange: str, name: str) -> str:
    """OpenAlgo's symbol of the index that Fyers calls so at this exchange."""
    plain = name.upper().replace(" ", "")
    if exchange == "NSE":
        plain = plain.replace("-", "")
        return _NSE_OTHERS.get(plain, plain)
    if plain in _BSE_WORDS:
        return f"BSE{_BSE_WORDS[plain]}"
    return _BSE_OTHERS.get(plain, plain)


def stream_name(names: dict[str, str], ticker: str) -> str:
    """What the stream calls the index of that ticker: as `names` has it, else the usual ones, else
    the ticker without its exchange and suffix."""
    found = names.get(ticker) or STREAM.get(ticker)
    return found or ticker.rpartition(":")[2].removesuffix("-INDEX")
