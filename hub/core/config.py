"""Settings: one set of typed definitions, with default, unit and one sentence each.

Sources in order of weakness: the defaults below, what the caller has from elsewhere (OpenAlgo's
.env, see hub/openalgo/settings.py), a TOML file, the environment, flags. An unknown name is an
error that names the nearest known one, and all problems are reported at once. What
`hub config doc`, `default` and `check` print comes from these definitions alone.
"""

from __future__ import annotations

import difflib
import functools
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from hub.core import market, proxies
from hub.core.errors import ConfigError

_Port = Annotated[int, Meta(ge=0, le=65535)]
_Name = Annotated[str, Meta(pattern=r"\A[^,\s]+\Z")]
_DAY_S = 86_400
_MACHINE = r"\A[^\x00-\x1f\x7f]*\Z"
NATS = "nats"
"""The feed that takes the feeds of other machines."""
_CREDENTIALS = ("user", "token_file", "nkey_file", "creds_file")
_FILES = ("password_file", *_CREDENTIALS[1:], "tls_ca", "tls_cert", "tls_key")
_NEAR = 0.85


class Hub(msgspec.Struct, frozen=True, kw_only=True):
    """The processes."""

    shards: Annotated[
        int,
        Meta(
            ge=0,
            le=64,
            description="How many shard processes serve clients; 0 only with nats.publish.",
        ),
    ] = 4
    feeds: Annotated[
        list[_Name], Meta(min_length=1, description="Feeds to run; each in a process of its own.")
    ] = msgspec.field(default_factory=lambda: ["bus"])
    runtime_dir: Annotated[
        str,
        Meta(description="Directory (0700) of sockets and locks; empty picks one for this user."),
    ] = ""
    log_level: Annotated[
        str,
        Meta(
            pattern=r"\A(debug|info|warning|error)\Z",
            description="Least severe message logged: debug, info, warning or error.",
        ),
    ] = "info"
    log_file: Annotated[
        str,
        Meta(
            description="File (0600) in which `hub start` keeps what is logged, with two older "
            "ones, of 10 MiB each; empty is hub.log in the runtime directory, none keeps none.",
        ),
    ] = ""
    stop_s: Annotated[
        float,
        Meta(
            ge=0.1,
            le=300,
            description="Longest time a process may take to drain; a shard has websocket.drain_s "
            "besides.",
            extra={"unit": "s"},
        ),
    ] = 5.0


