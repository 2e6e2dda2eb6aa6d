"""Whose key it is, and for how long: the file decides, and is looked at seldom."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.auth.keystore import KeyStore
from hub.auth.records import id_of
from hub.auth.verifier import LOOK_S, Grant, Verifier
from hub.core.errors import KeyStoreError
from hub.core.model import Identity

ALICE = Identity("alice", "zerodha")
UNKNOWN = "hub_00000000_" + "x" * 43
CACHE_S = 10.0
_changes = itertools.count(1)


class Bench:
    """A store, a verifier on it, and its clock."""

    def __init__(self, directory: Path, cache_s: float = CACHE_S) -> None:
        self.now = 1000.0
        self.store = KeyStore(directory / "keys.json")
        self.verifier = Verifier(self.store.path, cache_s, lambda: self.now)

    def add(self, name: str = "algo", user: str = "alice") -> str:
        """Add a key."""
        key = self.store.add(name, user, "zerodha", now=0)
        self.changed()
        return key

    def revoke(self, name: str = "algo") -> None:
        """Revoke a key."""
        self.store.revoke(name)
        self.changed()

    def write(self, content: bytes) -> None:
        """Put something else in the file."""
        self.store.path.write_bytes(content)
        self.changed()

    def changed(self) -> None:
        """Give the file a time of its own: a test changes it twice within one tick of the disk."""
        os.utime(self.store.path, ns=(0, next(_changes)))

    def ask(self, key: str) -> Identity | None:
        """Verify one key."""
        grant = asyncio.run(self.verifier.grant(key))
        return grant.identity if grant else None

    def log_in(self, key: str) -> Grant:
        """What a good key gives."""
        grant = asyncio.run(self.verifier.grant(key))
        assert grant is not None
        return grant

    def later(self, seconds: float = LOOK_S) -> None:
        """Let time pass."""
        self.now += seconds


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A bench in a directory of its own."""
    return Bench(tmp_path)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[KeyStore]:
    """Each stat of the file."""
    found: list[KeyStore] = []
    stat = KeyStore.stamp

    def look(store: KeyStore) -> object:
        found.append(store)
        return stat(store)

    monkeypatch.setattr(KeyStore, "stamp", look)
    return found


def wrong(key: str) -> str:
    """Another key with the same id."""
    return f"{key[:13]}{0:043d}"


def test_a_key_is_its_users_and_a_wrong_one_is_no_ones(bench: Bench) -> None:
    key = bench.add()
    assert bench.ask(key) == ALICE
    assert bench.ask(wrong(key)) is None


@pytest.mark.parametrize("key", [UNKNOWN, "", "nonsense", "hub_", "x" * 100_000, "\ud800"])
def test_a_malformed_or_unknown_key_is_no_ones(bench: Bench, key: str) -> None:
    bench.add()
    assert bench.ask(key) is None


def test_without_a_file_no_key_is_good(bench: Bench) -> None:
    assert bench.ask(UNKNOWN) is None
    assert not bench.store.path.exists()


def test_a_grant_names_the_key_and_not_its_secret(bench: Bench) -> None:
    key = bench.add()
    grant = bench.log_in(key)
    assert (grant.identity, grant.key_id) == (ALICE, id_of(key))
    assert key[13:] not in repr(grant)
    assert bench.store.load().entries[id_of(key)].hash not in repr(grant)


def test_rule_1_a_revoked_key_works_no_longer_than_the_next_look(bench: Bench) -> None:
    key = bench.add()
    assert bench.ask(key) == ALICE
    bench.revoke()
    bench.later()
    assert bench.ask(key) is None


def test_rule_1_a_file_that_appears_is_found(bench: Bench) -> None:
    assert bench.ask(UNKNOWN) is None
    key = bench.add()
    assert bench.ask(key) is None
    bench.later()
    assert bench.ask(key) == ALICE


def test_rule_1_a_file_that_disappears_takes_its_keys_along(bench: Bench) -> None:
    key = bench.add()
    bench.ask(key)
    bench.store.path.unlink()
    bench.later()
    assert bench.ask(key) is None


