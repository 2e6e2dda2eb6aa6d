"""What a feed is: the interface every source of ticks implements.

1. A feed is told what is wanted as a whole; it works out for itself what to subscribe and release.
2. It answers for every symbol it was asked for, once for each time it was asked.
3. It publishes from the loop's thread, never waits for the hub, and knows no client and no shard.

docs/writing-a-feed.md builds one step by step. Native broker feeds implement the same interface.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple, Protocol, runtime_checkable

from hub.core.codec import Message
from hub.core.model import Result, Want


class Limits(NamedTuple):
    """What a broker allows.

    `symbols` is the number of keys one account may hold, 0 for no limit. The host keeps to it: it
    releases early what only lingers, and refuses what still goes beyond; the feed is not asked for
    that. `depth_levels` are those there are; a feed that is asked for others gives the nearest and
    says so in its answer.
    """

    symbols: int = 0
    depth_levels: tuple[int, ...] = (5,)


class Serves(NamedTuple):
    """Whom a feed serves: users of these brokers (of all, when none is named), and when users are
    named only those. `shared` is False when its ticks are their origin's alone: the keys
    that the feed is asked for, and publishes under, then begin with a scope (core/topics). With
    `logins` it is also asked for the key `topics.login` of each user who is there, with the broker
    as exchange and the user as symbol; its answer is how the login stands."""

    brokers: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    shared: bool = True
    logins: bool = False


class FeedState(Enum):
    """Where a feed stands with its source."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"


class FeedHealth(NamedTuple):
    """A feed's own figures: `subscribed` keys upstream, ticks published since start, and a
    sentence when something is wrong; ticks that were conflated and order updates that were dropped
    on the way, where the feed's host does not see it. Where there are logins, also the topics asked
    of brokers, the connections to them, and the broker of each login that is up. A native feed
    tells of each of its accounts (hub/feeds/native/account.Account.figures), and which keys were
    refused, with the reason."""

    state: FeedState
    subscribed: int
    ticks: int
    problem: str = ""
    conflated: int = 0
    dropped: int = 0
    topics: int = 0
    connections: int = 0
    brokers: tuple[str, ...] = ()
    accounts: tuple[Mapping[str, Any], ...] = ()
    refused: tuple[tuple[str, str], ...] = ()


class Sink(Protocol):
    """Where a feed puts what it has. Both calls return at once and never raise."""

    def publish(self, pairs: Sequence[bytes]) -> None:
        """Take ticks as `[topic, json, topic, json, ...]`; topics as in `hub.core.topics`,
        JSON objects in UTF-8."""

    def answer(self, results: Sequence[Result]) -> None:
        """Take the outcome for keys that `apply` was given; late answers are welcome."""


class Feed(Protocol):
    """One source of ticks. All calls come from the loop of its host process."""

    name: str
    serves: Serves
    limits: Limits

    async def start(self, sink: Sink) -> None:
        """Begin; returns when the feed can take `apply`, connected or not."""

    def apply(self, wants: Sequence[Want]) -> None:
        """Take changes of what is wanted, one Want for each key: the modes are everything that
        is wanted of that key from now on, none means release it. Returns at once; every want
        with modes is answered through the sink."""

    def health(self) -> FeedHealth:
        """The figures `hub status` shows."""

    async def stop(self) -> None:
        """Release everything and leave."""


class LoginFeed(Feed, Protocol):
    """A feed with logins."""

    def invalidate(self, user: str, kind: str) -> None:
        """Credentials of a user have changed: `kind` is AUTH, FEED or ALL, as on OpenAlgo's bus.
        What was read of them is stale; what is wanted stays wanted."""


class Guest(Protocol):
    """A feed that another one brings, hosted in the same process."""

    resumed: Callable[[], None]
    """Called when there is another router, and shards have told what they want: what came
    meanwhile they have not seen."""

    async def start(self) -> None:
        """Start the feed, then report for work."""

    async def part(self) -> None:
        """Leave."""

    def asked(self, key: bytes) -> int:
        """The modes in which the feed is asked for a key: less than it was, after an error."""


class House(Protocol):
    """The host of a feed that brings others."""

    def guest(self, feed: Feed) -> Guest:
        """Have a feed here, to the router a process of its own."""

    def pass_on(self, kind: bytes, batch: bytes) -> None:
        """Ticks on their way to the router as they came: UNCHECKED or AGAIN (hub/core/stream)."""

    def account(self, pairs: Sequence[bytes]) -> None:
        """Account events `[key, json, ...]` of another machine; they are not lost."""

    def say(self, message: Message) -> None:
        """Tell the router something."""

    def fail(self, error: BaseException) -> None:
        """Leave because of an error."""


@runtime_checkable
class Bringer(Protocol):
    """What a feed is that brings others."""

    def use(self, house: House) -> None:
        """Before the start: who hosts it, and is to host the others."""

    def figures(self) -> dict[str, Any]:
        """What a heartbeat says besides."""

    def cluster(self) -> dict[str, Any]:
        """What `hub status --cluster` shows."""
