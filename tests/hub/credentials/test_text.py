"""Credentials are read as lines or as JSON, whatever the case of their names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.errors import Malformed
from hub.credentials.text import named, parse


@pytest.mark.parametrize(
    "content",
    [
        b"API_KEY=abc\nPIN = '12 34'\n",
        b'# mine\nexport ANGEL_API_KEY=abc # x\nangel_pin="12 34"\nTOTP_SECRET=',
        b"API_KEY=old\nANGEL_API_KEY=abc\nANGEL_PIN='12 34'",
        b"ANGEL_API_KEY=abc\nAPI_KEY=old\nPIN='12 34'",
        b'\n {"api_key": "abc", "Pin": "12 34", "totp_secret": null}',
        b'\xef\xbb\xbf{"ANGEL_API_KEY": "abc", "pin": " 12 34 "}',
    ],
)
def test_all_forms_say_the_same(content: bytes) -> None:
    assert parse(content, "angel") == {"api_key": "abc", "pin": "12 34"}


def test_values_stay_as_they_are() -> None:
    said = parse(b"A=$HOME-${X}\nB='a#b'\nC=a=b==", "angel")
    assert said == {"a": "$HOME-${X}", "b": "a#b", "c": "a=b=="}
    assert parse(b'{"pin": 1234}', "angel") == {"pin": "1234"}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"A=1\n\n\nsesame\nB=2", "line 4 is not NAME=value"),
        (b"A=1\nB='sesame", "line 2 is not"),
        (b'{"a": "sesame"', "no JSON object: see line 1"),
        (b'{"pin": ["sesame"]}', "pin is neither"),
        (b'{"pin": true}', "pin is neither"),
        (b'{"pin": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "no JSON object: see line 1"),
        (b"A=\xff", "not UTF-8"),
    ],
)
def test_what_is_wrong_is_told_without_values(content: bytes, sentence: str) -> None:
    with pytest.raises(Malformed, match=sentence) as raised:
        parse(content, "angel")
    assert "sesame" not in str(raised.value)


@given(st.binary())
def test_nothing_else_is_raised(content: bytes) -> None:
    try:
        said = parse(content, "angel")
    except Malformed:
        return
    assert all(said.values())


def test_the_environment_has_names_with_the_broker_alone() -> None:
    environ = {"ANGEL_PIN": "1", "PIN": "2", "API_KEY": "3", "ANGEL_": "", "DHAN_PIN": "4"}
    assert named(environ.items(), "angel", alone=True) == {"pin": "1"}
