"""A client of the hub for Python programs: log in, subscribe, read typed ticks.

    import asyncio
    import hub.client

    async def main() -> None:
        async with hub.client.connect("ws://127.0.0.1:8765", "YOUR_API_KEY") as client:
            await client.subscribe(["NSE:RELIANCE", "NSE_INDEX:NIFTY"], mode="quote")
            async for tick in client:
                print(tick.exchange, tick.symbol, tick.ltp)

    asyncio.run(main())

1. A connection that is lost is made anew, and all that was held is subscribed again; nobody has to
   do anything about it. `on_state` tells of it.
2. Nothing that the hub says is lost on the way to who reads in time: fields that have no name here
   are in `tick.data` and `tick.raw`.
3. Memory is bounded. While its user is slow the client stops reading; then the hub keeps the newest
   tick of each topic for it, and sends those when it reads again.

`messages` has what comes, `wishes` what is asked for, `inbox` what waits to be read, `retry` when
to connect again, `line` one connection; `client` is what outlives it.
"""

from hub.client.client import Client, connect
from hub.client.messages import Depth, Level, Outcome, Stale, State, Tick
from hub.core.errors import NotRunning, NotTrusted, RequestError, SubscribeError

__all__ = [
    "Client",
    "Depth",
    "Level",
    "NotRunning",
    "NotTrusted",
    "Outcome",
    "RequestError",
    "Stale",
    "State",
    "SubscribeError",
    "Tick",
    "connect",
]
