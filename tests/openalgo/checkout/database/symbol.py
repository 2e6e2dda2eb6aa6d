"""The table of symbols."""

import sqlite3

from database.auth_db import PATH


class SymToken:
    """A row: OpenAlgo's symbol, the broker's names for it."""

    def __init__(self, symbol, brsymbol, exchange, brexchange, token):
        self.symbol = symbol
        self.brsymbol = brsymbol
        self.exchange = exchange
        self.brexchange = brexchange
        self.token = token


def find(symbol, exchange):
    connection = sqlite3.connect(PATH)
    query = (
        "SELECT symbol, brsymbol, exchange, brexchange, token FROM symtoken"
        " WHERE symbol = ? AND exchange = ?"
    )
    found = connection.execute(query, (symbol, exchange)).fetchone()
    connection.close()
    return SymToken(*found) if found else None
