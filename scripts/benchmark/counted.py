"""The role whose instructions are counted: a router or a shard as its process runs it, but for its
timers, which would fire by the clock and not by what it is given.

It hears `begin` and `end` on stdin. Between the two valgrind counts (`FROM` and `TO` are what it
takes as marks), or, with the argument `calls`, Python's own profiler counts calls.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import uvloop

from hub.core import config, hot
from hub.core.settings import Settings
from hub.router import Router
from hub.runtime.log import setup
from hub.runtime.role import Role
from scripts.benchmark import leash
from shards.shard import Shard

FROM, TO = "getsid", "getpgid"
_ROOT = Path(__file__).parents[2]
_SHORT_S = 0.2
_LONGEST_S = 300


class Loop(uvloop.Loop):
    """A loop whose longer timers can be stopped for good."""

    def __init__(self) -> None:
        super().__init__()
        self._timers: list[asyncio.TimerHandle] | None = []

    def call_later(  # type: ignore[override]  # as uvloop has it, with less said of the types
        self, delay: float, callback: Any, *args: Any, context: Any = None
    ) -> Any:
        """As every loop does it."""
        handle = super().call_later(delay, callback, *args, context=context)
        if delay >= _SHORT_S:
            if self._timers is None:
                handle.cancel()
            else:
                self._timers.append(handle)
        return handle

    def still(self) -> None:
        """Beats, deadlines and second looks are over."""
        timers, self._timers = self._timers or [], None
        for timer in timers:
            timer.cancel()


class Calls:
    """Counts which functions are called, by `file:line name`, or the name of what is compiled."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Calls of {len(self.counts)} functions>"

    def begin(self) -> None:
        """Count from here."""
        sys.setprofile(self._called)

    def end(self) -> None:
        """Count no more."""
        sys.setprofile(None)

    def _called(self, frame: FrameType, event: str, what: Any) -> None:
        if event == "call":
            code = frame.f_code
            self.counts[f"{_short(code.co_filename)}:{code.co_firstlineno} {code.co_qualname}"] += 1
        elif event == "c_call":
            owner = getattr(what, "__self__", None)
            kind = "" if owner is None else f"{type(owner).__name__}."
            self.counts[f"{_short(frame.f_code.co_filename)} > {kind}{what.__name__}"] += 1


def main(name: str, flags: dict[str, object], how: str) -> None:
    """Run the role `name` until stdin ends."""
    signal.alarm(_LONGEST_S)
    settings = config.load(environ={}, flags=flags)
    setup(name, settings.hub.log_level)
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(_live(Router if name == "router" else Shard, name, settings, how))


async def _live(make: Callable[..., Role], name: str, settings: Settings, how: str) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Loop)
    calls = Calls() if how == "calls" else None

    def hear() -> None:
        for word in os.read(0, 1024).split() or [b"leave"]:
            obey(word.decode())

    def obey(word: str) -> None:
        if word == "begin":
            loop.still()
            gc.collect()
            gc.freeze()
            gc.set_threshold(50_000, 20, 20)  # as Role.live does
            leash.say(word)
            calls.begin() if calls else os.getsid(0)
        elif word == "end":
            calls.end() if calls else os.getpgid(0)
            leash.say(word, calls=calls.counts if calls else {})
        else:
            os._exit(0)

    loop.add_reader(0, hear)
    role = make(name, settings)
    started = asyncio.ensure_future(role.start())
    leash.say("up", compiled=hot.COMPILED)
    await started
    leash.say("ready")
    await asyncio.Event().wait()


def _short(path: str) -> str:
    own = Path(path)
    return str(own.relative_to(_ROOT)) if own.is_relative_to(_ROOT) else own.name


if __name__ == "__main__":
    main(sys.argv[1], msgspec.json.decode(sys.argv[2], type=dict[str, object]), sys.argv[3])
