"""Files put in place of others, and taken away again: what units.py says, on the disk.

1. A file that is there without the mark of who writes is somebody else's: nothing is written then.
2. Each is replaced at a stroke, and stays whose it was.
"""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from hub.core.errors import StartError
from hub.systemd.units import TEMPLATES

_MODE = 0o644
_FOLDER_MODE = 0o755


class Change(NamedTuple):
    """What becomes of one file; None is that there is none."""

    path: Path
    before: str | None
    after: str | None

    def diff(self) -> Iterator[str]:
        """The change as lines of a unified diff."""
        old, new = ((text or "").splitlines() for text in (self.before, self.after))
        before = os.devnull if self.before is None else str(self.path)
        after = os.devnull if self.after is None else str(self.path)
        return difflib.unified_diff(old, new, before, after, lineterm="")


def changes(
    wanted: Mapping[Path, str | None], system: Path, mark: str, or_has: str = ""
) -> list[Change]:
    """What is to be done so that there are these files, and not those that are None. `system` is
    the root of the file system, below which the paths are.

    Raises StartError for a file that neither begins with the mark nor has a line that begins with
    `or_has`.
    """
    found = [Change(system / path, read(system / path), text) for path, text in wanted.items()]
    for change in found:
        before = change.before
        if before is None or before.startswith(mark) or (or_has and f"\n{or_has}" in before):
            continue
        by = mark.removeprefix("# Written ").partition(";")[0]
        raise StartError(f"{change.path} is there, and not {by}; move it away first")
    return [change for change in found if change.before != change.after]


def templates(repository: Path) -> dict[str, str]:
    """The units of systemd/ in the hub's repository, by name. Raises StartError."""
    folder = repository / "systemd"
    try:
        return {name: (folder / name).read_text(encoding="utf-8") for name in TEMPLATES}
    except OSError as error:
        raise StartError(
            f"{folder}: {error.strerror}; run this from a clone of the hub's repository"
        ) from None


def apply(what: Iterable[Change]) -> None:
    """Do it, each file at a stroke; a folder that is empty then goes too. Raises StartError."""
    for change in what:
        try:
            if change.after is None:
                change.path.unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # not empty
                    change.path.parent.rmdir()
            else:
                _make(change.path.parent)
                new = change.path.with_name(f".{change.path.name}.new")
                new.unlink(missing_ok=True)  # of one that died, or a link that leads elsewhere
                fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(fd, "w", encoding="utf-8") as file:
                    file.write(change.after)
                _give(new, change.path)
                new.replace(change.path)
        except OSError as error:
            raise StartError(
                f"{change.path} cannot be written: {error.strerror}; type the same with sudo"
            ) from None


def _make(folder: Path) -> None:
    """A folder that all may enter, whatever root's umask says: the hub runs as another user."""
    for missing in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
        missing.mkdir()
        missing.chmod(_FOLDER_MODE)


def _give(new: Path, path: Path) -> None:
    """To whom the file it replaces belongs, with the same mode; else for all to read."""
    try:
        old = path.stat()
    except FileNotFoundError:
        new.chmod(_MODE)
    else:
        new.chmod(old.st_mode & 0o7777)
        os.chown(new, old.st_uid, old.st_gid)


def read(path: Path) -> str | None:
    """A file's text, None if there is none. Raises StartError."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"{path} cannot be read: {error}") from None
