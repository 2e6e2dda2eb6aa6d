"""One target, fuzzed in this process: `python -m scripts.fuzzing.child TARGET CORPUS -OPTION=...`.

The options are libFuzzer's. It does not return: it ends when its time is over, or with what it has
found. Only what is imported in here is followed, so this file imports nothing of the hub before.
"""

from __future__ import annotations

import logging
import sys

import atheris

FOLLOWED = ["hub", "shards", "websockets"]


def main() -> None:
    """Fuzz until the time is over."""
    name, *arguments = sys.argv[1:]
    logging.disable()  # what is refused is told, and here all is
    with atheris.instrument_imports(include=FOLLOWED):
        from scripts.fuzzing.targets import TARGETS  # noqa: PLC0415  # to follow it
    atheris.Setup([sys.argv[0], *arguments], TARGETS[name].run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