class Websocket(msgspec.Struct, frozen=True, kw_only=True):
    """The clients' side."""

    host: Annotated[str, Meta(min_length=1, description="Address all shards listen on.")] = (
        "127.0.0.1"
    )
    port: Annotated[_Port, Meta(description="Port all shards listen on; 0 picks a free one.")] = (
        8765
    )
    unix: Annotated[
        str,
        Meta(
            description="Unix socket for clients besides, for a reverse proxy on this machine; "
            "always without TLS; empty is none."
        ),
    ] = ""
    unix_mode: Annotated[
        str, Meta(pattern=r"\A0?[0-7]{3}\Z", description="Permissions of that socket, octal.")
    ] = "0660"
    tls_cert: Annotated[
        str,
        Meta(
            description="Certificate in PEM, with its chain: clients then use wss://; empty is "
            "plain ws://. SIGHUP has it read anew.",
        ),
    ] = ""
    tls_key: Annotated[
        str, Meta(description="Its private key in PEM; empty when tls_cert holds it too.")
    ] = ""
    auth_window_s: Annotated[
        float,
        Meta(
            gt=0,
            le=_DAY_S,
            description="Time from connect within which a client must authenticate; "
            "else close code 4401.",
            extra={"unit": "s"},
        ),
    ] = 15.0
    ping_interval_s: Annotated[
        float,
        Meta(ge=1, le=_DAY_S, description="Time between keep-alive pings.", extra={"unit": "s"}),
    ] = 20.0
    ping_timeout_s: Annotated[
        float,
        Meta(
            ge=1,
            le=_DAY_S,
            description="Time a pong may take; else close code 1011.",
            extra={"unit": "s"},
        ),
    ] = 20.0
    max_message_bytes: Annotated[
        int,
        Meta(
            ge=1024,
            description="Largest message a client may send; else close code 1009.",
            extra={"unit": "bytes"},
        ),
    ] = 1 << 20
    max_requests: Annotated[
        int,
        Meta(
            ge=1,
            description="Requests of one client that may wait; then its socket is "
            "not read until some are answered.",
        ),
    ] = 1024
    max_waiting_bytes: Annotated[
        int,
        Meta(
            ge=4096,
            description="Bytes of one client's requests that may wait; then its socket is "
            "not read until some are answered.",
            extra={"unit": "bytes"},
        ),
    ] = 2 << 20
    max_symbols: Annotated[int, Meta(ge=1, description="Symbols one client may hold.")] = 50_000
    max_user_symbols: Annotated[
        int,
        Meta(
            ge=0, description="Symbols all sessions of one user may hold together; 0 is no limit."
        ),
    ] = 1_000_000
    max_user_sessions: Annotated[
        int, Meta(ge=0, description="Sessions one user may have; 0 is no limit.")
    ] = 10_000
    max_connections: Annotated[
        int,
        Meta(
            ge=0,
            description="Connections of the whole hub; more are answered with HTTP 503; "
            "0 is no limit.",
        ),
    ] = 50_000
    accept_rate: Annotated[
        int,
        Meta(
            ge=0,
            description="Connections that a shard takes up each second; more wait in the kernel's "
            "queue; 0 is no limit.",
            extra={"unit": "1/s"},
        ),
    ] = 500
    max_address_connections: Annotated[
        int,
        Meta(
            ge=0,
            description="Connections of one address; more are answered with HTTP 503; 0 is no "
            "limit. Behind a reverse proxy all clients have its address, unless trusted_proxies "
            "has it.",
        ),
    ] = 10_000
    max_unauthenticated: Annotated[
        int,
        Meta(
            ge=0,
            description="Connections of one address that have not authenticated; more are "
            "answered with HTTP 503; 0 is no limit.",
        ),
    ] = 5_000
    origins: Annotated[
        list[_Name],
        Meta(
            description="Origins whose web pages may connect, such as https://charts.example.com, "
            "beside those of this machine; * is all.",
        ),
    ] = msgspec.field(default_factory=list)
    trusted_proxies: Annotated[
        list[_Name],
        Meta(
            description="Reverse proxies whose X-Forwarded-For is believed: addresses, networks "
            "such as 10.0.0.0/8, or unix for all who come by the Unix socket. Their clients count "
            "by their own addresses, and they themselves are not limited.",
        ),
    ] = msgspec.field(default_factory=list)
    spread: Annotated[
        str,
        Meta(
            pattern=r"\A(even|packed)\Z",
            description="Who takes a new client: even, the shard with the fewest; packed, the "
            "fullest that has room by pack_share and pack_clients, and evenly when none has.",
        ),
    ] = "even"
    pack_share: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="Share of a core up to which a shard is packed.",
            extra={"unit": "of a core"},
        ),
    ] = 0.4
    pack_clients: Annotated[
        int,
        Meta(
            ge=1,
            description="Clients up to which a shard is packed, however little they cost: all of "
            "them may begin to tick at once.",
        ),
    ] = 50
    snapshot: Annotated[
        bool, Meta(description="Send the last known value right after a subscribe reply.")
    ] = True
    outbox_bytes: Annotated[
        int,
        Meta(
            ge=4096,
            description="Unsent bytes of one client above which its ticks are "
            "conflated to the newest per topic.",
            extra={"unit": "bytes"},
        ),
    ] = 4 << 20
    shard_outbox_bytes: Annotated[
        int,
        Meta(
            ge=1 << 20,
            description="Unsent bytes of all clients of a shard: with many clients each may have "
            "only its part of them, though never less than 16 KiB.",
            extra={"unit": "bytes"},
        ),
    ] = 512 << 20
    max_order_updates: Annotated[
        int,
        Meta(
            ge=1,
            description="Unsent order updates of one client above which it is closed "
            "(1013), as above 64 MiB of them; they are never conflated.",
        ),
    ] = 10_000
    drain_s: Annotated[
        float,
        Meta(
            ge=0,
            le=300,
            description="Time over which a shard that leaves sends 1,000 clients or more away "
            "(1012), one after another; fewer take proportionally less.",
            extra={"unit": "s"},
        ),
    ] = 3.0
    stall_s: Annotated[
        float,
        Meta(
            ge=1,
            le=_DAY_S,
            description="Time without any progress after which a client that is behind "
            "is closed (1013).",
            extra={"unit": "s"},
        ),
    ] = 30.0


