"""With which credentials an account may connect, and when. One connection is made after another.

1. Credentials are asked for anew each time.
2. Those that the broker refuses are tried three times, and no more until they are others (gate.py).
3. Where a login needs no browser it is done when the session is missing, has expired or was
   refused: three times, and no more until a session has held for a minute, or what it is made of is
   another.
4. Where a login does not help against a refusal, both are told: what the broker said, and why not.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from hub.brokers.base import Broker, Credentials
from hub.core.errors import BrokerError
from hub.core.model import Fault
from hub.credentials.provider import Provider
from hub.feeds.native.gate import SURE_S, Gate
from hub.runtime.log import log

_LOGINS = 3
_REST_S = 660.0
"""After a login that was refused; the provider tries none within ten minutes."""

_BEARABLE_S = 90.0
"""Who waits longer than that is blocked."""

_LOOK_S = 2.0
_SOON_S = 600.0
"""Credentials that expire so soon are spoken of."""


class Admission:
    """That of the account with this name. `now_s` is a clock of the time this process is awake."""

    def __init__(
        self, name: str, broker: Broker, provider: Provider, now_s: Callable[[], float]
    ) -> None:
        self.source = provider.name
        self.problem = ""
        self._refusal = ""  # what the broker said to the last credentials
        self.blocked = False
        self.expires: float | None = None
        self._name = name
        self._broker = broker
        self._provider = provider
        self._now_s = now_s
        self._gate = Gate()
        self._turn = asyncio.Lock()
        self._other = asyncio.Event()  # there may be other credentials
        self._credentials: Credentials = {}
        self._logins = 0
        self._let_in_s: float | None = None  # None: refused since
        self._reading = False

    def __repr__(self) -> str:
        return f"<Admission {self._name}{', blocked' if self.blocked else ''}>"

    async def ask(self) -> Credentials:
        """Wait for one's turn, and for credentials that may be tried. Each is followed by `told`.
        Raises BrokerError when it is not for want of credentials."""
        await self._turn.acquire()
        try:
            self._credentials = await self._acceptable()
        except BaseException:
            self._turn.release()
            raise
        return self._credentials

    def told(self, error: BrokerError | None) -> None:
        """What the broker says to the last ones; None: it has let us in."""
        self._turn.release()
        if error is None:
            now_s = self._now_s()
            self._gate.accepted(now_s)
            self.problem = self._refusal = ""
            if self._held(now_s):
                self._logins = 0
            if self._let_in_s is None or not self._logins:
                self._let_in_s = now_s
        elif error.fault is Fault.AUTH:
            self._refused(error)

    def expelled(self, credentials: Credentials, error: BrokerError) -> None:
        """The broker refuses these after it had let us in with them."""
        if credentials == self._credentials:
            self._refused(error)

    async def watch(self, changed: Callable[[], None]) -> None:
        """Look whether there are other credentials, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                if not self._reading and await self._provider.changed():
                    log.info("%s: %s has changed", self._name, self.source)
                    self._logins = 0
                    self._other.set()
                    changed()
                    await self._provider.find()
            except BrokerError:  # whoever needs them will tell
                continue
            except Exception as error:  # noqa: BLE001  # what they are read from may be anything
                log.error("%s: %s", self._name, self.source, exc_info=error)
                await asyncio.sleep(_REST_S)

    def trouble(self) -> str:
        """What is wrong with the credentials, in words."""
        if self.blocked:
            return f"{self.problem}; it is tried again when {self.source} changes"
        left_s = self.expires - time.time() if self.expires else _SOON_S
        if self.problem or left_s >= _SOON_S:
            return self.problem
        when = time.strftime("%H:%M", time.localtime(self.expires))
        return f"its credentials {'have expired' if left_s <= 0 else 'expire'} at {when}"

    def _refused(self, error: BrokerError) -> None:
        now_s = self._now_s()
        self._gate.refused(self._credentials, now_s)
        if self._held(now_s):
            self._logins = 0
        self._let_in_s = None
        self._refusal = str(error)
        by_hand = f"; for another session, {self._provider.renewal}"
        self._note(str(error) + by_hand * (not self._provider.logs_in))

    def _held(self, now_s: float) -> bool:
        """Whether we have been in for a minute."""
        return self._let_in_s is not None and now_s - self._let_in_s >= SURE_S

    async def _acceptable(self) -> Credentials:
        while True:
            self._other.clear()
            self._reading = True
            try:
                credentials = await self._had()
                wait_s = self._gate.wait_s(credentials, self._now_s())
            except BrokerError as error:
                if error.fault is not Fault.AUTH:
                    raise
                self._note(str(error))
                wait_s = self._rest_s()
            finally:
                self._reading = False
            self.blocked = wait_s is None or wait_s > _BEARABLE_S
            if wait_s == 0.0:
                self.expires = self._broker.expires(credentials)
                return credentials
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._other.wait()

    async def _had(self) -> Credentials:
        """What there is, after a login where one is due. Raises BrokerError."""
        provider = self._provider
        found = await provider.find()
        stale = self._expired(found.credentials) or self._gate.knows(found.credentials)
        if provider.logs_in and (found.missing or stale):
            if self._logins >= _LOGINS:
                told = f"{self.problem}; {self._logins} logins were of no use"
                raise BrokerError(Fault.AUTH, told)
            self._logins += 1
            try:
                await provider.login()
            except BrokerError as error:
                if error.fault is Fault.AUTH and self._gate.knows(found.credentials):
                    raise BrokerError(Fault.AUTH, f"{self._refusal}; {error}") from None
                raise
            log.info("%s: logged in", self._name)
        credentials = await provider.get()
        if self._expired(credentials):
            told = f"what {self.source} says has expired"
            raise BrokerError(Fault.AUTH, f"{told}; {provider.renewal}")
        return credentials

    def _expired(self, credentials: Credentials) -> bool:
        expires = self._broker.expires(credentials)
        return expires is not None and expires <= time.time()

    def _rest_s(self) -> float | None:
        """How long to wait for other credentials: a login may be of use later, a few times."""
        may_log_in = self._provider.logs_in and self._logins < _LOGINS
        return _REST_S if may_log_in else None

    def _note(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("%s: %s", self._name, problem)
        self.problem = problem
