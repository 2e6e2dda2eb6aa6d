"""Credentials as text: lines of NAME=value, as in an environment file, or one JSON object. Pure.

Names are read in any case, with or without the broker's name before them: ANGEL_API_KEY and
api_key are the same, and where both stand the longer one counts.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from typing import Any

from dotenv.parser import parse_stream

from hub.core.errors import Malformed


def parse(content: bytes, broker: str) -> dict[str, str]:
    """What it says, by names in lower case, without what is empty. Raises Malformed, which tells
    lines by their numbers and holds no value."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Malformed("it is not UTF-8 text") from None
    return named(_json(text) if text.lstrip().startswith("{") else _lines(text), broker)


def named(said: Iterable[tuple[str, str]], broker: str, *, alone: bool = False) -> dict[str, str]:
    """These names and values as `parse` gives them; `alone` takes only those that have the
    broker's name before them."""
    prefix, short, long = f"{broker}_", dict[str, str](), dict[str, str]()
    for name, value in said:
        lower = name.strip().lower()
        found = long if lower.startswith(prefix) else short
        found[lower.removeprefix(prefix)] = value.strip()
    both = long if alone else short | long
    return {name: value for name, value in both.items() if value}


def _json(text: str) -> list[tuple[str, str]]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise Malformed(f"it is no JSON object: see line {line}") from None
    return [(name, _value(name, value)) for name, value in said.items()]


def _value(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | Mapping | list):
        raise Malformed(f"{name} is neither a text nor a number")
    return str(value)


def _lines(text: str) -> list[tuple[str, str]]:
    found = []
    for one in parse_stream(io.StringIO(text)):
        if one.error or (one.key is not None and one.value is None):
            raise Malformed(f"line {_line(one)} is not NAME=value")
        if one.key is not None and one.value is not None:
            found.append((one.key, one.value))
    return found


def _line(one: Any) -> int:
    """The number of the line where something stands, behind the empty ones that it begins with."""
    text: str = one.original.string
    return int(one.original.line) + text[: len(text) - len(text.lstrip())].count("\n")
