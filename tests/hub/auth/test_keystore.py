"""API keys in a file: shown once, kept as hashes, lost by no accident."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.auth.keystore import KeyStore, default_path
from hub.auth.records import KeyRecord, id_of
from hub.core.errors import KeyStoreError

NOW = 1_700_000_000.75


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    """An empty store."""
    return KeyStore(tmp_path / "room" / "keys.json")


def add(store: KeyStore, name: str = "algo") -> str:
    """Add a key as most tests do."""
    return store.add(name, "alice", "zerodha", now=NOW)


def test_rule_1_a_key_is_returned_once_and_the_file_holds_only_its_hash(store: KeyStore) -> None:
    key = add(store)
    assert re.fullmatch(r"hub_[0-9a-f]{8}_[A-Za-z0-9_-]{43}", key)
    text = store.path.read_text()
    assert key not in text
    assert key[13:] not in text
    assert store.load().entries[id_of(key)].is_of(key)


def test_each_key_has_a_salt_of_its_own(store: KeyStore) -> None:
    add(store, "one")
    add(store, "two")
    salts = {entry.salt for entry in store.load().entries.values()}
    assert len(salts) == 2


def test_a_record_tells_whose_key_it_is_and_when_it_was_made(store: KeyStore) -> None:
    key = add(store)
    assert store.list() == [KeyRecord(id_of(key), "algo", "alice", "zerodha", 1_700_000_000)]


def test_no_two_keys_are_alike(store: KeyStore) -> None:
    keys = {add(store, f"key {number}") for number in range(20)}
    assert len({id_of(key) for key in keys}) == 20
    assert len({key[13:] for key in keys}) == 20


def test_an_id_that_is_taken_is_not_given_again(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter(["0000000a", "0000000a", "0000000a", "0000000b"])
    monkeypatch.setattr("secrets.token_hex", lambda _: next(drawn))
    assert [id_of(add(store, "one")), id_of(add(store, "two"))] == ["0000000a", "0000000b"]


def test_no_file_is_an_empty_store_and_asking_makes_none(store: KeyStore) -> None:
    assert store.list() == []
    assert not store.path.parent.exists()


def test_a_name_that_is_taken_is_refused_and_the_one_that_has_it_described(
    store: KeyStore,
) -> None:
    key = store.add("my algo", "alice", "zerodha", now=NOW)
    with pytest.raises(KeyStoreError) as caught:
        store.add("my algo", "bob", "angel", now=NOW)
    assert f"id {id_of(key)}, user 'alice', broker 'zerodha'" in str(caught.value)
    assert "`hub keys revoke 'my algo'`" in str(caught.value)
    assert [record.user for record in store.list()] == ["alice"]


@pytest.mark.parametrize("field", ["name", "user", "broker"])
@pytest.mark.parametrize("bad", ["", "x" * 65, "a\nb", " a"])
def test_name_user_and_broker_are_checked_before_anything_is_made(
    store: KeyStore, field: str, bad: str
) -> None:
    given_texts = {"name": "n", "user": "u", "broker": "b"} | {field: bad}
    with pytest.raises(KeyStoreError, match=f"the {field} "):
        store.add(**given_texts, now=NOW)
    assert not store.path.exists()


def test_a_key_given_for_a_name_is_not_repeated(store: KeyStore) -> None:
    key = add(store)
    for act in (store.revoke, lambda name: store.add(name, "u", "b", now=NOW)):
        with pytest.raises(KeyStoreError) as caught:
            act(key)
        assert key[13:] not in str(caught.value)
    assert len(store.list()) == 1


def test_revoke_deletes_one_key_and_tells_which(store: KeyStore) -> None:
    keys = [add(store, "one"), add(store, "two")]
    assert store.revoke("one").id == id_of(keys[0])
    assert [record.name for record in store.list()] == ["two"]


@pytest.mark.parametrize(
    ("names", "asked", "hint"),
    [
        (["algo-1", "chart"], "algo1", "did you mean 'algo-1'"),
        (["algo-1"], "zzz", "see `hub keys list`"),
        ([], "algo", "the store is empty"),
    ],
)
def test_an_unknown_name_gets_the_nearest_known_one(
    store: KeyStore, names: list[str], asked: str, hint: str
) -> None:
    for name in names:
        add(store, name)
    with pytest.raises(KeyStoreError) as caught:
        store.revoke(asked)
    assert hint in str(caught.value)


def test_rule_2_a_file_open_to_others_is_neither_read_nor_changed(store: KeyStore) -> None:
    add(store)
    before = store.path.read_bytes()
    store.path.chmod(0o640)
    for act in (store.list, lambda: add(store, "more"), lambda: store.revoke("algo")):
        with pytest.raises(KeyStoreError, match="chmod 600"):
            act()
    assert store.path.read_bytes() == before


def test_rule_2_a_file_that_is_refused_gets_no_lock_beside_it(tmp_path: Path) -> None:
    (tmp_path / "keys.json").touch(0o644)
    with pytest.raises(KeyStoreError):
        add(KeyStore(tmp_path / "keys.json"))
    assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]


def test_rule_3_keys_added_and_revoked_at_once_are_all_there_and_all_gone(
    store: KeyStore,
) -> None:
    for number in range(8):
        add(store, f"old {number}")
    start = threading.Barrier(8)

    def work(number: int) -> None:
        own = KeyStore(store.path)
        start.wait()
        for turn in range(3):
            add(own, f"new {number} {turn}")
        own.revoke(f"old {number}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {f"new {number} {turn}" for number in range(8) for turn in range(3)}
    assert {record.name for record in store.list()} == expected


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 9, "keys": []}', b"\x00\xff"])
def test_rule_4_a_damaged_file_is_named_and_never_overwritten(
    store: KeyStore, content: bytes
) -> None:
    add(store)
    store.path.write_bytes(content)
    for act in (store.list, lambda: add(store, "more"), lambda: store.revoke("algo")):
        with pytest.raises(KeyStoreError, match=re.escape(str(store.path))):
            act()
    assert store.path.read_bytes() == content


VERSION_1 = b"""{
  "version": 1,
  "keys": [
    {
      "id": "0123abcd",
      "name": "algo",
      "user": "alice",
      "broker": "zerodha",
      "created": 1700000000,
      "hash": "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA"
    }
  ]
}
"""


def test_a_file_of_version_1_is_left_as_it_is_and_the_way_out_named(store: KeyStore) -> None:
    """Its keys are lost for this hub, so the person must learn what to do, and keep the file."""
    store.path.parent.mkdir(mode=0o700)
    store.path.write_bytes(VERSION_1)
    store.path.chmod(0o600)
    for act in (store.list, lambda: add(store, "more"), lambda: store.revoke("algo")):
        with pytest.raises(KeyStoreError) as caught:
            act()
        assert str(caught.value) == (
            f"{store.path} is no file of API keys that this hub can read: it is of version 1, and "
            "this hub reads version 2; nothing was changed. Put a good copy in its place, or move "
            "it away and add each key anew with `hub keys add`"
        )
    assert store.path.read_bytes() == VERSION_1
    store.path.rename(store.path.with_suffix(".old"))
    assert add(store)


class Model:
    """A store's naive twin: the records in a list."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def act(self, verb: str, name: str) -> bool:
        """Do it, and tell whether it can be done."""
        possible = (verb == "add") != (name in self.names)
        if possible:
            (self.names.append if verb == "add" else self.names.remove)(name)
        return possible


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["add", "revoke"]), st.sampled_from("abcd"))))
def test_any_history_leaves_what_a_list_would_hold(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("store") / "keys.json"
    model = Model()
    for verb, name in history:
        store = KeyStore(path)
        try:
            _ = add(store, name) if verb == "add" else store.revoke(name)
            done = True
        except KeyStoreError:
            done = False
        assert done == model.act(verb, name)
        assert [record.name for record in KeyStore(path).list()] == model.names


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"CONFIGURATION_DIRECTORY": "/etc/s", "XDG_CONFIG_HOME": "/x", "HOME": "/h"}, "/etc/s"),
        ({"CONFIGURATION_DIRECTORY": "/etc/s:/etc/t"}, "/etc/s"),
        ({"XDG_CONFIG_HOME": "/x", "HOME": "/h"}, "/x/shardhub"),
        ({"XDG_CONFIG_HOME": "relative", "HOME": "/h"}, "/h/.config/shardhub"),
        (
            {"CONFIGURATION_DIRECTORY": "", "XDG_CONFIG_HOME": "", "HOME": "/h"},
            "/h/.config/shardhub",
        ),
        ({}, "/etc/shardhub"),
    ],
)
def test_the_default_path(environ: dict[str, str], expected: str) -> None:
    assert default_path(environ) == Path(expected) / "keys.json"


def test_the_repr_names_the_file_only(store: KeyStore) -> None:
    add(store)
    assert repr(store) == f"<KeyStore {store.path}>"
