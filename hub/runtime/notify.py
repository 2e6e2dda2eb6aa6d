"""sd_notify: how a process tells systemd, or the hub's own supervisor, how it is.

Format: datagrams of `NAME=value` lines to the socket in $NOTIFY_SOCKET (systemd's sd_notify(3)).
"""

from __future__ import annotations

import os
import socket

_MORE_S = 2.0
"""How much longer systemd waits for a process that leaves, so that it kills none at the last."""


def leaving(within_s: float) -> tuple[str, str]:
    """What to say when one leaves, which takes no longer than so many seconds."""
    return "STOPPING=1", f"EXTEND_TIMEOUT_USEC={(within_s + _MORE_S) * 1e6:.0f}"


def notify(*lines: str) -> bool:
    """Send e.g. `READY=1`; False when nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        try:
            sock.sendto("\n".join(lines).encode(), address)
        except OSError:
            return False
    return True
