"""The Unix socket for clients: several shards, and one name."""

from __future__ import annotations

import contextlib
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.core.errors import StartError
from shards.door import Door
from tests.shards.house import room


@pytest.fixture
def folder() -> Iterator[Path]:
    with room() as path:
        yield path


@contextlib.contextmanager
def doors(folder: Path, count: int) -> Iterator[list[Door]]:
    made = [Door(folder / "hub.sock", 0o660, shard, 10) for shard in range(count)]
    yield made
    for door in made:
        door.listener.close()


def served_by(folder: Path, made: list[Door]) -> int | None:
    """The shard at which who connects to the name is."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(folder / "hub.sock"))
        except OSError:
            return None
        for shard, door in enumerate(made):
            with contextlib.suppress(BlockingIOError, OSError):
                door.listener.accept()[0].close()
                return shard
    return None


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_rule_1_the_name_leads_to_a_shard_that_takes_clients(folder: Path) -> None:
    with doors(folder, 3) as made:
        for door in made:
            door.tend([False, True, True])
        assert served_by(folder, made) == 1
        for door in made:
            door.tend([True, True, True])
        assert served_by(folder, made) == 1, "it stays where it is"
        assert names(folder) == {"hub.sock", "hub.sock.0", "hub.sock.1", "hub.sock.2"}


def test_rule_2_when_it_takes_nobody_another_has_the_name(folder: Path) -> None:
    with doors(folder, 3) as made:
        made[0].tend([True, True, True])
        made[0].listener.close()  # as by a crash
        assert served_by(folder, made) is None
        for door in reversed(made[1:]):
            door.tend([False, True, True])
        assert served_by(folder, made) == 1
        made[1].tend([False, False, False])
        assert served_by(folder, made) == 1, "better one that is full than none"


def test_rule_2_one_that_leaves_hands_the_name_on_first(folder: Path) -> None:
    with doors(folder, 2) as made:
        made[0].tend([True, True])
        made[0].leave([False, True])
        assert served_by(folder, made) == 1
        assert names(folder) == {"hub.sock", "hub.sock.1"}
        made[1].leave([False, False])
        assert names(folder) == set(), "the last one leaves nothing"


def test_rule_2_one_that_leaves_does_not_take_the_name_from_another(folder: Path) -> None:
    with doors(folder, 2) as made:
        made[1].tend([False, True])
        made[0].leave([False, True])
        assert served_by(folder, made) == 1


@pytest.mark.parametrize("mode", [0o600, 0o660])
def test_only_who_may_can_connect(folder: Path, mode: int) -> None:
    door = Door(folder / "hub.sock", mode, 0, 10)
    assert stat.S_IMODE((folder / "hub.sock.0").stat().st_mode) == mode
    door.listener.close()


def test_what_a_crash_has_left_is_taken_over(folder: Path) -> None:
    for _ in range(2):
        with doors(folder, 2) as made:
            made[0].tend([True, True])
            assert served_by(folder, made) == 0
    (folder / "hub.sock").unlink()
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(folder / "hub.sock"))  # of another program, which has ended
    with doors(folder, 2) as made:
        made[0].tend([True, True])
        assert served_by(folder, made) == 0


def test_a_link_that_leads_elsewhere_is_replaced(folder: Path) -> None:
    (folder / "hub.sock").symlink_to("another.0")
    with doors(folder, 1) as made:
        made[0].tend([True])
        assert served_by(folder, made) == 0


@pytest.mark.parametrize("name", ["hub.sock", "hub.sock.0"])
def test_rule_4_a_file_that_is_no_socket_stays(folder: Path, name: str) -> None:
    (folder / name).write_text("mine")
    with pytest.raises(StartError, match=f"{name} is there, and is no socket"):
        Door(folder / "hub.sock", 0o660, 0, 10)
    assert (folder / name).read_text() == "mine"


@pytest.mark.parametrize(
    ("path", "why"), [("nowhere/hub.sock", "make its folder first"), ("x" * 120, "too long")]
)
def test_a_path_that_cannot_be_had_is_told_with_its_setting(
    folder: Path, path: str, why: str
) -> None:
    with pytest.raises(StartError, match=f"^websocket.unix: .*{why}"):
        Door(folder / path, 0o660, 0, 10)


def test_when_all_leave_at_once_no_name_is_left(folder: Path) -> None:
    """Each may still believe that the other takes clients."""
    with doors(folder, 2) as (first, second):
        first.tend([True, True])
        second.leave([True, True])
        first.leave([False, True])
        assert names(folder) == set(), "the one it would lead to has gone already"


def test_who_is_given_the_name_while_it_leaves_takes_it_away(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with doors(folder, 2) as (first, second):
        first.tend([True, True])
        looks = [lambda: None, lambda: first.leave([False, True])]
        look = Door._leads_to

        def leads_to(door: Door) -> int | None:
            found = look(door)
            if door is second and looks:
                looks.pop()()  # right after its first look
            return found

        monkeypatch.setattr(Door, "_leads_to", leads_to)
        second.leave([True, False])
        assert names(folder) == set()
