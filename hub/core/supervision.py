"""What the supervisor should do next: wanted processes compared with actual ones. Pure.

1. Processes start in stages; a stage waits until all before it have been ready once.
2. A process that ends is started again after a back-off, which a stable life resets. One that was
   ready and ends with code 0 was told to leave by somebody, and is started again at once; one that
   ends before it is ready has died young, whatever its code.
3. A process that keeps ending young is FAILED: it is tried ever more rarely, the rest goes on.
4. A process that is told to leave and does not is killed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from hub.core.names import FEED, SHARD, UPLINK, reader
from hub.core.settings import Settings

FIRST_BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 30.0
STABLE_S = 10.0
FAILED_AFTER = 5
READY_S = 20.0
WATCHDOG_S = 30.0
NEWS_S = 60.0
"""How long a crash is told after the process has been started again."""
CANNOT_START = frozenset({73, 78})
"""Exit codes of a process that would fail the same way again: StartError and ConfigError."""
_MERCY_S = 1.0
"""How much longer a process has to leave than it allows itself."""
TOLD_TO_LEAVE = 0
"""Exit code of a process that left in order: a signal asked for it, or its parent's end. One that
was not ready yet cannot have been of any use, and is not believed."""
NO_PROCESS = 71
"""What stands for an exit code where no process could be made (EX_OSERR of sysexits(3))."""


class State(Enum):
    """Where a process stands."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    BACKOFF = "backoff"
    FAILED = "failed"
    LEAVING = "leaving"
    GONE = "gone"


@dataclass(slots=True)
class Child:
    """A process as the supervisor knows it; times are in seconds that the supervisor was awake."""

    name: str
    stage: int
    state: State = State.WAITING
    pid: int = 0
    since_s: float = 0.0
    fed_s: float = 0.0
    backoff_s: float = 0.0
    restarts: int = 0
    young_deaths: int = 0
    last_code: int | None = None
    was_ready: bool = False
    killed: bool = False
    told_to_leave: bool = False
    """Whether its last life ended because somebody asked for it."""
    last_lines: tuple[str, ...] = ()
    """Of its log, up to the last end that was a crash."""

    def __repr__(self) -> str:
        return f"<Child {self.name} {self.state.value} pid {self.pid} restarts {self.restarts}>"

    @property
    def alive(self) -> bool:
        """Whether there is a process."""
        return self.pid != 0


class Do(Enum):
    """What can be done with a child."""

    START = "start"
    TERMINATE = "terminate"
    KILL = "kill"


Action = tuple[Do, Child]


def wanted(settings: Settings) -> list[Child]:
    """The processes of a hub, in the order in which they start."""
    return [
        Child("router", 0),
        *(Child(f"{FEED}{feed}", 1) for feed in settings.hub.feeds),
        *(Child(reader(stream, settings.hub.shards), 2) for stream in range(settings.streams)),
        Child("monitor", 3),
    ]


def command(name: str) -> list[str]:
    """The command line of a process. Secrets and settings travel in the environment."""
    role, _, rest = name.partition("-")
    module = {
        "router": "hub.router",
        "monitor": "hub.monitor",
        "feed": "hub.feeds.host",
        "shard": "shards.shard",
        UPLINK: "shards.uplink",
    }[role]
    return [sys.executable, "-m", module, *([rest] if rest else [])]


def leave_s(name: str, settings: Settings) -> float:
    """The longest time a process may take to leave."""
    sends_clients_away = name.startswith(SHARD)
    return settings.hub.stop_s + settings.websocket.drain_s * sends_clients_away


def patience_s(name: str, settings: Settings) -> float:
    """How long a supervisor waits for a process to leave before it kills it."""
    return leave_s(name, settings) + _MERCY_S


def hub_leave_s(settings: Settings) -> float:
    """The longest time a hub may take to leave: its processes do so in three stages."""
    return sum(patience_s(name, settings) for name in (f"{SHARD}0", FEED, "router"))


def plan(children: Iterable[Child], now_s: float) -> list[Action]:
    """What to do now to keep a hub running."""
    actions: list[Action] = []
    open_stage = True
    for stage in _stages(children):
        for child in stage:
            actions += _plan_one(child, now_s) if open_stage or child.was_ready else []
        open_stage = open_stage and all(child.was_ready for child in stage)
    return actions


