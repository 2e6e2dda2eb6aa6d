"""A made-up hub for the page: boards with all that one may show, and no process behind them.

To look at the page while one works on it: `python -m tests.hub.monitor.made_up --shards 4`.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import time
from collections.abc import Callable
from typing import Any

import msgspec

from hub.core.errors import HubError
from hub.core.settings import Page, Settings
from hub.monitor.web import Web

Json = dict[str, Any]
_KEPT = 120
_FIGURES = ("cpu_percent", "rss", "in_s", "out_s", "p50_us", "p99_us", "conflated_s",
            "clients", "symbols")  # fmt: skip
_NAMES = ("RELIANCE", "HDFCBANK", "INFY", "TCS", "SBIN", "ICICIBANK", "ITC", "LT", "AXISBANK",
          "NIFTY25JAN24000CE", "BANKNIFTY", "M_M", "TATAMOTORS", "MARUTI", "WIPRO", "SUNPHARMA",
          "BAJFINANCE", "ADANIENT", "ONGC", "NTPC")  # fmt: skip
_HOPS = {"source": 900, "routed": 120, "taken": 260, "framed": 45, "written": 140, "total": 560}


class MadeUp:
    """A board that is changed by hand (`alter`), or by its own clock."""

    def __init__(self, shards: int = 4, *, calm: bool = False, nats: str = "") -> None:
        self.shards = shards
        self.nats = nats
        self.calm = calm
        self.alter: Json = {}
        self.gone: set[str] = set()
        self.watched: list[tuple[str, str]] = []
        self._luck = random.Random(1)
        self._series: dict[str, dict[str, list[float | None]]] = {}
        for back in range(_KEPT, 0, -1):
            self._note(time.time() - back)

    def board(self) -> Json:
        now = time.time()
        rows = [self._row(name, now) for name in self._names()]
        shards = [row for row in rows if row["role"] == "shard"]
        reasons = [f"{name} is away" for name in sorted(self.gone)]
        if not self.calm:
            reasons.append("1 client of shard-2 is slow")
        level = "bad" if self.gone else "warn" if reasons else "ok"
        return {
            "at": now,
            "version": "0.9.0",
            "hub": {"url": "ws://127.0.0.1:8765", "bus": "tcp://127.0.0.1:5555",
                    "shards": self.shards, "feeds": ["sim", "openalgo"], "window_ms": 2.0}
            | ({"nats": {"role": self.nats, "servers": ["nats://nats-1"]}} if self.nats else {}),
            "level": level,
            "reasons": reasons,
            "totals": {
                "in_s": rows[1]["in_s"], "out_s": sum(row["out_s"] for row in shards),
                "clients": sum(row["clients"] for row in shards), "symbols": 1843,
                "cpu_percent": sum(row["cpu_percent"] for row in rows),
                "rss": sum(row["rss"] for row in rows), "behind": 0 if self.calm else 1,
                "conflated_s": 0 if self.calm else 41.0, "dropped": 0,
            },
            "latency": self._latency(1.0),
            "processes": rows,
            "feeds": self._feeds(),
            "hottest": [] if self.calm else [
                {"key": f"{'NFO' if '24000' in name else 'NSE'}_{name}",
                 "mode": ("LTP", "QUOTE", "DEPTH")[place % 3], "rate": 48 / (place + 1) ** 0.7}
                for place, name in enumerate(_NAMES)
            ],
            "slowest": [] if self.calm else self._slowest(),
            "events": self._events(now),
        } | self.alter  # fmt: skip

    def history(self) -> Json:
        return {"every_s": 1, "series": self._series}

    def metrics(self) -> tuple[bytes, str]:
        return b"hub_up 1\n", "text/plain; version=0.0.4; charset=utf-8"

    def missing(self) -> list[str]:
        return [f"{name} is away" for name in sorted(self.gone)]

    async def watch(
        self, symbol: str, mode: str, take: Callable[[Json], None]
    ) -> Callable[[], None]:
        exchange, colon, name = symbol.partition(":")
        if not colon:
            raise HubError("Write exchange and symbol, such as NSE:RELIANCE.")
        self.watched.append((symbol, mode))
        ticking = asyncio.create_task(self._tick(exchange, name, mode, take))

        def unwatch() -> None:
            ticking.cancel()

        return unwatch

    async def _tick(
        self, exchange: str, name: str, mode: str, take: Callable[[Json], None]
    ) -> None:
        price = 1386.0
        while True:
            price = round(price + self._luck.choice((-0.35, -0.1, 0.05, 0.1, 0.3)), 2)
            data: Json = {"symbol": name, "exchange": exchange, "ltp": price,
                          "timestamp": int(time.time() * 1000)}  # fmt: skip
            if mode != "ltp":
                data |= {"open": 1380.0, "high": 1391.4, "low": 1376.2, "close": 1379.55,
                         "volume": 4_812_345, "average_price": 1384.2, "last_quantity": 25,
                         "change": round(price - 1379.55, 2),
                         "change_percent": round((price / 1379.55 - 1) * 100, 2)}  # fmt: skip
            if mode == "depth":
                data["depth"] = {
                    side: [{"price": round(price + sign * 0.05 * level, 2),
                            "quantity": self._luck.randrange(20, 900), "orders": level * 3}
                           for level in range(1, 6)]
                    for side, sign in (("buy", -1), ("sell", 1))
                }  # fmt: skip
            number = {"ltp": 1, "quote": 2, "depth": 3}[mode]
            take({"symbol": name, "exchange": exchange, "mode": number, "data": data})
            await asyncio.sleep(0.15)

    async def live(self) -> None:
        """Let time pass."""
        while True:
            self._note(time.time())
            await asyncio.sleep(1)

    def _names(self) -> list[str]:
        shards = [f"shard-{number}" for number in range(self.shards)]
        feeds = ["feed-sim", "feed-openalgo", *(["feed-nats"] if self.nats == "edge" else [])]
        uplink = ["uplink"] if self.nats == "ingest" else []
        return ["supervisor", "router", *feeds, *shards, *uplink, "monitor"]

    def _note(self, now: float) -> None:
        for name in self._names():
            row = self._row(name, now)
            series = self._series.setdefault(name, {})
            for figure in _FIGURES:
                latency = row["latency"].get("total", {})
                value = latency.get(figure) if figure.endswith("_us") else row.get(figure)
                series.setdefault(figure, []).append(value)
                del series[figure][:-_KEPT]

    def _row(self, name: str, now: float) -> Json:
        role, _, number = name.partition("-")
        place = int(number) if number.isdigit() else 7
        wave = 1 + 0.25 * math.sin(now / 9 + place) + self._luck.uniform(-0.08, 0.08)
        load = {"router": 31, "shard": 22 + 9 * (place % 3), "feed": 9}.get(role, 1.2)
        away = name in self.gone
        row: Json = {
            "name": name, "role": role, "pid": 4000 + place, "restarts": int(name == "shard-3"),
            "state": "backoff" if away else "ready", "uptime_s": 8213.0 + place,
            "lag_ms": round(0.4 * wave + (place % 4) * 0.2, 3), "cpu_percent": load * wave,
            "rss": int((58 + 4 * place) * 1e6 * (1 + wave / 50)), "threads": 4,
            "conflated_s": 0.0, "latency": {}, "level": "bad" if away else "ok",
        }  # fmt: skip
        if role in {"router", "feed"}:
            row |= {"in_s": 9800 * wave, "out_s": 12400 * wave}
        if role == "router":
            row["symbols"] = 1843
        if name in {"uplink", "feed-nats"}:
            row |= {"nats_connected": True, "nats_server": "nats-1:4222", "in_s": 5200 * wave,
                    "out_s": 6100 * wave, "edges": 3, "machines": 2}  # fmt: skip
        if role == "shard":
            slow = place == 2 and not self.calm
            row |= {"in_s": 3100 * wave, "out_s": 41000 * wave, "clients": 120 + 13 * place,
                    "symbols": 460 + 20 * place, "conflated_s": 41.0 * wave if slow else 0.0,
                    "behind": int(slow), "dropped": 0, "latency": self._latency(wave),
                    "level": "bad" if away else "warn" if slow else "ok"}  # fmt: skip
        return row

    def _latency(self, wave: float) -> Json:
        return {
            hop: {"count": 900, "p50_us": usual * wave, "p99_us": usual * 4.2 * wave,
                  "p999_us": usual * 9 * wave}
            for hop, usual in _HOPS.items()
        }  # fmt: skip

    def _feeds(self) -> list[Json]:
        bad = not self.calm
        others = [
            {"name": "nats", "state": "connected", "problem": "", "subscribed": 0, "limit": 0,
             "ticks": 9, "in_s": 900.0, "last_tick_s": 0.1, "stale": 0, "stale_first": [],
             "level": "ok"}
        ] if self.nats == "edge" else []  # fmt: skip
        return [
            *others,
            {"name": "sim", "state": "connected", "problem": "", "subscribed": 1500, "limit": 10000,
             "ticks": 123456, "in_s": 9400.0, "last_tick_s": 0.02, "stale": 0, "stale_first": [],
             "level": "ok"},
            {"name": "openalgo", "state": "connected", "problem": "", "subscribed": 343,
             "limit": 3000, "ticks": 3456, "in_s": 410.0, "last_tick_s": 0.4, "stale": 3 * bad,
             "stale_first": ["NSE:YESBANK", "NSE:IDEA", "MCX:GOLDM"] if bad else [],
             "level": "warn" if bad else "ok"},
        ]  # fmt: skip

    def _slowest(self) -> list[Json]:
        return [
            {"shard": 2, "client": "127.0.0.1:41234", "user": "alice", "symbols": 412,
             "behind": True, "behind_s": 3.2, "pending": 218, "unsent_bytes": 3_912_004,
             "conflated": 18_234, "out_s": 310.0, "age_s": 812.0},
            {"shard": 0, "client": "10.0.0.17:60112", "user": "charts", "symbols": 50,
             "behind": False, "behind_s": 0.0, "pending": 0, "unsent_bytes": 120_004,
             "conflated": 312, "out_s": 99.0, "age_s": 7312.0},
        ]  # fmt: skip

    def _events(self, now: float) -> list[Json]:
        events = [
            {"at": now - 8213, "level": "info", "who": "hub", "text": "is ready, 4 shards"},
            {"at": now - 3000, "level": "info", "who": "feed-openalgo",
             "text": "connected to zerodha as alice"},
        ]  # fmt: skip
        if not self.calm:
            events += [
                {"at": now - 912, "level": "warn", "who": "shard-1",
                 "text": "3 clients came with keys that are not valid"},
                {"at": now - 340, "level": "bad", "who": "shard-3",
                 "text": "was killed (signal 9) and is started again"},
                {"at": now - 338, "level": "info", "who": "shard-3", "text": "is ready again"},
                {"at": now - 42, "level": "warn", "who": "shard-2",
                 "text": "alice (127.0.0.1:41234) reads too slowly and gets the newest only"},
            ]  # fmt: skip
        return events


async def serve(board: MadeUp, page: Page, token: str = "") -> None:
    """Serve a made-up hub until cancelled."""
    web = Web(msgspec.structs.replace(Settings(), page=page), board, token)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(board.live())
        tasks.create_task(web.run())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--port", type=int, default=8766)
    parser.add_argument("--calm", action="store_true")
    parser.add_argument("--gone", nargs="*", default=[])
    parser.add_argument("--token", default="")
    parser.add_argument("--nats", choices=("", "ingest", "edge"), default="")
    given = parser.parse_args()
    board = MadeUp(given.shards, calm=given.calm, nats=given.nats)
    board.gone = set(given.gone)
    asyncio.run(serve(board, Page(port=given.port), given.token))


if __name__ == "__main__":
    main()
