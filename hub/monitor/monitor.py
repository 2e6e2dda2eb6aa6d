"""The monitor's process: hears heartbeats, measures with psutil once a second, answers.

Where the hub serves a checkout of OpenAlgo it writes the stats file there, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

import hub
from hub.core import codec
from hub.core.codec import Message
from hub.core.errors import ConfigError, HubError
from hub.core.liveness import BEAT_S, Awake
from hub.core.settings import Settings
from hub.core.supervision import wanted
from hub.monitor import metrics, stats
from hub.monitor.board import Board
from hub.monitor.live import Unwatch
from hub.monitor.record import Figures, Record
from hub.monitor.ticker import Ticker
from hub.monitor.token import token_of
from hub.monitor.web import Web
from hub.openalgo.checkout import Checkout
from hub.runtime.control import ControlLink
from hub.runtime.log import Seldom, log
from hub.runtime.role import Role

_WATCHED_S = 5.0
"""So long after somebody has looked the processes are asked for more."""


class Monitor(Role):
    """Sits beside the tick path; its death costs nobody a tick."""

    def __init__(self, name: str, settings: Settings) -> None:
        super().__init__(name, settings)
        self._record = Record(_wanted(settings))
        self._board = Board(self._record, hub.__version__, _facts(settings))
        self._watched_s = -math.inf
        self._processes: dict[int, psutil.Process] = {}
        self._seldom = Seldom()
        self._web: Web | None = None
        self._ticker = Ticker(settings, self.runtime_dir)

    async def start(self) -> None:
        """Report for work and begin to measure."""
        self._control = ControlLink(
            self.name,
            self.runtime_dir,
            figures=self.common_figures,
            handlers={
                "beat": self._take_beat,
                "board": self._answer_board,
                "looked": self._take_looked,
                "pulse": self._take_pulse,
                "status": self._status,
                "usage": self._usage,
            },
            refused=self.refused,
        )
        self._ticker.clear()  # what another life has left
        self._control.start(self.background)
        self.background(self._sample())
        if file := self._stats_file():
            self.background(self._write_stats(file))
        if web := self._make_web():
            self._web = web
            self.background(web.run())

    def _make_web(self) -> Web | None:
        """What serves the page, None without one. Nothing about it keeps the monitor from work."""
        page, websocket, bus = self.settings.page, self.settings.websocket, self.settings.bus
        if not page.enabled:
            return None
        if page.port and page.port in {websocket.port, bus.port}:
            log.warning("there is no page: its port %s is another's; set page.port", page.port)
            return None
        try:
            return Web(self.settings, self, token_of(self.settings))
        except HubError as error:
            log.error("there is no page: %s", error)
            return None

    async def see_off(self) -> None:
        """Send the pages away."""
        if self._web:
            await self._web.stop()

    async def drain(self) -> None:
        """Leave."""
        self._ticker.clear()
        await self._control.stop()

    def _take_beat(self, message: Message) -> None:
        pid, figures = codec.beat(message)
        name, now_s = str(message["from"]), time.monotonic()
        self._record.heard(name, pid, figures, now_s)
        self._board.latencies.heard(name, pid, figures, now_s)

    def _take_looked(self, message: Message) -> None:
        """A process has answered a look."""
        hottest, slowest = codec.looked(message)
        self._board.looked(str(message["from"]), hottest, slowest, time.monotonic())

    def board(self) -> Figures:
        """All that is known just now. As long as it is asked for, the processes are looked at."""
        self._watched_s = time.monotonic()
        return self._board.board(self._watched_s, time.time())

    def history(self) -> Figures:
        """The last two minutes."""
        return self._board.history()

    def missing(self) -> list[str]:
        """The processes that are not ready, of those that the hub is to have."""
        rows = self._record.status(time.monotonic(), time.time())
        ready = {row["name"] for row in rows if row["state"] == "ready"}
        return [name for name in _wanted(self.settings) if name not in ready]

    def metrics(self) -> tuple[bytes, str]:
        """The figures for Prometheus, and what type they are of."""
        return self._board.metrics(time.monotonic(), time.time()), metrics.CONTENT_TYPE

    async def watch(self, symbol: str, mode: str, take: Callable[[Figures], None]) -> Unwatch:
        """Have `take` called with the ticks of a symbol. Raises HubError."""
        return await self._ticker.watch(symbol, mode, take, self._record.brokers())

    def _take_pulse(self, message: Message) -> None:
        """Which feeds there are."""
        self._ticker.take_offers(codec.offers(message))

    def _look(self, now_s: float) -> None:
        """Ask for what is counted only while somebody looks."""
        if now_s - self._watched_s > _WATCHED_S:
            return
        shards = (f"shard-{shard}" for shard in range(self.settings.hub.shards))
        for name in ("router", *shards):
            self._control.send({"t": "look", "to": name})

    async def _sample(self) -> None:
        awake = Awake()
        while True:
            now_s = time.monotonic()
            self._record.heard(self.name, os.getpid(), self.common_figures(), now_s)
            if not awake.pause(now_s).read_first:
                self._record.take(self._measure_all(), now_s)
                self._take_second(now_s)
            self._look(now_s)
            await asyncio.sleep(BEAT_S - (time.monotonic() - now_s) % BEAT_S)

    def _take_second(self, now_s: float) -> None:
        try:
            self._board.take(now_s, time.time())
        except Exception as error:  # noqa: BLE001  # heartbeats and `hub status` go on without it
            self._seldom.warning("board", "the histories lack a second: %r", error, error=error)

    def _measure_all(self) -> dict[str, Figures]:
        """The figures of all processes that are there; of others nothing is kept."""
        pids = self._record.pids()
        for pid in self._processes.keys() - set(pids.values()):
            del self._processes[pid]
        measured = {name: self._measure(pid) for name, pid in pids.items()}
        return {name: figures for name, figures in measured.items() if figures is not None}

    def _measure(self, pid: int) -> Figures | None:
        """A process's figures by psutil, None when it is gone."""
        with contextlib.suppress(psutil.Error):
            process = self._processes.get(pid)
            if process is None:
                process = self._processes[pid] = psutil.Process(pid)
            with process.oneshot():
                times, switches = process.cpu_times(), process.num_ctx_switches()
                return {
                    "cpu_s": times.user + times.system,
                    "rss": process.memory_info().rss,
                    "threads": process.num_threads(),
                    "switches_voluntary": switches.voluntary,
                    "switches_involuntary": switches.involuntary,
                    "age_s": time.time() - process.create_time(),
                }
        self._processes.pop(pid, None)
        return None

    def _stats_file(self) -> Path | None:
        """Where OpenAlgo looks for the figures of its proxy, None without a checkout."""
        path = self.settings.openalgo.path
        try:
            return Checkout.read(Path(path)).stats_file if path else None
        except ConfigError as error:  # it was whole when the hub was started
            log.warning("OpenAlgo's Health page gets no figures: %s", error)
            return None

    async def _write_stats(self, file: Path) -> None:
        """Write the file without end. Where that fails OpenAlgo's page lacks figures, no more."""
        while True:
            rows = self._record.status(time.monotonic(), time.time())
            try:
                stats.write(file, stats.stats(rows, time.time()))
            except OSError as error:
                self._seldom.warning("stats", "OpenAlgo's Health page gets no figures: %s", error)
            await asyncio.sleep(stats.EVERY_S)

    def _status(self, message: Message) -> None:
        self._answer(
            message,
            {
                "t": "status",
                "version": hub.__version__,
                "at": time.time(),
                "hub": _facts(self.settings) | {"tls_cert": self.settings.websocket.tls_cert},
                "processes": self._record.status(time.monotonic(), time.time()),
            },
        )

    def _answer_board(self, message: Message) -> None:
        self._answer(message, {"t": "board", "board": self.board()})

    def _usage(self, message: Message) -> None:
        before, after = self._record.usage(float(message["over_s"]))
        self._answer(message, {"t": "usage", "before": before, "after": after})

    def _answer(self, question: Message, answer: dict[str, Any]) -> None:
        self._control.send(answer | {"to": question["from"]})


def _wanted(settings: Settings) -> list[str]:
    """The processes that a hub is to have, beside whoever watches them."""
    return [child.name for child in wanted(settings) if child.name != "monitor"]


def _facts(settings: Settings) -> dict[str, Any]:
    """What a hub says of itself."""
    return {
        "url": settings.ws_url(),
        "bus": f"tcp://{settings.bus.host}:{settings.bus.port}",
        "shards": settings.hub.shards,
        "feeds": settings.hub.feeds,
    } | _nats(settings)


def _nats(settings: Settings) -> dict[str, Any]:
    """What it says of its place among several machines; nothing when it is alone."""
    role = settings.cluster_role
    return {"nats": {"role": role, "servers": settings.nats.servers}} if role else {}
