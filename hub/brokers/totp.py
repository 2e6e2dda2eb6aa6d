"""One-time passwords of a time that is told. Pure."""

from __future__ import annotations

import binascii

import pyotp

from hub.core.errors import BrokerError
from hub.core.model import Fault


class _Totp(pyotp.TOTP):
    """One of whatever length a broker has chosen: pyotp refuses less than 112 bits by itself."""

    min_secret_length_bits = 8


def password(secret: str, now_s: float, title: str) -> str:
    """The password of now, by a secret in base32 as the broker (`title`) shows it, blanks and all.
    Raises BrokerError."""
    try:
        return _Totp("".join(secret.split()).upper()).at(int(now_s))
    except (binascii.Error, ValueError):
        raise BrokerError(
            Fault.AUTH,
            f"TOTP_SECRET of {title} is no secret in base32; copy it again from the page on which "
            f"{title} shows it as text beside the QR code",
        ) from None
