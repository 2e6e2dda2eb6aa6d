"""What the documents tell people to type, typed: at a hub of a demo, as they would.

1. Every command of every page is run here, or stands in ELSEWHERE with who runs it.
2. A command that goes on without end is ended by Ctrl-C after a while.
3. Python that is marked `run` is run as it stands, but for the key and the ports.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from cli.main import main
from tests.integration.harness import ROOT, WITHIN_S, eventually
from tests.test_docs import PAGES, blocks, command_lines

ELSEWHERE = {
    "bench": "tests/integration/test_benchmark.py",
    "openalgo": "tests/cli/test_openalgo.py, tests/integration/test_openalgo.py",
    "restart": "tests/integration/test_restart.py",
    "start": "the hub of this file; tests/cli/test_start.py",
    "stop": "the end of this file's hub",
    "systemd": "tests/cli/test_systemd.py",
}
"""Commands that are not run here, and where they are."""

_ENDLESS = {"--watch", "-f", "--loop", "60"}
_SILENT = frozenset({"logs", "record", "replay"})
"""What may have nothing to say, without a terminal."""

_ENOUGH_S = (3.0, 10.0, 30.0)
_MAY_FAIL = frozenset({"doctor"})
"""What may find something to mend on this machine."""

_INTERRUPTED = 130
_MADE = {"nifty50.txt": "NSE:RELIANCE\nNSE:TCS\n"}
_ELSE = ("/etc/", "wss://ticks.example.com")
"""What is of the reader's own machine."""


class Demo(NamedTuple):
    """A running hub of `hub start --demo`: its environment, and what it has shown."""

    environ: dict[str, str]
    folder: Path
    process: subprocess.Popen[str]
    shown: str

    def told(self, pattern: str) -> str:
        """What the start has shown behind a word."""
        found = re.search(pattern, self.shown)
        assert found, self.shown
        return found[1]


def afternoon() -> str:
    """A time zone in which it is about two o'clock, whenever this is run."""
    ahead = 14 - datetime.now(UTC).hour
    return f"Etc/GMT{-ahead:+d}"


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    folder = Path(tempfile.mkdtemp(prefix="hubdocs-", dir="/tmp"))
    environ = {key: value for key, value in os.environ.items() if not key.startswith("HUB_")}
    environ |= {
        "HOME": str(folder),
        "HUB_RUNTIME_DIR": str(folder / "run"),
        "HUB_MARKET_TIMEZONE": afternoon(),  # what is recorded is later than 09:15 there
        "PYTHONPATH": str(ROOT),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_STATE_HOME": str(folder / "state"),
    }
    with (folder / "shown").open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", "start", "--shards", "4", "--demo",
             "--port", "0", "--bus-port", "0", "--page-port", "0"],
            env=environ, cwd=folder, stdout=out, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
    try:
        eventually(lambda: "Ctrl-C stops" in (folder / "shown").read_text(), "the demo is ready")
        eventually(lambda: is_well(environ), "the monitor has heard of all")
        with client(environ):
            yield Demo(environ, folder, process, (folder / "shown").read_text())
        stop = [sys.executable, "-m", "cli", "stop"]
        subprocess.run(stop, env=environ, cwd=folder, check=True, timeout=WITHIN_S)
        assert process.wait(WITHIN_S) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        shutil.rmtree(folder)


def is_well(environ: dict[str, str]) -> bool:
    """Whether `hub status` finds nothing amiss."""
    status = [sys.executable, "-m", "cli", "status"]
    found = subprocess.run(status, env=environ, cwd=ROOT, stdout=subprocess.DEVNULL, check=False)
    return found.returncode == 0


