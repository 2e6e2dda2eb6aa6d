"""What a connection asks of the account that it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from hub.brokers.base import Credentials, Reply, Request, Subscription
from hub.core.errors import BrokerError
from hub.core.model import Fault
from hub.feeds.native.arbiter import Arbiter

if TYPE_CHECKING:
    from hub.feeds.native.line import Line


class Owner(Protocol):
    """The account that a line belongs to."""

    name: str

    @property
    def arbiter(self) -> Arbiter | None:
        """Who leaves out copies, where there are any."""

    async def admit(self) -> Credentials:
        """Wait until the account may connect, one connection after another; with what. Raises
        BrokerError."""

    def admitted(self, error: BrokerError | None) -> None:
        """What has become of that, once for each `admit` that returned: the broker has let us in,
        or why not."""

    def expelled(self, credentials: Credentials, error: BrokerError) -> None:
        """The broker refuses the credentials of a connection that it had let in."""

    async def fetch(self, request: Request) -> Reply:
        """Ask the broker by HTTP. Raises BrokerError."""

    def publish(self, pairs: list[bytes]) -> None:
        """Ticks `[topic, json, ...]`."""

    def confirmed(self, sub: Subscription) -> None:
        """The broker has confirmed it."""

    def refused(self, line: Line, subs: Sequence[Subscription], fault: Fault, text: str) -> None:
        """It does not take them; they are not in the line's ledger any more."""

    def in_session(self, line: Line) -> bool:
        """Whether a market is in session of which the line has something."""

    def now_s(self) -> float:
        """Seconds that this process has been awake."""


class Once:
    """Tells an owner what has become of a try, the first time it is told."""

    def __init__(self, owner: Owner) -> None:
        self._owner: Owner | None = owner

    def tell(self, error: BrokerError | None) -> bool:
        """This has become of it; None: the broker has let us in. False when it was told before."""
        if self._owner is None:
            return False
        owner, self._owner = self._owner, None
        owner.admitted(error)
        return True
