"""Who may import whom: read from the sources with `ast`, as style.md draws it.

1. `shards` and `cli` import `hub` only, never each other; `hub` imports neither.
2. Inside `hub` imports point one way: errors, model <- core <- brokers <- runtime <- roles.
3. `hub.core` and `hub.brokers` are pure: nothing that waits, opens, draws lots or looks at the
   clock.
4. `zmq` and its protocol are a matter of `hub.runtime` alone, and `zmq` of the worker that runs in
   a checkout of OpenAlgo.
5. `nats` is a matter of hub/runtime/nats.py alone.
6. No module imports itself, by whatever detour.
7. What is not installed, `scripts` and `tests`, is imported by nothing that is.
8. The worker's files run in the checkout's interpreter, by path: they import the standard library,
   zmq, msgpack and, relatively, each other.
"""

from __future__ import annotations

import ast
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("hub", "shards", "cli")
APART = ("scripts", "tests")
IMPURE = {
    "asyncio", "concurrent", "glob", "multiprocessing", "queue", "random", "sched",
    "secrets", "select", "selectors", "shutil", "signal", "socket", "socketserver", "ssl",
    "subprocess", "tempfile", "threading", "time", "uuid",
}  # fmt: skip
CODECS = {"msgpack", "msgspec"}
"""The packages from outside that core may use: they turn bytes into values, and do nothing else."""
OF_BROKERS = {*CODECS, "google", "pyotp"}
"""Those that brokers may use: protobuf (`google`) too, and what makes one-time passwords of a time
that it is told."""
PROTOCOL = "hub.core.zmtp"
NATS = "hub.runtime.nats"
STANDARD = {"__future__", *sys.stdlib_module_names}
WORKER = "hub.feeds.openalgo.worker"
"""What the names of the files begin with that run in a checkout's interpreter."""


class Import(NamedTuple):
    """One import: the file and line where it stands, the module it names, in full."""

    file: str
    line: int
    importer: str
    imported: str
    late: bool  # inside a function, or for the type checker alone: it makes no cycle
    relative: bool = False


def module_name(file: str) -> str:
    """`hub.core.model` for `hub/core/model.py`, `hub.core` for `hub/core/__init__.py`."""
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports_of(sources: Mapping[str, str]) -> list[Import]:
    """Every import in these files; `from hub.core import topics` names the module `topics`."""
    modules = {module_name(file) for file in sources}
    return [
        Import(file, node.lineno, module_name(file), name, late, bool(getattr(node, "level", 0)))
        for file, source in sources.items()
        for node, late in _statements(ast.parse(source, file))
        for name in _names(node, file, modules)
    ]


def problems(sources: Mapping[str, str]) -> list[str]:
    """One sentence for each import that breaks a rule, and for each cycle."""
    imports = imports_of(sources)
    broken = [
        f"{one.file}:{one.line}: imports {one.imported}, but {rule}"
        for one in imports
        for rule in _broken_rules(one)
    ]
    return sorted(set(broken)) + _cycles(imports, {module_name(file) for file in sources})


def _statements(
    tree: ast.AST, *, late: bool = False
) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, late
        else:
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            yield from _statements(node, late=late or inside or typing)


