"""What is known of OpenAlgo's code from inside: packages, classes, caches, what errors look like.

1. `websocket_proxy` is an empty package with the real folder: its modules can be imported, its
   server is not run.
2. Whatever an adapter's class is called, it is found by the name of its broker.
3. Nothing of the checkout is imported before an account needs it; all of it may raise.

Runs in the checkout's interpreter: see `worker.py` for what may be imported.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import logging
import os
import re
import sys
import types
from collections.abc import Iterator, Mapping
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from .worker_brokers import SINGLE

AUTH_SIGNS = frozenset(
    {"401", "403", "access denied", "access token has expired", "auth failed"}
    | {"authentication failed", "forbidden", "invalid credentials", "invalid token"}
    | {"session expired", "token expired", "unauthorized"}
)
"""An error whose text has one of these is taken for a stale token, as OpenAlgo does."""
_CACHES = {
    "AUTH": ("auth_cache",),
    "FEED": ("feed_token_cache",),
    "ALL": (
        "auth_cache",
        "feed_token_cache",
        "broker_cache",
        "verified_api_key_cache",
        "invalid_api_key_cache",
    ),
}
_SECRETS = re.compile(r"KEY|SECRET|PEPPER|SALT|TOKEN|PASSWORD|PIN$")
_log = logging.getLogger("shardhub.openalgo")


def enter(root: Path) -> None:
    """Make this process one of the checkout at `root`: its folder, its packages.

    The folder of this program leaves the path: the checkout has names of its own.
    """
    os.chdir(root)
    sys.path[0] = str(root)
    package = types.ModuleType("websocket_proxy")
    package.__path__ = [str(root / "websocket_proxy")]
    package.__spec__ = ModuleSpec("websocket_proxy", None, is_package=True)
    package.__spec__.submodule_search_locations = package.__path__
    sys.modules["websocket_proxy"] = package


def is_pooled() -> bool:
    """Whether the checkout spreads an account's symbols over several connections."""
    return os.environ.get("ENABLE_CONNECTION_POOLING", "true").strip().lower() == "true"


def make_pool(adapter: type[Any], broker: str, user: str, publisher: Any) -> Any:
    """The checkout's pool of adapters; what they publish goes to our publisher.

    Where a second connection would end the first, the first has room for what all would hold.
    """
    pool = _module("connection_manager").ConnectionPool(adapter, broker, user)
    if broker in SINGLE:
        pool.max_symbols, pool.max_connections = pool.max_symbols * pool.max_connections, 1
    pool.shared_publisher = publisher
    return pool


def make_adapter(adapter: type[Any], publisher: Any) -> Any:
    """One adapter without a pool that publishes through ours, as those in a pool do."""
    context = _module("connection_manager")._pooled_creation_context  # noqa: SLF001  # the only way in
    context.active, context.shared_publisher = True, publisher
    try:
        made = adapter()
    finally:
        context.active, context.shared_publisher = False, None
    made.publish_market_data = publisher.publish
    return made


def adapter_class(broker: str) -> type[Any]:
    """The class of a broker's adapter. Raises LookupError with a sentence."""
    if not re.fullmatch(r"[a-z0-9_]+", broker):
        raise LookupError(f"there is no broker {broker!r}")
    base = _module("base_adapter").BaseBrokerWebSocketAdapter
    registered = getattr(_module("broker_factory"), "BROKER_ADAPTERS", {}).get(broker)
    if registered:
        return registered  # type: ignore[no-any-return]  # a module we cannot see
    failure = f"the checkout has no adapter for broker {broker!r}"
    for name in _candidates(broker):
        try:
            module = importlib.import_module(name)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # the code of others: anything
            failure = f"the adapter of broker {broker!r} cannot be loaded: {name}: {error}"
            _log.warning("%s", failure)
            continue
        found = _pick(module, broker, base)
        if found:
            return found
    raise LookupError(failure)


def accepts(call: Any, name: str) -> bool:
    """Whether a function takes an argument of this name."""
    try:
        parameters = inspect.signature(call).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(one.name == name or one.kind is one.VAR_KEYWORD for one in parameters)


def is_up(adapter: Any) -> bool:
    """What an adapter, or a pool, says of its connection; kotak's has the word under `_connected`,
    and its `connected` never changes."""
    return bool(getattr(adapter, "connected", True) or getattr(adapter, "_connected", False))


def looks_like_auth(text: str) -> bool:
    """Whether an error's text speaks of a login that is no longer good."""
    lowered = text.lower()
    return any(sign in lowered for sign in AUTH_SIGNS)


def forget(kind: str = "ALL", user: str = "") -> None:
    """Clear the checkout's caches, of one user when one is named; AUTH, FEED or ALL.

    The thread's database session goes, too: it would give the row it read before, old token and
    all, to whoever asks the database anew.
    """
    auth = sys.modules.get("database.auth_db")
    if auth is None:
        return
    for name in _CACHES.get(kind, _CACHES["ALL"]):
        cache = getattr(auth, name, None)
        if cache is None:
            continue
        if user:
            cache.pop(f"{'feed' if name.startswith('feed') else 'auth'}-{user}", None)
        else:
            cache.clear()
    refresh()


def refresh() -> None:
    """Drop this thread's database session, so that the next read sees what is written."""
    session = getattr(sys.modules.get("database.auth_db"), "db_session", None)
    if session is not None:
        session.remove()


def secrets_of(environment: Mapping[str, str]) -> list[str]:
    """What its .env keeps secret."""
    return [value for name, value in environment.items() if _SECRETS.search(name)]


def tokens_of(user: str) -> list[str]:
    """The tokens of a user that the database has, empty before it was read."""
    found = []
    auth = sys.modules.get("database.auth_db")
    for read in ("get_auth_token", "get_feed_token"):
        with contextlib.suppress(Exception):
            found.append(str(getattr(auth, read)(user)))
    return found


def _module(name: str) -> Any:
    return importlib.import_module(f"websocket_proxy.{name}")


def _candidates(broker: str) -> Iterator[str]:
    """The modules in which to look, likeliest first; only those whose file there is."""
    folder = Path("broker", broker, "streaming")
    others = sorted(
        path.stem
        for path in folder.glob("*_adapter.py")
        if not path.stem.endswith("_order_adapter") and path.stem != f"{broker}_adapter"
    )
    for name in (f"{broker}_adapter", *others):
        if (folder / f"{name}.py").is_file():
            yield f"broker.{broker}.streaming.{name}"
    if Path("websocket_proxy", f"{broker}_adapter.py").is_file():
        yield f"websocket_proxy.{broker}_adapter"


def _pick(module: types.ModuleType, broker: str, base: type[Any]) -> type[Any] | None:
    """The adapter in a module: the one with the broker's name, or the only one it defines."""
    classes = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, base) and value is not base
    }
    for name, value in classes.items():
        if name.lower() == f"{broker}websocketadapter":
            return value
    own = {value for value in classes.values() if value.__module__ == module.__name__}
    return own.pop() if len(own) == 1 else None
