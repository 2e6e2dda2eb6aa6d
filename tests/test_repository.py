"""The repository itself: what must not be in it, and what must be as it is."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import hub

ROOT = Path(__file__).parent.parent
LOCKS = (
    "requirements.lock",
    "requirements-dev.lock",
    "requirements-bench.lock",
    "requirements-build.lock",
    "requirements-fuzz.lock",
    "requirements-oracle.lock",
)
SCRIPTS = (
    ".ci/run",
    "scripts/bench",
    "scripts/chaos",
    "scripts/cluster-demo",
    "scripts/fuzz",
    "scripts/hub",
    "scripts/instructions",
    "scripts/test",
)

MACHINE_PATHS = tuple(f"/{name}/" for name in ("work", "root", "farm"))
REGISTRIES = tuple(
    f"{host}.{domain}"
    for host, domain in (("py" + "pi", "org"), ("python" + "hosted", "org"), ("npm" + "js", "org"))
)
"""Put together here, so that this file does not hold what it looks for."""

NEEDLES = {
    "paths": re.compile(
        rf"(?<![\w.$}}-])(?:{'|'.join(MACHINE_PATHS)})"
    ),  # not inside a longer path
    "registries": re.compile("|".join(map(re.escape, REGISTRIES))),
}


def tracked() -> list[Path]:
    """The files git knows of, or would take with the next commit."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, check=True, capture_output=True,
        ).stdout  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no clone, or there is no git")
    paths = [ROOT / os.fsdecode(name) for name in listed.split(b"\0") if name]
    return [path for path in paths if path.is_file()]


def places(kind: str, text: str) -> list[str]:
    """`line: what` for each thing of this kind that a text names."""
    return [
        f"{number}: {found[0]}"
        for number, line in enumerate(text.splitlines(), 1)
        for found in NEEDLES[kind].finditer(line)
    ]


@pytest.mark.parametrize("kind", NEEDLES)
def test_no_file_names_a_machine_or_a_registry(kind: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{place}"
        for path in tracked()
        for place in places(kind, path.read_bytes().decode("utf-8", "replace"))
    ]
    assert not found, f"{kind} of the workshop, in files that go public:\n" + "\n".join(found)


def test_such_names_are_found_where_they_stand() -> None:
    path, host = MACHINE_PATHS[0], REGISTRIES[1]
    assert places("paths", f"a\ncd {path}main") == [f"2: {path}"]
    assert places("paths", f"file://{path}x 'and' src{path}x ${{dir}}{path}") == [f"1: {path}"]
    assert places("registries", f"https://files.{host}/packages") == [f"1: {host}"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_executable_and_say_what_runs_them(script: str) -> None:
    path = ROOT / script
    assert os.access(path, os.X_OK), f"type `chmod +x {script}`"
    assert path.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")


def requirements(lock: str) -> dict[str, str]:
    """Each package of a lock file with all that is said of it."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith(("#", "--only-binary "))]
    entries = re.split(r"\n(?=\S)", "\n".join(lines))
    return {entry.partition("==")[0]: entry.strip() for entry in entries}


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_pin_versions_and_hashes_and_name_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    for needle in (
        "--index-url",
        "--extra-index-url",
        "--find-links",
        "http:",
        "https:",
        "file:",
        " @ ",
    ):
        assert needle not in text
    for name, entry in requirements(lock).items():
        assert re.match(r"[a-z0-9-]+==[\w.]+( ; [^\\]+)? \\\n", entry), f"{name} is not pinned"
        assert entry.count("--hash=sha256:") >= 1, f"{name} has no hash"


def test_the_development_lock_holds_all_of_the_other() -> None:
    runtime, development = map(requirements, LOCKS[:2])
    assert runtime.items() <= development.items()


def test_the_locks_beside_these_share_no_package_with_the_others() -> None:
    """So that what .venv/.stamp says of one is not undone by the other."""
    _, development, *beside = map(requirements, LOCKS)
    assert all(beside)
    names = [name for lock in (development, *beside) for name in lock]
    assert len(names) == len(set(names))


def test_the_locks_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {re.split(r"[^\w-]", wanted)[0] for wanted in project["dependencies"]}
    assert names <= requirements("requirements.lock").keys()
    extra = {re.split(r"[^\w-]", wanted)[0] for wanted in project["optional-dependencies"]["dev"]}
    assert extra <= requirements("requirements-dev.lock").keys()
    for extra_name in ("bench", "build", "fuzz"):
        wanted_names = project["optional-dependencies"][extra_name]
        extra = {re.split(r"[^\w-]", wanted)[0] for wanted in wanted_names}
        assert extra == requirements(f"requirements-{extra_name}.lock").keys()


def test_pip_compiles_with_what_a_clone_compiles_with() -> None:
    system = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]
    (pinned,) = [wanted for wanted in system["requires"] if wanted.startswith("cython")]
    assert requirements("requirements-build.lock")["cython"].startswith(f"{pinned} ")


def test_the_version_is_one_the_changelog_can_name() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", hub.__version__)
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## [Unreleased]" in changelog
