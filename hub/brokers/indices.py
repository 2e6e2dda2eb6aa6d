"""OpenAlgo's names of indices, for brokers that name them as the exchanges do. Pure.

Source of the names: OpenAlgo's documentation of its symbols.
"""

from __future__ import annotations

_NSE = {
    "NIFTY 50": "NIFTY",
    "NIFTY BANK": "BANKNIFTY",
    "NIFTY FIN SERVICE": "FINNIFTY",
    "NIFTY FINANCIAL SERVICES": "FINNIFTY",
    "NIFTY MID SELECT": "MIDCPNIFTY",
    "NIFTY MIDCAP SELECT": "MIDCPNIFTY",
    "NIFTY NEXT 50": "NIFTYNXT50",
}

BSE = {
    "AUTO": "BSEAUTO", "BSE CD": "BSECONSUMERDURABLES", "BSE CG": "BSECAPITALGOODS",
    "BSE HC": "BSEHEALTHCARE", "BSE IT": "BSEINFORMATIONTECHNOLOGY",
    "BSEFMC": "BSEFASTMOVINGCONSUMERGOODS", "CARBON": "BSECARBONEX", "CPSE": "BSECPSE",
    "DOL100": "BSEDOLLEX100", "DOL200": "BSEDOLLEX200", "DOL30": "BSEDOLLEX30",
    "ENERGY": "BSEENERGY", "FINSER": "BSEFINANCIALSERVICES", "GREENX": "BSEGREENEX",
    "INDSTR": "BSEINDUSTRIALS", "INFRA": "BSEINDIAINFRASTRUCTUREINDEX",
    "LMI250": "BSE250LARGEMIDCAPINDEX", "LRGCAP": "BSELARGECAP", "METAL": "BSEMETAL",
    "MID150": "BSE150MIDCAPINDEX", "MIDCAP": "BSEMIDCAP", "MIDSEL": "BSEMIDCAPSELECTINDEX",
    "MSL400": "BSE400MIDSMALLCAPINDEX", "OILGAS": "BSEOIL&GAS", "POWER": "BSEPOWER",
    "REALTY": "BSEREALTY", "SMEIPO": "BSESMEIPO", "SMLCAP": "BSESMALLCAP",
    "SMLSEL": "BSESMALLCAPSELECTINDEX", "SNSX50": "SENSEX50", "SNXT50": "BSESENSEXNEXT50",
    "TECK": "BSETECK", "TELCOM": "BSETELECOM",
}  # fmt: skip
"""OpenAlgo's names of indices of BSE by BSE's own; others keep theirs."""


def index_name(exchange: str, name: str) -> str:
    """The name of an index of `NSE_INDEX`, `BSE_INDEX` or another: what has no name of its own is
    written without blanks."""
    known = {"NSE_INDEX": _NSE, "BSE_INDEX": BSE}.get(exchange, {})
    word = name.strip().upper()
    return known.get(word) or word.replace(" ", "")
