"""A shard's process without its processes: what the stream's messages do, what is told upward."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hub.core import codec, stream, topics
from hub.core.codec import Message
from hub.core.liveness import Awake
from hub.core.model import Instrument, Mode, Offer, Quiet, Result, Stale
from shards import backlog, protocol
from shards import shard as module
from shards.shard import Shard
from shards.tickets import SubscribeTicket
from tests.shards.house import until
from tests.shards.kit import ALICE, Client, instruments, make_settings, subscription, tick
from tests.tls import issue

HERE, THERE = instruments(0, 2, 1)[0], instruments(1, 2, 1)[0]
STAY = stream.token(7, 1)
LATER = 1000
"""A number that no earlier opening of a test has."""


class Link:
    """The way to the router, kept here."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    def send(self, message: Message) -> None:
        self.sent.append(codec.decode(codec.encode(message)))


class Ingest:
    """The pipe to the router, kept here."""

    def __init__(self) -> None:
        self.sent: list[list[bytes]] = []

    def reset(self, *, open_: bool) -> None:
        assert open_
        self.sent.clear()

    def send_surely(self, parts: Sequence[bytes]) -> None:
        self.sent.append(list(parts))


class Gate:
    """The door for clients; `held` is what it was told, to hold them or not."""

    def __init__(self) -> None:
        self.holding = False
        self.held: list[bool] = []

    def hold(self) -> None:
        self.holding = True
        self.held.append(True)

    def release(self) -> None:
        self.holding = False
        self.held.append(False)


class World:
    """A welcome shard 0 of 2, not started: messages are handed to it as the pump would."""

    def __init__(self, room: Path) -> None:
        room.chmod(0o700)
        settings = make_settings(
            hub={"shards": 2, "runtime_dir": str(room)}, keys={"file": str(room / "keys")}
        )
        shard: Any = Shard("shard-0", settings)
        self.shard, self.desk = shard, shard._desk
        self.link = shard._control = Link()
        self.ingest = shard._ingest = Ingest()
        self.shard._welcomed({"t": "welcome", "lease": 1, "stream": STAY})
        self.shard._take_pulse({"t": "pulse", "feeds": [Offer("bus")]})
        self.link.sent.clear()

    def take(self, kind: bytes, *parts: bytes, stay: bytes = STAY) -> None:
        self.shard._take([kind + stay, *parts])

    async def hold(self, client: Client, *wanted: Instrument) -> None:
        """Subscribe, be answered, be confirmed; the legs are open."""
        ticket = self.ask(client, *wanted)
        await asyncio.sleep(0)
        keys = [one.key for one in wanted]
        self.take(stream.OPENED, encoded(keys))
        self.take(stream.VALUES, codec.pack([]), encoded(keys))
        self.shard._take_results(
            {"t": "results", "feed": "bus", "results": [Result(key, 2) for key in keys]}
        )
        ticket.confirm()

    def gate(self) -> Gate:
        """What to do with clients after a pause is told to this one; nothing is left to read."""
        self.shard._pump = SimpleNamespace(more=False)
        gate = self.shard._gateway = Gate()
        return gate

    def ask(self, client: Client, *wanted: Instrument) -> SubscribeTicket:
        request = subscription(2, *wanted)
        asked = protocol.subscribe(request, snapshot=True)
        ticket: SubscribeTicket = self.desk.subscribe(client, request, ALICE, asked, 0.0)
        self.shard._tell()
        return ticket


def encoded(keys: list[bytes]) -> bytes:
    return codec.encode({"t": "keys", "keys": keys, "number": LATER, "question": 5})


def asked(stay: bytes, live: list[bytes], other: list[bytes]) -> bytes:
    return codec.encode({"t": "query", "stay": stay, "question": 5, "live": live, "other": other})


def got(client: Client) -> list[Any]:
    return [data["ltp"] for _, _, data in client.got()]


def run(room: Path, main: Callable[[World], Any]) -> None:
    async def inside() -> None:
        world = World(room)
        await main(world)

    asyncio.run(inside())


