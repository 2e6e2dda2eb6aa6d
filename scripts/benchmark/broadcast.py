"""A plain server to compare with: one process, asyncio, `websockets.broadcast`.

It is what one writes in an afternoon: it reads the bus tick by tick, wraps the JSON and broadcasts
it to whoever has subscribed. Nothing is batched, conflated or bounded.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from typing import Any

import zmq
import zmq.asyncio
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

from scripts.benchmark import leash

_LABELS = {"LTP": 1, "QUOTE": 2, "DEPTH": 3}
_Holders = dict[str, set[ServerConnection]]


async def main() -> None:
    """Serve clients on one port and take publishers on another; says `ready` with both."""
    leash.hold()
    bus = zmq.asyncio.Context.instance().socket(zmq.SUB)
    bus.setsockopt(zmq.RCVHWM, 0)
    bus.setsockopt(zmq.SUBSCRIBE, b"")
    port = bus.bind_to_random_port("tcp://127.0.0.1")
    holders: _Holders = defaultdict(set)

    async def client(connection: ServerConnection) -> None:
        try:
            async for message in connection:
                await connection.send(json.dumps(_answer(json.loads(message), connection, holders)))
        except ConnectionClosed:
            pass
        finally:
            for held in holders.values():
                held.discard(connection)

    async with serve(client, "127.0.0.1", 0, compression=None) as server:
        (listener,) = server.sockets
        leash.say("ready", ws=listener.getsockname()[1], bus=port)
        while True:
            topic, payload = await bus.recv_multipart()
            name = topic.decode()
            broadcast(holders[name], _wrapped(name, json.loads(payload)))


def _answer(request: dict[str, Any], who: ServerConnection, holders: _Holders) -> dict[str, Any]:
    if request["action"] == "subscribe":
        label = request["mode"].upper()
        for wanted in request["symbols"]:
            holders[f"{wanted['exchange']}_{wanted['symbol']}_{label}"].add(who)
        return {"type": "subscribe", "status": "success"}
    return {"type": "auth", "status": "success"}


def _wrapped(topic: str, data: Any) -> str:
    exchange, symbol, label = topic.split("_")
    return json.dumps(
        {
            "type": "market_data",
            "symbol": symbol,
            "exchange": exchange,
            "mode": _LABELS[label],
            "data": data,
            "broker": "bus",
        }
    )


if __name__ == "__main__":
    asyncio.run(main())
