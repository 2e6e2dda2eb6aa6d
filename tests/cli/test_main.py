"""The group: help, sections, errors and exit codes of all commands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from cli.main import COMMANDS, main, message_of
from cli.main import Hub as Group
from hub import __version__
from hub.core.errors import ConfigError, HubError

ROOT = Path(__file__).parents[2]
VISIBLE = [name for name, entry in COMMANDS.items() if entry.section]


def load(name: str) -> click.Command:
    command = Group().get_command(click.Context(main), name)
    assert command
    return command


def test_the_help_names_every_command_by_section(hub: Any) -> None:
    text = hub("--help").stdout
    for name, entry in COMMANDS.items():
        assert (f"  {name} " in text) == bool(entry.section)
        assert not entry.section or f"{entry.section}:" in text


@pytest.mark.parametrize("name", VISIBLE)
def test_the_summary_is_the_first_sentence_of_the_command(name: str) -> None:
    first = " ".join((load(name).help or "").split("\n\n")[0].split())
    assert COMMANDS[name].summary.rstrip(".").split()[0] == first.split()[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_hidden_commands_are_those_without_a_section(name: str) -> None:
    command = load(name)
    assert command.name == name
    assert command.hidden is not bool(COMMANDS[name].section)


def paths() -> list[list[str]]:
    found = [[name] for name in VISIBLE]
    for name in VISIBLE:
        command = load(name)
        if isinstance(command, click.Group):
            found += [[name, inner] for inner in command.commands]
    return found


@pytest.mark.parametrize("path", paths(), ids=" ".join)
def test_each_command_explains_itself_with_an_example(hub: Any, path: list[str]) -> None:
    text = hub(*path, "--help").stdout
    assert "Example" in text
    assert f"hub {' '.join(path)}" in text.partition("Example")[2]
    assert max(map(len, text.splitlines())) <= 100


def test_the_version(hub: Any) -> None:
    assert hub("--version").stdout == f"shardhub {__version__}\n"


def test_an_unknown_command_names_the_nearest(hub: Any) -> None:
    assert "Did you mean 'status'?" in hub("statsu", rc=2).stderr
    assert "hub --help" in hub("xyzzy", rc=2).stderr
    hub("--nonsense", rc=2)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets `hub status` raise an error."""

    def fail(error: BaseException) -> None:
        @click.command()
        def status() -> None:
            raise error

        monkeypatch.setattr(Group, "get_command", lambda *_: status)

    return fail


def test_a_hub_error_is_one_message_with_its_exit_code(hub: Any, failing: Any) -> None:
    failing(HubError("the moon is away"))
    result = hub("status", rc=1)
    assert result.stderr == "Error: the moon is away\n"
    assert result.stdout == ""


def test_all_problems_of_the_settings_are_told(hub: Any, failing: Any) -> None:
    failing(ConfigError(["this is wrong", "that too"]))
    stderr = hub("status", rc=78).stderr
    assert stderr.endswith("\n  - this is wrong\n  - that too\n")
    assert message_of(ConfigError(["alone"])) == "alone"


def test_ctrl_c_is_quiet(hub: Any, failing: Any) -> None:
    failing(KeyboardInterrupt())
    assert hub("status", rc=130).output == ""


def run(*args: str, **more: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "cli", *args], cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more,
    )  # fmt: skip


def test_nobody_reads_the_output_and_nobody_complains() -> None:
    read, write = os.pipe()
    os.close(read)
    with subprocess.Popen(
        [sys.executable, "-m", "cli", "config", "default"], cwd=ROOT,
        stdout=write, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        os.close(write)
        _, stderr = process.communicate()
    assert stderr == b""
    assert process.returncode == 141


def test_help_loads_no_more_than_it_needs() -> None:
    code = (
        "import sys; from cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'rich', 'zmq', 'websockets', 'psutil', 'asyncio', 'uvloop'} & "
        "sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_real_interrupt_ends_a_command_with_130(tmp_path: Path) -> None:
    """`hub tail` waits for a hub that never says a word; Ctrl-C is a SIGINT.

    A shell starts what it puts in the background with SIGINT ignored, this suite too, and
    children inherit that: so here it is what it is in the foreground."""
    import socket

    def foreground() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"ws://127.0.0.1:{server.getsockname()[1]}"
        environment = os.environ | {"HUB_API_KEY": "x", "HUB_RUNTIME_DIR": str(tmp_path)}
        command = ("tail", "NSE:X", "--url", url)
        with run(*command, env=environment, preexec_fn=foreground) as process:
            connection, _ = server.accept()
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate()
            connection.close()
    assert stderr == b""
    assert process.returncode == 130


def test_a_terminal_that_has_no_dots_gets_question_marks(runtime_dir: Path) -> None:
    environment = os.environ | {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", "cli", "openalgo", "check", "/nowhere"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout.startswith("? settings")
    assert "Traceback" not in done.stderr
