"""Which feed serves whom, as a shard knows it from the router's pulses.

1. A feed that names the user goes before one that names only the broker, and that one before a
   feed that serves anybody. Among equals one that is there goes before one that is gone.
2. A feed that has gone is mostly being restarted: it is remembered for `REMEMBERED_S` seconds.
"""

from __future__ import annotations

from collections.abc import Iterable

from hub.core.model import Identity, Offer

REMEMBERED_S = 60.0
"""Time for which a feed that has gone is still counted on."""


class Offers:
    """The feeds that are there, and those that have just gone."""

    def __init__(self) -> None:
        self._known: dict[str, Offer] = {}
        self._gone: dict[str, float] = {}

    def __repr__(self) -> str:
        there = " ".join(sorted(self._known.keys() - self._gone.keys())) or "none"
        return f"<Offers of {there}; gone: {' '.join(sorted(self._gone)) or 'none'}>"

    def __contains__(self, feed: object) -> bool:
        """Whether this feed is there just now."""
        return feed in self._known and feed not in self._gone

    def take(self, offers: Iterable[Offer], now_s: float) -> list[str]:
        """Take the router's word on who is there; the feeds that have gone since the last one."""
        there = {offer.feed: offer for offer in offers}
        gone = [feed for feed in self._known if feed not in there and feed not in self._gone]
        self._known.update(there)
        self._gone = {
            feed: at_s
            for feed, at_s in (dict.fromkeys(gone, now_s) | self._gone).items()
            if feed not in there
        }
        for feed in [feed for feed, at_s in self._gone.items() if now_s - at_s > REMEMBERED_S]:
            del self._gone[feed], self._known[feed]
        return gone

    def of(self, identity: Identity) -> str:
        """The feed whose ticks this user gets; empty when none serves him."""
        best = self.best(identity)
        return best.feed if best else ""

    def prefers(self, identity: Identity, feed: str) -> bool:
        """Whether a feed is here that is meant for this user more than `feed` is."""
        best, other = self.best(identity), self._known.get(feed)
        if best is None or other is None or best.feed not in self:
            return False
        return self._rank(best)[:2] < self._rank(other)[:2]

    def best(self, identity: Identity) -> Offer | None:
        """What that feed offers."""
        serving = [offer for offer in self._known.values() if offer.serves(identity)]
        return min(serving, key=self._rank, default=None)

    def _rank(self, offer: Offer) -> tuple[bool, bool, bool, str]:
        return not offer.users, not offer.brokers, offer.feed in self._gone, offer.feed
