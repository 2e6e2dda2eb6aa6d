"""Who is measured: the hub, variants of it, and what it is compared with."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from hub.core.errors import HubError
from scripts.benchmark import cloop, keeper, loads, mqtt, nats
from scripts.benchmark import openalgo as proxy
from scripts.benchmark.children import Child, Family
from scripts.benchmark.loads import Load
from scripts.benchmark.speech import Join

_START_S = 40.0


class Stage(NamedTuple):
    """A server that is up."""

    join: Join
    pids: Mapping[str, int]  # of its processes, by name
    outlet: tuple[str, str]  # how ticks are published and where; empty: `child` sends them itself
    child: Child


class Contender(NamedTuple):
    """One that is measured: how it is called and started, in a folder of its own."""

    name: str
    start: Callable[[Family, Load, Path], Stage]
    version: str = ""
    is_hub: bool = False
    disturbers: int = 0  # so many clients that read nothing, and so many that are slow, come too


_AMPLE = {"websocket.max_symbols": 10**6, "websocket.max_user_symbols": 10**8}


def hub(
    name: str,
    flags: Mapping[str, object],
    outlet: str = "bus",
    speech: str = "hub",
    disturbers: int = 0,
) -> Contender:
    """The hub with these settings, which gets its ticks by the bus or by a feed's batches, and
    whose clients speak its protocol in one of its forms."""

    def start(started: Family, load: Load, folder: Path) -> Stage:
        runtime_dir = folder / "run"
        runtime_dir.mkdir(mode=0o700)
        own = {"hub.shards": load.shards, **_AMPLE}
        arguments = msgspec.json.encode({**own, **flags}).decode()
        child = started.start("server", str(runtime_dir), arguments)
        ready = child.wait("ready", _START_S)
        address = f"tcp://127.0.0.1:{ready['bus']}" if outlet != "ingest" else str(runtime_dir)
        join = Join(ready["ws"], speech, ready["key"])
        return Stage(join, ready["pids"], (outlet, address), child)

    return Contender(name, start, is_hub=True, disturbers=disturbers)


def _loop() -> Contender:
    def start(started: Family, load: Load, folder: Path) -> Stage:  # noqa: ARG001  # Contender's form
        child = started.start("peer", loads.encode(load))
        port = child.wait("ready", _START_S)["port"]
        return Stage(Join(port, "nothing", probed=False), {"loop": child.pid}, ("", ""), child)

    return Contender("loop", start)


def _broadcast() -> Contender:
    def start(started: Family, load: Load, folder: Path) -> Stage:  # noqa: ARG001  # Contender's form
        child = started.start("broadcast")
        ready = child.wait("ready", _START_S)
        address = f"tcp://127.0.0.1:{ready['bus']}"
        return Stage(
            Join(ready["ws"], "hub", "any"), {"broadcast": child.pid}, ("bus", address), child
        )

    return Contender("broadcast", start)


def _c_loop() -> Contender:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise HubError("there is no C compiler here")

    def start(started: Family, load: Load, folder: Path) -> Stage:
        child = started.start("cloop", loads.encode(load), str(cloop.build(compiler, folder)))
        ready = child.wait("ready", _START_S)
        join = Join(ready["port"], "nothing", probed=False)
        return Stage(join, {"c-loop": ready["pid"]}, ("", ""), child)

    said = subprocess.run([compiler, "-dumpversion"], capture_output=True, text=True, check=False)
    return Contender("c-loop", start, f"{Path(compiler).name} {said.stdout.strip()}")


def _nats() -> Contender:
    program = nats.binary()
    if program is None:
        raise HubError("there is no nats-server here; scripts/bench installs it")
    return _server("nats", program, nats.config, nats.version(program), speech="nats")


def _cluster() -> Contender:
    """Two machines on one: NATS between the hub that has the feeds and the one that serves."""
    program = nats.binary()
    if program is None:
        raise HubError("there is no nats-server here; scripts/bench installs it")

    def start(started: Family, load: Load, folder: Path) -> Stage:
        (port,) = keeper.free_ports(1)
        command = [str(program), "-a", "127.0.0.1", "-p", str(port)]
        _, nats_pid = keep(started, keeper.Program(command, [port]))
        between = {"nats.servers": [f"nats://127.0.0.1:{port}"], **_AMPLE}
        ingest = {"nats.name": "ingest", "nats.publish": True, "hub.shards": 0}
        edge = {"nats.name": "edge", "hub.feeds": ["nats"], "hub.shards": load.shards}
        ready = {}
        for name, flags in (("ingest", ingest), ("edge", edge)):
            runtime_dir = folder / name
            runtime_dir.mkdir(mode=0o700)
            arguments = msgspec.json.encode({**between, **flags}).decode()
            child = started.start("server", str(runtime_dir), arguments)
            ready[name] = child.wait("ready", _START_S)
        pids = {f"{of} {name}": pid for of in ready for name, pid in ready[of]["pids"].items()}
        join = Join(ready["edge"]["ws"], "hub", ready["edge"]["key"])
        outlet = "bus", f"tcp://127.0.0.1:{ready['ingest']['bus']}"
        return Stage(join, {"nats": nats_pid, **pids}, outlet, child)

    return Contender("cluster", start, nats.version(program))


def _mosquitto() -> Contender:
    program = mqtt.binary()
    if program is None:
        raise HubError("mosquitto is not installed here")
    return _server("mosquitto", program, mqtt.config, mqtt.version(program), speech="mqtt")


def _server(
    name: str,
    program: Path | str,
    config: Callable[[int, int], str],
    version: str,
    *,
    speech: str,
) -> Contender:
    """A server by somebody else, with a port of its own and one for WebSocket in its `config`."""

    def start(started: Family, load: Load, folder: Path) -> Stage:  # noqa: ARG001  # Contender's form
        port, ws_port = keeper.free_ports(2)
        file = folder / f"{name}.conf"
        file.write_text(config(port, ws_port))
        command = [str(program), "-c", str(file)]
        child, pid = keep(started, keeper.Program(command, [port, ws_port]))
        return Stage(Join(ws_port, speech), {name: pid}, (speech, str(port)), child)

    return Contender(name, start, version)


def openalgo(checkout: Path, python: Path | None) -> Contender:
    """The proxy of this checkout. Raises HubError when it is none or its Python is not found."""
    python = (python or proxy.python_of(checkout)).absolute()
    checkout = checkout.absolute()

    def start(started: Family, load: Load, folder: Path) -> Stage:  # noqa: ARG001  # Contender's form
        ws_port, bus_port = keeper.free_ports(2)
        made = proxy.prepare(checkout, python, folder / "openalgo", ws_port, bus_port)
        program = keeper.Program(made.command, [ws_port], str(made.folder), made.environ)
        child, pid = keep(started, program)
        address = f"tcp://127.0.0.1:{bus_port}"
        return Stage(Join(ws_port, "hub", proxy.KEY), {"openalgo": pid}, ("bus", address), child)

    return Contender("openalgo", start, proxy.version(checkout))


PEERS: dict[str, Callable[[], Contender]] = {
    "c-loop": _c_loop,
    "loop": _loop,
    "nats": _nats,
    "cluster": _cluster,
    "broadcast": _broadcast,
    "mosquitto": _mosquitto,
}
"""What the hub can be compared with; each raises HubError where it cannot be had."""


def keep(started: Family, program: keeper.Program) -> tuple[Child, int]:
    """Have a program of somebody else run with the family; it, and its pid."""
    child = started.start("keeper", msgspec.json.encode(program).decode())
    return child, int(child.wait("ready", _START_S)["pid"])
