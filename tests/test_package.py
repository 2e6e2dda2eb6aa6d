"""What an installation gets: a wheel is built, without a network, and looked into."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.monitor.web import Files

ROOT = Path(__file__).parent.parent
INSTALLED = ("hub", "shards", "cli")
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[set[str]]:
    """The files of the wheel, built from a copy: setuptools writes beside what it reads."""
    copy = tmp_path_factory.mktemp("wheel")
    skip = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for folder in (*INSTALLED, "scripts", "tests"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=skip)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, copy / file)
    subprocess.run([sys.executable, "-c", BUILD, "out"], cwd=copy, check=True, capture_output=True)
    (wheel,) = (copy / "out").glob("shardhub-*.whl")
    with zipfile.ZipFile(wheel) as opened:
        yield set(opened.namelist())


def test_an_installation_gets_the_three_rooms_and_nothing_else(contents: set[str]) -> None:
    """A benchmark and tests in site-packages would be in the way of others of their names."""
    rooms = {name.partition("/")[0] for name in contents if ".dist-info/" not in name}
    assert rooms == set(INSTALLED)
    apart = {"bench", "benchmark", "scripts", "tests"}
    assert not [name for name in contents if apart.intersection(name.split("/"))]


def test_an_installation_gets_every_module_of_them(contents: set[str]) -> None:
    modules = {
        path.relative_to(ROOT).as_posix()
        for room in INSTALLED
        for path in (ROOT / room).rglob("*.py")
    }
    assert modules
    assert modules <= contents


def test_an_installation_gets_the_files_of_the_page(contents: set[str]) -> None:
    files = {f"hub/monitor/page/{name}" for name in Files().names()}
    assert len(files) > 10
    assert files <= contents
