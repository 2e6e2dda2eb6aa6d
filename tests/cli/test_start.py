"""`hub start` around a supervisor that starts nothing."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cli import start
from cli.demo import STORE, demo_key
from hub.auth.keystore import KeyStore
from hub.core import config
from hub.core.errors import StartError
from hub.core.names import DEMO_KEY
from hub.core.settings import Settings
from hub.core.supervision import Child, State, wanted
from hub.monitor.token import AUTO, VARIABLE
from tests.hub.openalgo.kit import PEPPER, make_checkout, make_python
from tests.tls import issue

made: list[Stub] = []


class Stub:
    """Reports every process as ready, one after the other, and is told to stop."""

    code = 0
    page_problem = ""

    def __init__(
        self, settings: Settings, report: Callable[[Sequence[Child]], None], shown_level: str
    ) -> None:
        assert not shown_level, "this is no terminal"
        made.append(self)
        self.given = settings
        self.settings = msgspec.structs.replace(
            settings, websocket=msgspec.structs.replace(settings.websocket, port=43210)
        )
        self._report = report
        self.key: str | None = None
        self.mode: int | None = None
        self.environment: dict[str, str] = {}

    def run(self) -> int:
        self.environment = dict(os.environ)
        path = Path(self.given.hub.runtime_dir) / DEMO_KEY
        if path.exists():
            self.key, self.mode = path.read_text().strip(), stat.S_IMODE(path.stat().st_mode)
            self.known = KeyStore(Path(self.given.keys.file)).list()
        children = wanted(self.settings)
        for child in children:
            child.state, child.pid = State.READY, 1000
            self._report(children)
        self._report(children)
        children[0].state = State.LEAVING
        self._report(children)
        return self.code


@pytest.fixture(autouse=True)
def stub(monkeypatch: pytest.MonkeyPatch) -> type[Stub]:
    made.clear()
    monkeypatch.setattr(start, "Supervisor", Stub)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    return Stub


def test_options_are_the_strongest_settings(hub: Any, runtime_dir: Path, home: Path) -> None:
    file = home / "hub.toml"
    file.write_text("[hub]\nshards = 2\n[bus]\nqueue = 7\n")
    hub("start", "--config", file, "--shards", 3, "--host", "0.0.0.0", "--port", 0, "--bus-port", 6,
        "--feed", "sim", "--feed", "bus", "--runtime-dir", runtime_dir)  # fmt: skip
    given = made[0].given
    assert (given.hub.shards, given.hub.feeds, given.bus.queue) == (3, ["sim", "bus"], 7)
    assert (given.websocket.host, given.websocket.port, given.bus.port) == ("0.0.0.0", 0, 6)
    assert given.hub.runtime_dir == str(runtime_dir)


NATS = ("nats://n1", "nats://n2:4223", "tls://n3")


def test_publish_and_bus_make_it_an_ingest_and_an_edge(hub: Any, runtime_dir: Path) -> None:
    place = ("--runtime-dir", runtime_dir)
    hub("start", "--publish", f"{NATS[0]}, {NATS[1]}", "--publish", NATS[2], "--shards", 0, *place)
    hub("start", "--bus", NATS[0], *place)
    hub("start", "--bus", NATS[0], "--feed", "sim", "--machine", "edge1", *place)
    hub("start", "--bus", NATS[0], "--demo", *place)
    hub("start", "--publish", NATS[0], "--standby", "desk", "--demo", *place)
    ingest, edge, both, demo, standby = (one.given for one in made)
    assert (ingest.nats.servers, ingest.nats.publish) == ([*NATS], True)
    assert (ingest.hub.shards, ingest.hub.feeds, ingest.cluster_role) == (0, ["bus"], "ingest")
    assert (edge.nats.servers, edge.nats.publish, edge.hub.feeds) == ([NATS[0]], False, ["nats"])
    assert (both.hub.feeds, both.nats.name) == (["sim", "nats"], "edge1")
    assert demo.hub.feeds == ["nats"]
    (record,) = made[3].known
    assert record.broker == "sim", "its ticks are those of another machine's market"
    assert (standby.nats.standby, standby.hub.feeds) == ("desk", ["sim", "bus"])


def test_what_cannot_be_of_nats_is_told(hub: Any, home: Path) -> None:
    told = hub("start", "--bus", "nats://me:s3cret@n1", rc=78).stderr
    assert "an address may hold no credentials; see nats.user" in told
    assert "s3cret" not in told
    told = hub("start", "--bus", NATS[0], "--publish", NATS[0], rc=78).stderr
    assert "exclude each other" in told
    assert "hub.shards = 0: nobody would serve clients" in hub("start", "--shards", 0, rc=78).stderr
    told = hub("start", "--bus", NATS[0], "--nats-creds", home / "no.creds", rc=78).stderr
    assert f"nats.creds_file: {home / 'no.creds'} is not there" in told
    assert made == []


def test_children_do_not_inherit_what_an_option_overrules(hub: Any, runtime_dir: Path) -> None:
    os.environ["HUB_SHARDS"] = "8"
    hub("start", "--shards", 4, "--runtime-dir", runtime_dir)
    child = made[0].environment | config.environment(made[0].settings)
    assert config.load(None, child).hub.shards == 4


def test_a_checkout_of_openalgo_gives_settings_that_options_overrule(
    hub: Any, runtime_dir: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_checkout(home / "oa", "WEBSOCKET_PORT=1001\nZMQ_PORT=1002\n")
    python = make_python(home / "other")
    monkeypatch.chdir(home)
    hub("start", "--openalgo", "oa", "--openalgo-python", "other/bin/python", "--bus-port", 6,
        "--feed", "bus", "--runtime-dir", runtime_dir)  # fmt: skip
    given = made[0].given
    assert (given.openalgo.path, given.openalgo.python) == (str(root), str(python))
    assert (given.websocket.port, given.bus.port, given.hub.feeds) == (1001, 6, ["bus"])
    child = made[0].environment | config.environment(given)
    assert PEPPER not in str(child)
    assert config.load(None, child) == given


def test_the_banner_names_the_place_of_a_hub_that_serves_a_checkout(hub: Any, home: Path) -> None:
    assert "--runtime-dir" not in hub("start").stdout
    root = make_checkout(home / "oa")
    named = hub("start", "--openalgo", root, "--feed", "bus").stdout
    assert f" --openalgo {root}\n" in named
    assert "# YOUR_API_KEY below is the one of OpenAlgo's page" in named
    assert "keys add" not in named, "the hub's own keys are not needed there"
    os.environ["HUB_OPENALGO_PATH"] = str(home / "oa")
    unnamed = hub("start", "--feed", "bus").stdout
    assert "--runtime-dir" not in unnamed
    assert "--openalgo" not in unnamed


def test_what_is_worth_a_look_in_a_checkout_is_told(
    hub: Any, runtime_dir: Path, home: Path
) -> None:
    root = make_checkout(home / "oa")
    result = hub("start", "--openalgo", root, "--feed", "bus", "--runtime-dir", runtime_dir)
    assert "database: there is no" in result.stderr
    assert "start OpenAlgo once" in result.stderr


def test_a_python_that_cannot_run_the_adapters_starts_nothing(hub: Any, home: Path) -> None:
    root = make_checkout(home / "oa")
    python = home / "python"
    python.write_text("#!/bin/sh\nexit 3\n")
    python.chmod(0o755)
    told = hub("start", "--openalgo", root, "--openalgo-python", python, rc=73).stderr
    assert "does not run: it ends with 3; name the one that OpenAlgo runs with" in told
    assert made == []


def test_a_python_of_openalgo_s_without_openalgo_is_an_error(hub: Any, home: Path) -> None:
    assert "--openalgo PATH" in hub("start", "--openalgo-python", home / "python", rc=2).stderr


def test_a_port_of_openalgo_s_own_proxy_is_told_with_what_to_do(
    hub: Any, home: Path, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refused:
        def __init__(self, *_: Any) -> None:
            raise StartError("websocket.port cannot use it")

    monkeypatch.setattr("cli.start.Supervisor", Refused)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        monkeypatch.chdir(make_checkout(home / "oa"))  # so this process is OpenAlgo's
        port = sock.getsockname()[1]
        told = hub("start", "--openalgo", home / "oa", "--feed", "bus", "--port", port,
                   "--runtime-dir", runtime_dir, rc=73).stderr  # fmt: skip
    assert "cannot use it; start OpenAlgo anew with APP_MODE=standalone" in told


def test_a_checkout_that_cannot_be_used_starts_nothing(hub: Any, home: Path) -> None:
    root = make_checkout(home / "oa", "WEBSOCKET_PORT=many\n")
    stderr = hub("start", "--openalgo", root, "--shards", 0, rc=78).stderr
    assert f"{root / '.env'}: WEBSOCKET_PORT = 'many'" in stderr
    assert "hub.shards = 0" in stderr
    assert "has a market of its own" in hub("start", "--openalgo", root, "--demo", rc=2).stderr
    assert made == []


def test_each_process_is_told_and_the_banner_shown_once(hub: Any, runtime_dir: Path) -> None:
    result = hub("start", "--shards", 2, "--runtime-dir", runtime_dir)
    names = [line.split()[0] for line in result.stderr.splitlines() if "is ready" in line]
    assert names == ["router", "feed-bus", "shard-0", "shard-1", "monitor"]
    assert result.stdout.count("# Python") == 1
    assert "ws://127.0.0.1:43210" in result.stdout


def test_the_page_s_options_are_settings(hub: Any, runtime_dir: Path, home: Path) -> None:
    (home / "token").write_text("a-token-of-some-length\n")
    (home / "token").chmod(0o600)
    hub("start", "--page-host", "0.0.0.0", "--page-port", 99, "--token", home / "token",
        "--runtime-dir", runtime_dir)  # fmt: skip
    page = made[0].given.page
    assert (page.host, page.port, page.token_file) == ("0.0.0.0", 99, str(home / "token"))
    text = hub("start", "--no-page", "--runtime-dir", runtime_dir).stdout
    assert not made[1].given.page.enabled
    assert "Page" not in text


def test_a_page_for_others_needs_a_token(hub: Any, runtime_dir: Path) -> None:
    refused = hub("start", "--page-host", "0.0.0.0", "--runtime-dir", runtime_dir, rc=78)
    assert "hub start --token auto" in refused.stderr
    assert not made


def test_a_token_that_the_hub_makes_is_shown_once_and_kept_from_others(
    hub: Any, runtime_dir: Path
) -> None:
    text = hub("start", "--page-host", "0.0.0.0", "--token", "auto", "--runtime-dir", runtime_dir)
    file = runtime_dir / AUTO
    token = file.read_text().strip()
    assert len(token) >= 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert text.stdout.count(token) == 1
    assert f"http://127.0.0.1:8766/#token={token}" in text.stdout
    assert token not in str(config.environment(made[0].settings))
    again = hub("start", "--page-host", "0.0.0.0", "--token", "auto", "--runtime-dir", runtime_dir)
    assert token in again.stdout, "bookmarks stay good"


def test_a_token_of_one_s_own_is_not_shown(hub: Any, runtime_dir: Path) -> None:
    os.environ[VARIABLE] = "a-token-of-some-length"
    text = hub("start", "--page-host", "0.0.0.0", "--runtime-dir", runtime_dir).stdout
    assert "Page       http://127.0.0.1:8766" in text
    assert "a-token-of" not in text


def test_the_exit_code_is_the_supervisor_s(
    hub: Any, runtime_dir: Path, stub: type[Stub], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stub, "code", 73)
    hub("start", "--runtime-dir", runtime_dir, rc=73)


def test_a_demo_has_the_simulator_and_a_key_that_ends_with_it(
    hub: Any, runtime_dir: Path, home: Path
) -> None:
    text = hub("start", "--demo", "--runtime-dir", runtime_dir).stdout
    (supervisor,) = made
    assert supervisor.given.hub.feeds == ["sim", "bus"]
    assert supervisor.key
    assert supervisor.mode == 0o600
    assert [record[1:4] for record in supervisor.known] == [("demo", "demo", "sim")]
    assert supervisor.key in text
    assert list(runtime_dir.iterdir()) == []
    assert not (home / ".config").exists()


def test_a_demo_with_keys_of_one_s_own_makes_none(hub: Any, runtime_dir: Path, home: Path) -> None:
    os.environ["HUB_KEYS_FILE"] = str(home / "keys.json")
    text = hub("start", "--demo", "--feed", "sim", "--runtime-dir", runtime_dir).stdout
    assert made[0].key is None
    assert made[0].given.hub.feeds == ["sim"]
    assert "hub keys add NAME" in text


def test_a_key_left_by_a_demo_that_was_killed_is_replaced(runtime_dir: Path) -> None:
    leak = demo_key(runtime_dir, "sim")
    old = leak.__enter__()
    with demo_key(runtime_dir, "sim") as new:
        assert (runtime_dir / DEMO_KEY).read_text() == f"{new}\n"
        assert new != old
        assert len(KeyStore(runtime_dir / STORE).list()) == 1


def test_a_second_hub_leaves_the_first_one_s_demo_key_alone(
    hub: Any, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StartError("a hub runs already")

    monkeypatch.setattr(start, "Supervisor", refuse)
    (runtime_dir / DEMO_KEY).write_text("theirs")
    assert "runs already" in hub("start", "--demo", "--runtime-dir", runtime_dir, rc=73).stderr
    assert (runtime_dir / DEMO_KEY).read_text() == "theirs"


def test_bad_settings_start_nothing(hub: Any, runtime_dir: Path) -> None:
    stderr = hub("start", "--shards", 0, "--port", 70000, rc=78).stderr
    assert "hub.shards = 0" in stderr
    assert "websocket.port = 70000" in stderr
    assert made == []


@pytest.mark.parametrize("source", ["flag", "file", "environment"])
def test_a_feed_that_there_is_not_starts_nothing(
    hub: Any, runtime_dir: Path, home: Path, source: str
) -> None:
    """Found by the feed's own process, it would cost the start of a hub that gives up."""
    at, more = runtime_dir / "run", []
    if source == "flag":
        more = ["--feed", "simm"]
    elif source == "file":
        (home / "hub.toml").write_text('[hub]\nfeeds = ["bus", "simm"]\n')
        more = ["--config", str(home / "hub.toml")]
    else:
        os.environ["HUB_FEEDS"] = "bus,simm"
    stderr = hub("start", "--runtime-dir", at, *more, rc=78).stderr
    assert "hub.feeds: there is no feed 'simm'; there are bus, sim, replay, openalgo" in stderr
    assert "did you mean sim?" in stderr
    assert made == []
    assert not at.exists(), "no directory, so no lock and no key in it"
    if source != "flag":
        assert "no feed 'simm'" in hub("config", "check", *more, rc=78).stderr


