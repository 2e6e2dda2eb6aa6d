"""OpenAlgo's database is read whoever has it open, is left as it was, and tells no password."""

from __future__ import annotations

import sqlite3
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st

from hub.auth import database
from hub.auth.database import Database, KeyRow, LoginRow
from hub.core.errors import KeyStoreError
from tests.hub.auth.openalgo_kit import Tables, Writer

URL = "sqlite:///db/openalgo.db"
ALICE = KeyRow("alice", "hash-a", "zerodha", revoked=False)
SECRET = "s3cr3t"
INSERT_BOB = "INSERT INTO api_keys (user_id, api_key_hash) VALUES ('bob', 'hash-b')"
BOB = KeyRow("bob", "hash-b", "", revoked=False)


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    """A database with alice, at rest."""
    tables = Tables(tmp_path / "db" / "openalgo.db")
    tables.raw_key("alice", "hash-a")
    tables.login("alice", "zerodha")
    return tables


@pytest.fixture
def writer(tables: Tables) -> Iterator[Writer]:
    """Another process that has written to it and keeps it open."""
    writer = Writer(tables.path, ["UPDATE auth SET feed_token = 'x'"])
    yield writer
    writer.close()


def read(url: str, checkout: Path) -> list[KeyRow]:
    return Database(url, checkout).rows()


def trouble(url: str, checkout: Path) -> str:
    with pytest.raises(KeyStoreError) as caught:
        read(url, checkout)
    return str(caught.value)


# What is read.


def test_a_row_has_the_user_the_hash_and_the_broker(tables: Tables, tmp_path: Path) -> None:
    assert read(URL, tmp_path) == [ALICE]


def test_a_login_has_what_the_broker_calls_the_user_and_the_tokens_as_they_are(
    tables: Tables, tmp_path: Path
) -> None:
    tables.run("UPDATE auth SET user_id = 'A1', auth = 'one', feed_token = 'two'")
    tables.login("bob", None, revoked=True)
    alice, bob = Database(URL, tmp_path).logins()
    assert alice == LoginRow(
        "alice", "zerodha", revoked=False, client="A1", auth="one", feed_token="two"
    )
    assert bob == LoginRow("bob", "", revoked=True, client="", auth="", feed_token="")
    assert "one" not in repr(alice)


@pytest.mark.parametrize(
    ("broker", "revoked", "active"),
    [
        ("zerodha", False, "zerodha"),
        ("zerodha", None, "zerodha"),
        ("zerodha", True, ""),
        (None, False, ""),
    ],
)
def test_a_revoked_login_keeps_its_broker_and_is_not_active(
    tables: Tables, tmp_path: Path, broker: str | None, revoked: bool | None, active: str
) -> None:
    tables.login("alice", broker, revoked=revoked)
    (row,) = read(URL, tmp_path)
    assert (row.broker, row.revoked, row.active_broker) == (broker or "", bool(revoked), active)


def test_who_never_logged_in_has_no_broker(tables: Tables, tmp_path: Path) -> None:
    tables.run("DELETE FROM auth")
    assert read(URL, tmp_path) == [KeyRow("alice", "hash-a", "", revoked=False)]


@pytest.mark.parametrize(
    ("user", "key_hash"), [("", "h"), ("b\x1f", "h"), ("b\n", "h"), ("bob", None), ("bob", "")]
)
def test_a_row_that_would_harm_keys_and_logs_is_left_out(
    tables: Tables, tmp_path: Path, user: str, key_hash: str | None
) -> None:
    tables.run("INSERT INTO api_keys (user_id, api_key_hash) VALUES (?, ?)", user, key_hash)
    assert read(URL, tmp_path) == [ALICE]


def test_a_broker_that_cannot_be_printed_leaves_its_row_out(tables: Tables, tmp_path: Path) -> None:
    tables.login("alice", "zer\x1fodha")
    assert read(URL, tmp_path) == []