def plan_leaving(
    children: Sequence[Child], now_s: float, patience_s: Callable[[str], float]
) -> list[Action]:
    """What to do now to end a hub: shards and monitor leave first, then feeds, then the router.
    `patience_s` is how long each is waited for, by name."""
    for stage in ((2, 3), (1,), (0,)):
        there = [child for child in children if child.stage in stage and child.alive]
        if there:
            return [
                action
                for child in there
                for action in _leave_one(child, now_s, patience_s(child.name))
            ]
    return []


def started(child: Child, pid: int, now_s: float) -> None:
    """A child has been started."""
    child.restarts += child.last_code is not None
    child.pid = pid
    child.state = State.STARTING
    child.since_s = child.fed_s = now_s
    child.killed = False


def not_started(child: Child, now_s: float) -> None:
    """No process could be made for a child, which counts as one that ended at once."""
    child.since_s = now_s
    ended(child, NO_PROCESS, now_s)


def notified(child: Child, lines: Mapping[str, str], now_s: float) -> None:
    """A child has sent a notification; it repeats READY=1, for one may have been lost."""
    child.fed_s = now_s
    if lines.get("READY") == "1" and child.state is State.STARTING:
        child.state = State.READY
        child.was_ready = True


def ended(child: Child, code: int, now_s: float, last_lines: tuple[str, ...] = ()) -> None:
    """A child's process has ended; what it has logged last."""
    ready = child.state is State.READY
    young = not ready or now_s - child.since_s < STABLE_S
    child.pid = 0
    child.last_code = code
    child.told_to_leave = ready and code == TOLD_TO_LEAVE
    if child.state is State.LEAVING:
        child.state = State.GONE
        return
    if child.told_to_leave:
        child.state, child.since_s, child.backoff_s = State.BACKOFF, now_s, FIRST_BACKOFF_S
        return
    child.last_lines = last_lines
    child.young_deaths = child.young_deaths + 1 if young else 0
    doubled = max(0, child.young_deaths - 1)
    child.backoff_s = min(FIRST_BACKOFF_S * 2.0**doubled, LONGEST_BACKOFF_S)
    failed = child.young_deaths >= FAILED_AFTER or code in CANNOT_START
    child.state = State.FAILED if failed else State.BACKOFF
    child.since_s = now_s


def crashed(child: Child, now_s: float) -> bool:
    """Whether its last life ended in a crash, and that is news: it is not back, or back for less
    than a minute."""
    back = child.state is State.READY and now_s - child.since_s >= NEWS_S
    ended_by_itself = child.last_code is not None and not child.told_to_leave
    return ended_by_itself and not back and child.state not in {State.LEAVING, State.GONE}


def hopeless(children: Iterable[Child]) -> Child | None:
    """A child that has never been ready and cannot be: there is no hub without it."""
    for child in children:
        if child.state is State.FAILED and not child.was_ready:
            return child
    return None


def _stages(children: Iterable[Child]) -> list[list[Child]]:
    stages: dict[int, list[Child]] = {}
    for child in children:
        stages.setdefault(child.stage, []).append(child)
    return [stages[number] for number in sorted(stages)]


def _plan_one(child: Child, now_s: float) -> list[Action]:
    idle_s = now_s - child.since_s
    match child.state:
        case State.WAITING:
            return [(Do.START, child)]
        case State.BACKOFF | State.FAILED if idle_s >= child.backoff_s:
            return [(Do.START, child)]
        case State.STARTING if idle_s > READY_S and not child.killed:
            return [(Do.KILL, child)]
        case State.READY if now_s - child.fed_s > WATCHDOG_S and not child.killed:
            return [(Do.KILL, child)]
    return []


def _leave_one(child: Child, now_s: float, patience_s: float) -> list[Action]:
    if child.state is not State.LEAVING:
        return [(Do.TERMINATE, child)]
    if now_s - child.since_s > patience_s and not child.killed:
        return [(Do.KILL, child)]
    return []
