"""The copy of a checkout that OpenAlgo's proxy runs from."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hub.core.errors import HubError
from scripts.benchmark import openalgo

AUTH = """
import os, pathlib
def say(*words):
    with open("said", "a") as file:
        print(*words, file=file)
def init_db(): say("init", os.environ["DATABASE_URL"])
def upsert_auth(name, token, broker, **more): say("auth", name, broker)
def upsert_api_key(user, key): say("key", user, key)
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    files = {
        "websocket_proxy/server.py": "",
        "database/__init__.py": "",
        "database/auth_db.py": AUTH,
        "utils/version.py": 'VERSION = "2.0"\n',
        ".env": "API_KEY_PEPPER = 'secret'\n",
        "db/openalgo.db": "secret",
        "frontend/x.py": "",
        ".git/hook.py": "",
        "env/pyvenv.cfg": "",
        "env/lib/y.py": "",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_python_files_are_copied_and_no_secret_is(checkout: Path, tmp_path: Path) -> None:
    before = names(checkout)
    openalgo.copy(checkout, tmp_path / "copy")
    assert names(tmp_path / "copy") == {
        "websocket_proxy/server.py",
        "database/__init__.py",
        "database/auth_db.py",
        "utils/version.py",
        "broker/bench/__init__.py",
        "broker/bench/streaming/__init__.py",
        "broker/bench/streaming/bench_adapter.py",
    }
    assert names(checkout) == before


def test_the_database_is_its_own_and_knows_one_user(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONSAFEPATH", "1")  # as in scripts/bench
    copy = tmp_path / "copy"
    proxy = openalgo.prepare(checkout, Path(sys.executable), copy, 1234, 5678)
    assert (copy / "said").read_text().splitlines() == [
        f"init sqlite:///{copy}/bench.db",
        "auth bench bench",
        f"key bench {openalgo.KEY}",
    ]
    assert proxy.environ["WEBSOCKET_PORT"] == "1234"
    assert proxy.environ["ZMQ_PORT"] == "5678"
    assert proxy.environ["API_KEY_PEPPER"] != "secret"


def test_what_cannot_be_prepared_says_why(checkout: Path, tmp_path: Path) -> None:
    (checkout / "database" / "auth_db.py").write_text("raise ImportError('no sqlalchemy')")
    with pytest.raises(HubError, match="no sqlalchemy"):
        openalgo.prepare(checkout, Path(sys.executable), tmp_path / "copy", 1, 2)


def test_another_folder_is_no_checkout(tmp_path: Path) -> None:
    with pytest.raises(HubError, match="no checkout"):
        openalgo.copy(tmp_path, tmp_path / "copy")


def test_python_and_version_are_found(checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(HubError, match="--openalgo-python"):
        openalgo.python_of(checkout)
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    assert openalgo.python_of(checkout) == python
    assert openalgo.version(checkout) == "OpenAlgo 2.0"
    assert openalgo.version(tmp_path) == "OpenAlgo"
