"""When to connect again, and why it was lost."""

from __future__ import annotations

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close
from websockets.http11 import Response

from hub.client import retry
from hub.client.retry import Backoff


def status(code: int, retry_after: str = "") -> InvalidStatus:
    headers = Headers({"Retry-After": retry_after} if retry_after else {})
    return InvalidStatus(Response(code, "", headers))


def test_waits_double_up_to_the_longest_and_are_spread_over_their_second_half() -> None:
    backoff = Backoff(1.0, 8.0)
    waits = [backoff.next() for _ in range(6)]
    for wait, most in zip(waits, (1, 2, 4, 8, 8, 8), strict=True):
        assert most / 2 <= wait <= most
    backoff.reset()
    assert backoff.next() <= 1
    assert len({Backoff(1.0, 8.0).next() for _ in range(20)}) > 1


def test_the_server_is_not_asked_sooner_than_it_says() -> None:
    assert 30 < Backoff(1.0, 8.0).next(30.0) <= 31


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (status(503, "7"), 7),
        (status(503, "Thu, 01 Jan 1970 00:01:40 GMT"), 40),
        (status(503, "Thu, 01 Jan 1970 00:00:01 GMT"), 0),
        (status(503, "soon"), 0),
        (status(503), 0),
        (OSError(), 0),
        (None, 0),
    ],
)
def test_how_long_the_server_asks_to_wait(error: Exception | None, seconds: float) -> None:
    assert retry.asked_s(error, now_s=60.0) == seconds


def test_a_full_hub_is_told_from_one_that_refuses() -> None:
    assert retry.is_full(status(503))
    assert not retry.is_full(status(403))
    assert not retry.is_full(OSError())


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionClosed(Close(1012, "restart"), None), "closed: 1012 restart"),
        (ConnectionClosed(Close(1001, ""), None), "closed: 1001"),
        (ConnectionClosed(None, None), "connection lost"),
        (TimeoutError(), "no answer in time"),
        (ConnectionRefusedError(111, "x"), "connection refused"),
        (status(503), "it is full: HTTP 503"),
        (OSError("disk"), "disk"),
        (EOFError(), "EOFError"),
    ],
)
def test_why_a_connection_failed_in_a_few_words(error: Exception, words: str) -> None:
    assert retry.reason(error) == words
