"""The lists of instruments that the fake Fyers has: few that are real, and as many made-up ones as
a good list has at least."""

from __future__ import annotations

import json

from hub.brokers.base import Listing

MADE_UP = 600
_TAIL = "0915-1530|1815-1915:,2026-11-20"
_EXPIRY = 1795514400  # 24 November 2026, 15:30 in India


def _share(token: int, name: str) -> str:
    return (
        f"1010000000{token},{name} LIMITED,0,1,0.05,INE000A01000,{_TAIL},,NSE:{name}-EQ,10,10,"
        f"{token},{name},{token},-1.0,XX,1010000000{token},None,1,3.7"
    )


def _contract(token: int, ticker: str, strike: float, kind: str, words: str, code: int) -> str:
    return (
        f"1011261124{token},{words},{code},65,0.05,,{_TAIL},{_EXPIRY},{ticker},10,11,{token},NIFTY,"
        f"26000,{strike},{kind},101000000026000,None,0,0.0"
    )


def _index(token: int, ticker: str, name: str) -> str:
    return (
        f"1010000000{token},{ticker},10,0,0.05,,{_TAIL},,NSE:{ticker},10,10,{token},{name},{token},"
        f"-1.0,XX,1010000000{token},None,0,0.0"
    )


NSE_CM = "\n".join([
    _index(26000, "NIFTY50-INDEX", "NIFTY"),
    _index(26009, "NIFTYBANK-INDEX", "BANKNIFTY"),
    _index(26077, "NIFTYNEW-INDEX", "NIFTY NEW-X"),
    _share(2885, "RELIANCE"),
    _share(3045, "SBIN"),
    *(_share(50_000 + n, f"MADE{n}") for n in range(MADE_UP)),
    "",
])  # fmt: skip
NSE_FO = "\n".join([
    _contract(68407, "NSE:NIFTY26NOVFUT", -1.0, "XX", "NIFTY 24 Nov 26 FUT", 11),
    _contract(35086, "NSE:NIFTY26NOV26000CE", 26000.0, "CE", "NIFTY 24 Nov 26 26000 CE", 14),
    _contract(35087, "NSE:NIFTY26NOV26000.5PE", 26000.5, "PE", "NIFTY 24 Nov 26 26000.5 PE", 14),
    "",
])  # fmt: skip
NSE_CD = json.dumps({
    "NSE:USDINR26NOVFUT": {
        "fyToken": "10122611241201",
        "symTicker": "NSE:USDINR26NOVFUT",
        "symDetails": "USDINR 24 Nov 26 FUT",
        "exSymbol": "USDINR",
        "expiryDate": str(_EXPIRY),
        "strikePrice": -1.0,
        "optType": "XX",
        "qtyMultiplier": 1000.0,
        "tickSize": 0.0025,
    },
})  # fmt: skip
INDICES = json.dumps({"NSE:NIFTY50-INDEX": "Nifty 50", "NSE:NIFTYNEW-INDEX": "Nifty New X"})
FILES = {
    "NSE_CM.csv": NSE_CM.encode(),
    "NSE_FO.csv": NSE_FO.encode(),
    "NSE_COM.csv": b"",
    "BSE_CM.csv": (
        f"1210000000500325,RELIANCE INDUSTRIES,0,1,0.05,INE002A01018,{_TAIL},,BSE:RELIANCE-A,12,10,"
        "500325,RELIANCE,500325,-1.0,XX,1210000000500325,None,1,3.7\n"
        f"121000000000001,SENSEX-INDEX,10,0,0.01,,{_TAIL},,BSE:SENSEX-INDEX,12,10,1,SENSEX,1,-1.0,XX,"
        "121000000000001,None,0,0.0\n"
    ).encode(),
    "BSE_FO.csv": b"",
    "NSE_CD_sym_master.json": NSE_CD.encode(),
    "MCX_COM_sym_master.json": b"{}",
    "index_hsm_mapping.json": INDICES.encode(),
}


def listings(count: int) -> list[Listing]:
    """So many shares, as the data socket knows them."""
    return [
        Listing("NSE", f"MADE{n}", "nse_cm", str(50_000 + n), f"NSE:MADE{n}-EQ")
        for n in range(count)
    ]
