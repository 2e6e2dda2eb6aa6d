"""The stream in which account events are kept: made once, grown when there is room, or not had."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hub.cluster.jetstream import EventStream, State
from hub.core.errors import NoAnswer, NobodyListens
from tests.hub.cluster.kit import Door, connected, error, run, stream
from tests.natsserver import server


class Scripted:
    """Answers each kind of question by its list, the last for ever."""

    def __init__(self, **answers: list[Any]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, subject: str, data: bytes, _: Mapping[str, str]) -> Mapping[str, Any]:
        kind = subject.split(".")[3].lower()
        self.asked.append((subject, json.loads(data or b"{}")))
        answers = self.answers[kind]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        found: Mapping[str, Any] = answer
        return found

    def made(self, kind: str) -> list[int]:
        """With how many replicas it was asked for."""
        return [body["num_replicas"] for subject, body in self.asked if f".{kind}." in subject]


NONE = error(10059, 404)
NOBODY = NobodyListens("x", 1)


def ensured(script: Scripted, absent_s: float = 0.0) -> tuple[EventStream, State | None]:
    """The stream after it was asked for once."""
    found: list[State | None] = []

    async def test() -> None:
        one.absent_s = absent_s
        found.append(await one.ensure())

    one = EventStream(Door(script).nats, "hub")
    run(test())
    return one, found[0]


def test_rule_1_a_stream_that_is_there_is_not_made() -> None:
    script = Scripted(info=[stream("then", 3, 9)])
    one, state = ensured(script)
    assert state == State("then", 3, 9)
    assert one.kept
    assert [subject for subject, _ in script.asked] == ["$JS.API.STREAM.INFO.hub_EVENTS"]


def test_rule_1_one_that_is_not_there_is_made_with_bounds() -> None:
    script = Scripted(info=[NONE], create=[stream()])
    assert ensured(script)[1] == State("2026", 1, 0)
    (_, (subject, body)) = script.asked
    assert subject == "$JS.API.STREAM.CREATE.hub_EVENTS"
    assert body["subjects"] == ["hub.events.>"]
    assert body["max_age"] == body["duplicate_window"] == 300 * 10**9
    assert body["max_bytes"] == 64 << 20
    assert (body["storage"], body["discard"]) == ("file", "old")


def test_rule_1_another_may_be_faster_and_see_it_otherwise() -> None:
    script = Scripted(info=[NONE, stream("its")], create=[error(10058)])
    assert ensured(script)[1] == State("its", 1, 0)


def test_rule_2_where_there_are_no_servers_for_replicas_it_has_one_and_grows() -> None:
    script = Scripted(
        info=[NONE, stream(replicas=1)],
        create=[error(10074, 500), stream(replicas=1)],
        update=[error(10005), stream()],
    )

    async def test() -> None:
        one = EventStream(Door(script).nats, "hub")
        assert await one.ensure()
        assert script.made("CREATE") == [3, 1]
        assert script.made("UPDATE") == [3], "it may be that more servers came just now"
        assert await one.ensure()
        assert script.made("UPDATE") == [3], "not each time"
        one._grow_at_s = 0
        assert await one.ensure()
        assert script.made("UPDATE") == [3, 3]

    run(test())


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (NOBODY, "NATS has no JetStream (start its servers with it)"),
        (error(10039, 503), "no JetStream for this account (because of 10039)"),
        (error(10076, 503), "no JetStream for this account (because of 10076)"),
        (error(10047, 500), "takes no stream hub_EVENTS (because of 10047)"),
        (error(10065), "takes no stream hub_EVENTS (because of 10065)"),
    ],
)
def test_rule_3_where_there_is_none_that_is_said_and_why(answer: Any, why: str) -> None:
    one, state = ensured(Scripted(info=[answer]))
    assert state is None
    assert one.kept is False
    assert why in one.why
    assert "at most once" in one.why


def test_rule_3_that_there_is_none_is_believed_when_it_is_said_for_a_while() -> None:
    async def test() -> None:
        one = EventStream(Door(Scripted(info=[NOBODY])).nats, "hub")
        one.absent_s = 0.05
        for _ in range(2):
            with pytest.raises(NoAnswer):
                await one.ensure()
        assert one.kept is None
        await asyncio.sleep(0.06)
        assert await one.ensure() is None

    run(test())


def test_rule_3_what_was_said_before_a_good_answer_does_not_count() -> None:
    async def test() -> None:
        one = EventStream(Door(Scripted(info=[NOBODY, stream(), NOBODY])).nats, "hub")
        one.absent_s = 0.05
        with pytest.raises(NoAnswer):
            await one.ensure()
        assert await one.ensure()
        await asyncio.sleep(0.06)
        with pytest.raises(NoAnswer):
            await one.ensure()
        assert one.kept

    run(test())


def test_rule_3_what_may_pass_is_no_reason() -> None:
    for passing in (error(10008, 503), NoAnswer("x", 1)):
        with pytest.raises(NoAnswer):
            ensured(Scripted(info=[passing]))


def test_a_real_one_is_made_by_two_at_once_and_holds(tmp_path: Path) -> None:
    async def test(url: str) -> None:
        async with connected(url) as door:
            streams = [EventStream(door, "hub") for _ in range(2)]
            (one, other) = await asyncio.gather(*(each.ensure() for each in streams))
            assert one == other == State(one.created if one else "", 0, 0)
            info = await streams[0].ask("STREAM.INFO.hub_EVENTS")
            config = streams[0]._config(1)
            assert {name: info["config"][name] for name in config} == config

    with server(tmp_path, jetstream=True) as up:
        run(test(up.url))
