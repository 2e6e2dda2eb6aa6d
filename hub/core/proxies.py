"""Where a client that comes through a reverse proxy really is. Pure.

1. Only a trusted proxy is believed: from anybody else X-Forwarded-For says nothing.
2. Of its entries the last counts that is no trusted proxy itself. What stands before that one was
   written by the client, or by somebody it came through.
3. What is no address ends the search: the client is where the last one said that was believed.
4. Forwarded (RFC 7239) is not read: a proxy that writes one of the two headers passes the other
   on as the client wrote it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Any

LOCAL = "local"
"""The address of whoever comes by the Unix socket."""
UNIX = "unix"
"""How a list of trusted proxies names all of those."""

_WITH_PORT = re.compile(r"(?:\[([^\]]+)\]|([\d.]+))(?::\d{1,5})?")
_MOST = 32
"""So many entries are looked at: a chain of proxies is short."""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def problem(text: str) -> str:
    """What is wrong with an entry of the list of trusted proxies; empty if nothing is."""
    if text == UNIX:
        return ""
    try:
        network = str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return f"{text!r} is no address, no network such as 10.0.0.0/8, and not {UNIX}"
    is_whole = "/" not in text or network.partition("/")[0] == text.partition("/")[0]
    return "" if is_whole else f"{text!r} has an address of a network; the network is {network}"


def address_of(peer: Any) -> str:
    """The address of a socket's other end, as asyncio's `peername` has it."""
    if not isinstance(peer, tuple):
        return LOCAL
    found = _parsed(str(peer[0]))
    return str(found) if found else str(peer[0])


class Proxies:
    """The trusted proxies: addresses, networks, or `unix` for all who come by the Unix socket."""

    def __init__(self, trusted: Sequence[str]) -> None:
        self._local = UNIX in trusted
        self._networks = [ipaddress.ip_network(one) for one in trusted if one != UNIX]

    def __repr__(self) -> str:
        return f"<Proxies {len(self._networks)} networks{', unix' if self._local else ''}>"

    def trusts(self, address: str) -> bool:
        """Whether this is the address of a trusted proxy."""
        if address == LOCAL:
            return self._local
        found = _parsed(address) if self._networks else None
        return found is not None and any(found in network for network in self._networks)

    def client(self, proxy: str, forwarded: Sequence[str]) -> str:
        """The address of who comes through a trusted proxy, by the X-Forwarded-For headers of its
        request in their order; the proxy's own where they tell of nobody."""
        address = proxy
        for entry in reversed(",".join(forwarded).rsplit(",", _MOST)[-_MOST:]):
            found = _entry(entry)
            if found is None:
                break
            address = str(found)
            if not self.trusts(address):
                break
        return address


def _entry(text: str) -> _Address | None:
    """An entry of X-Forwarded-For: an address, maybe with a port, and then IPv6 in brackets."""
    text = text.strip()
    match = _WITH_PORT.fullmatch(text)
    return _parsed(match[1] or match[2] if match else text) if "%" not in text else None


def _parsed(text: str) -> _Address | None:
    """An address; one of IPv4 in the form of IPv6 is one of IPv4."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
