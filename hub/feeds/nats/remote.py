"""A feed of another machine, on this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from hub.core.cluster import Announced, Results
from hub.core.model import Want
from hub.feeds.base import FeedHealth, FeedState, Limits, Serves, Sink

_MOST_TOLD = 500


class Remote:
    """What its host here wants of it, to be told to its ingest; `changed` is called when there is
    something. See hub/feeds/base.Feed."""

    def __init__(self, announced: Announced, changed: Callable[[], None]) -> None:
        offer = self.offer = announced.offer
        self.name, self.life = announced.name, announced.life
        self.serves = Serves(offer.brokers, offer.users, offer.shared, offer.logins)
        self.limits = Limits(offer.symbols, offer.depth_levels)
        self.untold = True  # whether all that is wanted is to be told
        self._changed = changed
        self._wanted: dict[bytes, Want] = {}
        self._news: dict[bytes, Want] = {}
        self._sink: Sink | None = None
        self.asked: Callable[[bytes], int] = lambda _: 0  # of its host here

    def __repr__(self) -> str:
        return f"<Remote {self.name}, {len(self._wanted)} keys>"

    async def start(self, sink: Sink) -> None:
        """Begin."""
        self._sink = sink

    def apply(self, wants: Sequence[Want]) -> None:
        """See `Feed`."""
        for want in wants:
            self._news[want.key] = want
            if want.modes:
                self._wanted[want.key] = want
            else:
                self._wanted.pop(want.key, None)
        self._changed()

    @property
    def news(self) -> bool:
        """Whether there is something to tell."""
        return self.untold or bool(self._news)

    def tell(self) -> Iterator[tuple[tuple[Want, ...], bool, bool]]:
        """What is to be told, in parts; of all that is wanted, which is the first and the last."""
        all_, self.untold = self.untold, False
        wants = tuple((self._wanted if all_ else self._news).values())
        self._news = {}
        for start in range(0, max(len(wants), all_), _MOST_TOLD):
            end = start + _MOST_TOLD
            yield wants[start:end], all_ and not start, all_ and end >= len(wants)

    def answered(self, told: Results) -> None:
        """Its ingest has answers of it."""
        if self._sink is not None:
            self._sink.answer(told.results)
            for result in told.results:
                if result.error:
                    self._lessen(result.key)

    def _lessen(self, key: bytes) -> None:
        """Of what was refused nothing is wanted any more, and its ingest knows."""
        want, modes = self._wanted.get(key), self.asked(key)
        if want is not None and modes:
            self._wanted[key] = want._replace(modes=modes)
        elif want is not None:
            del self._wanted[key]

    def invalidate(self, user: str, kind: str) -> None:
        """Account events tell all machines of it (hub/cluster/events)."""

    def health(self) -> FeedHealth:
        """It is here because it is announced; its ticks are counted by the feed nats."""
        return FeedHealth(FeedState.CONNECTED, len(self._wanted), 0)

    async def stop(self) -> None:
        """Answers come too late now. What is wanted ends with the lease, or the next word."""
        self._sink = None
