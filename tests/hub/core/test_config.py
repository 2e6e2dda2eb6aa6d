"""Settings from all sources, and every problem at once."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.core import config
from hub.core.config import Given
from hub.core.errors import ConfigError
from hub.core.settings import Hub, Nats, Settings

WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters=","),
    min_size=1,
    max_size=12,
)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz_-0123456789", min_size=1, max_size=8)


def load(
    text: str = "",
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
    *,
    directory: Path | None = None,
) -> Settings:
    file = None
    if directory is not None:
        file = directory / "hub.toml"
        file.write_text(text, encoding="utf-8")
    return config.load(file, environ or {}, flags)


def problems(*args: Any, **options: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(*args, **options)
    return caught.value.problems


def value_of(settings: Settings, path: str) -> Any:
    section, _, name = path.partition(".")
    return getattr(getattr(settings, section), name)


@st.composite
def flags(draw: st.DrawFn) -> dict[str, Any]:
    """Any settings that pass their own limits, as flags."""
    given_ = {
        "hub.shards": st.integers(1, 64),
        "hub.feeds": st.lists(NAMES, min_size=1, max_size=3),
        "hub.runtime_dir": WORDS,
        "hub.log_level": st.sampled_from(["debug", "info", "warning", "error"]),
        "hub.stop_s": st.floats(0.1, 300),
        "websocket.host": WORDS,
        "websocket.port": st.integers(0, 65535).filter(lambda port: port != Settings().bus.port),
        "websocket.auth_window_s": st.floats(1e-9, 86_400),
        "websocket.snapshot": st.booleans(),
        "websocket.outbox_bytes": st.integers(4096, 2**60),
        "flow.window_ms": st.floats(0, 50),
        "upstream.linger_s": st.floats(0, 86_400),
        "sim.seed": st.integers(0, 2**62),
        "keys.file": st.just("") | WORDS,
        "openalgo.path": st.just("") | WORDS,
        "openalgo.max_hang_s": st.floats(1, 86_400),
        "keys.brokers": st.lists(NAMES, max_size=3),
    }
    chosen = draw(st.sets(st.sampled_from(sorted(given_))))
    return {path: draw(given_[path]) for path in sorted(chosen)}


def test_without_any_source_the_defaults_hold() -> None:
    settings = load()
    assert settings == Settings()
    for definition in config.definitions():
        assert value_of(settings, definition.path) == definition.default


def test_the_defaults_a_user_relies_on() -> None:
    settings = load()
    assert settings.hub.shards == 4
    assert settings.hub.feeds == ["bus"]
    assert settings.ws_url() == "ws://127.0.0.1:8765"
    assert (settings.bus.host, settings.bus.port) == ("127.0.0.1", 5555)
    assert settings.websocket.host == "127.0.0.1"


def test_flags_beat_the_environment_which_beats_the_file(tmp_path: Path) -> None:
    text = "[hub]\nshards = 2\nstop_s = 2.0\nlog_level = 'debug'\n"
    environ = {"HUB_SHARDS": "3", "HUB_STOP_S": "3"}
    settings = load(text, environ, {"hub.shards": 5}, directory=tmp_path)
    assert (settings.hub.shards, settings.hub.stop_s, settings.hub.log_level) == (5, 3.0, "debug")


def test_the_weakest_source_beats_the_defaults_alone(tmp_path: Path) -> None:
    weakest = {
        "hub.shards": Given("elsewhere", 1),
        "hub.stop_s": Given("elsewhere", 1.0),
        "hub.log_level": Given("elsewhere", "error"),
        "bus.port": Given("elsewhere", 6000),
    }
    file = tmp_path / "hub.toml"
    file.write_text("[hub]\nshards = 2\n")
    settings = config.load(file, {"HUB_STOP_S": "3"}, {"hub.log_level": "debug"}, weakest)
    assert (settings.hub.shards, settings.hub.stop_s, settings.hub.log_level) == (2, 3.0, "debug")
    assert settings.bus.port == 6000


def test_a_value_of_the_weakest_source_is_checked_and_its_place_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(None, {}, {"bus.port": 1}, {"bus.port": Given("there: LINE", 70_000)})
    (problem,) = caught.value.problems
    assert problem.startswith("there: LINE: bus.port = 70000: ")


def test_what_the_strongest_source_says_is_known_before_all_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "hub.toml"
    file.write_text('[hub]\nshards = 0\nlog_level = "debug"\n')
    environ = {"HUB_LOG_LEVEL": "info"}
    assert config.said("hub.log_level", file, environ, {"hub.log_level": "error"}) == "error"
    assert config.said("hub.log_level", file, environ, {"hub.log_level": None}) == "info"
    assert config.said("hub.log_level", file, {}) == "debug"
    assert config.said("hub.log_level", None, {}) is None
    assert config.said("hub.shards", file, {}) is None, "what cannot be used is left to load"


@pytest.mark.parametrize("isolate", ["user", "broker", "none"])
def test_ticks_are_isolated_in_one_of_three_ways(isolate: str) -> None:
    assert load("", {"HUB_UPSTREAM_ISOLATE": isolate}).upstream.isolate == isolate
    assert "upstream.isolate" in problems("", {"HUB_UPSTREAM_ISOLATE": f"{isolate}s"})[0]


def test_a_flag_that_was_not_given_overrules_nothing() -> None:
    assert load("", {"HUB_SHARDS": "3"}, {"hub.shards": None}).hub.shards == 3


@pytest.mark.parametrize("shards", [1, 64])
def test_one_to_64_shards_may_be_had(shards: int) -> None:
    assert load("", {}, {"hub.shards": shards}).hub.shards == shards


@pytest.mark.parametrize("shards", [0, 1000, -1, 65])
def test_no_shards_and_a_thousand_are_refused_whatever_the_source(
    shards: int, tmp_path: Path
) -> None:
    (flag,) = problems("", {}, {"hub.shards": shards})
    (variable,) = problems("", {"HUB_SHARDS": str(shards)})
    (line,) = problems(f"[hub]\nshards = {shards}\n", directory=tmp_path)
    assert flag.startswith("flag: hub.shards = ")
    assert variable.startswith("$HUB_SHARDS: hub.shards = ")
    assert line.startswith(f"{tmp_path / 'hub.toml'}: hub.shards = ")
    for problem in (flag, variable, line):
        assert str(shards) in problem


def test_an_unknown_setting_names_the_nearest_known_one(tmp_path: Path) -> None:
    (problem,) = problems("[hub]\nshard = 2\n", directory=tmp_path)
    assert "there is no setting hub.shard; did you mean hub.shards?" in problem


def test_a_known_name_in_the_wrong_section_is_unknown(tmp_path: Path) -> None:
    (problem,) = problems("[bus]\nshards = 2\n", directory=tmp_path)
    assert "there is no setting bus.shards" in problem


def test_a_name_like_no_other_is_sent_to_the_documentation() -> None:
    (problem,) = problems("", {}, {"zzzz.qqqq": 1})
    assert problem == "flag: there is no setting zzzz.qqqq; see `hub config doc`"


def test_all_problems_of_all_sources_are_told_at_once(tmp_path: Path) -> None:
    text = "stray = 1\n[hub]\nshards = 0\nfeeds = []\n[websockt]\nport = 1\n"
    found = problems(
        text, {"HUB_WEBSOCKET_PORT": "eighty"}, {"flow.window_ms": 99}, directory=tmp_path
    )
    assert len(found) == 6
    for part in (
        "stray stands outside",
        "hub.shards",
        "hub.feeds",
        "websockt.port",
        "$HUB_WEBSOCKET_PORT",
        "flag: flow.window_ms",
    ):
        assert any(part in problem for problem in found), part


def test_variables_that_are_no_settings_belong_to_somebody_else() -> None:
    environ = {"HUB_LEASH": "1", "HUB_CONFIG": "x", "PATH": "/bin", "SHARDS": "9"}
    assert load("", environ) == Settings()


def test_a_variable_that_nearly_is_a_setting_is_a_slip_of_the_pen() -> None:
    assert problems("", {"HUB_SHARD": "9"}) == (
        "$HUB_SHARD: no such setting; did you mean $HUB_SHARDS?",
    )


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("false", False), ("1", True), ("0", False)]
)
def test_the_environment_can_say_yes_and_no(text: str, value: bool) -> None:
    assert load("", {"HUB_WEBSOCKET_SNAPSHOT": text}).websocket.snapshot is value


def test_lists_in_the_environment_have_commas() -> None:
    assert load("", {"HUB_FEEDS": "bus, sim,"}).hub.feeds == ["bus", "sim"]
    (problem,) = problems("", {"HUB_FEEDS": " , "})
    assert "hub.feeds" in problem


def test_a_file_that_is_not_there_or_not_toml_is_a_problem(tmp_path: Path) -> None:
    for file, sentence in (
        (tmp_path / "none.toml", "cannot be read"),
        (tmp_path / "bad.toml", "not a TOML file"),
        (tmp_path / "latin.toml", "not a TOML file"),
    ):
        if file.name == "bad.toml":
            file.write_text("[hub\n", encoding="utf-8")
        if file.name == "latin.toml":
            file.write_bytes(b"# caf\xe9\n")
        with pytest.raises(ConfigError, match=sentence):
            config.load(file, {})


def test_numbers_must_be_finite(tmp_path: Path) -> None:
    for number in ("inf", "nan", "1e400"):
        (problem,) = problems(f"[websocket]\nstall_s = {number}\n", directory=tmp_path)
        assert "websocket.stall_s" in problem


@settings(max_examples=10)
@given(flags())
def test_the_environment_of_a_child_makes_the_same_settings(given_: dict[str, Any]) -> None:
    settings = load("", {}, given_)
    assert load("", config.environment(settings)) == settings


@settings(max_examples=10)
@given(flags(), flags())
def test_what_a_flag_overruled_does_not_come_back_in_a_child(
    inherited: dict[str, Any], given_: dict[str, Any]
) -> None:
    environ = config.environment(load("", {}, inherited))
    settings = load("", environ, given_)
    assert load("", environ | config.environment(settings)) == settings


@settings(max_examples=10)
@given(flags())
def test_as_toml_loads_back_to_the_same_settings(given_: dict[str, Any]) -> None:
    settings = load("", {}, given_)
    document = tomllib.loads(config.as_toml(settings))
    back = {
        f"{section}.{name}": value
        for section, names in document.items()
        for name, value in names.items()
    }
    assert load("", {}, back) == settings
    assert list(back) == [definition.path for definition in config.definitions()]


def test_the_file_of_defaults_is_one_that_changes_nothing(tmp_path: Path) -> None:
    assert load(config.as_toml(), directory=tmp_path) == Settings()


def test_every_setting_has_a_sentence_and_a_variable_of_its_own() -> None:
    definitions = list(config.definitions())
    assert all(definition.text.rstrip().endswith(".") for definition in definitions)
    variables = [definition.variable for definition in definitions]
    assert len(set(variables)) == len(variables)
    assert {"HUB_SHARDS", "HUB_WEBSOCKET_PORT", "HUB_BUS_PORT"} <= set(variables)


def test_units_stand_in_the_names_and_in_the_definitions() -> None:
    ends = {"_s": "s", "_ms": "ms", "_bytes": "bytes"}
    for definition in config.definitions():
        unit = next((unit for end, unit in ends.items() if definition.name.endswith(end)), "")
        assert not unit or definition.unit == unit, definition.path


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        load().hub.shards = 9  # type: ignore[misc]  # the point of the test


@pytest.mark.parametrize(
    ("host", "shown"),
    [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("192.168.1.5", "192.168.1.5")],
)
def test_the_url_is_one_a_client_on_this_machine_can_use(host: str, shown: str) -> None:
    assert load("", {}, {"websocket.host": host}).ws_url() == f"ws://{shown}:8765"
    assert load("", {}, {"page.host": host}).page_url() == f"http://{shown}:8766"
    assert load("", {}, {"page.enabled": False}).page_url() == ""


def test_supported_brokers_are_the_feeds_unless_named() -> None:
    assert load("", {"HUB_FEEDS": "bus,sim"}).supported_brokers() == ["bus", "sim"]
    assert load("", {"HUB_KEYS_BROKERS": "zerodha"}).supported_brokers() == ["zerodha"]


def test_types_are_told_in_words() -> None:
    words = {definition.path: definition.type for definition in config.definitions()}
    assert words["hub.shards"] == "integer"
    assert words["hub.feeds"] == "list of text"
    assert words["websocket.snapshot"] == "true or false"
    assert words["flow.window_ms"] == "number"
    assert words["keys.file"] == "text"
    assert msgspec.json.encode(words)


@pytest.mark.parametrize(("clients", "bus", "good"), [(9000, 9000, False), (0, 0, True)])
def test_the_two_ports_are_two(clients: int, bus: int, good: bool) -> None:
    flags = {"websocket.port": clients, "bus.port": bus}
    if good:
        assert config.load(None, {}, flags).bus.port == bus
    else:
        with pytest.raises(ConfigError, match="both 9000"):
            config.load(None, {}, flags)


def test_sessions_that_cannot_be_read_are_all_told_with_their_source(tmp_path: Path) -> None:
    text = "[market]\nsessions = ['NSE mon-fri', 'BSE always', 'X mon 10:00-09:00']\n"
    found = problems(text, {"HUB_MARKET_TIMEZONE": "India"}, directory=tmp_path)
    assert [problem.partition(": '")[0] for problem in found] == [
        f"{tmp_path / 'hub.toml'}: market.sessions",
        f"{tmp_path / 'hub.toml'}: market.sessions",
        "$HUB_MARKET_TIMEZONE: market.timezone",
    ]
    assert "market.holidays" in problems(flags={"market.holidays": ["8.11."]})[0]


def test_sessions_go_through_the_environment_as_they_are() -> None:
    sessions = ["NSE BSE mon-fri 09:15-15:15", "CRYPTO always"]
    settings = load(flags={"market.sessions": sessions})
    assert config.load(environ=config.environment(settings)).market.sessions == sessions


def test_what_a_machine_is_among_others_and_the_files_it_needs_for_that() -> None:
    nats = Nats(creds_file="/a.creds", tls_ca="/ca.pem", user="me")
    assert nats.files == (Path("/a.creds"), Path("/ca.pem"))
    assert Settings().cluster_role == ""
    assert Settings(hub=Hub(feeds=["sim", "nats"])).cluster_role == "edge"
    ingest = Settings(hub=Hub(shards=0), nats=Nats(publish=True))
    assert (ingest.cluster_role, ingest.ws_url()) == ("ingest", "")


@pytest.mark.parametrize(
    "line", ['servers = "nats://me:hidden@host"', 'servers = ["nats://me:hid den@host"]']
)
def test_a_password_in_an_address_is_not_told(line: str, tmp_path: Path) -> None:
    (problem,) = problems(f"[nats]\n{line}\n", directory=tmp_path)
    assert "nats.servers" in problem
    assert "hid" not in problem
