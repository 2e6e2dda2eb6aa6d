"""A database such as OpenAlgo's, for tests: its two tables, in WAL mode, with cheap real hashes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher

PEPPER = "p" * 32
HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
TABLES = (
    """CREATE TABLE api_keys (id INTEGER PRIMARY KEY, user_id VARCHAR UNIQUE NOT NULL,
    api_key_hash TEXT, api_key_encrypted TEXT, created_at DATETIME, order_mode VARCHAR)""",
    """CREATE TABLE auth (id INTEGER PRIMARY KEY, name VARCHAR UNIQUE NOT NULL, auth TEXT,
    feed_token TEXT, broker VARCHAR, user_id VARCHAR, is_revoked BOOLEAN)""",
)
_WRITER = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for line in sys.stdin:
    if line == "die\\n":
        os._exit(0)
    connection.execute(line).fetchall()
    print("done", flush=True)
connection.close()
"""


class Tables:
    """The database at `path`; each change opens and closes it, so that it is left at rest."""

    def __init__(self, path: Path, journal: str = "wal") -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.run(f"PRAGMA journal_mode={journal}")
        for table in TABLES:
            self.run(table)

    def run(self, sql: str, *values: Any) -> None:
        """Execute and commit."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous=off")
            connection.execute(sql, values)

    def key(self, user: str, api_key: str) -> str:
        """Give a user this key instead of any other, and return its hash."""
        key_hash = HASHER.hash(api_key + PEPPER)
        self.raw_key(user, key_hash)
        return key_hash

    def raw_key(self, user: str, key_hash: str) -> None:
        """Give a user a key with this hash."""
        self.run(
            "INSERT OR REPLACE INTO api_keys (user_id, api_key_hash) VALUES (?, ?)", user, key_hash
        )

    def no_key(self, user: str) -> None:
        """Delete a user's key."""
        self.run("DELETE FROM api_keys WHERE user_id = ?", user)

    def login(self, user: str, broker: str | None, *, revoked: bool | None = False) -> None:
        """Log a user in to a broker."""
        self.run(
            "INSERT OR REPLACE INTO auth (name, broker, is_revoked) VALUES (?, ?, ?)",
            user, broker, revoked,
        )  # fmt: skip

    def revoke(self, user: str) -> None:
        """Log a user out."""
        self.run("UPDATE auth SET is_revoked = 1 WHERE name = ?", user)

    def files(self) -> dict[str, tuple[bytes, int]]:
        """What is in the directory: content and time of change."""
        return {
            path.name: (path.read_bytes(), path.stat().st_mtime_ns)
            for path in self.path.parent.iterdir()
        }


class Writer:
    """Another process that has the database open."""

    def __init__(self, path: Path, script: Sequence[str] = ()) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        for line in script:
            self.run(line)

    def run(self, sql: str) -> None:
        """Execute one line and wait until it is done."""
        assert self._child.stdin
        assert self._child.stdout
        self._child.stdin.write(f"{sql}\n")
        self._child.stdin.flush()
        assert self._child.stdout.readline() == "done\n"

    def die(self) -> None:
        """End without closing the database."""
        self._child.communicate("die\n")

    def close(self) -> None:
        """Close the database and end."""
        if self._child.poll() is None:
            self._child.communicate()
