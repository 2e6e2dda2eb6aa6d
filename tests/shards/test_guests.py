"""Who is let in, and how much one may have."""

from __future__ import annotations

import logging

import pytest

from shards.guests import Guests, may_come
from shards.tally import Tally
from tests.shards.kit import make_guests, make_settings

HERE = "192.0.2.1"
KEY = "hub_0123abcd_" + "s" * 43


def limited(connections: int = 0, **limits: int) -> Guests:
    tally = Tally(None, 0, 1, lambda *_: False)
    return Guests(make_settings(websocket=limits).websocket, tally, lambda: connections)


@pytest.mark.parametrize(
    ("origin", "host", "welcome"),
    [
        ("http://localhost", None, True),
        ("https://localhost:5000", None, True),
        ("http://127.0.0.1:3000", None, True),
        ("http://[::1]:8080", None, True),
        ("https://charts.example.com", None, True),
        ("HTTPS://Charts.Example.com", None, True),
        ("http://192.0.2.7:5000", "192.0.2.7:8765", True),
        ("http://[2001:db8::1]", "[2001:db8::1]:8765", True),
        ("https://evil.example", "192.0.2.7:8765", False),
        ("http://hub.example:8765", "hub.example:8765", True),  # as websocket-client writes it
        ("http://hub.example:5000", "hub.example:8765", False),
        ("http://192.0.2.8", "192.0.2.7:8765", False),
        ("http://localhost.evil.example", None, False),
        ("http://127.0.0.1.evil.example", None, False),
        ("http://localhost@evil.example", None, False),
        ("http://charts.example.com", None, False),  # another scheme is another origin
        ("file://localhost", None, False),
        ("chrome-extension://localhost", None, False),
        ("null", None, False),
        ("", None, False),
        ("http://[", "[", False),
    ],
)
def test_a_page_may_come_from_this_machine_or_the_list(
    origin: str, host: str | None, *, welcome: bool
) -> None:
    assert may_come(origin, host, ["https://charts.example.com/"]) is welcome


def test_a_star_is_every_origin() -> None:
    assert may_come("https://any.example", None, ["*"])


def test_a_refused_origin_is_logged_with_the_setting_and_cannot_forge_a_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    guests = make_guests(make_settings())
    with caplog.at_level(logging.WARNING, "hub"):
        assert guests.foreign("http://evil\r\nforged" + "x" * 1000, None, HERE)
    (record,) = caplog.records
    assert "http://evil\\r\\nforged" in record.message
    assert "websocket.origins" in record.message
    assert HERE in record.message
    assert "\n" not in record.message
    assert len(record.message) < 500
    assert guests.turned_away == 1


def test_who_is_no_page_has_no_origin_and_may_come() -> None:
    assert not make_guests(make_settings()).foreign(None, None, HERE)


def test_there_is_room_for_so_many_connections_and_no_more() -> None:
    assert limited(10, max_connections=10).no_room(HERE) == ""
    assert "10 clients" in limited(11, max_connections=10).no_room(HERE)
    assert limited(10**6, max_connections=0).no_room(HERE) == ""


def test_an_address_may_have_so_many_strangers_and_another_one_as_well() -> None:
    guests = limited(max_unauthenticated=2)
    for _ in range(2):
        assert guests.no_room(HERE) == ""
        guests.stranger(HERE, 1)
    assert "have not authenticated" in guests.no_room(HERE)
    assert guests.no_room("192.0.2.2") == ""
    guests.stranger(HERE, -1)
    assert guests.no_room(HERE) == ""
    assert guests.turned_away == 1


def test_an_address_may_have_so_many_connections_known_or_not() -> None:
    guests = limited(max_address_connections=2)
    for _ in range(2):
        assert guests.no_room(HERE) == ""
        guests.connection(HERE, 1)
    assert guests.no_room(HERE) == "this address has 2 connections already"
    assert guests.no_room("192.0.2.2") == ""
    guests.connection(HERE, -1)
    assert guests.no_room(HERE) == ""


def test_what_clients_ran_into_is_counted_by_its_name(caplog: pytest.LogCaptureFixture) -> None:
    guests = limited(3, max_connections=2, max_user_sessions=1)
    assert set(guests.figures(0).values()) == {0}
    with caplog.at_level(logging.WARNING, "hub"):
        guests.no_room(HERE)
        guests.crowded(HERE)
    guests.session("alice", 1)
    guests.session_problem("alice")
    guests.symbol_problem("alice")
    assert {name: number for name, number in guests.figures(4).items() if number} == {
        "max_connections": 1,
        "descriptors": 1,
        "max_user_sessions": 1,
        "symbols": 5,
    }
    assert guests.turned_away == 2
    assert guests.counted()["sessions"] == 1
    assert [record.message for record in caplog.records] == [
        "192.0.2.1 was turned away: the hub has 2 clients (websocket.max_connections)",
        "192.0.2.1 was turned away: no shard has a descriptor left",
    ]


def test_no_limit_is_no_limit() -> None:
    none = {
        "max_address_connections": 0,
        "max_unauthenticated": 0,
        "max_user_sessions": 0,
        "max_user_symbols": 0,
    }
    guests = limited(**none)
    guests.connection(HERE, 10**6)
    guests.stranger(HERE, 10**6)
    guests.session("alice", 10**6)
    guests.symbols("alice", 10**6)
    assert guests.no_room(HERE) == guests.session_problem("alice") == ""
    assert guests.symbol_room("alice") is None


def test_a_refused_key_is_counted_and_named_by_its_id_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    guests = make_guests(make_settings())
    with caplog.at_level(logging.WARNING, "hub"):
        guests.refused_key(HERE, KEY)
        guests.refused_key(HERE, KEY)
        guests.refused_key("192.0.2.2", "a secret of something else")
    assert guests.refused_keys == 3
    assert [record.message for record in caplog.records] == [
        "an API key of 192.0.2.1 was refused: id 0123abcd",
        "an API key of 192.0.2.2 was refused: no id",
    ]


def test_why_keys_cannot_be_checked_is_logged_once_however_many_come(
    caplog: pytest.LogCaptureFixture,
) -> None:
    guests = make_guests(make_settings())
    with caplog.at_level(logging.WARNING, "hub"):
        for _ in range(500):
            guests.unchecked_key("too many different API keys at once")
        guests.unchecked_key("the database cannot be read")
    assert [record.message for record in caplog.records] == [
        "API keys: too many different API keys at once",
        "API keys: the database cannot be read",
    ]
