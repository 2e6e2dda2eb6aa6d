"""Flattrade: the Noren family (`hub.brokers.noren`), with a login in the browser each day."""

from __future__ import annotations

from hub.brokers import jwt
from hub.brokers.base import Addresses, Broker, Channel, Credentials, Field, Login
from hub.brokers.flattrade.instruments import READER
from hub.brokers.noren import login
from hub.brokers.noren.codec import LIMITS, NorenCodec, Profile
from hub.brokers.noren.payloads import Payloads

PROFILE = Profile(
    name="flattrade",
    title="Flattrade",
    payloads=Payloads("flattrade_timestamp", trade_time=False, last="total_traded_value"),
    per_message=50,
)


def codec(credentials: Credentials, addresses: Addresses) -> NorenCodec:
    """A connection of Flattrade."""
    return NorenCodec(PROFILE, credentials, addresses)


BROKER = Broker(
    name="flattrade",
    title="Flattrade",
    channels=(
        Channel(
            "market",
            Addresses(
                "wss://piconnect.flattrade.in/PiConnectWSAPI/", "https://authapi.flattrade.in"
            ),
            LIMITS._replace(per_message=PROFILE.per_message),
            codec,
        ),
    ),
    instruments=READER,
    fields=(
        Field("user_id", "the client code, such as FT012345", secret=False, kept=True),
        Field("access_token", "the session of the day", kept=True),
        Field("account_id", "the account, where it is not the user's", needed=False, secret=False),
        Field("api_key", "the key, for the login", needed=False),
        Field("api_secret", "the secret of the key, for the login", needed=False),
    ),
    login=Login(
        needs=("api_key", "api_secret"),
        request=login.flattrade_request,
        take=login.flattrade_take,
        visit=login.flattrade_visit,
        code="code",
    ),
    expires=jwt.expires,
)
