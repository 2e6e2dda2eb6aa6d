from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.core.lease import Holder, Lease, Seen, State, key

L = 4.0
PATIENCE = L * 1.05
NOTHING = Seen()


def a_lease(machine: str = "a", epoch: int = 1) -> Lease:
    return Lease(machine, 10, epoch, L)


def word(machine: str = "b", count: int = 1, *, left: bool = False, length_s: float = L) -> bytes:
    return msgspec.msgpack.encode(Holder(machine, 20, 2, length_s, count, left))


def held(now_s: float = 100.0) -> Lease:
    """One that was taken over a word of leaving, all of it at `now_s`."""
    lease = a_lease()
    assert lease.looked(now_s, now_s, Seen(7, word(left=True))) == 7
    lease.written(now_s, now_s, Seen(8, lease.value()))
    assert lease.state is State.HELD
    return lease


# 1. When a lease counts from.


def test_a_take_counts_from_the_sending_of_the_look_before_it() -> None:
    lease = a_lease()
    lease.looked(100, 100.4, Seen(7, word(left=True)))
    lease.written(100.5, 101, Seen(8, lease.value()))
    assert lease.until_s == 100 + L


def test_a_renewal_counts_from_its_sending() -> None:
    lease = held(100)
    lease.written(101, 101.7, Seen(9, lease.value()))
    assert lease.until_s == 101 + L


def test_a_take_that_is_answered_too_late_is_none() -> None:
    lease = a_lease()
    lease.looked(100, 100, Seen(7, word(left=True)))
    lease.written(100, 100 + L * 2 / 3, Seen(8, lease.value()))
    assert lease.state is State.WAITING


def test_nothing_is_taken_by_a_look_that_was_answered_too_late() -> None:
    lease = a_lease()
    assert lease.looked(100, 100 + L * 2 / 3, Seen(7, word(left=True))) is None
    assert lease.looked(103, 103, Seen(7, word(left=True))) == 7


# 2. Renewing, and stopping.


def test_it_is_renewed_ten_times_and_has_to_stop_after_two_thirds() -> None:
    lease = held(100)
    assert lease.renew_s == pytest.approx(100 + L / 10)
    assert not lease.must_stop(100 + L * 0.66)
    assert lease.must_stop(100 + L * 0.67)
    assert lease.until_s == 100 + L


def test_once_it_has_to_stop_no_answer_changes_that() -> None:
    lease = held(100)
    assert lease.must_stop(103)
    lease.written(102, 103, Seen(9, lease.value()))
    assert lease.must_stop(103)
    assert lease.until_s == 100 + L
    lease.stopped()
    assert lease.state is State.WAITING


# 3. and 4. When a key may be written over.


@pytest.mark.parametrize(
    "seen", [NOTHING, Seen(7, word()), Seen(7, b"nobody's word")], ids=["none", "held", "strange"]
)
def test_what_is_not_a_word_of_leaving_is_waited_for(seen: Seen) -> None:
    lease = a_lease()
    assert lease.looked(99, 100, seen) is None
    assert lease.looked(100 + L, 100 + L, seen) is None
    assert lease.looked(100 + PATIENCE, 100 + PATIENCE, seen) == seen.revision


def test_each_word_is_waited_for_anew() -> None:
    lease = a_lease()
    lease.looked(100, 100, Seen(7, word(count=1)))
    assert lease.looked(104, 104, Seen(8, word(count=2))) is None
    assert lease.free_s == pytest.approx(104 + PATIENCE)


def test_a_revision_that_comes_again_with_another_word_is_waited_for_anew() -> None:
    lease = a_lease()
    lease.looked(100, 100, Seen(7, word(count=1)))
    assert lease.looked(104.5, 104.5, Seen(7, word(count=2))) is None


def test_a_key_that_goes_is_waited_for_anew() -> None:
    lease = a_lease()
    lease.looked(100, 100, Seen(7, word()))
    assert lease.looked(104.5, 104.5, NOTHING) is None
    assert lease.looked(109, 109, NOTHING) == 0


def test_the_holder_is_waited_for_as_long_as_its_own_lease_is() -> None:
    lease = a_lease()
    lease.looked(100, 100, Seen(7, word(length_s=60)))
    assert lease.free_s == pytest.approx(161)
    lease.looked(101, 101, Seen(8, word(length_s=2)))
    assert lease.free_s == pytest.approx(101 + PATIENCE)


def test_a_word_of_leaving_is_taken_up_at_once() -> None:
    assert a_lease().looked(100, 100, Seen(7, word(left=True))) == 7


def test_a_bucket_that_was_made_anew_is_waited_for_anew() -> None:
    lease = a_lease()
    lease.looked(100, 100, Seen(bucket="of yesterday"))
    assert lease.looked(105, 105, Seen(bucket="of today")) is None
    assert lease.looked(110, 110, Seen(bucket="of today")) == 0


# 5. A renewal that has failed.


