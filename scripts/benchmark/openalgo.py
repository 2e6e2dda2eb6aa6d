"""OpenAlgo's own proxy as a peer: the Python files of a checkout, copied, with their own database.

Nothing of the checkout is changed and none of its secrets is read. In the copy stands one more
broker, `bench`, whose adapter subscribes to anything and never publishes: the ticks come from the
benchmark's publisher, on the bus, where adapters publish.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from hub.core.errors import HubError

KEY = "key-of-the-benchmark-0123456789"
_VERSION = re.compile(r"^VERSION = [\"'](.*)[\"']", re.MULTILINE)
_USER = "bench"
_PREPARE_S = 120.0
_SKIPPED = {"frontend", "node_modules", "test", "docs", "examples", "strategies", "__pycache__"}
_ADAPTER = '''
from websocket_proxy.base_adapter import BaseBrokerWebSocketAdapter


class BenchWebSocketAdapter(BaseBrokerWebSocketAdapter):
    """Takes every subscribe and publishes nothing."""

    def initialize(self, broker_name, user_id, auth_data=None):
        self.broker_name = broker_name
        return self._create_success_response("ready")

    def connect(self):
        self.connected = True
        return self._create_success_response("connected")

    def disconnect(self):
        self.cleanup_zmq()

    def subscribe(self, symbol, exchange, mode=2, depth_level=5):
        return self._create_success_response("subscribed")

    def unsubscribe(self, symbol, exchange, mode=2):
        return self._create_success_response("unsubscribed")
'''
_PREPARE = f"""
from database import auth_db
auth_db.init_db()
auth_db.upsert_auth({_USER!r}, "token", "bench", feed_token="feed", user_id="B1")
auth_db.upsert_api_key({_USER!r}, {KEY!r})
"""


class Proxy(NamedTuple):
    """What starts the proxy: its folder, command and environment."""

    folder: Path
    command: list[str]
    environ: dict[str, str]


def copy(checkout: Path, folder: Path) -> None:
    """Copy what Python needs of a checkout, and add the broker `bench`.

    Raises HubError when this is no checkout of OpenAlgo.
    """
    if not (checkout / "websocket_proxy" / "server.py").is_file():
        raise HubError(
            f"{checkout} is no checkout of OpenAlgo: it has no websocket_proxy/server.py"
        )
    for path, folders, files in os.walk(checkout):
        folders[:] = [
            name
            for name in folders
            if name not in _SKIPPED
            and not name.startswith(".")
            and not Path(path, name, "pyvenv.cfg").exists()
        ]
        target = folder / Path(path).relative_to(checkout)
        sources = [name for name in files if name.endswith(".py")]
        if sources:
            target.mkdir(parents=True, exist_ok=True)
        for name in sources:
            shutil.copyfile(Path(path, name), target / name)
    streaming = folder / "broker" / "bench" / "streaming"
    streaming.mkdir(parents=True)
    for place in (streaming.parent, streaming):
        (place / "__init__.py").touch()
    (streaming / "bench_adapter.py").write_text(_ADAPTER)


def prepare(checkout: Path, python: Path, folder: Path, ws_port: int, bus_port: int) -> Proxy:
    """A copy with a database that knows one user and one key. Raises HubError when the copy's
    Python cannot make it."""
    copy(checkout, folder)
    environ = {
        "DATABASE_URL": f"sqlite:///{folder}/bench.db",
        "LOGS_DATABASE_URL": f"sqlite:///{folder}/logs.db",
        "API_KEY_PEPPER": secrets.token_hex(32),
        "FERNET_SALT": secrets.token_hex(32),
        "APP_KEY": secrets.token_hex(32),
        "WEBSOCKET_HOST": "127.0.0.1",
        "WEBSOCKET_PORT": str(ws_port),
        "ZMQ_HOST": "127.0.0.1",
        "ZMQ_PORT": str(bus_port),
        "VALID_BROKERS": "bench",
        "MAX_SYMBOLS_PER_WEBSOCKET": "100000",
        "WS_PROXY_STATS_FILE": str(folder / "stats.json"),
        "LOG_DIR": str(folder / "log"),
        "PYTHONSAFEPATH": "",  # scripts/bench sets it; the copy is imported from where it lies
    }
    made = subprocess.run(
        [python, "-c", _PREPARE],
        cwd=folder,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=_PREPARE_S,
        check=False,
    )
    if made.returncode:
        raise HubError(f"{python} cannot prepare OpenAlgo's database: {made.stderr[-1000:]}")
    return Proxy(folder, [str(python), "-m", "websocket_proxy.server"], environ)


def python_of(checkout: Path) -> Path:
    """The Python of a checkout. Raises HubError when it has none."""
    for name in (".venv", "venv"):
        found = checkout / name / "bin" / "python"
        if found.exists():
            return found
    raise HubError(f"{checkout} has no .venv; name its Python with --openalgo-python")


def version(checkout: Path) -> str:
    """Which OpenAlgo it is."""
    source = checkout / "utils" / "version.py"
    found = _VERSION.search(source.read_text()) if source.is_file() else None
    return f"OpenAlgo {found[1]}" if found else "OpenAlgo"
