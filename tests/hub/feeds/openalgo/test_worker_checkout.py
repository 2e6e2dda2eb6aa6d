"""What the worker knows of the checkout's code: the adapter of each broker, secrets, errors."""

from __future__ import annotations

import shutil
import sys
import types
from typing import Any

import pytest

from hub.feeds.openalgo import worker_checkout as module
from tests.hub.feeds.openalgo.kit import Parent

BROKERS = ("angel", "zerodha", "flattrade", "shoonya", "fyers", "dhan_sandbox")


NAMES = [
    "aliceblue", "angel", "arrow", "compositedge", "definedge", "deltaexchange", "dhan",
    "dhan_sandbox", "firstock", "fivepaisa", "fivepaisaxts", "flattrade", "fyers", "groww",
    "hdfcsecurities", "hdfcsky", "ibulls", "iifl", "iiflcapital", "indmoney", "jainamxts",
    "kotak", "motilal", "mstock", "nubra", "paytm", "pocketful", "rmoney", "samco", "shoonya",
    "tradejini", "tradesmart", "upstox", "wisdom", "zebu", "zerodha",
]  # fmt: skip
"""All of OpenAlgo's brokers that stream."""
CLASSES = {
    "deltaexchange": "Delta",
    "fivepaisaxts": "FivepaisaXTS",
    "hdfcsecurities": "HDFCSecurities",
    "hdfcsky": "HDFCSky",
    "jainamxts": "JainamXTS",
    "rmoney": "RMoney",
    "tradesmart": "TradeSmart",
}
"""Those whose class is not named by the rule: what stands before `WebSocketAdapter`."""
MODULES = {"fyers": "fyers_websocket_adapter", "deltaexchange": "delta_adapter"}
"""Those whose class is in a module that is not named by the rule."""
ALIASES = {"deltaexchange"}
"""Those of them where a module that is named by the rule has it, too."""


def test_all_of_openalgos_brokers_are_found_whatever_their_classes_names(worker: Parent) -> None:
    assert len(NAMES) == 36
    for broker in NAMES:
        folder = worker.checkout.root / "broker" / broker / "streaming"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        prefix = CLASSES.get(broker, broker.capitalize())
        module_name = MODULES.get(broker, f"{broker}_adapter")
        source = "from broker.market import MarketAdapter\n"
        source += f"class {prefix}WebSocketAdapter(MarketAdapter): ...\n"
        (folder / f"{module_name}.py").write_text(source)
        order = source.replace("WebSocketAdapter", "OrderUpdateAdapter")
        (folder / f"{broker}_order_adapter.py").write_text(order)
        if broker in ALIASES:
            alias = f"from broker.{broker}.streaming.{module_name} import {prefix}WebSocketAdapter"
            alias += f" as {broker.capitalize()}WebSocketAdapter\n"
            (folder / f"{broker}_adapter.py").write_text(alias)
    for broker in NAMES:
        worker.up(f"user of {broker}", broker)
        (call,) = worker.called("initialize", broker=broker)
        assert call["class"] == f"{CLASSES.get(broker, broker.capitalize())}WebSocketAdapter"


@pytest.mark.parametrize("broker", BROKERS)
def test_the_adapter_of_every_broker_is_found(worker: Parent, broker: str) -> None:
    worker.up("anita", broker)
    assert worker.called("initialize", broker=broker)
    assert not worker.called("server")


@pytest.mark.parametrize("broker", ["nowhere", "../angel", "angel.streaming", ""])
def test_a_broker_there_is_not_is_an_error(worker: Parent, broker: str) -> None:
    worker.on("anita", broker)
    told = worker.state("anita")
    assert (told["state"], told["code"]) == ("failed", "BROKER_ERROR")
    assert repr(broker) in told["error"]


def test_the_name_of_a_broker_may_be_written_large(worker: Parent) -> None:
    worker.checkout.login("anita", "angel")
    worker.on("anita", "ANGEL")
    assert worker.state("anita")["state"] == "up"


