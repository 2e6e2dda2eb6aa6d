"""`hub status --cluster`: the machines that NATS connects, as this one hears them. Pure but for
`ask_cluster`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from cli import render
from cli.monitor import ask_monitor, ask_process
from cli.render import Cell, Column
from hub.core.cluster import EDGE, INGEST, SILENT_S
from hub.core.errors import HubError
from hub.core.names import FEED, UPLINK
from hub.core.settings import NATS

_MACHINES = (
    Column("machine", whole=True),
    Column("role"),
    Column("version"),
    Column("uptime", right=True),
    Column("heard", right=True),
    Column("lag", right=True, spare=True),
    Column("shards", right=True),
    Column("clients", right=True, spare=True),
    Column("symbols", right=True, spare=True),
    Column("in/s", right=True, spare=True),
    Column("out/s", right=True, spare=True),
    Column("notes", wide=True, spare=True),
)
_FEEDS = (
    Column("feed", whole=True),
    Column("machine", whole=True),
    Column("keys", right=True),
    Column("lease"),
)
_LEASES = (
    Column("edge", whole=True),
    Column("takes from", whole=True),
    Column("keys", right=True),
    Column("holds", right=True),
)
_ASKED = {INGEST: UPLINK, EDGE: f"{FEED}{NATS}"}
"""Which process of a hub knows of the others."""

_COUNTED = {
    "reconnects": ("reconnect", ""),
    "dropped": ("message", " not sent"),
    "slow": ("time", " too slow for NATS"),
}
_MIB = 1 << 20

_ALONE = (
    "this hub is alone; `hub start --publish nats://HOST` offers its feeds to other machines, and "
    "`hub start --bus nats://HOST` serves theirs, by way of a NATS server (docs/scale.md)"
)

Row = Mapping[str, Any]


def ask_cluster(runtime_dir: Path) -> dict[str, Any]:
    """What this hub knows of all machines. Raises NotRunning, NoAnswer, and HubError when it is
    alone."""
    facts = ask_monitor(runtime_dir, {"t": "status"}).get("hub") or {}
    process = _ASKED.get((facts.get("nats") or {}).get("role", ""))
    if process is None:
        raise HubError(_ALONE)
    found: dict[str, Any] = ask_process(runtime_dir, process, {"t": "cluster"})["cluster"]
    return found


def is_well(cluster: Row) -> bool:
    """Whether NATS is there, and each machine is heard and has no problem."""
    away = any(_silent(one) or one.get("problem") for one in cluster["machines"])
    return bool(cluster["nats"].get("connected")) and not away


def picture(cluster: Row, epoch_s: float) -> RenderableType:
    """The machines, the feeds and who runs them, and who holds what of whom, at this time."""
    machines: Sequence[Row] = cluster["machines"]
    if not cluster["nats"].get("connected"):  # it is we who hear nobody
        machines = [{**one, "heard_s": None} for one in machines]
    here = str(cluster["machine"])
    feeds = [_feed(one, feed) for one in machines for feed in one.get("feeds") or ()]
    leases = [_lease(one, lease) for one in machines for lease in one.get("leases") or ()]
    parts: list[RenderableType] = [_headline(cluster), *_nats(cluster["nats"], cluster), Text()]
    if machines:
        rows = [_machine(one, here, epoch_s) for one in machines]
        parts.append(render.table(_MACHINES, rows))
    else:
        parts.append(Text("No machine has been heard yet.", "yellow"))
    for columns, found in ((_FEEDS, feeds), (_LEASES, leases)):
        if found:
            parts += [Text(), render.table(columns, sorted(found, key=_by_name))]
    problems = [*_problems(cluster)]
    return Group(*parts, *([Text(), *problems] if problems else []))


def _headline(cluster: Row) -> Text:
    text = Text(f"{cluster['machine']}", "bold", no_wrap=True, overflow="ellipsis")
    counts = [
        _plural(count, role)
        for role in (INGEST, EDGE)
        if (count := sum(one.get("role") == role for one in cluster["machines"]))
    ]
    told = f"{'an' if cluster['role'] in {INGEST, EDGE} else 'a'} {cluster['role']}"
    return text.append(f"   {' · '.join([told, *counts])}", "not bold")


def _nats(nats: Row, cluster: Row) -> Iterator[Text]:
    """The connection to NATS, what went over it since this process has begun, and what was out of
    the ordinary."""
    if nats.get("connected"):
        parts = [str(nats.get("server", "?"))]
        if nats.get("rtt_ms") is not None:
            parts.append(f"rtt {nats['rtt_ms']:,.1f} ms")
        parts.append(_plural(cluster.get("subjects", 0), "subject"))
        for way in ("in", "out"):
            count, size = nats.get(f"{way}_msgs") or 0, nats.get(f"{way}_bytes") or 0
            parts.append(f"{way} {count:,} ({size / _MIB:,.1f} MiB)")
        yield Text(f"NATS  {' · '.join(parts)}", no_wrap=True, overflow="ellipsis")
    else:
        yield Text.assemble("NATS  ", ("away", "bold red"))
    waiting = nats.get("pending_bytes") or 0
    found = [f"{waiting / _MIB:,.1f} MiB wait"] if waiting >= _MIB else []
    found += [
        _plural(nats[name], what) + more
        for name, (what, more) in _COUNTED.items()
        if nats.get(name)
    ]
    if found:
        yield Text(f"      {' · '.join(found)}", "yellow")


def _plural(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _machine(one: Row, here: str, epoch_s: float) -> Sequence[Cell]:
    name, since_s = str(one["name"]), one.get("since_s")
    notes = ["this machine"] if name == here else []
    if _silent(one):
        notes.insert(0, f"silent for {render.duration(one.get('heard_s'))}")
    if one.get("problem"):
        notes.append("see below")
    bad = _silent(one) or one.get("problem")
    return (
        Text(name, "bold red" if bad else "bold" if name == here else ""),
        str(one.get("role", "?")),
        str(one.get("version") or "?"),
        render.duration(epoch_s - since_s if since_s else None),
        render.ABSENT if one.get("heard_s") is None else f"{one['heard_s']:.1f} s",
        render.millis(one.get("lag_ms")),
        render.figure(one.get("shards")),
        render.figure(one.get("clients")),
        render.figure(one.get("symbols")),
        render.rate(one.get("in_s")),
        render.rate(one.get("out_s")),
        Text(", ".join(notes), style="yellow" if bad else "dim"),
    )


def _feed(machine: Row, feed: Row) -> Sequence[Cell]:
    lease, left = feed.get("lease") or {}, ""
    state = str(lease.get("state") or "")
    if state == "active":
        left = f"active, {lease.get('left_s') or 0.0:.1f} s left"
    elif state:
        left = f"{state}, {lease.get('holder') or 'nobody'} has it"
    runs = not _silent(machine) and state in {"", "active", "none"}
    return (
        Text(str(feed["name"])),
        Text(str(machine["name"]), "" if runs else "dim"),
        render.figure(feed.get("keys")),
        Text(left, "green" if state == "active" and runs else "dim") if left else render.ABSENT,
    )


def _lease(machine: Row, lease: Row) -> Sequence[Cell]:
    return (
        str(lease["edge"]),
        str(machine["name"]),
        render.figure(lease.get("keys")),
        f"{lease.get('left_s') or 0.0:.1f} s left",
    )


def _by_name(cells: Sequence[Cell]) -> tuple[str, str]:
    return str(cells[0]), str(cells[1])


def _silent(one: Row) -> bool:
    return (one.get("heard_s") or 0.0) > SILENT_S


def _problems(cluster: Row) -> Iterator[Text]:
    if not cluster["nats"].get("connected"):
        sentence = "nothing goes to other machines or comes from them; `hub logs` says why"
        yield Text.assemble(("NATS is away: ", "red"), sentence)
    for one in cluster["machines"]:
        if one.get("problem"):
            yield Text.assemble((f"{one['name']}: ", "yellow"), str(one["problem"]))
