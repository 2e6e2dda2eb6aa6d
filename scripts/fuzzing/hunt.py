"""Runs a target in a child for some time, and reads what that says of it."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_SLACK_S = 120.0
"""What it takes to begin, and to try the corpus, at most."""
_LONGEST_INPUT_S = 20
_MOST_MB = 2048
_LAST_LINES = 30
_INPUTS = re.compile(r"^stat::number_of_executed_units:\s*(\d+)", re.MULTILINE)
_RATE = re.compile(r"^stat::average_exec_per_sec:\s*(\d+)", re.MULTILINE)
_COVERED = re.compile(r"\bcov: (\d+)")
_FOUND = ("crash-", "timeout-", "oom-", "leak-")


@dataclass(frozen=True)
class Outcome:
    """How a target did. `found` are the bytes that broke it, None when none did; `said` is the end
    of what the child said then."""

    name: str
    inputs: int
    per_s: int
    covered: int
    corpus: int
    found: bytes | None = None
    said: str = ""

    def line(self) -> str:
        """One line for people."""
        verdict = "ok" if self.found is None else "FAILED"
        return (
            f"{self.name:10} {self.inputs:11,} inputs {self.per_s:9,}/s "
            f"{self.covered:6,} places {self.corpus:6,} kept  {verdict}"
        )

    def report(self) -> str:
        """What was found, as it can be pasted into the test of the targets."""
        assert self.found is not None
        return (
            f"{self.said}\n{self.name} breaks at these bytes; when it is mended, paste this into "
            f'FOUND in tests/scripts/fuzzing/test_targets.py:\n    ("{self.name}", '
            f'"{self.found.hex()}"),'
        )


def hunt(name: str, seeds: Sequence[bytes], corpus: Path, seconds: int, seed: int) -> Outcome:
    """Fuzz one target for so many seconds, or until something is found. What is worth trying again
    is kept in the corpus."""
    corpus.mkdir(parents=True, exist_ok=True)
    for data in seeds:
        (corpus / hashlib.sha1(data, usedforsecurity=False).hexdigest()).write_bytes(data)
    finds = corpus.with_name(f"{corpus.name}-found")
    finds.mkdir(exist_ok=True)
    before = {path.name for path in finds.iterdir()}
    code, said = _run(
        name,
        str(corpus),
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        f"-artifact_prefix={finds}/",
        f"-timeout={_LONGEST_INPUT_S}",
        f"-rss_limit_mb={_MOST_MB}",
        "-print_final_stats=1",
        limit_s=seconds + _SLACK_S,
    )
    new = [path for path in sorted(finds.iterdir()) if path.name not in before]
    found = next((path.read_bytes() for path in new if path.name.startswith(_FOUND)), None)
    kept = sum(1 for _ in corpus.iterdir())
    if found is None and code:
        raise RuntimeError(f"{name} ended with {code}:\n{last_lines(said)}")
    told = last_lines(said) if found is not None else ""
    return Outcome(name, *figures(said), kept, found, told)


def figures(said: str) -> tuple[int, int, int]:
    """How many inputs were tried, how many a second, and how many places of the code they
    reached."""
    inputs, per_s, covered = (
        int([0, *told.findall(said)][-1]) for told in (_INPUTS, _RATE, _COVERED)
    )
    return inputs, per_s, covered


def last_lines(said: str) -> str:
    """What went wrong: the traceback if there is one, else the last lines."""
    lines = said.splitlines()
    marks = [place for place, line in enumerate(lines) if "Uncaught Python exception" in line]
    start = marks[-1] if marks else max(0, len(lines) - _LAST_LINES)
    ends = [at for at in range(start, len(lines)) if lines[at].startswith("==") and at > start]
    return "\n".join(lines[start : ends[0] if ends else len(lines)])


def _run(name: str, *arguments: str, limit_s: float) -> tuple[int, str]:
    """Exit code and last words of a child. Its own time ends it; if not, this does."""
    command = [sys.executable, "-m", "scripts.fuzzing.child", name, *arguments]
    environ = os.environ | {"SHARDHUB_PURE": "1"}  # what is compiled cannot be followed
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{name} did not end within {limit_s:.0f} s") from error
    return done.returncode, done.stdout.decode(errors="replace")
