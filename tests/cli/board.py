"""A made-up board, as the monitor tells it."""

from __future__ import annotations

from typing import Any


def process(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "role": name.partition("-")[0], "pid": 100, "state": "ready", "level": "ok",
        "cpu_percent": 10.0, "rss": 40 << 20, "latency": {}, "restarts": 0, "lag_ms": 0.5,
        "busiest": {"clients": 0, "share": 0.0},
    } | more  # fmt: skip


def client(name: str, **more: Any) -> dict[str, Any]:
    return {
        "shard": 1, "client": name, "user": "alice", "symbols": 3, "behind": False,
        "behind_s": 0.0, "pending": 0, "unsent_bytes": 0, "conflated": 0, "out_s": 5.0,
        "share": 0.5, "age_s": 60.0,
    } | more  # fmt: skip


def hop(us: float, count: int = 4) -> dict[str, float]:
    return {"count": count, "p50_us": us, "p99_us": 2 * us, "p999_us": 3 * us}


def board(**more: Any) -> dict[str, Any]:
    return {
        "at": 1.0, "version": "9.9", "level": "ok", "reasons": [],
        "hub": {"url": "ws://127.0.0.1:1", "bus": "tcp://127.0.0.1:2", "shards": 2, "feeds": []},
        "totals": {"in_s": 5000.0, "out_s": 25000.0, "clients": 7, "symbols": 11,
                   "cpu_percent": 33.0, "rss": 99 << 20},
        "latency": {"routed": hop(50.0), "total": hop(400.0)},
        "processes": [
            process("router", cpu_percent=30.0),
            process("shard-0", clients=2, latency={"total": hop(300.0)}),
            process("shard-1", cpu_percent=50.0, clients=5, latency={"total": hop(900.0)}),
        ],
        "feeds": [],
        "hottest": [{"key": "NSE_A", "mode": "LTP", "rate": 50.0},
                    {"key": "NSE_B", "mode": "DEPTH", "rate": 5.0}],
        "slowest": [client("10.0.0.1:5", behind=True, behind_s=3.0, pending=8, conflated=70),
                    client("10.0.0.2:6", user="bob", out_s=99.0)],
        "events": [],
    } | more  # fmt: skip
