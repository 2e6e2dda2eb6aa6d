"""Who is let in, and how much one user or address may have; for the hub as a whole.

A limit of 0 is no limit. Refusals are logged seldom, by address, and never with an API key.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Sequence
from enum import StrEnum
from urllib.parse import urlsplit

from hub.auth.records import id_of
from hub.core.proxies import Proxies
from hub.core.settings import Websocket
from hub.runtime.log import Seldom
from shards.tally import Kind, Tally

_LONGEST = 200


class Bound(StrEnum):
    """What clients have run into, as `hub status --json` names it; each is counted by Guests."""

    MAX_CONNECTIONS = "max_connections"
    MAX_ADDRESS_CONNECTIONS = "max_address_connections"
    MAX_UNAUTHENTICATED = "max_unauthenticated"
    DESCRIPTORS = "descriptors"
    ORIGINS = "origins"
    MAX_USER_SESSIONS = "max_user_sessions"
    SYMBOLS = "symbols"
    AUTH_TIMEOUTS = "auth_timeouts"
    FLOODED = "flooded"
    HELD_BACK = "held_back"
    PACED = "paced"
    TOO_LARGE = "too_large"
    FRAGMENTS = "fragments"
    OVERRUN = "overrun"
    TLS = "tls"


class Guests:
    """One shard's view of the hub's clients. `connections` tells how many there are in all;
    `bounds` counts how often clients have run into what."""

    def __init__(
        self, settings: Websocket, tally: Tally, connections: Callable[[], int] = lambda: 0
    ) -> None:
        self._settings = settings
        self._tally = tally
        self._connections = connections
        self._seldom = Seldom()
        self.proxies = Proxies(settings.trusted_proxies)
        self.refused_keys = 0
        self.turned_away = 0
        self.bounds = Counter(dict.fromkeys(Bound, 0))

    def __repr__(self) -> str:
        return f"<Guests {self._tally!r}, {self.turned_away} turned away>"

    # At the door.

    def no_room(self, address: str) -> str:
        """Why a new connection from this address cannot be taken; empty when it can. Trusted
        proxies have all the room of the hub."""
        return self._full(address) or self.no_room_of_its_own(address)

    def no_room_of_its_own(self, address: str) -> str:
        """The same as far as it is a matter of the address alone."""
        if self.proxies.trusts(address):
            return ""
        most = self._settings.max_address_connections
        if most and self._tally.count(Kind.CONNECTIONS, address) >= most:
            problem = f"this address has {most} connections already"
            return self._turn_away(address, problem, Bound.MAX_ADDRESS_CONNECTIONS)
        most = self._settings.max_unauthenticated
        if most and self._tally.count(Kind.STRANGERS, address) >= most:
            problem = f"{most} connections from this address have not authenticated"
            return self._turn_away(address, problem, Bound.MAX_UNAUTHENTICATED)
        return ""

    def crowded(self, address: str) -> str:
        """Why a connection for which there is no descriptor cannot be taken."""
        return self._turn_away(address, "no shard has a descriptor left", Bound.DESCRIPTORS)

    def foreign(self, origin: str | None, host: str | None, address: str) -> bool:
        """Whether a page of this origin may not connect."""
        if origin is None or may_come(origin, host, self._settings.origins):
            return False
        shown = ascii(origin[:_LONGEST])
        self._turn_away(address, f"a page of origin {shown} may not connect", Bound.ORIGINS)
        return True

    def no_tls(self, address: str, reason: str) -> None:
        """A handshake of TLS has failed."""
        self.bounds[Bound.TLS] += 1
        self._seldom.warning(f"tls {address}", "TLS with %s failed: %s", address, reason)

    def connection(self, address: str, number: int) -> None:
        """A connection that was let in has begun (1) or ended (-1)."""
        self._tally.add(Kind.CONNECTIONS, address, number)

    def stranger(self, address: str, number: int) -> None:
        """A connection has begun (1), or it is known now or gone (-1)."""
        self._tally.add(Kind.STRANGERS, address, number)

    # Of users.

    def session_problem(self, user: str) -> str:
        """Why a user can have no other session; empty when it can."""
        most = self._settings.max_user_sessions
        if most and self._tally.count(Kind.SESSIONS, user) >= most:
            self.bounds[Bound.MAX_USER_SESSIONS] += 1
            return f"user {user} has {most} sessions already (websocket.max_user_sessions)"
        return ""

    def session(self, user: str, number: int) -> None:
        """A session has begun (1) or ended (-1)."""
        self._tally.add(Kind.SESSIONS, user, number)

    def symbols(self, user: str, number: int) -> None:
        """A user's sessions hold more symbols, or fewer."""
        self._tally.add(Kind.SYMBOLS, user, number)

    def symbol_room(self, user: str) -> int | None:
        """How many symbols more a user's sessions may hold; None without a limit."""
        most = self._settings.max_user_symbols
        return max(0, most - self._tally.count(Kind.SYMBOLS, user)) if most else None

    def symbol_problem(self, user: str) -> str:
        """What a user is told who may hold no more."""
        self.bounds[Bound.SYMBOLS] += 1
        most = self._settings.max_user_symbols
        return f"user {user} holds {most} symbols already (websocket.max_user_symbols)"

    def refused_key(self, address: str, api_key: str) -> None:
        """Someone came with a key that is not valid."""
        self.refused_keys += 1
        shown = f"id {id_of(api_key)}" if id_of(api_key) else "no id"
        self._seldom.warning(f"key {address}", "an API key of %s was refused: %s", address, shown)

    def unchecked_key(self, problem: str) -> None:
        """Someone came with a key while keys cannot be checked; why is logged seldom, too."""
        self._seldom.warning(f"keys {problem}", "API keys: %s", problem)

    def counted(self) -> dict[str, int]:
        """What this shard has told all shards to count."""
        return self._tally.mine()

    def figures(self, refused_symbols: int) -> dict[str, int]:
        """How often clients have run into what; some symbols were refused elsewhere."""
        counts = {bound.value: self.bounds[bound] for bound in Bound}
        counts[Bound.SYMBOLS.value] += refused_symbols
        return counts

    def _full(self, address: str) -> str:
        most = self._settings.max_connections
        if most and self._connections() > most:
            return self._turn_away(address, f"the hub has {most} clients", Bound.MAX_CONNECTIONS)
        return ""

    def _turn_away(self, address: str, problem: str, bound: Bound) -> str:
        self.turned_away += 1
        self.bounds[bound] += 1
        setting = "" if bound is Bound.DESCRIPTORS else f" (websocket.{bound})"
        self._seldom.warning(
            f"{bound} {address}", "%s was turned away: %s%s", address, problem, setting
        )
        return problem


def may_come(origin: str, host: str | None, allowed: Sequence[str]) -> bool:
    """Whether a page may connect: one that is listed, one of this machine, one of the very host and
    port that the hub was called by (`host`, as in the request), or of the same IP address.

    Libraries such as websocket-client, which SDKs use, write what they called into the origin.
    """
    if "*" in allowed or origin.lower() in (one.lower().rstrip("/") for one in allowed):
        return True
    try:
        page = urlsplit(origin)
        called = urlsplit(f"//{host}").hostname if host else None
    except ValueError:
        return False
    if page.scheme not in ("http", "https") or not page.hostname:
        return False
    if page.hostname == "localhost" or page.netloc.lower() == (host or "").lower():
        return True
    try:
        address = ipaddress.ip_address(page.hostname)
    except ValueError:
        return False
    return address.is_loopback or page.hostname == called
