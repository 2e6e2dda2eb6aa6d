"""A list is replaced by a better one, or stays."""

from __future__ import annotations

import asyncio
import fcntl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest

from hub.brokers.base import Broker, Source
from hub.core.errors import BrokerError, HubError
from hub.core.model import Fault
from hub.core.settings import Account, Settings
from hub.instruments import store
from hub.instruments import update as updating
from hub.instruments.store import Store
from hub.instruments.update import Progress, _name, where_of
from hub.runtime import http
from tests.hub.instruments.kit import INDEX, SOURCES, broker, lay


class Handler(SimpleHTTPRequestHandler):
    """Serves files; each path in `failing` is refused as often as it says there, after `half`."""

    failing: dict[str, int]
    asked: list[str]
    half: bytes

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.failing.get(self.path, 0):
            self.failing[self.path] -= 1
            self.close_connection = True
            if self.half:
                self.send_response(200)
                self.send_header("Content-Length", str(len(self.half) + 1))
                self.end_headers()
                self.wfile.write(self.half)
            return
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its own name
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, type[Handler]]]:
    handler = type("One", (Handler,), {"failing": {}, "asked": [], "half": b""})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", handler
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def run(where: str | Path, path: Path, least: int = 1) -> tuple[int, list[Progress]]:
    seen: list[Progress] = []
    count = asyncio.run(updating.update(broker(least), str(where), path, seen.append))
    return count, seen


def sourced(*sources: Source, least: int = 1) -> Broker:
    """The broker, with other sources."""
    own = broker(least)
    return own._replace(instruments=own.instruments._replace(sources=sources))


def symbols(path: Path) -> list[str]:
    with Store(path) as kept:
        found = [kept.find(*name) for name in (("NSE", "EQ0"), ("NFO", "F0"))]
        assert kept.find("NSE_INDEX", "NIFTY") == INDEX
        return [one.symbol for one in found if one] + [str(kept.count)]


def test_files_of_a_folder_become_a_list(tmp_path: Path) -> None:
    path = tmp_path / "new/angel.sqlite"
    count, seen = run(lay(tmp_path / "files", 2500), path)
    assert count == 2502
    assert symbols(path) == ["EQ0", "F0", "2502"]
    assert [(one.source, one.rows) for one in seen] == [
        ("cash", 0), ("cash", 1000), ("cash", 2000), ("futures", 2500),
    ]  # fmt: skip
    assert sorted(found.name for found in path.parent.iterdir()) == [
        "angel.sqlite", "angel.sqlite.lock",
    ]  # fmt: skip


def test_files_are_downloaded_by_their_names_and_again_when_the_network_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updating, "PAUSES_S", (0.0, 0.0))
    path = tmp_path / "angel.sqlite"
    with served(lay(tmp_path / "files")) as (url, handler):
        handler.failing["/cash.csv"] = 2
        count, seen = run(url, path)
        assert count == 4
        assert handler.asked == ["/cash.csv"] * 3 + ["/nfo%20list.csv"]
        size = (tmp_path / "files/cash.csv").stat().st_size
        assert seen[0] == Progress("cash", size, size, 0)
        handler.failing["/cash.csv"] = 3
        with pytest.raises(BrokerError, match=r"cash\.csv: it broke off"):
            run(url, path)
    assert symbols(path) == ["EQ0", "F0", "4"]


def test_what_has_come_of_a_file_before_it_broke_off_is_not_in_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updating, "PAUSES_S", (0.0,))
    path = tmp_path / "angel.sqlite"
    with served(lay(tmp_path / "files")) as (url, handler):
        handler.failing["/cash.csv"] = 1
        handler.half = b"symbol,token\n" + b"".join(b"HALF%d,1\n" % n for n in range(99))
        assert run(url, path)[0] == 4
        assert handler.asked.count("/cash.csv") == 2
    assert symbols(path) == ["EQ0", "F0", "4"]


@pytest.mark.parametrize("where", ["folder", "address"])
@pytest.mark.parametrize("there", [0, 1])
def test_a_file_may_be_at_either_of_its_places(tmp_path: Path, there: int, where: str) -> None:
    path, files = tmp_path / "angel.sqlite", lay(tmp_path / "files")
    urls = ["https://x.invalid/no.csv"] * 2
    urls[there] = SOURCES[0].url
    own = sourced(Source("cash", *urls), SOURCES[1])
    with served(files) as (url, _):
        place = url if where == "address" else str(files)
        assert asyncio.run(updating.update(own, place, path, lambda _: None)) == 4
    assert symbols(path) == ["EQ0", "F0", "4"]


