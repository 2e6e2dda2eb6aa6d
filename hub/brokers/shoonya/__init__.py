"""Shoonya (Finvasia): the Noren family (`hub.brokers.noren`), with a login in the browser each
day."""

from __future__ import annotations

from hub.brokers import jwt
from hub.brokers.base import Addresses, Broker, Channel, Credentials, Field, Login
from hub.brokers.noren import login
from hub.brokers.noren.codec import LIMITS, NorenCodec, Profile
from hub.brokers.noren.payloads import Payloads
from hub.brokers.shoonya.instruments import READER

PROFILE = Profile(
    name="shoonya",
    title="Shoonya",
    payloads=Payloads("shoonya_timestamp", trade_time=True, last="open_interest"),
    per_message=100,
)


def codec(credentials: Credentials, addresses: Addresses) -> NorenCodec:
    """A connection of Shoonya."""
    return NorenCodec(PROFILE, credentials, addresses)


BROKER = Broker(
    name="shoonya",
    title="Shoonya",
    channels=(
        Channel(
            "market",
            Addresses("wss://api.shoonya.com/NorenWSAPI/", "https://api.shoonya.com"),
            LIMITS._replace(per_message=PROFILE.per_message),
            codec,
        ),
    ),
    instruments=READER,
    fields=(
        Field("user_id", "the user, such as FA12345", secret=False, kept=True),
        Field("access_token", "the session of the day", kept=True),
        Field(
            "account_id",
            "the account, where it is not the user's",
            needed=False,
            secret=False,
            kept=True,
        ),
        Field("client_id", "the API's client, such as FA12345_U, for the login", needed=False),
        Field("api_secret", "the secret of that client, for the login", needed=False),
    ),
    login=Login(
        needs=("client_id", "api_secret"),
        request=login.shoonya_request,
        take=login.shoonya_take,
        visit=login.shoonya_visit,
        code="code",
    ),
    expires=jwt.expires,
)
