"""`hub stop`: ends the hub that holds the lock of a runtime directory, and no one else.

The kernel says who holds the lock (hub/runtime/lock). That process is held before the lock is
looked at again (cli/hold).
"""

from __future__ import annotations

from pathlib import Path

import click

from cli.hold import has_left, held, terminate
from cli.options import config_option, lines, openalgo_option, runtime_option
from cli.place import hub_dir, patience
from cli.terminal import waiting
from hub.core.errors import HubError, NotRunning
from hub.core.names import LOCK
from hub.runtime import lock


@click.command(
    epilog=lines("Examples:", "hub stop", "hub stop --runtime-dir /run/user/1000/second-hub")
)
@config_option
@openalgo_option
@runtime_option
def stop(*, config_file: Path | None, openalgo: Path | None, runtime_dir: Path | None) -> None:
    """Stop the hub that runs here, and wait until it is gone.

    Clients are told to connect again (close code 1012), one after another; what is pending is sent,
    then the processes leave. Under systemd type `systemctl stop hub.target` (or `hub.service`):
    systemd would start it again.
    """
    directory = hub_dir(runtime_dir, config_file, openalgo)
    patience_s = patience(config_file, openalgo)
    pid = holder(directory)
    if pid is None:
        raise NotRunning(f"no hub runs at {directory}")
    gone = NotRunning(f"the hub at {directory} has just left (pid {pid})")
    with held(pid, lambda: holder(directory) == pid, gone) as fd:
        terminate(fd, pid)
        with waiting(f"stopping the hub (pid {pid})"):
            stopped = has_left(fd, patience_s)
    if not stopped:
        raise HubError(
            f"the hub has not stopped within {patience_s:g} s; "
            f"look at pid {pid}, or end it with `kill -KILL {pid}`"
        )
    click.echo(f"The hub at {directory} has stopped (pid {pid}).")


def holder(runtime_dir: Path) -> int | None:
    """The pid of the supervisor that holds the lock, None when nobody does. Raises HubError."""
    try:
        pid = lock.holder(runtime_dir)
    except OSError as error:
        raise HubError(
            f"{runtime_dir / LOCK} cannot be read: {error.strerror}; "
            "stop the hub as the user who started it"
        ) from None
    if pid == 0:
        raise HubError(f"the hub at {runtime_dir} runs in another container; stop it there")
    return pid
