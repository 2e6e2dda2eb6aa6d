"""OpenAlgo's keys: hashed once and in a thread, believed while the database says the same."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import os
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.auth import openalgo
from hub.auth.database import Database, KeyRow
from hub.auth.openalgo import MAX_WAITING, OpenAlgoVerifier
from hub.auth.verifier import LOOK_S, Grant
from hub.core.errors import KeyStoreError
from hub.core.model import Identity
from tests.hub.auth.openalgo_kit import PEPPER, Tables

ALICE = Identity("alice", "zerodha")
KEY = "a1" * 32
OTHER = "b2" * 32
WRONG = "c3" * 32
CACHE_S = 10.0


class Bench:
    """A database, a verifier on it, and its clock."""

    def __init__(self, directory: Path, cache_s: float = CACHE_S) -> None:
        self.now = 1000.0
        self.tables = Tables(directory / "db" / "openalgo.db")
        database = Database("sqlite:///db/openalgo.db", directory)
        self.verifier = OpenAlgoVerifier(database, PEPPER, cache_s, lambda: self.now)

    def add(self, user: str = "alice", api_key: str = KEY, broker: str = "zerodha") -> str:
        """Give a user a key and a login; the key's hash."""
        self.tables.login(user, broker)
        return self.tables.key(user, api_key)

    def log_in(self, api_key: str = KEY) -> Grant:
        """What a good key gives."""
        grant = asyncio.run(self.verifier.grant(api_key))
        assert grant is not None
        return grant

    def ask(self, api_key: str = KEY) -> Identity | None:
        """Verify one key."""
        grant = asyncio.run(self.verifier.grant(api_key))
        return grant.identity if grant else None

    def log_in_before_trouble(self) -> Grant:
        """A grant from before the database could not be read any more, which has been seen."""
        self.add()
        grant = self.log_in()
        self.trouble()
        self.look()
        return grant

    def later(self, seconds: float = LOOK_S) -> None:
        """Let time pass."""
        self.now += seconds

    def told(self) -> bool:
        """Ask for changes, and let what was started by that come to its end, never before that."""
        asked = threading.Event()
        self.verifier._thread.submit(asked.wait, 10)
        changed = self.verifier.changed()
        asked.set()
        self.settle()
        return changed

    def settle(self) -> None:
        """Wait for the thread."""
        self.verifier._thread.submit(int).result()

    def look(self) -> bool:
        """Whether a look after `cache_s` finds a change."""
        self.later(CACHE_S)
        self.told()
        return self.verifier.changed()

    def trouble(self) -> None:
        """Put something in the database's place that is none."""
        self.tables.path.rename(self.tables.path.with_suffix(".good"))
        self.tables.path.write_text("nonsense" * 100, encoding="utf-8")

    def repair(self) -> None:
        """Put the database back."""
        self.tables.path.with_suffix(".good").rename(self.tables.path)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A bench in a directory of its own."""
    bench = Bench(tmp_path)
    yield bench
    bench.verifier.close()


class Work:
    """What the thread does, in order: "hash" and "read". It can be held at any of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self.threads: set[threading.Thread] = set()
        self._free = math.inf  # so many works are let through
        self._moved = threading.Condition()
        verify, rows = PasswordHasher.verify, Database.rows

        def counted_verify(hasher: PasswordHasher, key_hash: str, secret: str) -> bool:
            self._note("hash")
            return verify(hasher, key_hash, secret)

        def counted_rows(database: Database) -> list[KeyRow]:
            self._note("read")
            return rows(database)

        monkeypatch.setattr(PasswordHasher, "verify", counted_verify)
        monkeypatch.setattr(Database, "rows", counted_rows)

    def _note(self, what: str) -> None:
        with self._moved:
            self.done.append(what)
            self.threads.add(threading.current_thread())
            self._moved.notify_all()
            number = len(self.done)
            free = self._moved.wait_for(lambda: number <= self._free, 10)
        assert free, "whoever would release it is held up"

    @property
    def hashes(self) -> int:
        """How many keys were hashed."""
        return self.done.count("hash")

    @property
    def reads(self) -> int:
        """How often the rows were read."""
        return self.done.count("read")

    def hold(self, after: int = 0) -> None:
        """Let so much more be done, and stop the thread at the work after it."""
        self._free = len(self.done) + after

    def release(self) -> None:
        """Let it go on."""
        with self._moved:
            self._free = math.inf
            self._moved.notify_all()

    async def held(self) -> None:
        """Wait until it has stopped."""
        assert await asyncio.to_thread(self._wait)

    def _wait(self) -> bool:
        with self._moved:
            return self._moved.wait_for(lambda: len(self.done) > self._free, 10)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    """What the thread does."""
    work = Work(monkeypatch)
    yield work
    work.release()


