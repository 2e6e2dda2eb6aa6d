"""The settings file of a hub that is installed: made where there is none, else changed where it has
to be, with all else as it stands. Pure.
"""

from __future__ import annotations

import copy
import json
import re
import tomllib
from collections.abc import Mapping

_HEAD = (
    "# The settings of this hub, for you to change; `hub config doc` explains all there are.\n"
    "# New ones count after a restart of its units.\n"
)

Values = Mapping[str, Mapping[str, object]]
"""By section and name."""


def changed(before: str | None, values: Values) -> tuple[str, list[str]]:
    """A file's text with these values, and those that somebody has to set by hand there, as
    `section.name = value`, because they are written in a way that is not understood here. What is
    so already is not touched. `before` is TOML, None if there is no file.
    """
    text = _HEAD if before is None else before
    by_hand = []
    for section, given in values.items():
        for name, value in given.items():
            new = _with(text, section, name, value)
            if new is None:
                by_hand.append(f"{section}.{name} = {_toml(value)}")
            else:
                text = new
    return text, by_hand


def _with(text: str, section: str, name: str, value: object) -> str | None:
    """The text with one value; None when it would say something else besides."""
    wanted = copy.deepcopy(tomllib.loads(text))
    if wanted.get(section, {}).get(name) == value:
        return text
    wanted.setdefault(section, {})[name] = value
    new = _edited(text, section, f"{name} = {_toml(value)}")
    try:
        found = tomllib.loads(new)
    except tomllib.TOMLDecodeError:
        return None
    return new if found == wanted else None


def _edited(text: str, section: str, line: str) -> str:
    """The text with this line in its section: in place of the one of that name, else last in it;
    with a section of its own, if there is none yet."""
    lines = text.splitlines()
    head = re.compile(rf"\[\s*{re.escape(section)}\s*\]\s*(#.*)?")
    start = next((at for at, one in enumerate(lines) if head.fullmatch(one.strip())), None)
    if start is None:
        return "\n".join([*lines, "", f"[{section}]", line]) + "\n"
    name = re.compile(rf"\s*{re.escape(line.partition(' ')[0])}\s*=")
    last = start
    for at in range(start + 1, len(lines)):
        if lines[at].lstrip().startswith("["):
            break
        if name.match(lines[at]):
            return "\n".join([*lines[:at], line, *lines[at + 1 :]]) + "\n"
        last = at if lines[at].strip() else last
    return "\n".join([*lines[: last + 1], line, *lines[last + 1 :]]) + "\n"


def _toml(value: object) -> str:
    """TOML, whose numbers, strings and lists JSON's are."""
    return json.dumps(value)