def test_rule_1_the_file_is_looked_at_once_a_second_however_many_ask(
    bench: Bench, looks: list[KeyStore]
) -> None:
    key = bench.add()
    bench.ask(key)
    for _ in range(4):
        bench.later()
        for asked in [key, wrong(key), UNKNOWN] * 5:
            bench.ask(asked)
    assert len(looks) == 4


def test_a_file_that_did_not_change_is_not_read_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = bench.add()
    bench.ask(key)
    monkeypatch.setattr(KeyStore, "load", lambda _: pytest.fail("read again"))
    bench.later(60)
    assert bench.ask(key) == ALICE
    bench.verifier.changed()
    assert not bench.verifier.changed()


def test_a_grant_stands_while_its_entry_does(bench: Bench) -> None:
    grant = bench.log_in(bench.add())
    bench.add("another", "bob")
    bench.later()
    bench.ask(UNKNOWN)
    assert bench.verifier.stands(grant)
    bench.revoke("another")
    bench.later()
    bench.ask(UNKNOWN)
    assert bench.verifier.stands(grant)


def test_a_grant_ends_when_its_key_is_revoked_and_others_stay(bench: Bench) -> None:
    keys = bench.add(), bench.add("another", "bob")
    ends, stays = map(bench.log_in, keys)
    bench.revoke()
    bench.later(CACHE_S)
    assert bench.verifier.changed()
    assert not bench.verifier.stands(ends)
    assert bench.verifier.stands(stays)


def test_a_key_with_the_same_id_but_another_owner_is_not_taken_for_the_old(bench: Bench) -> None:
    """Who gives a key to somebody else expects that whoever came as the first one leaves."""
    grant = bench.log_in(bench.add())
    bench.write(bench.store.path.read_bytes().replace(b"alice", b"mallory"))
    bench.later(CACHE_S)
    assert bench.verifier.changed()
    assert not bench.verifier.stands(grant)


def test_a_name_added_anew_does_not_bring_the_old_grant_back(bench: Bench) -> None:
    grant = bench.log_in(bench.add())
    bench.revoke()
    bench.add()
    bench.later(CACHE_S)
    assert bench.verifier.changed()
    assert not bench.verifier.stands(grant)


@pytest.mark.parametrize("cache_s", [1.0, 2.0, CACHE_S, 60.0])
def test_rule_1_asked_once_a_second_a_change_is_told_within_cache_s(
    tmp_path: Path, cache_s: float
) -> None:
    """`hub keys revoke` promises it, whenever in between the key was revoked."""
    bench = Bench(tmp_path, cache_s)
    bench.add("first")
    for delay_s in range(int(cache_s) + 2):
        bench.verifier.changed()
        for _ in range(delay_s):
            bench.later()
            bench.verifier.changed()
        bench.add(f"added after {delay_s}")
        told = next(second for second in itertools.count(1) if _told_after_a_second(bench))
        assert told <= cache_s


def _told_after_a_second(bench: Bench) -> bool:
    bench.later()
    return bench.verifier.changed()


def test_a_change_is_told_once_and_then_no_more(bench: Bench) -> None:
    bench.add()
    assert bench.verifier.changed()
    for _ in range(30):
        bench.later()
        assert not bench.verifier.changed()


def test_a_change_that_a_log_in_saw_first_is_told_at_once(bench: Bench) -> None:
    key = bench.add()
    grant = bench.log_in(key)
    bench.verifier.changed()
    bench.revoke()
    bench.later()
    assert bench.ask(key) is None
    assert bench.verifier.changed()
    assert not bench.verifier.stands(grant)


def test_changed_looks_no_more_often_than_it_must(bench: Bench, looks: list[KeyStore]) -> None:
    bench.add()
    bench.verifier.changed()
    for _ in range(30):
        bench.later()
        bench.verifier.changed()
    assert len(looks) == 6


