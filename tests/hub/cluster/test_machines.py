"""The machines of a cluster, as one of them hears them."""

from __future__ import annotations

import socket

from hub.cluster.machines import KEPT_S, Machines, machine_name
from hub.core import cluster
from hub.core.cluster import SILENT_S, Announced, Beat, Lease, Leased
from hub.core.model import Offer
from hub.core.settings import Nats as NatsSettings
from hub.core.settings import Settings


def beat(machine: str, role: str = cluster.EDGE, epoch: int = 1, **said: object) -> Beat:
    return Beat(machine=machine, role=role, epoch=epoch, **said)  # type: ignore[arg-type]  # by name


def test_a_machine_is_called_as_set_or_as_its_host() -> None:
    assert machine_name(Settings(nats=NatsSettings(name="desk1"))) == "desk1"
    assert machine_name(Settings()) == socket.gethostname()


def test_ingests_come_first_then_names() -> None:
    machines = Machines()
    for name, role in (("b", cluster.EDGE), ("c", cluster.INGEST), ("a", cluster.EDGE)):
        machines.heard(beat(name, role), 1.0)
    assert [row["name"] for row in machines.told(1.0)] == ["c", "a", "b"]
    assert repr(machines) == "<Machines a b c>"


def test_the_newest_word_counts_and_its_age_is_told() -> None:
    machines = Machines()
    assert machines.heard(beat("a", shards=1, figures={"in": 5.0, "lag_ms": 1.0}), 1.0)
    assert "in_s" not in machines.told(1.0)[0], "a rate takes two"
    assert machines.heard(beat("a", shards=2, figures={"in": 7.0, "lag_ms": 2.0}), 3.0)
    (row,) = machines.told(4.5)
    assert (row["shards"], row["in_s"], row["lag_ms"], row["heard_s"]) == (2, 1.0, 2.0, 1.5)


def test_who_is_silent_for_an_hour_is_told_of_no_more() -> None:
    machines = Machines()
    machines.heard(beat("a"), 0.0)
    machines.heard(beat("b"), 10.0)
    assert [row["name"] for row in machines.told(KEPT_S + 5)] == ["b"]


def test_feeds_and_leases_are_told_in_plain_words() -> None:
    machines = Machines()
    lease = Lease(state=cluster.ACTIVE, holder="desk1", revision=4, left_s=3.0)
    feeds = (Announced(name="angel@pair", offer=Offer("angel"), keys=9, lease=lease),)
    leases = (Leased(edge="edge1", keys=9, left_s=4.5),)
    machines.heard(beat("desk1", cluster.INGEST, feeds=feeds, leases=leases), 0.0)
    (row,) = machines.told(0.0)
    told = {"state": "active", "holder": "desk1", "revision": 4, "left_s": 3.0}
    assert row["feeds"] == [{"name": "angel@pair", "keys": 9, "lease": told}]
    assert row["leases"] == [{"edge": "edge1", "keys": 9, "left_s": 4.5}]


def test_another_version_is_a_problem_that_is_named() -> None:
    machines = Machines()
    machines.heard(beat("a", version=99), 0.0)
    machines.heard(beat("b", problem="tired"), 0.0)
    one, two = machines.told(0.0)
    assert "version 99" in one["problem"]
    assert two["problem"] == "tired"


def test_of_two_of_one_name_the_later_one_counts_while_it_is_there() -> None:
    machines = Machines()
    assert machines.heard(beat("a", epoch=5, shards=5), 1.0)
    assert not machines.heard(beat("a", epoch=4, shards=4), 2.0)
    assert machines.told(2.0)[0]["shards"] == 5
    assert machines.heard(beat("a", epoch=4, shards=4), 1.0 + SILENT_S), "its clock was set back"
    assert machines.told(8.0)[0]["shards"] == 4


def test_what_a_silent_machine_had_is_not_told() -> None:
    machines = Machines()
    feed = Announced(name="sim@a", offer=Offer("sim"))
    lease = Leased(edge="b", keys=1, left_s=2.0)
    machines.heard(beat("a", cluster.INGEST, feeds=(feed,), leases=(lease,)), 0.0)
    (there,), (silent,) = machines.told(1.0), machines.told(SILENT_S)
    assert (len(there["feeds"]), len(there["leases"])) == (1, 1)
    assert (silent["feeds"], silent["leases"]) == ([], [])
