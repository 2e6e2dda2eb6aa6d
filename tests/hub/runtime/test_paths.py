"""Where a hub keeps its sockets: found, made, and refused with advice."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.core.errors import StartError
from hub.core.settings import Hub, OpenAlgo, Settings
from hub.runtime.paths import instances, make_runtime_dir, runtime_dir, shut


def at(path: Path | str) -> Settings:
    return Settings(hub=Hub(runtime_dir=str(path)))


def problem(path: Path) -> str:
    with pytest.raises(StartError) as caught:
        make_runtime_dir(at(path))
    return str(caught.value)


def test_the_setting_comes_first_then_systemd_then_the_session_then_tmp(tmp_path: Path) -> None:
    environ = {"RUNTIME_DIRECTORY": "/run/a:/run/b", "XDG_RUNTIME_DIR": str(tmp_path)}
    assert runtime_dir(at("/run/mine"), environ) == Path("/run/mine")
    assert runtime_dir(Settings(), environ) == Path("/run/a")
    del environ["RUNTIME_DIRECTORY"]
    assert runtime_dir(Settings(), environ) == tmp_path / "shardhub"
    assert runtime_dir(Settings(), {}).name == f"shardhub-{os.getuid()}"
    gone = {"XDG_RUNTIME_DIR": str(tmp_path / "gone")}
    assert runtime_dir(Settings(), gone) == runtime_dir(Settings(), {})


def serving(checkout: Path | str) -> Settings:
    return Settings(openalgo=OpenAlgo(path=str(checkout)))


def test_each_checkout_has_one_of_its_own_and_keeps_it(tmp_path: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    first, second = (runtime_dir(serving(f"/srv/openalgo{n}"), environ) for n in (1, 2))
    assert len({first, second, tmp_path / "shardhub"}) == 3
    assert first.parent == second.parent == tmp_path
    assert first == runtime_dir(serving("/srv/openalgo1/"), environ)
    assert runtime_dir(serving("/srv/openalgo1"), {}).name == (
        f"shardhub-{os.getuid()}{first.name.removeprefix('shardhub')}"
    )
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert runtime_dir(serving(tmp_path / "link"), environ) == (
        runtime_dir(serving(tmp_path / "real"), environ)
    )


def test_who_names_a_directory_gets_it_whatever_the_checkout() -> None:
    settings = Settings(hub=Hub(runtime_dir="/run/mine"), openalgo=OpenAlgo(path="/srv/openalgo"))
    assert runtime_dir(settings, {}) == Path("/run/mine")
    environ = {"RUNTIME_DIRECTORY": "/run/unit"}
    assert runtime_dir(serving("/srv/openalgo"), environ) == Path("/run/unit")


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder with a name that leaves room for sockets."""
    with tempfile.TemporaryDirectory(prefix="hubtest-", dir="/tmp") as name:
        yield Path(name)


def test_the_instances_of_this_user_are_found_and_no_others(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path = short_path
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    assert instances(environ) == []
    mine = make_runtime_dir(at(runtime_dir(serving("/srv/openalgo"), environ)))
    for name in ("shardhub", "shardhub-backup", "shardhub-0123456"):
        make_runtime_dir(at(tmp_path / name))
    (tmp_path / "shardhub-00000001").touch(mode=0o600)
    (tmp_path / "shardhub-00000002").symlink_to(mine)
    (tmp_path / "shardhub-00000003").mkdir()
    (tmp_path / "shardhub-00000003").chmod(0o777)
    assert instances(environ) == [mine]
    monkeypatch.setattr(os, "getuid", lambda: mine.stat().st_uid + 1)
    assert instances(environ) == []


def test_it_is_made_for_this_user_alone(tmp_path: Path) -> None:
    path = make_runtime_dir(at(tmp_path / "a" / "b"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert make_runtime_dir(at(path)) == path


@pytest.mark.parametrize("mode", [0o755, 0o710, 0o701, 0o770])
def test_one_that_others_may_enter_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "open"
    path.mkdir()
    path.chmod(mode)
    assert problem(path) == (
        f"others may enter the runtime directory {path}; run `chmod 700 {path}`"
    )


def test_one_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_runtime_dir(at(tmp_path / "mine"))
    monkeypatch.setattr(os, "getuid", lambda: path.stat().st_uid + 1)
    assert "belongs to another user" in problem(path)


@pytest.mark.parametrize("there", [True, False])
def test_one_that_is_a_symbolic_link_is_refused(tmp_path: Path, *, there: bool) -> None:
    """In /tmp anybody can put a link of that name, to a directory of ours or to none."""
    target, link = tmp_path / "target", tmp_path / "link"
    if there:
        make_runtime_dir(at(target))
    link.symlink_to(target)
    assert problem(link) == (
        f"the runtime directory {link} is a symbolic link, perhaps somebody else's; "
        "remove it, or set hub.runtime_dir to the directory itself"
    )
    assert target.exists() == there, "nothing is made where a link points to"


def test_a_link_that_comes_between_look_and_use_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_runtime_dir(at(tmp_path / "target"))
    (tmp_path / "link").symlink_to(tmp_path / "target")
    monkeypatch.setattr(Path, "is_symlink", lambda _: False)
    problem(tmp_path / "link")


def test_one_whose_parent_is_a_link_is_taken(tmp_path: Path) -> None:
    (tmp_path / "var").symlink_to(tmp_path)
    assert make_runtime_dir(at(tmp_path / "var" / "run")).is_dir()


def test_one_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be made: Not a directory" in problem(tmp_path / "file" / "dir")
    assert "set hub.runtime_dir" in problem(tmp_path / "file")


def test_one_that_may_not_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_runtime_dir(at(tmp_path / "locked"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "may not be written" in problem(path)


def test_one_with_too_long_a_name_for_a_socket_is_refused() -> None:
    assert "too long a name" in problem(Path("/tmp") / ("x" * 100))
    assert "too long a name" in problem(Path("/tmp") / ("é" * 45))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into all folders")
def test_the_way_to_a_link_and_the_way_to_what_it_leads_to_are_both_looked_at() -> None:
    """A Python of a virtual environment is a link out of it."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        for folder, mode in (("open", 0o755), ("closed", 0o700)):
            (root / folder).mkdir()
            (root / folder).chmod(mode)
        (root / "open" / "python").touch()
        (root / "closed" / "python").symlink_to(root / "open" / "python")
        (root / "open" / "link").symlink_to(root / "closed" / "python")
        assert shut(root / "open" / "python", "nobody") is None
        assert shut(root / "closed" / "python", "nobody") == root / "closed"
        assert shut(root / "closed" / "python", "root") is None
        assert shut(root / "open" / "python", "no such user") is None
        assert shut(root / "closed" / "python", "no such user") == root / "closed"