@pytest.mark.parametrize(
    ("level", "variable", "file", "terminal", "expected"),
    [
        (None, None, "", True, "warning"),
        (None, None, "", False, ""),
        ("debug", None, "", True, ""),
        (None, "info", "", True, ""),
        (None, None, '[hub]\nlog_level = "info"\n', True, ""),
        (None, None, "not toml", True, "warning"),
    ],
)
def test_a_terminal_is_calm_unless_a_level_is_named(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    level: str | None,
    variable: str | None,
    file: str,
    terminal: bool,
    expected: str,
) -> None:
    path = home / "hub.toml"
    path.write_text(file)
    if variable:
        monkeypatch.setitem(os.environ, "HUB_LOG_LEVEL", variable)
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    assert start.shown_level(path, level) == expected


def test_a_certificate_is_a_setting_and_clients_are_told_wss(
    hub: Any, runtime_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = issue(tmp_path)
    monkeypatch.chdir(tmp_path)
    text = hub("start", "--tls-cert", cert.name, "--tls-key", key.name,
               "--runtime-dir", runtime_dir).stdout  # fmt: skip
    given = made[0].given.websocket
    assert (given.tls_cert, given.tls_key) == (str(cert), str(key))
    assert "wss://127.0.0.1:43210" in text
    assert "TLS        certificate of localhost, 127.0.0.1, until " in text
    assert "ws://" not in text.replace("wss://", "")


def test_a_certificate_that_cannot_be_used_starts_nothing(
    hub: Any, runtime_dir: Path, tmp_path: Path
) -> None:
    told = hub("start", "--tls-cert", tmp_path / "no.crt", "--runtime-dir", runtime_dir, rc=78)
    assert "no.crt is not there" in told.stderr
    assert not made
