"""One broker account: a thread of its own that makes every call to its adapter.

1. What an account is told is done strictly in order; no account waits for another.
2. Wants are states: the calls are the differences to what the adapter has said yes to.
3. What is wanted is remembered while there is no connection, and asked for when there is one.
4. An adapter that hangs up with its last symbol is not used again: Fyers' hears of the end of its
   old connection seconds after it has made the next, takes that for lost, and makes one more.
5. When all connections are down, and no tick comes, for RENEW_S, they are made anew: some adapters
   give up and tell nobody, Angel's after one refused login. Each time it waits twice as long.
6. An abandoned account says nothing more, whatever its adapter still does.

Runs in the checkout's interpreter: see `worker.py` for what may be imported.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from . import worker_checkout as checkout
from .worker_connect import Line, Refused, connect, hang_up, said_error, with_call
from .worker_leftovers import Leftovers, copies, holder
from .worker_publisher import Door, Publisher
from .worker_secrets import SECRETS
from .worker_wants import DEPTH, FULL, Held, Want, deeper, is_full, levels, modes_of, order

RESULTS_AT_ONCE = 64
RESULTS_EVERY_S = 0.25
RENEW_S, RENEW_MOST_S = 60.0, 3600.0
_log = logging.getLogger("shardhub.openalgo")


class Refusal(NamedTuple):
    """An adapter's no: its sentence, and FULL when there is only no room."""

    error: str
    said: int = 0


