"""What a source of credentials says at one moment."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import NamedTuple


class Said(NamedTuple):
    """The stamp that tells it from what is said later, and the fields by names in lower case."""

    stamp: Hashable
    fields: Mapping[str, str]

    def __repr__(self) -> str:
        return f"<Said {', '.join(self.fields)}>"
