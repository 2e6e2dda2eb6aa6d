"""What clients ask for when they begin, against a server that says what it is told to."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from hub.core import forms, frames
from hub.core.errors import HubError
from hub.core.forms import BATCH, MSGPACK, PLAIN
from scripts.benchmark import handshake
from scripts.benchmark.loads import Load

LOAD = Load(name="test", clients=1, symbols=3, rate=10)
AUTH = {"type": "auth", "status": "success"}
SUBSCRIBED = b'{"type": "subscribe", "status": "success"}'


def asked(granted: dict[str, Any], form: int) -> dict[str, Any]:
    """What a client said first to a server with this reply."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(frames.text(json.dumps(AUTH | granted).encode()))
        real = handshake.some

        def some(sock: socket.socket) -> bytes:
            """The server subscribes only after it has authenticated."""
            said = real(sock)
            theirs.sendall(forms.message(SUBSCRIBED, form))
            return said

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(handshake, "some", some)
            handshake.subscribe(ours, LOAD, "key", form)
        sent = theirs.recv(1 << 16)
    said = sent[sent.index(b"{") :].decode(errors="replace")  # behind it stands another frame
    request: dict[str, Any] = json.JSONDecoder().raw_decode(said)[0]
    return request


@pytest.mark.parametrize(
    ("form", "wish"),
    [
        (PLAIN, {}),
        (BATCH, {"batch": True}),
        (MSGPACK, {"encoding": "msgpack"}),
        (BATCH | MSGPACK, {"batch": True, "encoding": "msgpack"}),
    ],
)
def test_a_form_is_asked_for_and_replies_are_read_in_it(form: int, wish: dict[str, Any]) -> None:
    base = {"action": "authenticate", "api_key": "key", "snapshot": False}
    assert asked(wish, form) == base | wish


def test_a_server_that_does_not_grant_it_is_refused() -> None:
    with pytest.raises(HubError, match="does not grant"):
        asked({"batch": True}, BATCH | MSGPACK)
