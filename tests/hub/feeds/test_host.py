"""A feed's host: a feed and a control link by hand, linger in real but short time."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hub.core import codec, stream, topics
from hub.core.codec import Message
from hub.core.model import FULL, Quiet, Result, Stale, Want
from hub.core.settings import Hub, Settings, Upstream
from hub.feeds import host as module
from hub.feeds.base import FeedHealth, FeedState, House, Limits, Serves, Sink
from hub.feeds.host import FeedHost
from hub.runtime.pipe import Pipe

KEY = b"NSE_A"


class Feed:
    """Keeps what it is told; answers when the test says so."""

    name = "sim"
    serves = Serves(brokers=("sim",), users=("anita",), shared=False)
    limits = Limits(symbols=3000)

    def __init__(self) -> None:
        self.told: list[Want] = []

    async def start(self, sink: Sink) -> None:
        """Begin."""

    def apply(self, wants: Sequence[Want]) -> None:
        self.told += wants

    def health(self) -> FeedHealth:
        return FeedHealth(
            FeedState.CONNECTED, len(self.told), 12, "tired", conflated=1000, dropped=7
        )

    async def stop(self) -> None:
        """Leave."""


class Link:
    """A control link that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    def send(self, message: Message) -> None:
        self.sent.append(codec.decode(codec.encode(message)))

    async def stop(self) -> None:
        self.send({"t": "bye"})


