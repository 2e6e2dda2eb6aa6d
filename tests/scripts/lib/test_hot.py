"""What scripts/lib/hot.sh does about hub/core/_hot.pyx, with a compiler that only pretends."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TOOLS = ("bash", "mkdir", "mv", "rm", "sha256sum")
RUN = """
set -euo pipefail
root=$1
say() { printf 'shardhub: %s\\n' "$*" >&2; }
venv_python() {
    echo "$*" >>"$root/asked"
    [[ $1 != -c ]] || echo ".cpython-399.so $root/include/python3.99"
}
source "$root/scripts/lib/hot.sh"
hot_settled || hot_make || true
"""
CC = """#!/usr/bin/env bash
echo "$@"
while [[ $1 != -o ]]; do shift; done
echo "made" >"$2"
"""
BROKEN = "#!/usr/bin/env bash\necho 'it is broken'\nexit 1\n"


class Clone:
    """A clone with nothing in it but what is looked at."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.source = root / "hub/core/_hot.pyx"
        self.made = root / "hub/core/_hot.cpython-399.so"
        self.header = root / "include/python3.99/Python.h"
        self.tools = root / "tools"
        for folder in (self.source.parent, self.header.parent, root / ".venv", self.tools):
            folder.mkdir(parents=True)
        shutil.copytree(ROOT / "scripts/lib", root / "scripts/lib")
        for name in ("hub/core/_hot.pyx", "requirements-build.lock"):
            shutil.copy(ROOT / name, root / name)
        (root / ".venv/pyvenv.cfg").write_text("version = 3.99\n")
        self.header.touch()
        for tool in TOOLS:
            found = shutil.which(tool) or pytest.skip(f"there is no {tool}")
            (self.tools / tool).symlink_to(found)
        (self.tools / "env").symlink_to("/usr/bin/env")

    def compiler(self, text: str = CC) -> None:
        (self.tools / "cc").write_text(text)
        (self.tools / "cc").chmod(0o755)

    def run(self) -> str:
        """What it says."""
        done = subprocess.run(
            ["bash", "-c", RUN, "bash", self.root], check=True, capture_output=True, text=True,
            env={"PATH": str(self.tools)},
        )  # fmt: skip
        assert not done.stdout
        return done.stderr


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_it_compiles_once_and_says_so(clone: Clone) -> None:
    clone.compiler()
    assert re.fullmatch(r"shardhub: compiled the tick path in \d+ s\.\n", clone.run())
    assert clone.made.exists()
    digest = hashlib.sha256(clone.source.read_bytes()).hexdigest()
    assert f'-DHOT_SOURCE="{digest}"' in (clone.root / ".venv/hot.log").read_text()
    asked = (clone.root / "asked").read_text()
    assert "--require-hashes --requirement" in asked
    assert clone.run() == ""
    assert (clone.root / "asked").read_text() == asked


@pytest.mark.parametrize(
    "name",
    ["hub/core/_hot.pyx", "requirements-build.lock", "scripts/lib/hot.sh", ".venv/pyvenv.cfg"],
)
def test_it_compiles_again_when_something_has_changed(clone: Clone, name: str) -> None:
    clone.compiler()
    clone.run()
    with (clone.root / name).open("a") as file:
        file.write("\n# more\n")
    assert "compiled" in clone.run()
    clone.made.unlink()
    assert "compiled" in clone.run()
    assert clone.run() == ""


def test_without_a_compiler_it_says_what_to_install_once_and_looks_again(clone: Clone) -> None:
    said = clone.run()
    assert "apt install gcc`" in said
    assert "half more CPU" in said
    assert clone.run() == ""
    clone.compiler()
    clone.header.unlink()
    assert clone.run() == ""
    clone.header.touch()
    assert "compiled the tick path" in clone.run()


def test_without_headers_it_names_their_package(clone: Clone) -> None:
    clone.compiler()
    clone.header.unlink()
    assert "apt install python3.99-dev`" in clone.run()
    assert not clone.made.exists()


def test_what_fails_is_a_sentence_and_what_was_made_before_is_gone(clone: Clone) -> None:
    clone.compiler()
    clone.run()
    clone.compiler(BROKEN)
    clone.source.write_text("another")
    said = clone.run()
    assert said.count("\n") == 1
    log = clone.root / ".venv/hot.log"
    assert str(log) in said
    assert "it is broken" in log.read_text()
    assert not clone.made.exists()
    assert clone.run() == ""
    clone.compiler()
    assert clone.run() == ""
    (clone.root / ".venv/.hot").unlink()
    assert "compiled" in clone.run()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_where_nothing_may_be_written_nothing_is_done(clone: Clone) -> None:
    clone.compiler()
    clone.made.parent.chmod(0o500)
    assert clone.run() == ""
    assert not (clone.root / "asked").exists()
