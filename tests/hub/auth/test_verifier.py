"""Whose key it is, with as little argon2 as can be: counted, never timed."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import argon2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.auth.keystore import KeyStore
from hub.auth.records import id_of
from hub.auth.verifier import LOOK_S, Verifier
from hub.core.errors import KeyStoreError
from hub.core.model import Identity

ALICE = Identity("alice", "zerodha")
UNKNOWN = "hub_00000000_" + "x" * 43
_changes = itertools.count(1)


class Hasher:
    """Counts its calls and costs nothing; `threads` are those it was called in."""

    def __init__(self) -> None:
        self.calls = 0
        self.threads: set[int] = set()

    def hash(self, password: str, /) -> str:
        """Something that looks like argon2's."""
        return "$argon2id$" + hashlib.sha256(password.encode()).hexdigest()

    def verify(self, encoded: str, password: str, /) -> bool:
        """Compare as argon2 does."""
        self.calls += 1
        self.threads.add(threading.get_ident())
        if len(encoded) < 70:
            raise argon2.exceptions.InvalidHashError
        if encoded != self.hash(password):
            raise argon2.exceptions.VerifyMismatchError
        return True


class ByHand(Executor):
    """An executor whose work is done when the test says so, unless `at_once`."""

    def __init__(self, *, at_once: bool) -> None:
        self.at_once = at_once
        self.queue: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self.ended = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queue the work."""
        future: Future[Any] = Future()
        self.queue.append((future, lambda: fn(*args, **kwargs)))
        if self.at_once:
            self.work()
        return future

    def work(self) -> None:
        """Do all that is queued."""
        while self.queue:
            future, function = self.queue.popleft()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except KeyStoreError as error:
                    future.set_exception(error)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Note it."""
        self.ended = True


class Bench:
    """A store, a verifier on it, and the clock, the hasher and the executor it was given."""

    def __init__(self, directory: Path, *, at_once: bool = True, **options: Any) -> None:
        self.now = 1000.0
        self.hasher = Hasher()
        self.executor = ByHand(at_once=at_once)
        self.store = KeyStore(directory / "keys.json", self.hasher)
        self.verifier = Verifier(
            self.store.path,
            options.pop("cache_s", 60.0),
            self.executor,
            lambda: self.now,
            hasher=self.hasher,
            **options,
        )

    def add(self, name: str = "algo", user: str = "alice") -> str:
        """Add a key."""
        key = self.store.add(name, user, "zerodha", now=0)
        self.changed()
        return key

    def revoke(self, name: str = "algo") -> None:
        """Revoke a key."""
        self.store.revoke(name)
        self.changed()

    def changed(self) -> None:
        """Give the file a time of its own: a test changes it twice within one tick of the disk."""
        os.utime(self.store.path, ns=(0, next(_changes)))

    def ask(self, key: str) -> Identity | None:
        """Verify one key in a loop of its own."""
        return asyncio.run(self.verifier.verify(key))

    def later(self, seconds: float = LOOK_S) -> None:
        """Let time pass."""
        self.now += seconds


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A bench whose executor works at once."""
    return Bench(tmp_path)


@pytest.fixture
def slow(tmp_path: Path) -> Bench:
    """A bench whose executor works by hand; at most 3 verifications wait."""
    return Bench(tmp_path, at_once=False, max_waiting=3)


def wrong(key: str, number: int = 0) -> str:
    """Another key with the same id."""
    return f"{key[:13]}{number:043d}"


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine; one that hangs fails, and so does an error in a callback."""
    errors: list[dict[str, Any]] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, error: errors.append(error))
        await asyncio.wait_for(test, 30)

    asyncio.run(watched())
    assert errors == []


async def begin(bench: Bench, *keys: str) -> list[asyncio.Task[Identity | None]]:
    """Start a verify for each key, until each of them waits or is done."""
    tasks = [asyncio.create_task(bench.verifier.verify(key)) for key in keys]
    begun = asyncio.Event()
    asyncio.get_running_loop().call_soon(begun.set)  # after the first step of each task
    await begun.wait()
    return tasks


def test_a_key_is_its_users_and_a_wrong_one_is_no_ones(bench: Bench) -> None:
    key = bench.add()
    assert bench.ask(key) == ALICE
    assert bench.ask(wrong(key)) is None


def test_without_a_file_no_key_is_good(bench: Bench) -> None:
    assert bench.ask(UNKNOWN) is None


def test_rule_1_any_number_who_ask_at_once_cost_one_argon2(slow: Bench) -> None:
    key = slow.add()

    async def test() -> None:
        tasks = await begin(slow, *[key] * 500)
        slow.executor.work()
        assert await asyncio.gather(*tasks) == [ALICE] * 500

    run(test())
    assert slow.hasher.calls == 1


