"""How an account connects: OpenAlgo's codes and its one retry, with the adapter's own reason."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from hub.feeds.openalgo import worker_checkout
from hub.feeds.openalgo.worker_connect import Line, Refused, connect, hang_up
from hub.feeds.openalgo.worker_publisher import Door, Publisher
from tests.hub.feeds.openalgo.kit import start
from tests.openalgo import Checkout

INIT, CONNECTION, BROKER = "BROKER_INIT_ERROR", "BROKER_CONNECTION_ERROR", "BROKER_ERROR"
POOLED, SINGLE = "true", "false"


def outcome(
    checkout: Checkout, pooling: str, broker: str = "angel", **orders: Any
) -> tuple[str, str, str, list[str]]:
    """State, code and error after `on`, and the calls the adapters got."""
    checkout.mischief(**orders)
    checkout.login("anita", broker)
    with start(checkout, ENABLE_CONNECTION_POOLING=pooling) as worker:
        worker.on("anita", broker)
        told = worker.state("anita")
        made = [call["call"] for call in worker.called("initialize", "connect", "disconnect")]
    return told["state"], told["code"], told["error"], made


@pytest.mark.parametrize(
    ("pooling", "order", "code", "error"),
    [
        (POOLED, {"error": "no such client"}, CONNECTION, "no such client"),
        (POOLED, {"raise": "no such client"}, CONNECTION, "no such client"),
        (SINGLE, {"error": "no such client"}, INIT, "no such client"),
        (SINGLE, {"raise": "no such client"}, BROKER, "no such client"),
        (SINGLE, {"exit": True}, BROKER, "the adapter wanted to leave"),
        (SINGLE, {"raise": ""}, BROKER, "ValueError"),
    ],
)
def test_a_failed_initialise_is_told_with_the_real_reason(
    checkout: Checkout, pooling: str, order: dict[str, Any], code: str, error: str
) -> None:
    state, *said, made = outcome(checkout, pooling, initialize=order)
    assert (state, said) == ("failed", [code, error])
    assert made.count("initialize") == 1
    assert "connect" not in made


@pytest.mark.parametrize(
    ("pooling", "order", "code"),
    [
        (POOLED, {"error": "HTTP 401"}, CONNECTION),
        (POOLED, {"raise": "Session Expired"}, CONNECTION),
        (SINGLE, {"error": "invalid token"}, INIT),
        (SINGLE, {"raise": "access denied"}, BROKER),
    ],
)
def test_what_looks_like_a_stale_token_is_tried_once_more(
    checkout: Checkout, pooling: str, order: dict[str, Any], code: str
) -> None:
    assert outcome(checkout, pooling, initialize={**order, "times": 1})[:2] == ("up", "")
    state, found, error, made = outcome(checkout, pooling, initialize=order)
    assert (state, found) == ("failed", code)
    assert error == next(iter(order.values()))
    assert made.count("initialize") == 4  # two of the first time, two of the second


@pytest.mark.parametrize("pooling", [POOLED, SINGLE])
@pytest.mark.parametrize(
    "order",
    [
        {"error": "Failed to connect to the feed"},
        {"error": "403 Forbidden"},
        {"error": "unauthorized"},
    ],
)
def test_a_connection_that_fails_is_tried_once_more(
    checkout: Checkout, pooling: str, order: dict[str, Any]
) -> None:
    state, _, _, made = outcome(checkout, pooling, connect={**order, "times": 1})
    assert state == "up"
    assert [call for call in made if call != "disconnect"] == ["initialize", "connect"] * 2
    state, code, error, made = outcome(checkout, pooling, connect=order)
    assert (state, code, error) == ("failed", CONNECTION, order["error"])
    assert made.count("connect") == 4


def test_a_code_that_says_so_is_tried_once_more(checkout: Checkout) -> None:
    order = {"error": "odd", "code": "CONNECTION_FAILED", "times": 1}
    assert outcome(checkout, SINGLE, connect=order)[0] == "up"


@pytest.mark.parametrize("pooling", [POOLED, SINGLE])
def test_another_error_of_connect_is_not_tried_again(checkout: Checkout, pooling: str) -> None:
    state, code, error, made = outcome(checkout, pooling, connect={"error": "at lunch"})
    assert (state, code, error) == ("failed", CONNECTION, "at lunch")
    assert made == ["initialize", "connect", "disconnect"]  # and what was made is taken down


@pytest.mark.parametrize(("broker", "forced"), [("shoonya", [False, True]), ("angel", [])])
def test_the_second_initialise_is_forced_where_the_adapter_knows_that(
    checkout: Checkout, broker: str, forced: list[bool]
) -> None:
    order = {"error": "failed to connect", "times": 1}
    assert outcome(checkout, SINGLE, broker, connect=order)[0] == "up"
    assert [call["force"] for call in checkout.calls("force")] == forced


def test_a_second_initialise_that_fails_is_told_as_that(checkout: Checkout) -> None:
    with start(checkout, ENABLE_CONNECTION_POOLING=SINGLE) as worker:
        checkout.mischief(connect={"until": "morning", "error": "failed to connect"})
        checkout.login("anita", "angel")
        worker.on("anita")
        worker.wait_called("connect")
        checkout.mischief(initialize={"error": "locked"})
        checkout.let_go("morning")
        told = worker.state("anita")
    assert (told["code"], told["error"]) == (INIT, "locked")


@pytest.mark.parametrize("pooling", [POOLED, SINGLE])
def test_a_stale_token_in_the_caches_is_not_used_again(checkout: Checkout, pooling: str) -> None:
    with start(checkout, ENABLE_CONNECTION_POOLING=pooling) as worker:
        worker.up("anita")
        worker.off("anita")
        worker.state("anita")
        worker.checkout.login("anita", "angel", "token-of-tomorrow")  # and nobody says so
        worker.on("anita")
        assert worker.state("anita")["state"] == "up"
        (_, last) = worker.called("initialize")
    assert (last["token"], last["feed_token"]) == ("token-of-tomorrow", "token-of-tomorrow-feed")


@pytest.mark.parametrize("pooling", [POOLED, SINGLE])
def test_a_user_without_a_token_is_told_so(checkout: Checkout, pooling: str) -> None:
    with start(checkout, ENABLE_CONNECTION_POOLING=pooling) as worker:
        worker.on("anita")
        told = worker.state("anita")
    assert told["state"] == "failed"
    assert told["error"] == "no token for anita"


class Fake:
    """An adapter that answers its calls of connect with these, or raises them; a `refusal` is its
    answer to the first initialize."""

    def __init__(self, *answers: Any, refusal: str = "") -> None:
        self.answers = list(answers)
        self.refusal = refusal
        self.calls: list[str] = []

    def initialize(self, *_: Any) -> dict[str, str] | None:
        self.calls.append("initialize")
        refusal, self.refusal = self.refusal, ""
        return {"status": "error", "message": refusal} if refusal else None

    def connect(self) -> Any:
        self.calls.append("connect")
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def disconnect(self) -> None:
        self.calls.append("disconnect")


def connect_with(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Connect with this adapter; its calls have those that clear the caches among them."""
    monkeypatch.setattr(worker_checkout, "is_pooled", lambda: False)
    monkeypatch.setattr(worker_checkout, "adapter_class", lambda _: Fake)
    monkeypatch.setattr(worker_checkout, "make_adapter", lambda *_: fake)
    monkeypatch.setattr(worker_checkout, "forget", lambda *_: fake.calls.append("forget"))
    door = Door()
    try:
        return connect("anita", "angel", Publisher(door, b""), Line())
    finally:
        door.close()


