"""What the adapters are told to do wrong, and the record of the calls they got.

`mischief.json` maps a call (`subscribe`, or `anita.subscribe` for one user) to what shall happen
in it, read anew at each call:

    until    wait until a file of this name is in the checkout
    raise    raise ValueError with this text        exit    call sys.exit
    error    answer an error of this text, with `code`
    times    only the first so many times; then as if nothing had been said
    symbols  only for these symbols
    depth    answer this `actual_depth`
    say      log and print this text
    die      the thread that publishes ends         threads publish from so many threads
    odd      publish what is no JSON                private publish account topics, too
"""

import json
import logging
import os
import sys
import threading
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent
_done = Counter()
_lock = threading.Lock()


def told(user, call):
    """The mischief for a call, empty when there is none."""
    try:
        orders = json.loads((ROOT / "mischief.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    name = f"{user}.{call}" if f"{user}.{call}" in orders else call
    return {"name": name, **orders[name]} if name in orders else {}


def meet(user, call, symbol="", **facts):
    """Record a call, and do to it what was told; the answer for the caller, or None."""
    note(call, user=user, symbol=symbol, **facts)
    order = told(user, call)
    if not order or (order.get("symbols") and symbol not in order["symbols"]):
        return None
    with _lock:
        _done[order["name"]] += 1
        if _done[order["name"]] > order.get("times", sys.maxsize):
            return None
    if "say" in order:
        logging.getLogger("broker").warning("%s, logged", order["say"])
        print(f"{order['say']}, printed")
    while "until" in order and not (ROOT / order["until"]).exists():
        time.sleep(0.02)
    if order.get("exit"):
        sys.exit("the adapter wanted to leave")
    if "raise" in order:
        raise ValueError(order["raise"])
    if "error" in order:
        return {"status": "error", "code": order.get("code", "ODD"), "message": order["error"]}
    return None


def note(call, **facts):
    """Write a call down."""
    line = json.dumps({"call": call, "thread": threading.current_thread().name, **facts})
    with _lock, (ROOT / "calls.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + os.linesep)
