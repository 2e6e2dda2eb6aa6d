"""`hub completion`: the scripts, and what shells make of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import complete, completion
from cli.keys import store_of
from cli.main import main
from hub.core.settings import Keys, Settings

SHELLS = ("bash", "zsh", "fish")


def script(shell: str) -> str:
    return completion.script(main, shell, "./scripts/hub")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A `hub` that is not on the PATH, and whose place wants to be quoted by nobody."""
    path = tmp_path / "scripts" / "hub"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -m cli "$@"\n')
    path.chmod(0o755)
    return path


def ask(line: str, cursor: int | None = None) -> list[str]:
    """What `hub` answers to a shell that is at the last word."""
    words = line.split(" ")
    done = subprocess.run(
        [sys.executable, "-m", "cli"], check=False, capture_output=True, text=True,
        env={**os.environ, "_HUB_COMPLETE": "bash_complete", "COMP_WORDS": line,
             "COMP_CWORD": str(cursor or len(words) - 1)},
    )  # fmt: skip
    return [answer.partition(",")[2] for answer in done.stdout.split()]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_says_how_it_is_installed(shell: str) -> None:
    text = script(shell)
    head = text[: text.index("_hub_completion")]
    assert f"./scripts/hub completion {shell} > ~/" in head
    assert "/usr/local/bin/hub" in head
    assert all(line.startswith("#") for line in head.splitlines()[:-1])
    assert text.startswith("#compdef hub\n") == (shell == "zsh")
    result = CliRunner().invoke(main, ["completion", shell], prog_name="hub")
    assert f"hub completion {shell} > ~/" in result.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_asks_the_program_that_was_typed(shell: str) -> None:
    """It may be `./scripts/hub`, and no `hub` on the PATH."""
    calls = [line for line in script(shell).splitlines() if "_HUB_COMPLETE=" in line]
    asked = {"bash": "bash_complete $1)", "zsh": "${(Q)~words[1]})", "fish": "-opc)[1])"}
    assert len(calls) == 1
    assert asked[shell] in calls[0]
    assert "commands[hub]" not in script(shell)


def test_bash_completes_a_hub_that_is_not_on_the_path(program: Path) -> None:
    (program.parent / "hub.bash").write_text(script("bash"))
    lines = (
        "source hub.bash",
        f"COMP_WORDS=({program} logs --le); COMP_CWORD=2",
        f"_hub_completion {program}",
        'echo "${COMPREPLY[@]}"; complete -p hub',
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", "\n".join(lines)],
        check=True, capture_output=True, text=True, cwd=program.parent,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.stdout.splitlines()[0] == "--level"
    assert "-F _hub_completion hub" in done.stdout


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_can_read_their_scripts(shell: str, tmp_path: Path) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not on this machine")
    (tmp_path / "script").write_text(script(shell))
    subprocess.run([shell, "-n", tmp_path / "script"], check=True)


def test_commands_options_and_values_are_completed() -> None:
    assert {"start", "status", "stop", "systemd"} <= {*ask("hub st"), *ask("hub sy")}
    assert "shard" not in ask("hub sh"), "that is for systemd"
    assert ask("hub start --latency b") == ["balanced"]
    assert ask("hub tail NSE:SBIN --mode d") == ["depth"]
    assert ask("hub start --feed si") == ["sim"]
    assert ask("hub completion z") == ["zsh"]
    assert ask("hub login d") == ["dhan"]
    assert ask("hub instruments update zerodha z") == []
    assert ask("hub instruments search x --broker u") == ["upstox"]


def test_processes_are_those_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_SHARDS", "2")
    monkeypatch.setenv("HUB_FEEDS", "bus,sim")
    assert ask("hub logs s") == ["supervisor", "shard-0", "shard-1"]
    assert ask("hub restart feed-bus f") == ["feed-sim"], "what stands there is not offered again"
    monkeypatch.setenv("HUB_SHARDS", "none")
    assert ask("hub restart s") == [], "settings that cannot be used are no matter of the shell's"


def test_keys_are_completed_by_name(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = home / "keys.json"
    monkeypatch.setenv("HUB_KEYS_FILE", str(file))
    store = store_of(Settings(keys=Keys(file=str(file))))
    for name in ("algo", "charts"):
        store.add(name, name, "bus", now=0)
    assert ask("hub keys revoke a") == ["algo"]
    file.chmod(0o644)
    assert ask("hub keys revoke a") == []


def test_words_are_taken_by_their_beginning() -> None:
    assert complete._those("sh", ["router", "shard-0"]) == ["shard-0"]
