"""The control plane over real sockets: stays, leases, questions."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from hub.core import codec, stream
from hub.core.codec import Message
from hub.core.errors import NoAnswer, NotRunning
from hub.core.names import CONTROL
from hub.runtime import control
from hub.runtime.control import ControlLink, Switch, ask
from hub.runtime.links import connect, ipc


@pytest.fixture
def directory() -> Iterator[Path]:
    """A runtime directory with a short name."""
    path = Path(tempfile.mkdtemp(prefix="hub-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beats come often, so that nobody waits for one."""
    monkeypatch.setattr(control, "BEAT_S", 0.02)


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test; an error in a callback fails it."""
    errors: list[dict[str, Any]] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, error: errors.append(error))
        await asyncio.wait_for(test, 30)

    asyncio.run(watched())
    assert errors == []


async def until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not met():  # noqa: ASYNC110  # what is met has no event: it is in a socket
            await asyncio.sleep(0.005)


class Router:
    """The other end: keeps what it hears, and answers as it is told to."""

    def __init__(self, directory: Path, lease: int = 1) -> None:
        self.heard: list[tuple[str, Message]] = []
        self.lease = lease
        self.welcome = {"t": "welcome", "version": stream.VERSION}
        self.switch = Switch(directory, self._take)
        self.switch.start()

    def _take(self, sender: str, message: Message) -> None:
        self.heard.append((sender, message))
        if message["t"] == "hello" and self.lease:
            self.switch.send(sender, self.welcome | {"lease": self.lease})
        elif message["t"] == "question":
            self.switch.send(sender, {"t": "answer", "to": message["to"]})
        elif message["t"] == "lost":
            self.switch.send(sender, {"t": "absent", "who": message["to"]})

    def of(self, kind: str) -> list[Message]:
        return [message for _, message in self.heard if message["t"] == kind]


def link(directory: Path, **options: Any) -> ControlLink:
    return ControlLink("shard-2", directory, **({"handlers": {}} | options))


def test_a_process_says_hello_until_it_is_welcome_and_then_beats(directory: Path) -> None:
    async def test() -> None:
        here = link(directory, figures=lambda: {"clients": 3})
        here.start()
        await asyncio.sleep(0)
        assert not here.connected
        router = Router(directory)
        await until(lambda: bool(router.of("beat")))
        hello, beat = router.of("hello")[0], router.of("beat")[0]
        assert router.heard[0][0] == "shard-2"
        assert hello["epoch"] == here.epoch
        assert (beat["lease"], beat["figures"]) == (1, {"clients": 3})
        assert here.connected
        beats = here._beats
        await here.stop()
        await until(lambda: bool(router.of("bye")))
        assert router.of("bye")[0]["lease"] == 1
        assert isinstance(beats, asyncio.Task)
        await until(beats.cancelled)
        router.switch.close()

    run(test())


def test_every_new_stay_is_told_once_so_that_the_whole_state_is_repeated(directory: Path) -> None:
    async def test() -> None:
        stays: list[int] = []
        here = link(directory, welcomed=lambda message: stays.append(message["lease"]))
        router = Router(directory)
        here.start()
        await until(lambda: stays == [1])
        router.switch.send("shard-2", {"t": "welcome", "lease": 1})
        router.lease = 2
        router.switch.send("shard-2", {"t": "who", "lease": 1})
        await until(lambda: len(stays) > 1)
        assert stays == [1, 2]
        await until(lambda: any(beat["lease"] == 2 for beat in router.of("beat")))
        await here.stop()
        router.switch.close()

    run(test())


def test_nothing_is_sent_before_there_is_a_welcome(directory: Path) -> None:
    async def test() -> None:
        router = Router(directory, lease=0)
        here = link(directory)
        here.start()
        here.send({"t": "interest"})
        await until(lambda: len(router.of("hello")) > 2)
        assert {message["t"] for _, message in router.heard} == {"hello"}
        await here.stop()
        router.switch.close()

    run(test())


def test_a_router_that_was_restarted_is_told_everything_again(directory: Path) -> None:
    async def test() -> None:
        stays: list[Message] = []
        here = link(directory, welcomed=stays.append)
        here.start()
        first = Router(directory)
        await until(lambda: bool(first.of("beat")))
        first.switch.close()
        second = Router(directory)  # it counts its leases from 1 again
        await until(lambda: bool(second.of("beat")))
        second.switch.send("shard-2", {"t": "who", "lease": 1})
        await until(lambda: len(stays) == 2)
        await here.stop()
        second.switch.close()

    run(test())


def test_a_message_reaches_its_handler_and_a_bad_one_stops_nothing(directory: Path) -> None:
    async def test() -> None:
        got: list[int] = []
        handlers = {"number": lambda message: got.append(int(message["value"]))}
        here = link(directory, handlers=handlers)
        router = Router(directory)
        here.start()
        await until(lambda: here.connected)
        for message in (
            {"t": "number"},
            {"t": "number", "value": "x"},
            {"t": "number", "value": None},
            {"t": "unknown"},
        ):
            assert router.switch.send("shard-2", message)
        router.switch._sock.send_multipart([b"shard-2", b"junk"])
        assert router.switch.send("shard-2", {"t": "number", "value": 4})
        await until(lambda: got == [4])
        assert here._pump.faults == 0, "none of it is a fault of this process"
        await here.stop()
        router.switch.close()

    run(test())


def test_only_the_router_itself_can_welcome_refuse_or_ask_who(directory: Path) -> None:
    async def test() -> None:
        stays: list[int] = []
        refused: list[str] = []
        heard: list[Message] = []
        here = link(
            directory,
            welcomed=lambda message: stays.append(message["lease"]),
            refused=refused.append,
            handlers={"pulse": heard.append, "last": heard.append},
        )
        router = Router(directory)
        here.start()
        await until(lambda: stays == [1])
        for message in (
            router.welcome | {"lease": 9, "from": "shard-0"},
            {"t": "who", "lease": 1, "from": "shard-0"},
            {"t": "refused", "why": "so", "from": "shard-0"},
            {"t": "pulse", "from": "shard-0"},
            {"t": "who"},  # what is missing is missed by nobody
            {"t": "refused"},
            router.welcome,
            {"t": "last", "from": "shard-0"},
        ):
            router.switch.send("shard-2", message)
        await until(lambda: bool(heard))
        assert ([message["t"] for message in heard], stays, refused) == (["last"], [1], [])
        assert here._lease == 1
        await here.stop()
        router.switch.close()

    run(test())


def test_a_router_that_names_no_version_is_of_the_first_and_refused(directory: Path) -> None:
    """The first version knew of none; what it sends would be misread."""

    async def test() -> None:
        why: list[str] = []
        stays: list[Message] = []
        here = link(directory, refused=why.append, welcomed=stays.append)
        router = Router(directory)
        here.start()
        await until(lambda: here.connected)
        router.switch.send("shard-2", {"t": "welcome", "lease": 9})
        await until(lambda: bool(why))
        assert "the router speaks version 1 " in why[0]
        assert len(stays) == 1
        await here.stop()
        router.switch.close()

    run(test())


def test_a_router_that_is_silent_is_no_longer_connected(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        here = link(directory)
        router = Router(directory)
        here.start()
        await until(lambda: here.connected)
        monkeypatch.setattr(control, "MISSED_S", -1)
        assert not here.connected
        assert repr(here) == "<ControlLink shard-2 alone>"
        await here.stop()
        router.switch.close()

    run(test())


def test_the_switch_says_whether_somebody_is_there(directory: Path) -> None:
    async def test() -> None:
        router = Router(directory)
        assert not router.switch.send("shard-9", {"t": "pulse"})
        here = link(directory)
        here.start()
        await until(lambda: here.connected)
        assert router.switch.send("shard-2", {"t": "pulse"})
        await here.stop()
        router.switch.close()

    run(test())


def test_whatever_bytes_come_the_switch_counts_them_and_reads_on(directory: Path) -> None:
    async def test() -> None:
        router = Router(directory)
        sock = connect(zmq.DEALER, ipc(directory, CONTROL), identity="cli-1")
        for frame in (b"", b"\xc1", b"junk", codec.encode({"t": "x"})[:-1]):
            sock.send(frame)
        sock.send(codec.encode({"t": "good"}))
        await until(lambda: bool(router.of("good")))
        assert router.switch.malformed == 4
        sock.close()
        odd = connect(zmq.DEALER, ipc(directory, CONTROL))
        odd.setsockopt(zmq.IDENTITY, b"x")
        odd.send(codec.encode({"t": "anonymous"}))  # its name is five bytes of zmq's own
        await until(lambda: router.switch.malformed == 5 or bool(router.of("anonymous")))
        odd.close()
        router.switch.close()

    run(test())


def test_a_question_gets_its_answer(directory: Path) -> None:
    async def test() -> None:
        router = Router(directory)
        answer = await ask(directory, "monitor", {"t": "question"})
        assert answer == {"t": "answer", "to": "monitor"}
        assert router.heard[0][0].startswith("cli-")
        router.switch.close()

    run(test())


def test_asking_where_no_hub_runs_says_so(directory: Path) -> None:
    with pytest.raises(NotRunning, match="no hub runs at"):
        asyncio.run(ask(directory, "monitor", {"t": "question"}))


def test_a_socket_that_a_dead_hub_left_behind_is_no_answer(directory: Path) -> None:
    (directory / CONTROL).touch()
    with pytest.raises(NoAnswer) as caught:
        asyncio.run(ask(directory, "monitor", {"t": "question"}, timeout_s=0.05))
    assert caught.value.waited_s == 0.05
    assert "monitor" in caught.value.who


def test_whoever_is_silent_is_named(directory: Path) -> None:
    async def test() -> None:
        router = Router(directory)
        with pytest.raises(NoAnswer, match="monitor"):
            await ask(directory, "monitor", {"t": "nothing"}, timeout_s=0.05)
        router.switch.close()

    run(test())


def test_whoever_is_absent_is_named_at_once(directory: Path) -> None:
    async def test() -> None:
        router = Router(directory)
        with pytest.raises(NotRunning, match="has no shard-9 just now"):
            await ask(directory, "shard-9", {"t": "lost"}, timeout_s=20)
        router.switch.close()

    run(test())
