"""Several verifiers answer as one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hub.auth.keystore import KeyStore
from hub.auth.verifier import Grant, Verifier
from hub.auth.verifiers import AnyVerifier, Several
from hub.core.errors import KeyStoreError
from hub.core.model import Identity

ALICE = Identity("alice", "zerodha")
BOB = Identity("bob", "angel")


class Stub:
    """A verifier that knows these keys and notes what it is asked."""

    def __init__(self, keys: dict[str, Identity], trouble: str = "") -> None:
        self.keys = keys
        self.trouble = trouble
        self.asked: list[object] = []
        self.news = False

    def __repr__(self) -> str:
        return f"<Stub {len(self.keys)} keys>"

    async def grant(self, api_key: str) -> Grant | None:
        self.asked.append(api_key)
        if self.trouble:
            raise KeyStoreError(self.trouble)
        identity = self.keys.get(api_key)
        return Grant(identity, f"id of {api_key}", self) if identity else None

    def stands(self, grant: Grant) -> bool:
        self.asked.append(grant)
        return grant.proof is self and bool(self.keys)

    def changed(self) -> bool:
        self.asked.append("changed")
        return self.news

    def forget(self) -> None:
        self.asked.append("forget")

    def close(self) -> None:
        self.asked.append("close")


def ask(several: Several, key: str) -> Grant | None:
    return asyncio.run(several.grant(key))


def log_in(several: Several, key: str) -> Grant:
    grant = ask(several, key)
    assert grant is not None
    return grant


def test_rule_1_the_first_that_knows_the_key_gives_the_grant() -> None:
    first, second = Stub({"a": ALICE}), Stub({"a": BOB, "b": BOB})
    several = Several(first, second)
    assert log_in(several, "a")[:2] == (ALICE, "id of a")
    assert second.asked == []
    assert log_in(several, "b").identity == BOB
    assert ask(several, "c") is None


@pytest.mark.parametrize("giver", [0, 1])
def test_rule_2_whoever_gave_a_grant_says_whether_it_stands(giver: int) -> None:
    stubs = Stub({"a": ALICE}), Stub({"b": BOB})
    several = Several(*stubs)
    grant = log_in(several, "ab"[giver])
    stubs[1 - giver].keys.clear()
    assert several.stands(grant)
    stubs[giver].keys.clear()
    assert not several.stands(grant)


def test_rule_2_a_grant_of_somebody_else_does_not_stand() -> None:
    assert not Several(Stub({"a": ALICE})).stands(Grant(ALICE, "x"))


@pytest.mark.parametrize("order", [1, -1])
def test_rule_3_the_trouble_of_one_hides_no_grant_of_another(order: int) -> None:
    several = Several(*[Stub({}, "broken"), Stub({"b": BOB})][::order])
    assert log_in(several, "b").identity == BOB
    with pytest.raises(KeyStoreError, match=r"^broken$"):
        ask(several, "c")


def test_rule_3_all_troubles_are_told() -> None:
    with pytest.raises(KeyStoreError, match=r"^one; two$"):
        ask(Several(Stub({}, "one"), Stub({}, "two")), "a")


@pytest.mark.parametrize("news", [(False, False), (True, False), (False, True), (True, True)])
def test_all_are_asked_for_changes(news: tuple[bool, bool]) -> None:
    stubs = Stub({}), Stub({})
    for stub, one in zip(stubs, news, strict=True):
        stub.news = one
    assert Several(*stubs).changed() == any(news)
    assert [stub.asked for stub in stubs] == [["changed"]] * 2


def test_all_forget_and_all_are_closed() -> None:
    stubs = Stub({}), Stub({})
    several = Several(*stubs)
    several.forget()
    several.close()
    assert [stub.asked for stub in stubs] == [["forget", "close"]] * 2


def test_the_hubs_own_verifier_is_one_of_them(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys.json")
    key = store.add("algo", "alice", "zerodha", now=0)
    own: AnyVerifier = Verifier(store.path, 10)
    several = Several(own, Stub({}))
    grant = log_in(several, key)
    assert grant.identity == ALICE
    assert several.stands(grant)
    store.revoke("algo")
    several.forget()
    assert several.changed()
    assert not several.stands(grant)
    several.close()


def test_the_reprs_are_one_status_line() -> None:
    assert repr(Several(Stub({}), Stub({"a": ALICE}))) == "<Several <Stub 0 keys> <Stub 1 keys>>"
