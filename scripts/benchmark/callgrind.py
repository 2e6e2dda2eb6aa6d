"""What callgrind wrote, read. Pure.

Source of the format: valgrind's manual, "Callgrind Format Specification". A function's name is
given a number where it first stands; behind `calls=` follows a line with what the calls cost,
callees included.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePath
from typing import NamedTuple

_COST = (*"0123456789", "+", "-", "*")
_NAME = re.compile(r"\A(c?fn|c?ob)=\((\d+)\)(?: (.*))?\Z")


class Profile(NamedTuple):
    """Instructions in all; by function, of itself and with all that it calls; and how often each
    was called. `inclusive` of what calls itself by a detour counts some of it twice, up to all."""

    total: int
    own: Counter[str]
    inclusive: Counter[str]
    calls: Counter[str]


def read(lines: Iterable[str]) -> Profile:
    """Read one dump."""
    own: Counter[str] = Counter()
    inclusive: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    names: dict[tuple[str, str], str] = {}
    here = {"fn": "", "ob": "", "cfn": "", "cob": ""}
    callee = ""
    for raw in lines:
        line = raw.rstrip()
        if found := _NAME.match(line):
            kind, number, name = found.groups()
            table = kind[-2:]  # callers and callees share their numbers
            if name:
                names[table, number] = name
            here[kind] = names[table, number]
        elif line.startswith("calls="):
            callee = label(here["cfn"], here["cob"] or here["ob"])
            here["cob"] = ""
            calls[callee] += int(line.removeprefix("calls=").split()[0])
        elif line.startswith(_COST):
            cost = int(line.split()[1])
            caller = label(here["fn"], here["ob"])
            if not callee:
                own[caller] += cost
            if caller != callee:
                inclusive[caller] += cost
            callee = ""
    total = own.total()
    return Profile(total, own, Counter({k: min(v, total) for k, v in inclusive.items()}), calls)


def label(function: str, file: str) -> str:
    """`PyDict_New [libpython3.11]`: a function and the program file it is in. Of recursion's
    levels, and of functions without a name, none has a label of its own."""
    where = PurePath(file).name.split(".cpython")[0].split(".so")[0]
    name = "(no name)" if function.startswith("0x") else function.partition("'")[0]
    return f"{name} [{where}]"
