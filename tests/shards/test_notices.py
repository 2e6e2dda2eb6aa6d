"""Who is told what is stale: the state, once, to those who asked and hold it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from hub.core.index import Index
from hub.core.model import Instrument, Mode, Stale
from shards import tickets
from shards.notices import Notices
from shards.protocol import NO_OPTIONS, Options
from tests.shards.kit import Client

ONE, TWO = Instrument("NSE", "ONE"), Instrument("NSE", "TWO")
LTP, QUOTE, DEPTH = Mode


class Room:
    """Notices with a client that asks, and one that does not."""

    def __init__(self) -> None:
        self.index: Index[tickets.Client] = Index()
        self.notices = Notices(self.index)
        self.asker, self.other = Client("asker"), Client("other")
        self.asker.options = Options(stale_info=True)
        for client in (self.asker, self.other):
            self.notices.attend(client)

    def hold(self, one: Instrument, *modes: Mode, feed: str = "bus") -> None:
        for client in (self.asker, self.other):
            for mode in modes:
                self.index.add(client, one, mode, "zerodha", feed)
                self.notices.holds(client, one.key)

    def drop(self, one: Instrument, mode: Mode) -> None:
        self.index.remove(self.asker, one.key, mode)
        self.notices.left(self.asker, one.key)

    def say(self, *rows: tuple[Instrument, int], feed: str = "bus", replace: bool = False) -> None:
        stale = [Stale(one.key, modes) for one, modes in rows]
        for client in (self.asker, self.other):
            self.notices.owe(client, self.notices.take(feed, stale, replace=replace))

    def due(self) -> Sequence[tuple[str, int, bool]]:
        assert not self.notices.owes(self.other)
        assert not self.notices.due(self.other, 100)
        found = [json.loads(text) for text in self.notices.due(self.asker, 100)]
        assert not self.notices.owes(self.asker)
        return [(one["symbol"], one["mode"], one["stale"]) for one in found]


@pytest.fixture
def room() -> Room:
    return Room()


def test_the_message_has_the_names_of_the_client(room: Room) -> None:
    room.hold(ONE, QUOTE)
    room.say((ONE, QUOTE.bit))
    (text,) = room.notices.due(room.asker, 100)
    assert text.decode() == (
        '{"type": "stale", "symbol": "ONE", "exchange": "NSE", "mode": 2, "stale": true, '
        '"broker": "zerodha"}'
    )


def test_rule_1_each_mode_that_is_held_when_it_is_stale_and_when_it_is_not(room: Room) -> None:
    room.hold(ONE, LTP, DEPTH)
    room.say((ONE, LTP.bit | QUOTE.bit | DEPTH.bit), (TWO, LTP.bit))
    assert room.due() == [("ONE", 1, True), ("ONE", 3, True)]
    room.say((ONE, DEPTH.bit))
    assert room.due() == [("ONE", 1, False)]
    room.say((ONE, 0))
    assert room.due() == [("ONE", 3, False)]


def test_rule_1_what_is_stale_when_it_is_held(room: Room) -> None:
    room.say((ONE, QUOTE.bit))
    room.hold(ONE, QUOTE)
    assert room.due() == [("ONE", 2, True)]
    room.hold(ONE, LTP)
    assert room.due() == []


def test_rule_1_what_is_stale_when_it_is_asked_for(room: Room) -> None:
    room.hold(ONE, QUOTE)
    room.say((ONE, QUOTE.bit))
    room.other.options = Options(stale_info=True)
    room.notices.attend(room.other)
    assert len(room.notices.due(room.other, 100)) == 1
    room.other.options = NO_OPTIONS
    room.notices.attend(room.other)
    assert list(room.notices._askers) == [room.asker]
    assert room.due() == [("ONE", 2, True)]
    room.notices.attend(room.asker)
    assert room.due() == [], "asking again tells nothing twice"


def test_rule_2_the_state_when_its_turn_comes(room: Room) -> None:
    room.hold(ONE, QUOTE)
    room.hold(TWO, QUOTE)
    room.say((ONE, QUOTE.bit), (TWO, QUOTE.bit))
    room.say((TWO, 0))
    assert room.due() == [("ONE", 2, True)]
    room.say((ONE, 0))
    room.say((ONE, QUOTE.bit))
    assert room.due() == [], "it knows"


def test_rule_3_what_is_dropped_is_forgotten(room: Room) -> None:
    room.hold(ONE, LTP, QUOTE)
    room.say((ONE, LTP.bit | QUOTE.bit))
    room.drop(ONE, LTP)
    assert room.due() == [("ONE", 2, True)]
    room.drop(ONE, QUOTE)
    room.say((ONE, 0))
    assert room.due() == []
    room.say((ONE, QUOTE.bit))
    room.hold(ONE, QUOTE)
    assert room.due() == [("ONE", 2, True)]


def test_of_another_feed_nothing_counts(room: Room) -> None:
    room.hold(ONE, QUOTE, feed="bus")
    room.say((ONE, QUOTE.bit), feed="sim")
    assert room.due() == []


def test_a_new_host_of_a_feed_says_everything(room: Room) -> None:
    room.hold(ONE, QUOTE)
    room.hold(TWO, QUOTE)
    room.say((ONE, QUOTE.bit), (TWO, QUOTE.bit))
    assert len(room.due()) == 2
    room.say((ONE, QUOTE.bit), replace=True)
    assert room.due() == [("TWO", 2, False)]


def test_not_more_at_once_than_asked(room: Room) -> None:
    room.hold(ONE, QUOTE)
    room.hold(TWO, QUOTE)
    room.say((ONE, QUOTE.bit), (TWO, QUOTE.bit))
    assert len(room.notices.due(room.asker, 1)) == 1
    assert room.notices.owes(room.asker)
    assert room.due() == [("TWO", 2, True)]


def test_who_is_gone_is_owed_nothing(room: Room) -> None:
    room.hold(ONE, QUOTE)
    room.say((ONE, QUOTE.bit))
    room.notices.leave(room.asker)
    assert not room.notices.owes(room.asker)
    assert room.notices.due(room.asker, 100) == []
