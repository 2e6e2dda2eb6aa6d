"""Clients that other people wrote, as their users use them, each in a process of its own.

What is not in this environment is installed once, below the user's cache directory; a test whose
client cannot be had is skipped and says why.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import MakeHub
from tests.integration.harness import Hub, eventually

SCRIPTS = Path(__file__).parent / "scripts"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shardhub-tests"
INSTALL_S = 240
Findings = dict[str, Any]


@pytest.mark.timeout(INSTALL_S + 60)
def test_the_openalgo_sdk_1_works_as_its_users_use_it(hub: Hub) -> None:
    found = run([*sdk("1.0.47", ["3.11"]), *who(hub)])
    check_sdk(found, "1.0.47")


@pytest.mark.timeout(INSTALL_S + 60)
def test_the_openalgo_sdk_2_works_and_finds_back_after_its_shard_was_killed(
    make_hub: MakeHub,
) -> None:
    command = sdk("2.0.5", ["3.12", "3.13", "3.14"])
    hub = make_hub({"hub.feeds": ["sim"], "hub.shards": 1})
    victims = []

    def kill() -> None:
        victims.append(hub.kill("shard-0"))
        eventually(lambda: hub.children["shard-0"].pid != victims[0].pid, "it is noticed")

    found = run([*command, *who(hub)], {"kill me": kill})
    assert victims
    assert found["ticks after the kill"] is True
    assert hub.children["shard-0"].restarts == 1
    check_sdk(found, "2.0.5")


def test_websocket_client_works_by_hand_and_by_callbacks(hub: Hub) -> None:
    found = run([sys.executable, str(SCRIPTS / "websocket_client.py"), *who(hub)])
    assert found == {
        "auth": "success",
        "subscribe": ["success", "success"],
        "symbols": ["NIFTY", "RELIANCE"],
        "pong": True,
        "callbacks": True,
        "depth levels": True,
        "end": True,
    }


@pytest.mark.timeout(INSTALL_S + 60)
def test_ws_of_node_works(hub: Hub) -> None:
    node, modules = shutil.which("node"), node_modules("ws")
    if node is None:
        pytest.skip("there is no node here")
    command = [node, str(SCRIPTS / "node_ws.cjs"), *who(hub)]
    assert run(command, environ={"NODE_PATH": str(modules)}) == {
        "extensions": "",
        "auth": "success",
        "subscribe": ["success", "success"],
        "symbols": ["NIFTY", "RELIANCE"],
        "modes": [2],
        "pong": True,
        "end": 1000,
    }


def check_sdk(found: Findings, version: str) -> None:
    """What either SDK must have found."""
    assert found["wrong key"] is False
    assert found["connected"] is True
    for n, kind in enumerate(("ltp", "quote", "depth"), 1):
        assert found[f"{kind} callbacks"] == 3
        assert found[f"{kind} data"]["mode"] == n
        read = found[f"{kind} read"][kind]
        for exchange, symbol in (("NSE", "RELIANCE"), ("NSE_INDEX", "NIFTY"), ("NSE", "M&M")):
            assert read[exchange][symbol]["ltp"] > 0
        assert found[f"{kind} quiet"] is True, "no ticks after the unsubscribe"
    assert found["quote read"]["quote"]["NSE"]["RELIANCE"]["open"] > 0
    assert found["depth read"]["depth"]["NSE"]["RELIANCE"]["buyBook"]["1"]["price"] > 0
    assert found["end"] == version


def who(hub: Hub) -> list[str]:
    return [hub.url, hub.keys["simon"]]


def run(
    command: Sequence[str],
    answers: dict[str, Callable[[], None]] | None = None,
    environ: dict[str, str] | None = None,
) -> Findings:
    """Run a script and gather its findings; to some of them it waits for an answer."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, env=os.environ | (environ or {}),
    ) as process:  # fmt: skip
        watchdog = threading.Timer(50, process.kill)
        watchdog.start()
        try:
            lines = list[str]()
            found = dict(_findings(process, lines, answers or {}))
            assert process.wait() == 0, "".join(lines[-100:])
            return found
        finally:
            watchdog.cancel()
            process.kill()


def _findings(
    process: subprocess.Popen[str], lines: list[str], answers: dict[str, Callable[[], None]]
) -> Iterator[tuple[str, Any]]:
    assert process.stdout is not None
    assert process.stdin is not None
    for line in process.stdout:
        lines.append(line)
        if line.startswith("FOUND "):
            what, value = json.loads(line.removeprefix("FOUND "))
            if what in answers:
                answers[what]()
                process.stdin.write("go\n")
                process.stdin.flush()
            yield what, value


def sdk(version: str, pythons: Sequence[str]) -> list[str]:
    """The command that runs the script with this version of the SDK."""
    name, python = find_python(pythons)
    home = CACHE / f"openalgo-{version}-py{name.replace('.', '')}"
    interpreter = home / "bin" / "python"
    install(home, [
        [python, "-m", "venv", str(home)],
        [str(interpreter), "-m", "pip", "install", "--quiet", f"openalgo=={version}"],
    ])  # fmt: skip
    return [str(interpreter), str(SCRIPTS / "openalgo_sdk.py")]


def node_modules(package: str) -> Path:
    """A directory that holds this package of npm."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("there is no npm here")
    home = CACHE / f"node-{package}"
    install(home, [[npm, "install", "--no-audit", "--no-fund", "--prefix", str(home), package]])
    return home / "node_modules"


def install(home: Path, commands: Sequence[Sequence[str]]) -> None:
    """Fill a directory by commands, once; what is half done is begun anew."""
    done = home / "complete"
    if done.exists():
        return
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    for command in commands:
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_S)
        except (OSError, subprocess.SubprocessError) as error:
            said = str(getattr(error, "stderr", "") or "").strip().splitlines()
            pytest.skip(f"{home.name} cannot be installed: {error}; {' '.join(said[-2:])}")
    done.touch()


def find_python(versions: Sequence[str]) -> tuple[str, str]:
    """The first of these versions of Python that there is, and where it is."""
    for version in versions:
        for candidate in _candidates(version):
            asked = [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
            try:
                said = subprocess.run(
                    asked, check=True, capture_output=True, text=True, timeout=20
                ).stdout
            except (OSError, subprocess.SubprocessError):
                continue  # a shim of pyenv for a version that is not switched on, say
            if said.strip() == version:
                return version, candidate
    pytest.skip(f"there is no Python {' or '.join(versions)} here")


def _candidates(version: str) -> Iterator[str]:
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        yield sys.executable
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from map(str, sorted(root.glob(f"versions/{version}.*/bin/python")))
    found = shutil.which(f"python{version}")
    if found:
        yield found
