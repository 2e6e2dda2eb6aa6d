"""What a person is told about a checkout: each line, in each state, with what to do."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from hub.core.settings import Bus, OpenAlgo, Settings, Websocket
from hub.openalgo.checkout import Checkout
from hub.openalgo.ports import Kind, holder
from hub.openalgo.service import Service
from hub.openalgo.survey import Finding, Scene, State, survey
from tests.openalgo import Checkout as Miniature

LISTEN = """
import socket, sys
sock = socket.create_server(("127.0.0.1", 0))
print(sock.getsockname()[1], flush=True)
sys.stdin.read()
"""
WELL = '{"version": "3.12.1", "missing": []}'
PROXY = Service("openalgo", "www-data", "", {})
ALONE = Service("openalgo", "www-data", "", {"APP_MODE": "standalone"})
INSTALL = "sudo hub openalgo install /opt/openalgo"


@pytest.fixture
def checkout(tmp_path: Path) -> Miniature:
    made = Miniature(tmp_path)
    made.key("anita", "a hash")
    made.login("anita", "angel")
    for broker in ("angel", "dhan_sandbox", "flattrade", "fyers", "shoonya", "zerodha"):
        (made.root / "broker" / broker / "streaming").mkdir(parents=True, exist_ok=True)
    return made


def program(folder: Path, text: str) -> Path:
    """Something to be run in place of a Python."""
    path = folder / "python"
    path.write_text(text)
    path.chmod(0o755)
    return path


def look(
    checkout: Miniature,
    *services: Service,
    port: int = 1,
    bus: int = 1,
    python: str = "",
) -> dict[str, Finding]:
    """The findings by what they are about; nobody listens on port 1, and nothing lacks."""
    if not python:
        python = str(program(checkout.root.parent, "#!/bin/sh\necho '" + WELL + "'\n"))
    settings = Settings(
        websocket=Websocket(port=port), bus=Bus(port=bus), openalgo=OpenAlgo(python=python)
    )
    scene = Scene(Checkout.read(checkout.root), settings, list(services), INSTALL)
    return {finding.what: finding for finding in survey(scene)}


def write(checkout: Miniature, *, without: str = "", more: str = "") -> None:
    """Change its .env."""
    file = checkout.root / ".env"
    lines = file.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not without or not line.startswith(without)]
    file.write_text("\n".join([*kept, more, ""]), encoding="utf-8")


Listener = Callable[..., tuple[int, int]]


@pytest.fixture
def listener() -> Iterator[Listener]:
    """Starts processes that listen on a port of their own: the port and the pid."""
    made: list[subprocess.Popen[str]] = []

    def start(folder: Path, *words: str) -> tuple[int, int]:
        made.append(
            subprocess.Popen(
                [sys.executable, "-c", LISTEN, *words],
                cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
        )  # fmt: skip
        assert made[-1].stdout
        return int(made[-1].stdout.readline()), made[-1].pid

    yield start
    for process in made:
        process.communicate(timeout=10)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_root_runs_the_checkouts_python_as_its_owner_and_tells_it_nothing(
    checkout: Miniature, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may write there could be root otherwise."""
    nobody = pwd.getpwnam("nobody").pw_uid
    monkeypatch.setenv("HUB_API_KEY", "root-alone-knows-this")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        words = """echo '{"version": "'$(id -u) $(id -ru) "$HUB_API_KEY"'", "missing": []}'"""
        python = str(program(folder, f"#!/bin/sh\n{words}\n"))
        for owner in (nobody, 54321, 0):
            os.chown(checkout.root, owner, -1)
            found = look(checkout, python=python)["Python"].found
            told = "" if owner else "root-alone-knows-this"
            assert f", {owner} {owner} {told}, has" in found


def test_a_checkout_that_is_well_has_no_advice(checkout: Miniature) -> None:
    found = look(checkout, ALONE)
    assert list(found) == [
        "checkout", ".env", "Python", "database", "API keys", "brokers", "user", "service",
        "clients' port", "bus's port",
    ]  # fmt: skip
    assert {finding.state for finding in found.values()} == {State.FINE}
    assert not [finding for finding in found.values() if finding.advice]
    assert str(checkout.root) in found["checkout"].found
    assert found["API keys"].found == "anita at angel"
    assert found["brokers"].found == "6 of 6 in VALID_BROKERS have an adapter"
    assert str(checkout.database) in found["database"].found


def test_what_a_checkout_says_is_shown_and_not_obeyed(checkout: Miniature) -> None:
    """Its version, its Python's version and why that does not run are printed for root."""
    folder = checkout.root / "utils"
    folder.mkdir(exist_ok=True)
    (folder / "version.py").write_text('VERSION = "2\x1b]0;title\x07"\n')
    for text in (
        r"""echo '{"version": "3\u001b[2J", "missing": []}'""",
        r"printf '\033[2J' >&2; false",
    ):
        python = str(program(checkout.root.parent, f"#!/bin/sh\n{text}\n"))
        told = look(checkout, python=python)
        assert told["checkout"].found.endswith("OpenAlgo 2?]0;title?")
        assert "?[2J" in told["Python"].found


