"""Keeping a program that is not ours."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

from scripts.benchmark import keeper

ROOT = Path(__file__).parents[3]
LISTENS = (
    "import os, socket, sys, time\n"
    "print(os.environ['WORD'], os.getcwd(), flush=True)\n"
    "sock = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
    "time.sleep(100)\n"
)


def kept(program: keeper.Program) -> subprocess.Popen[str]:
    argument = json.dumps({
        "command": program.command, "ports": program.ports, "folder": program.folder,
        "environ": program.environ,
    })  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "scripts.benchmark.keeper", argument], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def rest(process: subprocess.Popen[str]) -> str:
    """What it says on stderr until it has ended, its leash untouched."""
    assert process.stderr
    said = process.stderr.read()
    process.wait(20)
    return said


def test_it_says_when_the_ports_are_open_and_ends_the_program_when_told(tmp_path: Path) -> None:
    (port,) = keeper.free_ports(1)
    command = [sys.executable, "-c", LISTENS, str(port)]
    with kept(keeper.Program(command, [port], str(tmp_path), {"WORD": "hello"})) as process:
        assert process.stdin
        assert process.stdout
        ready = json.loads(process.stdout.readline())
        assert ready["event"] == "ready"
        assert Path(f"/proc/{ready['pid']}").exists()
        process.stdin.write("end\n")
        process.stdin.flush()
        said = rest(process)
    assert said.splitlines() == [f"hello {tmp_path}"]
    assert process.returncode == 0
    assert not Path(f"/proc/{ready['pid']}").exists()


def test_when_its_leash_ends_so_does_the_program() -> None:
    (port,) = keeper.free_ports(1)
    command = [sys.executable, "-c", LISTENS, str(port)]
    with kept(keeper.Program(command, [port], "", {"WORD": ""})) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        process.stdin.close()
        process.wait(20)
        with socket.socket() as sock:
            sock.settimeout(20)
            assert sock.connect_ex(("127.0.0.1", port))


def test_one_that_ends_at_once_is_told() -> None:
    (port,) = keeper.free_ports(1)
    with kept(keeper.Program([sys.executable, "-c", ""], [port])) as process:
        said = rest(process)
    assert f"does not listen on {port}" in said
    assert process.returncode == 1


def test_free_ports_are_all_different() -> None:
    assert len(set(keeper.free_ports(5))) == 5
