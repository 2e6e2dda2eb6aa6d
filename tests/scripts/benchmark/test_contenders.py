"""Who can be measured, where one is not to be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.core.errors import HubError
from scripts.benchmark import cloop, contenders


@pytest.fixture
def nothing_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    monkeypatch.setattr("sys.executable", "/nowhere/python")


@pytest.mark.parametrize("name", ["nats", "mosquitto", "c-loop"])
@pytest.mark.usefixtures("nothing_there")
def test_one_that_is_not_there_says_so(name: str) -> None:
    with pytest.raises(HubError, match="here"):
        contenders.PEERS[name]()


@pytest.mark.parametrize("name", ["loop", "broadcast"])
@pytest.mark.usefixtures("nothing_there")
def test_our_own_are_always_there(name: str) -> None:
    made = contenders.PEERS[name]()
    assert (made.name, made.is_hub) == (name, False)


def test_a_hub_is_one() -> None:
    assert contenders.hub("hub x", {}).is_hub


def test_what_the_compiler_says_is_passed_on(tmp_path: Path) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho out of luck >&2\nexit 1\n")
    compiler.chmod(0o755)
    with pytest.raises(HubError, match="out of luck"):
        cloop.build(str(compiler), tmp_path)