def test_a_lost_answer_is_made_up_for_by_a_look() -> None:
    lease = held(100)
    value = lease.value()
    lease.unanswered()
    assert not lease.sure
    assert lease.looked(101, 101, Seen(9, value)) == 9
    assert lease.until_s == 100 + L, "a look extends nothing"
    lease.written(101, 101, Seen(10, lease.value()))
    assert lease.sure
    assert lease.until_s == 101 + L


def test_a_key_that_is_gone_is_written_again_by_its_holder() -> None:
    lease = held(100)
    lease.unanswered()
    assert lease.looked(101, 101, NOTHING) == 0
    assert not lease.must_stop(101)


@pytest.mark.parametrize("value", [word(), word(left=True), b"nobody's word"])
def test_somebody_elses_word_loses_the_lease_at_once(value: bytes) -> None:
    lease = held(100)
    lease.unanswered()
    assert lease.looked(100.5, 100.5, Seen(9, value)) is None
    assert lease.must_stop(100.5)


# 6. A word that does not hold any more.


def test_a_stop_that_was_not_heard_of_is_told_again() -> None:
    lease = held(100)
    mine = Seen(9, lease.value())
    lease.unanswered()
    lease.stopped()
    assert lease.looked(101, 101, mine) is None
    assert lease.owes
    gone = Seen(10, lease.value(left=True))
    lease.written(101, 101, gone)
    assert not lease.owes
    assert lease.looked(101, 101, gone) == 10


def test_a_take_that_came_too_late_is_waited_for_like_anybody_elses() -> None:
    lease = a_lease()
    lease.looked(100, 100, Seen(7, word(left=True)))
    mine = Seen(8, lease.value())
    lease.written(100, 104, mine)
    assert not lease.owes
    assert lease.looked(105, 105, mine) is None
    assert lease.looked(109, 109, mine) == 8


def test_who_holds_owes_nothing() -> None:
    lease = held(100)
    assert not lease.owes
    lease.stopped()
    assert lease.owes
    lease.looked(101, 101, Seen(12, word()))
    assert not lease.owes


def test_a_later_life_of_the_same_machine_is_somebody_else() -> None:
    lease = held(100)
    seen = Seen(8, lease.value())
    later = a_lease(epoch=2)
    assert later.looked(100, 100, seen) is None
    assert not later.owes
    assert later.free_s == pytest.approx(100 + PATIENCE)


# The names.


def test_a_key_is_readable() -> None:
    assert key("desk-1", "angel") == "desk-1.angel"


NAMES = st.text("ab.=* é", min_size=1, max_size=4)


