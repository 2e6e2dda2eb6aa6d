"""Each form of a source is read as the settings name it, and none tells what it holds."""

from __future__ import annotations

import asyncio
import shlex
import sys
from pathlib import Path

import msgspec
import pytest

from hub.core.errors import ConfigError, HubError
from hub.core.settings import Account, Keys, Settings
from hub.credentials.said import Said
from hub.credentials.sources import CommandSource, Source, folder, sources_of
from tests.hub.credentials.kit import broker

SECRET = "sesame"


def settings(*given: str, keys: str = "") -> Settings:
    return Settings(angel=Account(credentials=list(given)), keys=Keys(file=keys))


def source(given: str, environ: dict[str, str] | None = None) -> Source:
    (found,) = sources_of(broker(), settings(given), environ or {})
    return found


def said(one: Source) -> dict[str, str]:
    return dict(asyncio.run(one.read()).fields)


def write(path: Path, content: str = f"API_KEY={SECRET}", mode: int = 0o600) -> Path:
    path.write_text(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("form", ["{}", "env:{}", "~/{}"])
def test_a_file_is_read_with_its_stamp(tmp_path: Path, form: str) -> None:
    path = write(tmp_path / "angel.env")
    name = path.name if form.startswith("~") else str(path)
    one = source(form.format(name), {"HOME": str(tmp_path)})
    assert one.name == str(path)
    first = asyncio.run(one.read())
    assert first.fields == {"api_key": SECRET}
    assert asyncio.run(one.stamp()) == first.stamp
    write(path, "API_KEY=other")
    assert asyncio.run(one.stamp()) != first.stamp
    assert SECRET not in repr(first)


def test_a_file_that_is_not_safe_or_not_there_says_what_to_do(tmp_path: Path) -> None:
    one = source(str(tmp_path / "angel.env"))
    with pytest.raises(HubError, match=r"angel\.env is not there"):
        asyncio.run(one.read())
    assert asyncio.run(one.stamp()) is None
    for mode in (0o640, 0o604, 0o660):
        write(tmp_path / "angel.env", mode=mode)
        with pytest.raises(HubError, match="type `chmod 600 "):
            asyncio.run(one.read())
    write(tmp_path / "angel.env", SECRET)
    with pytest.raises(HubError, match="cannot be understood: line 1 is not NAME=value") as raised:
        asyncio.run(one.read())
    assert SECRET not in str(raised.value)


def test_the_environment_alone(tmp_path: Path) -> None:
    one = source("env:", {"ANGEL_API_KEY": SECRET, "PIN": "1"})
    assert said(one) == {"api_key": SECRET}
    assert one.name == "the environment"
    assert asyncio.run(one.stamp()) == asyncio.run(one.read()).stamp


def test_without_a_source_the_file_beside_the_keys_and_the_environment_over_it(
    tmp_path: Path,
) -> None:
    environ = {"CONFIGURATION_DIRECTORY": str(tmp_path), "ANGEL_PIN": "2", "ANGEL_X": "3"}
    (one,) = sources_of(broker(), settings(), environ)
    assert said(one) == {"pin": "2"}
    write(tmp_path / "angel.env", "API_KEY=a\nPIN=1")
    assert said(one) == {"api_key": "a", "pin": "2"}
    (two,) = sources_of(broker(), settings(keys=str(tmp_path / "keys.json")), {})
    assert said(two) == {"api_key": "a", "pin": "1"}
    assert two.name == str(tmp_path / "angel.env")
    (tmp_path / "angel.env").unlink()
    with pytest.raises(HubError, match="is not there"):
        asyncio.run(two.read())


def command(*arguments: str) -> str:
    return f"command:{shlex.join([sys.executable, *arguments])}"


def test_what_a_command_prints_is_read_and_its_arguments_are_told_nowhere(tmp_path: Path) -> None:
    one = source(command("-c", f"print('PIN={SECRET}')"))
    assert said(one) == {"pin": SECRET}
    assert one.name == f"command:{Path(sys.executable).name}"
    for code in (f"raise SystemExit('{SECRET}')", f"print('{SECRET}')"):
        with pytest.raises(HubError) as raised:
            asyncio.run(source(command("-c", code)).read())
        assert SECRET not in str(raised.value)


def test_a_command_is_asked_again_once_a_minute(tmp_path: Path) -> None:
    now, runs = [0.0], tmp_path / "runs"
    code = f"open({str(runs)!r}, 'a').write('x'); print('PIN=', open({str(runs)!r}).read(), sep='')"
    one = CommandSource(shlex.join([sys.executable, "-c", code]), "angel", lambda: now[0])
    first = asyncio.run(one.read())
    assert first == Said(first.stamp, {"pin": "x"})
    now[0] = 59.0
    assert asyncio.run(one.stamp()) == first.stamp
    now[0] = 60.0
    assert asyncio.run(one.stamp()) != first.stamp
    assert len(runs.read_text()) == 2


def test_a_command_that_fails_has_its_error_for_a_stamp_until_it_does_not(tmp_path: Path) -> None:
    now, file = [0.0], tmp_path / "f"
    one = CommandSource(f"cat {file}", "angel", lambda: now[0])
    with pytest.raises(HubError):
        asyncio.run(one.read())
    failed = asyncio.run(one.stamp())
    now[0] = 60.0
    assert asyncio.run(one.stamp()) == failed
    write(file)
    now[0] = 120.0
    assert asyncio.run(one.stamp()) != failed


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("angel.env", "'angel.env': it is no whole path; begin it with / or ~/"),
        ("command:", "'command:...': no command is named"),
        (f"command:x '{SECRET}", "'command:...': No closing quotation"),
        ("openalgo:alice", "openalgo.path must say where the checkout"),
    ],
)
def test_a_source_that_is_none_is_a_wrong_setting(given: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as raised:
        source(given)
    assert raised.value.problems[0].startswith("angel.credentials = ")
    assert sentence in raised.value.problems[0]
    assert SECRET not in str(raised.value)


def test_there_is_one_for_each_account_and_one_for_a_broker_that_wants_nothing() -> None:
    found = sources_of(broker(), settings("/a", "/b", "env:"), {})
    assert [one.name for one in found] == ["/a", "/b", "the environment"]
    (none,) = sources_of(broker(name="binance", fields=()), settings(), {})
    assert (none.name, said(none)) == ("none needed", {})


def test_where_credentials_are_that_nobody_named() -> None:
    assert folder(Settings(), {"HOME": "/h"}) == Path("/h/.config/shardhub")
    given = msgspec.structs.replace(Settings(), keys=Keys(file="/k/keys.json"))
    assert folder(given, {"HOME": "/h"}) == Path("/k")
