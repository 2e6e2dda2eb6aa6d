"""The supervisor: starts the hub's processes, keeps them running, ends them together.

It compares what is wanted with what is there and does the difference (core/supervision). It
carries no data, and no process outlives it.

1. Signals are data: they only set what is wanted, and end the wait for the next turn. SIGHUP is
   passed on to the shards, but for that of a terminal that was closed, which ends the hub.
2. Its time is time awake: children are not blamed for a pause of the supervisor, and what they
   said meanwhile is read before anything is planned.
3. A process that cannot be started is one that ended young: it is tried again, the rest goes on.
4. Where systemd listens (`Type=notify`), it is told what children tell the supervisor. They never
   see its socket.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from hub.core import config, supervision
from hub.core.errors import StartError
from hub.core.liveness import Awake
from hub.core.names import SHARD
from hub.core.settings import Page, Settings
from hub.core.supervision import Child, Do, State
from hub.runtime.control import ControlLink
from hub.runtime.lock import Lock
from hub.runtime.log import Keep, log, setup, to_journal
from hub.runtime.logfile import LogFile, log_path
from hub.runtime.notify import leaving, notify
from hub.runtime.paths import make_runtime_dir
from hub.runtime.process import (
    Notifications,
    Processes,
    free_port,
    has_terminal,
    reserve_port,
    see_that_nobody_serves,
)
from hub.runtime.stderr import Stderr

_STEP_S = 0.2
_CALM_STEP_S = 1.0
"""Time between turns while all is well; what ends and what is said brings on the next at once."""

_LONGEST_STEP_S = 1.5
"""A turn that comes later than this after the one before was a pause."""

_WATCHDOG_S = 5.0

_PERHAPS = {-9: " (killed; perhaps out of memory?)"}


class Supervisor:
    """Runs one hub. `report` is called with all children whenever the state of one changes.

    Raises StartError when the hub cannot be had: a second hub, ports in use, no permission.
    `settings` are as given, with port 0 replaced by the port that was picked. `page_problem` says
    why there is no page just now, which keeps nobody from starting. On stderr only what is logged
    from `shown_level` on is shown, if it is given; the log file has all of it.
    """

    def __init__(
        self,
        settings: Settings,
        report: Callable[[Sequence[Child]], None] = lambda _: None,
        shown_level: str = "",
    ) -> None:
        self._report = report
        self._shown_level = shown_level
        self.runtime_dir = make_runtime_dir(settings)
        self._lock = Lock(self.runtime_dir)
        ws, bus = settings.websocket, settings.bus
        serves = settings.hub.shards > 0  # else its port may be another hub's
        self._port, ws_port = reserve_port(ws.host, ws.port * serves, "websocket.port")
        if ws.unix and serves:
            see_that_nobody_serves(Path(ws.unix), "websocket.unix")
        bus_port = free_port(bus.host, bus.port, "bus.port")
        page, self.page_problem = _with_port(settings.page)
        replace = msgspec.structs.replace
        self.settings = replace(
            settings,
            page=page,
            websocket=replace(ws, port=ws_port),
            bus=replace(bus, port=bus_port),
            hub=replace(settings.hub, runtime_dir=str(self.runtime_dir)),
        )
        self.children = supervision.wanted(self.settings)
        self._awake = Awake(_LONGEST_STEP_S)
        self._leaving = False
        self._reload: set[str] = set()
        self._news = asyncio.Event()
        self._code = 0
        self._started_s = time.time()
        self._seen: list[object] = []
        self._now_s = 0.0
        self._fed_s = -_WATCHDOG_S
        self._told_ready = False

    def __repr__(self) -> str:
        return f"<Supervisor {self.children!r}>"

    def run(self) -> int:
        """Run the hub until it is told to stop; the exit code."""
        with self._log() as keep:
            setup("supervisor", self.settings.hub.log_level, self._shown_level, keep)
            try:
                return asyncio.run(self._live(keep))
            finally:
                self._port.close()
                self._lock.release()

    @contextmanager
    def _log(self) -> Iterator[Keep | None]:
        """Who keeps what is logged; nobody where the journal does, unless a file is named."""
        path = log_path(self.settings, self.runtime_dir)
        if path is None or (to_journal() and not self.settings.hub.log_file):
            yield None
        else:
            with closing(LogFile(path)) as file:
                yield file.keep

    async def _live(self, keep: Keep | None = None) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up, has_terminal())
        loop.add_signal_handler(signal.SIGCHLD, self._news.set)
        self._notifications = Notifications(self.runtime_dir)
        stderr = Stderr(least=self._shown_level, keep=keep)
        self._processes = Processes(
            config.environment(self.settings) | {"NOTIFY_SOCKET": str(self._notifications.path)},
            stderr,
        )
        loop.add_reader(self._notifications, self._read_notifications)
        control = ControlLink("supervisor", self.runtime_dir, handlers={}, figures=self._figures)
        control.start()
        try:
            return await self._reconcile()
        finally:
            await control.stop()
            loop.remove_reader(self._notifications)
            self._notifications.close()
            stderr.close()

    async def _reconcile(self) -> int:
        """Turn until everybody has left; the exit code."""
        clock = asyncio.get_running_loop().time
        while True:
            self._news.clear()
            if self._turn(clock()):
                return self._code
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), self._step_s())

    def _step_s(self) -> float:
        """How long the next turn may wait when nothing happens."""
        calm = all(child.state is State.READY for child in self.children)
        return _CALM_STEP_S if calm and not self._leaving else _STEP_S

    def _turn(self, monotonic_s: float) -> bool:
        """Look, plan, do; whether everybody has left."""
        now_s = self._now_s = self._awake.look(monotonic_s)
        self._hear(now_s)
        self._bury(now_s)
        culprit = supervision.hopeless(self.children)
        if culprit is not None and not self._leaving:
            log.error("%s cannot start; the hub stops", culprit.name)
            self._code, self._leaving = max(culprit.last_code or 0, 1), True
        for what, child in self._plan(now_s):
            self._do(what, child, now_s)
        self._pass_on()
        self._tell()
        self._tell_systemd(monotonic_s)
        return self._leaving and not any(child.alive for child in self.children)

    def _plan(self, now_s: float) -> list[supervision.Action]:
        if self._leaving:
            patience_s = partial(supervision.patience_s, settings=self.settings)
            return supervision.plan_leaving(self.children, now_s, patience_s)
        return supervision.plan(self.children, now_s)

    def _bury(self, now_s: float) -> None:
        """Take note of children that have ended."""
        by_name = {child.name: child for child in self.children}
        for name, code in self._processes.ended():
            child = by_name[name]
            supervision.ended(child, code, now_s, self._processes.last_lines(name))
            how = f"{code}{_PERHAPS.get(code, '')}"
            if child.state is State.FAILED:
                log.error(
                    "%s has failed: it ended with code %s, for the %d. time in a row; again in "
                    "%.1f s; `hub status` shows its last lines",
                    name, how, child.young_deaths, child.backoff_s,
                )  # fmt: skip
            elif child.told_to_leave and child.state is State.BACKOFF:
                log.info("%s was told to leave; starting again", name)
            elif child.state is not State.GONE:
                log.warning("%s ended with code %s; again in %.1f s", name, how, child.backoff_s)

    def _do(self, what: Do, child: Child, now_s: float) -> None:
        if what is Do.START:
            self._start(child, now_s)
        elif what is Do.TERMINATE:
            child.state, child.since_s = State.LEAVING, now_s
            self._processes.signal(child.name, signal.SIGTERM)
            self._processes.signal(child.name, signal.SIGCONT)  # a stopped one hears nothing else
        else:
            log.warning("%s does not answer; killed", child.name)
            child.killed = True
            self._processes.signal(child.name, signal.SIGKILL)

    def _start(self, child: Child, now_s: float) -> None:
        try:
            pid = self._processes.start(child.name, supervision.command(child.name))
        except OSError as error:
            supervision.not_started(child, now_s)
            log.error(
                "%s cannot be started: %s; see to memory, `ulimit -u` and `ulimit -n` "
                "(under systemd TasksMax= and LimitNOFILE=); again in %.1f s",
                child.name,
                error.strerror,
                child.backoff_s,
            )
        else:
            supervision.started(child, pid, now_s)

    def _read_notifications(self) -> None:
        self._hear(self._awake.look(asyncio.get_running_loop().time()))
        if self._tell():
            self._news.set()

    def _hear(self, now_s: float) -> None:
        """Take in what children have said of themselves."""
        by_pid = {child.pid: child for child in self.children if child.alive}
        for pid, lines in self._notifications.read():
            if pid in by_pid:
                supervision.notified(by_pid[pid], lines, now_s)

    def _stop(self, number: signal.Signals) -> None:
        if not self._leaving:
            log.info("%s: stopping", signal.Signals(number).name)
            notify(*leaving(supervision.hub_leave_s(self.settings)))
        self._leaving = True
        self._news.set()

    def _hang_up(self, had_terminal: bool) -> None:  # noqa: FBT001  # the loop passes it on
        """SIGHUP: somebody has closed the terminal of this hub, or wants files read anew."""
        if had_terminal and not has_terminal():
            self._stop(signal.SIGHUP)
            return
        log.info("SIGHUP: the shards read their certificate anew")
        self._reload = {child.name for child in self.children if child.name.startswith(SHARD)}
        self._news.set()

    def _pass_on(self) -> None:
        """Those who shall read files anew are told once they are ready: before, they would end."""
        for child in self.children:
            if child.name in self._reload and child.state is State.READY:
                self._reload.discard(child.name)
                self._processes.signal(child.name, signal.SIGHUP)

    def _tell(self) -> bool:
        """Report if anything has changed; whether it has."""
        seen: list[object] = [(child.name, child.state, child.pid) for child in self.children]
        changed = seen != self._seen
        if changed:
            self._seen = seen
            self._report(self.children)
        return changed

    def _tell_systemd(self, monotonic_s: float) -> None:
        """All have been ready once; and this loop turns."""
        if not self._told_ready and all(child.was_ready for child in self.children):
            self._told_ready = True
            notify("READY=1", "STATUS=the hub is ready")
        if monotonic_s - self._fed_s >= _WATCHDOG_S:
            self._fed_s = monotonic_s
            notify("WATCHDOG=1")

    def _figures(self) -> dict[str, Any]:
        return {
            "started_s": self._started_s,
            "children": {
                child.name: {
                    "state": child.state.value,
                    "pid": child.pid,
                    "restarts": child.restarts,
                    "last_code": child.last_code,
                }
                | self._crash(child)
                for child in self.children
            },
        }

    def _crash(self, child: Child) -> dict[str, Any]:
        """What is told of a crash as long as it is news."""
        if not supervision.crashed(child, self._now_s):
            return {}
        return {"deaths": max(1, child.young_deaths), "last_lines": list(child.last_lines)}


def _with_port(page: Page) -> tuple[Page, str]:
    """These settings with the port that is picked for 0, and why it cannot be had, if so."""
    if not page.enabled:
        return page, ""
    try:
        port = free_port(page.host, page.port, "page.port")
    except StartError as error:
        return page, str(error)
    return msgspec.structs.replace(page, port=port), ""
