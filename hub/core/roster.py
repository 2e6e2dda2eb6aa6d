"""Who is there: hellos, heartbeats, and what each feed announces. Pure; `now_s` is monotonic.

1. A process is there from its first word until it has been silent for `missed_s`.
2. A new epoch under an old name is a new process: the old one is gone first.
3. A lease names one stay at the router; whoever carries another lease is asked to say hello again.
4. Nobody is judged right after a pause of the router's own: their beats wait to be read first.
5. Who speaks another version of control and stream is refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from hub.core import codec, stream
from hub.core.codec import Message
from hub.core.liveness import MISSED_S, Awake
from hub.core.model import Offer
from hub.core.names import FEED


@dataclass(slots=True)
class Peer:
    """A process as the router sees it; `heard_s` is on the roster's own clock."""

    name: str
    epoch: int
    lease: int
    heard_s: float
    offer: Offer | None = None


class Arrival(NamedTuple):
    """What a hello means: whether nobody had that name, or another process had."""

    peer: Peer
    fresh: bool
    replaced: bool


class Roster:
    """All processes that have said hello and are not gone. `epoch` is the router's own."""

    def __init__(self, epoch: int, missed_s: float = MISSED_S) -> None:
        self._epoch = epoch
        self._missed_s = missed_s
        self._clock = Awake()
        self._peers: dict[str, Peer] = {}
        self._leases = 0

    def __repr__(self) -> str:
        return f"<Roster {' '.join(sorted(self._peers)) or 'none'}>"

    def __contains__(self, name: str) -> bool:
        return name in self._peers

    def refusal(self, name: str, hello: Message) -> str:
        """Why a hello is not welcome, in words; empty when it is."""
        version = hello.get("version", 1)
        if version == stream.VERSION:
            return ""
        return (
            f"{name} speaks version {version} of the hub's protocol and the router version "
            f"{stream.VERSION}; restart the older of the two from the newer installation"
        )

    def hello(self, name: str, hello: Message, now_s: float) -> Arrival:
        """A process says who it is. Raises Malformed when it cannot be understood."""
        epoch, offer = int(hello["epoch"]), None
        if name.startswith(FEED):
            offer = codec.offer(hello)._replace(feed=name.removeprefix(FEED))
        before = self._peers.get(name)
        if before is not None and before.epoch == epoch:
            before.heard_s, before.offer = self._clock.look(now_s), offer
            return Arrival(before, fresh=False, replaced=False)
        self._leases += 1
        peer = Peer(name, epoch, self._leases, self._clock.look(now_s), offer)
        self._peers[name] = peer
        return Arrival(peer, fresh=before is None, replaced=before is not None)

    def token(self, name: str) -> bytes:
        """The name of somebody's stay, which his stream carries."""
        return stream.token(self._epoch, self._peers[name].lease)

    def heard(self, name: str, lease: object, now_s: float) -> bool:
        """Somebody has spoken; False when this is not the stay he thinks it is."""
        peer = self._peers.get(name)
        if peer is None or peer.lease != lease:
            return False
        peer.heard_s = self._clock.look(now_s)
        return True

    def silent(self, now_s: float) -> list[str]:
        """Those who have been silent too long; they are forgotten. Ask once a beat."""
        if self._clock.pause(now_s).read_first:
            return []
        awake_s = self._clock.look(now_s)
        gone = [
            name for name, peer in self._peers.items() if awake_s - peer.heard_s > self._missed_s
        ]
        for name in gone:
            del self._peers[name]
        return gone

    def leave(self, name: str) -> bool:
        """A process says goodbye; whether it was known."""
        return self._peers.pop(name, None) is not None

    def names(self, prefix: str = "") -> list[str]:
        """Everyone who is there, or all of one role."""
        return [name for name in self._peers if name.startswith(prefix)]

    def offers(self, without: str = "") -> list[Offer]:
        """What the feeds that are there announce, all but one."""
        return [
            peer.offer
            for peer in self._peers.values()
            if peer.offer is not None and peer.name != without
        ]