def test_rule_1_argon2_never_runs_in_the_loops_thread(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    key = bench.add()
    verifier = Verifier(bench.store.path, 60, hasher=bench.hasher)
    assert asyncio.run(verifier.verify(key)) == ALICE
    assert bench.hasher.threads
    assert threading.get_ident() not in bench.hasher.threads
    verifier.close()


def test_rule_1_a_waiter_that_leaves_takes_no_one_along(slow: Bench) -> None:
    key = slow.add()

    async def test() -> None:
        first, second = await begin(slow, key, key)
        first.cancel()
        await asyncio.wait([first])
        slow.executor.work()
        assert await second == ALICE
        assert first.cancelled()

    run(test())


@pytest.mark.parametrize("key", [UNKNOWN, "", "nonsense", "hub_", "x" * 100_000, "\ud800"])
def test_rule_2_a_malformed_or_unknown_key_costs_no_argon2(bench: Bench, key: str) -> None:
    bench.add()
    assert bench.ask(key) is None
    assert bench.hasher.calls == 0
    assert not bench.executor.queue


def test_rule_2_of_a_flood_only_so_many_wait_and_the_rest_is_refused_at_once(
    slow: Bench,
) -> None:
    key = slow.add()

    async def test() -> None:
        tasks = await begin(slow, *(wrong(key, number) for number in range(50)), key)
        assert len(slow.executor.queue) == 3
        assert await asyncio.gather(*tasks[3:]) == [None] * 48
        slow.executor.work()
        assert await asyncio.gather(*tasks[:3]) == [None] * 3

    run(test())
    assert slow.verifier.overrun == 48
    assert slow.hasher.calls == 3


def test_rule_2_a_key_refused_in_a_flood_is_good_after_it(slow: Bench) -> None:
    key = slow.add()

    async def test() -> None:
        tasks = await begin(slow, *(wrong(key, number) for number in range(3)), key)
        assert await tasks[3] is None
        slow.executor.work()
        await asyncio.gather(*tasks)
        again = (await begin(slow, key))[0]
        slow.executor.work()
        assert await again == ALICE

    run(test())


def test_rule_2_forgetting_makes_no_room_for_more(slow: Bench) -> None:
    key = slow.add()

    async def test() -> None:
        tasks = await begin(slow, *(wrong(key, number) for number in range(3)))
        slow.verifier.forget()
        tasks += await begin(slow, key)
        assert await tasks[3] is None
        slow.executor.work()
        await asyncio.gather(*tasks)

    run(test())


@pytest.mark.parametrize("good", [True, False])
def test_an_answer_is_remembered_for_cache_s_and_no_longer(bench: Bench, good: bool) -> None:
    key = bench.add()
    asked, answer = (key, ALICE) if good else (wrong(key), None)
    for wait_s, calls in ((0, 1), (59.9, 1), (0.1, 2), (59.9, 2)):
        bench.later(wait_s)
        assert bench.ask(asked) == answer
        assert bench.hasher.calls == calls
    assert bench.verifier.remembered == 2


def test_with_a_cache_of_zero_nothing_is_remembered(tmp_path: Path) -> None:
    bench = Bench(tmp_path, cache_s=0.0)
    key = bench.add()
    assert [bench.ask(key), bench.ask(key)] == [ALICE, ALICE]
    assert bench.hasher.calls == 2
    assert "0 answers" in repr(bench.verifier)


def test_no_more_than_max_answers_are_remembered_and_the_oldest_goes(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_answers=2)
    key = bench.add()
    for number in range(3):
        bench.ask(wrong(key, number))
    assert "2 answers" in repr(bench.verifier)
    for number, calls in ((1, 3), (2, 3), (0, 4), (2, 4), (1, 5)):
        bench.ask(wrong(key, number))
        assert bench.hasher.calls == calls


def test_an_answer_given_anew_counts_as_young(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_answers=3)
    key = bench.add()
    bench.ask(wrong(key, 0))
    bench.ask(wrong(key, 1))
    bench.later(60)
    for number in (0, 2, 3):  # 3 puts 1 out, not 0
        bench.ask(wrong(key, number))
    calls = bench.hasher.calls
    bench.ask(wrong(key, 0))
    assert bench.hasher.calls == calls


def test_rule_3_a_revoked_key_works_no_longer_than_the_next_look(bench: Bench) -> None:
    key = bench.add()
    assert bench.ask(key) == ALICE
    bench.revoke()
    bench.later()
    assert bench.ask(key) is None


def test_rule_3_a_key_revoked_while_it_is_verified_is_no_longer_good(slow: Bench) -> None:
    key = slow.add()

    async def test() -> None:
        tasks = await begin(slow, key)
        slow.revoke()
        slow.later()
        slow.executor.work()
        assert await tasks[0] is None

    run(test())


def test_rule_3_an_answer_for_the_file_before_a_change_is_not_remembered(slow: Bench) -> None:
    key = slow.add()

    async def test() -> None:
        tasks = await begin(slow, key)
        slow.revoke()
        slow.later()
        assert await slow.verifier.verify(UNKNOWN) is None  # looks at the file
        slow.executor.work()
        assert await tasks[0] is None

    run(test())
    assert "0 keys, 0 answers, 0 waiting" in repr(slow.verifier)


def test_rule_3_a_key_that_stays_is_good_although_the_file_changed_meanwhile(slow: Bench) -> None:
    key = slow.add()

    async def test() -> None:
        tasks = await begin(slow, key)
        slow.add("another")
        slow.later()
        slow.executor.work()
        assert await tasks[0] == ALICE

    run(test())


def test_rule_3_a_key_with_the_same_id_but_another_owner_is_not_taken_for_the_old(
    slow: Bench,
) -> None:
    key = slow.add()

    async def test() -> None:
        tasks = await begin(slow, key)
        text = slow.store.path.read_text().replace("alice", "mallory")
        slow.store.path.write_text(text)
        slow.changed()
        slow.later()
        slow.executor.work()
        assert await tasks[0] is None

    run(test())


def test_rule_3_a_change_drops_every_answer(bench: Bench) -> None:
    key = bench.add()
    bench.ask(key)
    other = bench.add("other", "bob")
    bench.later()
    assert bench.ask(other) == Identity("bob", "zerodha")
    assert bench.ask(key) == ALICE
    assert bench.hasher.calls == 3


def test_the_file_is_looked_at_once_a_second_however_many_ask(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = bench.add()
    looks: list[KeyStore] = []
    stat = KeyStore.stamp

    def look(store: KeyStore) -> object:
        looks.append(store)
        return stat(store)

    monkeypatch.setattr(KeyStore, "stamp", look)
    for _ in range(4):
        for asked in [key, wrong(key), UNKNOWN] * 5:
            bench.ask(asked)
        bench.later()
    assert len(looks) == 4


def test_a_file_that_did_not_change_is_not_read_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = bench.add()
    bench.ask(key)
    monkeypatch.setattr(KeyStore, "load", lambda _: pytest.fail("read again"))
    bench.later()
    assert bench.ask(key) == ALICE


def test_a_file_that_appears_is_found(bench: Bench) -> None:
    assert bench.ask(UNKNOWN) is None
    key = bench.add()
    assert bench.ask(key) is None
    bench.later()
    assert bench.ask(key) == ALICE


def test_a_file_that_disappears_takes_its_keys_along(bench: Bench) -> None:
    key = bench.add()
    bench.ask(key)
    bench.store.path.unlink()
    bench.later()
    assert bench.ask(key) is None


def test_no_key_is_good_while_the_file_is_unusable_and_all_are_again_after(
    bench: Bench,
) -> None:
    key = bench.add()
    bench.ask(key)
    bench.store.path.chmod(0o644)
    bench.changed()
    bench.later()
    for _ in range(2):
        with pytest.raises(KeyStoreError, match="chmod 600"):
            bench.ask(key)
    assert "unreadable" in repr(bench.verifier)
    bench.store.path.chmod(0o600)
    bench.later()
    assert bench.ask(key) == ALICE


def test_a_file_damaged_while_a_key_is_verified_fails_that_one_too(slow: Bench) -> None:
    key = slow.add()

    async def test() -> None:
        tasks = await begin(slow, key)
        slow.store.path.write_bytes(b"{")
        slow.later()
        slow.executor.work()
        with pytest.raises(KeyStoreError, match="damaged"):
            await tasks[0]

    run(test())


def test_a_hash_that_is_no_good_is_an_error_that_names_the_key_and_is_not_remembered(
    bench: Bench,
) -> None:
    key = bench.add()
    entry = bench.store.load().entries[id_of(key)]
    text = bench.store.path.read_text().replace(entry.hash, entry.hash[:40])
    bench.store.path.write_text(text)
    for calls in (1, 2):
        with pytest.raises(KeyStoreError, match="hash of key 'algo'") as caught:
            bench.ask(key)
        assert entry.hash[:40] not in str(caught.value)
        assert bench.hasher.calls == calls


def test_forget_drops_what_is_remembered(bench: Bench) -> None:
    key = bench.add()
    bench.ask(key)
    bench.verifier.forget()
    assert bench.ask(key) == ALICE
    assert bench.hasher.calls == 2


def test_forget_drops_what_is_being_worked_out_but_leaves_no_one_waiting(slow: Bench) -> None:
    key = slow.add()

    async def test() -> None:
        before = await begin(slow, key)
        slow.verifier.forget()
        after = await begin(slow, key)
        assert len(slow.executor.queue) == 2
        slow.executor.work()
        assert await asyncio.gather(*before, *after) == [ALICE, ALICE]

    run(test())
    assert "1 answers, 0 waiting" in repr(slow.verifier)


def test_close_leaves_no_one_waiting_and_verifies_nothing_more(slow: Bench) -> None:
    key = slow.add()

    async def test() -> None:
        tasks = await begin(slow, key, wrong(key))
        slow.verifier.close()
        assert await asyncio.gather(*tasks) == [None, None]
        assert await slow.verifier.verify(key) is None
        slow.verifier.close()

    run(test())
    slow.executor.work()
    assert slow.hasher.calls == 0


def test_close_ends_the_threads_it_started_and_no_others(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.verifier.close()
    assert not bench.executor.ended
    own = Verifier(bench.store.path, 60, hasher=bench.hasher)
    key = bench.add()
    assert asyncio.run(own.verify(key)) == ALICE
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("hub-auth")]
    own.close()
    for thread in threads:
        thread.join(30)
    assert threads
    assert not any(thread.is_alive() for thread in threads)


def test_rule_4_no_key_and_no_hash_is_kept_or_told(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    key = bench.add()
    encoded = bench.store.load().entries[id_of(key)].hash
    caplog.set_level(logging.DEBUG)
    asyncio.run(bench.verifier.verify(key), debug=True)
    asyncio.run(bench.verifier.verify(wrong(key)), debug=True)
    assert "2 answers" in repr(bench.verifier)
    told = f"{bench.verifier!r} {vars(bench.verifier)!r} {caplog.text}"
    for secret in (key, key[13:], wrong(key), encoded, encoded[10:]):
        assert secret not in told


def test_rule_4_what_is_remembered_is_keyed_afresh_in_each_process(tmp_path: Path) -> None:
    one, other = Bench(tmp_path), Bench(tmp_path)
    key = one.add()
    assert one.ask(key) == other.ask(key) == ALICE
    kept = [set(vars(bench.verifier)["_answers"]) for bench in (one, other)]
    assert all(kept)
    assert kept[0].isdisjoint(kept[1])


def test_with_the_real_argon2(tmp_path: Path) -> None:
    cheap = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    key = KeyStore(tmp_path / "keys.json", cheap).add("algo", "alice", "zerodha", now=0)
    verifier = Verifier(tmp_path / "keys.json", 60)

    async def test() -> None:
        keys = [key, wrong(key), key, UNKNOWN]
        answers = await asyncio.gather(*map(verifier.verify, keys))
        assert answers == [ALICE, None, ALICE, None]

    run(test())
    assert verifier.checked == 2
    verifier.close()


def test_the_repr_is_the_status_line(bench: Bench) -> None:
    key = bench.add()
    for asked in (key, key, wrong(key), UNKNOWN):
        bench.ask(asked)
    assert repr(bench.verifier) == (
        "<Verifier 1 keys, 2 answers, 0 waiting, 2 checked, 1 remembered, 0 overrun>"
    )


names = st.sampled_from("abc")
steps = st.one_of(
    st.tuples(st.just("add"), names),
    st.tuples(st.just("revoke"), names),
    st.tuples(st.just("ask"), names),
    st.tuples(st.just("ask wrong"), names),
    st.tuples(st.just("wait"), st.sampled_from([0.3, 0.5, 1.0, 60.0])),
    st.tuples(st.just("forget"), st.none()),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=30))
def test_any_history_is_answered_as_by_reading_the_file_once_a_second(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[str, Any]]
) -> None:
    bench = Bench(tmp_path_factory.mktemp("verifier"), max_answers=2)
    keys: dict[str, str] = {}  # the last key of each name, also when revoked
    live: dict[str, str] = {}  # keys in the file
    seen: set[str] = set()  # keys in the file at the last look
    next_look = 0.0
    for verb, what in history:
        if verb == "add" and what not in live:
            keys[what] = live[what] = bench.add(what)
        elif verb == "revoke" and what in live:
            bench.revoke(what)
            del live[what]
        elif verb == "wait":
            bench.later(what)
        elif verb == "forget":
            bench.verifier.forget()
        elif verb.startswith("ask") and what in keys:
            if bench.now >= next_look:
                seen, next_look = set(live.values()), bench.now + LOOK_S
            key = wrong(keys[what]) if verb == "ask wrong" else keys[what]
            assert bench.ask(key) == (ALICE if key in seen else None)