def test_an_adapter_that_cannot_be_loaded_is_told_with_the_reason(worker: Parent) -> None:
    folder = worker.checkout.root / "broker" / "upstox" / "streaming"
    folder.mkdir(parents=True)
    (folder / "upstox_adapter.py").write_text("import no_such_package\n", encoding="utf-8")
    worker.on("anita", "upstox")
    told = worker.state("anita")
    assert told["code"] == "BROKER_ERROR"
    assert "No module named 'no_such_package'" in told["error"]


def test_a_checkout_that_lacks_its_settings_is_told_with_the_reason(worker: Parent) -> None:
    (worker.checkout.root / "database" / "auth_db.py").write_text("raise OSError('no database')")
    worker.on("anita")
    told = worker.state("anita")
    assert told["code"] == "BROKER_ERROR"
    assert "no database" in told["error"]


def test_an_adapter_beside_the_proxy_is_found(worker: Parent) -> None:
    source = "from broker.market import MarketAdapter\nclass XWebSocketAdapter(MarketAdapter): ..."
    file = worker.checkout.root / "websocket_proxy" / "x_adapter.py"
    file.write_text(source, encoding="utf-8")
    worker.up("anita", "x")


def test_an_adapter_that_registers_itself_is_found(worker: Parent) -> None:
    file = worker.checkout.root / "websocket_proxy" / "broker_factory.py"
    source = (
        "from broker.zerodha.streaming import zerodha_adapter\n"
        "register_adapter('Other', zerodha_adapter.KiteTickerAdapter)\n"
    )
    with file.open("a", encoding="utf-8") as factory:
        factory.write(source)
    worker.up("anita", "other")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HTTP 401", True),
        ("Error 403: no", True),
        ("Your Access Token has EXPIRED", True),
        ("Session expired", True),
        ("no route to host", False),
        ("", False),
    ],
)
def test_what_an_error_of_a_stale_token_looks_like(text: str, expected: bool) -> None:
    assert module.looks_like_auth(text) is expected


def test_secrets_are_the_environments_and_the_users(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    auth: Any = types.ModuleType("database.auth_db")
    auth.get_auth_token = lambda user: f"{user}-long-key:{user}-long-token"
    auth.get_feed_token = lambda _: None
    monkeypatch.setitem(sys.modules, "database.auth_db", auth)
    assert module.tokens_of("anita") == ["anita-long-key:anita-long-token", "None"]
    environment = {
        "BROKER_API_SECRET_MARKET": "a-market-secret",
        "API_KEY_PEPPER": "a-pepper",
        "HOST_SERVER": "http://127.0.0.1:5000",
    }
    assert module.secrets_of(environment) == ["a-market-secret", "a-pepper"]


def test_before_the_checkouts_database_was_read_no_token_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "database.auth_db", raising=False)
    assert module.tokens_of("anita") == []


def test_kotaks_word_for_connected_is_understood() -> None:
    states = [(True, None), (False, None), (False, True), (False, False)]
    found = []
    for connected, inner in states:
        adapter = types.SimpleNamespace(connected=connected)
        if inner is not None:
            adapter._connected = inner
        found.append(module.is_up(adapter))
    assert found == [True, False, True, False]


def test_without_a_database_there_is_nothing_to_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "database.auth_db", raising=False)
    module.forget("ALL")
    module.refresh()


def test_one_users_tokens_are_cleared_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    auth: Any = types.ModuleType("database.auth_db")
    auth.auth_cache = {"auth-a": 1, "auth-b": 2}
    auth.feed_token_cache = {"feed-a": 1, "feed-b": 2}
    monkeypatch.setitem(sys.modules, "database.auth_db", auth)
    module.forget("ALL", "a")
    assert (auth.auth_cache, auth.feed_token_cache) == ({"auth-b": 2}, {"feed-b": 2})
    module.forget("AUTH")
    assert (auth.auth_cache, auth.feed_token_cache) == ({}, {"feed-b": 2})