class Ingest:
    """A way to the router that has room, or not."""

    fd = -1

    def __init__(self) -> None:
        self.sent: list[list[bytes]] = []
        self.room = True
        self.closed = False
        self.turned: Callable[[], None] = lambda: None

    def send(self, parts: Sequence[bytes]) -> bool:
        assert not self.closed
        if self.room:
            assert parts[0] == stream.TICKS, "their JSON is checked"
            self.sent.append(codec.unpack(parts[1]))
        return self.room

    def anything(self) -> list[list[bytes]]:
        """From now on messages of all kinds come; they are here."""
        sent: list[list[bytes]] = []

        def send(parts: Sequence[bytes]) -> bool:
            sent.append([*parts])
            return True

        self.send = send  # type: ignore[method-assign]  # instead of the one for ticks alone
        return sent

    def unsent(self, rest: bytes) -> None:
        """Nobody writes past it."""

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def directory() -> Iterator[Path]:
    """A runtime directory with a short name."""
    path = Path(tempfile.mkdtemp(prefix="hub-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


class Bench:
    """A host with everything around it by hand."""

    def __init__(self, directory: Path, linger_s: float = 0.05, stop_s: float = 10.0) -> None:
        settings = Settings(
            hub=Hub(runtime_dir=str(directory), feeds=["sim"], stop_s=stop_s),
            upstream=Upstream(linger_s=linger_s),
        )
        self.host = FeedHost("feed-sim", settings)
        self.feed, self.link, self.ingest = Feed(), Link(), Ingest()
        inside: Any = self.host
        inside._feed, inside._control, inside._ingest = self.feed, self.link, Pipe(self.ingest)
        inside._ingest.reset(open_=True)

    def wants(self, shard: int, *wants: Want, replace: bool = False) -> None:
        message = {"t": "interest", "shard": shard, "wants": list(wants), "replace": replace}
        self.host._take_interest(codec.decode(codec.encode(message)))

    def answers(self) -> list[tuple[str, list[Result]]]:
        """The results sent since this was last asked."""
        found = [
            (sent["to"], codec.results(sent)) for sent in self.link.sent if sent["t"] == "results"
        ]
        self.link.sent.clear()
        return found

    def released(self) -> list[bytes]:
        return [key for sent in self.link.sent if sent["t"] == "released" for key in sent["keys"]]


def tended(bench: Bench, met: Callable[[], bool]) -> None:
    """Run the host's tender until something is the case."""

    async def main() -> None:
        tender = asyncio.create_task(bench.host._tend())
        async with asyncio.timeout(20):
            while not met():
                await asyncio.sleep(0.01)
                if tender.done():
                    tender.result()
        tender.cancel()

    asyncio.run(main())


@pytest.fixture
def bench(directory: Path) -> Bench:
    """A host with a short linger."""
    return Bench(directory)


def test_an_answer_goes_to_each_shard_that_waits_and_to_no_other(bench: Bench) -> None:
    bench.wants(0, Want(KEY, 1))
    bench.wants(2, Want(KEY, 1), Want(b"NSE_B", 1))
    assert bench.feed.told == [Want(KEY, 1), Want(b"NSE_B", 1)]
    assert bench.answers() == []
    bench.host.answer([Result(KEY, 1, "", 5), Result(b"NSE_B", 1, "no such symbol")])
    assert bench.answers() == [
        ("shard-0", [Result(KEY, 1, "", 5)]),
        ("shard-2", [Result(KEY, 1, "", 5), Result(b"NSE_B", 1, "no such symbol")]),
    ]


def test_a_login_that_is_up_is_told_to_those_who_were_refused_it(bench: Bench) -> None:
    """Their claims ended with the refusal, and their clients are told why not until this comes."""
    login = Want(topics.login("anita", "angel"), 1)
    bench.wants(1, login)
    refusal, up = Result(login.key, 1, "it hangs"), Result(login.key, 1)
    bench.host.answer([refusal])
    assert bench.answers() == [("shard-1", [refusal])]
    bench.host.answer([up])
    shards = bench.host.settings.hub.shards
    assert bench.answers() == [(f"shard-{shard}", [up]) for shard in range(shards)]


def test_what_the_feed_has_is_answered_at_once(bench: Bench) -> None:
    bench.wants(0, Want(KEY, 1))
    bench.host.answer([Result(KEY, 1)])
    bench.answers()
    bench.wants(1, Want(KEY, 1))
    assert bench.answers() == [("shard-1", [Result(KEY, 1)])]
    assert len(bench.feed.told) == 1


def test_a_message_says_which_feed_it_is_from(bench: Bench) -> None:
    bench.wants(0, Want(KEY, 1))
    bench.host.answer([Result(KEY, 1)])
    assert bench.link.sent[0]["feed"] == "sim"


def test_a_key_is_released_after_it_has_lingered_and_the_router_is_told(bench: Bench) -> None:
    bench.wants(0, Want(KEY, 1, 5, "NSE", "A"))
    bench.host.answer([Result(KEY, 1)])
    bench.wants(0, Want(KEY, 0))
    assert len(bench.feed.told) == 1
    tended(bench, lambda: len(bench.feed.told) == 2)
    assert bench.feed.told[1] == Want(KEY, 0, 5, "NSE", "A")
    assert bench.released() == [KEY]


def test_many_keys_are_told_released_a_slice_at_a_time(bench: Bench) -> None:
    """9,500 in one message kept the router, and with it all ticks, for 14 ms."""
    keys = [b"NSE_%d" % number for number in range(1200)]
    bench.wants(0, *[Want(key, 1) for key in keys])
    bench.host.answer([Result(key, 1) for key in keys])
    bench.wants(0, *[Want(key, 0) for key in keys])
    tended(bench, lambda: len(bench.released()) == len(keys))
    assert sorted(bench.released()) == sorted(keys)
    told = [sent["keys"] for sent in bench.link.sent if sent["t"] == "released"]
    assert max(map(len, told)) == module._MOST_RELEASED


def test_fewer_modes_are_told_to_the_feed_but_are_no_release(bench: Bench) -> None:
    bench.wants(0, Want(KEY, 3))
    bench.host.answer([Result(KEY, 3)])
    bench.wants(0, Want(KEY, 1))
    tended(bench, lambda: len(bench.feed.told) == 2)
    assert bench.feed.told[1].modes == 1
    assert bench.released() == []


def test_a_refused_key_is_told_to_the_router_as_released(bench: Bench) -> None:
    bench.wants(0, Want(KEY, 1))
    bench.host.answer([Result(KEY, 1, "no such symbol")])
    assert bench.released() == [KEY]


def test_a_key_refused_after_its_shard_left_does_not_stop_the_tender(bench: Bench) -> None:
    bench.wants(0, Want(KEY, 1), Want(b"NSE_B", 1))
    bench.wants(0, replace=True)
    bench.host.answer([Result(KEY, 1, "no such symbol")])
    tended(bench, lambda: bench.feed.told[-1] == Want(b"NSE_B", 0))
    assert bench.released() == [KEY, b"NSE_B"]


def test_a_shard_that_does_not_come_back_after_a_new_welcome_is_forgotten(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_GRACE_S", 0.05)
    bench.wants(0, Want(KEY, 1))
    bench.wants(1, Want(b"NSE_B", 1))
    bench.host._welcomed({"t": "welcome"})
    bench.wants(1, Want(b"NSE_B", 1), replace=True)
    tended(bench, lambda: Want(KEY, 0) in bench.feed.told)
    assert Want(b"NSE_B", 0) not in bench.feed.told
    assert bench.host._claims.shards() == [1]


class Clock:
    """Stands for `time`: the wall and the monotonic clock by hand."""

    def __init__(self, wall_s: float) -> None:
        self.wall_s, self.monotonic_s = wall_s, 1000.0

    def time(self) -> float:
        return self.wall_s

    def monotonic(self) -> float:
        return self.monotonic_s


def stale_told(bench: Bench) -> list[tuple[str, list[Stale], bool]]:
    """What shards were told is stale, since this was last asked."""
    found = [
        (sent["to"], codec.stale(sent), sent["replace"])
        for sent in bench.link.sent
        if sent["t"] == "stale"
    ]
    assert all(sent["feed"] == "sim" for sent in bench.link.sent if sent["t"] == "stale")
    bench.link.sent.clear()
    return found


def say_quiet(bench: Bench, shard: int, *rows: Quiet, replace: bool = False) -> None:
    message = {"t": "quiet", "from": f"shard-{shard}", "quiet": list(rows), "replace": replace}
    bench.host._take_quiet(codec.decode(codec.encode(message)))


@pytest.fixture
def wall(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Thursday, 10 o'clock in India, in a year without holidays."""
    clock = Clock(datetime(2026, 11, 26, 4, 30, tzinfo=UTC).timestamp())
    monkeypatch.setattr(module, "time", clock)
    bench.host._holidays._days = ()
    return clock


def test_what_shards_hear_nothing_of_is_stale_in_a_session(bench: Bench, wall: Clock) -> None:
    bench.wants(0, Want(KEY, 3))
    bench.wants(1, Want(KEY, 1))
    say_quiet(bench, 0, Quiet(KEY, 3, 60.0))
    say_quiet(bench, 1, Quiet(KEY, 1, 60.0))
    bench.host._sweep(wall.monotonic())
    assert sorted(stale_told(bench)) == [
        ("shard-0", [Stale(KEY, 3)], False), ("shard-1", [Stale(KEY, 3)], False),
    ]  # fmt: skip
    figures = bench.host._figures()
    assert (figures["stale"], figures["stale_first"]) == (2, ["NSE_A"])
    wall.wall_s += 6 * 3600
    bench.host._sweep(wall.monotonic())
    assert sorted(stale_told(bench)) == [
        ("shard-0", [Stale(KEY, 0)], False), ("shard-1", [Stale(KEY, 0)], False),
    ]  # fmt: skip
    assert bench.host._figures()["stale"] == 0


def test_who_begins_to_want_what_is_stale_hears_so_before_the_answer(
    bench: Bench, wall: Clock
) -> None:
    bench.wants(0, Want(KEY, 1))
    bench.host.answer([Result(KEY, 1)])
    say_quiet(bench, 0, Quiet(KEY, 1, 60.0))
    bench.host._sweep(wall.monotonic())
    bench.link.sent.clear()
    bench.wants(1, Want(KEY, 1))
    assert [(sent["t"], sent["to"]) for sent in bench.link.sent] == [
        ("stale", "shard-1"), ("results", "shard-1"),
    ]  # fmt: skip


def test_a_shard_that_is_gone_or_forgotten_counts_no_more(
    bench: Bench, wall: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for shard, key in enumerate((KEY, b"NSE_B", b"NSE_C")):
        bench.wants(shard, Want(key, 1))
        say_quiet(bench, shard, Quiet(key, 1, 60.0))
    bench.host._sweep(wall.monotonic())
    assert bench.host._figures()["stale"] == 3
    bench.wants(0, replace=True)
    bench.host._sweep(wall.monotonic())
    assert bench.host._figures()["stale_first"] == ["NSE_B", "NSE_C"]
    bench.host._welcomed({"t": "welcome"})
    bench.wants(1, Want(b"NSE_B", 1), replace=True)
    wall.monotonic_s += 11
    bench.host._sweep(wall.monotonic())
    assert bench.host._figures()["stale_first"] == ["NSE_B"]


def test_a_feed_hears_nothing_of_what_is_stale(bench: Bench, wall: Clock) -> None:
    """It is told what is wanted, and nothing is asked of it because nothing ticks: that would be
    a loop of reconnects, of all clients' symbols."""
    bench.wants(0, Want(KEY, 1))
    say_quiet(bench, 0, Quiet(KEY, 1, 60.0))
    for _ in range(3600):
        wall.monotonic_s += 1
        bench.host._sweep(wall.monotonic())
    assert bench.host._figures()["stale"] == 1
    assert bench.feed.told == [Want(KEY, 1)]


def test_a_few_names_of_many_are_shown(bench: Bench, wall: Clock) -> None:
    keys = [topics.scope("angel") + b"NSE_%d" % number for number in range(9)]
    bench.wants(0, *(Want(key, 1) for key in keys))
    say_quiet(bench, 0, *(Quiet(key, 1, 60.0) for key in keys))
    bench.host._sweep(wall.monotonic())
    figures = bench.host._figures()
    assert figures["stale"] == 9
    assert figures["stale_first"] == [f"NSE_{number} of angel" for number in range(5)]


def test_after_a_pause_of_its_own_nothing_new_is_stale_at_once(bench: Bench, wall: Clock) -> None:
    bench.wants(0, Want(KEY, 1))
    say_quiet(bench, 0, Quiet(KEY, 1, 60.0))
    bench.host._paused(3600.0, wall.monotonic())
    bench.host._sweep(wall.monotonic())
    assert bench.host._figures()["stale"] == 0
    wall.monotonic_s += 60
    bench.host._sweep(wall.monotonic())
    assert bench.host._figures()["stale"] == 1


def test_before_the_holidays_are_known_nothing_is_stale(bench: Bench, wall: Clock) -> None:
    bench.host._holidays._days = None

    async def main() -> None:
        bench.wants(0, Want(KEY, 1))
        say_quiet(bench, 0, Quiet(KEY, 1, 60.0))
        bench.host._sweep(wall.monotonic())
        assert bench.host._figures()["stale"] == 0
        async with asyncio.timeout(50):
            while bench.host._holidays._days is None:  # noqa: ASYNC110  # a thread reads them
                await asyncio.sleep(0.01)
        bench.host._sweep(wall.monotonic())
        assert bench.host._figures()["stale"] == 1

    asyncio.run(main())


def test_ticks_leave_in_batches_of_a_bounded_size(bench: Bench) -> None:
    pairs = [part for number in range(2500) for part in (b"NSE_%d_LTP" % number, b"{}")]
    bench.host.publish(pairs)
    assert len(bench.ingest.sent) > 1
    assert max(len(batch) for batch in bench.ingest.sent) <= module._LARGEST_BATCH
    assert [part for batch in bench.ingest.sent for part in batch] == pairs
    assert module._LARGEST_BATCH % 2 == 0


def test_of_ticks_the_router_takes_none_of_the_newest_are_kept_for_it(bench: Bench) -> None:
    bench.ingest.room = False
    bench.host.publish([b"NSE_A_LTP", b'{"n": 1}', b"NSE_B_LTP", b"{}", b"NSE_A_LTP", b'{"n": 2}'])
    bench.host.publish([b"NSE_A_LTP", b'{"n": 3}'])
    assert bench.host._figures()["conflated"] == 1002, "with those of the feed's own"
    assert bench.ingest.sent == []
    bench.ingest.room = True
    newest = [b"NSE_B_LTP", b"{}", b"NSE_A_LTP", b'{"n": 3}']
    tended(bench, lambda: bench.ingest.sent == [newest])  # without another tick


def test_the_newest_that_were_kept_are_sent_before_a_host_says_goodbye(bench: Bench) -> None:
    """No later tick makes up for them."""
    bench.ingest.room = False
    bench.host.publish([b"NSE_A_LTP", b'{"n": 1}', b"NSE_A_LTP", b'{"n": 2}'])

    async def main() -> None:
        leaving = asyncio.create_task(bench.host.drain())
        await asyncio.sleep(0.05)
        assert not leaving.done()
        assert bench.link.sent == []
        bench.ingest.room = True
        await asyncio.wait_for(leaving, 20)

    asyncio.run(main())
    assert bench.ingest.sent == [[b"NSE_A_LTP", b'{"n": 2}']]
    assert bench.ingest.closed
    assert bench.link.sent == [{"t": "bye"}]


def test_a_host_says_goodbye_though_the_router_takes_nothing(directory: Path) -> None:
    bench = Bench(directory, stop_s=0.1)
    bench.ingest.room = False
    bench.host.publish([b"NSE_A_LTP", b"{}"])
    asyncio.run(asyncio.wait_for(bench.host.drain(), 20))
    assert bench.link.sent == [{"t": "bye"}]
    assert bench.ingest.closed


def test_the_json_of_a_feed_is_checked_where_it_runs(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """The router relies on it."""
    wrong: list[Any] = [b"[]", b"none", b'{"a": "\xff"}', "{}", None]
    good = [b"NSE_A_LTP", b'{"n": 1}']
    bench.host.publish([*good, *[part for one in wrong for part in (b"NSE_A_LTP", one)], *good])
    bench.host.publish([b"NSE_A_LTP", b'{"n": NaN}'])
    assert bench.ingest.sent == [good * 2, [b"NSE_A_LTP", b'{"n": null}']]
    assert bench.host._figures()["malformed"] == len(wrong)
    assert "b'NSE_A_LTP' is dropped: a JSON list, not an object" in caplog.text


def test_its_heartbeat_shows_the_feeds_health(bench: Bench) -> None:
    found = bench.host._figures()
    assert (found["out"], found["feed_state"], found["problem"], found["limit"]) == (
        12, "connected", "tired", 3000,
    )  # fmt: skip
    assert (found["conflated"], found["dropped"]) == (1000, 7)


def keys_of(results: list[tuple[str, list[Result]]], *, error: bool) -> list[bytes]:
    return [one.key for _, found in results for one in found if bool(one.error) == error]


def test_what_only_lingers_makes_room_before_anything_is_refused(directory: Path) -> None:
    """A user who changes his watchlist at a broker with a limit must not have to wait for it."""
    bench = Bench(directory, linger_s=1000.0)
    bench.feed.limits = Limits(symbols=3)
    old = [Want(b"NSE_OLD%d" % number, 1) for number in range(3)]
    new = [Want(b"NSE_NEW%d" % number, 1) for number in range(4)]
    bench.wants(0, *old)
    bench.host.answer([Result(want.key, 1) for want in old])
    bench.wants(0, *(want._replace(modes=0) for want in reversed(old)))
    bench.answers()
    bench.feed.told.clear()
    bench.wants(0, *new[:2])
    assert bench.feed.told == [
        *(want._replace(modes=0) for want in (old[2], old[1])), *new[:2]
    ], "the oldest is released first, and before more is asked for"  # fmt: skip
    assert bench.released() == [old[2].key, old[1].key]
    bench.wants(0, *new[2:])
    assert bench.feed.told[-2:] == [old[0]._replace(modes=0), new[2]]
    assert keys_of(bench.answers(), error=True) == [new[3].key]


def test_a_feed_without_room_is_asked_once_more_when_something_lingers(directory: Path) -> None:
    """Its limit may be that of one broker login, which the host does not know."""
    bench = Bench(directory, linger_s=1000.0)
    old, new, more = Want(b"NSE_OLD", 1), Want(b"NSE_NEW", 1), Want(b"NSE_MORE", 1)
    bench.wants(0, old)
    bench.host.answer([Result(old.key, 1)])
    bench.wants(0, old._replace(modes=0))
    bench.wants(0, new, more)
    bench.answers()
    bench.feed.told.clear()
    full = [Result(want.key, 1, "no room", code=FULL) for want in (new, more)]
    bench.host.answer(full)
    assert bench.feed.told == [old._replace(modes=0), new]
    assert sorted(bench.released()) == [more.key, old.key]
    assert keys_of(bench.answers(), error=True) == [more.key]
    bench.host.answer(full[:1])
    assert keys_of(bench.answers(), error=True) == [new.key], "nothing is left to give back"
    assert bench.feed.told[2:] == []


def test_at_the_limit_a_new_key_is_refused_and_none_that_the_feed_was_asked_for(
    bench: Bench,
) -> None:
    """Whether the feed has answered makes no difference: those who wait for it go on waiting."""
    bench.feed.limits = Limits(symbols=2)
    bench.wants(0, Want(KEY, 1), Want(b"NSE_B", 1))
    bench.wants(1, Want(KEY, 1))
    bench.wants(2, Want(b"NSE_C", 1), Want(KEY, 2))
    error = "feed sim takes no more than 2 symbols"
    assert bench.released() == [b"NSE_C"]
    assert bench.answers() == [("shard-2", [Result(b"NSE_C", 1, error)])]
    assert bench.feed.told == [Want(KEY, 1), Want(b"NSE_B", 1), Want(KEY, 3)]
    bench.host.answer([Result(KEY, 3)])
    assert [shard for shard, _ in bench.answers()] == ["shard-0", "shard-1", "shard-2"]


def test_what_goes_beyond_the_limit_is_refused_in_a_time_that_grows_with_it_alone(
    bench: Bench,
) -> None:
    """A search for each want among those refused would compare millions of pairs."""
    compared = 0

    class Key(bytes):
        __slots__ = ()
        __hash__ = bytes.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return bytes.__eq__(self, other)

    bench.feed.limits = Limits(symbols=10)
    wants = [Want(Key(b"NSE_%d" % number), 1) for number in range(1000)]
    work = bench.host._claims.apply(0, wants, replace=False, now=0.0)
    compared = 0
    assert len(bench.host._within_limits(work)) == 10
    assert compared < 20 * len(wants)


# A feed that brings others, and its guests.


class Bringing(Feed):
    """A feed that has others as guests in its house."""

    house: House

    def use(self, house: House) -> None:
        self.house = house

    def figures(self) -> dict[str, Any]:
        return {"machines": 2}

    def cluster(self) -> dict[str, Any]:
        return {"role": "edge"}


def test_what_comes_of_others_goes_to_the_router_as_it_is(bench: Bench) -> None:
    sent = bench.ingest.anything()
    batch = codec.pack([KEY + b"_LTP", b"not checked here"])
    bench.host.pass_on(stream.UNCHECKED, batch)
    bench.host.pass_on(stream.AGAIN, batch)
    bench.host.account([b"@orders:anita", b"{}"])
    account = [stream.ACCOUNT, codec.pack([b"@orders:anita", b"{}"])]
    assert sent == [[stream.UNCHECKED, batch], [stream.AGAIN, batch], account]
    bench.host.say({"t": "invalidate", "payload": b"{}"})
    assert bench.link.sent == [{"t": "invalidate", "payload": b"{}"}]


def test_of_what_comes_of_others_the_newest_is_kept_and_no_account_event_lost(
    bench: Bench,
) -> None:
    bench.ingest.room = False
    for value in (b"1", b"2"):
        bench.host.pass_on(stream.UNCHECKED, codec.pack([KEY + b"_LTP", value]))
        bench.host.account([b"@orders:anita", value])
    sent = bench.ingest.anything()
    inside: Any = bench.host
    inside._ingest.retry()
    ticks = [codec.unpack(parts[1])[1] for parts in sent if parts[0] == stream.UNCHECKED]
    orders = [codec.unpack(parts[1])[1] for parts in sent if parts[0] == stream.ACCOUNT]
    assert (ticks, orders) == ([b"2"], [b"1", b"2"])


def test_a_feed_that_brings_others_says_more_and_answers_the_command_line(bench: Bench) -> None:
    inside: Any = bench.host
    bench.host._take_cluster({"from": "cli-1"})
    assert bench.link.sent == [], "one that brings none is not asked"
    inside._feed = Bringing()
    assert bench.host._figures()["machines"] == 2
    bench.host._take_cluster({"from": "cli-1"})
    told = {"t": "cluster", "to": "cli-1", "cluster": {"role": "edge"}}
    assert bench.link.sent == [told]


def test_a_guest_is_a_feed_of_its_own_whose_fault_is_its_houses(bench: Bench) -> None:
    feed = Feed()
    feed.name = "sim@desk1"
    guest: Any = bench.host.guest(feed)
    assert guest.name == "feed-sim@desk1"
    guest._control, guest._ingest = Link(), Pipe(bench.ingest)
    assert guest._figures()["guest"] == "feed-sim"
    guest._claims.apply(0, [Want(KEY, 3)], replace=False, now=0.0)
    assert guest.asked(KEY) == 3
    guest.answer([Result(KEY, 1, "no")])
    assert (guest.asked(KEY), guest.asked(b"NSE_B")) == (2, 0)

    async def breaks() -> None:
        raise ValueError("a fault")

    async def main() -> None:
        guest.background(breaks())
        async with asyncio.timeout(10):
            await bench.host._leave.wait()

    asyncio.run(main())
    assert isinstance(bench.host._failure, ValueError)


def test_a_guest_tells_when_shards_have_said_all_to_another_router(bench: Bench) -> None:
    guest: Any = bench.host.guest(Feed())
    guest._control, guest._ingest = Link(), Pipe(bench.ingest)
    told: list[bool] = []
    guest.resumed = lambda: told.append(KEY in guest._claims)

    def interest(shard: int) -> None:
        wants = [list(Want(KEY, 1))]
        guest._take_interest({"shard": shard, "wants": wants, "replace": True})

    guest._welcomed({})
    interest(0)
    assert told == []
    guest._welcomed({})
    interest(0)
    interest(0)
    assert told == [True]
    interest(1)
    assert told == [True, True]
