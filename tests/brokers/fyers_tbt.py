"""The part of the fake Fyers with deep books: 50 levels, first whole, then what has changed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from tests.brokers import fyers_wire as wire
from tests.brokers.fake import Answer, Asked, Data, Peer

if TYPE_CHECKING:
    from tests.brokers.fyers_server import Server

_SYMBOLS = 5


class Books:
    """What clients of `PATH` get. `resumed` are the channels of each peer from which ticks flow."""

    PATH: ClassVar[str] = "/versova"

    def __init__(self, server: Server) -> None:
        self._server = server
        self.resumed: dict[int, set[str]] = {}
        self.unknown: set[str] = set()
        self._step = 0

    def admit(self, asked: Asked) -> Answer | None:
        """Who does not say who they are is refused."""
        return None if self._known(asked) else Answer(401)

    def address(self, asked: Asked, url: str) -> Answer:
        """Where the stream is."""
        if not self._known(asked):
            return Answer(401, b'{"s":"error","code":-16,"message":"Could not authenticate"}')
        return Answer(200, json.dumps({"s": "ok", "data": {"socket_url": url}}).encode())

    def _known(self, asked: Asked) -> bool:
        has: Mapping[str, str] = self._server.script.credentials
        return asked.headers.get("authorization") == f"{has['api_key']}:{has['access_token']}"

    async def received(self, peer: Peer, data: Data) -> None:
        if data == "ping":
            await peer.send("pong")
            return
        said = json.loads(data)
        if said["type"] == 2:
            self.resumed.setdefault(peer.number, set()).update(said["data"]["resumeChannels"])
            self.resumed[peer.number] -= set(said["data"]["pauseChannels"])
            await self._begin(peer)
            return
        wish = said["data"]
        for symbol in wish["symbols"]:
            if wish["subs"] == -1:
                peer.wants.pop(symbol, None)
            elif len(peer.wants) >= _SYMBOLS and symbol not in peer.wants:
                await peer.send(wire.complaint("max symbols limit reached for the connection"))
            elif symbol in self.unknown:
                await peer.send(wire.complaint("invalid symbol"))
            else:
                peer.wants[symbol] = {"channel": wish["channel"], "begun": False}
        await self._begin(peer)

    def ticks(self, peer: Peer) -> Sequence[Data]:
        self._step += 1
        return [
            wire.message({str(at): changed(name, self._step)})
            for at, (name, want) in enumerate(peer.wants.items())
            if want["begun"]
        ]

    async def _begin(self, peer: Peer) -> None:
        for name, want in peer.wants.items():
            if not want["begun"] and want["channel"] in self.resumed.get(peer.number, ()):
                want["begun"] = True
                await self._server.push(peer, [wire.message({"0": whole(name)}, snapshot=True)])


def whole(ticker: str) -> bytes:
    """A book of 50 levels."""
    return wire.feed(
        ticker,
        bids=[(n, 245_000 - 5 * n, 100 + n, 1 + n) for n in range(50)],
        asks=[(n, 245_005 + 5 * n, 200 + n, 2 + n) for n in range(50)],
        buying=60_000,
        selling=70_000,
        sequence=1,
    )


def changed(ticker: str, step: int) -> bytes:
    """The best bid has another quantity, the third best ask another price."""
    return wire.feed(
        ticker,
        bids=[(0, None, 100 + step, None)],
        asks=[(2, 245_016 + step % 3, None, None)],
        time_s=1_790_000_000 + step,
        sequence=1 + step,
    )
