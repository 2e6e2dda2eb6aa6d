"""How commands ask the monitor of a running hub, or another of its processes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

from hub.core.codec import Message
from hub.core.errors import NoAnswer, NotRunning
from hub.core.names import CONTROL
from hub.runtime import lock
from hub.runtime.control import ask

_PATIENCE_S = 3.0


def ask_monitor(runtime_dir: Path, question: Message, timeout_s: float = _PATIENCE_S) -> Message:
    """The monitor's answer, as of `ask_process`."""
    return ask_process(runtime_dir, "monitor", question, timeout_s)


def ask_process(
    runtime_dir: Path, name: str, question: Message, timeout_s: float = _PATIENCE_S
) -> Message:
    """A process's answer. Raises NotRunning at once when it or the hub is not there, NoAnswer when
    it stays silent."""
    if not listening(runtime_dir):
        raise NotRunning(_absent(runtime_dir))
    try:
        return asyncio.run(ask(runtime_dir, name, question, timeout_s))
    except NoAnswer as error:
        if error.waited_s:
            raise
        raise NotRunning(
            f"the hub at {runtime_dir} has no {name} just now; while it starts or stops, "
            "try again in a few seconds"
        ) from None


def _absent(runtime_dir: Path) -> str:
    """Why no router is there; a supervisor that holds the lock starts it again."""
    with contextlib.suppress(OSError):
        if lock.holder(runtime_dir) is not None:
            return (
                f"the hub at {runtime_dir} has no router just now; while it starts or stops, "
                "try again in a few seconds"
            )
    return f"no hub runs at {runtime_dir}; start one with `hub start`"


def listening(runtime_dir: Path) -> bool:
    """Whether a router has its control socket open, and not only left it behind."""
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(str(runtime_dir / CONTROL))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError as error:
            raise NotRunning(f"no hub can be reached at {runtime_dir}: {error.strerror}") from None
    return True