@pytest.mark.parametrize(
    "second", [{"status": "error", "message": "HTTP 401"}, ValueError("HTTP 401")]
)
def test_what_raised_is_tried_once_more_and_no_more_and_is_taken_down_each_time(
    monkeypatch: pytest.MonkeyPatch, second: Any
) -> None:
    fake = Fake(ValueError("HTTP 401"), second, {"status": "success"})
    with pytest.raises(Refused, match="HTTP 401"):
        connect_with(fake, monkeypatch)
    assert [one for one in fake.calls if one != "forget"] == [
        "initialize", "connect", "disconnect"
    ] * 2  # fmt: skip


def test_the_caches_are_cleared_before_each_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the first one has read is in them."""
    fake = Fake(None, refusal="HTTP 401")
    assert connect_with(fake, monkeypatch) is fake
    assert fake.calls == ["forget", "initialize", "forget", "initialize", "connect"]
    fake = Fake({"status": "error", "message": "failed to connect"}, None)
    assert connect_with(fake, monkeypatch) is fake
    assert fake.calls == ["forget", "initialize", "connect"] * 2


def test_tokens_are_known_before_an_adapter_can_tell_them_and_again_when_it_has_read_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = Fake(None)

    def tokens_of(_: str) -> list[str]:
        fake.calls.append("tokens")
        return []

    monkeypatch.setattr(worker_checkout, "tokens_of", tokens_of)
    connect_with(fake, monkeypatch)
    assert fake.calls == ["forget", "tokens", "initialize", "tokens", "connect"]


def test_an_adapter_that_wants_to_leave_when_it_is_hung_up_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake, line = Fake(), Line()
    monkeypatch.setattr(fake, "disconnect", sys.exit)
    hang_up(fake, line)
    assert not line.call
