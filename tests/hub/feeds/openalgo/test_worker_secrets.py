"""What is known to be secret is hidden, wherever it stands."""

from __future__ import annotations

import io
import logging

from hub.feeds.openalgo.worker_secrets import Discreet, Secrets


def make(*values: str) -> Secrets:
    secrets = Secrets()
    secrets.learn(values)
    return secrets


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
    assert said.count("***") >= 4
    assert not discreet.isatty()