def test_no_repr_shows_the_hash() -> None:
    assert repr(ALICE) == "<KeyRow 'alice' 'zerodha'>"


# Where it is.


@pytest.mark.parametrize(
    "url",
    [URL, f" {URL}\n", f"{URL}?timeout=5", "sqlite+pysqlite:///db/openalgo.db", "sqlite:///{}"],
)
def test_a_url_leads_to_the_file(tables: Tables, tmp_path: Path, url: str) -> None:
    assert read(url.format(tables.path), tmp_path) == [ALICE]


def test_four_slashes_are_absolute_wherever_the_checkout_is(tables: Tables) -> None:
    url = f"sqlite:///{tables.path}"
    assert url.startswith("sqlite:////")
    assert read(url, Path("elsewhere")) == [ALICE]


@pytest.mark.parametrize("name", ["a b?#%25.db", "100%.db", "a%20b.db", "ü.db"])
def test_names_need_no_encoding_and_may_have_one(tmp_path: Path, name: str) -> None:
    """SQLAlchemy 2.0 takes the name as it stands, 2.1 decodes it."""
    Tables(tmp_path / name).raw_key("alice", "h")
    assert len(read(f"sqlite:///{quote(name)}", tmp_path)) == 1
    if "?" not in name:
        assert len(read(f"sqlite:///{name}", tmp_path)) == 1


def test_rule_2_a_file_put_in_its_place_is_read(tables: Tables, tmp_path: Path) -> None:
    known = Database(URL, tmp_path)
    assert known.rows() == [ALICE]
    other = Tables(tmp_path / "other.db")
    other.raw_key("bob", "hash-b")
    other.path.replace(tables.path)
    assert known.rows() == [BOB]


# Rule 1: as it was, whoever has it open.


def at_rest(tables: Tables) -> Writer | None:
    return None


def just_opened(tables: Tables) -> Writer | None:
    return Writer(tables.path, ["SELECT * FROM auth"])


def written(tables: Tables) -> Writer | None:
    return Writer(tables.path, ["UPDATE auth SET feed_token = 'x'"])


def writing(tables: Tables) -> Writer | None:
    return Writer(tables.path, ["BEGIN IMMEDIATE", "UPDATE auth SET broker = 'unfinished'"])


def checkpointed(tables: Tables) -> Writer | None:
    lines = ["UPDATE auth SET feed_token = 'x'", "PRAGMA wal_checkpoint(TRUNCATE)"]
    return Writer(tables.path, lines)


def crashed(tables: Tables) -> Writer | None:
    writer = Writer(
        tables.path, ["UPDATE auth SET broker = 'lost'", "UPDATE auth SET broker = 'zerodha'"]
    )
    writer.die()
    return None


def left_an_empty_log(tables: Tables) -> Writer | None:
    tables.path.with_name("openalgo.db-wal").touch()
    return None


def without_log(tables: Tables) -> Writer | None:
    tables.run("PRAGMA journal_mode=delete")
    return None


STATES = [
    at_rest, just_opened, written, writing, checkpointed, crashed, left_an_empty_log, without_log,
]  # fmt: skip


@pytest.mark.parametrize("state", STATES)
def test_rule_1_a_read_changes_no_file_and_makes_none(
    tables: Tables, tmp_path: Path, state: Callable[[Tables], Writer | None]
) -> None:
    other = state(tables)
    before = tables.files()
    try:
        assert read(URL, tmp_path) == [ALICE]
        assert tables.files() == before
    finally:
        if other:
            other.close()


def test_rule_1_what_another_process_writes_is_read(
    tables: Tables, writer: Writer, tmp_path: Path
) -> None:
    assert read(URL, tmp_path) == [ALICE]
    writer.run(INSERT_BOB)
    assert read(URL, tmp_path) == [ALICE, BOB]
    writer.run("PRAGMA wal_checkpoint(TRUNCATE)")
    writer.run("DELETE FROM api_keys WHERE user_id = 'bob'")
    assert read(URL, tmp_path) == [ALICE]
    writer.close()
    assert read(URL, tmp_path) == [ALICE]


