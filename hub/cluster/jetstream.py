"""The stream of JetStream in which account events are kept.

1. Whoever comes first makes it; to find that another was faster is as good.
2. It has three replicas where there are servers for them. A cluster that is not complete yet, and
   has room for one, is asked for more later.
3. Without JetStream, or where it takes no stream of ours, events are not kept. That is believed
   when it is said for a while: a cluster that starts has its moments.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from hub.core import envelope
from hub.core.errors import NoAnswer, NobodyListens
from hub.runtime.log import log
from hub.runtime.nats import Nats

KEPT_S = 300
"""How long events are kept."""

_MOST_BYTES = 64 << 20
_REPLICAS = 3
_ANSWER_S = 2.0
_GROW_S = 10.0
_ABSENT_S = 3.0
_NO_STREAM, _IN_USE = 10059, 10058
_DISABLED = frozenset({10039, 10076})
_FULL = frozenset({10023, 10047})
"""JetStream's error codes: no such stream, one of another form, none for this account or server, no
room for one."""

_UNKEPT = "account events reach other machines at most once, and who is away misses them: {}"


class State(NamedTuple):
    """When the stream was made, and the numbers of the first and the last event in it."""

    created: str
    first: int
    last: int


class EventStream:
    """The stream of one prefix. `kept` says whether there is one; None: nobody knows yet."""

    def __init__(self, door: Nats, prefix: str) -> None:
        self.name = f"{prefix}_EVENTS"
        self.kept: bool | None = None
        self.why = ""
        self.absent_s = _ABSENT_S
        self._door = door
        self._subject = envelope.everything(prefix)
        self._absent_since_s: float | None = None
        self._grow_at_s = 0.0
        self._one = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<EventStream {self.name} {'kept' if self.kept else self.why or 'unknown'}>"

    async def ensure(self) -> State | None:
        """Have the stream there; None when events are not kept. Raises NoAnswer: ask again."""
        async with self._one:
            try:
                answer = await self._found()
                why = self._refusal(answer.get("error", {}))
            except NobodyListens:
                why = "NATS has no JetStream (start its servers with it)"
            if why:
                self._absent(why)
                return None
            self._absent_since_s = None
            if not self.kept:
                log.info("account events are kept in the stream %s of JetStream", self.name)
            self.kept, self.why = True, ""
            await self._grow(answer["config"])
            state = answer["state"]
            return State(answer["created"], state["first_seq"], state["last_seq"])

    async def ask(
        self, what: str, body: Mapping[str, Any] | None = None, timeout_s: float = _ANSWER_S
    ) -> dict[str, Any]:
        """JetStream's answer, which may be an error. Raises NoAnswer."""
        data = json.dumps(body).encode() if body else b""
        said = await self._door.request(f"$JS.API.{what}", data, timeout_s)
        found: dict[str, Any] = json.loads(said)
        return found

    async def _found(self) -> dict[str, Any]:
        """What is known of the stream, which is made if there is none."""
        answer = await self.ask(f"STREAM.INFO.{self.name}")
        if answer.get("error", {}).get("err_code") != _NO_STREAM:
            return answer
        for replicas in (_REPLICAS, 1):
            answer = await self.ask(f"STREAM.CREATE.{self.name}", self._config(replicas))
            error = answer.get("error", {})
            if error.get("err_code") == _IN_USE:
                return await self.ask(f"STREAM.INFO.{self.name}")
            if not error:
                break
        return answer

    def _refusal(self, error: Mapping[str, Any]) -> str:
        """Why there is no stream, in words; empty if there is one. Raises NoAnswer if that may
        pass."""
        said = error.get("description", error)
        if error.get("err_code") in _DISABLED:
            return f"NATS has no JetStream for this account ({said})"
        if error.get("code", 0) >= 500 and error.get("err_code") not in _FULL:
            raise NoAnswer(f"JetStream ({said})", _ANSWER_S)
        return f"JetStream takes no stream {self.name} ({said})" if error else ""

    def _config(self, replicas: int) -> dict[str, Any]:
        second = 1_000_000_000
        return {
            "name": self.name,
            "description": "Account events of Shardhub on their way from machine to machine",
            "subjects": [self._subject],
            "retention": "limits",
            "discard": "old",
            "storage": "file",
            "max_age": KEPT_S * second,
            "max_bytes": _MOST_BYTES,
            "duplicate_window": KEPT_S * second,
            "num_replicas": replicas,
        }

    async def _grow(self, config: dict[str, Any]) -> None:
        """Ask for the replicas that are missing, now and then."""
        now_s = time.monotonic()
        if config["num_replicas"] < _REPLICAS and now_s >= self._grow_at_s:
            self._grow_at_s = now_s + _GROW_S
            grown = config | {"num_replicas": _REPLICAS}
            answer = await self.ask(f"STREAM.UPDATE.{self.name}", grown)
            if "error" not in answer:
                log.info("the stream %s has %d replicas now", self.name, _REPLICAS)

    def _absent(self, why: str) -> None:
        """There is no stream, as it seems. Raises NoAnswer while that is not certain."""
        now_s = time.monotonic()
        if self._absent_since_s is None:
            self._absent_since_s = now_s
        if now_s - self._absent_since_s < self.absent_s:
            raise NoAnswer("JetStream", _ANSWER_S)
        if self.kept is not False:
            log.warning("%s", _UNKEPT.format(why))
        self.kept, self.why = False, _UNKEPT.format(why)