async def turns(count: int = 5) -> None:
    """Let the loop go round."""
    for _ in range(count):
        await asyncio.sleep(0)


def start(coroutine: Coroutine[Any, Any, Grant | None]) -> asyncio.Task[Grant | None]:
    return asyncio.get_running_loop().create_task(coroutine)


# What a key gives.


def test_rule_1_hashing_is_less_urgent_than_the_loop(bench: Bench) -> None:
    """Argon2 has four threads: on two cores every hundredth tick waited 16 ms while keys that
    nobody has were hashed. They are begun by this one, and as urgent as it is."""

    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    assert bench.verifier._thread.submit(niceness).result() == min(19, niceness() + 10)


def test_a_key_is_its_users_and_a_wrong_one_is_no_ones(bench: Bench) -> None:
    bench.add()
    bench.add("bob", OTHER, "angel")
    assert bench.ask(KEY) == ALICE
    assert bench.ask(OTHER) == Identity("bob", "angel")
    assert bench.ask(WRONG) is None


def test_a_grant_names_the_user_and_not_the_key(bench: Bench) -> None:
    key_hash = bench.add()
    grant = bench.log_in()
    assert grant.key_id == "openalgo:alice"
    assert KEY not in repr(grant)
    assert key_hash not in repr(grant)


@pytest.mark.parametrize("key", ["", "x" * (openalgo.MAX_KEY + 1), "\ud800"])
def test_what_cannot_be_a_key_is_no_ones_and_is_not_hashed(
    bench: Bench, work: Work, key: str
) -> None:
    bench.add()
    assert bench.ask(key) is None
    assert work.done == []


@pytest.mark.parametrize("login", ["revoked", "none"])
def test_without_a_login_a_key_is_good_and_has_no_broker(bench: Bench, login: str) -> None:
    bench.add()
    bench.tables.run("DELETE FROM auth") if login == "none" else bench.tables.revoke("alice")
    assert bench.ask() == Identity("alice", "")


@pytest.mark.parametrize("key_hash", ["nonsense", "$argon2id$v=19$m=8,t=1,p=1$!$!"])
def test_a_hash_that_is_none_harms_no_other_key(bench: Bench, key_hash: str) -> None:
    bench.tables.raw_key("aaron", key_hash)
    bench.add()
    assert bench.ask() == ALICE
    assert bench.ask(WRONG) is None


def test_a_key_hashed_without_the_pepper_is_no_ones(bench: Bench) -> None:
    bench.add(api_key=KEY.removesuffix("1"))
    assert bench.ask() is None


