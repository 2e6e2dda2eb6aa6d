"""Ticks in, frames out: what each client is sent, and what it is not."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core import frames, topics
from hub.core.index import Index, Variant
from hub.core.latest import Latest, Line
from hub.core.model import Instrument, Mode
from shards.fanout import Fanout, frame
from tests.shards.kit import Client, messages, tick

SBIN = Instrument("NSE", "SBIN")
INFY = Instrument("NSE", "INFY")
UNDERSCORES = Instrument("NSE_INDEX", "NIFTY_50")


class World:
    """A fan-out, its index and the changes the desk would make."""

    def __init__(self, concerns: tuple[bytes, ...] | None = None) -> None:
        self.index: Index[Client] = Index()
        self.latest = Latest()
        self.fanout: Fanout[Client] = Fanout(
            self.index, self.latest, lambda key: concerns is None or key in concerns
        )

    def hold(self, client: Client, instrument: Instrument, mode: Mode, broker: str = "b") -> None:
        self.fanout.flush()
        self.index.add(client, instrument, mode, broker)
        self.latest.unresolve(instrument.key)

    def release(self, client: Client, instrument: Instrument, mode: Mode) -> None:
        self.fanout.flush()
        self.index.remove(client, instrument.key, mode)
        self.latest.unresolve(instrument.key)

    def tick(self, instrument: Instrument, mode: Mode, value: object) -> None:
        self.fanout.offer(tick(instrument, mode, value))


def test_a_tick_reaches_its_holder_as_one_text_frame_with_the_payload_verbatim() -> None:
    world, client = World(), Client()
    world.hold(client, SBIN, Mode.QUOTE, "zerodha")
    payload = '{"ltp":1.50,  "symbol": "other", "mode":9, "n": "₹", "d": [ ]}'
    world.fanout.offer([b"NSE_SBIN_QUOTE", payload.encode()])
    assert world.fanout.pending
    assert client.sent == []
    world.fanout.flush()
    assert not world.fanout.pending
    (text,) = messages(b"".join(client.sent))
    head = '{"type": "market_data", "symbol": "SBIN", "exchange": "NSE", "mode": 2, "data": '
    assert text == head + payload + ', "broker": "zerodha"}'


@pytest.mark.parametrize("size", [1, 20, 26, 27, 28, 100, 8000, 8100, 65_400, 65_500, 70_000])
def test_frames_of_any_size_are_read_by_the_rfc(size: int) -> None:
    world, client = World(), Client()
    world.hold(client, SBIN, Mode.LTP, "")
    world.tick(SBIN, Mode.LTP, "x" * size)
    world.fanout.flush()
    assert client.got() == [("SBIN", 1, {"ltp": "x" * size})]


def test_frames_around_the_last_ready_made_header_are_whole() -> None:
    world, client = World(), Client()
    world.hold(client, SBIN, Mode.LTP)
    world.tick(SBIN, Mode.LTP, "")
    world.fanout.flush()
    bare = len(messages(client.sent.pop())[0])
    for size in range(len(frames.HEADERS) - 1, len(frames.HEADERS) + 2):
        world.tick(SBIN, Mode.LTP, "x" * (size - bare))
        world.fanout.flush()
        assert [len(text) for text in messages(client.sent.pop())] == [size]


@pytest.mark.parametrize(
    ("held", "tick_mode", "tag"),
    [
        ((1,), 1, 1), ((1,), 2, 1), ((1,), 3, 1),
        ((2,), 1, None), ((2,), 2, 2), ((2,), 3, 2),
        ((3,), 1, None), ((3,), 2, None), ((3,), 3, 3),
        ((1, 3), 1, 1), ((1, 3), 2, 1), ((1, 3), 3, 3),
        ((1, 2, 3), 2, 2), ((3, 2, 1), 3, 3),
    ],
)  # fmt: skip
def test_the_tag_is_the_highest_held_mode_not_above_the_ticks(
    held: tuple[int, ...], tick_mode: int, tag: int | None
) -> None:
    world, client = World(), Client()
    for mode in held:
        world.hold(client, SBIN, Mode(mode))
    world.tick(SBIN, Mode(tick_mode), 7)
    world.fanout.flush()
    assert client.got() == ([("SBIN", tag, {"ltp": 7})] if tag else [])


def test_members_of_an_audience_are_handed_the_same_bytes() -> None:
    world, clients = World(), [Client(), Client(), Client()]
    for client in clients:
        world.hold(client, SBIN, Mode.LTP)
        world.hold(client, INFY, Mode.LTP)
    for value in range(3):
        world.tick(SBIN, Mode.LTP, value)
        world.tick(INFY, Mode.LTP, value)
    world.fanout.flush()
    (first,) = clients[0].sent
    assert all(client.sent[0] is first for client in clients)
    assert all(len(client.sent) == 1 for client in clients)
    assert world.fanout.delivered == 18


def test_each_client_is_written_to_once_per_flush_whatever_its_audiences() -> None:
    world, both, one = World(), Client("both"), Client("one")
    world.hold(both, SBIN, Mode.LTP)
    world.hold(both, INFY, Mode.LTP)
    world.hold(one, INFY, Mode.LTP)
    for instrument in (SBIN, INFY, SBIN):
        world.tick(instrument, Mode.LTP, instrument.symbol)
    world.fanout.flush()
    assert (len(both.sent), len(one.sent)) == (1, 1)
    assert sorted(symbol for symbol, _, _ in both.got()) == ["INFY", "SBIN", "SBIN"]


def test_a_client_is_told_the_names_and_the_broker_it_used_itself() -> None:
    world, first, second = World(), Client(), Client()
    world.hold(first, Instrument("NSE", "INDEX_NIFTY_50"), Mode.LTP, "zerodha")
    world.hold(second, UNDERSCORES, Mode.LTP, "dhan")
    world.tick(UNDERSCORES, Mode.LTP, 1)
    world.fanout.flush()
    (one,), (two,) = messages(first.sent[0]), messages(second.sent[0])
    assert '"symbol": "INDEX_NIFTY_50", "exchange": "NSE"' in one
    assert '"broker": "zerodha"}' in one
    assert '"symbol": "NIFTY_50", "exchange": "NSE_INDEX"' in two
    assert '"broker": "dhan"}' in two


@pytest.mark.parametrize("payload", [b"", b"{", b"[1]", b"null", b"\xff", b'{"a": "\xff"}', b"{}x"])
def test_a_malformed_payload_is_dropped_and_counted_and_disturbs_nobody(payload: bytes) -> None:
    world, client = World(), Client()
    world.hold(client, SBIN, Mode.LTP)
    world.tick(SBIN, Mode.LTP, 1)
    world.fanout.offer([b"NSE_SBIN_LTP", payload, *tick(SBIN, Mode.LTP, 2)])
    world.fanout.flush()
    assert [data["ltp"] for _, _, data in client.got()] == [1, 2]
    assert (world.fanout.malformed, world.fanout.seq) == (1, 2)


def test_a_malformed_payload_leaves_the_last_value_alone() -> None:
    world = World()
    world.tick(SBIN, Mode.LTP, 1)
    world.fanout.offer([b"NSE_SBIN_LTP", b"nonsense"])
    assert world.latest.lines[b"NSE_SBIN_LTP"].payload == b'{"ltp": 1}'


def test_what_json_does_not_know_is_sent_as_null() -> None:
    world, client = World(), Client()
    world.hold(client, SBIN, Mode.LTP)
    world.fanout.offer([b"NSE_SBIN_LTP", b'{"ltp": NaN, "oi": [-Infinity]}'])
    world.fanout.flush()
    assert client.got() == [("SBIN", 1, {"ltp": None, "oi": [None]})]


@pytest.mark.parametrize("topic", [b"", b"NSE_SBIN", b"NSE_SBIN_FULL", b"@orders:x_LTP", b"_LTP"])
def test_a_malformed_topic_is_counted_and_not_kept(topic: bytes) -> None:
    world = World()
    world.fanout.offer([topic, b"{}"])
    assert (world.fanout.malformed, world.fanout.seq) == (1, 0)
    assert not world.latest.lines


def test_a_topic_that_does_not_concern_this_shard_is_not_kept() -> None:
    world = World(concerns=(SBIN.key,))
    world.tick(INFY, Mode.LTP, 1)
    world.tick(SBIN, Mode.LTP, 1)
    assert list(world.latest.lines) == [b"NSE_SBIN_LTP"]
    assert world.fanout.malformed == 0


def test_a_tick_nobody_holds_is_remembered_and_not_pending() -> None:
    world = World()
    world.tick(SBIN, Mode.LTP, 1)
    assert not world.fanout.pending
    assert world.latest.lines[b"NSE_SBIN_LTP"].seq == 1


def test_whoever_joins_after_a_flush_gets_no_tick_from_before() -> None:
    world, early, late = World(), Client(), Client()
    world.hold(early, SBIN, Mode.LTP)
    world.tick(SBIN, Mode.LTP, 1)
    world.hold(late, SBIN, Mode.LTP)
    world.tick(SBIN, Mode.LTP, 2)
    world.release(early, SBIN, Mode.LTP)
    world.tick(SBIN, Mode.LTP, 3)
    world.fanout.flush()
    assert [data["ltp"] for _, _, data in early.got()] == [1, 2]
    assert [data["ltp"] for _, _, data in late.got()] == [2, 3]


def test_remembered_values_are_no_news_and_never_replace_what_is_known() -> None:
    world, client = World(), Client()
    world.hold(client, SBIN, Mode.LTP)
    place = world.fanout.reserve()
    world.tick(SBIN, Mode.LTP, 2)
    pairs = [*tick(SBIN, Mode.LTP, 1), *tick(SBIN, Mode.QUOTE, 1), b"bad", b"{}"]
    world.fanout.remember(pairs, {SBIN.key: place})
    world.fanout.flush()
    assert [data["ltp"] for _, _, data in client.got()] == [2]
    assert world.latest.lines[b"NSE_SBIN_LTP"].payload == b'{"ltp": 2}'
    quote = world.latest.lines[b"NSE_SBIN_QUOTE"]
    assert (quote.payload, quote.seq) == (b'{"ltp": 1}', place)


def test_remembered_values_replace_what_came_before_their_place() -> None:
    world = World()
    world.tick(SBIN, Mode.LTP, 1)
    world.tick(INFY, Mode.LTP, 1)
    place = world.fanout.reserve()
    pairs = [*tick(SBIN, Mode.LTP, 2), *tick(INFY, Mode.LTP, 2)]
    world.fanout.remember(pairs, {SBIN.key: place, INFY.key: place - 1})
    assert world.latest.lines[b"NSE_SBIN_LTP"].payload == b'{"ltp": 2}'
    assert world.latest.lines[b"NSE_INFY_LTP"].payload == b'{"ltp": 1}', "it came after its place"
    world.fanout.remember(tick(UNDERSCORES, Mode.LTP, 1), {SBIN.key: place})
    assert not world.latest.of(UNDERSCORES.key) or not world.latest.newest(UNDERSCORES.key, 1)


def test_what_is_none_of_its_business_costs_the_rest_of_a_batch_nothing() -> None:
    world, client = World(concerns=(SBIN.key,)), Client()
    world.hold(client, SBIN, Mode.LTP)
    batch = [*tick(INFY, Mode.LTP, 1), b"bad", b"{}", *tick(SBIN, Mode.LTP, 2)]
    world.fanout.offer(batch)
    world.fanout.flush()
    assert client.got() == [("SBIN", 1, {"ltp": 2})]


def test_places_kept_for_a_home_are_no_ticks_and_all_its_values_fit_before_the_next() -> None:
    world = World()
    assert (world.fanout.taken, world.fanout.forgotten) == (0, 0)
    place = world.fanout.reserve()
    world.tick(INFY, Mode.LTP, 1)
    pairs = [pair for mode in Mode for pair in tick(SBIN, mode, 0)]
    world.fanout.remember(pairs, {SBIN.key: place})
    seqs = [world.latest.lines[topics.of(SBIN.key, mode)].seq for mode in Mode]
    assert seqs == [place, place + 1, place + 2]
    assert max(seqs) < world.latest.lines[b"NSE_INFY_LTP"].seq
    assert world.fanout.taken == 1


def test_past_the_limit_of_topics_the_older_half_of_what_nobody_holds_makes_room() -> None:
    """Also while more is held than the limit: what nobody holds must not pile up then."""
    world, client = World(), Client()
    world.fanout = Fanout(world.index, world.latest, lambda _: True, most_lines=4)
    idle = [Instrument("NSE", f"IDLE{number}") for number in range(6)]
    world.hold(client, SBIN, Mode.LTP)
    for instrument in (SBIN, *idle[:3]):
        world.tick(instrument, Mode.LTP, 1)
    assert world.fanout.forgotten == 0
    world.tick(idle[3], Mode.LTP, 1)
    assert {line.key for line in world.latest.lines.values()} == {
        SBIN.key, idle[2].key, idle[3].key,
    }  # fmt: skip
    assert world.fanout.forgotten == 2
    for number in range(5):
        held = Instrument("NSE", f"HELD{number}")
        world.hold(client, held, Mode.LTP)
        world.tick(held, Mode.LTP, 1)
    for instrument in idle[4:]:
        world.tick(instrument, Mode.LTP, 1)
    assert len(world.latest.lines) == 7, "six that are held, and the last that is not"


def test_while_nearly_all_is_held_room_is_not_looked_for_at_each_topic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, client = World(), Client()
    world.fanout = Fanout(world.index, world.latest, lambda _: True, most_lines=100)
    shrink, looked = world.latest.shrink, []

    def counted(keep: Callable[[bytes], bool]) -> int:
        looked.append(len(world.latest.lines))
        return shrink(keep)

    monkeypatch.setattr(world.latest, "shrink", counted)
    for number in range(800):
        held = Instrument("NSE", f"HELD{number}")
        world.hold(client, held, Mode.LTP)
        world.tick(held, Mode.LTP, 1)
    assert looked[0] == 100
    assert len(looked) < 25
    assert len(world.latest.lines) == 800


def test_a_cut_batch_is_an_error_not_a_guess() -> None:
    with pytest.raises(ValueError, match="shorter"):
        World().fanout.offer([b"NSE_SBIN_LTP"])


def test_a_frame_is_made_only_for_who_may_have_it() -> None:
    line = Line(SBIN.key, Mode.QUOTE)
    quote, depth = Variant(2, "NSE", "SBIN", "b"), Variant(4, "NSE", "SBIN", "b")
    assert frame(line, quote) is None
    line.payload = b"{}"
    assert frame(line, depth) is None
    assert frame(line, quote) == frames.tick(*_around(quote, 2))


def _around(variant: Variant, tag: int) -> tuple[bytes, bytes, bytes]:
    head, tail = frames.market_data(variant, tag)
    return head, b"{}", tail


# Random histories against clients that are each told everything.

KEYS = (SBIN, INFY, UNDERSCORES, Instrument("NSE", "INDEX_NIFTY_50"))
WHO = st.integers(0, 3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("hold"), WHO, st.sampled_from(KEYS), st.sampled_from(Mode)),
        st.tuples(st.just("release"), WHO, st.sampled_from(KEYS), st.sampled_from(Mode)),
        st.tuples(st.just("tick"), WHO, st.sampled_from(KEYS), st.sampled_from(Mode)),
        st.tuples(st.just("tick"), WHO, st.sampled_from(KEYS), st.sampled_from(Mode)),
        st.tuples(st.just("bad"), WHO, st.sampled_from(KEYS), st.sampled_from(Mode)),
        st.tuples(st.just("flush"), WHO, st.sampled_from(KEYS), st.sampled_from(Mode)),
        st.tuples(st.just("drop"), WHO, st.sampled_from(KEYS), st.sampled_from(Mode)),
    ),
    max_size=60,
)


class NaiveClient:
    """What a client holds by key, and every tick it is due, in order."""

    def __init__(self) -> None:
        self.modes: dict[bytes, set[Mode]] = defaultdict(set)
        self.due: dict[bytes, list[tuple[int, int]]] = defaultdict(list)

    def tick(self, key: bytes, mode: Mode, number: int) -> int:
        tag = max((held for held in self.modes[key] if held <= mode), default=None)
        if tag is None:
            return 0
        self.due[key].append((int(tag), number))
        return 1


@given(STEPS)
def test_every_history_gives_each_client_exactly_what_it_is_due(
    steps: list[tuple[str, int, Instrument, Mode]],
) -> None:
    world = World()
    clients, naive = [Client(str(who)) for who in range(4)], [NaiveClient() for _ in range(4)]
    delivered = malformed = offered = 0
    for number, (step, who, instrument, mode) in enumerate(steps, 1):
        client, model, key = clients[who], naive[who], instrument.key
        if step == "hold":
            world.hold(client, instrument, mode)
            model.modes[key].add(mode)
        elif step == "release":
            world.release(client, instrument, mode)
            model.modes[key].discard(mode)
        elif step == "drop":
            world.fanout.flush()
            held = list(world.index.held(client))
            world.index.drop(client)
            for gone in held:
                world.latest.unresolve(gone)
            model.modes.clear()
        elif step == "tick":
            world.tick(instrument, mode, number)
            delivered += sum(one.tick(key, mode, number) for one in naive)
            offered += 1
        elif step == "bad":
            world.fanout.offer([topics.of(key, mode), b"{nonsense"])
            malformed += 1
        else:
            world.fanout.flush()
    world.fanout.flush()
    for client, model in zip(clients, naive, strict=True):
        check_client(client, model)
    assert (world.fanout.seq, world.fanout.malformed) == (offered, malformed)
    assert world.fanout.delivered == delivered


def check_client(client: Client, model: NaiveClient) -> None:
    """Exactly its ticks, each once, each tagged, and those of a key in their order."""
    lines = list(client.lines)
    found: dict[bytes, list[tuple[int, int]]] = defaultdict(list)
    for line, (_, tag, data) in zip(lines, client.got(), strict=True):
        found[line.key].append((tag, data["ltp"]))
    assert found == {key: due for key, due in model.due.items() if due}


def test_payloads_are_spliced_not_parsed() -> None:
    world, client = World(), Client()
    world.hold(client, SBIN, Mode.LTP)
    payload = b'{"a":1e5,"a":2,"big":123456789012345678901234567890}'
    world.fanout.offer([b"NSE_SBIN_LTP", payload])
    world.fanout.flush()
    (text,) = messages(client.sent[0])
    assert payload.decode() in text
    assert json.loads(text)["data"]["a"] == 2
