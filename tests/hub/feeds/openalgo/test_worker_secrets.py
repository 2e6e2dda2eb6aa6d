"""What is known to be secret is hidden, wherever it stands."""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections.abc import Iterator
from threading import Barrier

import pytest

from hub.feeds.openalgo.worker_secrets import Discreet, Secrets


def make(*values: str) -> Secrets:
    secrets = Secrets()
    secrets.learn(values)
    return secrets


@pytest.fixture
def short_switches() -> Iterator[None]:
    """Threads take turns as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_a_secret_and_its_parts_are_hidden_the_longest_first() -> None:
    secrets = make("client-id-1:::the-api-key", "the-api-key-of-the-market")
    text = "client-id-1:::the-api-key client-id-1 ?key=the-api-key&m=the-api-key-of-the-market"
    assert secrets.hide(text) == "*** *** ?key=***&m=***"


def test_what_is_short_is_no_secret() -> None:
    assert make("None", "", "1234567").hide("None of 1234567") == "None of 1234567"


def test_what_was_known_once_stays_hidden() -> None:
    secrets = make("yesterdays-token")
    secrets.learn(["todays-token"])
    assert secrets.hide("yesterdays-token todays-token") == "*** ***"


def test_its_repr_tells_none() -> None:
    assert repr(make("todays-token")) == "<Secrets 1>"


def test_a_stream_hides_them_in_lines_logs_and_tracebacks() -> None:
    stream = io.StringIO()
    discreet = Discreet(stream, make("todays-token"))
    assert discreet.write("a todays-token\n") == len("a todays-token\n")
    print("b todays-token", file=discreet)
    discreet.writelines(["e ", "todays-token\n"])
    log = logging.getLogger("shardhub.test")
    handler = logging.StreamHandler(discreet)
    log.addHandler(handler)
    try:
        raise ValueError("c todays-token")
    except ValueError:
        log.exception("d %s", "todays-token")
    finally:
        log.removeHandler(handler)
    discreet.flush()
    said = stream.getvalue()
    assert "todays-token" not in said
    assert said.count("***") >= 5
    assert not discreet.isatty()


def test_a_secret_is_hidden_as_it_stands_in_a_url_too() -> None:
    secrets = make("to+ken/of=today", "\udcff-not-utf-8")
    text = "?a=to+ken/of=today&b=to%2Bken/of%3Dtoday&c=to%2Bken%2Fof%3Dtoday"
    assert secrets.hide(text) == "?a=***&b=***&c=***"


def test_threads_that_learn_at_once_lose_none(short_switches: None) -> None:
    for _ in range(50):
        secrets = make()
        together = threading.Barrier(6)

        def learn(number: int, secrets: Secrets = secrets, gate: Barrier = together) -> None:
            gate.wait()
            secrets.learn([f"the-token-of-{number}"])

        threads = [threading.Thread(target=learn, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert repr(secrets) == "<Secrets 6>"