def test_ticks_of_all_groups_reach_their_clients(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        client = Client()
        await world.hold(client, HERE, THERE)
        one, two = (codec.pack(tick(key, Mode.QUOTE, key.symbol)) for key in (HERE, THERE))
        world.take(stream.TICKS, one, two)
        world.desk.fanout.flush()
        assert got(client) == [HERE.symbol, THERE.symbol]

    run(tmp_path, main)


def test_of_what_may_have_come_before_only_news_is_a_tick_behind_those_that_wait(
    tmp_path: Path,
) -> None:
    async def main(world: World) -> None:
        client = Client()
        await world.hold(client, HERE, THERE)
        one, two, other = (codec.pack(tick(HERE, Mode.QUOTE, n)) for n in (1, 2, 3))
        fresh = codec.pack(tick(THERE, Mode.QUOTE, 4))
        world.take(stream.TICKS, one)
        world.take(stream.AGAIN, one, fresh)  # the first of them is still to be flushed
        world.take(stream.TICKS, two)
        world.take(stream.AGAIN, two)
        world.desk.fanout.flush()
        assert sorted(got(client)) == [1, 2, 4]
        world.take(stream.AGAIN, two, fresh, other)
        world.desk.fanout.flush()
        assert got(client) == [3]

    run(tmp_path, main)


def test_what_is_void_is_news_again(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        client = Client()
        await world.hold(client, HERE)
        one = codec.pack(tick(HERE, Mode.QUOTE, 1))
        world.take(stream.TICKS, one)
        world.take(stream.FORGET, encoded([HERE.key]))
        world.take(stream.AGAIN, one)
        world.desk.fanout.flush()
        assert got(client) == [1, 1]

    run(tmp_path, main)


def test_ticks_it_has_no_leg_for_are_kept_with_their_time(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        world.take(stream.KEEP, codec.pack(tick(HERE, Mode.LTP, 1)))
        (line,) = world.desk.latest.lines.values()
        assert line.key == HERE.key
        assert line.seen_s > 0

    run(tmp_path, main)


def test_account_events_reach_their_followers(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        client = Client()
        ticket = world.desk.accounts.follow(client, {}, "alice", 8.0)
        ticket.confirm()
        world.take(stream.ACCOUNT, codec.pack([b"@orders:alice", b'{"n": 1}']))
        assert client.updates() == [{"n": 1}]

    run(tmp_path, main)


def test_who_wants_order_updates_is_answered_where_they_begin(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        client = Client()
        ticket = world.desk.accounts.follow(client, {}, "alice", 1e9)
        world.shard._tell()
        await asyncio.sleep(0)
        (word,) = [sent for sent in world.link.sent if sent["feed"] == ""]
        told = {"t": "followed", "keys": [topics.orders("alice")]}
        for number in (word["number"] - 1, word["number"]):
            assert not ticket.complete
            world.take(stream.FOLLOWED, codec.encode(told | {"number": number}))
        assert ticket.complete

    run(tmp_path, main)


def test_after_a_pause_a_shard_asks_for_a_mark_and_holds_its_clients_until_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "LONGEST_S", 1000)

    async def main(world: World) -> None:
        held = world.gate().held
        world.shard._notice(world.shard._backlog.look(time.monotonic() + 2.0))
        assert world.link.sent == [{"t": "mark", "pause": 1}]
        await asyncio.sleep(0.02)
        world.shard._take_pulse({"t": "pulse", "feeds": []})
        world.take(stream.MARK, b"0")
        await asyncio.sleep(0.02)
        assert held == [True], "what is on its way is not there yet"
        world.take(stream.MARK, b"1")
        await until(lambda: held == [True, False])

    run(tmp_path, main)


def test_two_pauses_that_are_caught_up_with_together_end_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each had a timer of its own, and without a mark the second one's never ended."""
    monkeypatch.setattr(backlog, "LONGEST_S", 1000)

    async def main(world: World) -> None:
        gate = world.gate()
        for later_s in (2.0, 4.0):
            world.shard._notice(world.shard._backlog.look(time.monotonic() + later_s))
        world.take(stream.MARK, b"2")
        await until(lambda: not gate.holding)
        await asyncio.sleep(0.05)
        assert gate.held == [True, True, False]

    run(tmp_path, main)


def test_a_question_is_answered_to_the_shard_that_asks(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        world.take(stream.KEEP, codec.pack(tick(HERE, Mode.LTP, 1)))
        world.take(stream.QUERY, asked(b"another stay", [HERE.key], [THERE.key]))
        ((kind, stay, question, pairs),) = world.ingest.sent
        assert (kind, stay, question) == (stream.VALUES, b"another stay", b"5")
        assert codec.unpack(pairs) == tick(HERE, Mode.LTP, 1)

    run(tmp_path, main)


def test_a_keeper_that_asks_itself_is_answered_on_the_spot(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        client = Client()
        world.take(stream.KEEP, codec.pack(tick(HERE, Mode.QUOTE, 1)))
        ticket = world.ask(client, HERE)
        await asyncio.sleep(0)
        world.shard._take_results({"t": "results", "feed": "bus", "results": [Result(HERE.key, 2)]})
        ticket.confirm()
        world.take(stream.OPENED, encoded([HERE.key]))
        world.take(stream.QUERY, asked(STAY, [HERE.key], []))
        assert world.ingest.sent == []
        assert got(client) == [1]

    run(tmp_path, main)


def test_an_answer_is_shown_to_who_waits_for_it(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        client = Client()
        ticket = world.ask(client, THERE)
        await asyncio.sleep(0)
        ticket.confirm()
        world.take(stream.OPENED, encoded([THERE.key]))
        values = codec.pack(tick(THERE, Mode.QUOTE, 5))
        world.take(stream.VALUES, values, encoded([THERE.key]))
        assert got(client) == [5]

    run(tmp_path, main)


@pytest.mark.parametrize("kind", [stream.FORGET, stream.CLOSED])
def test_what_is_no_longer_live_or_known_better_elsewhere_is_forgotten(
    tmp_path: Path, kind: bytes
) -> None:
    async def main(world: World) -> None:
        world.take(stream.KEEP, codec.pack(tick(HERE, Mode.LTP, 1)))
        world.take(kind, encoded([HERE.key]))
        assert world.desk.snapshots.query([HERE.key], [], 0.0) == []

    run(tmp_path, main)


def test_changed_credentials_are_asked_for_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(world: World) -> None:
        forgotten: list[bool] = []
        monkeypatch.setattr(world.shard._keys, "forget", lambda: forgotten.append(True))
        world.take(stream.INVALIDATE, b"CACHE_INVALIDATE_ALL_x", b"{}")
        assert forgotten == [True]

    run(tmp_path, main)


@pytest.mark.parametrize(
    "parts",
    [
        [b"t" + STAY, b"nonsense"],
        [b"t" + STAY, codec.pack([b"odd"])],
        [b"h" + STAY, b"\x93"],
        [b"z" + STAY, b""],
        [STAY[:0] + b"q" + STAY],
        [b"q" + STAY, codec.encode({"t": "query"})],
        [b"q" + STAY, codec.encode({"t": "query", "stay": b"", "live": None, "other": 5})],
        [b"q" + STAY, codec.encode({"t": "query", "stay": b"", "live": ["text"], "other": []})],
        [b"v" + STAY, codec.pack([])],
        [b"v" + STAY, codec.pack([]), codec.encode({"t": "values", "keys": "NSE_X"})],
        [b"o" + STAY, b"\xc1"],
        [b"o" + STAY, codec.encode({"t": "o", "keys": [5], "number": 1})],
        [b"f" + STAY],
        [b"a" + STAY, codec.pack([b"one"])],
    ],
)
def test_a_malformed_message_is_logged_and_the_next_one_is_taken(
    parts: list[bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(world: World) -> None:
        world.shard._take(parts)
        world.take(stream.KEEP, codec.pack(tick(HERE, Mode.LTP, 1)))
        assert len(world.desk.latest.lines) == 1

    with caplog.at_level(logging.WARNING, "hub"):
        run(tmp_path, main)
    assert "cannot be used" in caplog.text


@pytest.mark.parametrize("stay", [b"", stream.token(6, 1), stream.token(7, 2), STAY + b"0"])
def test_what_is_left_of_another_stay_is_dropped_and_counted(stay: bytes, tmp_path: Path) -> None:
    async def main(world: World) -> None:
        world.take(stream.KEEP, codec.pack(tick(HERE, Mode.LTP, 1)), stay=stay)
        assert not world.desk.latest.lines
        assert world.shard._leftover == 1

    run(tmp_path, main)


def test_order_updates_of_an_earlier_stay_of_this_process_are_taken(tmp_path: Path) -> None:
    """The router knows them sent: they were in the pipe when it took this shard for gone."""

    async def main(world: World) -> None:
        client = Client()
        world.desk.accounts.follow(client, {}, "alice", 8.0).confirm()
        world.shard._welcomed({"t": "welcome", "lease": 2, "stream": stream.token(7, 2)})
        for number, stay in enumerate((STAY, stream.token(7, 2), stream.token(6, 1))):
            update = b'{"n": %d}' % number
            world.take(stream.ACCOUNT, codec.pack([b"@orders:alice", update]), stay=stay)
        assert [update["n"] for update in client.updates()] == [0, 1]
        assert world.shard._leftover == 1, "a stay that was not its own"

    run(tmp_path, main)


def test_a_new_stay_is_told_everything_and_what_was_known_is_void(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        client = Client()
        await world.hold(client, HERE, THERE)
        world.take(stream.TICKS, codec.pack(tick(THERE, Mode.QUOTE, 1)))
        world.link.sent.clear()
        world.shard._welcomed({"t": "welcome", "lease": 2, "stream": stream.token(8, 2)})
        assert got(client) == [1], "what came before is sent before"
        told = {message["feed"]: message for message in world.link.sent}
        assert set(told) == {"bus", ""}
        assert {row[0] for row in told["bus"]["wants"]} == {HERE.key, THERE.key}
        assert all(message["replace"] for message in told.values())
        newcomer = Client()
        world.ask(newcomer, THERE).confirm()
        assert got(newcomer) == []
        world.take(stream.TICKS, codec.pack(tick(THERE, Mode.QUOTE, 2)))
        world.desk.fanout.flush()
        assert got(client) == []

    run(tmp_path, main)


def test_clients_wait_until_all_feeds_are_there_so_that_nobody_is_given_to_another(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        settings = make_settings(hub={"feeds": ["bus", "sim"], "runtime_dir": str(tmp_path)})
        shard = Shard("shard-0", settings)
        told = []
        for feeds in (
            [Offer("bus")],
            [],
            [Offer("sim")],
            [Offer("more"), Offer("sim"), Offer("bus")],
        ):
            shard._take_pulse({"t": "pulse", "feeds": feeds})
            told.append(shard._known.is_set())
        assert told == [False, False, False, True]

    asyncio.run(main())


def test_a_burst_of_interest_is_told_once_and_in_parts(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        wanted = instruments(1, 2, 2500)
        for start in range(0, 2500, 100):
            world.ask(Client(), *wanted[start : start + 100])
        assert world.link.sent == []
        await until(lambda: not world.shard._telling)
        assert sum(len(message["wants"]) for message in world.link.sent) == 2500
        assert max(len(message["wants"]) for message in world.link.sent) <= 1000
        told = len(world.link.sent)
        assert not any(message["replace"] for message in world.link.sent)
        world.shard._tell()
        await asyncio.sleep(0)
        assert len(world.link.sent) == told

    run(tmp_path, main)


def test_results_and_pulses_reach_the_desk(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        client = Client()
        ticket = world.ask(client, THERE)
        await asyncio.sleep(0)
        message = {"t": "results", "feed": "bus", "results": [[THERE.key, 2, "no", 0]]}
        world.shard._take_results(codec.decode(codec.encode(message)))
        assert ticket.rows[0].problem == "no"
        world.shard._take_pulse({"t": "pulse", "feeds": [Offer("bus"), Offer("sim")]})
        assert "sim" in world.desk.feeds

    run(tmp_path, main)


def test_answers_that_found_no_room_are_sent_when_there_is_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for a first value would wait for ever: nothing else looks at that pipe."""
    monkeypatch.setattr(module, "BEAT_S", 0.01)

    async def main(world: World) -> None:
        retried = asyncio.Event()

        class Full(Ingest):
            def retry(self) -> bool:
                retried.set()
                return True

        world.shard._ingest = Full()
        world.shard._gateway = SimpleNamespace(
            tend=lambda: None, recheck=lambda _: None, now_s=lambda: 0.0
        )
        tender = asyncio.create_task(world.shard._tend())
        await asyncio.wait_for(retried.wait(), 20)
        tender.cancel()

    run(tmp_path, main)


def test_what_is_pending_when_a_shard_leaves_is_sent_before_the_goodbye(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        client = Client()
        await world.hold(client, THERE)
        world.take(stream.TICKS, codec.pack(tick(THERE, Mode.QUOTE, 5)))
        assert client.sent == [], "it waits for the end of the batch"
        order: list[object] = []

        async def goodbye() -> None:
            order.append(got(client))

        async def bye() -> None:
            order.append("bye")

        nothing = SimpleNamespace(close=lambda: None)
        world.shard._gateway = SimpleNamespace(drain=goodbye)
        world.shard._control = SimpleNamespace(stop=bye)
        world.shard._pump = world.shard._ingest = nothing
        await world.shard.see_off()
        await world.shard.drain()
        assert order == [[5], "bye"]

    run(tmp_path, main)


def test_after_a_pause_nobody_is_called_late_before_his_answer_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BEAT_S", 0.01)

    async def main(world: World) -> None:
        ticket = world.ask(Client(), THERE)
        ticket.deadline_s = time.monotonic() + 1.0
        world.shard._gateway = SimpleNamespace(
            tend=lambda: None, recheck=lambda _: None, now_s=lambda: 0.0
        )
        world.shard._ingest = SimpleNamespace(retry=lambda: True)
        rounds: list[float] = []
        monkeypatch.setattr(world.desk, "paused", _both(world.desk.paused, rounds.append))
        tender = asyncio.create_task(world.shard._tend())
        await asyncio.sleep(0.02)
        time.sleep(2.0)  # noqa: ASYNC251  # the pause is the point
        async with asyncio.timeout(20):
            while not rounds:  # noqa: ASYNC110  # the tender has no event of its own
                await asyncio.sleep(0.01)
        assert not ticket.complete, "its time stood still meanwhile"
        tender.cancel()
        ticket.cancel()

    run(tmp_path, main)


def _both(first: Callable[[float], None], second: Callable[[float], None]) -> Any:
    def call(value: float) -> None:
        first(value)
        second(value)

    return call


# What is quiet, and what is stale.


def quiet_told(world: World) -> list[tuple[str, list[Quiet], bool]]:
    """What feeds were told is quiet, since this was last asked."""
    found = [
        (sent["to"], codec.quiet(sent), sent["replace"])
        for sent in world.link.sent
        if sent["t"] == "quiet"
    ]
    world.link.sent.clear()
    return found


async def look(world: World, *at_s: float) -> None:
    for awake_s in at_s:
        world.desk.listen(awake_s)
        world.shard._tell()
        await asyncio.sleep(0)


def test_the_feed_of_a_key_is_told_that_it_is_quiet_and_that_it_ticks_again(
    tmp_path: Path,
) -> None:
    async def main(world: World) -> None:
        await world.hold(Client(), HERE)
        await look(world, 0.0)
        quiet_told(world)
        await look(world, 60.0, 60.1)
        assert quiet_told(world) == [("feed-bus", [Quiet(HERE.key, Mode.QUOTE.bit, 60.0)], False)]
        world.take(stream.TICKS, codec.pack(tick(HERE, Mode.QUOTE, 1)))
        await look(world, 61.0, 62.0)
        assert quiet_told(world) == [("feed-bus", [Quiet(HERE.key, 0, 0.0)], False)]

    run(tmp_path, main)


def test_at_a_new_stay_a_feed_is_told_that_all_is_counted_anew(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await world.hold(Client(), HERE)
        await look(world, 0.0, 61.0)
        quiet_told(world)
        stay = stream.token(7, 2)
        world.shard._welcomed({"t": "welcome", "lease": 2, "stream": stay})
        await look(world, 62.0, 100.0)
        assert quiet_told(world) == [("feed-bus", [], True)]
        await look(world, 122.1)
        assert quiet_told(world) == [("feed-bus", [Quiet(HERE.key, Mode.QUOTE.bit, 60.0)], False)]

    run(tmp_path, main)


def test_a_feed_that_comes_back_is_told_everything(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await world.hold(Client(), HERE)
        await look(world, 0.0, 61.0)
        quiet_told(world)
        world.shard._take_pulse({"t": "pulse", "feeds": []})
        await look(world, 62.0)
        assert quiet_told(world) == []
        world.shard._take_pulse({"t": "pulse", "feeds": [Offer("bus")]})
        await look(world, 63.0)
        assert quiet_told(world) == [("feed-bus", [Quiet(HERE.key, Mode.QUOTE.bit, 60.0)], True)]

    run(tmp_path, main)


def test_what_a_feed_calls_stale_is_known_here(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        message = {"t": "stale", "feed": "bus", "stale": [Stale(HERE.key, 2)], "replace": False}
        world.shard._take_stale(codec.decode(codec.encode(message)))
        assert world.desk.notices.take("bus", [], replace=True) == [HERE.key]

    run(tmp_path, main)


def test_time_in_which_this_process_was_paused_is_no_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an hour of SIGSTOP nothing is quiet that was not before, and ticks are read first."""

    async def main(world: World) -> None:
        looks: list[float] = []
        times = itertools.chain([0.0, 0.0, 7.5, 7.5, 3600.0, 3600.5, 3600.5], itertools.repeat(9e9))
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(times)))
        monkeypatch.setattr(world.desk.silence, "every_s", 0.001)
        monkeypatch.setattr(module, "Awake", lambda _: Awake(8.0))
        monkeypatch.setattr(world.desk, "listen", looks.append)
        task = asyncio.create_task(world.shard._listen())
        await until(lambda: len(looks) >= 3)
        task.cancel()
        assert looks[:3] == [0.0, 7.5, 16.0], "8 s of the hour, and the look after it"

    run(tmp_path, main)


def test_nothing_is_looked_for_when_that_is_turned_off(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        world.desk.silence.every_s = 0.0
        await asyncio.wait_for(world.shard._listen(), 10)

    run(tmp_path, main)


def test_a_hang_up_has_the_certificate_read_anew_and_a_bad_one_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        (tmp_path / "run").mkdir(mode=0o700)
        pair = issue(tmp_path)
        websocket = {"tls_cert": str(pair.cert), "tls_key": str(pair.key)}
        hub = {"runtime_dir": str(tmp_path / "run")}
        shard = Shard("shard-0", make_settings(hub=hub, websocket=websocket))
        shown: list[object] = []
        shard._gateway = SimpleNamespace(secure=shown.append)  # type: ignore[assignment]
        shard.reload()
        assert shown == [], "it has shown nobody the old one yet"
        shard._serving = True
        shard.reload()
        issue(tmp_path)
        shard.reload()
        first, second = shown
        assert first is not second
        pair.key.write_text("half of a k")
        with caplog.at_level(logging.INFO, "hub"):
            caplog.clear()
            shard.reload()
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert f"{pair.key} has no private key in PEM" in record.message
        assert record.message.endswith("; the certificate from before stays in use")
        assert shown == [first, second]

    asyncio.run(main())


def test_a_hang_up_without_a_certificate_says_that_there_is_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tmp_path.chmod(0o700)
    shard = Shard("shard-0", make_settings(hub={"runtime_dir": str(tmp_path)}))
    with caplog.at_level(logging.INFO, "hub"):
        shard.reload()
    assert "websocket.tls_cert" in caplog.text
