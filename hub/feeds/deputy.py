"""The host of a feed that other machines could run as well: it runs here while its lease is ours.

1. While another machine has the lease, the feed is not started: to the router it is here, and
   serves nobody.
2. Each time that it begins or ends it is another one to the router: nothing of before counts.
3. Leaving is in order: first the feed stops, then the lease is given back (hub/feeds/standby).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hub.cluster.machines import machine_name
from hub.core import codec
from hub.core.claims import Answer
from hub.core.cluster import ACTIVE, STANDBY
from hub.core.codec import Message
from hub.core.model import NOBODY, Offer, Result
from hub.core.names import UPLINK
from hub.core.settings import Settings
from hub.feeds import catalogue
from hub.feeds.base import FeedState
from hub.feeds.host import FeedHost
from hub.feeds.standby import Standby
from hub.runtime.nats import Nats


class Deputy(FeedHost):
    """See the module."""

    def __init__(self, name: str, settings: Settings) -> None:
        super().__init__(name, settings)
        self._active = False
        nats = settings.nats
        self._nats = Nats(nats, f"shardhub {machine_name(settings)} {name}")
        self._standby = Standby(self._nats, settings, self._feed.name)

    async def begin(self) -> None:
        """Wait for the lease, in the background."""
        await self._nats.start()
        self.background(self._standby.run(self._start_feed, self._stop_feed))

    async def see_off(self) -> None:
        """Stop the feed and give the lease back."""
        await self._standby.stop()

    async def end(self) -> None:
        """The feed has been stopped already."""
        await self._nats.stop()

    async def _start_feed(self, _: int) -> None:
        self._active = True
        await self._feed.start(self)
        self._tell_lease()
        self._control.announce(self.offer())

    async def _stop_feed(self) -> None:
        """The feed leaves its source. What was wanted of it is told anew where it runs next."""
        feed, self._active = self._feed, False
        self.begin_anew()
        self._feed = catalogue.make(feed.name, self.settings)
        self._tell_lease()  # first: what is refused here from now on is no word to other machines
        self._control.announce(self.offer())
        await feed.stop()

    def offer(self) -> Offer:
        """What the feed offers; nothing to anybody while it runs elsewhere."""
        offer = super().offer()
        return offer if self._active else offer._replace(users=(NOBODY,), brokers=())

    def publish(self, pairs: Sequence[bytes]) -> None:
        """Nothing of a feed that is about to stop."""
        if self._active:
            super().publish(pairs)

    def _take_interest(self, message: Message) -> None:
        if self._active:
            super()._take_interest(message)
            return
        where = self._standby.state["holder"] or "another machine"
        shard, text = int(message["shard"]), f"feed {self._feed.name} runs on {where} now"
        self._send(
            [
                Answer(shard, Result(want.key, want.modes, text))
                for want in codec.wants(message)
                if want.modes
            ]
        )

    def _sweep(self, now_s: float) -> None:
        self._tell_lease()
        if self._active:
            super()._sweep(now_s)

    def _tell_lease(self) -> None:
        """The uplink tells other machines who has the lease."""
        state = self._standby.state | {"state": ACTIVE if self._active else STANDBY}
        self._control.send({"t": "lease", "to": UPLINK, "feed": self._feed.name, "held": state})

    def _figures(self) -> dict[str, Any]:
        figures = super()._figures() | {
            "lease": self._standby.state["state"],
            "nats": self._nats.figures(),
        }
        if not self._active:
            figures["feed_state"] = FeedState.CONNECTED.value  # all is as it should be
        if self._standby.problem:
            figures["problem"] = f"no lease: {self._standby.problem}"
        return figures
