"""A file that only its owner can read, changed as a whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hub.core.errors import KeyStoreError
from hub.runtime.ownfile import OwnFile


def put(file: OwnFile, content: bytes) -> None:
    """Replace the content as a change does."""
    with file.alone():
        file.replace(content)


def content(file: OwnFile) -> bytes:
    """What a reader gets, of a file that is there."""
    read = file.read()
    assert read is not None
    return read[1]


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Set this process's umask for a while."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.fixture
def file(tmp_path: Path) -> OwnFile:
    """A file that holds `old`."""
    made = OwnFile(tmp_path / "keys.json")
    put(made, b"old")
    return made


def test_no_file_is_none_and_reading_makes_nothing(tmp_path: Path) -> None:
    missing = OwnFile(tmp_path / "room" / "keys.json")
    assert missing.read() is None
    assert missing.stamp() is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mask", [0, 0o077, 0o277])
def test_what_is_made_is_its_owners_alone_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    file = OwnFile(tmp_path / "room" / "keys.json")
    (tmp_path / "room").mkdir(mode=0o700)
    with umask(mask):
        put(file, b"x")
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(f"{file.path}.lock").stat().st_mode) & 0o077 == 0


def test_a_missing_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    with umask(0):
        put(OwnFile(tmp_path / "room" / "keys.json"), b"x")
    assert stat.S_IMODE((tmp_path / "room").stat().st_mode) == 0o700


def test_directories_above_a_missing_one_are_made_too(tmp_path: Path) -> None:
    """A new user has no ~/.config yet."""
    file = OwnFile(tmp_path / "home" / ".config" / "keys.json")
    put(file, b"x")
    assert content(file) == b"x"


def test_the_mode_of_a_directory_that_is_there_is_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    put(OwnFile(tmp_path / "keys.json"), b"x")
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o644])
def test_rule_1_a_file_open_to_others_is_not_read(file: OwnFile, mode: int) -> None:
    file.path.chmod(mode)
    with pytest.raises(KeyStoreError) as caught:
        file.read()
    assert f"`chmod 600 {file.path}`" in str(caught.value)


def test_rule_1_the_way_out_it_names_works(file: OwnFile) -> None:
    file.path.chmod(0o644)
    file.path.chmod(0o600)
    assert content(file) == b"old"


@pytest.mark.parametrize(
    ("euid", "advice"), [(4242, "sudo chown #4242"), (4444, "sudo chown #4444"), (0, "sudo -u")]
)
def test_rule_1_a_file_of_someone_else_is_not_read(
    file: OwnFile, monkeypatch: pytest.MonkeyPatch, euid: int, advice: str
) -> None:
    status = os.stat_result([0o100600, 1, 1, 1, 4343, 4343, 3, 0, 0, 0])
    monkeypatch.setattr(os, "geteuid", lambda: euid)
    monkeypatch.setattr(os, "fstat", lambda _: status)
    with pytest.raises(KeyStoreError, match="belongs to #4343") as caught:
        file.read()
    assert advice in str(caught.value)


@pytest.mark.parametrize(
    ("owner", "told"),
    [
        (4141, "belongs to #4141, not to #4242; type `sudo chown #4242"),
        (4343, "belongs to #4343, not to #4242; type `sudo chown #4242"),
        (4242, "cannot be read: Permission denied"),
    ],
)
def test_a_file_that_may_not_be_opened_tells_whose_it_is(
    file: OwnFile, monkeypatch: pytest.MonkeyPatch, owner: int, told: str
) -> None:
    def refuse(path: Path, *_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    status = os.stat_result([0o100600, 1, 1, 1, owner, owner, 3, 0, 0, 0])
    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    monkeypatch.setattr(Path, "stat", lambda *_: status)
    with pytest.raises(KeyStoreError) as caught:
        file.read()
    assert told in str(caught.value)


def test_a_pipe_or_a_directory_in_its_place_is_refused_and_hangs_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(KeyStoreError, match="not a file"):
        OwnFile(tmp_path / "pipe").read()
    with pytest.raises(KeyStoreError, match="directory"):
        OwnFile(tmp_path).read()


def test_a_path_below_a_file_is_an_error_with_a_sentence(file: OwnFile) -> None:
    below = OwnFile(file.path / "keys.json")
    with pytest.raises(KeyStoreError, match="cannot be read: Not a directory"):
        below.stamp()
    with pytest.raises(KeyStoreError, match="cannot be changed"), below.alone():
        pytest.fail("the lock was had")


@pytest.mark.parametrize("broken", ["fsync", "fchmod"])
def test_rule_2_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    file: OwnFile, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = sorted(file.path.parent.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(os, broken, fail)
        with pytest.raises(KeyStoreError, match="No space left"):
            put(file, b"new")
    assert content(file) == b"old"
    assert sorted(file.path.parent.iterdir()) == before


def test_rule_2_a_write_that_cannot_even_begin_says_why(
    file: OwnFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason must not be hidden by tidying up what was never made."""
    opened = os.open

    def full(path: str | Path, flags: int, mode: int = 0o777) -> int:
        if str(path).endswith(".new"):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return opened(path, flags, mode)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(KeyStoreError, match="cannot be written: No space left"):
        put(file, b"new")
    assert content(file) == b"old"


def test_rule_2_what_one_that_died_left_behind_is_in_nobodys_way(file: OwnFile) -> None:
    file.path.with_name(".keys.json.new").write_bytes(b"half")
    put(file, b"new")
    assert content(file) == b"new"
    assert not file.path.with_name(".keys.json.new").exists()


def test_rule_2_the_lock_lets_one_in_at_a_time(file: OwnFile) -> None:
    file.path.write_bytes(b"0")
    start = threading.Barrier(8)

    def count() -> None:
        start.wait()
        for _ in range(5):
            with OwnFile(file.path).alone():
                file.replace(str(int(content(file)) + 1).encode())

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert content(file) == b"40"


def test_the_lock_is_free_again_after_an_error_inside(file: OwnFile) -> None:
    with pytest.raises(ZeroDivisionError), file.alone():
        raise ZeroDivisionError
    put(file, b"new")
    assert content(file) == b"new"


def test_rule_3_a_reader_keeps_the_file_it_opened(file: OwnFile) -> None:
    with file.path.open("rb") as reader:
        put(file, b"new")
        assert reader.read() == b"old"


def test_a_link_stays_a_link(file: OwnFile) -> None:
    link = file.path.with_name("link.json")
    link.symlink_to(file.path)
    put(OwnFile(link), b"new")
    assert link.is_symlink()
    assert content(file) == b"new"


def test_the_stamp_belongs_to_what_was_read_and_sees_a_change(file: OwnFile) -> None:
    read = file.read()
    assert read is not None
    assert read[0] == file.stamp()
    put(file, b"longer")
    assert read[0] != file.stamp()


def test_the_stamp_sees_a_chmod(file: OwnFile) -> None:
    before = file.stamp()
    assert before is not None
    while not (now := file.stamp()) or now.changed_ns == before.changed_ns:
        file.path.chmod(0o644)  # again until the clock of the file system has moved on
    assert now[:3] == before[:3]
