"""The worker as a process: what goes in and out, whom it outlives, and whom it does not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from hub.core import codec
from hub.feeds.openalgo import worker as module
from hub.feeds.openalgo.worker import Worker
from tests.hub.feeds.openalgo.kit import DEPTH, LTP, PROGRAM, QUOTE, Parent, start, want
from tests.openalgo import Checkout


def test_it_says_that_it_is_ready_first(checkout: Checkout) -> None:
    with start(checkout) as parent:
        health = parent.health()
    assert health == {
        "t": "health",
        "accounts": {},
        "ticks": 0,
        "conflated": 0,
        "dropped": 0,
        "private": 0,
        "broken": 0,
    }


def test_it_lives_in_the_checkout_and_does_not_run_its_server(worker: Parent) -> None:
    worker.up("anita")
    assert worker.called("connect")[0]["cwd"] == str(worker.checkout.root.resolve())
    assert not worker.called("server")


def test_ticks_come_as_the_bus_would_write_them(worker: Parent) -> None:
    worker.up("anita")
    worker.want("anita", want("M&M", QUOTE))
    data = worker.tick(b"NSE_M&M_QUOTE")
    assert {"symbol": "M&M", "exchange": "NSE", "ltp": 1.5}.items() <= data.items()
    raw = dict(worker.ticks)[b"NSE_M&M_QUOTE"]
    assert raw == json.dumps(json.loads(raw)).encode()
    health = worker.health(lambda message: message["ticks"] >= 2)
    assert health["conflated"] == health["dropped"] == 0


def test_the_prefix_of_an_account_stands_before_its_topics(worker: Parent) -> None:
    worker.up("anita", prefix=b"anita\x1f")
    worker.up("bala", "zerodha", prefix=b"bala\x1f")
    worker.want("anita", want("INFY"))
    worker.want("bala", want("TCS", DEPTH))
    worker.until(lambda: len(worker.topics()) >= 2)
    assert worker.topics() == {b"anita\x1fNSE_INFY_LTP", b"bala\x1fNSE_TCS_DEPTH"}


def test_orders_have_no_prefix_and_positions_and_margins_go_nowhere(worker: Parent) -> None:
    worker.checkout.mischief(publish={"private": ["positions", "orders", "margins"]})
    worker.up("anita", prefix=b"anita\x1f")
    assert worker.tick(b"broker_orders") == {"kind": "orders"}
    assert worker.health(lambda message: message["private"] >= 4)
    assert worker.topics() == {b"broker_orders"}


def test_a_tick_that_is_no_json_is_counted_and_the_next_one_comes(worker: Parent) -> None:
    worker.checkout.mischief(publish={"odd": True})
    worker.up("anita")
    worker.want("anita", want("INFY"))
    assert worker.tick(b"NSE_INFY_LTP")["symbol"] == "INFY"
    health = worker.health(lambda message: message["broken"] >= 3)
    assert health["ticks"] >= 3
    assert worker.log().count("is not passed on") == 1


def test_what_is_published_on_the_socket_itself_comes_too(worker: Parent) -> None:
    worker.up("anita", "dhan_sandbox", prefix=b"p\x1f")
    worker.want("anita", want("INFY"))
    assert worker.tick(b"p\x1fNSE_INFY_LTP")["symbol"] == "INFY"


def test_ticks_of_several_threads_all_come(worker: Parent) -> None:
    worker.checkout.mischief(publish={"threads": 4})
    worker.up("anita")
    worker.want("anita", want("INFY"))
    worker.until(lambda: len(worker.ticks) >= 60)
    found = [json.loads(text) for _, text in worker.ticks]
    assert {data["thread"] for data in found} == {0, 1, 2, 3}
    numbers = sorted(data["n"] for data in found)
    assert numbers[:50] == list(range(50))


@pytest.mark.parametrize(
    "frame",
    [
        b"\xc1",
        codec.encode({"t": "dance"}),
        codec.encode({"t": "want", "account": "anita", "wants": [[b"NSE_A"]]}),
        codec.encode({"t": "account", "account": "anita", "on": True}),
    ],
)
def test_a_command_that_makes_no_sense_changes_nothing(worker: Parent, frame: bytes) -> None:
    worker.raw(frame)
    worker.up("anita")
    assert "was not understood" in worker.log()


def test_told_to_stop_it_disconnects_and_leaves(worker: Parent) -> None:
    worker.up("anita")
    worker.up("bala", "zerodha")
    worker.send("stop")
    assert worker.end() == 0
    assert {call["user"] for call in worker.called("disconnect")} == {"anita", "bala"}
    assert worker.state("anita")["state"] == worker.state("bala")["state"] == "down"


def test_terminated_it_disconnects_and_leaves(worker: Parent) -> None:
    worker.up("anita")
    worker.process.send_signal(signal.SIGINT)  # the terminal's: not for it
    worker.health()
    worker.health()
    assert worker.process.poll() is None
    worker.process.terminate()
    assert worker.end() == 0
    assert worker.called("disconnect", user="anita")


def test_when_the_parent_is_gone_it_leaves(worker: Parent) -> None:
    worker.up("anita")
    assert worker.process.stdin
    worker.process.stdin.write(b"words on the leash mean nothing\n")
    worker.process.stdin.flush()
    worker.health()
    worker.health()
    assert worker.process.poll() is None
    worker.process.stdin.close()
    worker.process.stdin = None
    assert worker.end() == 0
    assert worker.called("disconnect", user="anita")


def test_it_leaves_although_an_adapter_hangs(worker: Parent) -> None:
    worker.checkout.mischief(subscribe={"until": "never"})
    worker.up("anita")
    worker.up("bala")
    worker.want("anita", want("INFY"))
    worker.wait_called("subscribe")
    worker.send("stop")
    assert worker.end() == 0
    assert [call["user"] for call in worker.called("disconnect")] == ["bala"]


def test_what_the_checkout_prints_goes_to_the_log(worker: Parent) -> None:
    worker.up("anita")
    worker.send("stop")
    assert worker.end() == 0
    assert "anita connects" in worker.log()
    assert "a library connects" in worker.log()
    assert worker.process.stdout
    assert worker.process.stdout.read() == b""


def test_no_secret_is_in_the_command_line(worker: Parent) -> None:
    worker.up("anita")
    line = [str(part) for part in worker.process.args]  # type: ignore[union-attr]  # a list
    assert line[1].endswith("worker.py")
    assert not [part for part in line if worker.checkout.environment()["API_KEY_PEPPER"] in part]


@pytest.mark.parametrize("call", ["initialize", "connect"])
def test_no_secret_that_is_known_is_in_the_log(worker: Parent, call: str) -> None:
    worker.checkout.login("anita", "angel")
    url = "wss://broker/?token=token-of-the-day&key=broker-key-of-the-miniature"
    worker.checkout.mischief(**{call: {"say": url, "error": "no way"}})
    worker.on("anita")
    assert worker.state("anita")["state"] == "failed"
    worker.send("stop")
    assert worker.end() == 0
    hidden = "wss://broker/?token=***&key=***"
    for said in (f"{hidden}, logged", f"{hidden}, printed"):
        assert said in worker.log()
    assert "token-of-the-day" not in worker.log()
    assert "broker-key-of-the-miniature" not in worker.log()


def test_a_python_that_lacks_what_it_needs_says_so() -> None:
    done = subprocess.run(
        [sys.executable, "-S", PROGRAM], check=False, capture_output=True, text=True
    )
    assert done.returncode == 78
    assert f"{sys.executable} cannot run OpenAlgo's adapters: No module named" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Worker, Path]]:
    """A worker in this process, for what no process can be made to do on time."""
    monkeypatch.chdir(tmp_path)
    with Path(os.devnull).open(encoding="utf-8") as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        worker = Worker("ipc://control", "ipc://ingest")
        yield worker, tmp_path
        worker.close()


def test_a_batch_has_a_bound(inside: tuple[Worker, Path]) -> None:
    worker, _ = inside
    context = zmq.Context()
    router = context.socket(zmq.PULL)
    router.bind("ipc://ingest")
    for number in range(2 * module.BATCH_TICKS + 5):
        worker._door.tick(b"NSE_A_LTP", str(number).encode())
    worker._pass_on()
    batches = [codec.unpack(router.recv()) for _ in range(3)]
    router.close(0)
    context.term()
    assert [len(batch) // 2 for batch in batches] == [module.BATCH_TICKS, module.BATCH_TICKS, 5]
    texts = [part for batch in batches for part in batch[1::2]]
    assert texts == [str(number).encode() for number in range(len(texts))]


@pytest.fixture
def full(inside: tuple[Worker, Path]) -> tuple[Worker, int]:
    """A worker whose router takes nothing, and how many ticks of NSE_A_LTP it was handed."""
    worker, _ = inside  # nobody has bound the other end
    for number in range(1100):
        worker._door.tick(b"NSE_A_LTP", str(number).encode())
        worker._pass_on()
    assert worker._late
    return worker, 1100


def delivered(worker: Worker) -> list[tuple[bytes, bytes]]:
    """What a router gets that is there now, until the worker has nothing left."""
    context = zmq.Context()
    router = context.socket(zmq.PULL)
    router.bind("ipc://ingest")
    found: list[tuple[bytes, bytes]] = []
    while worker._late or len(found) < worker._ticks:
        if router.poll(20):
            parts = codec.unpack(router.recv())
            found += zip(parts[::2], parts[1::2], strict=True)
        worker._turn(0.0)  # no tick comes any more
    router.close(0)
    context.term()
    return found


def test_rule_4_the_last_tick_of_each_topic_is_the_last_that_is_delivered(
    full: tuple[Worker, int],
) -> None:
    worker, count = full
    worker._door.tick(b"NSE_B_LTP", b"only")
    for number in range(3):
        worker._door.tick(b"NSE_A_LTP", b"last %d" % number)
        worker._door.tick(b"broker_orders", b"order %d" % number)
    worker._turn(0.0)
    found = delivered(worker)
    of_a = [text for topic, text in found if topic == b"NSE_A_LTP"]
    assert of_a[-1] == b"last 2"
    assert of_a[:-1] == [str(number).encode() for number in range(len(of_a) - 1)]
    assert (b"NSE_B_LTP", b"only") in found
    orders = [text for topic, text in found if topic == b"broker_orders"]
    assert orders == [b"order 0", b"order 1", b"order 2"], "none takes the place of another"
    health = worker._health()
    assert health["conflated"] > 0
    assert health["dropped"] == 0
    assert health["ticks"] + health["conflated"] == count + 7
    assert health["ticks"] == len(found)


def test_rule_4_what_came_while_the_oldest_waited_is_not_sent_before_it(
    full: tuple[Worker, int],
) -> None:
    worker, _ = full
    worker._door.tick(b"NSE_B_LTP", b"1")
    worker._turn(0.0)
    late = worker._late.first(9)
    assert [topic for topic, _ in late] == [b"NSE_A_LTP", b"NSE_B_LTP"]
    worker._door.tick(b"NSE_B_LTP", b"2")
    assert delivered(worker)[-2:] == [late[0], (b"NSE_B_LTP", b"2")]


def test_it_is_woken_when_there_is_room_again_and_not_before(full: tuple[Worker, int]) -> None:
    worker, _ = full
    assert worker._ingest not in dict(worker._poller.poll(0))
    context = zmq.Context()
    router = context.socket(zmq.PULL)
    router.bind("ipc://ingest")
    while worker._ingest not in dict(worker._poller.poll(20)):
        assert router.poll(20_000)
        router.recv()
    worker._turn(0.0)
    assert not worker._late
    assert worker._ingest not in dict(worker._poller.poll(0)), "there is always room: it would spin"
    router.close(0)
    context.term()


def test_it_knows_the_modes_of_the_hub() -> None:
    from hub.core.model import Mode

    assert (Mode.LTP.bit, Mode.QUOTE.bit, Mode.DEPTH.bit) == (LTP, QUOTE, DEPTH)
