"""The ticks of a symbol that a page watches: the monitor is a client of its own hub for that.

1. Its key is made when the first page asks, one for each user that it sees as. It is known to this
   process alone, and its store, in the runtime directory, is gone with it. Shards read that store
   as they read others (auth/sources).
2. It sees what `page.user` may see; unless that is set, what the hub's feeds give anybody.
3. Each page that watches has a connection of its own, which ends with the watching.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import hub.client
from hub.auth.keystore import KeyStore
from hub.auth.verifier import LOOK_S
from hub.core.errors import HubError, KeyStoreError, RequestError, SubscribeError
from hub.core.model import Identity, Offer
from hub.core.names import PAGE_KEYS
from hub.core.settings import Settings
from hub.runtime.log import log
from hub.runtime.tls import pinned_context

_NAME = "page"
_WITHIN_S = 8.0

Json = dict[str, Any]


class Ticker:
    """Makes the connections. `take_offers` is told which feeds are there."""

    def __init__(self, settings: Settings, runtime_dir: Path) -> None:
        self._settings = settings
        self._file = runtime_dir / PAGE_KEYS
        self._offers: tuple[Offer, ...] = ()
        self._keys: dict[Identity, tuple[str, float]] = {}  # and from when on all shards know it
        self._watching: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Ticker with {len(self._watching)} connections>"

    def take_offers(self, offers: Iterable[Offer]) -> None:
        """These feeds are there."""
        self._offers = tuple(offers)

    def clear(self) -> None:
        """Leave no key behind."""
        for name in (self._file, self._file.with_name(f"{self._file.name}.lock")):
            with contextlib.suppress(OSError):
                name.unlink(missing_ok=True)
        self._keys.clear()

    async def watch(
        self, symbol: str, mode: str, take: Callable[[Json], None], brokers: Mapping[str, list[str]]
    ) -> Callable[[], None]:
        """Have `take` called with each tick of a symbol, until what is returned is called.
        `brokers` names those at which users are logged in, by feed. Raises HubError."""
        if not self._settings.hub.shards:
            raise HubError("this machine serves no clients; an edge's page can show ticks")
        key = await self._key_for(identity(self._offers, self._settings.page.user, brokers))
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._follow(key, symbol, mode, take, ready))
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)
        try:
            await asyncio.wait_for(ready, _WITHIN_S)
        except TimeoutError:
            task.cancel()
            raise HubError(f"the hub has not answered for {symbol} in time") from None
        except BaseException:
            task.cancel()
            raise

        def end() -> None:
            task.cancel()

        return end

    async def _key_for(self, whose: Identity) -> str:
        """The key for this user; all shards know it when this returns."""
        if whose not in self._keys:
            name = f"{_NAME}-{len(self._keys) + 1}"
            try:
                key = KeyStore(self._file).add(name, whose.user, whose.broker, now=time.time())
            except KeyStoreError as error:
                log.warning("the page's ticker has no key: %s", error)
                raise HubError("the page's ticker has no key; the monitor's log says why") from None
            self._keys[whose] = key, time.monotonic() + LOOK_S + 0.1
        key, known_s = self._keys[whose]
        await asyncio.sleep(max(0.0, known_s - time.monotonic()))
        return key

    async def _follow(
        self,
        key: str,
        symbol: str,
        mode: str,
        take: Callable[[Json], None],
        ready: asyncio.Future[None],
    ) -> None:
        try:
            async with hub.client.connect(
                self._settings.ws_url(), key, ssl=self._trust(), timeout_s=_WITHIN_S
            ) as client:
                await client.subscribe([symbol], mode, depth=5 if mode == "depth" else 0)
                ready.set_result(None)
                async for tick in client:
                    take(_shown(tick))
        except (HubError, ValueError) as error:
            if ready.done():
                log.warning("the page watches %s no more: %s", symbol[:80], error)
            else:
                ready.set_exception(HubError(_why(error, symbol)))

    def _trust(self) -> ssl.SSLContext | None:
        """The hub's own certificate, whatever name it is for: this is the same machine."""
        cert = self._settings.websocket.tls_cert
        return pinned_context(Path(cert)) if cert else None


def identity(offers: Iterable[Offer], user: str, brokers: Mapping[str, list[str]]) -> Identity:
    """Whose eyes the page has: the user's who is set, else anybody's whom a feed serves; feeds that
    serve only some go first, as they are more than the bus. Raises HubError."""
    known = sorted(offers, key=lambda offer: (not offer.users, not offer.brokers, offer.feed))
    if not known:
        raise HubError("no feed is there yet; try again in a moment")
    for offer in known:
        at = [*offer.brokers, *brokers.get(offer.feed, ())]
        if user or offer.users:
            found = Identity(user or offer.users[0], at[0] if at else _NAME)
        else:
            found = Identity(_NAME, at[0] if at else _NAME)
        if offer.logins and not user:
            continue
        if offer.serves(found):
            return found
    raise HubError(
        "the feeds of this hub give ticks to their users alone; set page.user to the one whose "
        "ticks may be seen here"
    )


def _shown(tick: hub.client.Tick) -> Json:
    return {
        "symbol": tick.symbol,
        "exchange": tick.exchange,
        "mode": int(tick.mode),
        "data": tick.data,
    }


def _why(error: Exception, symbol: str) -> str:
    """What the person at the page is told."""
    if isinstance(error, SubscribeError):
        return "; ".join(f"{name}: {why}" for name, why in error.failed.items())
    if isinstance(error, RequestError):
        return f"{symbol}: {error}"
    return str(error)
