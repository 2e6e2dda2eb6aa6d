"""Clients that mean no good: whatever they send, nothing breaks, nothing is left of them, and
nobody sees what is another's."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from hub.core import topics
from hub.core.model import Instrument, Mode, Offer
from tests.shards.frames import BINARY, CLOSE, CONT, HANDSHAKE, PING, PONG, TEXT, frame
from tests.shards.kit import ALICE, BOB, make_settings, subscription
from tests.shards.stage import LONG_S, Heard, Loop, Peer, Stage, play
from tests.shards.strategies import ENTRY, FIELDS, JSON, KNOWN, LIKELY, REQUESTS

STEPS = st.sampled_from([0, 1, 2, 3, 7, 100, 511, 512, 513])
ANY_FRAMES = st.builds(
    frame,
    st.integers(0, 15),
    st.binary(max_size=130) | REQUESTS.map(lambda asked: json.dumps(asked).encode()),
    fin=st.booleans(),
    rsv=st.sampled_from([0, 0, 0, 0, 1, 4]),
    mask=st.sampled_from([b"\1\2\3\4", bytes(4), None]),
    width=st.sampled_from([0, 0, 0, 8]),
    size=st.none() | st.sampled_from([0, 1, 4096, 4097, 1 << 40]),
)
ANYTHING = st.lists(
    st.sampled_from([HANDSHAKE, HANDSHAKE[:40], HANDSHAKE[40:], b"\r\n\r\n", b"\r\n", b"\x16\3\1"])
    | ANY_FRAMES
    | st.binary(max_size=20),
    max_size=12,
)


@pytest.fixture(scope="module")
def loop() -> Any:
    """One for all: to make one takes longer than most of what it runs."""
    loop = Loop()
    yield loop
    loop.close()


async def stay(stage: Stage, peer: Peer) -> None:
    """Let its deadlines pass, as a shard's gateway would."""
    await peer.settle()
    peer.connection.tend(stage.now_s() + LONG_S)
    await peer.settle()


@given(said=ANYTHING, step=STEPS, known=st.booleans())
@example(said=[HANDSHAKE, frame(PING, b"x")], step=0, known=False)
@example(said=[b"\x16\3\1\2\0"], step=0, known=False)
def test_whatever_bytes_come_what_is_answered_is_sound_and_nothing_is_left(
    loop: Loop, said: Sequence[bytes], step: int, known: bool
) -> None:
    async def main() -> None:
        stage = Stage()
        peer = stage.connect()
        if known:
            await peer.say(HANDSHAKE)
        await peer.say(b"".join(said), step)
        await stay(stage, peer)
        peer.heard()
        await stage.end()

    play(main, loop)


def gists(heard: Heard) -> list[Any]:
    """The replies, without the time of day."""
    return [
        {name: value for name, value in reply.items() if name != "server_timestamp"}
        for reply in heard.replies
    ]


