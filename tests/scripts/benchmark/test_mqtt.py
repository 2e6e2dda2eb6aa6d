"""The few packets of MQTT 3.1.1 that are needed."""

from __future__ import annotations

import pytest

from scripts.benchmark import mqtt
from scripts.benchmark.loads import Load


def rest_of(packet: bytes) -> bytes:
    """What follows the header, whose size is read as MQTT 3.1.1, 2.2.3 says."""
    size = shift = at = 0
    while True:
        at += 1
        size |= (packet[at] & 0x7F) << shift
        shift += 7
        if not packet[at] & 0x80:
            break
    assert len(packet) == at + 1 + size
    return packet[at + 1 :]


@pytest.mark.parametrize("size", [0, 100, 125, 130, 16_380, 16_390])
def test_a_publish_says_how_long_it_is(size: int) -> None:
    packet = mqtt.publish(b"a", b"x" * size)
    assert packet[0] == 0x30
    assert rest_of(packet) == b"\x00\x01a" + b"x" * size


def test_a_session_is_clean_and_without_keep_alive() -> None:
    assert mqtt.connect() == b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00"


def test_every_symbol_and_the_probe_are_subscribed_a_thousand_at_once() -> None:
    load = Load(name="test", clients=1, symbols=1500, rate=1)
    packets = list(mqtt.subscribes(load))
    assert [packet[0] for packet in packets] == [0x82, 0x82]
    assert [rest_of(packet)[:2] for packet in packets] == [b"\x00\x01", b"\x00\x02"]
    wanted = b"".join(rest_of(packet)[2:] for packet in packets)
    assert wanted.startswith(b"\x00\x13NSE/SYM000000/QUOTE\x00\x00\x13NSE/SYM000001/QUOTE\x00")
    assert wanted.endswith(b"\x00\x0fNSE/PROBE/QUOTE\x00")
    assert wanted.count(b"/QUOTE\x00") == 1501
