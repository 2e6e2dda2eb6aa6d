"""The processes of that benchmark, without NATS: how ticks are batched, and whose time it was."""

from __future__ import annotations

import pytest

from hub.core import hot
from scripts.benchmark.subjects import Plan, audiences
from scripts.benchmark.subjects_peer import TOPICS, payload, sender, shares, slot, slots_of, stamped


def test_a_tick_says_when_and_which_it_is() -> None:
    made = payload(7, 123_456)
    assert len(made) == 300
    assert stamped(made) == (123_456, 7)


@pytest.mark.parametrize(("way", "count"), [("slots-64", 64), ("slots-1", 1), ("sets", 0)])
def test_how_many_slots_a_way_has(way: str, count: int) -> None:
    assert slots_of(way) == count


@pytest.mark.parametrize("way", ["topic", "slots-64", "slots-8", "slots-1", "sets"])
def test_each_way_sends_every_tick_once_in_order(way: str) -> None:
    """To each set of edges, that is."""
    plan = Plan(way, 3, "half", 5000, 1.0)
    sent: list[tuple[str, bytes]] = []

    def publish(subject: str, *parts: bytes) -> bool:
        sent.append((subject, b"".join(parts)))
        return True

    send, flush = sender(plan, publish)
    wanted = [at for at, edges in enumerate(audiences(plan)) if edges] * 2
    for number, topic in enumerate(wanted):
        send(topic, payload(number, 1))
    flush()
    flush()
    found: dict[bytes, list[int]] = {}
    for _, data in sent:
        pairs = [b"", data] if way == "topic" else hot.unpack(data[16:])
        for json in pairs[1::2]:
            found.setdefault(TOPICS[wanted[stamped(json)[1]]], []).append(stamped(json)[1])
    assert sum(map(len, found.values())) == len(wanted)
    assert all(numbers == sorted(numbers) for numbers in found.values())
    if count := slots_of(way):
        assert len(sent) == len({slot(TOPICS[at], count) for at in wanted})
    elif way == "sets":
        assert len(sent) == 7


def test_builtins_count_for_who_has_called_them() -> None:
    client = ("/x/site-packages/nats/aio/client.py", 1, "f")
    own = ("hub/core/codec.py", 1, "g")
    stats = {
        client: (1, 1, 1.0, 4.0, {}),
        own: (1, 1, 1.0, 1.0, {}),
        ("~", 0, "match"): (2, 2, 2.0, 2.0, {client: (1, 1, 1.5, 1.5), own: (1, 1, 0.5, 0.5)}),
    }
    assert shares(stats) == {"nats-py": 0.625, "hub": 0.375}
