"""A bucket of values in NATS (JetStream) that are changed only by who knows what is there.

It is one of NATS's own key-value buckets, so `nats kv` shows it. It is made when it is missing:
on three servers of a cluster, in files, so that a server that is started again has all of it.
Nothing in it expires.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from hub.core.errors import NoAnswer, NoBucket
from hub.core.lease import Seen
from hub.runtime.nats import Nats

_Answer = TypeVar("_Answer")
_LAST = "Nats-Expected-Last-Subject-Sequence"

# JetStream's own numbers of what it answers (its server/errors.json)
_OTHER_REVISION = frozenset({10071, 10164})
_NO_STREAM, _NO_MESSAGE, _NAME_IN_USE = 10059, 10037, 10058
_OFF = frozenset({10039, 10076})
_TOO_FEW = frozenset({10005, 10023, 10074})

_REPLICAS = 3
"""If there are so many servers, else one: of two both would have to be there."""

_NO_JETSTREAM = (
    "NATS has no JetStream, which keeps the leases of standby machines; start nats-server with "
    "`-js`, or with jetstream {} in its configuration"
)
_NO_LEADER = "JetStream has no leader for the leases just now; are most of NATS's servers up?"


class Bucket:
    """The bucket of a name, by a connection that may come and go. Each call takes `within_s` at
    most, and raises NoBucket with what is in the way."""

    def __init__(self, door: Nats, name: str) -> None:
        self.name = name
        self._door = door
        self._stream = f"KV_{name}"
        self._there = False

    def __repr__(self) -> str:
        return f"<Bucket {self.name} {'there' if self._there else 'not seen yet'}>"

    async def look(self, key: str, within_s: float) -> Seen:
        """What the key has, as the one server sees it that decides on changes."""
        return await self._asked(self._look(key), within_s)

    async def write(self, key: str, value: bytes, last: int, within_s: float) -> int | None:
        """Change the key from revision `last`. The new revision, None if another one was there."""
        return await self._asked(self._write(key, value, last), within_s)

    async def _look(self, key: str) -> Seen:
        stream = await self._open()
        try:
            found = await self._door.js.get_last_msg(stream, f"$KV.{self.name}.{key}")
        except Exception as error:
            if _code(error) == _NO_MESSAGE:
                return Seen(bucket=str((await self._door.js.stream_info(stream)).created))
            self._there = _code(error) != _NO_STREAM
            raise
        gone = (found.headers or {}).get("KV-Operation")
        return Seen(found.seq, b"" if gone else found.data or b"")

    async def _write(self, key: str, value: bytes, last: int) -> int | None:
        try:
            taken = await self._door.js.publish(
                f"$KV.{self.name}.{key}", value, stream=self._stream, headers={_LAST: str(last)}
            )
        except Exception as error:
            if _code(error) in _OTHER_REVISION:
                return None
            raise
        revision: int = taken.seq
        return revision

    async def _open(self) -> str:
        """The stream that carries the bucket, after seeing to it that there is one."""
        if not self._there:
            js = self._door.js
            try:
                await self._widen(js, (await js.stream_info(self._stream)).config)
            except Exception as error:
                if _code(error) != _NO_STREAM:
                    raise
                await self._make(js)
            self._there = True
        return self._stream

    async def _make(self, js: Any) -> None:
        for replicas in (_REPLICAS, 1):
            try:
                await js.create_key_value(bucket=self.name, history=1, replicas=replicas)
            except Exception as error:
                if _code(error) == _NAME_IN_USE:
                    return  # somebody else has just made it
                if _code(error) not in _TOO_FEW or replicas == 1:
                    raise
            else:
                return

    async def _widen(self, js: Any, config: Any) -> None:
        """One that was made while there were too few servers is to have more now."""
        if config.num_replicas < _REPLICAS:
            try:
                await js.update_stream(config.evolve(num_replicas=_REPLICAS))
            except Exception as error:
                if _code(error) not in _TOO_FEW:
                    raise

    async def _asked(self, work: Coroutine[Any, Any, _Answer], within_s: float) -> _Answer:
        try:
            async with asyncio.timeout(within_s):
                return await work
        except TimeoutError:
            raise NoBucket(f"JetStream has not answered within {within_s:.1f} s") from None
        except NoAnswer:
            raise NoBucket("there is no connection to NATS") from None
        except Exception as error:
            raise NoBucket(self._sentence(error)) from error

    def _sentence(self, error: Exception) -> str:
        nobody_listens = getattr(error, "code", 0) is None or _code(error) is None
        if _code(error) in _OFF or (nobody_listens and not self._there):
            return _NO_JETSTREAM
        if nobody_listens:
            return _NO_LEADER
        return f"JetStream: {getattr(error, 'description', '') or error}"


def _code(error: Exception) -> int | None:
    """JetStream's own number of an error, None where it did not say one."""
    return getattr(error, "err_code", None)
