"""From symbols to the broker's tokens."""

from database.token_db import get_brexchange, get_token


class SymbolMapper:
    @staticmethod
    def get_token_from_symbol(symbol, exchange):
        """The token and the broker's exchange, or None."""
        token = get_token(symbol, exchange)
        return {"token": token, "brexchange": get_brexchange(symbol, exchange)} if token else None