def _names(node: ast.Import | ast.ImportFrom, file: str, modules: set[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = node.module or ""
    if node.level:
        package = module_name(file).split(".")
        if not file.endswith("/__init__.py"):
            package.pop()
        package = package[: len(package) - node.level + 1]
        base = ".".join([*package, base]).rstrip(".")
    for alias in node.names:
        inner = f"{base}.{alias.name}"
        yield inner if inner in modules else base


def _broken_rules(one: Import) -> Iterator[str]:
    room, target = _room(one.importer), _room(one.imported)
    if target in ROOMS and target not in {room, "hub"}:
        yield f"{room} may not import {target}: shards and cli stand on hub and know no one else"
    if target in APART:
        yield f"{target} is not installed"
    if one.importer.startswith(WORKER):
        if not _there_for_the_worker(one):
            yield "the worker has the standard library, zmq, msgpack and its own files by a dot"
    elif _is_zmq(one.imported) and _layer(one.importer) != "runtime":
        yield "only hub/runtime touches zmq"
    if one.imported.split(".")[0] == "nats" and one.importer != NATS:
        yield "only hub/runtime/nats.py touches nats"
    if room == "hub":
        yield from _broken_layers(one)
    if _layer(one.importer) in {"core", "brokers"}:
        yield from _impurities(one)


def _is_zmq(module: str) -> bool:
    return module.split(".", maxsplit=1)[0] == "zmq" or module == PROTOCOL


def _there_for_the_worker(one: Import) -> bool:
    if one.relative:
        return one.imported.startswith(WORKER)
    return one.imported.split(".")[0] in {*STANDARD, "zmq", "msgpack"}


def _broken_layers(one: Import) -> Iterator[str]:
    if _room(one.imported) != "hub" or one.imported == "hub":
        return
    order = ("nouns", "core", "brokers", "runtime", "roles")
    here, there = _layer(one.importer), _layer(one.imported)
    if here == "nouns" and there != "nouns":
        yield "errors and model import nothing of the hub but each other"
    elif order.index(there) > order.index(here):
        way = "errors, model <- core <- brokers <- runtime <- roles"
        yield f"hub's {here} may not import its {there}: {way}"


def _impurities(one: Import) -> Iterator[str]:
    top, layer = one.imported.split(".")[0], _layer(one.importer)
    packages = CODECS if layer == "core" else OF_BROKERS
    if top in IMPURE:
        yield f"hub/{layer} is pure: no sockets, loop, clock, randomness, threads or processes"
    elif top not in {*STANDARD, *ROOMS, *packages, "zmq"}:
        yield f"hub/{layer} uses no package but {' and '.join(sorted(packages))}"


def _room(module: str) -> str:
    return module.partition(".")[0]


def _layer(module: str) -> str:
    """Where a module of `hub` stands; empty for one of another room."""
    if module in {"hub.core.errors", "hub.core.model"}:
        return "nouns"
    room, _, inside = module.partition(".")
    name = inside.split(".")[0]
    if room != "hub" or not name:
        return ""
    return name if name in {"core", "brokers", "runtime"} else "roles"


def _cycles(imports: Iterable[Import], modules: set[str]) -> list[str]:
    """The first cycle there is; a package and its own modules make none."""
    found = [one for one in imports if one.imported in modules and not one.late]
    graph: dict[str, set[str]] = {}
    for one in found:
        if not one.importer.startswith(f"{one.imported}."):
            graph.setdefault(one.importer, set()).add(one.imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        around = error.args[1][::-1]
        step = next(one for one in found if [one.importer, one.imported] == around[:2])
        circle = " -> ".join(around)
        return [f"{step.file}:{step.line}: modules may not import in a circle: {circle}"]
    return []


def project_sources() -> dict[str, str]:
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for room in ROOMS
        for path in sorted((ROOT / room).rglob("*.py"))
    }


def test_imports_point_one_way() -> None:
    found = problems(project_sources())
    assert not found, "imports against the rules of style.md:\n" + "\n".join(found)


def test_the_sources_are_found() -> None:
    sources = project_sources()
    assert {"hub/core/model.py", "hub/router.py"} <= sources.keys()
    assert len(imports_of(sources)) > 100


VIOLATIONS = {
    "hub imports shards": ({"hub/router.py": "import shards.shard"}, "know no one else"),
    "hub imports cli": ({"hub/core/config.py": "from cli import main"}, "know no one else"),
    "shards import cli": ({"shards/shard.py": "import cli.render"}, "know no one else"),
    "cli imports shards": ({"cli/main.py": "from shards.shard import main"}, "know no one else"),
    "cli imports scripts": (
        {"cli/main.py": "from scripts.benchmark import report"},
        "is not installed",
    ),
    "late import": ({"cli/main.py": "def f():\n    import shards"}, "know no one else"),
    "core imports runtime": ({"hub/core/index.py": "import hub.runtime.links"}, "hub's core"),
    "core imports a role": ({"hub/core/index.py": "from hub.feeds import base"}, "hub's core"),
    "runtime imports a role": ({"hub/runtime/role.py": "import hub.auth.records"}, "hub's runtime"),
    "model imports core": (
        {"hub/core/model.py": "from hub.core import topics"},
        "errors and model",
    ),
    "relative": ({"hub/core/a/b.py": "from ...runtime import links"}, "hub's core"),
    "loop in core": ({"hub/core/latest.py": "import asyncio.events"}, "is pure"),
    "clock in core": ({"hub/core/latest.py": "from time import monotonic"}, "is pure"),
    "luck in core": ({"hub/core/latest.py": "if True:\n    import random"}, "is pure"),
    "clock in a codec": ({"hub/brokers/angel/codec.py": "import time"}, "hub/brokers is pure"),
    "package in a codec": ({"hub/brokers/x/codec.py": "import httpx"}, "uses no package but"),
    "a codec imports a role": (
        {"hub/brokers/x/codec.py": "import hub.feeds.base"},
        "hub's brokers",
    ),
    "core imports brokers": ({"hub/core/index.py": "import hub.brokers.base"}, "hub's core"),
    "package in core": ({"hub/core/frames.py": "import websockets"}, "uses no package but"),
    "zmq in core": ({"hub/core/frames.py": "import zmq"}, "only hub/runtime"),
    "zmq in a role": ({"hub/router.py": "from zmq.asyncio import Socket"}, "only hub/runtime"),
    "zmq in shards": ({"shards/shard.py": "import zmq"}, "only hub/runtime"),
    "its protocol in shards": ({"shards/shard.py": "import hub.core.zmtp"}, "only hub/runtime"),
    "nats in a role": ({"hub/feeds/nats/feed.py": "import nats.errors"}, "only hub/runtime/nats"),
    "nats in shards": ({"shards/uplink.py": "from nats import js"}, "only hub/runtime/nats"),
    "hub in the worker": (
        {"hub/feeds/openalgo/worker.py": "from hub.core import codec"},
        "the worker has",
    ),
    "the worker's own files by their whole name": (
        {"hub/feeds/openalgo/worker_b.py": "def f():\n    import hub.feeds.openalgo.worker_a"},
        "the worker has",
    ),
    "what stands beside the worker and is not of it": (
        {
            "hub/feeds/openalgo/worker.py": "from . import accounts",
            "hub/feeds/openalgo/accounts.py": "import json",
        },
        "the worker has",
    ),
    "a package in the worker": (
        {"hub/feeds/openalgo/worker_a.py": "import msgspec"},
        "the worker has",
    ),
    "circle of two": (
        {"hub/auth/a.py": "from hub.auth import b", "hub/auth/b.py": "import hub.auth.a"},
        "in a circle",
    ),
    "circle of three": (
        {
            "cli/a.py": "import cli.b",
            "cli/b.py": "from cli.c import x",
            "cli/c.py": "from . import a",
        },
        "in a circle",
    ),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_each_violation_is_found_with_file_line_and_rule(name: str) -> None:
    sources, rule = VIOLATIONS[name]
    found = problems({file: f'"""Doc."""\n\n{source}\n' for file, source in sources.items()})
    assert len(found) == 1
    where, _, said = found[0].partition(": ")
    file, _, line = where.partition(":")
    assert file in sources
    assert int(line) == 2 + sources[file].count("\n") + 1
    assert rule in said


def test_what_is_allowed_passes() -> None:
    sources = {
        "hub/__init__.py": "",
        "hub/core/__init__.py": "",
        "hub/core/errors.py": "from collections.abc import Sequence",
        "hub/core/model.py": "from hub.core.errors import Malformed",
        "hub/core/codec.py": "import json, msgpack, msgspec\nfrom hub.core import model",
        "hub/runtime/links.py": "import asyncio, time, zmq\nfrom hub.core import codec",
        "hub/runtime/nats.py": "import nats.errors\nfrom nats.aio.client import Client",
        "hub/feeds/__init__.py": "from hub.feeds.base import Feed",
        "hub/feeds/base.py": "from hub.runtime import links\nfrom hub import __version__",
        "hub/feeds/openalgo/worker.py": "import zmq, msgpack, queue\nfrom . import worker_a",
        "hub/feeds/openalgo/worker_a.py": "from .worker_b import x",
        "hub/feeds/openalgo/worker_b.py": "import json",
        "hub/router.py": "from hub.feeds import base",
        "shards/shard.py": "from hub.runtime import links\nfrom shards import outbox",
        "shards/outbox.py": """
            from typing import TYPE_CHECKING
            if TYPE_CHECKING:
                from shards.shard import Shard
        """,
        "cli/main.py": "import click, hub\nfrom hub.core import model",
    }
    assert not problems({file: textwrap.dedent(source) for file, source in sources.items()})
