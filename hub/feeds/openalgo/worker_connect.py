"""How an account gets its connection: OpenAlgo's rules, with its one retry of each kind.

1. An error that looks like a stale token, or like no connection: caches cleared, once more.
2. Every attempt reads the database anew.
3. What fails is taken down again, and told with the reason its adapter gave.

Runs in the checkout's interpreter: see `worker.py` for what may be imported.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from . import worker_checkout as checkout
from .worker_publisher import Publisher
from .worker_secrets import SECRETS

_log = logging.getLogger("shardhub.openalgo")


class Refused(Exception):
    """There is no connection: the code for the client, the adapter's own reason."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Line:
    """Which call to an adapter is being made, and since when. Read by the I/O thread."""

    def __init__(self) -> None:
        self._present: tuple[str, float] | None = None

    def __repr__(self) -> str:
        return f"<Line {self.call or 'idle'}>"

    @property
    def call(self) -> str:
        """The name of the call, empty when there is none."""
        present = self._present
        return present[0] if present else ""

    def busy(self, now: float) -> tuple[float, str]:
        """How long the present call has run, and its name; 0 and nothing when there is none."""
        present = self._present
        return (round(now - present[1], 3), present[0]) if present else (0.0, "")

    def take(self, name: str) -> None:
        """A call begins."""
        self._present = name, time.monotonic()

    def free(self) -> None:
        """It has returned."""
        self._present = None


def with_call(line: Line, name: str, call: Callable[..., Any], *arguments: Any) -> Any:
    """What the call returns; the line shows it meanwhile."""
    line.take(name)
    try:
        return call(*arguments)
    finally:
        line.free()


def said_error(answer: Any) -> str:
    """The sentence of an answer that is an error, in any of the forms there are; else empty."""
    if not isinstance(answer, dict):
        return ""
    if answer.get("status") == "error" or answer.get("success") is False:
        return str(answer.get("message") or answer.get("error") or "the adapter gave no reason")
    return ""


def hang_up(adapter: Any, line: Line) -> None:
    """Disconnect, whatever comes of it."""
    try:
        with_call(line, "disconnect", adapter.disconnect)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # the code of others: anything
        _log.warning("disconnect: %s", error)


def connect(user: str, broker: str, publisher: Publisher, line: Line) -> Any:
    """A connected adapter, or pool of adapters. Raises Refused."""
    attempt = _Attempt(user, broker, publisher, line)
    try:
        return attempt.run()
    except (Exception, SystemExit) as error:  # the code of others: anything
        attempt.take_down()
        if isinstance(error, Refused):
            raise
        if not checkout.looks_like_auth(str(error)):
            raise _refused(error, broker) from error
    _log.warning("%s of %s: looks like a stale token, once more", broker, user)
    try:
        attempt.forget()
        return attempt.run(retried=True)
    except Refused:
        attempt.take_down()
        raise
    except (Exception, SystemExit) as error:
        attempt.take_down()
        raise _refused(error, broker) from error


class _Attempt:
    """One try to connect, with what it has made so far."""

    def __init__(self, user: str, broker: str, publisher: Publisher, line: Line) -> None:
        self._user = user
        self._broker = broker
        self._publisher = publisher
        self._line = line
        self._adapter: Any = None
        self._pooled = checkout.is_pooled()

    def run(self, *, retried: bool = False) -> Any:
        """A connected adapter. Raises Refused, and whatever the adapter raises."""
        self.forget()  # not all adapters tell of a token that was refused
        self._adapter = self._make()
        error = self._initialize()
        if error and not retried and checkout.looks_like_auth(error):
            self.forget()
            error = self._initialize()
        if error:
            raise Refused("BROKER_CONNECTION_ERROR" if self._pooled else "BROKER_INIT_ERROR", error)
        answer = with_call(self._line, "connect", self._adapter.connect)
        error = said_error(answer)
        if error and not retried and _worth_a_retry(error, answer):
            self.forget()
            error = self._initialize(force=True)
            if error:
                raise Refused("BROKER_INIT_ERROR", error)
            error = said_error(with_call(self._line, "connect", self._adapter.connect))
        if error:
            raise Refused("BROKER_CONNECTION_ERROR", error)
        return self._adapter

    def forget(self) -> None:
        """Clear what the checkout remembers of the user's tokens."""
        with_call(self._line, "caches", checkout.forget, "ALL", self._user)

    def take_down(self) -> None:
        """Disconnect what was made, so that none of its threads goes on."""
        adapter, self._adapter = self._adapter, None
        if adapter is not None:
            hang_up(adapter, self._line)

    def _make(self) -> Any:
        found = with_call(self._line, "import", checkout.adapter_class, self._broker)
        if self._pooled:
            return checkout.make_pool(found, self._broker, self._user, self._publisher)
        return with_call(self._line, "create", checkout.make_adapter, found, self._publisher)

    def _initialize(self, *, force: bool = False) -> str:
        """The sentence of what went wrong, or empty.

        The user's tokens are known for what they are before the adapter can tell them; again when
        it has read them, for before that the checkout's code may not have been there to ask.
        """
        call = self._adapter.initialize
        options = {"force": True} if force and checkout.accepts(call, "force") else {}
        self._learn()
        try:
            answer = with_call(
                self._line, "initialize", lambda: call(self._broker, self._user, **options)
            )
        finally:
            self._learn()
        return said_error(answer)

    def _learn(self) -> None:
        SECRETS.learn(with_call(self._line, "tokens", checkout.tokens_of, self._user))


def _worth_a_retry(error: str, answer: Any) -> bool:
    return (
        checkout.looks_like_auth(error)
        or answer.get("code") in {"CONNECTION_FAILED", "CONNECTION_ERROR"}
        or "failed to connect" in error.lower()
    )


def _refused(error: BaseException, broker: str) -> Refused:
    if not isinstance(error, LookupError):
        _log.error("%s: connecting failed", broker, exc_info=error)
    return Refused("BROKER_ERROR", str(error) or type(error).__name__)
