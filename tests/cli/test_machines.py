"""The options of a hub that is one of several machines."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from cli.machines import creds_problems, nats_flags, with_others


def test_what_is_not_given_says_nothing() -> None:
    assert set(nats_flags({"publish": [], "bus": []}).values()) == {None}


def test_servers_are_those_of_both_sides_once_each() -> None:
    """The settings then say that a machine is on one side."""
    flags = nats_flags({"publish": ["nats://a"], "bus": ["nats://b", "nats://a"]})
    assert (flags["nats.servers"], flags["nats.publish"]) == (["nats://a", "nats://b"], True)
    assert nats_flags({"publish": [], "bus": ["nats://b"]})["nats.publish"] is None


def test_files_are_whole_paths(tmp_path: Path) -> None:
    given = {"publish": [], "bus": [], "nats_creds": Path("a.creds"), "nats_tls_ca": tmp_path}
    flags = nats_flags(given)
    assert flags["nats.creds_file"] == str(Path("a.creds").absolute())
    assert flags["nats.tls_ca"] == str(tmp_path)


def test_the_feeds_of_others_come_once_and_last() -> None:
    assert with_others(["sim"], ["nats://a"]) == ["sim", "nats"]
    assert with_others(["nats", "sim"], ["nats://a"]) == ["nats", "sim"]
    assert with_others(["sim"], []) == ["sim"]


def test_units_could_not_use_credentials_that_are_not_there_or_another_users(
    tmp_path: Path,
) -> None:
    me = pwd.getpwuid(os.getuid()).pw_name
    file = tmp_path / "edge.creds"
    assert [*creds_problems(me, None)] == []
    assert "No such file" in next(creds_problems(me, file))
    file.touch()
    assert [*creds_problems(me, file)] == []
    (problem,) = creds_problems("nobody", file)
    assert problem.endswith(f"type: sudo chown nobody {file}")
    (problem,) = creds_problems("no such user", file)
    assert "useradd --system 'no such user' && " in problem
