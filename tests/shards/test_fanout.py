"""Ticks in, frames out: what each client is sent, and what it is not."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core import forms, frames, topics
from hub.core.errors import Malformed
from hub.core.forms import BATCH, MSGPACK, PLAIN
from hub.core.hot import Line
from hub.core.index import Index, Variant
from hub.core.latest import Latest
from hub.core.model import Instrument, Mode
from shards.fanout import Fanout, frame
from tests.shards.kit import Client, messages, received, tick

SBIN = Instrument("NSE", "SBIN")
INFY = Instrument("NSE", "INFY")
UNDERSCORES = Instrument("NSE_INDEX", "NIFTY_50")


class World:
    """A fan-out, its index and the changes the desk would make."""

    def __init__(self) -> None:
        self.index: Index[Client] = Index()
        self.latest = Latest()
        self.fanout: Fanout[Client] = Fanout(self.index, self.latest)

    def hold(self, client: Client, instrument: Instrument, mode: Mode, broker: str = "b") -> None:
        self.fanout.flush()
        self.index.add(client, instrument, mode, broker, form=client.form)
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


@pytest.mark.parametrize("topic", [b"", b"NSE_SBIN", b"NSE_SBIN_FULL", b"@orders:x_LTP", b"_LTP"])
def test_a_malformed_topic_is_counted_and_not_kept(topic: bytes) -> None:
    world = World()
    world.fanout.offer([topic, b"{}"])
    assert (world.fanout.malformed, world.fanout.seq) == (1, 0)
    assert not world.latest.lines


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


def test_what_nobody_holds_and_what_is_no_tick_cost_the_rest_of_a_batch_nothing() -> None:
    world, client = World(), Client()
    world.hold(client, SBIN, Mode.LTP)
    batch = [*tick(INFY, Mode.LTP, 1), b"bad", b"{}", *tick(SBIN, Mode.LTP, 2)]
    world.fanout.offer(batch)
    world.fanout.flush()
    assert client.got() == [("SBIN", 1, {"ltp": 2})]


def test_places_kept_for_a_keeper_are_no_ticks_and_all_its_values_fit_before_the_next() -> None:
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
    world.fanout = Fanout(world.index, world.latest, most_lines=4)
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
    world.fanout = Fanout(world.index, world.latest, most_lines=100)
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
    with pytest.raises(ValueError, match="pairs"):
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


# Other forms than plain text.


def test_ticks_of_one_flush_are_one_message_of_a_client_in_batches_whatever_its_audiences() -> None:
    for form in (BATCH, BATCH | MSGPACK):
        world, both, one = World(), Client("both", form), Client("one", form)
        world.hold(both, SBIN, Mode.LTP)
        world.hold(both, INFY, Mode.LTP)
        world.hold(one, INFY, Mode.LTP)
        for instrument in (SBIN, INFY, SBIN):
            world.tick(instrument, Mode.LTP, instrument.symbol)
        world.fanout.flush()
        assert [len(batch) for batch in received(b"".join(both.sent), form)] == [3]
        assert [len(batch) for batch in received(b"".join(one.sent), form)] == [1]
        assert world.fanout.delivered == 4
        world.tick(SBIN, Mode.LTP, 1)
        world.fanout.flush()
        assert len(both.sent) == 2, "the next flush is the next message"


def test_those_that_hold_the_same_are_handed_the_same_batch() -> None:
    world = World()
    same, other = [Client(form=BATCH) for _ in range(3)], Client(form=BATCH)
    for client in (*same, other):
        world.hold(client, SBIN, Mode.LTP)
    for client in same:
        world.hold(client, INFY, Mode.QUOTE)
    world.tick(SBIN, Mode.LTP, 1)
    world.tick(INFY, Mode.QUOTE, 2)
    world.fanout.flush()
    assert all(client.sent[0] is same[0].sent[0] for client in same)
    assert [len(client.got()) for client in (*same, other)] == [2, 2, 2, 1]


def test_a_tick_becomes_msgpack_once_for_all_who_want_that_and_for_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packed: list[bytes] = []
    pack = forms.pack

    def count(text: bytes) -> bytes:
        packed.append(text)
        return pack(text)

    monkeypatch.setattr(forms, "pack", count)
    world, text = World(), [Client(form=PLAIN), Client(form=BATCH)]
    for client in text:
        world.hold(client, SBIN, Mode.LTP)
        world.hold(client, INFY, Mode.LTP)
    for mode in (Mode.LTP, Mode.QUOTE):
        for form in (MSGPACK, BATCH | MSGPACK):
            world.hold(Client(form=form), SBIN, mode, "b")
            world.hold(Client(form=form), SBIN, mode, "another")
    world.tick(SBIN, Mode.QUOTE, 1)
    world.tick(INFY, Mode.QUOTE, 1)
    world.fanout.flush()
    assert packed == [b'{"ltp": 1}']


def test_what_cannot_be_msgpack_is_counted_and_disturbs_no_other_form(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: bytes) -> bytes:
        raise Malformed("nested too deeply")

    world = World()
    clients = {form: Client(form=form) for form in (MSGPACK, PLAIN, BATCH, BATCH | MSGPACK)}
    for client in clients.values():
        world.hold(client, SBIN, Mode.LTP)
    with monkeypatch.context() as patch:
        patch.setattr(forms, "pack", refuse)
        world.tick(SBIN, Mode.LTP, 1)
        variant = Variant(Mode.LTP.bit, *SBIN, "b", form=MSGPACK)
        assert frame(world.latest.lines[b"NSE_SBIN_LTP"], variant) is None
    world.tick(SBIN, Mode.LTP, 2)
    world.fanout.flush()
    got = {form: [data["ltp"] for _, _, data in client.got()] for form, client in clients.items()}
    assert got == {PLAIN: [1, 2], BATCH: [1, 2], MSGPACK: [2], BATCH | MSGPACK: [2]}
    assert world.fanout.malformed == 1


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from((SBIN, INFY)), st.sampled_from(Mode), st.floats(-1e9, 1e9)),
            st.none(),
        ),
        max_size=40,
    )
)
def test_a_stream_in_any_form_is_that_of_plain_text(
    steps: list[tuple[Instrument, Mode, float] | None],
) -> None:
    world = World()
    clients = [Client(form=form) for form in (PLAIN, BATCH, MSGPACK, BATCH | MSGPACK)]
    for client in clients:
        for instrument, mode in ((SBIN, Mode.LTP), (SBIN, Mode.DEPTH), (INFY, Mode.QUOTE)):
            world.hold(client, instrument, mode)
    flushes = 0
    for step in steps:
        if step is None:
            flushes += world.fanout.pending
            world.fanout.flush()
        else:
            world.tick(*step)
    flushes += world.fanout.pending
    world.fanout.flush()
    plain, *others = clients
    for client in others:
        assert client.lines == plain.lines
        if client.form & BATCH:
            assert len(received(b"".join(client.sent), client.form)) == flushes
    expected = plain.got()
    assert all(client.got() == expected for client in others)


# Random histories against clients that are each told everything.

KEYS = (SBIN, INFY, UNDERSCORES, Instrument("NSE", "INDEX_NIFTY_50"))
FORMS = (PLAIN, PLAIN, BATCH, BATCH, MSGPACK, BATCH | MSGPACK)
WHO = st.integers(0, len(FORMS) - 1)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("hold"), WHO, st.sampled_from(KEYS), st.sampled_from(Mode)),
        st.tuples(st.just("release"), WHO, st.sampled_from(KEYS), st.sampled_from(Mode)),
        st.tuples(st.just("tick"), WHO, st.sampled_from(KEYS), st.sampled_from(Mode)),
        st.tuples(st.just("tick"), WHO, st.sampled_from(KEYS), st.sampled_from(Mode)),
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
    clients = [Client(str(who), form) for who, form in enumerate(FORMS)]
    naive = [NaiveClient() for _ in FORMS]
    delivered = offered = 0
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
        else:
            world.fanout.flush()
    world.fanout.flush()
    for client, model in zip(clients, naive, strict=True):
        check_client(client, model)
    assert world.fanout.seq == offered
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
