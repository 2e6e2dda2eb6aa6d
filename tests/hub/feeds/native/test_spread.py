"""Which connection takes a subscription."""

from __future__ import annotations

from hub.brokers.base import Limits
from hub.feeds.native.spread import Load, most, sockets


def test_a_connection_is_full_at_its_limit() -> None:
    load = Load(Limits(per_socket=(3, 3, 3)))
    for mode in (1, 2, 3):
        assert load.has_room(mode)
        load.add(mode)
    assert not load.has_room(1)
    load.remove(2)
    assert load.has_room(3)


def test_without_a_limit_there_is_always_room() -> None:
    load = Load(Limits())
    for _ in range(10_000):
        load.add(3)
    assert load.has_room(3)


def test_modes_with_quotas_of_their_own_share_a_connection() -> None:
    load = Load(Limits(per_socket=(4, 4, 2)))
    load.add(3)
    load.add(1)
    assert load.has_room(2)
    assert not load.has_room(3)
    load.add(2)
    assert not load.has_room(1)
    assert not load.has_room(3, instead_of=1)
    load.change(3, 1)
    assert load.has_room(1)


def test_a_connection_that_the_broker_calls_full_is_full() -> None:
    load = Load(Limits(per_socket=(1000, 1000, 1000)))
    load.add(1)
    load.full_at = 1
    assert not load.has_room(1)
    assert load.has_room(3, instead_of=1)
    load.remove(1)
    assert load.has_room(1)


def test_a_plan_may_have_more_connections_and_a_shared_account_less() -> None:
    limits = Limits(sockets=2, per_socket=(2000, 1500, 1500))
    assert [sockets(limits, given) for given in (0, 1, 5)] == [2, 1, 5]
    assert [most(limits, given) for given in (0, 1, 5)] == [4000, 2000, 10_000]
    assert most(limits._replace(per_account=3000), 0) == 3000
    assert most(Limits(), 0) == 0


def test_where_there_can_be_but_one_connection_there_is_one() -> None:
    assert sockets(Limits(sockets=1), 3) == 1