class Bus(msgspec.Struct, frozen=True, kw_only=True):
    """The ZMQ bus that publishers connect to."""

    host: Annotated[str, Meta(min_length=1, description="Address the bus is bound to.")] = (
        "127.0.0.1"
    )
    port: Annotated[_Port, Meta(description="Port of the bus; 0 picks a free one.")] = 5555
    queue: Annotated[
        int,
        Meta(
            ge=1,
            description="Messages of a publisher that may wait in the router: in one of its turns, "
            "of 2,000 at most (the rest waits in TCP's buffers) or, by libzmq, at any time.",
        ),
    ] = 100_000
    max_message_bytes: Annotated[
        int,
        Meta(ge=1024, description="Largest bus message accepted.", extra={"unit": "bytes"}),
    ] = 1 << 20
    max_topics: Annotated[
        int,
        Meta(
            ge=1000,
            description="Topics the router remembers before it starts afresh, and a shard before "
            "it forgets the older half of those that none of its clients holds.",
        ),
    ] = 1_000_000


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """How ticks are batched on their way down."""

    window_ms: Annotated[
        float,
        Meta(
            ge=0,
            le=50,
            description="Longest time a flush is held under load; an idle hub flushes at once.",
            extra={"unit": "ms"},
        ),
    ] = 2.0
    wire: Annotated[
        str,
        Meta(
            pattern=r"\A(native|libzmq)\Z",
            description="Who speaks ZMQ's protocol on the bus and to the shards: the hub itself "
            "(native), or libzmq, which costs more CPU. Peers notice no difference.",
        ),
    ] = "native"
    home_ms: Annotated[
        float,
        Meta(
            ge=1,
            le=1000,
            description="Longest time a tick nobody asked for waits on its way to its home shard.",
            extra={"unit": "ms"},
        ),
    ] = 50.0
    sample_ms: Annotated[
        float,
        Meta(
            ge=0,
            le=60_000,
            description="How often a tick is timed on its way, for `hub latency`, the page and the "
            "metrics; 0 is never.",
            extra={"unit": "ms"},
        ),
    ] = 50.0
    pipe: Annotated[
        int,
        Meta(
            ge=10,
            description="Batches that may wait for one shard; of more the newest tick of each "
            "topic waits.",
        ),
    ] = 2000


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """What feeds are asked for."""

    linger_s: Annotated[
        float,
        Meta(
            ge=0,
            le=_DAY_S,
            description="Time a symbol stays subscribed upstream after the last client left it.",
            extra={"unit": "s"},
        ),
    ] = 5.0
    answer_s: Annotated[
        float,
        Meta(
            gt=0,
            le=_DAY_S,
            description="Time a feed may take to answer a subscribe.",
            extra={"unit": "s"},
        ),
    ] = 8.0
    login_s: Annotated[
        float,
        Meta(
            ge=0,
            le=_DAY_S,
            description="Time a client that authenticates waits for its broker's login; then it is "
            "let in, and what it subscribes waits.",
            extra={"unit": "s"},
        ),
    ] = 3.5
    stale_s: Annotated[
        float,
        Meta(
            ge=0,
            le=_DAY_S,
            description="Time without a tick after which a topic is stale while its market is in "
            "session; more for what seldom ticks; 0 looks for none.",
            extra={"unit": "s"},
        ),
    ] = 60.0
    isolate: Annotated[
        str,
        Meta(
            pattern=r"\A(user|broker|none)\Z",
            description="Who gets the ticks of a broker login: user, only its own user; broker, "
            "all users of that broker; none, everybody. The bus is everybody's.",
        ),
    ] = "broker"


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """The page, the metrics and the health of the hub, served by the monitor."""

    enabled: Annotated[bool, Meta(description="Serve them.")] = True
    host: Annotated[
        str,
        Meta(
            min_length=1,
            description="Address they are served on; one that others reach needs a token.",
        ),
    ] = "127.0.0.1"
    port: Annotated[_Port, Meta(description="Port they are served on; 0 picks a free one.")] = 8766
    token_file: Annotated[
        str,
        Meta(
            description="File (0600) of the token that a visitor must know; $HUB_PAGE_TOKEN has it "
            "as well; without either anybody on this machine may look.",
        ),
    ] = ""
    user: Annotated[
        str,
        Meta(
            description="User whose ticks the page's ticker shows, where feeds give each user his "
            "own; empty is what they give anybody.",
        ),
    ] = ""
    origins: Annotated[
        list[_Name],
        Meta(
            description="Addresses by which a reverse proxy serves the page, such as "
            "https://hub.example.com, beside its own.",
        ),
    ] = msgspec.field(default_factory=list)


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """When exchanges trade: outside of that nothing is stale."""

    sessions: Annotated[
        list[str],
        Meta(
            description="Exchanges with the days and hours of their sessions, or `always`; an "
            "exchange may stand in several lines, and keys of one that stands in none are never "
            "stale.",
        ),
    ] = msgspec.field(
        default_factory=lambda: [
            "NSE BSE NSE_INDEX BSE_INDEX mon-fri 09:15-15:15",
            "NFO BFO mon-fri 09:15-15:40",
            "CDS BCD mon-fri 09:00-17:00",
            "MCX NCO mon-fri 09:00-23:30",
            "CRYPTO always",
        ]
    )
    timezone: Annotated[str, Meta(description="Time zone of the sessions.")] = "Asia/Kolkata"
    calendar: Annotated[
        str,
        Meta(
            description="Exchange whose holidays count, by its code in the package holidays; "
            "empty is none.",
        ),
    ] = "XNSE"
    holidays: Annotated[
        list[str], Meta(description="More holidays, such as 2026-11-08; sessions are off then.")
    ] = msgspec.field(default_factory=list)


