"""The tree of errors as its docstring draws it."""

from __future__ import annotations

import pytest

from hub.core import errors
from hub.core.errors import ConfigError, HubError, NoAnswer, RequestError


def tree() -> list[type[HubError]]:
    return [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, HubError)
    ]


@pytest.mark.parametrize("kind", tree(), ids=lambda kind: kind.__name__)
def test_every_error_stands_in_the_drawing_with_its_exit_code(kind: type[HubError]) -> None:
    line = next(
        line for line in (errors.__doc__ or "").splitlines() if f" {kind.__name__} " in f"{line} "
    )
    if kind is HubError:
        assert "exit code 1" in line
    else:
        written = line.split(kind.__name__)[1].split()[0]
        assert written == str(kind.exit_code) or (kind.exit_code == 1 and not written.isdigit())


def test_exit_codes_are_those_of_sysexits() -> None:
    assert {kind.__name__: kind.exit_code for kind in tree() if kind.exit_code != 1} == {
        "ConfigError": 78,
        "StartError": 73,
        "NotRunning": 69,
        "NoAnswer": 69,
        "NobodyListens": 69,
        "KeyStoreError": 74,
    }


def test_a_config_error_carries_every_problem() -> None:
    error = ConfigError(["one", "two"])
    assert error.problems == ("one", "two")
    assert str(error) == "one\ntwo"


def test_no_answer_says_who_was_silent_and_for_how_long() -> None:
    error = NoAnswer("shard-2", 1.5)
    assert (error.who, error.waited_s) == ("shard-2", 1.5)
    assert str(error) == "shard-2 did not answer within 1.5 s"


def test_a_request_error_carries_the_code_of_its_reply() -> None:
    error = RequestError("INVALID_MODE", "mode 9 is not one of 1, 2, 3")
    assert error.code == "INVALID_MODE"
    assert str(error) == "mode 9 is not one of 1, 2, 3"
