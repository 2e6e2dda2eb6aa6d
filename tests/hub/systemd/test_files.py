"""Files put in place of others, and taken away again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from hub.core.errors import StartError
from hub.systemd.files import Change, apply, templates
from hub.systemd.files import changes as changes_by
from hub.systemd.units import TEMPLATES

MARK = "# Written by `hub so and so`; `hub this and that` takes it away."

A, B = Path("etc/systemd/system/a.target"), Path("etc/shardhub/b.toml")
TEXTS: dict[Path, str | None] = {A: f"{MARK}\none\n", B: f"{MARK}\ntwo\n"}
NONE: dict[Path, str | None] = {A: None, B: None}


def changes(wanted: Mapping[Path, str | None], system: Path, or_has: str = "") -> list[Change]:
    return changes_by(wanted, system, MARK, or_has)


def files(root: Path) -> dict[str, str]:
    return {str(p.relative_to(root)): p.read_text() for p in root.rglob("*") if p.is_file()}


def test_what_is_written_is_taken_away_again_with_its_folders(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    other = tmp_path / "etc/systemd/system/other.service"
    other.parent.mkdir(parents=True)
    other.write_text("[Unit]\n")
    before = files(tmp_path)
    what = changes(TEXTS, tmp_path)
    assert [change.path for change in what] == [tmp_path / A, tmp_path / B]
    apply(what)
    assert files(tmp_path) == before | {str(A): TEXTS[A], str(B): TEXTS[B]}
    assert (tmp_path / A).stat().st_mode & 0o777 == 0o644
    apply(changes(NONE, tmp_path))
    assert files(tmp_path) == before
    assert not (tmp_path / B).parent.exists()


def test_the_hub_s_user_may_enter_folders_that_are_made(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        apply(changes(TEXTS, tmp_path))
    finally:
        os.umask(before)
    for folder in (tmp_path / B).parent, (tmp_path / A).parent, tmp_path / "etc":
        assert folder.stat().st_mode & 0o777 == 0o755


def test_what_is_so_already_is_no_change(tmp_path: Path) -> None:
    apply(changes(TEXTS, tmp_path))
    assert changes(TEXTS, tmp_path) == []
    (change,) = changes({**TEXTS, B: f"{MARK}\nthree\n"}, tmp_path)
    assert (change.before, change.after) == (TEXTS[B], f"{MARK}\nthree\n")
    apply([change])
    assert (tmp_path / B).read_text() == f"{MARK}\nthree\n"
    assert changes(NONE, tmp_path / "elsewhere") == []


def test_a_file_is_replaced_at_a_stroke_and_not_written_over(tmp_path: Path) -> None:
    apply(changes(TEXTS, tmp_path))
    (tmp_path / "same").hardlink_to(tmp_path / B)
    apply(changes({B: f"{MARK}\nthree\n"}, tmp_path))
    assert (tmp_path / "same").read_text() == TEXTS[B]


def test_the_diff_shows_what_becomes_of_a_file(tmp_path: Path) -> None:
    new, _ = changes(TEXTS, tmp_path)
    assert list(new.diff())[:2] == ["--- /dev/null", f"+++ {tmp_path / A}"]
    assert "+one" in list(new.diff())
    apply(changes(TEXTS, tmp_path))
    changed, _ = changes({A: f"{MARK}\n1\n", B: None}, tmp_path)
    lines = list(changed.diff())
    assert lines[:2] == [f"--- {tmp_path / A}", f"+++ {tmp_path / A}"]
    assert {"-one", "+1"} <= set(lines)
    _, gone = changes(NONE, tmp_path)
    assert list(gone.diff())[1] == "+++ /dev/null"


@pytest.mark.parametrize("wanted", [TEXTS, NONE])
def test_a_file_that_somebody_else_made_stays(
    tmp_path: Path, wanted: dict[Path, str | None]
) -> None:
    theirs = tmp_path / B
    theirs.parent.mkdir(parents=True)
    theirs.write_text("[hub]\n")
    with pytest.raises(StartError, match=r"b\.toml is there, and not by `hub so and so`; move"):
        changes(wanted, tmp_path)
    assert files(tmp_path) == {str(B): "[hub]\n"}


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("a file in the way")
    with pytest.raises(StartError, match="cannot be read"):
        changes(TEXTS, tmp_path)
    (tmp_path / "etc").unlink()
    what = changes(TEXTS, tmp_path)
    (tmp_path / "etc").write_text("a file in the way")
    with pytest.raises(StartError, match=r"a\.target cannot be written.*with sudo"):
        apply(what)


def test_a_file_is_ours_too_when_it_has_such_a_line(tmp_path: Path) -> None:
    theirs = tmp_path / B
    theirs.parent.mkdir(parents=True)
    theirs.write_text("[Unit]\nDescription=Shardhub: x\n")
    assert changes({B: None}, tmp_path, "Description=Shardhub")
    with pytest.raises(StartError):
        changes({B: None}, tmp_path, "Description=Other")


def test_a_file_stays_whose_it_was(tmp_path: Path) -> None:
    apply(changes(TEXTS, tmp_path))
    (tmp_path / B).chmod(0o640)
    if os.geteuid() == 0:
        os.chown(tmp_path / B, 4711, 4712)
    before = (tmp_path / B).stat()
    apply(changes({B: f"{MARK}\nthree\n"}, tmp_path))
    after = (tmp_path / B).stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode, before.st_uid, before.st_gid,
    )  # fmt: skip


def test_the_units_to_begin_with_are_those_of_the_repository(tmp_path: Path) -> None:
    found = templates(Path(__file__).parents[3])
    assert list(found) == list(TEMPLATES)
    assert all("\nDescription=Shardhub: " in text for text in found.values())
    with pytest.raises(StartError, match="clone"):
        templates(tmp_path)


def test_a_link_that_somebody_has_laid_leads_nowhere(tmp_path: Path) -> None:
    """The folder may be another user's, and this is root."""
    (tmp_path / "other").write_text("mine", encoding="utf-8")
    for path in (one.path for one in changes(TEXTS, tmp_path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f".{path.name}.new").symlink_to(tmp_path / "other")
    apply(changes(TEXTS, tmp_path))
    assert (tmp_path / "other").read_text(encoding="utf-8") == "mine"
    assert changes(TEXTS, tmp_path) == []