class Sim(msgspec.Struct, frozen=True, kw_only=True):
    """The simulator, a feed for trying things out."""

    symbols: Annotated[int, Meta(ge=1, le=100_000, description="Instruments in its universe.")] = (
        10_000
    )
    rate: Annotated[
        float,
        Meta(gt=0, le=1000, description="Ticks of each subscribed symbol.", extra={"unit": "1/s"}),
    ] = 1.0
    seed: Annotated[int, Meta(ge=0, description="The same seed gives the same market.")] = 1


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """The feed that plays a recording of `hub record`."""

    file: Annotated[
        str, Meta(description="The recording: a .jsonl, .jsonl.zst or .parquet file.")
    ] = ""
    speed: Annotated[
        float,
        Meta(ge=0.01, le=10_000, description="How many times as fast as it came it is played."),
    ] = 1.0
    loop: Annotated[bool, Meta(description="Begin anew at its end.")] = False
    begin: Annotated[
        str,
        Meta(
            description="Time of day of its first day from which on it is played, such as 09:15, "
            "by market.timezone; empty is its beginning."
        ),
    ] = ""
    gaps: Annotated[
        bool, Meta(description="Keep its pauses; without them none takes more than a second.")
    ] = True


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """API keys."""

    file: Annotated[
        str, Meta(description="File (0600) of hashed API keys; empty picks one for this user.")
    ] = ""
    cache_s: Annotated[
        float,
        Meta(
            ge=0,
            le=60,
            description="Time, 1 s or more, until clients of a revoked key are disconnected.",
            extra={"unit": "s"},
        ),
    ] = 10.0
    brokers: Annotated[
        list[_Name],
        Meta(description="What get_supported_brokers answers; empty means the feeds."),
    ] = msgspec.field(default_factory=list)


