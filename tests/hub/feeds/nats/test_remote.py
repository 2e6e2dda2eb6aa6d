"""A feed of another machine: what its host wants of it is told as news, or all of it in parts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from hub.core.cluster import Announced, Results
from hub.core.model import Offer, Result, Want
from hub.feeds.base import FeedState
from hub.feeds.nats import remote as module
from hub.feeds.nats.remote import Remote


class Sink:
    """The host: keeps answers."""

    def __init__(self) -> None:
        self.answered: list[Result] = []

    def publish(self, pairs: Sequence[bytes]) -> None:
        """It has no ticks: they go another way."""

    def answer(self, results: Sequence[Result]) -> None:
        self.answered += results


def make() -> tuple[Remote, list[None]]:
    calls: list[None] = []
    offer = Offer("sim", ("angel",), ("anita",), 50, (5, 20), shared=False, logins=True)
    announced = Announced(name="sim@desk1", offer=offer, life=3)
    return Remote(announced, lambda: calls.append(None)), calls


def test_it_is_what_is_announced_under_the_name_all_machines_know() -> None:
    remote, _ = make()
    assert (remote.name, remote.life) == ("sim@desk1", 3)
    assert remote.serves == (("angel",), ("anita",), False, True)
    assert remote.limits == (50, (5, 20))


def test_news_are_told_once_and_all_when_it_is_untold() -> None:
    remote, calls = make()
    assert [*remote.tell()] == [((), True, True)], "nothing yet, and that is all"
    assert not remote.news
    a, b = Want(b"NSE_A", 1), Want(b"NSE_B", 3)
    remote.apply([a, b])
    assert len(calls) == 1
    assert [*remote.tell()] == [((a, b), False, False)]
    remote.apply([Want(b"NSE_A", 0)])
    assert [*remote.tell()] == [((Want(b"NSE_A", 0),), False, False)]
    remote.untold = True
    assert [*remote.tell()] == [((b,), True, True)]
    assert [*remote.tell()] == []
    assert remote.health()[:3] == (FeedState.CONNECTED, 1, 0)


@given(st.integers(0, 12), st.booleans())
def test_parts_hold_everything_once_with_one_first_and_one_last(keys: int, all_: bool) -> None:
    remote, _ = make()
    [*remote.tell()]
    remote.untold = all_
    remote.apply([Want(b"NSE_%d" % at, 1) for at in range(keys)])
    most, module._MOST_TOLD = module._MOST_TOLD, 3
    try:
        parts = [*remote.tell()]
    finally:
        module._MOST_TOLD = most
    told = [want.key for wants, _, _ in parts for want in wants]
    assert told == [b"NSE_%d" % at for at in range(keys)]
    assert [first for _, first, _ in parts] == [all_ and not at for at in range(len(parts))]
    ends = [all_ and at == len(parts) - 1 for at in range(len(parts))]
    assert [last for _, _, last in parts] == ends
    assert parts or not (all_ or keys)


def test_of_what_was_refused_nothing_is_told_again() -> None:
    async def main() -> None:
        remote, _ = make()
        sink = Sink()
        left = {b"NSE_A": 0, b"NSE_B": 1}
        remote.asked = left.__getitem__
        await remote.start(sink)
        remote.apply([Want(b"NSE_A", 1), Want(b"NSE_B", 3), Want(b"NSE_C", 1)])
        results = (Result(b"NSE_A", 1, "no"), Result(b"NSE_B", 2, "no"), Result(b"NSE_C", 1))
        remote.answered(Results("desk1", "sim", results))
        assert sink.answered == [*results]
        remote.untold = True
        assert [*remote.tell()] == [((Want(b"NSE_B", 1), Want(b"NSE_C", 1)), True, True)]
        await remote.stop()
        remote.answered(Results("desk1", "sim", results))
        assert len(sink.answered) == 3, "too late"

    asyncio.run(main())
    assert repr(make()[0]) == "<Remote sim@desk1, 0 keys>"
