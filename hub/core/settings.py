"""Settings: one set of typed definitions, with default, unit and one sentence each.

hub/core/config.py reads them. What `hub config doc`, `default` and `check` print comes from these
definitions alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

_Port = Annotated[int, Meta(ge=0, le=65535)]
_Name = Annotated[str, Meta(pattern=r"\A[^,\s]+\Z")]
_DAY_S = 86_400
_MACHINE = r"\A[^\x00-\x1f\x7f]*\Z"
NATS = "nats"
"""The feed that takes the feeds of other machines."""
NATS_CREDENTIALS = ("user", "token_file", "nkey_file", "creds_file")
"""The settings that say who one is at NATS."""
_FILES = ("password_file", *NATS_CREDENTIALS[1:], "tls_ca", "tls_cert", "tls_key")


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
            description="Time a feed may take to answer a subscribe; longer while answers come in.",
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
    copies: Annotated[
        int,
        Meta(
            ge=1,
            le=4,
            description="From how many accounts of a native feed each symbol is had; of the copies "
            "of a tick the first is delivered.",
        ),
    ] = 1
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


class Instruments(msgspec.Struct, frozen=True, kw_only=True):
    """The brokers' lists of instruments, which native feeds need."""

    update: Annotated[
        bool,
        Meta(
            description="Have a feed download its list when there is none, and each morning; "
            "without it `hub instruments update` is yours to call."
        ),
    ] = True


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A broker that the hub reaches by itself, without OpenAlgo (docs/feeds.md)."""

    credentials: Annotated[
        list[str],
        Meta(
            description="Where credentials are, one for each account: a file (0600), env:FILE, "
            "command:LINE that prints them, or openalgo:USER; empty is a file of this broker's "
            "name beside that of the API keys.",
        ),
    ] = msgspec.field(default_factory=list)
    url: Annotated[str, Meta(description="Address of its stream; empty is the broker's own.")] = ""
    api_url: Annotated[
        str, Meta(description="Address of its REST API; empty is the broker's own.")
    ] = ""
    instruments_url: Annotated[
        str,
        Meta(
            description="Address, or folder, where the files of its list of instruments are had by "
            "their names; empty is the broker's own."
        ),
    ] = ""
    sockets: Annotated[
        int,
        Meta(
            ge=0,
            le=100,
            description="Connections of one account; 0 is what the broker usually allows. More is "
            "for a plan with more, less for an account that other programs share.",
        ),
    ] = 0


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
    instruments: Instruments = msgspec.field(default_factory=Instruments)
    angel: Account = msgspec.field(default_factory=Account)
    flattrade: Account = msgspec.field(default_factory=Account)
    shoonya: Account = msgspec.field(default_factory=Account)
    fyers: Account = msgspec.field(default_factory=Account)
    zerodha: Account = msgspec.field(default_factory=Account)
    upstox: Account = msgspec.field(default_factory=Account)
    dhan: Account = msgspec.field(default_factory=Account)
    binance: Account = msgspec.field(default_factory=Account)

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


BROKERS = tuple(name for name, kind in Settings.__annotations__.items() if kind == Account.__name__)
"""The sections that are a broker's each."""
