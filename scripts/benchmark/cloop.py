"""The loop of `send()` once more, in C (loop.c): the least a server can cost at its cadence."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

from hub.core.errors import HubError
from scripts.benchmark import leash, loads
from scripts.benchmark.ticks import Ticks, layout

_SOURCE = Path(__file__).with_name("loop.c")
_STEP_NS = 2_000_000


def build(compiler: str, folder: Path) -> Path:
    """Compile it. Raises HubError with what the compiler says."""
    program = folder / "loop"
    command = [compiler, "-O2", "-o", str(program), str(_SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HubError(f"{compiler} cannot compile {_SOURCE.name}: {done.stderr[-500:]}")
    return program


def main(load: loads.Load, program: Path) -> None:
    """Start the loop, which takes as many clients as the load has and sends when told to."""
    heard = leash.hold()
    sample = program.with_name("sample")
    figures = (*_write_sample(load, sample), load.rate, load.first, load.last, _STEP_NS)
    with socket.create_server(("127.0.0.1", 0), backlog=load.clients) as listener:
        fd = listener.fileno()
        with subprocess.Popen(
            [program, sample, *map(str, (*figures, fd, load.clients))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[fd],
        ) as process:
            leash.say("ready", port=listener.getsockname()[1], pid=process.pid)
            leash.wait_for("start", heard)
            process.stdin.write(b"\n")  # type: ignore[union-attr]  # it is a pipe
            process.stdin.flush()  # type: ignore[union-attr]  # it is a pipe
            threading.Thread(target=_pass_on, args=(process,), daemon=True).start()
            leash.wait_for("end", heard)


def _pass_on(process: subprocess.Popen[bytes]) -> None:
    """Say what it says."""
    for line in process.stdout or ():
        word, _, figure = line.decode().strip().partition(" ")
        if word == "done":
            leash.say("done", late_ms=int(figure) / 1e6)
        else:
            leash.say(word)


def _write_sample(load: loads.Load, file: Path) -> tuple[int, int, int, int]:
    """One frame for each symbol; their size and count, and where number and time stand in them."""
    ticks = Ticks(load)
    found = [ticks.frame(number, 0) for number in range(load.symbols)]
    where = layout(found[0])
    if where is None:
        raise HubError("a frame without a number")
    file.write_bytes(b"".join(found))
    return len(found[0]), load.symbols, where.number_at, where.time_at


if __name__ == "__main__":
    main(loads.decode(sys.argv[1]), Path(sys.argv[2]))
