"""OpenAlgo's own broker adapters as a feed.

1. They run unmodified, in a process of the checkout's own Python (`worker.py`), which puts their
   ticks into the router's ingest itself: none of them passes through here.
2. Here is what is wanted of which account (`book`), and the life of that process: one that dies is
   started again and told everything.
3. An adapter call that does not return is told by name, and who waits for it gets an answer.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgpack

from hub.core.errors import ConfigError, Malformed
from hub.core.liveness import Awake
from hub.core.model import Isolation, Want
from hub.core.names import INGEST, OPENALGO
from hub.core.settings import Settings
from hub.core.window import Window
from hub.feeds.base import FeedHealth, FeedState, Limits, Serves, Sink
from hub.feeds.openalgo.book import Book, Outcome
from hub.openalgo.checkout import Checkout, interpreter
from hub.runtime import links
from hub.runtime.log import Seldom, log
from hub.runtime.paths import make_runtime_dir
from hub.runtime.pipe import Pipe
from hub.runtime.process import Processes
from hub.runtime.pump import Pump

NAME = "openalgo"
_WORKER = Path(__file__).with_name("worker.py")
_STEP_S = 0.25
_STOP_S = 4.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 30.0
_BEARABLE_S = 1.0
"""When the next worker comes later than that, nobody waits for it."""
_PROBLEMS = 3
"""So many are told at once."""
_COUNTED = ("ticks", "conflated", "dropped")
_STEADY_S = 10.0
"""A worker that lived so long begins with the first pause again."""


def find(settings: Settings) -> tuple[Checkout, Path]:
    """The checkout and its Python. Raises ConfigError when one of them cannot be used."""
    openalgo = settings.openalgo
    if not openalgo.path:
        raise ConfigError(["feed openalgo needs a checkout of OpenAlgo: name it by --openalgo"])
    checkout = Checkout.read(Path(openalgo.path))
    return checkout, interpreter(checkout.root, openalgo.python)


class OpenAlgoFeed:
    """The feed of a checkout. Raises ConfigError when that, or its Python, cannot be used."""

    name = NAME
    serves = Serves(shared=False, logins=True)
    limits = Limits(depth_levels=(5, 20, 30, 50))

    def __init__(self, settings: Settings) -> None:
        openalgo = settings.openalgo
        self._checkout, self._python = find(settings)
        self._settings = settings
        self._max_hang_s = openalgo.max_hang_s
        self._book = Book(Isolation(settings.upstream.isolate), openalgo.linger_s)
        logs = {"LOG_LEVEL": settings.hub.log_level.upper(), "LOG_COLORS": "False"}
        self._processes = Processes({**self._checkout.variables, **logs})
        self._lives = itertools.count(1)
        self._pid = 0
        self._born_s = 0.0
        self._pause_s = _FIRST_PAUSE_S
        self._start_at_s = 0.0
        self._ready = False
        self._missing = ""
        self._stopping = False
        self._health: dict[str, Any] = {}
        self._before: Counter[str] = Counter()  # of the workers that have ended
        self._hanging: set[str] = set()
        self._seldom = Seldom()
        self._clock = Awake()
        self._sink: Sink
        self._runtime_dir: Path
        self._socket: Path
        self._control: Pipe | None = None
        self._pump: Pump
        self._timer: asyncio.TimerHandle | None = None
        self._takes: dict[str, Callable[[dict[str, Any]], None]] = {
            "ready": self._take_ready,
            "account": self._take_account,
            "results": self._take_results,
            "health": self._take_health,
        }

    def __repr__(self) -> str:
        return f"<OpenAlgoFeed {self._checkout.root}, worker {self._pid or 'none'}, {self._book!r}>"

    async def start(self, sink: Sink) -> None:
        """Start the worker; it need not be there yet when this returns."""
        self._sink = sink
        self._runtime_dir = make_runtime_dir(self._settings)
        for left in self._runtime_dir.glob(f"{OPENALGO}-*"):  # of a host that was killed
            left.unlink(missing_ok=True)
        self._step()

    def apply(self, wants: Sequence[Want]) -> None:
        """Take changes of what is wanted; the worker hears of them when it is there."""
        self._do(self._book.apply(wants, self._now_s()))

    def invalidate(self, user: str, kind: str) -> None:
        """Credentials of a user have changed (kind AUTH, FEED or ALL)."""
        self._do(self._book.invalidate(user, kind, self._hanging))

    def health(self) -> FeedHealth:
        """Connected when some account is, or when none is wanted."""
        accounts = self._book.accounts.values() if self._ready else ()
        up = [account.identity.broker for account in accounts if account.state == "up"]
        if not self._ready or (accounts and not up):
            state = FeedState.CONNECTING if self._connecting() else FeedState.DISCONNECTED
        else:
            state = FeedState.CONNECTED
        rows = self._health.get("accounts", {}).values()
        return FeedHealth(
            state,
            len(self._book),
            self._counted("ticks"),
            self._problem(),
            conflated=self._counted("conflated"),
            dropped=self._counted("dropped"),
            topics=self._book.topics,
            connections=sum(row["connections"] for row in rows),
            brokers=tuple(up),
        )

    async def stop(self) -> None:
        """Have the adapters disconnect, and the worker leave."""
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
        self._send({"t": "stop"})
        until_s = time.monotonic() + _STOP_S
        while self._pid and time.monotonic() < until_s:
            self._note_ended()
            await asyncio.sleep(0.02)
        if self._pid:
            self._processes.signal(NAME, signal.SIGKILL)
        self._close()

    # The worker's life.

    def _step(self) -> None:
        """Four times a second: what is due."""
        self._timer = asyncio.get_running_loop().call_later(_STEP_S, self._step)
        pause = self._clock.pause(time.monotonic())
        self._note_ended()
        if not self._pid and time.monotonic() >= self._start_at_s:
            self._start()
        if not pause.read_first:  # who has come back meanwhile is heard before anyone leaves
            self._do(self._book.sweep(self._now_s()))

    def _start(self) -> None:
        """A new worker, on sockets of its own: what the last one was told is not for it."""
        name = f"{OPENALGO}-{next(self._lives)}"
        self._socket = self._runtime_dir / name
        address = links.ipc(self._runtime_dir, name)
        sock = links.bind(links.PAIR, address, queue=0, what="feed openalgo")
        self._pump = Pump(lambda: None, Window(0.0))
        self._pump.add(links.Messages(sock, self._take))
        self._control = Pipe(links.Push(sock))
        self._control.reset(open_=True)
        ingest = links.ipc(self._runtime_dir, INGEST)
        command = [str(self._python), str(_WORKER), "--root", str(self._checkout.root)]
        command += ["--control", address, "--ingest", ingest]
        self._born_s = time.monotonic()
        try:
            self._pid = self._processes.start(NAME, command)
        except OSError as error:
            self._lost(f"{self._python} cannot be run: {error.strerror}")

    def _note_ended(self) -> None:
        for _, code in self._processes.ended():
            if code == ConfigError.exit_code:
                self._lost(f"{self._python} cannot run OpenAlgo's adapters; see the log")
            else:
                self._lost(
                    f"the process of OpenAlgo's adapters (pid {self._pid}) ended with {code}"
                )

    def _lost(self, what: str) -> None:
        """There is no worker any more; the next one comes after a pause."""
        now_s = time.monotonic()
        if now_s - self._born_s > _STEADY_S:
            self._pause_s = _FIRST_PAUSE_S
        self._start_at_s = now_s + self._pause_s
        self._close()
        if not self._stopping:
            log.warning("%s; started again in %g s", what, self._pause_s)
            self._missing = what
            if self._pause_s > _BEARABLE_S:
                self._do(self._book.absent(what))
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)

    def _close(self) -> None:
        self._pid, self._ready = 0, False
        self._before = Counter({name: self._counted(name) for name in _COUNTED})
        self._health, self._hanging = {}, set()
        if self._control is not None:
            self._pump.close()
            self._control = None
            self._socket.unlink(missing_ok=True)

    # What it tells.

    def _take(self, parts: links.Parts) -> None:
        try:
            message = msgpack.unpackb(parts[0])
            self._takes[message["t"]](message)
        except (LookupError, TypeError, ValueError, Malformed) as error:
            self._seldom.warning("worker", "a message of the worker cannot be used: %r", error)

    def _take_ready(self, _: dict[str, Any]) -> None:
        self._ready, self._missing = True, ""
        log.info("OpenAlgo's adapters run in pid %d, by %s", self._pid, self._python)
        self._do(self._book.began())

    def _take_account(self, message: dict[str, Any]) -> None:
        name, state, error = message["account"], message["state"], message["error"]
        if state != "down":
            log.info("%s is %s%s", name, state, f": {error}" if error else "")
        self._do(self._book.stands(name, state, message["code"], error))

    def _take_results(self, message: dict[str, Any]) -> None:
        self._do(self._book.results(message["account"], message["results"]))

    def _take_health(self, message: dict[str, Any]) -> None:
        self._health = message
        rows = message["accounts"].items()
        hanging = {name for name, row in rows if row["busy_s"] > self._max_hang_s}
        for name in hanging - self._hanging:
            row = message["accounts"][name]
            problem = f"{name}: its adapter does not return from {row['call']}"
            log.warning("%s, for %.0f s", problem, row["busy_s"])
            self._do(self._book.hangs(name, problem))
        self._hanging = hanging

    # Below: details.

    def _do(self, outcome: Outcome) -> None:
        if self._ready:
            for command in outcome.commands:
                self._send(command)
        if outcome.answers:
            self._sink.answer(outcome.answers)

    def _send(self, command: dict[str, Any]) -> None:
        if self._control is not None:
            self._control.send_surely([msgpack.packb(command)])
            self._pump.poke()

    def _now_s(self) -> float:
        """The time this process was awake: nobody is late for what fell due in a pause of it."""
        return self._clock.look(time.monotonic())

    def _counted(self, name: str) -> int:
        """What workers have counted since this feed began."""
        return self._before[name] + int(self._health.get(name, 0))

    def _connecting(self) -> bool:
        return not self._ready or any(
            account.state == "connecting" for account in self._book.accounts.values()
        )

    def _problem(self) -> str:
        """What is wrong, in words; who hangs is named first."""
        if not self._ready:
            return self._missing or "the process of OpenAlgo's adapters is starting"
        hanging, others = [], []
        for name, row in self._health.get("accounts", {}).items():
            if name in self._hanging:
                hanging.append(f"{name}: hangs in {row['call']} since {row['busy_s']:.0f} s")
            elif row["problem"] and name in self._book.accounts:
                others.append(f"{name}: {row['problem']}")
        found = hanging + others
        more = len(found) - _PROBLEMS
        return "; ".join(found[:_PROBLEMS] + [f"and {more} more"] * (more > 0))
