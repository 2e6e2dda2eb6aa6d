"""A miniature of an OpenAlgo checkout, and the database that belongs to it."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parent / "checkout"
SYMBOLS = ("RELIANCE", "INFY", "TCS", "SBIN", "M&M")
_SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE api_keys (
    id INTEGER PRIMARY KEY, user_id VARCHAR NOT NULL UNIQUE, api_key_hash TEXT NOT NULL,
    api_key_encrypted TEXT NOT NULL, created_at DATETIME, order_mode VARCHAR(20)
);
CREATE TABLE auth (
    id INTEGER PRIMARY KEY, name VARCHAR(255) NOT NULL UNIQUE, auth TEXT NOT NULL, feed_token TEXT,
    broker VARCHAR(20) NOT NULL, user_id VARCHAR(255), is_revoked BOOLEAN, secret_api_key TEXT,
    primary_ip VARCHAR(45), secondary_ip VARCHAR(45), ip_updated_at DATETIME,
    aux_param1 TEXT, aux_param2 TEXT, aux_param3 TEXT, aux_param4 TEXT
);
CREATE TABLE symtoken (
    id INTEGER PRIMARY KEY, symbol VARCHAR NOT NULL, brsymbol VARCHAR NOT NULL, name VARCHAR,
    exchange VARCHAR, brexchange VARCHAR, token VARCHAR, expiry VARCHAR, strike FLOAT,
    lotsize INTEGER, instrumenttype VARCHAR, tick_size FLOAT, contract_value FLOAT
);
"""


class Checkout:
    """A copy of the miniature in a folder of a test's own, with a database."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "openalgo"
        shutil.copytree(CHECKOUT, self.root, ignore=shutil.ignore_patterns("__pycache__"))
        self.database = self.root / "db" / "openalgo.db"
        self.database.parent.mkdir()
        self._write(lambda connection: connection.executescript(_SCHEMA))
        self.symbols(SYMBOLS)

    def symbols(self, names: Iterable[str], exchange: str = "NSE") -> None:
        """List symbols."""
        rows = [(name, f"{name}-EQ", exchange, exchange, str(hash(name))) for name in names]
        sql = (
            "INSERT INTO symtoken (symbol, brsymbol, exchange, brexchange, token)"
            " VALUES (?, ?, ?, ?, ?)"
        )
        self._write(lambda connection: connection.executemany(sql, rows))

    def login(self, user: str, broker: str, token: str = "token-of-the-day") -> None:
        """Log a user in with a broker, as OpenAlgo's page does; the feed token ends in `-feed`."""
        sql = (
            "INSERT INTO auth (name, auth, feed_token, broker, user_id, is_revoked)"
            " VALUES (?, ?, ?, ?, 'C1', 0) ON CONFLICT (name) DO UPDATE SET auth = excluded.auth,"
            " feed_token = excluded.feed_token, broker = excluded.broker, is_revoked = 0"
        )
        row = (user, token, f"{token}-feed", broker)
        self._write(lambda connection: connection.execute(sql, row))

    def logout(self, user: str) -> None:
        """Revoke a user's login."""
        sql = "UPDATE auth SET is_revoked = 1 WHERE name = ?"
        self._write(lambda connection: connection.execute(sql, (user,)))

    def key(self, user: str, key_hash: str) -> None:
        """Give a user an API key, by the hash of it that OpenAlgo would write."""
        sql = (
            "INSERT INTO api_keys (user_id, api_key_hash, api_key_encrypted, order_mode)"
            " VALUES (?, ?, '', 'auto')"
            " ON CONFLICT (user_id) DO UPDATE SET api_key_hash = excluded.api_key_hash"
        )
        self._write(lambda connection: connection.execute(sql, (user, key_hash)))

    def mischief(self, **orders: Mapping[str, Any]) -> None:
        """Tell the adapters what to do wrong from now on: see `mischief.py` in the checkout.

        `anita__subscribe` is for one user's calls.
        """
        text = json.dumps({name.replace("__", "."): what for name, what in orders.items()})
        new = self.root / "mischief.new"
        new.write_text(text, encoding="utf-8")
        new.rename(self.root / "mischief.json")

    def let_go(self, name: str) -> None:
        """Let go on what waits `until` this."""
        (self.root / name).touch()

    def calls(self, *names: str) -> list[dict[str, Any]]:
        """The calls the adapters got so far, of these kinds or all."""
        try:
            text = (self.root / "calls.jsonl").read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        whole = text[: text.rfind("\n") + 1]
        found: list[dict[str, Any]] = [json.loads(line) for line in whole.splitlines()]
        return [call for call in found if not names or call["call"] in names]

    def environment(self) -> dict[str, str]:
        """The variables of its .env."""
        lines = (self.root / ".env").read_text(encoding="utf-8").splitlines()
        pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
        return {name.strip(): value.strip().strip("'") for name, _, value in pairs}

    def _write(self, change: Any) -> None:
        connection = sqlite3.connect(self.database)
        try:
            with connection:
                change(connection)
        finally:
            connection.close()
