"""The token that a visitor of the page must know: where it comes from, and how it is proved.

1. It comes from a file or the environment, never from a command line, and is never shown again.
2. What a browser keeps is no token: a time and its MAC, which ends with the token or in a week.
3. An address that was wrong too often is not asked for a while, right or wrong.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

from hub.core.errors import ConfigError
from hub.core.settings import Settings
from hub.runtime.ownfile import OwnFile

VARIABLE = "HUB_PAGE_TOKEN"
"""The variable of the environment that may hold it."""

AUTO = "page-token"
"""The file of a token that was made by the hub, in its runtime directory."""

COOKIE_S = 7 * 86_400
_SHORTEST = 16
_TRIES = 5
_AGAIN_S = 12.0
"""One more try in each of these, after so many at once."""
_ADDRESSES = 1024


def token_of(settings: Settings, environ: Mapping[str, str] = os.environ) -> str:
    """The token of these settings, empty when none is needed.

    Raises ConfigError when the page would be open to others without one, KeyStoreError when its
    file is not its owner's alone.
    """
    page = settings.page
    if not page.enabled:
        return ""
    token, source = environ.get(VARIABLE, "").strip(), f"${VARIABLE}"
    if not token and page.token_file:
        source = f"page.token_file: {page.token_file}"
        found = OwnFile(Path(page.token_file)).read()
        if found is None:
            raise ConfigError([f"{source}: there is no such file; {_HOW}"])
        token = found[1].decode("ascii", "replace").strip()
        if not token:
            raise ConfigError([f"{source}: the file is empty; {_HOW}"])
    if not token and not is_loopback(page.host):
        problem = (
            f"page.host is {page.host}, where others may look, and there is no token; start with "
            "`hub start --token auto`, name its file in page.token_file, or leave page.host at "
            "127.0.0.1"
        )
        raise ConfigError([problem])
    if token and (len(token) < _SHORTEST or not token.isascii() or not token.isprintable()):
        raise ConfigError([f"{source}: a token has {_SHORTEST} ASCII characters or more; {_HOW}"])
    return token


def make_token(runtime_dir: Path) -> Path:
    """The file of the hub's own token, which is made unless it is there."""
    file = OwnFile(runtime_dir / AUTO)
    with file.alone():
        if file.read() is None:
            file.replace(f"{secrets.token_urlsafe(24)}\n".encode())
    return file.path


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Gate:
    """Tells who knows the token; without one everybody does."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self._tries: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Gate {'shut' if self._token else 'open'}>"

    @property
    def is_open(self) -> bool:
        """Whether nobody is asked."""
        return not self._token

    def knows(self, token: str) -> bool:
        """Whether this is the token, in constant time."""
        return hmac.compare_digest(self._mac("token", token.strip()), self._mac_of_token())

    def cookie(self, now_s: float) -> str:
        """What a browser is given that knew it; `now_s` since the epoch."""
        until = str(int(now_s) + COOKIE_S)
        return f"{until}.{self._mac('cookie', until).hex()}"

    def honours(self, cookie: str, now_s: float) -> bool:
        """Whether that is one which was given, and not too long ago."""
        until, _, mac = cookie.partition(".")
        given = hmac.compare_digest(mac.encode(), self._mac("cookie", until).hex().encode())
        return given and until.isdigit() and float(until) > now_s

    def wait_s(self, address: str, now_s: float) -> float:
        """How long an address has to wait for its next try, 0 mostly; `now_s` monotonic."""
        left, at_s = self._tries.get(address, (_TRIES, now_s))
        return max(0.0, (1 - left) * _AGAIN_S - (now_s - at_s))

    def failed(self, address: str, now_s: float) -> None:
        """An address did not know it."""
        left, at_s = self._tries.pop(address, (_TRIES, now_s))
        left = min(float(_TRIES), left + (now_s - at_s) / _AGAIN_S)
        self._tries[address] = (left - 1, now_s)
        while len(self._tries) > _ADDRESSES:
            self._tries.popitem(last=False)

    def _mac_of_token(self) -> bytes:
        return self._mac("token", self._token.decode())

    def _mac(self, what: str, text: str) -> bytes:
        said = f"{what}\0{text}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._token or b"-", said, hashlib.sha256)


_HOW = "make one with `(umask 077; openssl rand -hex 24 > FILE)`"
