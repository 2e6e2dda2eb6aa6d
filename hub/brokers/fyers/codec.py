"""Fyers' data socket (HSM), as a codec. Pure.

1. The upgrade carries no header: with an Authorization the gateway answers nothing any more.
2. Depth stands on two topics, `sf` and `dp`: its subscription is confirmed when both have come.
3. A higher mode that needs no other topic is confirmed with the next frame that comes.
4. Ids of topics are learned from snapshots and die with the connection; what comes under an id
   that no snapshot has named since the subscription is left out.
5. Every so many data frames as the reply to our login says, one is acknowledged.

Source of the format: packets as Fyers' own library (fyers-apiv3 3.2.0) reads them.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Sequence

from hub.brokers.base import (
    Addresses,
    Change,
    Confirmed,
    Credentials,
    Ended,
    Endpoint,
    Event,
    Failed,
    Frame,
    Ready,
    Refused,
    Reply,
    Request,
    Say,
    Subscription,
    Take,
    Warned,
)
from hub.brokers.fyers import frames, token
from hub.brokers.fyers.faults import why_ended
from hub.brokers.fyers.topics import Topics, topics_of
from hub.brokers.fyers.values import State
from hub.core.model import Fault

SNAPSHOT, UPDATE, LITE = 83, 85, 76
"""Kinds of entries in a data frame."""
SYMBOL_LIMIT = 51001
"""The code with which Fyers says that the account's plan allows no more symbols."""

_DATA_HEAD = struct.Struct(">IH").unpack_from
_UPDATE_HEAD = struct.Struct(">HB").unpack_from
_LITE = struct.Struct(">Hi").unpack_from
_SCALE = struct.Struct(">HB").unpack_from
_NO_CHANGES = b"\x80\0\0\0" * 8
"""How an update ends in which the day's high and low, circuits and close stay: almost each."""
_INTS = [struct.Struct(f">{count}i").unpack_from for count in range(256)]