def test_what_is_advised_is_shown_and_not_obeyed_either(
    checkout: Miniature, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.INSTALL", "hub openalgo install '/opt/\x1b]0;title\x07'")
    advice = look(checkout, PROXY)["service"].advice
    assert advice == "type: hub openalgo install '/opt/?]0;title?'"


def test_no_secret_is_told(checkout: Miniature) -> None:
    checkout.login("anita", "angel", "the-token")
    told = repr(look(checkout, PROXY))
    secrets = ("API_KEY_PEPPER", "FERNET_SALT", "BROKER_API_KEY")
    for secret in [*(checkout.environment()[name] for name in secrets), "a hash", "the-token"]:
        assert secret not in told


@pytest.mark.parametrize(
    ("without", "more", "state", "word"),
    [
        ("API_KEY_PEPPER", "", State.BAD, "API_KEY_PEPPER"),
        ("API_KEY_PEPPER", "API_KEY_PEPPER=short", State.BAD, "API_KEY_PEPPER"),
        ("API_KEY_PEPPER", f"API_KEY_PEPPER=A_{'PLACEHOLDER_' * 4}", State.BAD, "the sample's"),
        ("FERNET_SALT", "", State.LOOK, "FERNET_SALT"),
        ("", "APP_MODE = 'integrated'", State.BAD, "APP_MODE=integrated"),
        ("", "APP_MODE = 'standalone'", State.FINE, "variables"),
    ],
)
def test_the_env(checkout: Miniature, without: str, more: str, state: State, word: str) -> None:
    write(checkout, without=without, more=more)
    finding = look(checkout)[".env"]
    assert finding.state is state
    assert word in finding.found
    assert bool(finding.advice) == (state is not State.FINE)


@pytest.mark.parametrize(
    ("script", "word"),
    [
        ("#!/bin/sh\necho not JSON\n", "does not run"),
        ("#!/bin/sh\necho Traceback >&2; echo ImportError: no >&2; exit 1\n", "ImportError: no"),
        (f'#!/bin/sh\nexec {sys.executable} -S "$@"\n', "lacks pyzmq, msgpack"),
        ("not a program", "does not run"),
    ],
)  # fmt: skip
def test_a_python_that_will_not_do(
    checkout: Miniature, tmp_path: Path, script: str, word: str
) -> None:
    finding = look(checkout, python=str(program(tmp_path, script)))["Python"]
    assert (finding.state, word in finding.found) == (State.BAD, True), finding
    assert "--openalgo-python" in finding.advice


def test_a_python_that_lacks_what_only_some_adapter_needs(
    checkout: Miniature, tmp_path: Path
) -> None:
    said = WELL.replace("[]", '["pytz"]')
    finding = look(checkout, python=str(program(tmp_path, f"#!/bin/sh\necho '{said}'\n")))["Python"]
    assert finding.state is State.LOOK
    assert "lacks pytz" in finding.found


def test_the_real_probe_finds_what_is_there(checkout: Miniature) -> None:
    finding = look(checkout, python=sys.executable)["Python"]
    assert finding.state is not State.BAD
    assert "pyzmq" not in finding.found


def test_no_python(checkout: Miniature) -> None:
    finding = look(checkout, python=str(checkout.root / "none"))["Python"]
    assert finding.state is State.BAD
    assert "--openalgo-python" in finding.advice


def test_a_database_that_is_not_there(checkout: Miniature) -> None:
    checkout.database.unlink()
    found = look(checkout)
    assert found["database"].state is State.BAD
    assert "start OpenAlgo once" in found["database"].advice
    assert "API keys" not in found


@pytest.mark.parametrize(
    ("content", "advice"),
    [(b"not a database at all, but a text", "DATABASE_URL"), (b"", "start once")],
)
def test_a_database_that_is_none(checkout: Miniature, content: bytes, advice: str) -> None:
    for path in checkout.database.parent.iterdir():
        path.unlink()
    checkout.database.write_bytes(content)
    finding = look(checkout)["database"]
    assert finding.state is State.BAD
    assert advice in finding.advice


def test_a_database_of_a_kind_that_needs_more(checkout: Miniature) -> None:
    write(checkout, without="DATABASE_URL", more="DATABASE_URL=postgresql://u:secret@db/algo")
    finding = look(checkout)["database"]
    assert finding.state is State.BAD
    assert "secret" not in repr(finding)


def test_nobody_is_logged_in(checkout: Miniature) -> None:
    checkout.logout("anita")
    finding = look(checkout)["API keys"]
    assert finding.state is State.LOOK
    assert "anita not logged in" in finding.found
    assert "log in" in finding.advice


def test_no_api_key_yet(tmp_path: Path) -> None:
    finding = look(Miniature(tmp_path))["API keys"]
    assert (finding.state, finding.found) == (State.LOOK, "none yet")


def test_a_broker_without_an_adapter(checkout: Miniature) -> None:
    write(checkout, without="VALID_BROKERS", more="VALID_BROKERS=angel,angle,fyers")
    finding = look(checkout)["brokers"]
    assert finding.state is State.LOOK
    assert finding.found == "2 of 3 in VALID_BROKERS have an adapter; not: angle"
    write(checkout, without="VALID_BROKERS")
    assert look(checkout)["brokers"].state is State.LOOK


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_user_s_files(checkout: Miniature) -> None:
    os.chown(checkout.root, 33, 33)
    finding = look(checkout)["user"]
    assert finding.state is State.LOOK
    assert "start the hub as" in finding.advice


@pytest.mark.parametrize(
    ("services", "state", "advice"),
    [
        ([], State.LOOK, "APP_MODE=standalone"),
        ([PROXY], State.LOOK, INSTALL),
        ([ALONE], State.FINE, ""),
        ([ALONE, PROXY], State.LOOK, INSTALL),
    ],
)
def test_the_service(
    checkout: Miniature, services: list[Service], state: State, advice: str
) -> None:
    finding = look(checkout, *services)["service"]
    assert finding.state is state
    assert advice in finding.advice


def test_without_a_service_the_env_may_say_standalone(checkout: Miniature) -> None:
    write(checkout, more="APP_MODE=standalone")
    assert look(checkout)["service"].state is State.FINE


@pytest.mark.parametrize(
    ("services", "advice"),
    [([], "APP_MODE=standalone"), ([PROXY], INSTALL), ([ALONE], "systemctl restart openalgo")],
)
def test_openalgos_own_proxy_has_the_port(
    checkout: Miniature, listener: Listener, services: list[Service], advice: str
) -> None:
    port, pid = listener(checkout.root)
    found = look(checkout, *services, port=port)
    finding = found["clients' port"]
    assert finding.state is State.BAD
    assert f"OpenAlgo's own proxy (pid {pid})" in finding.found
    assert advice in finding.advice
    assert found["bus's port"].state is State.FINE


@pytest.mark.parametrize(
    ("path", "state", "word"),
    [
        ("{root}", State.FINE, "is the hub's that runs"),
        ("/opt/another", State.BAD, "taken by the hub of /opt/another"),
        ("", State.BAD, "taken by the hub of no checkout"),
    ],
)
def test_a_hub_has_the_port(
    checkout: Miniature,
    listener: Listener,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    state: State,
    word: str,
) -> None:
    monkeypatch.setenv("HUB_OPENALGO_PATH", path.format(root=checkout.root))
    monkeypatch.setenv("HUB_RUNTIME_DIR", "/run/a-hub")
    port, pid = listener(checkout.root.parent, "-m", "hub.router")
    finding = look(checkout, bus=port)["bus's port"]
    assert finding.state is state
    assert word in finding.found
    assert f"(pid {pid})" in finding.found
    assert bool(finding.advice) == (state is State.BAD)
    found = holder(port, checkout.root)
    assert found
    assert (found.kind, found.runtime_dir) == (Kind.HUB, "/run/a-hub")


def test_a_hub_that_does_not_show_its_environment_may_be_this_checkouts(
    checkout: Miniature, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(process: psutil.Process) -> None:
        raise psutil.AccessDenied(process.pid)

    port, pid = listener(checkout.root.parent, "-m", "hub.router")
    monkeypatch.setattr("hub.openalgo.ports.psutil.Process.environ", refuse)
    finding = look(checkout, bus=port)["bus's port"]
    assert finding.state is State.FINE
    assert f"is the hub's that runs (pid {pid})" in finding.found


def test_another_program_has_the_port(
    checkout: Miniature, listener: Listener, tmp_path: Path
) -> None:
    port, pid = listener(tmp_path)
    finding = look(checkout, port=port)["clients' port"]
    assert finding.state is State.BAD
    assert f"(pid {pid})" in finding.found


def test_a_port_whose_listener_has_left_is_free_though_it_has_connections(
    checkout: Miniature,
) -> None:
    """For a minute after OpenAlgo's proxy has ended, its clients' connections are still listed."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)), listening.accept()[0]:
        listening.close()
        assert look(checkout, port=port)["clients' port"].state is State.FINE


def test_who_has_the_port_cannot_be_seen(
    checkout: Miniature, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        unseen = [one._replace(pid=None) for one in psutil.net_connections("tcp")]
        monkeypatch.setattr("hub.openalgo.ports.psutil.net_connections", lambda _: unseen)
        finding = look(checkout, port=port)["clients' port"]
    assert finding.state is State.BAD
    assert "may not see" in finding.found