def test_a_key_that_was_not_checked_for_want_of_memory_is_not_refused_for_ever(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> bool:
        raise VerificationError(openalgo._NO_MEMORY)

    assert "emory" in openalgo._NO_MEMORY
    bench.add()
    with monkeypatch.context() as patch:
        patch.setattr(PasswordHasher, "verify", fail)
        with pytest.raises(KeyStoreError, match="no memory"):
            bench.ask()
    assert bench.ask() == ALICE


def test_a_pepper_that_openalgo_would_not_take_is_said_and_not_shown(tmp_path: Path) -> None:
    database = Database("sqlite:///x.db", tmp_path)
    OpenAlgoVerifier(database, "q" * 32, CACHE_S).close()
    with pytest.raises(KeyStoreError, match=r"API_KEY_PEPPER .* 31 characters") as caught:
        OpenAlgoVerifier(database, "q" * 31, CACHE_S)
    assert "qqq" not in str(caught.value)


# Rule 1.


@pytest.mark.parametrize("after", [0, 1])
def test_rule_1_the_loop_goes_on_while_rows_are_read_and_keys_hashed(
    bench: Bench, work: Work, after: int
) -> None:
    async def scenario() -> Grant | None:
        work.hold(after)
        asked = start(bench.verifier.grant(KEY))
        await work.held()
        await turns()
        work.release()
        return await asked

    bench.add()
    assert asyncio.run(scenario())
    assert work.done == ["read", "hash"]
    assert len(work.threads) == 1
    assert threading.main_thread() not in work.threads


def test_rule_1_changed_returns_at_once_and_tells_later(bench: Bench, work: Work) -> None:
    grant = (bench.add(), bench.log_in())[1]
    bench.told()
    bench.told()
    bench.tables.no_key("alice")
    bench.later(CACHE_S)
    work.hold()
    assert not bench.verifier.changed()
    assert not bench.verifier.changed()
    assert bench.verifier.stands(grant)
    work.release()
    bench.settle()
    assert bench.verifier.changed()
    assert not bench.verifier.stands(grant)
    assert not bench.verifier.changed()


def test_rule_1_a_read_waits_for_one_hash_at_most(bench: Bench, work: Work) -> None:
    """Strangers with wrong keys must not hold up whoever is known."""

    async def scenario() -> None:
        await bench.verifier.grant(KEY)
        work.done.clear()
        work.hold()
        strangers = [start(bench.verifier.grant(f"{WRONG}{number}")) for number in range(5)]
        await work.held()
        bench.later()
        known = start(bench.verifier.grant(KEY))
        await turns()
        work.release()
        assert await known
        assert work.done[:2] == ["hash", "read"]
        await asyncio.gather(*strangers)

    bench.add()
    asyncio.run(scenario())
    assert work.hashes == 5


# Rule 2.


@pytest.mark.parametrize(("key", "good"), [(KEY, True), (WRONG, False)])
def test_rule_2_a_storm_of_one_key_costs_one_hash(
    bench: Bench, work: Work, key: str, good: bool
) -> None:
    async def storm() -> list[Grant | None]:
        return await asyncio.gather(*(bench.verifier.grant(key) for _ in range(500)))

    bench.add()
    for _ in range(2):
        assert [grant is not None for grant in asyncio.run(storm())] == [good] * 500
        bench.later()
    assert work.hashes == 1
    assert work.reads == 2


@pytest.mark.parametrize("at", ["read", "hash"])
def test_rule_2_whoever_leaves_takes_no_ones_answer_along(
    bench: Bench, work: Work, at: str
) -> None:
    async def scenario() -> None:
        work.hold(after=1 if at == "hash" else 0)
        leaves, stays = start(bench.verifier.grant(KEY)), start(bench.verifier.grant(KEY))
        await work.held()
        await turns()
        leaves.cancel()
        await turns()
        assert leaves.cancelled()
        work.release()
        assert await stays
        assert work.hashes == 1

    bench.add()
    asyncio.run(scenario())


def test_rule_2_whoever_leaves_takes_no_read_along_that_has_not_begun(
    bench: Bench, work: Work
) -> None:
    async def scenario() -> None:
        await bench.verifier.grant(KEY)
        work.hold()
        stranger = start(bench.verifier.grant(WRONG))
        await work.held()
        bench.later()
        leaves, stays = start(bench.verifier.grant(KEY)), start(bench.verifier.grant(KEY))
        await turns()
        leaves.cancel()
        await turns()
        work.release()
        assert await stays
        assert await stranger is None

    bench.add()
    asyncio.run(scenario())


def test_rule_2_when_all_leave_what_comes_of_it_is_remembered(bench: Bench, work: Work) -> None:
    async def scenario() -> None:
        await bench.verifier.grant(WRONG)
        work.hold()
        leaves = start(bench.verifier.grant(KEY))
        await work.held()
        leaves.cancel()
        await turns()
        work.release()
        assert await bench.verifier.grant(KEY)

    bench.add()
    asyncio.run(scenario())
    assert work.hashes == 2


def test_only_so_many_different_keys_wait(bench: Bench, work: Work) -> None:
    async def scenario() -> None:
        await bench.verifier.grant(KEY)
        work.hold()
        waiting = [start(bench.verifier.grant(f"{WRONG}{number}")) for number in range(MAX_WAITING)]
        await work.held()
        await turns()
        with pytest.raises(KeyStoreError, match="too many"):
            await bench.verifier.grant(OTHER)
        assert await bench.verifier.grant(KEY), "who is known need not wait"
        joins = start(bench.verifier.grant(f"{WRONG}0"))
        await turns()
        work.release()
        assert await asyncio.gather(*waiting, joins) == [None] * (MAX_WAITING + 1)
        assert await bench.verifier.grant(OTHER)

    bench.add()
    bench.add("bob", OTHER)
    asyncio.run(scenario())


# Rule 3.


def test_rule_3_no_key_is_kept_or_told(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    key_hash = bench.add()
    caplog.set_level(logging.DEBUG)
    for asked in (KEY, WRONG):
        asyncio.run(bench.verifier.grant(asked), debug=True)
    state = vars(bench.verifier)
    for secret in (KEY, WRONG):
        assert secret not in f"{bench.verifier!r} {state!r} {caplog.text}"
    assert key_hash not in f"{bench.verifier!r} {caplog.text}"


def test_rule_3_what_is_kept_differs_between_processes(bench: Bench, tmp_path: Path) -> None:
    another = OpenAlgoVerifier(bench.verifier._database, PEPPER, CACHE_S)
    bench.add()
    bench.ask()
    asyncio.run(another.grant(KEY))
    another.close()
    assert not bench.verifier._good.keys() & another._good.keys()


def test_rule_3_a_good_key_counts_while_its_hash_is_the_same(bench: Bench, work: Work) -> None:
    bench.add()
    bench.add("bob", OTHER)
    bench.ask()
    hashes = work.hashes
    bench.tables.login("alice", "angel")
    bench.tables.no_key("bob")
    bench.later()
    assert bench.ask() == Identity("alice", "angel")
    assert work.hashes == hashes
    bench.tables.key("alice", OTHER)
    bench.later()
    assert bench.ask() is None


def test_rule_3_a_refused_key_counts_while_all_hashes_are_the_same(
    bench: Bench, work: Work
) -> None:
    bench.add()
    assert bench.ask(OTHER) is None
    bench.tables.revoke("alice")
    bench.later()
    assert bench.ask(OTHER) is None
    assert work.hashes == 1
    bench.tables.key("bob", OTHER)
    bench.later()
    assert bench.ask(OTHER) == Identity("bob", "")


def test_rule_3_no_more_refused_keys_are_kept_than_so_many(
    bench: Bench, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openalgo, "MAX_REFUSED", 3)
    bench.add()
    for number in range(5):
        bench.ask(f"{WRONG}{number}")
    assert len(bench.verifier._refused) == 3
    assert work.hashes == 5
    bench.ask(f"{WRONG}4")
    assert work.hashes == 5
    bench.ask(f"{WRONG}0")
    assert work.hashes == 6


def test_rule_3_no_more_good_keys_are_kept_than_rows(bench: Bench) -> None:
    for number in range(5):
        bench.add(api_key=f"{KEY}{number}")
        bench.later()
        assert bench.ask(f"{KEY}{number}") == ALICE
    assert len(bench.verifier._good) == 1


def test_rule_3_a_key_changed_while_it_was_hashed_is_refused(bench: Bench, work: Work) -> None:
    """And not granted by rows whose end was told before there was a grant to end."""

    async def scenario() -> Grant | None:
        work.hold(after=1)
        asked = start(bench.verifier.grant(KEY))
        await work.held()
        bench.tables.key("alice", OTHER)
        bench.verifier.forget()
        bench.verifier.changed()
        work.release()
        return await asked

    bench.add()
    assert asyncio.run(scenario()) is None


# Rule 4.


def test_rule_4_a_deleted_key_works_no_longer_than_the_next_look(bench: Bench) -> None:
    bench.add()
    assert bench.ask() == ALICE
    bench.tables.no_key("alice")
    assert bench.ask() == ALICE
    bench.later()
    assert bench.ask() is None


def test_rule_4_rows_are_read_once_a_second_however_many_ask(bench: Bench, work: Work) -> None:
    bench.add()
    for _ in range(4):
        for asked in [KEY, WRONG] * 5:
            bench.ask(asked)
        bench.later()
    assert work.reads == 4


@pytest.mark.parametrize("cache_s", [1.0, 2.0, 3.0, CACHE_S, 60.0])
def test_rule_4_asked_once_a_second_a_change_is_told_within_cache_s(
    tmp_path: Path, cache_s: float
) -> None:
    bench = Bench(tmp_path, cache_s)
    for delay_s in range(int(cache_s / 2) + 3):
        bench.told()
        for _ in range(delay_s):
            bench.later()
            bench.told()
        bench.tables.raw_key("alice", f"{delay_s}")
        waited_s = next(second for second in itertools.count(1) if _told_after_a_second(bench))
        assert waited_s <= max(cache_s, 2)
    bench.verifier.close()


def _told_after_a_second(bench: Bench) -> bool:
    bench.later()
    return bench.told()


def test_rule_4_changed_reads_no_more_often_than_it_must(bench: Bench, work: Work) -> None:
    bench.add()
    for _ in range(30):
        bench.told()
        bench.later()
    assert work.reads == 6


def test_rule_4_a_read_that_takes_long_is_not_followed_by_others(bench: Bench, work: Work) -> None:
    bench.add()
    work.hold()
    for _ in range(30):
        bench.verifier.changed()
        bench.later(CACHE_S)
    work.release()
    bench.settle()
    assert work.reads == 1
    bench.told()
    assert work.reads == 2


def test_rule_4_a_read_that_began_before_is_followed_by_one(bench: Bench, work: Work) -> None:
    """Or a change that it missed would be told too late."""
    bench.told()
    bench.later(CACHE_S)
    work.hold()
    bench.verifier._read_anew()
    bench.verifier.changed()
    work.release()
    bench.settle()
    bench.told()
    assert work.reads == 3
    bench.told()
    assert work.reads == 3


def test_a_change_is_told_once_and_the_same_rows_never(bench: Bench) -> None:
    bench.add()
    bench.told()
    assert bench.told()
    for _ in range(30):
        bench.later()
        assert not bench.told()


def test_a_change_that_a_log_in_saw_first_is_told_at_once(bench: Bench) -> None:
    bench.add()
    grant = bench.log_in()
    bench.told()
    bench.tables.no_key("alice")
    bench.later()
    assert bench.ask() is None
    assert bench.verifier.changed()
    assert not bench.verifier.stands(grant)


def test_forget_makes_the_next_question_read(bench: Bench) -> None:
    bench.add()
    grant = bench.log_in()
    bench.told()
    bench.tables.no_key("alice")
    assert not bench.told()
    assert bench.ask() == ALICE
    bench.verifier.forget()
    bench.told()
    assert bench.told()
    assert not bench.verifier.stands(grant)


def test_forget_makes_the_next_log_in_read_though_a_read_is_under_way(
    bench: Bench, work: Work
) -> None:
    """That one may have begun before what is to be seen."""

    async def scenario() -> None:
        await bench.verifier.grant(KEY)
        bench.later()
        work.hold()
        before = start(bench.verifier.grant(KEY))
        await work.held()
        bench.verifier.forget()
        after = start(bench.verifier.grant(KEY))
        await turns()
        work.release()
        await asyncio.gather(before, after)

    bench.add()
    asyncio.run(scenario())
    assert work.done == ["read", "hash", "read", "read"]


# Rule 5.


def test_rule_5_a_grant_ends_when_its_key_is_changed_or_deleted_and_others_stay(
    bench: Bench,
) -> None:
    keys = [f"{KEY}{number}" for number in range(3)]
    for number, key in enumerate(keys):
        bench.add(f"user{number}", key)
    changes, goes, stays = map(bench.log_in, keys)
    bench.tables.key("user0", keys[0])  # the same key, hashed anew: OpenAlgo made it anew
    bench.tables.no_key("user1")
    assert bench.look()
    assert not bench.verifier.stands(changes)
    assert not bench.verifier.stands(goes)
    assert bench.verifier.stands(stays)


def test_rule_5_a_grant_ends_when_the_broker_is_another_one(bench: Bench) -> None:
    bench.add()
    grant = bench.log_in()
    bench.tables.login("alice", "angel")
    assert bench.look()
    assert not bench.verifier.stands(grant)


@pytest.mark.parametrize("after", ["revoked", "revoked at another", "none"])
def test_rule_5_a_login_that_is_gone_ends_no_grant(bench: Bench, after: str) -> None:
    bench.add()
    grant = bench.log_in()
    if after == "none":
        bench.tables.run("DELETE FROM auth")
    else:
        bench.tables.login("alice", "zerodha" if after == "revoked" else "angel", revoked=True)
    assert bench.look()
    assert bench.verifier.stands(grant)
    bench.tables.login("alice", "zerodha")
    assert bench.look()
    assert bench.verifier.stands(grant)


def test_rule_5_a_login_that_appears_ends_no_grant_that_had_none(bench: Bench) -> None:
    bench.tables.key("alice", KEY)
    grant = bench.log_in()
    bench.tables.login("alice", "angel")
    assert bench.look()
    assert bench.verifier.stands(grant)


def test_rule_5_no_key_is_good_while_the_database_is_unusable_and_no_grant_ends(
    bench: Bench,
) -> None:
    grant = bench.log_in_before_trouble()
    assert bench.verifier.stands(grant)
    for _ in range(2):
        with pytest.raises(KeyStoreError, match="not a database"):
            bench.ask()
    assert repr(bench.verifier) == "<OpenAlgoVerifier 1 keys, unreadable>"
    bench.repair()
    bench.later()
    assert bench.ask() == ALICE
    assert bench.verifier.stands(grant)


def test_rule_5_a_key_deleted_while_the_database_could_not_be_read_ends_after_it(
    bench: Bench,
) -> None:
    grant = bench.log_in_before_trouble()
    bench.repair()
    bench.tables.no_key("alice")
    assert bench.look()
    assert not bench.verifier.stands(grant)


def test_rule_5_nothing_ends_before_the_first_read(bench: Bench) -> None:
    bench.add()
    grant = bench.log_in()
    fresh = OpenAlgoVerifier(bench.verifier._database, PEPPER, CACHE_S)
    assert fresh.stands(grant)
    fresh.close()


def test_a_grant_of_somebody_else_does_not_stand(bench: Bench) -> None:
    bench.add()
    bench.ask()
    assert not bench.verifier.stands(Grant(ALICE, "hub"))


# The end.


def test_after_close_no_one_is_answered_and_no_one_hangs(bench: Bench, work: Work) -> None:
    async def scenario() -> None:
        work.hold()
        waits = [start(bench.verifier.grant(key)) for key in (KEY, WRONG)]
        await work.held()
        bench.verifier.close()
        work.release()
        ends = await asyncio.gather(*waits, return_exceptions=True)
        assert all(isinstance(end, KeyStoreError | asyncio.CancelledError) for end in ends)
        bench.later(CACHE_S)
        with pytest.raises(KeyStoreError, match="leaving"):
            await bench.verifier.grant(KEY)
        bench.verifier.changed()

    bench.add()
    asyncio.run(scenario())


def test_the_repr_is_the_status_line(bench: Bench) -> None:
    assert repr(bench.verifier) == "<OpenAlgoVerifier 0 keys, unreadable>"
    bench.add()
    bench.ask()
    assert repr(bench.verifier) == "<OpenAlgoVerifier 1 keys>"


# Histories.

USERS = ("ann", "bob", "cy")
BROKERS = ("angel", "zerodha")
users = st.sampled_from(USERS)
steps = st.one_of(
    st.tuples(st.sampled_from(["key", "no key", "revoke", "ask", "ask wrong"]), users),
    st.tuples(st.sampled_from(BROKERS), users),
    st.tuples(st.just("wait"), st.sampled_from([0.3, 0.5, 1.0, 10.0])),
    st.tuples(st.just("forget"), st.none()),
)


class Model:
    """What is in the database, what of it was seen at the last look, and who came by it."""

    def __init__(self) -> None:
        self.keys: dict[str, str] = {}  # the last key of each user, also when deleted
        self.live: dict[str, str] = {}  # keys in the database
        self.logins: dict[str, str] = {}
        self.seen: dict[str, tuple[str, str]] = {}  # key and broker of each user
        self.grants: list[tuple[str, Grant]] = []  # with its key
        self.next_look = 0.0
        self._serial = itertools.count()

    def change(self, tables: Tables, verb: str, user: str) -> None:
        """Do it to the database and to the model."""
        if verb == "key":
            self.keys[user] = self.live[user] = f"{user}{next(self._serial)}"
            tables.key(user, self.keys[user])
        elif verb == "no key":
            tables.no_key(user)
            self.live.pop(user, None)
        elif verb == "revoke":
            tables.revoke(user)
            self.logins.pop(user, None)
        else:
            tables.login(user, verb)
            self.logins[user] = verb

    def ask(self, bench: Bench, user: str, key: str) -> None:
        """Ask with this key, and hold every answer to the model's."""
        if bench.now >= self.next_look:
            self.seen = {user: (key, self.logins.get(user, "")) for user, key in self.live.items()}
            self.next_look = bench.now + LOOK_S
        grant = asyncio.run(bench.verifier.grant(key))
        its_key, broker = self.seen.get(user, ("", ""))
        assert (grant and grant.identity) == (Identity(user, broker) if its_key == key else None)
        if grant:
            self.grants.append((key, grant))
        for old_key, old in self.grants:
            assert bench.verifier.stands(old) == self.stands(old_key, old.identity)

    def stands(self, key: str, identity: Identity) -> bool:
        """Rule 5."""
        its_key, broker = self.seen.get(identity.user, ("", ""))
        return its_key == key and (not identity.broker or broker in {"", identity.broker})


@settings(max_examples=40)
@given(st.lists(steps, max_size=30))
def test_any_history_is_answered_as_by_reading_the_rows_once_a_second(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[str, Any]]
) -> None:
    bench, model = Bench(tmp_path_factory.mktemp("openalgo")), Model()
    for verb, what in history:
        if verb == "wait":
            bench.later(what)
        elif verb == "forget":
            bench.verifier.forget()
            model.next_look = 0.0
        elif not verb.startswith("ask"):
            model.change(bench.tables, verb, what)
        elif what in model.keys:
            model.ask(bench, what, WRONG if verb == "ask wrong" else model.keys[what])
    bench.verifier.close()
