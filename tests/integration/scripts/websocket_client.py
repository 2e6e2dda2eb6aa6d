"""What a user of `websocket-client` does; prints findings as JSON. Arguments: address, API key."""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

import websocket

WANTED = [{"symbol": "RELIANCE", "exchange": "NSE"}, {"symbol": "NIFTY", "exchange": "NSE_INDEX"}]


def main() -> None:
    """Once by hand, once by callbacks."""
    url, key = sys.argv[1:]
    by_hand(url, key)
    by_callbacks(url, key)


def by_hand(url: str, key: str) -> None:
    """Send and receive one message at a time."""
    ws = websocket.create_connection(url, timeout=10)
    say("auth", ask(ws, {"action": "authenticate", "api_key": key})["status"])
    reply = ask(ws, {"action": "subscribe", "symbols": WANTED, "mode": "LTP"})
    say("subscribe", [row["status"] for row in reply["subscriptions"]])
    ticks = [json.loads(ws.recv()) for _ in range(20)]
    say("symbols", sorted({tick["symbol"] for tick in ticks}))
    ws.ping("are you there")
    say("pong", any(ws.recv_data(control_frame=True)[0] == 10 for _ in range(100)))
    ws.close()


def by_callbacks(url: str, key: str) -> None:
    """Let WebSocketApp run in a thread, as the openalgo SDK does."""
    done, ticks = threading.Event(), list[Any]()

    def opened(app: Any) -> None:
        app.send(json.dumps({"action": "authenticate", "api_key": key}))
        app.send(json.dumps({"action": "subscribe", "symbols": WANTED, "mode": 3}))

    def heard(_: Any, text: str) -> None:
        message = json.loads(text)
        if message.get("type") == "market_data":
            ticks.append(message)
        if len(ticks) >= 20:
            done.set()

    app = websocket.WebSocketApp(url, on_open=opened, on_message=heard)
    thread = threading.Thread(
        target=app.run_forever, kwargs={"ping_interval": 2, "ping_timeout": 1}
    )
    thread.start()
    say("callbacks", done.wait(10))
    say("depth levels", {len(tick["data"]["depth"]["buy"]) for tick in ticks} == {5})
    app.close()
    thread.join(10)
    say("end", not thread.is_alive())


def ask(ws: Any, message: dict[str, Any]) -> Any:
    """Send a request and read the message that follows."""
    ws.send(json.dumps(message))
    return json.loads(ws.recv())


def say(what: str, value: Any) -> None:
    """One finding."""
    print("FOUND " + json.dumps([what, value]), flush=True)


if __name__ == "__main__":
    main()