@given(st.tuples(NAMES, NAMES), st.tuples(NAMES, NAMES))
def test_no_two_names_have_the_same_key(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (key(*one) == key(*other)) == (one == other)


@given(NAMES, NAMES)
def test_a_key_is_one_that_nats_takes(standby: str, feed: str) -> None:
    assert re.fullmatch(r"[-/_=a-zA-Z0-9]+\.[-/_=a-zA-Z0-9]+", key(standby, feed))


# Histories: hosts with clocks of their own and a server, and everything between them late or lost.


@dataclass(eq=False)
class Ask:
    """What a host has sent. It reaches the server once, some time, or never."""

    host: Host
    look: bool
    asked_s: float  # by the host's clock
    last: int = 0
    value: bytes = b""
    answer: Seen | None = None
    reached: bool = False
    given_up: bool = False


@dataclass(eq=False)
class Host:
    """Does with its lease what hub/feeds/standby does, one small step at a time."""

    name: str
    fast: float  # how fast its clock goes
    world: World
    lives: int = 0
    paused: bool = False
    ask: Ask | None = None

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.give_up()
        self.lives += 1
        self.lease = Lease(self.name, 1, self.lives, L)

    @property
    def now_s(self) -> float:
        return self.world.now_s * self.fast

    @property
    def active(self) -> bool:
        return self.lease.state is not State.WAITING

    def give_up(self) -> None:
        if self.ask is not None:
            self.ask.given_up = True
        self.ask = None

    def step(self, *, stops: bool = True) -> None:
        """Send what is to be sent, or stop the feed (in a later step, if it takes its time)."""
        lease = self.lease
        if self.paused:
            return
        if self.active and lease.must_stop(self.now_s):
            self.give_up()
            if stops:
                lease.stopped()
        elif self.ask is not None:
            return
        elif not self.active or not lease.sure:
            self.send(Ask(self, True, self.now_s))
        elif self.now_s >= lease.renew_s:
            self.send(Ask(self, False, self.now_s, lease.revision, lease.value()))

    def send(self, ask: Ask) -> None:
        self.ask = ask
        self.world.sent.append(ask)

    def hear(self) -> None:
        """Take the server's answer, and send at once what follows from it."""
        ask, lease = self.ask, self.lease
        if self.paused or ask is None or not ask.reached:
            return
        self.ask = None
        if not ask.look:
            if ask.answer is None:
                lease.unanswered()
            else:
                lease.written(ask.asked_s, self.now_s, ask.answer)
            return
        assert ask.answer is not None
        last = lease.looked(ask.asked_s, self.now_s, ask.answer)
        if lease.owes:
            self.send(Ask(self, False, self.now_s, lease.revision, lease.value(left=True)))
        elif last is not None:
            self.send(Ask(self, False, self.now_s, last, lease.value()))

    def time_out(self) -> None:
        if self.ask is not None and not self.paused:
            self.give_up()
            self.lease.unanswered()

    def die(self) -> None:
        """By kill -9, or by the kernel at the lease's end."""
        self.start()
        self.paused = False

    def leave(self) -> None:
        """In order: the feed has stopped, the lease is given back, another life begins."""
        if self.paused or not self.active:
            return
        self.give_up()
        lease = self.lease
        sure = lease.sure
        lease.stopped()
        if sure and lease.owes:
            self.world.sent.append(
                Ask(self, False, self.now_s, lease.revision, lease.value(left=True), given_up=True)
            )
        self.start()


@dataclass
class World:
    """A server that compares revisions, and time."""

    now_s: float = 1000.0
    log: list[Seen] = field(default_factory=lambda: [NOTHING])
    revision: int = 0
    sent: list[Ask] = field(default_factory=list)
    hosts: list[Host] = field(default_factory=list)

    def pass_time(self, seconds: float) -> None:
        """In steps so small that the kernel is in time: it ends who is active too long."""
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            self.now_s = min(until_s, self.now_s + 0.05)
            for host in self.hosts:
                if host.active and host.now_s >= host.lease.until_s:
                    host.die()

    def reach(self, ask: Ask) -> None:
        """The server takes a message."""
        self.sent.remove(ask)
        ask.reached = True
        if ask.look:
            ask.answer = self.log[-1]
        elif self.log[-1].revision == ask.last:
            self.revision += 1
            ask.answer = Seen(self.revision, ask.value)
            self.log.append(ask.answer)

    def restart(self, *, loses: bool) -> None:
        """All servers start anew; what was on its way is lost, and perhaps the bucket: that takes
        longer."""
        self.sent.clear()
        if loses:
            self.pass_time(L * 2 / 3 / 0.98)
            self.revision = 0
            self.log.append(Seen(bucket=str(len(self.log))))

    def check(self) -> None:
        active = [host for host in self.hosts if host.active]
        assert len(active) <= 1, [host.lease for host in active]


class Event(NamedTuple):
    what: str
    host: int
    number: int


def happen(world: World, event: Event) -> None:
    host = world.hosts[event.host % len(world.hosts)]
    mine = [ask for ask in world.sent if ask.host is host]
    late = [ask for ask in world.sent if ask.given_up]
    does: dict[str, Callable[[], None]] = {
        "time": lambda: world.pass_time(event.number / 8),
        "long": lambda: world.pass_time(L * (1 + event.number / 16)),
        "step": host.step,
        "slow": lambda: host.step(stops=False),
        "reach": lambda: world.reach(mine[-1]) if mine else None,
        "hear": host.hear,
        "talk": lambda: talk(world, host),
        "time out": host.time_out,
        "late": lambda: world.reach(late[event.number % len(late)]) if late else None,
        "pause": lambda: setattr(host, "paused", True),
        "go on": lambda: setattr(host, "paused", False),
        "leave": host.leave,
        "die": host.die,
        "restart": lambda: world.restart(loses=False),
        "lose": lambda: world.restart(loses=True),
    }
    does[event.what]()


def talk(world: World, host: Host) -> None:
    """All goes well for a moment."""
    for _ in range(3):
        host.step()
        if host.ask in world.sent:
            assert host.ask is not None
            world.reach(host.ask)
        host.hear()


COMMON = ["time", "step", "talk", "talk", "reach", "hear", "long"]
RARE = ["slow", "time out", "late", "pause", "go on", "leave", "die", "restart", "lose"]
EVENTS = st.builds(Event, st.sampled_from(COMMON * 3 + RARE), st.integers(0, 2), st.integers(0, 15))


def a_world(hosts: int) -> World:
    world = World()
    for number in range(hosts):
        world.hosts.append(Host("abc"[number], (0.98, 1.02, 1.0)[number], world))
    return world


@settings(max_examples=200, deadline=None)
@given(st.integers(2, 3), st.lists(EVENTS, min_size=20, max_size=150))
def test_never_two_at_once_and_in_the_end_one(hosts: int, events: list[Event]) -> None:
    world = a_world(hosts)
    for event in events:
        happen(world, event)
        world.check()
    for host in world.hosts:
        host.paused = False
        host.time_out()
    for _ in range(int(5 * L / 0.25)):
        for host in world.hosts:
            talk(world, host)
            world.check()
        world.pass_time(0.25)
    assert sum(host.active for host in world.hosts) == 1


def test_histories_hand_over() -> None:
    """The model is no good if nothing happens in it."""
    world = a_world(2)
    a, b = world.hosts
    talk(world, a)
    world.pass_time(PATIENCE * 1.1)
    talk(world, a)
    assert a.active
    talk(world, b)
    a.leave()
    world.reach(world.sent[-1])
    talk(world, b)
    assert b.active
    b.paused = True
    talk(world, a)
    world.pass_time(L * 1.1)
    talk(world, a)
    assert a.active
    assert not b.active
