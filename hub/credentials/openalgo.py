"""The tokens of a login to a broker that OpenAlgo has made, read from its database.

OpenAlgo encrypts them (Fernet) with a key that it makes of two values of its .env, API_KEY_PEPPER
and FERNET_SALT. BROKER_API_KEY and BROKER_API_SECRET stand there too; of some brokers the first
one is `client:::key`. Each time the .env is read anew: OpenAlgo may write it when it starts.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import time
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from hub.auth.database import Database, LoginRow
from hub.core.errors import HubError
from hub.credentials.said import Said
from hub.openalgo.checkout import Checkout

_ROUNDS = 100_000
_OLD_SALT = b"openalgo_static_salt"
"""That of installations which have none of their own."""
_SALT_DIGITS = 32
_LOOK_S = 5.0
"""How often the database is looked at for another login, at most."""


class OpenAlgoSource:
    """The login of this user (empty: of the only one who is logged in to `broker`) in the checkout
    at `path`. Raises ValueError without a checkout."""

    login = "OpenAlgo"

    def __init__(
        self, user: str, broker: str, path: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if not path:
            raise ValueError("openalgo.path must say where the checkout of OpenAlgo is")
        self.name = f"openalgo:{user}"
        self._user = user
        self._broker = broker
        self._path = Path(path)
        self._clock = clock
        self._next = clock()
        self._seen: Hashable = None

    async def read(self) -> Said:
        """The fields that can be had of the login: names that brokers have for them, of which each
        takes its own. Raises HubError."""
        row, checkout = await self._look()
        return Said(row, await asyncio.to_thread(self._opened, row, checkout))

    async def stamp(self) -> Hashable:
        """Tells one login from the next; looked at every few seconds."""
        if self._clock() >= self._next:
            with suppress(HubError):
                await self._look()
        return self._seen

    async def _look(self) -> tuple[LoginRow, Checkout]:
        self._next = self._clock() + _LOOK_S
        try:
            checkout = await asyncio.to_thread(Checkout.read, self._path)
            row = await asyncio.to_thread(self._row, checkout)
        except HubError as error:
            self._seen = str(error)
            raise
        self._seen = row
        return row, checkout

    def _opened(self, row: LoginRow, checkout: Checkout) -> dict[str, str]:
        said = checkout.variables
        key = key_of(said.get("API_KEY_PEPPER", ""), said.get("FERNET_SALT", ""))
        try:
            auth, feed_token = (_opened(key, token) for token in (row.auth, row.feed_token))
        except InvalidToken:
            raise HubError(
                f"the tokens of {row.user} in OpenAlgo's database were not encrypted with what "
                f"{checkout.root / '.env'} says now; log in to {self._broker} at OpenAlgo again"
            ) from None
        return fields_of(self._broker, row.client, auth, feed_token, said)

    def _row(self, checkout: Checkout) -> LoginRow:
        """The login that is meant. Raises HubError when there is none, or more than one."""
        database = Database(checkout.database_url, checkout.root)
        rows = [row for row in database.logins() if self._user in {"", row.user}]
        here = [row for row in rows if row.broker == self._broker and not row.revoked]
        if len(here) == 1:
            return here[0]
        if here:
            users = ", ".join(row.user for row in here)
            raise HubError(
                f"several users of OpenAlgo are logged in to {self._broker}: {users}; name one "
                f"with openalgo:USER"
            )
        who = f"user {self._user}" if self._user else "no user"
        if self._user and not rows:
            raise HubError(f"OpenAlgo has no login of {who}; log in there")
        raise HubError(
            f"{who} of OpenAlgo is {'not ' if self._user else ''}logged in to {self._broker}; "
            "log in there"
        )


def fields_of(
    broker: str, client: str, auth: str, feed_token: str, variables: Mapping[str, str]
) -> dict[str, str]:
    """What OpenAlgo's tokens and its .env say, by all names that fields of brokers have: `auth` is
    an access token, before which Zerodha's has the API key."""
    first, has_client, key = variables.get("BROKER_API_KEY", "").rpartition(":::")
    client = first if has_client else client
    if broker == "zerodha" and ":" in auth:
        key, _, auth = auth.partition(":")
    found = {
        "api_key": key,
        "app_id": key,
        "client_id": key if broker == "shoonya" else client,
        "api_secret": variables.get("BROKER_API_SECRET", ""),
        "client_code": client,
        "user_id": client,
        "uid": client,
        "access_token": auth,
        "jwt_token": auth,
        "feed_token": feed_token,
        "redirect_url": variables.get("REDIRECT_URL", ""),
        "redirect_uri": variables.get("REDIRECT_URL", ""),
    }
    return {name: value.strip() for name, value in found.items() if value.strip()}


@functools.lru_cache(maxsize=4)
def key_of(pepper: str, salt: str) -> Fernet:
    """OpenAlgo's key; it takes tens of milliseconds to make."""
    digits = salt.strip()
    own = _OLD_SALT
    if len(digits) >= _SALT_DIGITS:
        try:
            own = bytes.fromhex(digits)
        except ValueError:
            own = _OLD_SALT
    made = hashlib.pbkdf2_hmac("sha256", pepper.encode(), own, _ROUNDS)
    return Fernet(base64.urlsafe_b64encode(made))


def _opened(key: Fernet, token: str) -> str:
    return key.decrypt(token.encode()).decode() if token else ""
