"""A checkout as its files describe it, and what is said when they do not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hub.auth.database import Database
from hub.core import config
from hub.core.config import Given
from hub.core.errors import ConfigError
from hub.core.settings import Settings
from hub.openalgo.checkout import Checkout, interpreter, settings_of
from tests.hub.openalgo.kit import PEPPER, SALT, make_checkout, make_python


def problems(path: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        Checkout.read(path)
    return caught.value.problems


def said(path: Path) -> dict[str, object]:
    return {name: given.value for name, given in settings_of(Checkout.read(path)).items()}


def test_an_env_that_says_little_has_openalgo_s_defaults(tmp_path: Path) -> None:
    root = make_checkout(tmp_path / "oa")
    found = Checkout.read(root)
    assert (found.root, found.version, found.pepper) == (root, "2.0.2.1", PEPPER)
    assert found.variables["FERNET_SALT"] == SALT
    assert found.database_url == "sqlite:///db/openalgo.db"
    assert found.stats_file == root / "log/ws_proxy_stats.json"
    assert (found.max_symbols, found.max_connections) == (1000, 3)
    assert found.brokers == []
    assert settings_of(found) == {}


def test_the_hub_s_defaults_are_openalgo_s(tmp_path: Path) -> None:
    """So what an .env leaves out needs no word from it. The figures are those of .sample.env."""
    text = """
        WEBSOCKET_HOST='127.0.0.1'
        WEBSOCKET_PORT='8765'
        ZMQ_HOST='127.0.0.1'
        ZMQ_PORT='5555'
        WS_AUTH_GRACE_SECONDS='15'
        WS_PING_INTERVAL='20'
        WS_PING_TIMEOUT='20'
        WS_MAX_QUEUE='1024'
    """
    found = Checkout.read(make_checkout(tmp_path / "oa", text))
    assert len(settings_of(found)) == 8
    assert config.load(None, {}, None, settings_of(found)) == Settings()
    assert found.numbers == Checkout.read(make_checkout(tmp_path / "other")).numbers


def test_what_the_env_says_becomes_settings(tmp_path: Path) -> None:
    root = make_checkout(
        tmp_path / "oa",
        "WEBSOCKET_HOST=0.0.0.0\nWEBSOCKET_PORT=8766\nZMQ_HOST=127.0.0.2\nZMQ_PORT=5556\n"
        "WS_AUTH_GRACE_SECONDS=5\nWS_PING_INTERVAL=30\nWS_PING_TIMEOUT=40\nWS_MAX_QUEUE=64\n"
        "VALID_BROKERS='zerodha, dhan,,'\nLOG_LEVEL=DEBUG\nFLASK_PORT=5001\n",
    )
    assert said(root) == {
        "websocket.host": "0.0.0.0",
        "websocket.port": 8766,
        "bus.host": "127.0.0.2",
        "bus.port": 5556,
        "websocket.auth_window_s": 5,
        "websocket.ping_interval_s": 30,
        "websocket.ping_timeout_s": 40,
        "websocket.max_requests": 64,
        "keys.brokers": ["zerodha", "dhan"],
    }
    given = settings_of(Checkout.read(root))["bus.port"]
    assert given == Given(f"{root / '.env'}: ZMQ_PORT", 5556)


def test_it_is_read_as_openalgo_reads_it(tmp_path: Path) -> None:
    root = make_checkout(
        tmp_path / "oa",
        "# WEBSOCKET_PORT=1\n"
        "export ZMQ_PORT = 5600   # the bus\n"
        'WEBSOCKET_HOST = "127.0.0.3" # quoted\n'
        "VALID_BROKERS='a,b # no comment'\n"
        "BASE=db/of\nDATABASE_URL='sqlite:///${BASE}/it.db'\n"
        "WS_MAX_QUEUE\n"
        "WS_PING_TIMEOUT=7\nWS_PING_TIMEOUT= 8 \n",
    )
    found = Checkout.read(root)
    assert "WEBSOCKET_PORT" not in found.variables
    assert (found.numbers["ZMQ_PORT"], found.numbers["WS_PING_TIMEOUT"]) == (5600, 8)
    assert found.variables["WEBSOCKET_HOST"] == "127.0.0.3"
    assert found.brokers == ["a", "b # no comment"]
    assert "websocket.max_requests" not in settings_of(found), "a name alone sets nothing"


def test_the_environment_of_the_hub_is_not_openalgo_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBSOCKET_PORT", "1")
    monkeypatch.setenv("ZMQ_PORT", "2")
    monkeypatch.setenv("STATE", "/srv/state")
    root = make_checkout(
        tmp_path / "oa", "ZMQ_PORT=5560\nWS_PROXY_STATS_FILE=${STATE}/ws.json\nSTATE=here\n"
    )
    assert said(root) == {"bus.port": 5560}
    assert Checkout.read(root).stats_file == Path("/srv/state/ws.json")


@pytest.mark.parametrize("url", ["sqlite:////srv/a.db", "postgresql://u:p@host/db"])
def test_the_database_is_the_one_that_the_env_names(tmp_path: Path, url: str) -> None:
    root = make_checkout(tmp_path / "oa", f"DATABASE_URL='{url}'\n")
    assert Checkout.read(root).database_url == url


def test_limits_of_the_pool(tmp_path: Path) -> None:
    text = "MAX_SYMBOLS_PER_WEBSOCKET=50\nMAX_WEBSOCKET_CONNECTIONS=2\n"
    found = Checkout.read(make_checkout(tmp_path / "oa", text))
    assert (found.max_symbols, found.max_connections) == (50, 2)
    (problem,) = problems(make_checkout(tmp_path / "none", "MAX_WEBSOCKET_CONNECTIONS=0\n"))
    assert "MAX_WEBSOCKET_CONNECTIONS = '0' leaves no room" in problem


def test_the_version_is_openalgo_s_else_the_project_s_else_unknown(tmp_path: Path) -> None:
    root = make_checkout(tmp_path / "oa")
    (root / "pyproject.toml").write_text('[project]\nversion = "9"\n')
    assert Checkout.read(root).version == "2.0.2.1"
    (root / "utils/version.py").unlink()
    assert Checkout.read(root).version == "9"
    for text in ("[project]\n", "no toml"):
        (root / "pyproject.toml").write_text(text)
        assert Checkout.read(root).version == ""
    assert "of unknown version" in repr(Checkout.read(root))


def test_its_repr_shows_no_secret_and_it_cannot_be_changed(tmp_path: Path) -> None:
    text = "DATABASE_URL='postgresql://u:geheim@host/db'\nBROKER_API_SECRET=broker-secret\n"
    root = make_checkout(tmp_path / "oa", text)
    found = Checkout.read(root)
    assert repr(found) == f"<Checkout {root}: OpenAlgo 2.0.2.1, 4 variables>"
    with pytest.raises(AttributeError):
        found.root = tmp_path  # type: ignore[misc]  # the point of the test
    with pytest.raises(TypeError):
        found.variables["API_KEY_PEPPER"] = ""  # type: ignore[index]  # the point of the test


def test_a_link_to_it_is_followed(tmp_path: Path) -> None:
    root = make_checkout(tmp_path / "v2")
    (tmp_path / "current").symlink_to(root)
    assert Checkout.read(tmp_path / "current").root == root


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    root = make_checkout(
        tmp_path / "oa", "WEBSOCKET_PORT=many\nZMQ_PORT=''\nMAX_SYMBOLS_PER_WEBSOCKET=1.5\n"
    )
    (root / "websocket_proxy").rmdir()
    found = problems(root)
    assert len(found) == 4
    assert found[0].startswith(f"{root}: has no folder websocket_proxy")
    for problem, said_ in zip(
        found[1:],
        ("WEBSOCKET_PORT = 'many'", "ZMQ_PORT = ''", "MAX_SYMBOLS_PER_WEBSOCKET = '1.5'"),
        strict=True,
    ):
        assert problem == f"{root / '.env'}: {said_} is no whole number; write one, or remove it"
    (root / ".env").unlink()
    no_package, no_env = problems(root)
    assert "name the folder that has OpenAlgo's app.py" in no_package
    assert no_env == (
        f"{root / '.env'}: there is none; make it from .sample.env, and let OpenAlgo start once"
    )


def test_the_folder_above_names_the_one_that_is_meant(tmp_path: Path) -> None:
    root = make_checkout(tmp_path / "openalgo")
    assert f"did you mean {root}?" in problems(tmp_path)[0]


def test_a_folder_or_env_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (problem,) = problems(tmp_path / "gone")
    assert problem == (
        f"{tmp_path / 'gone'}: cannot be read: No such file or directory; "
        "name OpenAlgo's folder by --openalgo or openalgo.path"
    )
    (tmp_path / "file").touch()
    assert "Not a directory" in problems(tmp_path / "file")[0]
    root = make_checkout(tmp_path / "oa")
    (root / ".env").write_bytes(b"A='caf\xe9'\n")
    assert "is not UTF-8" in problems(root)[0]

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    (problem,) = problems(root)
    assert problem == (
        f"{root / '.env'}: cannot be read: Permission denied; "
        "run the hub as the user OpenAlgo runs as, or let this user read it"
    )


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("WEBSOCKET_PORT=70000", "WEBSOCKET_PORT: websocket.port = 70000"),
        ("ZMQ_PORT=-1", "ZMQ_PORT: bus.port = -1"),
        ("WS_PING_INTERVAL=0", "WS_PING_INTERVAL: websocket.ping_interval_s = 0"),
        ("WS_MAX_QUEUE=0", "WS_MAX_QUEUE: websocket.max_requests = 0"),
        ("WS_AUTH_GRACE_SECONDS=0", "WS_AUTH_GRACE_SECONDS: websocket.auth_window_s = 0"),
        ("WEBSOCKET_HOST=''", "WEBSOCKET_HOST: websocket.host = ''"),
        ("VALID_BROKERS='a b'", "VALID_BROKERS: keys.brokers = ['a b']"),
    ],
)
def test_what_the_hub_cannot_do_names_the_variable(tmp_path: Path, line: str, part: str) -> None:
    root = make_checkout(tmp_path / "oa", f"{line}\n")
    with pytest.raises(ConfigError) as caught:
        config.load(None, {}, None, settings_of(Checkout.read(root)))
    (problem,) = caught.value.problems
    assert problem.startswith(f"{root / '.env'}: {part}: ")


@pytest.mark.parametrize("folder", ["oa/.venv", "oa/venv", "venv"])
def test_the_python_of_each_layout_is_found(tmp_path: Path, folder: str) -> None:
    root = make_checkout(tmp_path / "oa")
    assert make_python(tmp_path / folder) == interpreter(root)


def test_the_nearest_python_comes_first_and_one_that_is_named_before_all(tmp_path: Path) -> None:
    root = make_checkout(tmp_path / "oa")
    for folder in ("venv", "oa/venv", "oa/.venv"):
        assert make_python(tmp_path / folder) == interpreter(root)
    other = make_python(tmp_path / "other")
    assert interpreter(root, str(other)) == other


def test_the_python_of_a_virtual_environment_stays_the_link_it_is(tmp_path: Path) -> None:
    real = make_python(tmp_path / "usr")
    link = tmp_path / "oa/.venv/bin/python"
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    assert interpreter(tmp_path / "oa") == link
    assert interpreter(tmp_path / "oa", link) == link


def test_a_python_that_is_not_there_or_cannot_be_run_is_told(tmp_path: Path) -> None:
    root = make_checkout(tmp_path / "oa")
    make_python(root / ".venv").chmod(0o644)
    (root / "venv/bin/python").mkdir(parents=True)
    with pytest.raises(ConfigError) as caught:
        interpreter(root)
    (problem,) = caught.value.problems
    for place in (root / ".venv", root / "venv", tmp_path / "venv"):
        assert str(place / "bin/python") in problem
    assert "--openalgo-python" in problem
    make_python(tmp_path / "venv")
    with pytest.raises(ConfigError, match=f"is at {root}/mine;"):
        interpreter(root, root / "mine")
    assert os.access(interpreter(root), os.X_OK)


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("", None),
        ("HOST_SERVER = 'https://algo.example.com'", ["https://algo.example.com"]),
        ("HOST_SERVER = 'http://10.0.0.5:5000/'", ["http://10.0.0.5:5000"]),
        (
            "HOST_SERVER='https://a.in'\nCORS_ALLOWED_ORIGINS='https://a.in, https://b.in/x,,c.in'",
            ["https://a.in", "https://b.in"],
        ),
        ("CORS_ALLOWED_ORIGINS = '*'", ["*"]),
    ],
)
def test_openalgos_own_pages_may_connect(
    tmp_path: Path, text: str, origins: list[str] | None
) -> None:
    found = settings_of(Checkout.read(make_checkout(tmp_path / "checkout", text)))
    given = found.get("websocket.origins")
    assert (given.value if given else None) == origins


def test_an_env_that_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    root = make_checkout(tmp_path / "checkout")
    (root / ".env").unlink()
    os.mkfifo(root / ".env")
    with pytest.raises(ConfigError, match="is no file"):
        Checkout.read(root)


@pytest.mark.parametrize(
    ("text", "folders"),
    [
        ("", []),
        ("DATABASE_URL='sqlite:///db/openalgo.db'\nLOG_DIR=logs", []),
        ("DATABASE_URL='postgresql://u:p@h/d'", []),
        ("WS_PROXY_STATS_FILE=/var/log/algo/stats.json", ["/var/log/algo"]),
        ("LOG_DIR=/var/log/algo\nWS_PROXY_STATS_FILE=/var/log/algo/s.json", ["/var/log/algo"]),
        ("DATABASE_URL='sqlite:////var/lib/algo/main.db?timeout=3'", ["/var/lib/algo"]),
    ],
)
def test_folders_outside_of_it_that_openalgo_writes(
    tmp_path: Path, text: str, folders: list[str]
) -> None:
    checkout = Checkout.read(make_checkout(tmp_path / "checkout", text))
    file = Database(checkout.database_url, checkout.root).file
    assert checkout.elsewhere(file) == tuple(map(Path, folders))


def test_a_folder_beside_it_is_outside_of_it(tmp_path: Path) -> None:
    checkout = Checkout.read(make_checkout(tmp_path / "checkout", "LOG_DIR=../log"))
    assert checkout.elsewhere(None) == (tmp_path / "log",)
