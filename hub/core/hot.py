"""What every tick passes through: a few small objects and the loops over them.

1. `_hot.pyx`, compiled, when it is there; `_pure.py`, the same in Python, when it is not.
2. Nothing is decided here but what stands in the routes: who resolves them, decides.
3. What was compiled from another `_hot.pyx` than the one beside it is not taken: after an update
   the two would not fit together.

`SHARDHUB_PURE=1` in the environment takes the Python, to compare the two.
"""

from __future__ import annotations

import hashlib
import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from hub.core._pure import (
    READ_BYTES,
    Audience,
    Decoder,
    Group,
    Line,
    Sink,
    Way,
    deal,
    fan,
    flush,
    header,
    message,
    pack,
    route,
    take,
    unpack,
)


def _compiled() -> bool:
    """Whether the compiled twin is there, and of the source beside it, if there is one."""
    if TYPE_CHECKING or os.environ.get("SHARDHUB_PURE"):
        return False
    try:
        found = import_module("hub.core._hot")
    except ImportError:
        return False
    source = Path(__file__).with_name("_hot.pyx")
    return not source.exists() or getattr(found, "SOURCE", "") == _digest(source)


def _digest(source: Path) -> str:
    return hashlib.sha256(source.read_bytes()).hexdigest()


COMPILED = _compiled()
if COMPILED and not TYPE_CHECKING:
    from hub.core._hot import (
        READ_BYTES,
        Audience,
        Decoder,
        Group,
        Line,
        Sink,
        Way,
        deal,
        fan,
        flush,
        header,
        message,
        pack,
        route,
        take,
        unpack,
    )

__all__ = [
    "COMPILED",
    "READ_BYTES",
    "Audience",
    "Decoder",
    "Group",
    "Line",
    "Sink",
    "Way",
    "deal",
    "fan",
    "flush",
    "header",
    "message",
    "pack",
    "route",
    "take",
    "unpack",
]
