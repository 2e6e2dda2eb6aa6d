"""What a symbol is called at the broker."""

from database.symbol import find


def get_token(symbol, exchange):
    row = find(symbol, exchange)
    return row.token if row else None


def get_brexchange(symbol, exchange):
    row = find(symbol, exchange)
    return row.brexchange if row else None
