"""The stream of the Noren family: JSON text both ways.

1. The first message is ours and logs in; nothing is asked before its acknowledgement. A server that
   refuses says so, or nothing, and leaves the socket open: whoever connected has to close it.
2. There are two streams of an instrument: touchline (`t`), which is what LTP and Quote need, and
   depth (`d`), which has all of that and the book. One is asked for: the one that the mode needs.
   When that changes, the new one is asked before the old one is left, so nothing is lost; the old
   one counts until the new one has spoken, and never after.
3. A tick belongs to the instrument of its exchange and token. Tokens alone are not unique.
4. A server keeps one connection for each session: a second login closes the first one in order,
   with code 1000.

Source of the format: what OpenAlgo's adapters of the family and Noren's clients read and write.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

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
    Limits,
    Ready,
    Reply,
    Request,
    Subscription,
    Take,
)
from hub.brokers.noren import messages
from hub.brokers.noren.messages import Book, Touch
from hub.brokers.noren.payloads import Payloads
from hub.brokers.noren.state import State
from hub.core.errors import BrokerError
from hub.core.model import Fault

_TOUCH = frozenset({"tf", "tk"})
_DEPTH = frozenset({"df", "dk"})
_FULL = frozenset({"tk", "dk"})
_ACKNOWLEDGED = frozenset({"ak", "ck", "cf"})
_NOT_OURS = frozenset({"h", "hk", "ok", "om", "pm", "am", "uk", "udk", "uok"})
"""Beats, acknowledgements of an unsubscribe, and what tells of orders: no part of this feed."""


class Profile(NamedTuple):
    """One broker of the family: how it is called, how one logs in, and what its clients read.

    `first` is the kind of the first message, `token` its field for the session, `source` what it
    calls the program; `per_message` instruments are asked for in one message at most.
    """

    name: str
    title: str
    payloads: Payloads
    per_message: int
    first: str = "a"
    token: str = "accesstoken"  # noqa: S105 - the name of a field
    source: str = "API"


LIMITS = Limits(
    sockets=1,
    per_socket=(5000, 5000, 5000),
    per_account=5000,
    gap_s=0.1,
    confirm_s=6.0,
    beat_s=30.0,
    ping_s=5.0,
    idle_s=120.0,
    rest_s=10.0,
)
"""That an account has one connection is a fact. How many symbols fit on it is not known: 5,000 is
what OpenAlgo supposes. Neither is how long a server refuses who comes back after a close in order;
10 s is a guess that costs little. Beats are OpenAlgo's, a ping every 3 s that of Noren's client."""


class NorenCodec:
    """One connection to a broker of the family."""

    def __init__(self, profile: Profile, credentials: Credentials, addresses: Addresses) -> None:
        self.malformed = 0
        self.ready = False
        self._profile = profile
        self._credentials = credentials
        self._addresses = addresses
        self._subs: dict[str, Subscription] = {}
        self._granted: list[Subscription] = []  # have what they need already
        self._payloads = profile.payloads
        self._read: Callable[[str | bytes], Touch] = messages.touch  # of the kind that came last

    def __repr__(self) -> str:
        return f"<NorenCodec {self._profile.name}, {len(self._subs)} subscriptions>"

    def ask(self) -> Request | None:
        """Nothing is asked before connecting."""
        return None

    def endpoint(self, reply: Reply | None) -> Endpoint:  # noqa: ARG002 - there is none
        """The address; raises BrokerError for credentials with nobody to log in as."""
        for field in ("user_id", "access_token"):
            if not self._credentials.get(field):
                raise BrokerError(
                    Fault.AUTH,
                    f"the credentials of {self._profile.title} have no {field.upper()}",
                )
        return Endpoint(self._addresses.url)

    def opened(self) -> Sequence[Frame]:
        """The login."""
        user = self._credentials["user_id"]
        login = {
            "t": self._profile.first,
            "uid": user,
            "actid": self._credentials.get("account_id") or user,
            "source": self._profile.source,
            self._profile.token: self._credentials["access_token"],
        }
        return (json.dumps(login, separators=(",", ":")),)

    def beat(self) -> Sequence[Frame]:
        """The beat; it is answered with the same."""
        return ('{"t":"h"}',)

    def change(self, changes: Sequence[Change]) -> Sequence[Frame]:
        """Unsubscribes of what nobody wants, then subscribes, then unsubscribes of streams that
        these took the place of. Where LTP was had, Quote is asked for anew, which a server may
        pass over in silence; so a beat is sent behind it, and with whatever comes next the first
        payload is made of what is known."""
        asked: dict[str, list[str]] = {kind: [] for kind in ("u", "ud", "t", "d", "-u", "-ud")}
        for sub, was, to in changes:
            key = _key(sub)
            if not to:
                if self._subs.get(key) is sub:
                    del self._subs[key]
                    asked["ud" if was == 3 else "u"].append(key)
                continue
            self._expect(key, sub, was, to)
            if was != to and (was, to) != (2, 1):
                asked["d" if to == 3 else "t"].append(key)
            if was and (was == 3) is not (to == 3):
                asked["-ud" if was == 3 else "-u"].append(key)
        frames = [
            f'{{"t":"{kind.lstrip("-")}","k":{json.dumps("#".join(keys[at : at + most]))}}}'
            for most in (self._profile.per_message,)
            for kind, keys in asked.items()
            for at in range(0, len(keys), most)
        ]
        return [*frames, *self.beat()] if self._granted else frames

    def receive(self, data: str | bytes, now_ms: int, take: Take) -> Sequence[Event]:
        """Read one message: one tick, or something about the connection."""
        if self._granted:
            self._grant(now_ms, take)
        try:
            told = self._read(data)
            if told.t in _TOUCH:
                self._read = messages.touch
            elif told.t not in _DEPTH:
                return self._other(data, now_ms, take)
            elif self._read is messages.touch:
                self._read = messages.book
                told = messages.book(data)
        except messages.UNREADABLE:
            return self._other(data, now_ms, take)
        return self._tick(told, now_ms, take)

    def ended(self, end: Ended) -> tuple[Fault, str]:
        """A close in order after the login is what another login of the session does; before it, it
        is how a server refuses who comes back too soon."""
        title = self._profile.title
        if end.status in (401, 403):
            return Fault.AUTH, f"{title} refused the connection (HTTP {end.status})"
        if end.status == 429:
            return Fault.RATE, f"{title} was asked too often (HTTP 429)"
        if end.status:
            return Fault.NETWORK, f"{title} refused the connection (HTTP {end.status})"
        if end.code == 1000 and end.ready:
            return Fault.EVICTED, (
                f"{title} ended the connection in order (code 1000), as it does when the same "
                "session logs in elsewhere: an account has one connection, so stop the other "
                "program, or give it another account"
            )
        if end.code == 1000:
            return Fault.RATE, (
                f"{title} ended the connection before it let us in (code 1000), as it does for a "
                "while after a session has ended"
            )
        how = f"code {end.code}" if end.code else "without a word"
        return Fault.NETWORK, f"{title} ended the connection ({how})"

    def _expect(self, key: str, sub: Subscription, was: int, to: int) -> None:
        """Know that subscription's ticks. Its book is of now only once a full message has come."""
        self._subs[key] = sub
        if not isinstance(sub.state, State):
            sub.state = State(index=sub.listing.kind == "INDEX")
        if not was:
            sub.state.of_depth = False
        if not was or (was == 3) is not (to == 3):
            sub.state.has_book = False
        if (was, to) == (1, 2) and not sub.waits and sub.state.ltp is not None:
            self._granted.append(sub)

    def _grant(self, now_ms: int, take: Take) -> None:
        """Publish quotes of what was had as LTP: their touchline has told all of it."""
        granted, self._granted = self._granted, []
        for sub in granted:
            if sub.mode == 2 and self._subs.get(_key(sub)) is sub:
                take(sub, 2, self._payloads.quote(sub, sub.state, now_ms), _at_ms(sub.state), 0)

    def _tick(self, told: Touch, now_ms: int, take: Take) -> Sequence[Event]:
        sub = self._subs.get(told.e + "|" + told.tk)
        if sub is None or not sub.mode:
            if not (told.e and told.tk):
                self.malformed += 1
            return ()
        state: State = sub.state
        depth, wanted = told.t in _DEPTH, sub.mode == 3
        if depth is wanted:
            state.of_depth = depth
        elif state.of_depth is wanted:
            return ()  # of the stream that was left
        state.take(told, now_ms, full=told.t in _FULL)
        if depth and isinstance(told, Book):
            if told.t == "dk":
                state.renew_book()
                state.has_book = wanted
            state.take_book(told)
        return self._publish(sub, state, told, now_ms, take)

    def _publish(
        self, sub: Subscription, state: State, told: Touch, now_ms: int, take: Take
    ) -> Sequence[Event]:
        """One tick, in the highest mode that is wanted and known. Without any price there is none
        but that of a book; an acknowledgement confirms all the same. What comes of a touchline
        while depth waits for its acknowledgement is published with that."""
        if sub.mode == 3 and state.has_book:
            take(sub, 3, self._payloads.depth(sub, state, now_ms), _at_ms(state), 0)
        elif sub.mode == 3 and sub.waits and not state.of_depth:
            return ()  # it would pass for the acknowledgement of depth, which has all of it
        elif state.ltp is None:
            return (Confirmed(sub),) if told.t in _FULL and sub.waits else ()
        elif sub.mode == 1:
            take(sub, 1, self._payloads.ltp(sub, state, now_ms), _at_ms(state), 0)
        else:
            take(sub, 2, self._payloads.quote(sub, state, now_ms), _at_ms(state), 0)
        return ()

    def _other(self, data: str | bytes, now_ms: int, take: Take) -> Sequence[Event]:
        """A message that is no tick, or one that does not read in one go."""
        found = messages.words(data)
        kind = found.get("t") if found else None
        if not found or not isinstance(kind, str):
            self.malformed += 1
            return ()
        if kind in _TOUCH or kind in _DEPTH:
            told, left_out = messages.clean(found)
            self.malformed += left_out
            return self._tick(told, now_ms, take)
        if kind in _ACKNOWLEDGED:
            return self._answered(found)
        if kind not in _NOT_OURS:
            self.malformed += 1
        return ()

    def _answered(self, found: dict[str, object]) -> Sequence[Event]:
        """The answer to our login; `cf` has it in `k`."""
        word = found.get("s", found.get("k"))
        if isinstance(word, str) and word.strip().lower() == "ok":
            if self.ready:
                return ()
            self.ready = True
            return (Ready(),)
        self.ready = False
        return (
            Failed(
                Fault.AUTH,
                f"{self._profile.title} does not take the session of "
                f"{self._credentials.get('user_id', 'this account')}, which ends each day",
            ),
        )


def _key(sub: Subscription) -> str:
    return f"{sub.listing.segment}|{sub.listing.token}"


def _at_ms(state: State) -> int:
    """The broker's time of a tick: of its server, in whole seconds; an exchange's is not told."""
    return state.feed_s * 1000