def test_rule_1_another_process_goes_on_writing_after_a_read(
    tables: Tables, tmp_path: Path
) -> None:
    read(URL, tmp_path)
    writer = Writer(tables.path, [INSERT_BOB])
    read(URL, tmp_path)
    writer.run("PRAGMA wal_checkpoint(TRUNCATE)")
    writer.close()
    assert [path.name for path in tables.path.parent.iterdir()] == ["openalgo.db"]
    assert read(URL, tmp_path) == [ALICE, BOB]


def test_rule_1_a_missing_database_is_named_and_not_made(tmp_path: Path) -> None:
    assert f"there is no {tmp_path}/db/openalgo.db" in trouble(URL, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_was_read_at_rest_counts_only_if_it_rested(
    tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    select = database._select
    writers: list[Writer] = []
    ways: list[str] = []

    def opened_meanwhile(path: Path, how: str, query: str) -> list[Any]:
        raw = select(path, how, query)
        ways.append(how.partition("=")[0])
        if not writers:
            writers.append(Writer(path, [INSERT_BOB]))
        return raw

    monkeypatch.setattr(database, "_select", opened_meanwhile)
    try:
        assert read(URL, tmp_path) == [ALICE, BOB]
    finally:
        writers[0].close()
    assert ways == ["immutable", "mode"]


def test_one_that_is_left_in_the_moment_of_a_read_is_read_at_rest(
    tables: Tables, writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    select = database._select
    ways: list[str] = []

    def left_meanwhile(path: Path, how: str, query: str) -> list[Any]:
        writer.close()
        ways.append(how.partition("=")[0])
        return select(path, how, query)

    monkeypatch.setattr(database, "_select", left_meanwhile)
    assert read(URL, tmp_path) == [ALICE]
    assert ways == ["mode", "immutable"]


def test_one_that_never_rests_is_given_up(
    tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamps = iter(range(100))
    monkeypatch.setattr(database._File, "_at_rest", lambda _: next(stamps))
    assert "changes all the time" in trouble(URL, tmp_path)


# What goes wrong.


def test_a_locked_database_is_an_error_that_names_it(
    tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_S", 0.01)
    tables.run("PRAGMA journal_mode=delete")
    writer = Writer(tables.path, ["BEGIN EXCLUSIVE"])
    try:
        assert (
            trouble(URL, tmp_path) == f"OpenAlgo's {tables.path} cannot be read: database is locked"
        )
        writer.run("ROLLBACK")
        assert read(URL, tmp_path) == [ALICE]
    finally:
        writer.close()


def test_a_busy_database_is_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given: list[float] = []

    def connect(*args: object, timeout: float, **more: object) -> Any:
        given.append(timeout)
        raise sqlite3.OperationalError("enough")

    Tables(tmp_path / "db" / "openalgo.db")
    monkeypatch.setattr(sqlite3, "connect", connect)
    trouble(URL, tmp_path)
    assert given == [database.BUSY_S]


def a_text(path: Path) -> None:
    path.write_text("no database " * 100, encoding="utf-8")


def no_tables(path: Path) -> None:
    path.touch()


def a_directory(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "said"),
    [(a_text, "not a database"), (no_tables, "no such table"), (a_directory, "not a file")],
)
def test_what_is_no_database_of_openalgo_is_an_error_that_names_it(
    tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    make(tmp_path / "x.db")
    told = trouble("sqlite:///x.db", tmp_path)
    assert str(tmp_path / "x.db") in told
    assert said in told


def test_a_log_without_its_index_is_an_error(tables: Tables, tmp_path: Path) -> None:
    crashed(tables)
    tables.path.with_name("openalgo.db-shm").unlink()
    before = tables.files()
    assert "cannot be read" in trouble(URL, tmp_path)
    assert tables.files() == before


def test_a_database_in_memory_is_no_one_elses(tmp_path: Path) -> None:
    assert "in memory" in trouble("sqlite:///:memory:", tmp_path)


# By way of SQLAlchemy.


def through_sqlalchemy(path: Path) -> Database:
    known = Database(URL, path.parent)
    known._source = database._Server(f"sqlite:///{path}")
    return known


def test_sqlalchemy_reads_the_same(tables: Tables) -> None:
    tables.raw_key("bob", "hash-b")
    tables.login("alice", "zerodha", revoked=True)
    rows = through_sqlalchemy(tables.path).rows()
    assert rows == [KeyRow("alice", "hash-a", "zerodha", revoked=True), BOB]


def test_sqlalchemys_errors_are_told(tmp_path: Path) -> None:
    (tmp_path / "x.db").touch()
    with pytest.raises(KeyStoreError, match="OperationalError: no such table: api_keys"):
        through_sqlalchemy(tmp_path / "x.db").rows()


def test_without_sqlalchemy_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    told = trouble(f"postgresql://openalgo:{SECRET}@db:5432/openalgo", tmp_path)
    assert "postgresql://db:5432/openalgo is not SQLite" in told
    assert f"type `{sys.executable} -m pip install SQLAlchemy" in told
    assert SECRET not in told


def test_without_a_driver_it_is_said_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    told = trouble(f"postgresql+psycopg2://openalgo:{SECRET}@db/openalgo", tmp_path)
    assert "postgresql+psycopg2://db/openalgo needs the driver psycopg2" in told


@pytest.mark.parametrize("url", ["", SECRET, f"x{SECRET}x://y", f"postgresql:{SECRET}"])
def test_rule_3_what_is_no_url_is_not_repeated(tmp_path: Path, url: str) -> None:
    told = trouble(url, tmp_path)
    assert "cannot be read" in told
    assert "DATABASE_URL" in told or url.startswith("x")


@given(st.text(), st.text(), st.booleans(), st.sampled_from(["", "?a=b", f"?password={SECRET}@"]))
def test_rule_3_no_error_tells_a_password(
    before: str, after: str, encoded: bool, query: str
) -> None:
    password = before + SECRET + after
    written = quote(password, safe="") if encoded else password
    known = Database(f"nosuch://openalgo:{written}@db/openalgo{query}", Path())
    with pytest.raises(KeyStoreError) as caught:
        known.rows()
    told = "".join(traceback.format_exception(caught.value))
    assert SECRET not in f"{told} {known!r}"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (f"login with {SECRET} refused", "OperationalError"),
        ("login with x%y refused", "OperationalError"),
        ("connection\n refused", "OperationalError: connection refused"),
    ],
)
def test_rule_3_what_a_driver_says_is_told_unless_it_holds_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, told: str
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise sqlalchemy.exc.OperationalError("SELECT", {}, Exception(said))

    monkeypatch.setattr(sqlalchemy, "create_engine", fail)
    url = f"mysql+pymysql://openalgo:{SECRET}@db/openalgo?token=x%25y"
    where = "mysql+pymysql://db/openalgo"
    assert trouble(url, tmp_path) == f"OpenAlgo's {where} cannot be read: {told}"


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("postgresql+psycopg2://db/x", {"connect_timeout": 2}),
        ("postgresql+psycopg2://db/x?connect_timeout=9", {}),
        ("oracle+oracledb://db/x", {}),
    ],
)
def test_a_server_that_does_not_answer_is_not_waited_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, options: dict[str, int]
) -> None:
    given: list[object] = []

    def fail(*args: object, connect_args: object, **more: object) -> None:
        given.append(connect_args)
        raise ValueError

    monkeypatch.setattr(sqlalchemy, "create_engine", fail)
    trouble(url, tmp_path)
    assert given == [options]
