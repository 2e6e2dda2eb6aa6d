"""How commands come to a hub as its clients do; most of it is tested with `hub tail`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli import login
from hub.client import State
from hub.core.errors import HubError, NotRunning, RequestError


def test_the_running_hub_tells_its_addresses(answer: Any, runtime_dir: Path) -> None:
    assert login.find(runtime_dir) == ""
    answer(status=[{"t": "status", "hub": {"url": "ws://x:1", "bus": "tcp://y:2"}}])
    assert login.find(runtime_dir) == "ws://x:1"
    assert login.find(runtime_dir, "bus") == "tcp://y:2"


def test_a_hub_without_shards_serves_no_clients(answer: Any, runtime_dir: Path) -> None:
    answer(status=[{"t": "status", "hub": {"url": "", "shards": 0, "bus": "tcp://y:2"}}])
    with pytest.raises(HubError, match="it serves no clients; name one that does with --url"):
        login.find(runtime_dir)
    assert login.find(runtime_dir, "bus") == "tcp://y:2"


def test_it_is_told_when_the_hub_is_away_and_when_it_comes_again(capsys: Any) -> None:
    login.tell_state(State(connected=True))
    login.tell_state(State(connected=False, reason="closed"))
    login.tell_state(State(connected=False, reason="connection lost", again_s=1.26))
    assert capsys.readouterr().err == "the hub is away (connection lost); again in 1.3 s\n"


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (NotRunning("no hub answers"), NotRunning, "start one with `hub start`"),
        (RequestError("X", "no"), HubError, r"the hub refuses: no \(X\)"),
    ],
)
def test_errors_say_what_to_do(error: HubError, kind: type[HubError], words: str) -> None:
    with pytest.raises(kind, match=words), login.explained():
        raise error
