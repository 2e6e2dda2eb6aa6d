"""The documents, held to the code: what they name exists, and what they show happens.

1. Every link between documents leads somewhere, every code block says its language and is valid.
2. Every command in them is one that `hub` takes, with those options.
3. Every file, class, function, setting, figure and control message they name exists; where a
   table claims to be complete, the reverse holds too.
4. The examples of protocol.md are sent to a session, in their order, and answered as it says.
5. The code of writing-a-feed.md is taken out and run, with its own tests.
"""

from __future__ import annotations

import ast
import asyncio
import json
import re
import shlex
import sys
import threading
import tomllib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import click
import pytest

from cli.banner import browser, python
from cli.config import markdown
from cli.main import COMMANDS, main
from hub.auth.verifier import Grant
from hub.core import config, stream, topics
from hub.core.model import Identity, Result, Stale
from hub.core.settings import Settings
from hub.feeds.base import Feed, FeedHealth, Sink
from hub.feeds.sim import SimFeed
from shards import protocol
from shards.desk import Desk
from shards.guests import Bound, Guests
from shards.session import Session
from shards.tally import Tally
from shards.wanted import ACCOUNTS
from tests.shards.house import house, live, until
from tests.shards.kit import bodies, decoded, make_settings, serve

ROOT = Path(__file__).parent.parent
PAGES = (
    "README.md",
    *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")),
)
ROOMS = ("hub", "shards", "cli")


class Block(NamedTuple):
    """A code block: its language, what else its fence says, its lines."""

    language: str
    note: str
    text: str


@cache
def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str) -> list[Block]:
    found = re.findall(r"^```(\w*) ?(.*)\n((?:.*\n)*?)```$", page(name), re.MULTILINE)
    return [Block(*one) for one in found]


def block(name: str, note: str) -> str:
    """The one block of a page whose fence says this."""
    (text,) = [one.text for one in blocks(name) if one.note == note]
    return text


def prose(name: str) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```(?:.*\n)*?```$", "", page(name), flags=re.MULTILINE)


def quoted(name: str) -> list[str]:
    """What stands between backticks in a page's prose."""
    return re.findall(r"`([^`\n]+)`", prose(name))


def table(name: str, first_column: str) -> list[list[str]]:
    """The rows of the table whose head begins with this column."""
    lines = iter(prose(name).splitlines())
    for line in lines:
        if line.startswith(f"| {first_column} |"):
            next(lines)
            break
    else:
        pytest.fail(f"{name} has no table that begins with {first_column!r}")
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def bare(cell: str) -> str:
    return cell.strip("`")


# Links and blocks.


