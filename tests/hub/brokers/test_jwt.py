"""When a token says that it expires."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.brokers.jwt import expiry


def token(claims: object) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"eyJhbGciOiJIUzUxMiJ9.{body}.c2lnbmF0dXJl"


def test_a_known_token() -> None:
    # {"sub":"A1","exp":1764199800}, encoded by hand
    known = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJBMSIsImV4cCI6MTc2NDE5OTgwMH0.sig"
    assert expiry(known) == 1764199800.0


@pytest.mark.parametrize("before", ["", "Bearer ", "XC4EOD67IM-100:", " "])
def test_what_stands_before_a_token_does_not_matter(before: str) -> None:
    assert expiry(before + token({"exp": 1_764_199_800})) == 1_764_199_800


@pytest.mark.parametrize(
    "claims", [{}, [], "x", None, {"exp": "soon"}, {"exp": True}, {"exp": -1}, {"exp": 1e300}]
)
def test_without_a_time_nothing_is_known(claims: object) -> None:
    assert expiry(token(claims)) is None


@pytest.mark.parametrize(
    "text", ["", "x", "a.b.c", "a.b", "ä.ö.ü", "..", "a." + "W1tb" * 9999 + ".c"]
)
def test_what_is_no_token_says_nothing(text: str) -> None:
    assert expiry(text) is None


@given(st.text())
def test_no_text_raises(text: str) -> None:
    expiry(f"a.{text}.c")
