"""Who is let in to the page, and what every answer says."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from hub.monitor.doors import Doors
from hub.monitor.token import Gate
from tests.hub.monitor.asgi import Answer, ask

TOKEN = "a-token-of-some-length"
OURS = "https://hub.example.com"


async def inside(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await WebSocket(scope, receive, send).accept()
    else:
        known = "known" if scope["authorised"] else "unknown"
        await PlainTextResponse(known)(scope, receive, send)


def doors(token: str = "", host: str = "127.0.0.1", **given: Any) -> Doors:
    return Doors(inside, gate=Gate(token), host=host, port=8766, origins=[OURS], **given)


def login(app: Doors, token: str, **given: Any) -> Answer:
    return ask(app, "/login", method="POST", body=f"token={token}".encode(), **given)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8766", "127.0.0.1", "localhost:8766", "LOCALHOST", "[::1]:8766", "192.168.1.7:80",
     "hub.example.com", "hub.example.com:443"],
)  # fmt: skip
def test_addresses_under_which_it_is_served_are_answered(host: str) -> None:
    assert ask(doors(), host=host).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8766", "hub.example.com.evil.example", "127.0.0.1.evil.example",
     "", "localhost.evil.example", "127.0.0.1:8766; script-src *", "[::1", "127.0.0.1:80:80"],
)  # fmt: skip
@pytest.mark.parametrize("websocket", [False, True])
def test_a_name_that_somebody_has_made_lead_here_is_refused(host: str, websocket: bool) -> None:
    answer = ask(doors(), "/live" if websocket else "/", host=host, websocket=websocket)
    assert answer.status == 421
    assert "page.origins" in answer.text


def test_the_name_it_listens_on_is_its_own() -> None:
    assert ask(doors(host="hub.lan"), host="hub.lan:8766").status == 200
    assert ask(doors(host="hub.lan"), host="hub.lane:8766").status == 421


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8766", OURS, None])
def test_pages_of_its_own_open_the_websocket(origin: str | None) -> None:
    given: Any = {"origin": origin} if origin else {}
    assert ask(doors(), "/live", websocket=True, **given).status == 101


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "http://127.0.0.1:5000", "https://127.0.0.1:8766", "null",
     "http://hub.example.com", f"{OURS}.evil.example"],
)  # fmt: skip
def test_pages_of_others_do_not_and_log_nobody_in(origin: str) -> None:
    assert ask(doors(), "/live", websocket=True, origin=origin).status == 403
    assert login(doors(TOKEN), TOKEN, origin=origin).status == 403
    assert "set-cookie" not in login(doors(TOKEN), TOKEN, origin=origin).headers


@pytest.mark.parametrize("path", ["/status.json", "/metrics", "/live", "/nothing"])
def test_what_shows_the_hub_asks_for_the_token(path: str) -> None:
    app, websocket = doors(TOKEN), path == "/live"
    answer = ask(app, path, websocket=websocket)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "Authorization: Bearer" in answer.text
    let_in = ask(app, path, websocket=websocket, authorization=f"Bearer {TOKEN}")
    assert let_in.status == (101 if websocket else 200)
    for wrong in ("Bearer x", "Bearer", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer ü"):
        assert ask(doors(TOKEN), path, websocket=websocket, authorization=wrong).status == 401


@pytest.mark.parametrize("path", ["/static/x/page.css", "/healthz", "/readyz", "/"])
def test_the_door_itself_and_the_health_are_open(path: str) -> None:
    answer = ask(doors(TOKEN), path)
    assert (answer.status, answer.text) == (200, "unknown")
    assert ask(doors(TOKEN), path, cookie="hub_page_8766=9999999999.0").text == "unknown"
    assert ask(doors(), path).text == "known"


def test_the_form_gives_a_cookie_that_opens_the_door() -> None:
    app = doors(TOKEN)
    answer = login(app, TOKEN)
    assert (answer.status, answer.headers["location"]) == (303, "./")
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert TOKEN not in cookie
    given = cookie.partition(";")[0]
    assert ask(app, "/status.json", cookie=given).text == "known"
    assert ask(app, "/live", websocket=True, cookie=given).status == 101
    assert ask(doors("another-" + TOKEN), "/status.json", cookie=given).status == 401


def test_behind_tls_the_cookie_is_for_tls_alone() -> None:
    assert "Secure" in login(doors(TOKEN), TOKEN, x_forwarded_proto="https").headers["set-cookie"]


def test_a_wrong_token_gives_the_form_again_and_then_a_pause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = doors(TOKEN)
    for _ in range(5):
        answer = login(app, "wrong")
        assert (answer.headers["location"], "set-cookie" in answer.headers) == ("./?wrong", False)
    assert login(app, TOKEN).headers["location"] == "./?wait", "right or wrong"
    refused = ask(app, "/metrics", authorization=f"Bearer {TOKEN}")
    assert refused.status == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 13
    assert login(app, TOKEN, client="10.0.0.8").headers["location"] == "./"
    assert caplog.text.count("127.0.0.1 came with a wrong token") == 1
    assert TOKEN not in caplog.text


@pytest.mark.parametrize("trusted", [[], ["127.0.0.1"]])
def test_through_a_trusted_proxy_a_wrong_token_has_a_pause_for_its_own_address(
    trusted: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    app = doors(TOKEN, trusted=trusted)
    for _ in range(5):
        login(app, "wrong", x_forwarded_for="203.0.113.1, 192.0.2.7")
    assert login(app, TOKEN, x_forwarded_for="192.0.2.7").headers["location"] == "./?wait"
    other = login(app, TOKEN, x_forwarded_for="192.0.2.8").headers["location"]
    assert other == ("./" if trusted else "./?wait")
    who = "192.0.2.7" if trusted else "127.0.0.1"
    assert f"{who} came with a wrong token" in caplog.text


def test_a_form_of_any_size_is_not_read() -> None:
    assert login(doors(TOKEN), "x" * 5000).status == 413


@pytest.mark.parametrize("path", ["/", "/status.json"])
@pytest.mark.parametrize("token", ["", TOKEN])
def test_every_answer_tells_the_browser_to_be_careful(path: str, token: str) -> None:
    headers = ask(doors(token), path).headers
    parts = headers["content-security-policy"].split("; ")
    policy = dict(part.split(" ", 1) for part in parts)
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
    assert "ws://127.0.0.1:8766" in policy["connect-src"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers
