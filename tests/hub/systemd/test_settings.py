"""The settings file of a hub that is installed."""

from __future__ import annotations

import tomllib

import pytest

from hub.systemd.settings import Values, changed

VALUES: Values = {
    "hub": {"shards": 4, "feeds": ["bus", "sim"], "runtime_dir": "/run/hub"},
    "keys": {"file": "/var/lib/hub/keys.json"},
}


def test_where_there_is_none_it_is_made() -> None:
    text, by_hand = changed(None, VALUES)
    assert by_hand == []
    assert tomllib.loads(text) == VALUES
    assert text.startswith("# ")


def test_what_is_so_already_is_not_touched() -> None:
    text = '[hub]\nshards=4   # as many\nfeeds = ["bus",\n "sim"]\n[keys]\n'
    assert changed(text, {"hub": {"shards": 4, "feeds": ["bus", "sim"]}}) == (text, [])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[hub]\nshards = 2 # two\n[bus]\nport = 1\n", "[hub]\nshards = 4\n[bus]\nport = 1\n"),
        ("# mine\n[ hub ]  # x\nstop_s = 1\n", "# mine\n[ hub ]  # x\nstop_s = 1\nshards = 4\n"),
        ("[bus]\nshards = 1", "[bus]\nshards = 1\n\n[hub]\nshards = 4\n"),
        ("[hub]\n[bus]\nshards = 1\n", "[hub]\nshards = 4\n[bus]\nshards = 1\n"),
        ("[hub]\n# shards = 3\n", "[hub]\n# shards = 3\nshards = 4\n"),
        ("[hub]\nstop_s = 1\n\n[bus]\n", "[hub]\nstop_s = 1\nshards = 4\n\n[bus]\n"),
    ],
)
def test_all_else_stays_as_it_stands(before: str, after: str) -> None:
    assert changed(before, {"hub": {"shards": 4}}) == (after, [])


@pytest.mark.parametrize(
    "text",
    [
        "hub.shards = 2\n",
        "hub = { shards = 2 }\n",
        '[hub]\n"shards" = 2\n',
        "[hub]\nshards = [\n1,\n]\n",
        '[keys]\nfile = """\n[hub]\n"""\n',
    ],
)
def test_what_is_not_understood_is_left_to_a_person(text: str) -> None:
    assert changed(text, {"hub": {"shards": 4}}) == (text, ["hub.shards = 4"])
