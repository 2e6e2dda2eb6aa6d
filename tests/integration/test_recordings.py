"""A market is recorded from a real hub and played on others, by the real commands."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import hub.client
from hub.core.errors import SubscribeError
from hub.recording import read
from hub.runtime.control import ask
from tests.integration.conftest import MakeHub
from tests.integration.harness import WITHIN_S, Hub, together

ROOT = Path(__file__).parents[2]
SYMBOLS = "NSE:RELIANCE,NSE_INDEX:NIFTY"


def command(hub_: Hub, *args: object) -> subprocess.CompletedProcess[str]:
    """Run `hub` for this hub, as its user `simon`; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "cli", *map(str, args), "--runtime-dir", str(hub_.runtime_dir)],
        cwd=ROOT, capture_output=True, text=True, timeout=40, check=False,
        env=os.environ | {"HUB_API_KEY": hub_.keys["simon"]},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def payloads(path: Path) -> list[tuple[str, Any]]:
    rows = [row for chunk in read.chunks(path) for row in chunk]
    assert rows == sorted(rows, key=lambda row: row.time_ns)
    return [(row.topic, json.loads(bytes(row.data))) for row in rows]


@pytest.fixture(scope="module")
def day(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred ticks of the simulator."""
    path = tmp_path_factory.mktemp("day") / "day.jsonl.zst"
    command(hub, "record", SYMBOLS, "--mode", "depth", "--count", 100, "--out", path)
    return path


def test_what_is_recorded_is_what_the_feed_has_said(day: Path) -> None:
    found = payloads(day)
    assert len(found) == 100
    counts = Counter(topic for topic, _ in found)
    assert counts.keys() == {"NSE_RELIANCE_DEPTH", "NSE_INDEX_NIFTY_DEPTH"}
    for topic, data in found:
        assert f"{data['exchange']}_{data['symbol']}_DEPTH" == topic
        assert len(data["depth"]["buy"]) == 5


def test_a_recording_is_played_on_the_bus_of_a_hub_that_runs(make_hub: MakeHub, day: Path) -> None:
    """Its clients are those of the bus; all of it comes, once and in order."""
    other = make_hub({"hub.feeds": ["bus"], "hub.shards": 1})
    wanted = [data for _, data in payloads(day)]

    async def listen() -> list[Any]:
        async with (
            asyncio.timeout(WITHIN_S),
            hub.client.connect(other.url, other.keys["anita"], form="msgpack") as client,
        ):
            await client.subscribe(SYMBOLS, mode="depth")
            playing = asyncio.to_thread(command, other, "replay", day, "--speed", 5)
            ticks = [anext(client) for _ in wanted]
            _, *found = await together([playing, *ticks])
            return [(tick.name, tick.data) for tick in found]

    found = asyncio.run(listen())
    for name in SYMBOLS.split(","):
        exchange, symbol = name.split(":")
        mine = [data for data in wanted if (data["exchange"], data["symbol"]) == (exchange, symbol)]
        assert [data for of, data in found if of == name] == mine


def test_hub_replay_starts_a_hub_with_a_key_that_plays_it_to_its_subscribers(
    day: Path, tmp_path: Path
) -> None:
    runtime_dir = tmp_path / "r"
    where = ["--runtime-dir", str(runtime_dir), "--port", "0", "--bus-port", "0", "--no-page"]
    with subprocess.Popen(
        [sys.executable, "-m", "cli", "replay", str(day), *where, "--speed", "20", "--shards", "1"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            said = [next(process.stdout)]
            while "Ctrl-C stops the hub" not in said[-1]:
                said.append(next(process.stdout))
            check_banner(said, runtime_dir)
            key = (runtime_dir / "demo.key").read_text(encoding="ascii").strip()
            (url,) = [line.split()[1] for line in said if "WebSocket  " in line]
            asyncio.run(listen_twice(url, key, payloads(day), runtime_dir))
        finally:
            process.terminate()
        assert process.wait(20) == 0
    assert not (runtime_dir / "demo.key").exists()


def check_banner(said: list[str], runtime_dir: Path) -> None:
    """What there is in the recording, and lines to paste for it."""
    assert said[0].startswith("day.jsonl.zst: 100 ticks of 2 symbols")
    (tail,) = [line.split() for line in said if line.startswith("hub tail")]
    assert set(tail[2].split(",")) == set(SYMBOLS.split(","))
    assert tail[-1] == str(runtime_dir)


async def listen_twice(url: str, key: str, wanted: list[tuple[str, Any]], where: Path) -> None:
    """It comes as it was recorded, and again when nobody holds anything any more."""
    reliance = [data for topic, data in wanted if topic == "NSE_RELIANCE_DEPTH"]
    async with asyncio.timeout(2 * WITHIN_S), hub.client.connect(url, key) as client:
        for _ in range(2):
            with pytest.raises(SubscribeError, match=r"NSE:TCS is not in day\.jsonl\.zst"):
                await client.subscribe("NSE:RELIANCE,NSE:TCS", mode="depth", snapshot=False)
            assert [(await anext(client)).data for _ in reliance] == reliance
            await held(where, 1)  # what the monitor says is older than what is so
            await client.unsubscribe("NSE:RELIANCE")
            await held(where, 0)


async def held(where: Path, many: int) -> None:
    """Wait until the monitor says that the feed has so many symbols to play."""
    while True:
        answer = await ask(where, "monitor", {"t": "status"})
        (feed,) = [row for row in answer["processes"] if row["name"] == "feed-replay"]
        if feed.get("symbols") == many:
            return
        await asyncio.sleep(0.1)