def slug(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(name: str) -> set[str]:
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", page(name), re.MULTILINE)}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(name)):
        assert not target.startswith("/"), f"{name}: {target} is no place in the repository"
        if re.match(r"\w+://", target):
            continue
        file, _, anchor = target.partition("#")
        path = ((ROOT / name).parent / file).resolve() if file else ROOT / name
        assert path.is_file(), f"{name}: there is no {target}"
        if anchor:
            assert anchor in anchors(str(path.relative_to(ROOT))), f"{name}: no heading {target}"


def test_every_document_is_linked_from_the_readme() -> None:
    for name in PAGES[1:]:
        assert f"]({name})" in page("README.md")


@pytest.mark.parametrize("name", PAGES)
def test_code_blocks_are_what_they_say(name: str) -> None:
    readers: dict[str, Callable[[str], object]] = {
        "json": json.loads,
        "toml": tomllib.loads,
        "python": lambda text: compile(_dedented(text), name, "exec", ast.PyCF_ONLY_AST),
        "sh": lambda text: [shlex.split(line, comments=True) for line in text.splitlines()],
        "js": str,
        "text": str,
        "dockerfile": str,
        "yaml": str,
    }
    for language, note, text in blocks(name):
        assert language in readers, f"{name}: a block of language {language!r}: {text[:60]}"
        try:
            readers[language](text)
        except (ValueError, SyntaxError) as error:
            pytest.fail(f"{name}: {language} {note}: {error}\n{text}")


def _dedented(text: str) -> str:
    """A part of a function is read as one."""
    return f"def _():\n{text}" if text.startswith(" ") else text


@pytest.mark.parametrize("name", ["docs/operations.md"])
def test_settings_in_toml_blocks_can_be_used(name: str, tmp_path: Path) -> None:
    found = [one.text for one in blocks(name) if one.language == "toml"]
    assert found
    for text in found:
        (tmp_path / "hub.toml").write_text(text, encoding="utf-8")
        config.load(tmp_path / "hub.toml", {})


# Commands.


def command_lines(name: str) -> Iterator[list[str]]:
    """The arguments of every `hub` in a page's blocks."""
    for one in blocks(name):
        if one.language == "sh":
            for line in one.text.splitlines():
                yield from _hubs(line)


def command_words(name: str) -> Iterator[list[str]]:
    """The arguments of every `hub` between backticks, which need not be complete."""
    for words in quoted(name):
        if re.search(r"(^|[ /])hub ", words):
            yield from _hubs(words)


def _hubs(line: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found: list[str] | None = None
    for word in [*lexer, ";"]:
        if set(word) <= set("|&;<>()"):
            if found is not None:
                yield found
            found = None
        elif found is not None:
            found.append(word)
        elif word == "hub" or word.endswith("scripts/hub"):
            found = []


def resolve(args: Sequence[str]) -> tuple[click.Command, click.Context, list[str]]:
    """The command that these arguments name, and the arguments it gets. Raises click.UsageError."""
    command: click.Command = main
    context = click.Context(command)
    rest = list(args)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None, f"there is no command {name!r}"
        context = click.Context(found, parent=context, info_name=name)
        command = found
    return command, context, rest


def check(args: Sequence[str]) -> None:
    """Raises click.UsageError, or fails, when `hub` would not take these arguments."""
    command, context, rest = resolve(args)
    values, left, _ = command.make_parser(context).parse_args(rest)
    if isinstance(command, click.Group):
        assert rest, f"hub {shlex.join(args)} does nothing"
        return
    assert not any(left), f"too much: {left}"
    for param in command.params:
        value = values.get(param.name or "")
        if isinstance(value, str) and not isinstance(param.type, click.Path):
            param.type_cast_value(context, value)
        if isinstance(param, click.Argument) and param.required:
            assert isinstance(value, str | tuple), f"{command.name} wants {param.name}"
            assert value, f"{command.name} wants {param.name}"


def check_words(args: Sequence[str]) -> None:
    """Raises click.UsageError, or fails, when a command or an option does not exist."""
    command, _, rest = resolve(args)
    options = {"-h", "--help", *(one for param in command.params for one in param.opts)}
    unknown = [word for word in rest if word.startswith("-") and word not in options]
    assert not unknown, f"{command.name} has no {unknown}"


@pytest.mark.parametrize("name", PAGES)
def test_commands_exist_with_their_options(name: str) -> None:
    for how, found in ((check, command_lines(name)), (check_words, command_words(name))):
        for args in found:
            try:
                how(args)
            except (click.ClickException, AssertionError) as error:
                pytest.fail(f"{name}: hub {shlex.join(args)}: {error}")


@pytest.mark.parametrize(
    "line",
    [
        "hub begin",
        "hub start --shard 4",
        "hub start --shards four",
        "hub keys delete x",
        "hub keys add",
        "hub keys",
        "sudo ./scripts/hub cpu --json now",
        "HUB_API_KEY=x hub tail NSE:SBIN --mode ohlc > file",
    ],
)
def test_a_wrong_command_is_found(line: str) -> None:
    (args,) = _hubs(line)
    with pytest.raises((click.UsageError, AssertionError)):
        check(args)


def test_a_wrong_option_is_found_in_a_sentence() -> None:
    check_words(["keys", "add", "--broker"])
    with pytest.raises(AssertionError):
        check_words(["keys", "add", "--brokers"])
    with pytest.raises(click.UsageError):
        check_words(["begin"])


def test_commands_are_found_where_they_stand() -> None:
    assert [*_hubs("sudo /opt/scripts/hub config default | sudo tee x")] == [["config", "default"]]
    assert [*_hubs("A=b ./scripts/hub cpu --watch # for ever")] == [["cpu", "--watch"]]
    assert len([*command_lines("README.md")]) > 6
    assert len([*command_lines("docs/operations.md")]) > 12


def test_the_readme_lists_all_commands() -> None:
    rows = [(bare(name), does) for name, does in table("README.md", "command")]
    assert rows == [(f"hub {name}", one.summary) for name, one in COMMANDS.items() if one.section]


def test_the_readme_s_figures_are_those_of_the_performance_page() -> None:
    rows = table("README.md", "load")
    figures = re.findall(r"[\d.]+(?: %| ms| s\b)", " ".join(cell for row in rows for cell in row))
    assert len(figures) > 8
    known = re.sub(r"([\d.]+) / ([\d.]+)", r"\1 ms / \2 ms", page("docs/performance.md"))
    assert not [figure for figure in figures if figure not in known]


def test_what_scale_reckons_from_was_measured() -> None:
    rows = table("docs/scale.md", "measured")
    figures = re.findall(r"[\d.]+ (?:%|us)", " ".join(cell for row in rows for cell in row))
    assert len(figures) > 6
    known = {*re.findall(r"[\d.]+ (?:%|us)", page("docs/performance.md"))}
    assert not [figure for figure in figures if figure not in known]


def test_the_readme_shows_the_lines_that_hub_start_shows() -> None:
    url, key = Settings().ws_url(), "YOUR_API_KEY"
    assert "\n".join(python(url, key)) in page("README.md")
    assert "\n".join(browser(url, key)) in page("README.md")


# Settings.


def test_configuration_is_what_the_definitions_say() -> None:
    found = page("docs/configuration.md").partition("## ")
    generated = "\n".join(markdown())
    assert "".join(found[1:]).strip() == generated.strip(), (
        "docs/configuration.md is out of date; see its first lines for how to make it anew"
    )


@pytest.mark.parametrize("name", PAGES)
def test_settings_exist(name: str) -> None:
    known = {definition.path for definition in config.definitions()}
    variables = {definition.variable for definition in config.definitions()}
    sections = {definition.section for definition in config.definitions()}
    others = {"hub.client", "hub.toml", "hub.target", "hub.service", "hub.lock", "hub.log"}
    for word in quoted(name):
        path = word.partition(" ")[0]
        if re.fullmatch(rf"({'|'.join(sections)})\.[a-z_]+", path):
            assert path in known | others, f"{name}: there is no setting {path}"
        if re.fullmatch(r"\$?HUB_[A-Z_]+", word):
            assert word.strip("$") in variables | {"HUB_API_KEY", "HUB_CONFIG", "HUB_PAGE_TOKEN"}, (
                word
            )


# Files, classes, functions.


@cache
def names(path: Path) -> dict[str, set[str]]:
    """What a file defines at its top: each name with the names inside, if it is a class."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: dict[str, set[str]] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = {*_defined(node.body), *_attributes(node)}
        else:
            found |= {name: set() for name in _defined([node])}
    return found


def _defined(body: Sequence[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                yield from (one.id for one in ast.walk(target) if isinstance(one, ast.Name))


def _attributes(node: ast.ClassDef) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and ast.unparse(inner.value) == "self":
            yield inner.attr


def missing(word: str) -> str:
    """What is wrong with `room/file.Name.method`, a path or a folder; empty when nothing is."""
    if word.endswith(".py") or (ROOT / word).exists():
        return "" if (ROOT / word).exists() else f"there is no file {word}"
    file, _, inside = word.partition(".")
    path = ROOT / f"{file}.py"
    if not path.is_file():
        return f"there is no file {file}.py"
    outer, _, inner = inside.partition(".")
    if outer not in names(path):
        return f"{file}.py has no {outer}"
    return "" if not inner or inner in names(path)[outer] else f"{file}.py: {outer} has no {inner}"


@pytest.mark.parametrize("name", PAGES)
def test_files_and_functions_exist(name: str) -> None:
    rooms = "|".join((*ROOMS, "tests", "scripts", "systemd"))
    words = [word for word in quoted(name) if re.fullmatch(rf"({rooms})/[\w/.@-]+", word)]
    invented = {"hub/feeds/table.py"}  # the file that writing-a-feed.md writes
    found = [problem for word in words if word not in invented and (problem := missing(word))]
    assert not found, f"{name}: {'; '.join(found)}"


def test_what_does_not_exist_is_missed() -> None:
    assert not missing("hub/core/routing.Routing.offer")
    assert not missing("hub/core")
    assert missing("hub/core/routes.py")
    assert missing("hub/core/routing.Router")
    assert missing("hub/core/routing.Routing.take_all")
    mentioned = [word for word in quoted("docs/architecture.md") if word.startswith(ROOMS)]
    assert len(mentioned) > 60


def test_every_guarantee_names_tests_that_exist() -> None:
    _, *promises = re.split(r"^## \d+\. ", prose("docs/guarantees.md"), flags=re.MULTILINE)
    assert len(promises) == 11
    for promise in promises:
        title = promise.partition("\n")[0]
        named = re.findall(r"`(tests/[\w/]+\.test_\w+)`", promise)
        assert len(named) >= 2, f"{title}: held by nothing"
        assert not [word for word in named if missing(word)], title


# Control messages, the stream, figures.


def literals() -> Iterator[tuple[str, frozenset[str]]]:
    """Every control message the code writes out: its type, and its fields beside the envelope.

    What OpenAlgo's feed and its worker say is between them; the worker's docstring lists that.
    """
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            if path.is_relative_to(ROOT / "hub/feeds/openalgo"):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Dict):
                    pairs = zip(node.keys, node.values, strict=True)
                    fields = {key.value: one for key, one in pairs if isinstance(key, ast.Constant)}
                    kind = fields.get("t")
                    if isinstance(kind, ast.Constant):
                        yield str(kind.value), frozenset(map(str, fields)) - {"t", "to", "from"}


def test_control_messages_are_all_there_with_their_fields() -> None:
    documented = {
        (bare(row[0]), frozenset(re.findall(r"`(\w+)`", row[3])))
        for row in table("docs/architecture.md", "type")
    }
    assert documented == set(literals())
    rows = [tuple(row) for row in table("docs/architecture.md", "type")]
    assert len(rows) == len(set(rows)), "none stands there twice"


def test_the_kinds_of_the_stream_are_all_there() -> None:
    documented = {
        bare(row[1]).rpartition(".")[2]: bare(row[0]).encode()
        for row in table("docs/architecture.md", "kind")
    }
    assert documented == {
        name: value for name, value in vars(stream).items() if isinstance(value, bytes)
    }


def figures() -> set[str]:
    """Every name that a role's figures, or the monitor's rows, have."""
    found = set()
    files = ("hub/router.py", "shards/shard.py", "hub/feeds/host.py", "hub/runtime/role.py")
    events = ("shards/uplink.py", "hub/cluster/publisher.py", "hub/cluster/follower.py")
    for file in (*files, *events, "hub/monitor/record.py", "hub/supervisor.py"):
        for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Dict):
                found |= {key.value for key in node.keys if isinstance(key, ast.Constant)}
            elif isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("counts"):
                parts = ast.walk(node.slice)
                found |= {part.value for part in parts if isinstance(part, ast.Constant)}
    return {*map(str, found), *map(str, Bound), "in_s", "out_s"}


def test_figures_exist() -> None:
    named = {
        figure
        for row in table("docs/architecture.md", "what")
        for figure in re.findall(r"`(\w+)`", row[3])
    }
    assert len(named) >= 8
    assert named <= figures()


def test_every_limit_among_the_settings_stands_in_the_table_of_bounds() -> None:
    named = set(re.findall(r"`([a-z]+\.[a-z_]+)`", "".join(
        row[1] for row in table("docs/architecture.md", "what"))))  # fmt: skip
    limits = {
        path
        for path in (definition.path for definition in config.definitions())
        if re.search(r"\.(max_|queue|pipe|outbox|stall|auth_window|answer)", path)
    }
    assert limits <= named


# The client protocol.


def test_error_codes_are_all_there() -> None:
    documented = {bare(code) for code, _ in table("docs/protocol.md", "code")}
    assert documented == {
        value for name, value in vars(protocol).items() if name.isupper() and value == name
    }


def test_close_codes_are_all_there() -> None:
    codes = {
        value for name, value in vars(protocol).items() if name.isupper() and isinstance(value, int)
        if not name.startswith("_")
    }  # fmt: skip
    _, _, after = prose("docs/protocol.md").partition("## Close codes")
    assert {int(code) for code in re.findall(r"^\| (\d{4}) \|", after, re.MULTILINE)} == codes


class Wire:
    """A connection that keeps what is sent, and what is to be worked on."""

    address = "192.0.2.1"
    high_bytes = 4 << 20

    def __init__(self) -> None:
        self.sent = b""
        self.work: list[Awaitable[None]] = []
        self.clock_s = 0.0
        self.alarm_s = 0.0

    def known(self) -> None:
        """Nothing depends on it here."""

    def write(self, data: bytes) -> int:
        self.sent += data
        return -1

    def close(self, code: int, reason: str) -> None:
        pytest.fail(f"closed with {code} {reason}")

    def pay(self) -> None:
        pytest.fail("behind")

    def hold(self, *, reading: bool) -> None:
        pytest.fail("held")

    def spawn(self, work: Awaitable[None]) -> None:
        self.work.append(work)

    def now_s(self) -> float:
        return self.clock_s

    def wake(self, after_s: float) -> None:
        self.alarm_s = self.clock_s + after_s

    def take(self) -> list[str | bytes]:
        """What was sent since this was last asked; what is binary stays bytes."""
        data, self.sent = self.sent, b""
        return bodies(data)


class Hub:
    """A shard's desk with one session, the router and the feed `sim` played around it."""

    def __init__(self) -> None:
        self.settings = make_settings(hub={"shards": 1, "feeds": ["sim"]})
        self.desk = Desk(self.settings)
        serve(self.desk, "sim")
        self.number = 0
        self.feed = SimFeed(self.settings.sim.symbols, self.settings.sim.rate, 1)
        self.wire = Wire()
        self.session: Session

    def publish(self, pairs: Sequence[bytes]) -> None:
        """What the simulator has does not count: the page says what comes."""

    def answer(self, results: Sequence[Result]) -> None:
        keys = [result.key for result in results]
        self.desk.snapshots.opened(keys, self.number, self.number)
        self.desk.snapshots.own(keys, self.number)
        self.desk.take_results("sim", results)

    def connect(self) -> None:
        self.wire = Wire()
        guests = Guests(self.settings.websocket, Tally(None, 0, 1, lambda *_: False))
        self.session = Session(
            self.wire, self.desk, self.settings, self.verify, lambda: None, guests
        )

    async def verify(self, key: str) -> Grant | None:
        known = {"KEY_OF_ALICE": Identity("alice", "sim"), "KEY_OF_BOB": Identity("bob", "zerodha")}
        return Grant(known[key], key) if key in known else None

    async def ask(self, text: str) -> None:
        """The client sends a request, and all that follows from it happens."""
        self.session.receive(text)
        while self.wire.work:
            await self.wire.work.pop()
        while told := self.desk.tell():
            for feed, self.number, wants in told:
                if feed == ACCOUNTS:
                    found = [want.key for want in wants if want.modes]
                    self.desk.take_followed(found, self.number)
                else:
                    self.feed.apply(wants)

    def wait(self) -> None:
        """Until what the session has asked to be woken for."""
        self.wire.clock_s = self.wire.alarm_s
        self.session.fall_due()

    def bus(self, all_topics: bytes, text: str) -> None:
        """Something is published: one payload, or a line for each topic at once."""
        names = all_topics.split()
        payloads = text.strip().encode().splitlines() if len(names) > 1 else [text.strip().encode()]
        for topic, payload in zip(names, payloads, strict=True):
            if topics.kind(topic) is topics.Kind.ORDERS:
                key = topics.orders(json.loads(payload)["user_id"])
                self.desk.accounts.offer([key, payload])
            else:
                self.desk.fanout.keep([topic, payload], 0.0)
        self.desk.fanout.flush()

    def stale(self, text: str) -> None:
        """The feed's host calls keys stale, or no more."""
        rows = [Stale(key.encode(), modes) for key, modes in json.loads(text)]
        self.desk.take_stale("sim", rows, replace=False)


def test_the_examples_of_the_protocol_happen() -> None:
    asyncio.run(_play())


async def _play() -> None:
    hub = Hub()
    await hub.feed.start(hub)
    pending: list[str | bytes] = []
    counts = dict.fromkeys(("request", "reply", "bus", "tick", "stale", "notice"), 0)
    for language, note, text in blocks("docs/protocol.md"):
        if language == "python":
            continue
        kind, _, more = note.partition(" ")
        counts[kind] += 1
        if kind in {"request", "bus", "stale"}:
            assert not pending, f"protocol.md does not show this, before\n{text}\n{pending}"
            if more == "new":
                hub.connect()
            if kind == "bus":
                hub.bus(more.encode(), text)
            elif kind == "stale":
                hub.stale(text)
            else:
                await hub.ask(text.strip() if language == "json" else text)
            pending = hub.wire.take()
        else:
            if not pending:
                hub.wait()
                pending = hub.wire.take()
            assert pending, f"nothing comes where protocol.md has\n{text}"
            assert more in {"", "msgpack"}
            message = pending.pop(0)
            assert isinstance(message, bytes) == (more == "msgpack")
            assert _shown(decoded(message)) == _shown(json.loads(text))
    assert not pending
    assert min(counts.values()) >= 2
    await hub.feed.stop()


def _shown(message: Any) -> str:
    """A message with its keys in their order; the clock is no part of it."""
    assert isinstance(message, dict | list)
    if "server_timestamp" in message:
        assert isinstance(message, dict)
        assert isinstance(message["server_timestamp"], int)
        message["server_timestamp"] = 0
    return json.dumps(message, indent=1)


def test_the_mode_rules_are_those_of_the_table() -> None:
    labels = {"LTP": 1, "Quote": 2, "Depth": 3}
    rows = table("docs/protocol.md", "the client holds")
    assert len(rows) == 4
    for held, *cells in rows:
        hub = Hub()
        hub.connect()
        hub.session.identity = Identity("alice", "sim")
        for label in held.split(" and "):
            asyncio.run(_hold(hub, label))
        for label, cell in zip(labels, cells, strict=True):
            hub.wire.take()
            hub.bus(b"NSE_RELIANCE_" + label.upper().encode(), "{}")
            assert [decoded(one)["mode"] for one in hub.wire.take()] == (
                [] if cell == "nothing" else [int(cell.removeprefix("mode "))]
            )


async def _hold(hub: Hub, label: str) -> None:
    await hub.feed.start(hub)
    await hub.ask(json.dumps({"action": "subscribe", "symbol": "RELIANCE", "exchange": "NSE",
                              "mode": label}))  # fmt: skip
    await hub.feed.stop()


@pytest.mark.parametrize("knows", [True, False])
def test_the_example_client_reads_batches_and_what_a_server_without_them_sends(
    knows: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not knows:
        monkeypatch.setattr(protocol, "form", lambda *_, **__: 0)
    messages = run(block("docs/protocol.md", "messages"), "example", monkeypatch)["messages"]

    async def play() -> None:
        async with house() as one, asyncio.timeout(20):
            wanted = [{"symbol": name, "exchange": "NSE"} for name in ("SBIN", "INFY")]
            stream = messages(f"ws://127.0.0.1:{one.port}", "alice", wanted)
            auth = await anext(stream)
            assert auth.get("encoding") == ("msgpack" if knows else None)
            assert (await anext(stream))["type"] == "subscribe"
            pairs = [b"NSE_SBIN_QUOTE", b'{"ltp": 1}', b"NSE_INFY_QUOTE", b'{"ltp": 2.0}']
            one.desk.fanout.offer(pairs)
            one.desk.fanout.flush()
            ticks = [await anext(stream) for _ in wanted]
            assert [(tick["symbol"], tick["data"]) for tick in ticks] == [
                ("SBIN", {"ltp": 1}), ("INFY", {"ltp": 2.0}),
            ]  # fmt: skip
            await stream.aclose()
            await until(lambda: len(one.gateway) == 0)

    live(play)


# Writing a feed.


def run(source: str, name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run a block of Python as a module of that name; what it defines."""
    module = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(source, name, "exec"), module.__dict__)
    return vars(module)


def test_the_example_feed_passes_its_own_tests(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page_ = "docs/writing-a-feed.md"
    run(block(page_, "table"), "hub.feeds.table", monkeypatch)
    tests = run(block(page_, "tests"), "test_table", monkeypatch)
    found = [value for name, value in tests.items() if name.startswith("test_")]
    assert found
    for test in found:
        test(tmp_path)


def test_the_example_feed_has_all_members_and_says_why_it_cannot_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    table_ = run(block("docs/writing-a-feed.md", "table"), "hub.feeds.table", monkeypatch)
    feed = table_["TableFeed"](tmp_path / "none.csv", every_s=1.0)
    members = {"name", "serves", "limits", "start", "apply", "health", "stop"}
    assert members <= set(dir(feed))
    assert members == names(ROOT / "hub/feeds/base.py")["Feed"]
    assert isinstance(feed.health(), FeedHealth)
    with pytest.raises(table_["StartError"], match=r"none\.csv cannot be played"):
        asyncio.run(feed.start(None))


def test_the_tables_name_all_that_a_feed_and_its_sink_have() -> None:
    defined = names(ROOT / "hub/feeds/base.py")
    for protocol_, head in ((Feed, "member"), (Sink, "call")):
        rows = table("docs/writing-a-feed.md", head)
        documented = {bare(row[0]).partition("(")[0] for row in rows}
        assert documented == defined[protocol_.__name__]


def test_the_example_of_threads_hands_over_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    inbox = run(block("docs/writing-a-feed.md", "inbox"), "inbox", monkeypatch)["Inbox"]
    expected = [b"%d" % number for number in range(2000)]
    got: list[bytes] = []

    async def receive() -> None:
        done = asyncio.Event()

        class Keeper:
            def publish(self, pairs: Sequence[bytes]) -> None:
                assert threading.current_thread() is threading.main_thread()
                got.extend(pairs)
                if len(got) == len(expected):
                    done.set()

        box = inbox(Keeper())
        pairs = zip(expected[::2], expected[1::2], strict=True)
        library = threading.Thread(target=lambda: [box.put(*pair) for pair in pairs])
        library.start()
        async with asyncio.timeout(20):
            await done.wait()
        library.join()

    asyncio.run(receive())
    assert got == expected
