"""A made-up checkout of OpenAlgo: as much of one as the hub looks at."""

from __future__ import annotations

from pathlib import Path

PEPPER = "a-made-up-pepper-of-more-than-32-characters"
SALT = "5a17" * 16


def make_checkout(root: Path, text: str = "") -> Path:
    """A checkout at `root` whose .env says this, beside its secrets."""
    (root / "websocket_proxy").mkdir(parents=True)
    (root / "utils").mkdir()
    (root / "utils/version.py").write_text('# of OpenAlgo\nVERSION = "2.0.2.1"\n')
    secrets = f"API_KEY_PEPPER = '{PEPPER}'\nFERNET_SALT = '{SALT}'\n"
    (root / ".env").write_text(secrets + text, encoding="utf-8")
    return root


def make_python(folder: Path) -> Path:
    """Something that can be run, where a virtual environment has its Python: it lacks nothing."""
    path = folder / "bin/python"
    path.parent.mkdir(parents=True)
    path.write_text('#!/bin/sh\necho \'{"version": "3.12.1", "missing": []}\'\n')
    path.chmod(0o755)
    return path