class FyersCodec:
    """One connection to the data socket."""

    def __init__(self, credentials: Credentials, addresses: Addresses) -> None:
        self.malformed = 0
        self._token = credentials.get("access_token", "")
        self._addresses = addresses
        self._ready = False
        self._ack_every = self._unacknowledged = 0
        self._topics = Topics()
        self._asked: deque[tuple[Subscription, ...]] = deque()
        self._raised: dict[Subscription, None] = {}
        self._answered: tuple[Subscription, ...] = ()
        self._replies: dict[int, Callable[[bytes], Sequence[Event]]] = {
            frames.AUTH: self._let_in,
            frames.SUBSCRIBE: self._subscribed,
            frames.UNSUBSCRIBE: self._unsubscribed,
            frames.MODE: self._mode_taken,
            frames.CUSTOM: self._told,
            frames.PAUSE: _nothing,
            frames.RESUME: _nothing,
            frames.MASTER: _nothing,
        }

    def __repr__(self) -> str:
        state = "ready" if self._ready else "not ready"
        return f"<FyersCodec {state}, {len(self._topics.names)} topics, {self.malformed} malformed>"

    def ask(self) -> Request | None:
        """Nothing has to be asked."""
        return None

    def endpoint(self, reply: Reply | None) -> Endpoint:  # noqa: ARG002 - there is none
        """The data socket. Raises BrokerError when the token has nothing that lets us in."""
        token.hsm_key(self._token)
        return Endpoint(self._addresses.url)

    def opened(self) -> Sequence[Frame]:
        """We say who we are."""
        return (frames.auth(token.hsm_key(self._token)),)

    @property
    def ready(self) -> bool:
        """Whether Fyers has let us in."""
        return self._ready

    def beat(self) -> Sequence[Frame]:
        """A ping of theirs."""
        return (frames.PING,)

    def ended(self, end: Ended) -> tuple[Fault, str]:
        """Why the connection ended or was refused."""
        return why_ended(end)

    def change(self, changes: Sequence[Change]) -> Sequence[Frame]:
        """Frames that unsubscribe what is not wanted any more, then those that subscribe."""
        dropped: dict[bytes, None] = {}
        added: dict[bytes, Subscription] = {}
        for change in changes:
            before, after = (
                topics_of(change.sub.listing, mode) for mode in (change.was, change.to)
            )
            for name in before:
                if name not in after and self._topics.release(name, change.sub):
                    dropped[name] = None
            new = [name for name in after if name not in before]
            added.update((name, change.sub) for name in new)
            if change.to > change.was and not new:
                self._raised[change.sub] = None
        for name, sub in added.items():
            self._topics.want(name, sub)
        asking = [*frames.requests(frames.UNSUBSCRIBE, dropped)]
        for some in frames.portions(added):
            self._asked.append(tuple(dict.fromkeys(added[name] for name in some)))
            asking += frames.requests(frames.SUBSCRIBE, some)
        if self._raised and not asking:
            asking.append(frames.full_mode())  # it changes nothing, and has an answer
        return asking

    def receive(self, data: str | bytes, now_ms: int, take: Take) -> Sequence[Event]:
        """Read one frame."""
        if isinstance(data, str) or len(data) < 4:
            self.malformed += 1
            return ()
        raised = self._confirm_raised(now_ms, take) if self._raised else ()
        return (*raised, *self._read(data, now_ms, take))

    def _read(self, data: bytes, now_ms: int, take: Take) -> Sequence[Event]:
        if data[2] == frames.DATA:
            return self._data(data, now_ms, take)
        read = self._replies.get(data[2])
        if read is not None:
            try:
                return read(data)
            except (IndexError, struct.error):
                pass
        self.malformed += 1
        return ()

    # What is wanted.

    def _confirm_raised(self, now_ms: int, take: Take) -> Sequence[Event]:
        """Those whose higher mode stands on topics that are there already have all they need."""
        done = [sub for sub in self._raised if sub.waits or not sub.mode]
        events: list[Event] = []
        for sub in done:
            del self._raised[sub]
            state: State = sub.state
            if sub.mode and state.complete(sub.mode):
                state.publish(sub, now_ms, take)
                events.append(Confirmed(sub))
        return events

    # What comes.

    def _data(self, data: bytes, now_ms: int, take: Take) -> Sequence[Event]:
        events: list[Event] = []
        offset, size = 9, len(data)
        numbers = self._topics.numbers
        try:
            number, count = _DATA_HEAD(data, 3)
            self._acknowledge(number, events)
            for _ in range(count):
                kind = data[offset]
                if kind == UPDATE:
                    key, fields = _UPDATE_HEAD(data, offset + 1)
                    start, offset = offset + 4, offset + 4 + 4 * fields
                    if fields > 8 and data.endswith(_NO_CHANGES, start, offset):
                        fields -= 8
                    values = _INTS[fields](data, start)
                elif kind == SNAPSHOT:
                    offset = self._snapshot(data, offset + 1, size, events, now_ms, take)
                    continue
                elif kind == LITE:
                    key, ltp = _LITE(data, offset + 1)
                    values = (ltp,)
                    offset += 7
                else:
                    self.malformed += 1
                    break
                topic = numbers.get(key)
                if topic is None or not topic.live or topic.sub is None:
                    continue
                state: State = topic.sub.state
                if topic.book:
                    state.merge_book(values)
                else:
                    state.merge_quote(values)
                state.publish(topic.sub, now_ms, take)
        except (IndexError, struct.error):
            self.malformed += 1
        else:
            self.malformed += offset > size
        return events

    def _acknowledge(self, number: int, events: list[Event]) -> None:
        self._unacknowledged += 1
        if 0 < self._ack_every <= self._unacknowledged:
            self._unacknowledged = 0
            events.append(Say((frames.acknowledgement(number),)))

    def _snapshot(
        self, data: bytes, offset: int, size: int, events: list[Event], now_ms: int, take: Take
    ) -> int:
        """Read a snapshot; gives where the next entry begins."""
        number, length = _UPDATE_HEAD(data, offset)
        name = data[offset + 3 : offset + 3 + length]
        offset += 3 + length
        fields = data[offset]
        values = _INTS[fields](data, offset + 1)
        offset += 3 + 4 * fields
        multiplier, precision = _SCALE(data, offset)
        offset += 3
        for _ in range(3):  # exchange, token and symbol: the topic's name says it all
            offset += 1 + data[offset]
        if offset > size or not multiplier:
            raise IndexError
        topic = self._topics.names.get(name)
        if topic is not None and topic.sub is not None:
            self._topics.begin(topic, number)
            state: State = topic.sub.state
            put = state.reset_book if topic.book else state.reset_quote
            put(values, 10**precision * multiplier)
            state.publish(topic.sub, now_ms, take)
            if topic.sub.waits and topic.sub.mode and state.complete(topic.sub.mode):
                events.append(Confirmed(topic.sub))
        return offset

    # What is replied.

    def _let_in(self, data: bytes) -> Sequence[Event]:
        found = frames.fields(data)
        if found.get(1) != frames.YES:
            return (Failed(Fault.AUTH, "Fyers refuses this access token"),)
        self._ack_every = int.from_bytes(found.get(2, b"")[:4], "big")
        self._ready = True
        return (Say((frames.full_mode(),)), Ready())

    def _subscribed(self, data: bytes) -> Sequence[Event]:
        subs = self._asked.popleft() if self._asked else ()
        self._answered = subs
        if frames.fields(data).get(1, b"").startswith(frames.YES):
            return ()
        return self._refused(subs, Fault.NETWORK, "Fyers did not take the subscription")

    def _unsubscribed(self, data: bytes) -> Sequence[Event]:
        if frames.fields(data).get(1, b"").startswith(frames.YES):
            return ()
        return (Warned("Fyers did not take an unsubscription"),)

    def _mode_taken(self, data: bytes) -> Sequence[Event]:
        if frames.fields(data).get(1, b"").startswith(frames.YES):
            return ()
        return (Warned("Fyers did not take the full mode: updates may hold the last price alone"),)

    def _told(self, data: bytes) -> Sequence[Event]:
        found = frames.fields(data)
        code = int.from_bytes(found.get(1, b"")[:4], "big", signed=True)
        about = found.get(3, b"\0")[:1]
        said = found.get(2, b"").decode("utf-8", "replace")
        text = f"Fyers says {code}: {said[:200]}"
        if about == bytes([frames.AUTH]):
            return (Failed(Fault.AUTH, text),)
        if code == SYMBOL_LIMIT:
            subs = self._asked[0] if self._asked else self._answered
            return self._refused(subs, Fault.CAPACITY, text)
        return (Warned(text),)

    def _refused(self, subs: tuple[Subscription, ...], fault: Fault, text: str) -> Sequence[Event]:
        """Those of them that wait are refused, and none of theirs any more: they may go to another
        connection."""
        waiting = {sub: None for sub in subs if sub.waits and sub.mode}
        if not waiting:
            return (Warned(text),)
        theirs = [topic for topic in self._topics.names.values() if topic.sub in waiting]
        live = [topic.name for topic in theirs if topic.live]
        for topic in theirs:
            topic.sub, topic.live = None, False
        leave = tuple(frames.requests(frames.UNSUBSCRIBE, live))
        refused = Refused(tuple(waiting), fault, text)
        return (Say(leave), refused) if leave else (refused,)


def _nothing(_: bytes) -> Sequence[Event]:
    return ()
