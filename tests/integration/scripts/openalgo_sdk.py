"""What a user of the `openalgo` SDK does, in an interpreter that has it; prints findings as JSON.

Arguments: address of the hub, API key. On stdin, one word a line: `go` after the shard that serves
this client has been killed, which only the 2.x SDK is told (it reconnects by itself).
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Any

from openalgo import api  # type: ignore[import-not-found]  # in a venv of its own

INSTRUMENTS = [
    {"exchange": "NSE", "symbol": "RELIANCE"},
    {"exchange": "NSE_INDEX", "symbol": "NIFTY"},
    {"exchange": "NSE", "symbol": "M&M"},
]


def main() -> None:
    """Connect, subscribe in each mode, read, unsubscribe, leave."""
    url, key = sys.argv[1:]
    stranger = api(api_key="wrong", host="http://127.0.0.1:1", ws_url=url)
    client = api(api_key=key, host="http://127.0.0.1:1", ws_url=url, verbose=2)
    say("wrong key", bool(stranger.connect()))
    stranger.disconnect()
    say("connected", bool(client.connect()))
    got: dict[str, list[Any]] = defaultdict(list)
    for kind, reader in (("ltp", "get_ltp"), ("quote", "get_quotes"), ("depth", "get_depth")):
        ticks = got[kind]
        getattr(client, f"subscribe_{kind}")(INSTRUMENTS, on_data_received=ticks.append)
        wait(partial(all_tick, ticks))
        say(f"{kind} callbacks", symbols(ticks))
        say(f"{kind} data", ticks[-1] if ticks else None)
        say(f"{kind} read", getattr(client, reader)())
        if kind == "ltp" and version("openalgo").startswith("2."):
            reconnect(ticks)
        getattr(client, f"unsubscribe_{kind}")(INSTRUMENTS)
        say(f"{kind} quiet", is_quiet(ticks))
    client.disconnect()
    say("end", version("openalgo"))


def reconnect(ticks: list[Any]) -> None:
    """Wait for the kill and for ticks after it, which need a replay of the subscriptions."""
    say("kill me", None)
    sys.stdin.readline()
    time.sleep(0.3)
    del ticks[:]
    say("ticks after the kill", wait(partial(all_tick, ticks), 30))


def all_tick(ticks: list[Any]) -> bool:
    """Whether there are ticks of all that was subscribed."""
    return symbols(ticks) == len(INSTRUMENTS)


def symbols(ticks: list[Any]) -> int:
    """Of how many symbols there are ticks."""
    return len({(tick["exchange"], tick["symbol"]) for tick in ticks})


def is_quiet(ticks: list[Any]) -> bool:
    """Whether no tick comes for half a second within five."""

    def quiet() -> bool:
        before = len(ticks)
        time.sleep(0.5)
        return len(ticks) == before

    return wait(quiet, 5)


def wait(condition: Callable[[], bool], within_s: float = 10) -> bool:
    """Whether a condition comes true in time."""
    deadline_s = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.02)
    return True


def say(what: str, value: Any) -> None:
    """One finding, on a line of its own whatever the SDK's threads print meanwhile."""
    sys.stdout.write(f"\nFOUND {json.dumps([what, value])}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