class OpenAlgo(msgspec.Struct, frozen=True, kw_only=True):
    """The checkout of OpenAlgo that the hub serves; its secrets are no settings."""

    path: Annotated[
        str,
        Meta(
            description="Folder of the checkout: its .env gives settings, weaker than those of "
            "this file, and hub.feeds is openalgo unless named; empty is none.",
        ),
    ] = ""
    python: Annotated[
        str,
        Meta(description="Python that OpenAlgo runs with; empty looks in the checkout's .venv."),
    ] = ""
    linger_s: Annotated[
        float,
        Meta(
            ge=0,
            le=_DAY_S,
            description="Time a broker connection stays after its user's last client left.",
            extra={"unit": "s"},
        ),
    ] = 30.0
    max_hang_s: Annotated[
        float,
        Meta(
            ge=1,
            le=_DAY_S,
            description="Time a call into a broker's adapter may take before it is reported as "
            "hanging.",
            extra={"unit": "s"},
        ),
    ] = 30.0


class Nats(msgspec.Struct, frozen=True, kw_only=True):
    """Several machines, by way of NATS. One alone needs none of it."""

    servers: Annotated[
        list[_Name],
        Meta(
            description="Addresses of NATS, as nats://host:4222 or tls://host:4222; of a cluster "
            "all that are known. Credentials do not belong in them."
        ),
    ] = msgspec.field(default_factory=list)
    publish: Annotated[
        bool,
        Meta(
            description="Offer what this machine's feeds have to other machines, which run the "
            "feed nats; then hub.shards may be 0."
        ),
    ] = False
    name: Annotated[
        str,
        Meta(
            pattern=_MACHINE,
            max_length=40,
            description="Name of this machine, which no other has; empty is its host's name.",
        ),
    ] = ""
    prefix: Annotated[
        str,
        Meta(
            pattern=r"\A[A-Za-z0-9_-]+\Z",
            description="First part of all subjects: hubs of another prefix know nothing of these.",
        ),
    ] = "hub"
    standby: Annotated[
        str,
        Meta(
            pattern=_MACHINE,
            max_length=40,
            description="A name that machines share which stand in for each other: each feed "
            "runs on one of them, which holds its lease (needs JetStream). Empty is none.",
        ),
    ] = ""
    lease_s: Annotated[
        float,
        Meta(
            ge=2,
            le=60,
            description="How long a lease holds that is not renewed.",
            extra={"unit": "s"},
        ),
    ] = 15.0
    user: Annotated[str, Meta(description="User at NATS; empty is none.")] = ""
    password_file: Annotated[str, Meta(description="File (0600) of that user's password.")] = ""
    token_file: Annotated[str, Meta(description="File (0600) of a token, in place of a user.")] = ""
    nkey_file: Annotated[str, Meta(description="File (0600) of an NKey's seed.")] = ""
    creds_file: Annotated[
        str, Meta(description="File (0600) of credentials, with JWT and seed, as nsc makes them.")
    ] = ""
    tls_ca: Annotated[
        str,
        Meta(description="Certificates in PEM of who has signed NATS's; empty are the system's."),
    ] = ""
    tls_cert: Annotated[
        str, Meta(description="Certificate in PEM that NATS is shown; empty is none.")
    ] = ""
    tls_key: Annotated[str, Meta(description="Its private key in PEM.")] = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """All the files that these settings name."""
        named = (getattr(self, name) for name in _FILES)
        return tuple(Path(path) for path in named if path)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings, by section of the TOML file."""

    hub: Hub = msgspec.field(default_factory=Hub)
    websocket: Websocket = msgspec.field(default_factory=Websocket)
    bus: Bus = msgspec.field(default_factory=Bus)
    flow: Flow = msgspec.field(default_factory=Flow)
    upstream: Upstream = msgspec.field(default_factory=Upstream)
    market: Market = msgspec.field(default_factory=Market)
    sim: Sim = msgspec.field(default_factory=Sim)
    replay: Replay = msgspec.field(default_factory=Replay)
    keys: Keys = msgspec.field(default_factory=Keys)
    page: Page = msgspec.field(default_factory=Page)
    openalgo: OpenAlgo = msgspec.field(default_factory=OpenAlgo)
    nats: Nats = msgspec.field(default_factory=Nats)

    @property
    def streams(self) -> int:
        """How many processes read a stream of ticks from the router: the shards, and the uplink."""
        return self.hub.shards + self.nats.publish

    @property
    def cluster_role(self) -> str:
        """What this machine is among several: `ingest`, `edge`, or empty for one that is alone."""
        if self.nats.publish:
            return "ingest"
        return "edge" if NATS in self.hub.feeds else ""

    def supported_brokers(self) -> list[str]:
        """The broker names `get_supported_brokers` answers with."""
        return list(self.keys.brokers or self.hub.feeds)

    def ws_url(self) -> str:
        """The address to paste into a client on this machine, empty when none is served."""
        if not self.hub.shards:
            return ""
        scheme = "wss" if self.websocket.tls_cert else "ws"
        return f"{scheme}://{_shown(self.websocket.host)}:{self.websocket.port}"

    def page_url(self) -> str:
        """The address of the page for a browser on this machine, empty when none is served."""
        page = self.page
        return f"http://{_shown(page.host)}:{page.port}" if page.enabled else ""


def _shown(host: str) -> str:
    """A host that is listened on, as it stands in an address to visit."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # names it, binds nothing
    shown = everywhere.get(host, host)
    return f"[{shown}]" if ":" in shown else shown


