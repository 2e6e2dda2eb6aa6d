"""The control plane: every process's link to the router, and the router's switch.

A process says `hello` with its epoch and gets a `welcome` with a lease. All it sends from then on
carries the lease; a router that does not know it answers `who`, and the process says hello again
and repeats its whole state. Heartbeats go both ways once a second (`beat`, `pulse`). Two ends of
different versions refuse each other by name (`refused`).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Self

import zmq

from hub.core import codec, stream
from hub.core.codec import Message
from hub.core.errors import Malformed, NoAnswer, NotRunning
from hub.core.liveness import BEAT_S, MISSED_S
from hub.core.model import Offer
from hub.core.names import CLI, CONTROL
from hub.core.window import Window
from hub.runtime.links import Messages, Parts, bind, connect, ipc
from hub.runtime.log import Seldom
from hub.runtime.pump import Pump

_QUEUE = 100_000
_TURN_S = 0.001
"""How long messages are read before ticks have their turn: one may tell of hundreds of symbols."""
_VISIT_QUEUE = 1000
_ROUTERS_OWN = frozenset({"welcome", "who", "refused", "pulse"})

Background = Callable[[Coroutine[Any, Any, None]], object]
"""Starts a task that lives as long as the process."""


class ControlLink:
    """One process's link to the router.

    `handlers` maps message types to calls; `welcomed` runs at every new stay at a router, the
    place to repeat the whole state; `figures` makes the content of each heartbeat; `offer` is
    what a feed announces with its hello; `refused` runs when the versions do not match.
    """

    def __init__(
        self,
        name: str,
        runtime_dir: Path,
        *,
        handlers: dict[str, Callable[[Message], None]],
        welcomed: Callable[[Message], None] = lambda _: None,
        figures: Callable[[], dict[str, Any]] = dict,
        offer: Offer | None = None,
        refused: Callable[[str], None] | None = None,
    ) -> None:
        self.name = name
        self.epoch = time.time_ns()
        self._offer = offer
        self._handlers = handlers
        self._welcomed = welcomed
        self._figures = figures
        self._lease = 0
        self._pulse_s = 0.0
        self._sock = connect(zmq.DEALER, ipc(runtime_dir, CONTROL), queue=_QUEUE, identity=name)
        self._pump = Pump(lambda: None, Window(0))
        self._seldom = Seldom()
        self._refused = refused or (lambda why: self._seldom.warning("refused", "%s", why))
        self._beats: object = None

    def __repr__(self) -> str:
        return f"<ControlLink {self.name} {'welcome' if self.connected else 'alone'}>"

    @property
    def connected(self) -> bool:
        """Whether a router has answered within the last three beats."""
        return bool(self._lease) and time.monotonic() - self._pulse_s < MISSED_S

    def start(self, background: Background = asyncio.create_task) -> None:
        """Say hello and begin to beat, in a task that `background` starts."""
        self._pump.add(Messages(self._sock, self._take, _TURN_S))
        self._beats = background(self._beat())

    def send(self, message: Message) -> None:
        """Send a message; `to` names a role, the router unless given. Dropped while there is no
        welcome: whoever welcomes us is told everything anyway."""
        if self._lease:
            self._send(message | {"lease": self._lease})

    def announce(self, offer: Offer) -> None:
        """Be another process to the router from here on, with this offer: what was is gone."""
        self.epoch, self._lease, self._offer = time.time_ns(), 0, offer
        if self._beats is not None:
            self._hello()

    async def stop(self) -> None:
        """Say goodbye and close."""
        if isinstance(self._beats, asyncio.Task):
            self._beats.cancel()
        self.send({"t": "bye"})
        self._pump.close()

    def _send(self, message: Message) -> None:
        try:
            self._sock.send(codec.encode(message), zmq.NOBLOCK)
        except zmq.Again:
            self._seldom.warning("full", "the router takes no messages; %s is lost", message["t"])
        self._pump.poke()

    async def _beat(self) -> None:
        while True:
            if self._lease:
                self.send({"t": "beat", "pid": os.getpid(), "figures": self._figures()})
            else:
                self._hello()
            await asyncio.sleep(BEAT_S)

    def _hello(self) -> None:
        self._send(
            {
                "t": "hello",
                "version": stream.VERSION,
                "epoch": self.epoch,
                "pid": os.getpid(),
                "offer": self._offer,
            }
        )

    def _take(self, parts: Parts) -> None:
        try:
            message = codec.decode(parts[-1])
        except Malformed as error:
            self._seldom.warning("malformed", "control: %s", error)
            return
        kind = message["t"]
        if kind in _ROUTERS_OWN and "from" in message:
            self._seldom.warning(kind, "control: %s may not say %s", message["from"], kind)
            return
        try:
            self._take_known(kind, message)
        except (Malformed, KeyError, OverflowError, TypeError, ValueError) as error:
            self._seldom.warning(
                kind, "control: %s from %s cannot be used: %r", kind, message.get("from"), error
            )

    def _take_known(self, kind: str, message: Message) -> None:
        """Take a message of a kind that means something here."""
        if kind == "welcome":
            self._take_welcome(message)
        elif kind == "who":
            if message["lease"] == self._lease:  # not about a stay that is over here as well
                self._lease = 0
                self._hello()
        elif kind == "refused":
            self._refused(str(message["why"]))
        elif kind in self._handlers:
            self._handlers[kind](message)
        if kind in {"welcome", "pulse"}:
            self._pulse_s = time.monotonic()

    def _take_welcome(self, message: Message) -> None:
        version = message.get("version", 1)
        if version != stream.VERSION:
            self._refused(
                f"the router speaks version {version} of the hub's protocol and {self.name} "
                f"version {stream.VERSION}; restart the older from the newer installation"
            )
            return
        fresh = message["lease"] != self._lease
        self._lease = message["lease"]
        if fresh:
            self._welcomed(message)


class Switch:
    """The router's end: reads everyone's messages, sends to anyone by name."""

    def __init__(self, runtime_dir: Path, take: Callable[[str, Message], None]) -> None:
        self._sock = bind(zmq.ROUTER, ipc(runtime_dir, CONTROL), queue=_QUEUE, what="the router")
        self._take_message = take
        self._pump = Pump(lambda: None, Window(0))
        self._seldom = Seldom()
        self.malformed = 0

    def start(self) -> None:
        """Begin to read."""
        self._pump.add(Messages(self._sock, self._take, _TURN_S))

    def send(self, to: str, message: Message) -> bool:
        """Send to a process by name; False when it is not there."""
        try:
            self._sock.send_multipart([to.encode(), codec.encode(message)], zmq.NOBLOCK)
        except zmq.ZMQError:  # unroutable or full
            return False
        finally:
            self._pump.poke()
        return True

    @property
    def faults(self) -> int:
        """How many messages were lost to a fault of this process."""
        return self._pump.faults

    def close(self) -> None:
        """Read no more."""
        self._pump.close()

    def _take(self, parts: Parts) -> None:
        try:
            message = codec.decode(parts[-1])
            sender = parts[0].decode()
            self._take_message(sender, message)
        except (Malformed, KeyError, OverflowError, TypeError, ValueError) as error:
            self.malformed += 1
            self._seldom.warning("malformed", "control message dropped: %r", error)


class Visitor:
    """The command line at the control link: it asks, and hears what is told to it. It is no process
    of the hub. A context manager; raises NotRunning when there is no hub."""

    def __init__(self, runtime_dir: Path) -> None:
        if not (runtime_dir / CONTROL).exists():
            raise NotRunning(f"no hub runs at {runtime_dir}; start one with `hub start`")
        self._runtime_dir = runtime_dir
        self._heard: asyncio.Queue[Message] = asyncio.Queue()

    def __repr__(self) -> str:
        return f"<Visitor at {self._runtime_dir}, {self._heard.qsize()} messages>"

    def __enter__(self) -> Self:
        name = f"{CLI}{os.getpid()}-{time.monotonic_ns()}"
        control = ipc(self._runtime_dir, CONTROL)
        self._sock = connect(zmq.DEALER, control, queue=_VISIT_QUEUE, identity=name)
        self._pump = Pump(lambda: None, Window(0))
        self._pump.add(
            Messages(self._sock, lambda parts: self._heard.put_nowait(codec.decode(parts[-1])))
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._pump.close()

    def say(self, to: str, message: Message) -> None:
        """Ask a process something."""
        self._sock.send(codec.encode(message | {"to": to}))
        self._pump.poke()

    async def hear(self, timeout_s: float) -> Message:
        """The next that is told. Raises TimeoutError."""
        return await asyncio.wait_for(self._heard.get(), timeout_s)

    async def ask(self, to: str, message: Message, timeout_s: float) -> Message:
        """Ask one question. Raises NotRunning when that process is not there, NoAnswer naming who
        was silent."""
        self.say(to, message)
        try:
            reply = await self.hear(timeout_s)
        except TimeoutError:
            raise NoAnswer(f"the hub's {to} at {self._runtime_dir}", timeout_s) from None
        if reply["t"] == "absent":
            raise NotRunning(
                f"the hub at {self._runtime_dir} has no {to} just now; try again in a moment"
            )
        return reply


async def ask(runtime_dir: Path, to: str, message: Message, timeout_s: float = 3.0) -> Message:
    """Ask a process of a running hub one question, as the command line does.

    Raises NotRunning when there is no hub, NoAnswer naming who was silent.
    """
    with Visitor(runtime_dir) as visitor:
        return await visitor.ask(to, message, timeout_s)
