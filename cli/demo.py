"""The throw-away API key of `hub start --demo`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hub.auth.keystore import KeyStore
from hub.core.names import DEMO_KEY

STORE = "demo-keys.json"
"""The file of keys of a demo, in its runtime directory."""

_NAME = "demo"


@contextmanager
def demo_key(runtime_dir: Path, broker: str) -> Iterator[str]:
    """Make a key whose ticks come from this feed, and write it down (0600) for `hub tail`.

    Only for whoever holds the hub's lock. Key, file and store are gone at the end; what an
    earlier demo left when it was killed is gone at the beginning.
    """
    _remove(runtime_dir)
    try:
        key = KeyStore(runtime_dir / STORE).add(_NAME, _NAME, broker, now=time.time())
        fd = os.open(runtime_dir / DEMO_KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w", encoding="ascii") as file:
            file.write(f"{key}\n")
        yield key
    finally:
        _remove(runtime_dir)


def _remove(runtime_dir: Path) -> None:
    for name in (DEMO_KEY, STORE, f"{STORE}.lock"):
        (runtime_dir / name).unlink(missing_ok=True)