class Account:
    """A user's login with a broker. The methods are called by the I/O thread and return at once.

    `leaving` is True from the moment it is told to disconnect until it is told to connect again.
    """

    def __init__(self, name: str, user: str, broker: str, prefix: bytes, door: Door) -> None:
        self.name = name
        self.user = user
        self.broker = broker
        self.leaving = False
        self.line = Line()
        self._publisher = Publisher(door, prefix)
        self._door = door
        self._adapter: Any = None
        self._state = "down"
        self._problem = ""
        self._wanted: dict[bytes, Want] = {}
        self._held: dict[bytes, Held] = {}
        self._leftovers = Leftovers()
        self._spent = False
        self._down_since = 0.0
        self._ticks_then = 0
        self._patience_s = RENEW_S
        self._abandoned = False
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=f"account-{name}", daemon=True).start()

    def __repr__(self) -> str:
        busy = f", in {self.line.call}" if self.line.call else ""
        return f"<Account {self.name} {self._state}, {len(self._held)} keys{busy}>"

    def on(self, prefix: bytes) -> None:
        """Connect, if that is not so yet."""
        self.leaving = False
        self._publisher.prefix = prefix
        self._jobs.put(self._on)

    def off(self) -> None:
        """Disconnect and want nothing any more."""
        self.leaving = True
        self._jobs.put(self._off)

    def want(self, wants: Sequence[Want]) -> None:
        """Take changes of what is wanted."""
        self._jobs.put(lambda: self._want(wants))

    def unsubscribe_all(self) -> None:
        """Want nothing any more, and stay connected."""
        self._jobs.put(self._unsubscribe_all)

    def renew(self, kind: str) -> None:
        """Clear caches of this kind, connect anew, ask for everything again."""
        self._jobs.put(lambda: self._renew(kind))

    def finish(self) -> None:
        """End the thread when it has done all it was told."""
        self._jobs.put(None)

    def abandon(self) -> None:
        """Say nothing more, publish nothing more; disconnect when the adapter lets go."""
        self._abandoned = True
        self._publisher.close()
        self._jobs.put(self._off)
        self._jobs.put(None)

    def health(self, now: float) -> dict[str, Any]:
        """The row of this account; takes no lock, so that a hanging call cannot hold it up."""
        busy_s, call = self.line.busy(now)
        adapters, symbols = _inside(self._adapter)
        up = sum(map(checkout.is_up, adapters))
        problem = self._problem
        if not problem and up < len(adapters) and self._held:  # some hang up when it is empty
            problem = f"{len(adapters) - up} of {len(adapters)} connections are down"
        self._mind(now, down=self._state == "up" and bool(adapters) and not up)
        return {
            "state": self._state,
            "connected": self._state == "up" and up > 0,
            "connections": len(adapters),
            "symbols": len(self._held) if symbols is None else symbols,
            "busy_s": busy_s,
            "call": call,
            "problem": problem,
        }

    def _mind(self, now: float, *, down: bool) -> None:
        """Rule 5, once a second."""
        ticks = self._publisher.ticks
        if ticks != self._ticks_then:
            self._patience_s = RENEW_S
        if not down or ticks != self._ticks_then or not self._held or self.line.call:
            self._down_since, self._ticks_then = now, ticks
        elif now - self._down_since >= self._patience_s:
            self._down_since, self._patience_s = now, min(2 * self._patience_s, RENEW_MOST_S)
            self._jobs.put(self._reconnect)

    def _reconnect(self) -> None:
        if self._adapter is not None and not self._any_up():
            _log.warning("%s: its connections are down and stay so; connecting anew", self.name)
            self._hang_up()
            self._connect()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            if self._abandoned and job != self._off:
                continue
            try:
                job()
            except (Exception, SystemExit):  # noqa: BLE001  # an account outlives whatever it meets
                _log.exception("account %s", self.name)
                self._tell("failed", "BROKER_ERROR", "the worker failed; see its log")

    def _on(self) -> None:
        if self._adapter is not None:
            if checkout.is_up(self._adapter):
                self._tell("up")
                return
            self._hang_up()
        self._connect()

    def _connect(self) -> None:
        """Connect and ask for everything that is wanted; tell the state, then the results."""
        self._dial()
        if self._wanted:
            self._settle(list(self._wanted.values()))

    def _dial(self) -> None:
        """Connect, and tell the state."""
        try:
            self._adapter = connect(self.user, self.broker, self._publisher, self.line)
        except Refused as error:
            self._tell("failed", error.code, SECRETS.hide(str(error)))
        else:
            self._tell("up")

    def _any_up(self) -> bool:
        """Whether one of the connections is up."""
        return any(map(checkout.is_up, _inside(self._adapter)[0]))

    def _off(self) -> None:
        self._wanted.clear()
        self._hang_up()
        self._tell("down", error="not connected")

    def _hang_up(self) -> None:
        adapter, self._adapter = self._adapter, None
        self._held.clear()
        self._leftovers.clear()
        self._spent = False
        if adapter is not None:
            hang_up(adapter, self.line)

    def _renew(self, kind: str) -> None:
        self._hang_up()
        with_call(self.line, "caches", checkout.forget, kind)
        self._connect()

    def _want(self, wants: Sequence[Want]) -> None:
        for want in wants:
            if want.modes:
                self._wanted[want.key] = want
            else:
                self._wanted.pop(want.key, None)
        self._settle(wants)

    def _settle(self, wants: Sequence[Want]) -> None:
        """Make the adapter hold what is wanted; one result for each want with modes, in order."""
        rows: list[list[Any]] = []
        since = time.monotonic()
        for want in wants:
            if self._abandoned:
                return
            refusal = self._change(want)
            if want.modes:
                actual = self._held.get(want.key, Held()).actual
                error, said = refusal or ("", actual)
                rows.append([want.key, want.modes, error, said])
            now = time.monotonic()
            if rows and (len(rows) >= RESULTS_AT_ONCE or now - since >= RESULTS_EVERY_S):
                self._report({"t": "results", "account": self.name, "results": rows})
                rows, since = [], now
        if rows:
            self._report({"t": "results", "account": self.name, "results": rows})

    def _change(self, want: Want) -> Refusal | None:
        """Perform what one want changes; how the first new mode was refused that was."""
        if self._spent and want.modes:
            self._hang_up()
            self._dial()
        if self._adapter is None:
            return Refusal(self._problem or "not connected")
        last = not want.modes and self._held.keys() == {want.key} and self._any_up()
        refusal = self._adjust(want)
        self._spent = self._spent or (last and not self._any_up())
        return refusal

    def _adjust(self, want: Want) -> Refusal | None:
        pooled = _is_pool(self._adapter)
        held = self._held.get(want.key, Held())
        if pooled and deeper(want, held):  # a pool takes the same mode twice for the same thing
            self._unsubscribe(want, 3)
            held = held.without(DEPTH)
        held, refusal = self._subscribe(want, held, order(want, held))
        dropped = modes_of(held.modes & ~want.modes)
        inside = holder(self._adapter, want) if pooled and dropped else None
        for mode in dropped:
            self._unsubscribe(want, mode)
        held = held.without(~want.modes)
        if inside is not None:
            for mode in self._leftovers.left(want, held, dropped, inside):  # it may know of none
                self._call("unsubscribe", want.symbol, want.exchange, mode, adapter=inside)
        left = modes_of(held.modes)[-1:]
        if not pooled and left and dropped and dropped[-1] > left[0]:
            # a pool says this, too: some adapters keep one mode of a symbol, the last
            held, another = self._subscribe(want, held.without(1 << (left[0] - 1)), left)
            refusal = refusal or another
            for _ in range(copies(self._adapter, want, left[0]) - 1):  # and some keep all there are
                self._call("unsubscribe", want.symbol, want.exchange, left[0])
        if held.modes:
            self._held[want.key] = held
        else:
            self._held.pop(want.key, None)
        return refusal

    def _subscribe(
        self, want: Want, held: Held, modes: Sequence[int]
    ) -> tuple[Held, Refusal | None]:
        """Subscribe these modes: what is held then, and the first refusal."""
        refusal = None
        for mode in modes:
            answer = self._call("subscribe", want.symbol, want.exchange, mode, want.depth)
            if error := said_error(answer):
                said = FULL if is_full(answer) else 0
                refusal = refusal or Refusal(SECRETS.hide(error), said)
            else:
                if _is_pool(self._adapter):
                    self._leftovers.went_up(want.key, held, mode)
                held = held.with_mode(mode, want.depth, levels(answer))
        return held, refusal

    def _unsubscribe(self, want: Want, mode: int) -> None:
        refusal = said_error(self._call("unsubscribe", want.symbol, want.exchange, mode))
        if refusal:
            _log.warning("%s: unsubscribe %r: %s", self.name, want.key, SECRETS.hide(refusal))

    def _unsubscribe_all(self) -> None:
        wanted, self._wanted = self._wanted, {}
        if self._adapter is None:
            return
        adapters, _ = _inside(self._adapter)
        if not all(hasattr(one, "unsubscribe_all") for one in adapters):
            for want in wanted.values():
                self._change(want._replace(modes=0))
            return
        self._held.clear()
        self._leftovers.clear()
        refusal = said_error(self._call("unsubscribe_all"))
        if refusal:
            _log.warning("%s: unsubscribe_all: %s", self.name, SECRETS.hide(refusal))

    def _call(self, name: str, *arguments: Any, adapter: Any = None) -> Any:
        """What the adapter, or one in the pool, answers; what it raises, as the error it would
        have answered."""
        try:
            called = self._adapter if adapter is None else adapter
            return with_call(self.line, name, getattr(called, name), *arguments)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # the code of others: anything
            return {"status": "error", "message": str(error) or type(error).__name__}

    def _tell(self, state: str, code: str = "", error: str = "") -> None:
        self._state, self._problem = state, error
        message = {"t": "account", "account": self.name, "state": state}
        self._report(message | {"code": code, "error": error})

    def _report(self, message: dict[str, Any]) -> None:
        if not self._abandoned:
            self._door.report(message)


def _is_pool(adapter: Any) -> bool:
    return hasattr(adapter, "subscription_map")


def _inside(adapter: Any) -> tuple[list[Any], int | None]:
    """The adapters there are, and the symbols a pool counts, if it is one."""
    if adapter is None:
        return [], None
    if not _is_pool(adapter):
        return [adapter], None
    return list(adapter.adapters), sum(adapter.adapter_symbol_counts)
