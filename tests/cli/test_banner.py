"""What is printed to be pasted."""

from __future__ import annotations

import ast

import msgspec

from cli.banner import Start, banner, browser, python
from hub.core.settings import Hub, Nats, Page, Settings, Websocket

URL, KEY = "ws://127.0.0.1:9", "hub_0_x"


def test_it_shows_where_the_hub_is_and_the_demo_key() -> None:
    text = banner(Start(Settings(), demo_key=KEY)).plain
    assert "ws://127.0.0.1:8765" in text
    assert "tcp://127.0.0.1:5555" in text
    assert text.count(KEY) == 3
    assert "\nhub tail NSE:RELIANCE,NSE_INDEX:NIFTY\n" in text
    assert "hub keys add" not in text


def test_it_shows_where_the_page_is_or_why_there_is_none() -> None:
    assert "Page       http://127.0.0.1:8766\n" in banner(Start(Settings())).plain
    taken = banner(Start(Settings(), page_problem="page.port cannot use 127.0.0.1:8766")).plain
    assert "none  (page.port cannot use 127.0.0.1:8766; --page-port 0 picks another)" in taken
    none = msgspec.structs.replace(Settings(), page=Page(enabled=False))
    assert "Page" not in banner(Start(none)).plain
    open_to_all = msgspec.structs.replace(Settings(), page=Page(host="0.0.0.0"))
    text = banner(Start(open_to_all, page_token="t0")).plain
    assert "http://127.0.0.1:8766/#token=t0  (from elsewhere: with this machine's address)" in text


def test_without_a_key_it_says_how_to_add_one() -> None:
    start = Start(Settings(), has_keys=False, config_options=" --config my.toml")
    assert "\nhub keys add NAME --config my.toml\n" in banner(start).plain
    assert "hub keys add" not in banner(start._replace(has_keys=True)).plain


def test_one_s_own_key_is_named_and_not_guessed() -> None:
    text = banner(Start(Settings(), hub_options=" --runtime-dir /x")).plain
    assert "HUB_API_KEY=YOUR_API_KEY hub tail NSE:RELIANCE,NSE_INDEX:NIFTY --runtime-dir /x" in text


def test_the_python_lines_are_python_and_say_what_the_sdk_needs() -> None:
    tree = ast.parse("\n".join(python(URL, KEY)))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = {word.arg: ast.unparse(word.value) for call in calls for word in call.keywords}
    assert named == {
        "api_key": repr(KEY), "host": "'http://127.0.0.1:5000'", "ws_url": repr(URL),
        "on_data_received": "print",
    }  # fmt: skip
    assert "'exchange': 'NSE_INDEX', 'symbol': 'NIFTY'" in ast.unparse(tree)


def test_the_browser_lines_are_balanced() -> None:
    text = "\n".join(browser(URL, KEY))
    for left, right in ("()", "[]", "{}"):
        assert text.count(left) == text.count(right)
    assert URL in text
    assert KEY in text


def test_lines_to_paste_stand_at_the_left_and_all_else_is_a_comment() -> None:
    text = banner(Start(Settings(), demo_key=KEY)).plain
    assert "\n# A browser's console, on a page of this machine," in text
    assert "OpenAlgo's:\nws = new" in text
    assert "\n# Python, with OpenAlgo's SDK (pip install openalgo):\nfrom openalgo" in text


def test_one_shard_is_not_many() -> None:
    hub = msgspec.structs.replace(Settings().hub, shards=1)
    one = msgspec.structs.replace(Settings(), hub=hub)
    assert "1 shard," in banner(Start(one)).plain
    assert "4 shards," in banner(Start(Settings())).plain


def test_an_ingest_says_whom_it_publishes_to_and_an_edge_from_where_it_takes() -> None:
    nats = Nats(servers=["nats://n1", "nats://n2"], publish=True)
    ingest = Start(Settings(hub=Hub(feeds=["sim", "bus"]), nats=nats), machine="desk1")
    text = banner(ingest._replace(hub_options=" --runtime-dir /x")).plain
    assert " is ready: ingest, 4 shards, feeds sim, bus\n" in text
    assert "NATS       nats://n1, nats://n2  (publishes sim, bus, as desk1)\n" in text
    assert "\nhub start --bus nats://n1,nats://n2 --shards 4\n" in text
    assert "\nhub status --cluster --runtime-dir /x\n" in text
    assert "WebSocket" in text
    own = msgspec.structs.replace(
        nats, servers=["nats://127.0.0.1"], prefix="desk", creds_file="/a", tls_ca="/b"
    )
    text = banner(Start(Settings(nats=own), demo_key=KEY)).plain
    assert "\n# with this machine's address in place of 127.0.0.1:\n" in text
    line = "HUB_NATS_PREFIX=desk hub start --demo --bus nats://127.0.0.1 --shards 4"
    assert f"\n{line} --nats-creds FILE --nats-tls-ca FILE\n" in text
    edge = Settings(hub=Hub(feeds=["nats"]), nats=Nats(servers=["nats://n1"]))
    text = banner(Start(edge, machine="edge1")).plain
    assert " is ready: edge, 4 shards, feeds nats\n" in text
    assert "nats://n1  (takes what other machines publish, as edge1)\n" in text
    assert "start --bus" not in text
    assert "--cluster" not in banner(Start(Settings())).plain


def test_a_pure_ingest_has_nothing_for_clients() -> None:
    nats = Nats(servers=["nats://n1"], publish=True)
    settings = Settings(hub=Hub(shards=0), nats=nats)
    text = banner(Start(settings, demo_key=KEY, has_keys=False, certificate="hub.example")).plain
    assert "ingest, no shards, feeds bus" in text
    for word in ("ws://", "WebSocket", KEY, "keys add", "hub tail", "TLS"):
        assert word not in text


def test_the_certificate_and_the_unix_socket_are_told_where_there_are_some() -> None:
    websocket = Websocket(tls_cert="hub.crt", unix="/run/web/hub.sock")
    text = banner(Start(Settings(websocket=websocket), certificate="hub.example, until May")).plain
    rows = [line.split() for line in text.splitlines()]
    assert ["WebSocket", "wss://127.0.0.1:8765"] in rows
    assert ["TLS", "certificate", "of", "hub.example,", "until", "May"] in rows
    assert ["or", "by", "/run/web/hub.sock", "(Unix", "socket,", "ws)"] in rows
    plain = banner(Start(Settings())).plain
    assert "TLS" not in plain
    assert "Unix" not in plain