@contextmanager
def client(environ: dict[str, str]) -> Iterator[None]:
    """Somebody who subscribes, as one would have in another terminal."""
    command = [sys.executable, "-m", "cli", "tail", "NSE:RELIANCE", "--json"]
    with subprocess.Popen(command, env=environ, cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert b"RELIANCE" in child.stdout.readline()
        try:
            yield
        finally:
            child.kill()


class Typed(NamedTuple):
    """A command, and the page that tells to type it first."""

    args: tuple[str, ...]
    page: str

    @property
    def is_endless(self) -> bool:
        """Whether it goes on until Ctrl-C."""
        lasting = self.args[0] == "tail" or (self.args[0] == "record" and "--for" not in self.args)
        return lasting or bool(_ENDLESS & {*self.args})


def commands() -> list[Typed]:
    """What all pages tell to type, each once."""
    found: dict[tuple[str, ...], str] = {}
    for name in PAGES:
        for args in command_lines(name):
            found.setdefault(tuple(args), name)
    return [Typed(*one) for one in found.items() if one[0][0] not in ELSEWHERE]


def test_what_is_run_elsewhere_is_told_in_some_page() -> None:
    told = {args[0] for name in PAGES for args in command_lines(name)}
    assert set(ELSEWHERE) - told <= {"bench"}


@pytest.mark.timeout(240)
def test_every_command_of_the_documents_does_what_it_should(
    demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in _MADE.items():
        (demo.folder / name).write_text(text)
    monkeypatch.chdir(demo.folder)
    for variable in [name for name in os.environ if name.startswith("HUB_")]:
        monkeypatch.delenv(variable)
    typed = [one for one in commands() if not any(word.startswith(_ELSE) for word in one.args)]
    at_once = [one for one in typed if one.is_endless and one.args[0] not in {"record", "replay"}]
    with ThreadPoolExecutor(len(at_once)) as pool:
        interrupted = pool.map(lambda one: interrupt(demo, one), at_once)
        in_order = [one for one in typed if one not in at_once]
        problems = [(interrupt if one.is_endless else run)(demo, one) for one in in_order]
        problems += interrupted
    assert not [problem for problem in problems if problem], "\n\n".join(filter(None, problems))


def run(demo: Demo, one: Typed) -> str:
    """Type it; what is wrong with what came, if anything. Each page has keys of its own."""
    typed = ["1s" if before == "--for" else word for before, word in pairwise(("", *one.args))]
    found = CliRunner().invoke(main, typed, prog_name="hub", env=demo.environ | keys_of(demo, one))
    good = {0, 1} if one.args[0] in _MAY_FAIL else {0}
    if found.exit_code in good and (found.output or one.args[0] in _SILENT):
        return ""
    return f"hub {shlex.join(one.args)}: {found.exit_code}\n{found.output}\n{found.exception!r}"


def interrupt(demo: Demo, one: Typed) -> str:
    """The same for what goes on until Ctrl-C; what was not even up yet gets more time for it."""
    for enough_s in _ENOUGH_S:
        code, out, err = interrupted_after(enough_s, demo, one)
        if code in {0, _INTERRUPTED} and (out or one.args[0] in _SILENT):
            return ""
        if code != -signal.SIGINT:
            break
    return f"hub {shlex.join(one.args)}: {code}\n{out}\n{err}"


def interrupted_after(enough_s: float, demo: Demo, one: Typed) -> tuple[int, str, str]:
    """Type it, and Ctrl-C once it has said something; after so long if that may be nothing. The
    exit code and what came."""
    with subprocess.Popen(
        [sys.executable, "-m", "cli", *one.args], env=demo.environ | keys_of(demo, one),
        cwd=demo.folder, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        first = ""
        if one.args[0] in _SILENT:
            time.sleep(enough_s)
        else:
            first = child.stdout.readline()
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=4 * WITHIN_S)
    return child.returncode, first + out, err


def keys_of(demo: Demo, one: Typed) -> dict[str, str]:
    """Each page has keys of its own."""
    return {"XDG_CONFIG_HOME": str(demo.folder / Path(one.page).stem)}


@pytest.mark.parametrize(
    ("name", "text"),
    [(name, one.text) for name in PAGES for one in blocks(name) if one.note == "run"],
    ids=lambda value: str(value).splitlines()[0][:40],
)
def test_python_that_is_to_be_run_runs(demo: Demo, name: str, text: str) -> None:
    key, url = demo.told(r"API key +(\S+)"), demo.told(r"WebSocket +(\S+)")
    text = text.replace("YOUR_API_KEY", key).replace("ws://127.0.0.1:8765", url)
    text = text.replace("tcp://127.0.0.1:5555", demo.told(r"Bus +(\S+)"))
    before = bus_messages(demo)
    child = subprocess.Popen(
        [sys.executable, "-u", "-c", text], env=demo.environ, cwd=demo.folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout is not None
    try:
        if "print(" in text:
            assert any("NSE:RELIANCE" in line for line in child.stdout), f"{name} prints ticks"
        else:
            assert child.wait(WITHIN_S) == 0, child.communicate()
            eventually(lambda: bus_messages(demo) > before, f"the tick of {name} has come")
    finally:
        child.kill()
        child.communicate()


def bus_messages(demo: Demo) -> int:
    """How many messages have come by the bus."""
    url = demo.told(r"Page +(\S+)") + "/status.json"
    with urllib.request.urlopen(url, timeout=10) as answer:
        rows = json.loads(answer.read())["processes"]
    return next(int(row.get("bus", 0)) for row in rows if row["name"] == "router")
