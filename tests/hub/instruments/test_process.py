"""`python -m hub.instruments` updates as the environment says, and its exit code tells."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hub.brokers import catalogue
from hub.instruments import __main__ as process
from hub.instruments.store import Store
from tests.hub.instruments.kit import broker, lay


def test_it_prints_how_far_it_is_and_how_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(catalogue, "get", lambda name: broker(name=name))
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("HUB_ANGEL_INSTRUMENTS_URL", str(lay(tmp_path / "files")))
    assert process.main(["angel"]) == 0
    *steps, last = capsys.readouterr().out.splitlines()
    assert steps == ['["cash", 0, 0, 0]', '["futures", 0, 0, 2]']
    assert last == "4"
    (tmp_path / "files/cash.csv").write_text("")
    assert process.main(["angel"]) == 1
    assert "is no list of instruments: it does not begin" in capsys.readouterr().err
    with Store(tmp_path / "instruments/angel.sqlite") as kept:
        assert kept.count == 4


def test_settings_come_from_the_file_that_the_environment_names(tmp_path: Path) -> None:
    file = tmp_path / "hub.toml"
    file.write_text(f'[angel]\ninstruments_url = "{tmp_path}/none"\n')
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HUB_")}
    environ |= {"HUB_CONFIG": str(file), "STATE_DIRECTORY": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "hub.instruments", "angel"],
        env=environ, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"{tmp_path}/none/OpenAPIScripMaster.json cannot be read" in done.stderr
    assert done.stderr.count("\n") == 1
