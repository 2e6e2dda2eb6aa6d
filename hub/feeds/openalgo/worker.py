"""The process that runs OpenAlgo's own broker adapters, in the checkout's interpreter.

    PYTHON worker.py --root CHECKOUT --control ipc://... --ingest ipc://...

1. It is run by path and imports the standard library, zmq, msgpack and its own files beside it;
   never `hub`, which the checkout's interpreter does not have. The files beside it are those of a
   package made here, so that their names meet none of the checkout's.
2. This thread has all the sockets and makes no call to an adapter: nothing there holds it up.
3. A command is a map with its type `t`; one that makes no sense is logged and changes nothing.
4. Of what the router has no room for the newest tick of each topic waits: the last that was
   published is the last that is sent.
5. stdin is a leash: when it ends, the parent is gone, and so is this process soon after.

The checkout's .env is the parent's matter: its values come as environment variables.

Commands: `account` (account, user, broker, prefix, on,
anew: whether another is to take the place of one that hangs), `want` (account, wants: rows of
key, modes, depth, exchange, symbol), `unsubscribe_all` (account), `invalidate` (user, kind),
`stop`.
Answers: `ready` (version), `account` (account, state up | failed | down, code, error), `results`
(account, results: rows of key, modes, error, depth), once a second `health` (accounts, ticks,
conflated, dropped, private, broken).
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
import time
import types
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

try:
    import msgpack
    import zmq
except ImportError as missing:
    print(f"{sys.executable} cannot run OpenAlgo's adapters: {missing}", file=sys.stderr)  # noqa: T201
    sys.exit(78)  # sysexits(3): a configuration error

if not __package__:  # run by path
    __package__ = "shardhub_openalgo"
    sys.modules[__package__] = types.ModuleType(__package__)
    sys.modules[__package__].__path__ = [str(Path(__file__).resolve().parent)]

from . import worker_checkout as checkout  # needs the package above
from .worker_account import Account
from .worker_newest import Newest, Pair
from .worker_publisher import Door
from .worker_secrets import SECRETS, Discreet
from .worker_wants import Want

VERSION = 1
"""Of the commands and answers."""
BATCH_TICKS = 2000
HEALTH_S = 1.0
STOP_S = 3.0
"""How long the adapters may take to disconnect at the end."""
_log = logging.getLogger("shardhub.openalgo")


class Worker:
    """The I/O thread: commands in, answers and ticks out, the list of accounts."""

    def __init__(self, control: str, ingest: str) -> None:
        self._context = zmq.Context()
        self._control = self._context.socket(zmq.PAIR)
        self._control.setsockopt(zmq.SNDHWM, 0)
        self._control.setsockopt(zmq.RCVHWM, 0)
        self._control.setsockopt(zmq.LINGER, 300)
        self._control.connect(control)
        self._ingest = self._context.socket(zmq.PUSH)
        self._ingest.setsockopt(zmq.SNDHWM, 1000)
        self._ingest.setsockopt(zmq.LINGER, 0)
        self._ingest.connect(ingest)
        self._door = Door()
        self._late = Newest()  # there was no room for it
        self._accounts: dict[str, Account] = {}
        self._poller = zmq.Poller()
        self._poller.register(self._control, zmq.POLLIN)
        self._poller.register(self._door.fileno(), zmq.POLLIN)
        self._leash = sys.stdin.fileno()
        self._poller.register(self._leash, zmq.POLLIN)
        self._packer = msgpack.Packer(autoreset=True)
        self._next_health = time.monotonic()
        self._ticks = 0
        self._stopping = False
        self._commands: dict[str, Callable[[dict[str, Any]], None]] = {
            "account": self._account,
            "want": self._want,
            "unsubscribe_all": self._unsubscribe_all,
            "invalidate": self._invalidate,
            "stop": lambda _: self.stop(),
        }

    def __repr__(self) -> str:
        accounts = f"{len(self._accounts)} accounts"
        return f"<Worker {accounts}, {self._ticks} ticks, {self._late!r}, {self._door!r}>"

    def run(self) -> None:
        """Until it is stopped, or the leash ends; then the adapters' last moments."""
        self._send({"t": "ready", "version": VERSION})
        while not self._stopping:
            self._turn(self._next_health - time.monotonic())
        for account in self._accounts.values():
            account.off()
        until = time.monotonic() + STOP_S
        while self._accounts and (left := until - time.monotonic()) > 0:
            self._turn(min(left, HEALTH_S))
        if self._accounts:
            _log.warning("still in their adapters at the end: %s", list(self._accounts.values()))
        self.close()

    def close(self) -> None:
        """Close the sockets; that takes 300 ms at most, for what is still to be said."""
        self._ingest.close()
        self._control.close()
        self._context.term()
        self._door.close()

    def stop(self) -> None:
        """Leave. May be called by a signal's handler."""
        self._stopping = True
        self._door.knock()

    def _turn(self, patience_s: float) -> None:
        """Sleep until there is something to do, then do all there is."""
        may_sleep = self._door.lie_down()
        events = dict(self._poller.poll(max(0, int(patience_s * 1000) + 1) if may_sleep else 0))
        self._door.get_up()
        if self._leash in events and not os.read(self._leash, 4096):
            self._poller.unregister(self._leash)
            self.stop()
        self._hear()
        self._tell()
        self._pass_on()
        if time.monotonic() >= self._next_health:
            self._next_health = time.monotonic() + HEALTH_S
            self._send(self._health())

    def _hear(self) -> None:
        with contextlib.suppress(zmq.Again):
            while True:
                frame = self._control.recv(zmq.NOBLOCK)
                try:
                    message = msgpack.unpackb(frame)
                    self._commands[message["t"]](message)
                except Exception:  # noqa: BLE001  # one that makes no sense ends no other
                    _log.exception("a command was not understood")

    def _tell(self) -> None:
        reports = self._door.reports
        for _ in range(len(reports)):
            message = reports.popleft()
            account = self._accounts.get(message["account"])
            if account and account.leaving and message.get("state") == "down":
                account.finish()
                del self._accounts[account.name]
            self._send(message)

    def _pass_on(self) -> None:
        """Send the ticks there are, in batches. What the router has no room for waits, and is sent
        as soon as there is some."""
        ticks = self._door.take()
        at = 0
        while not self._late and self._sent(ticks[at : at + BATCH_TICKS]):
            at += BATCH_TICKS
        for topic, text in ticks[at:]:
            if cost := self._late.put(topic, text):
                self._door.count(cost)
        while self._sent(late := self._late.first(BATCH_TICKS)):
            self._late.sent(late)
        self._poller.register(self._ingest, zmq.POLLOUT if self._late else 0)

    def _sent(self, ticks: list[Pair]) -> bool:
        """Send a batch, if there is one and room for it; whether it was sent."""
        if not ticks:
            return False
        try:
            self._ingest.send(self._packer.pack([*chain(*ticks)]), zmq.NOBLOCK)
        except zmq.Again:
            return False
        self._ticks += len(ticks)
        return True

    def _send(self, message: dict[str, Any]) -> None:
        self._control.send(self._packer.pack(message), zmq.NOBLOCK)  # has no bound: see above

    def _health(self) -> dict[str, Any]:
        now = time.monotonic()
        counts = self._door.counts
        return {
            "t": "health",
            "accounts": {name: one.health(now) for name, one in self._accounts.items()},
            "ticks": self._ticks,
            **{name: counts[name] for name in ("conflated", "dropped", "private", "broken")},
        }

    def _account(self, message: dict[str, Any]) -> None:
        name = message["account"]
        account = self._accounts.get(name)
        if message["on"]:
            user, broker, prefix = message["user"], message["broker"].lower(), message["prefix"]
            if account and message["anew"]:
                self._accounts.pop(name).abandon()
                account = None
            if account is None:
                account = self._accounts[name] = Account(name, user, broker, prefix, self._door)
            account.on(prefix)
        elif account:
            account.off()
        else:
            down = {"state": "down", "code": "", "error": "not connected"}
            self._send({"t": "account", "account": name} | down)

    def _want(self, message: dict[str, Any]) -> None:
        wants = [Want(*row) for row in message["wants"]]
        account = self._accounts.get(message["account"])
        if account:
            account.want(wants)
            return
        rows = [[want.key, want.modes, "not connected", 0] for want in wants if want.modes]
        self._send({"t": "results", "account": message["account"], "results": rows})

    def _unsubscribe_all(self, message: dict[str, Any]) -> None:
        account = self._accounts.get(message["account"])
        if account:
            account.unsubscribe_all()

    def _invalidate(self, message: dict[str, Any]) -> None:
        """Caches go at once, whoever is busy: no other account may read an old token either."""
        checkout.forget(message["kind"])
        for account in self._accounts.values():
            if account.user == message["user"] and not account.leaving:
                account.renew(message["kind"])


def main() -> None:
    """Until the parent says stop, or is gone."""
    parser = argparse.ArgumentParser(description="Runs OpenAlgo's broker adapters for Shardhub.")
    for name, what in (
        ("--root", "the checkout's folder"),
        ("--control", "where the parent's PAIR socket is bound"),
        ("--ingest", "where the router's PULL socket is bound"),
    ):
        parser.add_argument(name, required=True, help=what)
    arguments = parser.parse_args()
    os.dup2(2, 1)  # the checkout prints here and there
    SECRETS.learn(checkout.secrets_of(os.environ))
    sys.stdout = sys.stderr = Discreet(sys.stderr, SECRETS)
    logging.basicConfig(level=logging.INFO)
    checkout.enter(Path(arguments.root).resolve())
    worker = Worker(arguments.control, arguments.ingest)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's; the parent decides
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    try:
        worker.run()
    except BaseException:  # noqa: BLE001  # told, and then it ends
        _log.exception("the worker ends")
        os._exit(1)
    os._exit(0)  # adapters' threads are no reason to stay


if __name__ == "__main__":
    main()