class Given(NamedTuple):
    """What a source says of one setting, and how an error names that source."""

    source: str
    value: Any


_Values = dict[str, dict[str, Given]]
"""What is set, by section and name."""


class Definition(NamedTuple):
    """One setting as documented: where it stands, what it means, what it is without being set."""

    section: str
    name: str
    type: str
    default: Any
    unit: str
    text: str

    @property
    def path(self) -> str:
        """`section.name`, as in the TOML file and in error messages."""
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable that sets it; lists are written with commas."""
        return env_name(self.section, self.name)


def env_name(section: str, name: str) -> str:
    """`HUB_SHARDS`, `HUB_WEBSOCKET_PORT`: the variable of one setting."""
    return "_".join(
        part for part in ("HUB", "" if section == "hub" else section, name) if part
    ).upper()


def definitions() -> Iterator[Definition]:
    """Every setting in the order of the file."""
    for section, struct in _sections().items():
        hints = _hints(struct)
        for field in msgspec.structs.fields(struct):
            meta = _meta(hints[field.name])
            yield Definition(
                section,
                field.name,
                _type_name(hints[field.name]),
                _default(field),
                meta.get("unit", ""),
                meta.get("text", ""),
            )


def load(
    file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    flags: Mapping[str, Any] | None = None,
    weakest: Mapping[str, Given] | None = None,
) -> Settings:
    """Read the settings from all sources.

    `flags` maps `section.name` to a value; None means not given. `weakest` is what the file may
    overrule. Raises ConfigError with every problem found, each naming its source.
    """
    values, problems = _gather(file, environ, flags or {}, weakest or {})
    built = {
        section: msgspec.convert(
            {name: given.value for name, given in found.items()}, _sections()[section]
        )
        for section, found in values.items()
    }
    if problems:
        raise ConfigError(problems)
    settings = Settings(**built)
    problems = [*_together(settings)]
    if problems:
        raise ConfigError(problems)
    return settings


def _together(settings: Settings) -> Iterator[str]:
    """What is wrong with settings that are right one by one."""
    nats, takes = settings.nats, NATS in settings.hub.feeds
    port = settings.bus.port
    if settings.websocket.port == port != 0:
        yield f"websocket.port and bus.port are both {port}; each needs its own"
    if nats.publish and takes:
        yield (
            f"nats.publish and the feed {NATS} exclude each other: a machine gives its feeds to "
            "others (hub start --publish), or takes theirs (hub start --bus); run two hubs for both"
        )
    if (nats.publish or takes) and not nats.servers:
        yield "nats.servers is empty; name NATS's address, such as nats://127.0.0.1:4222"
    if nats.standby and not nats.publish:
        yield "nats.standby is for machines that publish their feeds; see nats.publish"
    ways = [name for name in _CREDENTIALS if getattr(nats, name)]
    if len(ways) > 1:
        yield f"nats.{' and nats.'.join(ways)}: there is one way to say who one is"
    if bool(nats.user) != bool(nats.password_file):
        yield "nats.user and nats.password_file belong together"
    if bool(nats.tls_cert) != bool(nats.tls_key):
        yield "nats.tls_cert and nats.tls_key belong together"


def said(
    path: str,
    file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    flags: Mapping[str, Any] | None = None,
) -> Any:
    """What the strongest source says of the setting `section.name`, None when none does.

    For what has to be known before all the rest; a problem is left to `load`.
    """
    section, _, name = path.partition(".")
    values, _ = _gather(file, environ, flags or {}, {})
    found = values[section].get(name)
    return found.value if found else None


def environment(settings: Settings) -> dict[str, str]:
    """The environment variables that make `load` return the same settings in a child process."""
    variables = {}
    for definition in definitions():
        value = getattr(getattr(settings, definition.section), definition.name)
        variables[definition.variable] = _text(value)
    return variables


def as_toml(settings: Settings | None = None) -> str:
    """A complete TOML file with a comment for each setting."""
    lines = []
    section = ""
    for definition in definitions():
        if definition.section != section:
            section = definition.section
            lines += ["", f"# {(_sections()[section].__doc__ or '').strip()}", f"[{section}]"]
        value = definition.default
        if settings is not None:
            value = getattr(getattr(settings, section), definition.name)
        unit = f" [{definition.unit}]" if definition.unit else ""
        lines.append(f"# {definition.text}{unit}")
        lines.append(f"{definition.name} = {msgspec.json.encode(value).decode()}")
    return "\n".join(lines).lstrip() + "\n"


@functools.cache
def _sections() -> dict[str, Any]:
    return {
        field.name: get_type_hints(Settings)[field.name]
        for field in msgspec.structs.fields(Settings)
    }


@functools.cache
def _hints(struct: type[Any]) -> dict[str, Any]:
    return get_type_hints(struct, include_extras=True)


def _meta(hint: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for meta in getattr(hint, "__metadata__", ()):
        if meta.description:
            found["text"] = meta.description
        found.update(meta.extra or {})
    return found


def _type_name(hint: Any) -> str:
    base = getattr(hint, "__origin__", hint)
    return {bool: "true or false", int: "integer", float: "number", str: "text"}.get(
        base, "list of text"
    )


def _default(field: Any) -> Any:
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()


def _gather(
    file: Path | None,
    environ: Mapping[str, str],
    flags: Mapping[str, Any],
    weakest: Mapping[str, Given],
) -> tuple[_Values, list[str]]:
    """What is set, by section and name, and every problem; a source overwrites the weaker ones."""
    problems: list[str] = []
    values: _Values = {section: {} for section in _sections()}
    for path, given in weakest.items():
        section, _, name = path.partition(".")
        _put(values, section, name, given.value, given.source, problems)
    if file is not None:
        _from_file(file, values, problems)
    _from_environment(environ, values, problems)
    for path, value in flags.items():
        if value is not None:
            section, _, name = path.partition(".")
            _put(values, section, name, value, "flag", problems)
    problems += _nobody_serves(values)
    return values, problems


def _nobody_serves(values: _Values) -> list[str]:
    """No shards are a problem, but for a machine that publishes its feeds."""
    shards, publish = values["hub"].get("shards"), values["nats"].get("publish")
    if shards is None or shards.value or (publish and publish.value):
        return []
    del values["hub"]["shards"]
    problem = (
        "nobody would serve clients; only a machine that publishes its feeds (nats.publish) may "
        "have none"
    )
    return [f"{shards.source}: hub.shards = 0: {problem}"]


def _from_file(file: Path, values: _Values, problems: list[str]) -> None:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"{file}: cannot be read: {error.strerror}")
        return
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{file}: not a TOML file: {error}")
        return
    for section, given in document.items():
        if not isinstance(given, dict):
            problems.append(f"{file}: {section} stands outside a section such as [hub]")
            continue
        for name, value in given.items():
            _put(values, section, name, value, str(file), problems)


def _from_environment(environ: Mapping[str, str], values: _Values, problems: list[str]) -> None:
    known = {definition.variable: definition for definition in definitions()}
    for variable, text in environ.items():
        definition = known.get(variable)
        if definition is None and variable.startswith("HUB_"):
            near = difflib.get_close_matches(variable, known, 1, _NEAR)
            problems += [f"${variable}: no such setting; did you mean ${name}?" for name in near]
        elif definition is not None:
            value: Any = text
            if definition.type == "list of text":
                value = [part.strip() for part in text.split(",") if part.strip()]
            _put(values, definition.section, definition.name, value, f"${variable}", problems)


def _put(
    values: _Values,
    section: str,
    name: str,
    value: Any,
    source: str,
    problems: list[str],
) -> None:
    """Check one value and keep it; a problem is noted instead."""
    struct = _sections().get(section)
    fields = _hints(struct) if struct else {}
    if name not in fields:
        paths = [definition.path for definition in definitions()]
        near = difflib.get_close_matches(f"{section}.{name}", paths, 1, 0.5)
        hint = f"; did you mean {near[0]}?" if near else "; see `hub config doc`"
        problems.append(f"{source}: there is no setting {section}.{name}{hint}")
        return
    try:
        found = msgspec.convert(value, fields[name], strict=not isinstance(value, str))
    except msgspec.ValidationError as error:
        shown = "..." if "@" in str(value) else repr(value)  # there may be a password in it
        problems.append(f"{source}: {section}.{name} = {shown}: {error}")
        return
    values[section][name] = Given(source, found)
    if check := _CHECKS.get(f"{section}.{name}"):
        told = map(check, found if isinstance(found, list) else [found])
        problems += [f"{source}: {section}.{name}: {problem}" for problem in told if problem]


def _server_problem(address: str) -> str:
    """What is wrong with an address of NATS. What it may hold of a secret is not told."""
    try:
        found = urlsplit(address)
        port = found.port
    except ValueError:
        return "it is no address; write nats://host:4222"
    if "@" in address:
        return (
            "an address may hold no credentials; see nats.user, token_file, nkey_file, creds_file"
        )
    if found.scheme not in {"nats", "tls"} or not found.hostname or port == 0:
        return "it is no address of NATS; write nats://host:4222, or tls://host:4222"
    return ""


_CHECKS: dict[str, Callable[[str], str]] = {
    "market.sessions": market.session_problem,
    "market.timezone": market.zone_problem,
    "market.holidays": market.holiday_problem,
    "websocket.trusted_proxies": proxies.problem,
    "nats.servers": _server_problem,
}
"""What a type cannot say of a setting, or of each of its values: the problem, empty if none."""


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(value) if isinstance(value, list) else str(value)
