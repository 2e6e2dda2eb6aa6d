"""From the adapters' threads to the I/O thread: what is put in, and when that one is woken."""

from __future__ import annotations

import select
from collections.abc import Iterator

import pytest

from hub.feeds.openalgo import worker_publisher as module
from hub.feeds.openalgo.worker_publisher import Door, Publisher

ORDERS = b"broker_orders"


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door()
    yield door
    door.close()


def woken(door: Door) -> bool:
    return bool(select.select([door.fileno()], [], [], 0)[0])


def test_it_has_all_that_adapters_look_for(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZMQ_PORT", "6001")
    publisher = Publisher(door, b"")
    assert publisher.socket
    assert publisher.context
    assert publisher._connected
    assert publisher.connect() == publisher.zmq_port == 6001
    publisher.socket.close(linger=0)
    publisher.context.term()
    publisher.cleanup()
    publisher.publish("NSE_A_LTP", {"ltp": 1})
    assert list(door.ticks) == [(b"NSE_A_LTP", b'{"ltp": 1}')]


def test_a_port_that_is_none_is_the_usual_one(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZMQ_PORT", "")
    assert Publisher(door, b"").zmq_port == 5555


def test_only_a_sleeper_is_woken(door: Door) -> None:
    door.tick(b"a", b"1")
    assert not woken(door)
    door.ticks.clear()
    assert door.lie_down()
    door.tick(b"a", b"2")
    door.tick(b"a", b"3")
    assert woken(door)
    door.get_up()
    assert not woken(door)
    door.report({"t": "account"})
    assert not woken(door)


def test_nobody_lies_down_while_something_waits(door: Door) -> None:
    door.tick(b"a", b"1")
    assert not door.lie_down()
    door.ticks.clear()
    door.report({"t": "account"})
    assert not door.lie_down()
    door.reports.clear()
    assert door.lie_down()


def test_rule_3_what_waits_is_bounded_and_the_newest_of_each_topic_is_kept(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PENDING_TICKS", 3)
    publisher = Publisher(door, b"")
    for number in range(5):
        publisher.publish("NSE_A_LTP", {"n": number})
        publisher.publish("NSE_B_LTP", {"n": number})
        publisher.put(b"broker_orders", b"%d" % number)
    assert not door.lie_down()
    assert (len(door.ticks), len(door._late)) == (3, 6)
    taken = door.take()
    assert taken[:3] == [(b"NSE_A_LTP", b'{"n": 0}'), (b"NSE_B_LTP", b'{"n": 0}'), (ORDERS, b"0")]
    assert taken[3:] == [
        *((ORDERS, b"%d" % number) for number in range(1, 5)),
        (b"NSE_A_LTP", b'{"n": 4}'), (b"NSE_B_LTP", b'{"n": 4}'),
    ]  # fmt: skip
    assert door.counts == {"conflated": 6}
    assert door.take() == []
    publisher.publish("NSE_A_LTP", {"n": 5})
    assert door.take() == [(b"NSE_A_LTP", b'{"n": 5}')], "there is room again"


def test_nothing_an_adapter_publishes_raises(door: Door) -> None:
    publisher = Publisher(door, b"")
    loop: list[object] = []
    loop.append(loop)
    for topic, data in ((None, {}), ("\ud800", {}), ("A_LTP", {"x": b""}), ("A_LTP", loop)):
        publisher.publish(topic, data)  # type: ignore[arg-type]  # the point
    assert door.counts["broken"] == 4
    assert not door.ticks


def test_one_that_is_closed_takes_nothing(door: Door) -> None:
    publisher = Publisher(door, b"")
    publisher.close()
    publisher.publish("NSE_A_LTP", {})
    publisher.socket.send_multipart([b"NSE_A_LTP", b"{}"])
    assert not door.ticks
