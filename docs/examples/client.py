"""Print ticks: HUB_API_KEY=... python client.py NSE:RELIANCE,NSE_INDEX:NIFTY ws://127.0.0.1:8765.

A connection that is lost comes back by itself, with all that was subscribed.
"""

import asyncio
import os
import sys

import hub.client


async def main(symbols: str = "NSE:RELIANCE", url: str = "ws://127.0.0.1:8765") -> None:
    """Print the ticks of these symbols."""
    key = os.environ["HUB_API_KEY"]
    async with hub.client.connect(url, key, on_state=tell) as client:
        await client.subscribe(symbols, mode="depth")
        async for tick in client:
            best = tick.depth.buy[0].price if tick.depth and tick.depth.buy else None
            print(tick.exchange, tick.symbol, tick.ltp, best, flush=True)


def tell(state: hub.client.State) -> None:
    """Say how the connection is."""
    print(state, file=sys.stderr, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