@st.composite
def conversations(draw: Callable[[Any], Any]) -> list[bytes]:
    """A client's frames as they should be: requests whole or in fragments, pings anywhere; fewer
    than a stranger may say at once."""
    frames: list[bytes] = []
    for asked in draw(st.lists(REQUESTS, max_size=4)):
        text = json.dumps(asked).encode()
        size = draw(st.sampled_from([len(text), len(text), 1 + len(text) // 2, 9 + len(text) // 9]))
        parts = [text[at : at + size] for at in range(0, len(text), size)]
        opcode = draw(st.sampled_from([TEXT, BINARY]))
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            frames.append(frame(CONT if number else opcode, part, fin=last))
            if draw(st.integers(0, 5)) == 0:
                frames.append(frame(draw(st.sampled_from([PING, PONG])), b"%d" % number))
    return frames[:60]


@given(frames=conversations(), close=st.booleans(), steps=st.tuples(STEPS, STEPS))
def test_however_it_is_cut_a_conversation_has_the_same_answers(
    loop: Loop, frames: list[bytes], close: bool, steps: tuple[int, int]
) -> None:
    if close:
        frames = [*frames, frame(CLOSE, b"\3\xe8")]
    found: list[Heard] = []

    async def main() -> None:
        stage = Stage()
        for step in steps:
            peer = stage.connect()
            await peer.say(HANDSHAKE + b"".join(frames), step)
            await peer.settle()
            found.append(peer.heard())
        await stage.end()

    play(main, loop)
    one, other = found
    assert gists(one) == gists(other)
    assert (one.pongs, one.end) == (other.pongs, other.end)


@given(asked=st.lists(REQUESTS | JSON, max_size=12), known=st.booleans())
def test_each_request_has_one_answer_whatever_it_asks(
    loop: Loop, asked: list[Any], known: bool
) -> None:
    async def main() -> None:
        stage = Stage()
        peer = stage.connect()
        await peer.say(HANDSHAKE)
        if known:
            asked.insert(0, {"action": "auth", "api_key": "alice's key"})
        for request in asked:
            await peer.say(frame(TEXT, json.dumps(request).encode()))
        await peer.settle()
        assert len(peer.heard().frames) == len(asked)
        await stage.end()

    play(main, loop)


# Two users.


SYMBOLS = [Instrument("NSE", name) for name in ("SBIN", "INFY", "TCS")]
ENTRIES = [one._asdict() for one in SYMBOLS]
ALICES = (
    "alice", "@orders:alice", "@login:zerodha:alice", "\x1falice\x1fNSE", "\x1falice\x1f",
    "zerodha",
)  # fmt: skip
NAMES = ("user", "user_id", "userid", "account", "username", "client_id", "scope", "broker")
ATTACKS = st.dictionaries(
    st.sampled_from([*FIELDS, *NAMES]),
    LIKELY
    | st.sampled_from(ALICES)
    | JSON
    | st.lists(
        st.sampled_from(ENTRIES)
        | st.fixed_dictionaries(
            {"exchange": st.sampled_from(ALICES), "symbol": st.sampled_from(["SBIN", "x", ""])}
        ),
        max_size=3,
    ),
    max_size=6,
)
AIMED = st.builds(
    lambda action, symbols, hers: {
        **dict.fromkeys(NAMES, hers), "action": action, "symbols": symbols,
    },
    st.sampled_from([name for name in KNOWN if "auth" not in name]),
    st.lists(st.sampled_from([*ENTRIES, ENTRY]), min_size=1, max_size=3),
    st.sampled_from(["alice", *ALICES]),
)  # fmt: skip
SECRET = b"secret"
NO_KEYS = ("alice", "wrong", "", "alice's key ", "Alice's key", "alice's ke")


class TwoUsers(RuleBasedStateMachine):
    """Alice, who has orders and ticks of her own, and bob, who would like to see them. Both hold
    the same symbols, of a feed whose ticks are each user's alone."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = Loop()
        self.numbers = 0
        self.follows = False

    def run(self, main: Callable[[], Any]) -> None:
        play(main, self.loop)

    def ask(self, peer: Peer, *asked: Any) -> None:
        async def main() -> None:
            for request in asked:
                said = request if isinstance(request, bytes) else json.dumps(request).encode()
                await peer.say(frame(TEXT, said))
            await peer.settle()

        self.run(main)

    @initialize()
    def begin(self) -> None:
        async def main() -> None:
            upstream = {"isolate": "user"}
            self.stage = Stage(make_settings(hub={"shards": 1}, upstream=upstream))
            self.stage.desk.take_feeds([Offer("desk", shared=False)], 100.0)
            self.alice, self.bob = self.stage.connect(), self.stage.connect()
            for peer in (self.alice, self.bob):
                await peer.say(HANDSHAKE)

        self.run(main)
        self.ask(self.alice, {"action": "auth", "api_key": "alice's key"})
        self.bob_authenticates("bob's key")

    def teardown(self) -> None:
        if hasattr(self, "stage"):
            self.run(self.stage.end)
        self.loop.close()

    # Alice.

    @rule(wanted=st.sets(st.sampled_from(SYMBOLS), min_size=1))
    def alice_subscribes(self, wanted: set[Instrument]) -> None:
        self.ask(self.alice, subscription(Mode.LTP, *sorted(wanted)))

    @rule()
    def alice_leaves_all(self) -> None:
        self.ask(self.alice, {"action": "unsubscribe_all"})

    @rule(on=st.booleans())
    def alice_follows_her_orders(self, on: bool) -> None:
        self.ask(self.alice, {"action": "subscribe_orders" if on else "unsubscribe_orders"})
        self.follows = on

    @rule(mode=st.sampled_from(Mode))
    def alices_ticks_come(self, mode: Mode) -> None:
        session = self.alice.connection.session
        assert session is not None
        self.numbers += 1
        payload = b'{"ltp": "%b %d"}' % (SECRET, self.numbers)
        held = dict(self.stage.desk.index.held(session))
        for key in held:
            self.stage.desk.fanout.offer([topics.of(key, mode), payload])
        self.stage.desk.fanout.flush()
        assert self.alice.raw().count(payload) == len(held)

    @rule()
    def alices_order_comes(self) -> None:
        self.numbers += 1
        payload = b'{"user_id": "alice", "note": "%b %d"}' % (SECRET, self.numbers)
        self.stage.desk.accounts.offer([topics.orders("alice"), payload])
        assert (payload in self.alice.raw()) == self.follows

    # Bob.

    @rule(asked=st.lists(AIMED | ATTACKS, min_size=1, max_size=5))
    def bob_asks(self, asked: list[Any]) -> None:
        self.ask(self.bob, *asked)

    @rule(asked=AIMED)
    def bob_asks_in_her_name(self, asked: Any) -> None:
        self.ask(self.bob, asked)

    @rule(key=st.sampled_from(["bob's key", "bob's key", *NO_KEYS]))
    def bob_authenticates(self, key: str) -> None:
        self.ask(self.bob, {"action": "auth", "api_key": key})

    @rule()
    def bob_subscribes_to_the_same(self) -> None:
        self.ask(self.bob, subscription(1, *SYMBOLS), {"action": "subscribe_orders"})

    @rule(said=ANYTHING)
    def bob_talks_nonsense(self, said: list[bytes]) -> None:
        self.run(lambda: self.bob.say(b"".join(said)))

    @rule()
    @precondition(lambda self: self.bob.transport.is_closing())
    def bob_comes_again(self) -> None:
        self.bob_comes_anew("bob's key")

    def bob_comes_anew(self, key: str) -> None:
        async def main() -> None:
            self.bob = self.stage.connect()
            await self.bob.say(HANDSHAKE)

        self.run(main)
        self.bob_authenticates(key)

    @invariant()
    def bob_has_seen_nothing_of_alices(self) -> None:
        if hasattr(self, "bob"):
            assert SECRET not in self.bob.raw()


TestTwoUsers = TwoUsers.TestCase


@pytest.mark.parametrize("key", ["bob's key", *NO_KEYS])
def test_each_way_to_name_another_user_leads_nowhere(key: str) -> None:
    """What the machine above tries by chance, once each, and with every request there is."""
    machine = TwoUsers()
    machine.begin()
    try:
        machine.alice_subscribes({*SYMBOLS})
        machine.alice_follows_her_orders(on=True)
        machine.bob_comes_anew(key)
        for action in (name for name in KNOWN if "auth" not in name):
            asked: list[dict[str, Any]] = [{"action": action, "symbols": ENTRIES}]
            asked += [{**asked[0], name: hers} for name in NAMES for hers in ("alice", ALICES[3])]
            asked.append({**asked[0], "api_key": "alice"})
            machine.ask(machine.bob, *asked)
            machine.alices_ticks_come(Mode.LTP)
            machine.alices_order_comes()
            machine.bob_has_seen_nothing_of_alices()
    finally:
        machine.teardown()


def test_bob_gets_what_is_his_so_that_he_could_see_what_is_hers() -> None:
    """The machine above would pass if he got nothing at all."""

    async def main() -> None:
        stage = Stage(make_settings(hub={"shards": 1}, upstream={"isolate": "user"}))
        stage.desk.take_feeds([Offer("desk", shared=False)], 100.0)
        for user in (ALICE, BOB):
            peer = stage.connect()
            await peer.say(HANDSHAKE)
            for asked in (
                {"action": "auth", "api_key": f"{user.user}'s key"},
                subscription(1, *SYMBOLS),
                {"action": "subscribe_orders"},
            ):
                await peer.say(frame(TEXT, json.dumps(asked).encode()))
                await peer.settle()
        for user in (ALICE, BOB):
            payload = json.dumps({"ltp": user.user}).encode()
            for one in SYMBOLS:
                key = topics.scope(user.user) + one.key
                stage.desk.fanout.offer([topics.of(key, Mode.LTP), payload])
            stage.desk.accounts.offer([topics.orders(user.user), payload])
        stage.desk.fanout.flush()
        for peer, user in zip(stage.peers, (ALICE, BOB), strict=True):
            got = [found["data"] for found in peer.heard().replies if "data" in found]
            assert got == [{"ltp": user.user}] * len(SYMBOLS)
            assert {"ltp": user.user} in peer.heard().replies
        await stage.end()

    play(main)