@pytest.mark.parametrize(("days", "count"), [(3.9, 1), (4.1, 3)])
def test_a_whole_list_is_better_than_a_part_for_four_days(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: float, count: int
) -> None:
    monkeypatch.setattr(updating, "PAUSES_S", ())
    path = tmp_path / "angel.sqlite"
    store.write(path, "Angel One", [INDEX], time.time() - days * 86_400)
    with served(lay(tmp_path / "files")) as (url, handler):
        handler.failing["/nfo%20list.csv"] = 1
        with suppress(BrokerError):
            run(url, path)
    with Store(path) as kept:
        assert kept.count == count


def test_where_there_is_no_list_a_part_is_taken_and_a_whole_one_is_due_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(updating, "PAUSES_S", ())
    path, day_s = tmp_path / "angel.sqlite", 86_400
    with served(lay(tmp_path / "files")) as (url, handler):
        handler.failing["/nfo%20list.csv"] = 2
        assert run(url, path)[0] == 3
        assert "list.csv: it broke off" in caplog.text
        with Store(path) as kept:
            assert kept.built == pytest.approx(time.time() - day_s, abs=60)
        with pytest.raises(BrokerError, match="it broke off"):
            run(url, path)
        assert symbols(path) == ["EQ0", "3"], "no worse"
        assert run(url, path)[0] == 4
        with Store(path) as kept:
            assert kept.built == pytest.approx(time.time(), abs=60)


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (
            lambda files: (files / "nfo list.csv").unlink(),
            "list.csv cannot be read: No such file or directory; put the",
        ),
        (lambda files: (files / "nfo list.csv").write_text("<html>"), "does not begin with symbol"),
    ],
)
def test_whatever_is_wrong_the_good_list_stays(tmp_path: Path, harm: object, sentence: str) -> None:
    path, files = tmp_path / "kept/angel.sqlite", lay(tmp_path / "files")
    run(files, path, least=4)
    assert callable(harm)
    harm(files)
    with pytest.raises(HubError, match=sentence):
        run(files, path, least=4)
    assert symbols(path) == ["EQ0", "F0", "4"]
    assert len(list(path.parent.iterdir())) == 2


@pytest.mark.parametrize(("least", "bound"), [(15, 15), (1, 10)])
def test_a_list_of_the_brokers_own_that_is_short_replaces_nothing(
    tmp_path: Path, least: int, bound: int
) -> None:
    """As the reader says, or as the list that is there: half of that is too short."""
    path = tmp_path / "angel.sqlite"
    with served(lay(tmp_path / "files", 17, 2)) as (url, _):
        sources = (Source(one.name, f"{url}{quote(_name(one.url))}") for one in SOURCES)
        own = sourced(*sources, least=least)
        assert asyncio.run(updating.update(own, "", path, lambda _: None)) == 20
        lay(tmp_path / "files", 4, 1)
        with pytest.raises(HubError, match=f"has 6 instruments, and a good one has {bound} or m"):
            asyncio.run(updating.update(own, "", path, lambda _: None))
    assert symbols(path) == ["EQ0", "F0", "20"]


def test_an_address_that_is_not_safe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="neither https nor of this machine"):
        run("http://lists.invalid", tmp_path / "angel.sqlite")


def test_a_broker_that_is_asked_too_often_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def download(url: str, *_: object) -> None:
        asked.append(url)
        raise BrokerError(Fault.RATE, "too often")

    monkeypatch.setattr(http, "download", download)
    with pytest.raises(BrokerError, match="too often"):
        run("", tmp_path / "angel.sqlite")
    assert asked == [source.url for source in SOURCES], "each once"


def test_who_comes_meanwhile_waits(tmp_path: Path) -> None:
    files, path = lay(tmp_path / "files", 5000), tmp_path / "angel.sqlite"

    async def both() -> list[int]:
        return await asyncio.gather(
            *(updating.update(broker(), str(files), path, lambda _: None) for _ in range(3))
        )

    assert asyncio.run(both()) == [5002] * 3
    assert symbols(path)[-1] == "5002"


def test_who_waits_says_so_and_can_be_given_up(tmp_path: Path) -> None:
    files, path = lay(tmp_path / "files"), tmp_path / "angel.sqlite"
    seen: list[str] = []

    async def wait() -> None:
        async with asyncio.timeout(0.5):
            await updating.update(broker(), str(files), path, lambda one: seen.append(one.source))

    with Path(f"{path}.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError):
            asyncio.run(wait())
    assert set(seen) == {"waits for another update"}
    assert run(files, path)[0] == 4


def test_where_the_settings_say() -> None:
    assert where_of("angel", Settings(angel=Account(instruments_url="/x"))) == "/x"