def test_rule_2_no_key_is_good_while_the_file_is_unusable_and_all_are_again_after(
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


@pytest.mark.parametrize("trouble", ["damaged", "open to others", "moved away"])
def test_rule_2_a_file_that_cannot_be_read_ends_no_grant(bench: Bench, trouble: str) -> None:
    """A slip of an editor must not throw every client out of a running market."""
    path = bench.store.path
    grant = bench.log_in(bench.add())
    good = path.read_bytes()
    if trouble == "damaged":
        bench.write(b"{")
    elif trouble == "open to others":
        path.chmod(0o644)
        bench.changed()
    else:
        path.unlink()
    bench.later(CACHE_S)
    bench.verifier.changed()
    assert bench.verifier.stands(grant)
    path.touch(0o600)
    path.chmod(0o600)
    bench.write(good)
    bench.later(CACHE_S)
    bench.verifier.changed()
    assert bench.verifier.stands(grant)
    bench.revoke()
    bench.later(CACHE_S)
    assert bench.verifier.changed()
    assert not bench.verifier.stands(grant)


def test_rule_2_a_key_revoked_while_the_file_could_not_be_read_ends_after_it(
    bench: Bench,
) -> None:
    grant = bench.log_in(bench.add())
    good = bench.store.path.read_bytes()
    bench.write(b"{")
    bench.later(CACHE_S)
    bench.verifier.changed()
    bench.write(good)
    bench.revoke()
    bench.later(CACHE_S)
    assert bench.verifier.changed()
    assert not bench.verifier.stands(grant)


def test_forget_makes_the_next_question_look(bench: Bench) -> None:
    key = bench.add()
    grant = bench.log_in(key)
    bench.verifier.changed()
    bench.revoke()
    assert bench.ask(key) == ALICE
    assert not bench.verifier.changed()
    bench.verifier.forget()
    assert bench.verifier.changed()
    assert not bench.verifier.stands(grant)
    assert bench.ask(key) is None


def test_forget_makes_the_next_log_in_look(bench: Bench) -> None:
    key = bench.add()
    bench.ask(key)
    bench.revoke()
    bench.verifier.forget()
    assert bench.ask(key) is None


def test_rule_3_no_key_and_no_hash_is_kept_or_told(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    key = bench.add()
    kept_hash = bench.store.load().entries[id_of(key)].hash
    caplog.set_level(logging.DEBUG)
    for asked in (key, wrong(key)):
        asyncio.run(bench.verifier.grant(asked), debug=True)
    told = f"{bench.verifier!r} {vars(bench.verifier)!r} {caplog.text}"
    for secret in (key, key[13:], wrong(key), kept_hash):
        assert secret not in told


def test_the_repr_is_the_status_line(bench: Bench) -> None:
    assert repr(bench.verifier) == "<Verifier 0 keys, unreadable>"
    bench.ask(bench.add())
    assert repr(bench.verifier) == "<Verifier 1 keys>"


names = st.sampled_from("abc")
steps = st.one_of(
    st.tuples(st.sampled_from(["add", "revoke", "ask", "ask wrong"]), names),
    st.tuples(st.just("wait"), st.sampled_from([0.3, 0.5, 1.0, 10.0])),
    st.tuples(st.just("forget"), st.none()),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=30))
def test_any_history_is_answered_as_by_reading_the_file_once_a_second(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[str, Any]]
) -> None:
    bench = Bench(tmp_path_factory.mktemp("verifier"))
    keys: dict[str, str] = {}  # the last key of each name, also when revoked
    live: dict[str, str] = {}  # keys in the file
    seen: set[str] = set()  # keys in the file at the last look
    grants: dict[str, Grant] = {}  # by key
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
            next_look = 0.0
        elif verb.startswith("ask") and what in keys:
            if bench.now >= next_look:
                seen, next_look = set(live.values()), bench.now + LOOK_S
            key = wrong(keys[what]) if verb == "ask wrong" else keys[what]
            assert bench.ask(key) == (ALICE if key in seen else None)
            if key in seen:
                grants[key] = bench.log_in(key)
            for old, grant in grants.items():
                assert bench.verifier.stands(grant) == (old in seen)
