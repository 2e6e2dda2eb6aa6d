"""What a broker is to the hub: the interface of a codec, and the facts beside it.

1. A codec turns bytes and text into events and ticks, and wishes into frames. It opens nothing,
   waits for nothing and looks at no clock; what is sent, when, and over which socket is decided by
   hub/feeds/native.
2. A codec lives as long as one connection. What outlives it, the values of an instrument that
   partial updates are merged into, stands in its subscription.
3. Nothing that comes in raises: what cannot be read is counted in `malformed` and left out.
4. A new broker is one package here (codec, reader of its instruments, and `BROKER`), its name in
   `catalogue.NAMES`, and one page of docs/feeds.

Payloads have the fields of OpenAlgo's own adapter for that broker; prices are in rupees, times in
epoch milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO, Any, NamedTuple, Protocol, TypeAlias

from hub.core import topics
from hub.core.model import Fault, Instrument

Frame: TypeAlias = "str | bytes"
"""What is sent in one WebSocket message: text, or binary."""

Credentials: TypeAlias = Mapping[str, str]
"""What an account's credentials say, by the names of `Broker.fields`, in lower case."""


class Listing(NamedTuple):
    """An instrument as a broker lists it.

    `exchange` and `symbol` are OpenAlgo's names, `segment` and `token` what the broker's stream
    knows it by (together they are one instrument; a token alone may be several), `broker_symbol`
    what the broker calls it. `kind` is EQ, FUT, CE, PE or INDEX; `expiry` is YYYY-MM-DD or empty,
    `strike` and `tick` are in rupees (0 for none, or unknown), `precision` is the number of
    decimals of a price.
    """

    exchange: str
    symbol: str
    segment: str
    token: str
    broker_symbol: str = ""
    name: str = ""
    kind: str = "EQ"
    expiry: str = ""
    strike: float = 0.0
    lot: int = 1
    tick: float = 0.0
    precision: int = 2


class Subscription:
    """One instrument on one connection.

    `mode` is the highest wanted, 0 when none is. `waits` until the broker has confirmed it, or a
    tick has come in a higher mode than it `held` before. `state` is the codec's: what partial
    updates are merged into; it is None before the first, and outlives the connection. `topics` are
    by mode, the first is none. `symbol` is as the client wrote it: `listing.symbol`, or that with a
    suffix such as `:50`.
    """

    __slots__ = ("account", "held", "key", "listing", "mode", "state", "symbol", "topics", "waits")

    def __init__(self, listing: Listing, symbol: str = "", account: int = 0) -> None:
        self.listing = listing
        self.symbol = symbol or listing.symbol
        self.key = Instrument(listing.exchange, self.symbol).key
        self.topics = (b"", *(topics.of(self.key, mode) for mode in (1, 2, 3)))
        self.account = account
        self.mode = 0
        self.held = 0
        self.waits = True
        self.state: Any = None

    def __repr__(self) -> str:
        return f"<Subscription {self.key.decode()} mode {self.mode}>"


class Change(NamedTuple):
    """What is to be asked of the broker: the mode that a subscription was asked in before, and the
    one from now on; 0 is none."""

    sub: Subscription
    was: int
    to: int


Take: TypeAlias = Callable[[Subscription, int, bytes, int, int], None]
"""Where a codec puts a tick: the subscription, the mode of the payload (1, 2 or 3), the payload as
a JSON object in UTF-8, the exchange's time in epoch milliseconds (0: unknown), and the broker's
sequence number (0: none)."""


class Ready(NamedTuple):
    """The broker has let us in: subscriptions may be sent."""


class Confirmed(NamedTuple):
    """The broker has confirmed a subscription."""

    sub: Subscription


class Refused(NamedTuple):
    """The broker does not take subscriptions, and why; CAPACITY when there are too many."""

    subs: tuple[Subscription, ...]
    fault: Fault
    text: str


class Say(NamedTuple):
    """Frames that are to be sent at once: replies, acknowledgements."""

    frames: tuple[Frame, ...]


class Failed(NamedTuple):
    """This connection is of no use any more, and why: it is to be closed."""

    fault: Fault
    text: str


class Warned(NamedTuple):
    """Something that whoever looks at the hub should know, and nothing follows from."""

    text: str


Event: TypeAlias = Ready | Confirmed | Refused | Say | Failed | Warned


class Request(NamedTuple):
    """An HTTP request, to be made once."""

    method: str
    url: str
    headers: Mapping[str, str] = {}  # it is a tuple's default, and never changed
    body: bytes = b""

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.url.partition('?')[0]}>"


class Reply(NamedTuple):
    """What HTTP answered. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"<Reply {self.status}, {len(self.body)} bytes>"


class Endpoint(NamedTuple):
    """Where to connect: a WebSocket address and the headers of its upgrade."""

    url: str
    headers: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return f"<Endpoint {self.url.partition('?')[0]}>"


class Ended(NamedTuple):
    """How a connection ended, or was refused: the close code (0: none came) and its reason, or the
    HTTP status of an upgrade that was refused (0: it was not), its headers (names in lower case)
    and body. `ready` tells whether the broker had let us in."""

    code: int = 0
    reason: str = ""
    status: int = 0
    headers: Mapping[str, str] = {}
    body: bytes = b""
    ready: bool = False

    @property
    def why(self) -> str:
        """The close code, and the reason if one came."""
        return f"{self.code} {self.reason}".rstrip()


class Codec(Protocol):
    """The language of one broker's stream, for one connection."""

    malformed: int
    """Messages, or parts of them, that could not be read."""

    def ask(self) -> Request | None:
        """What has to be asked by HTTP before connecting; None for most. Raises BrokerError."""

    def endpoint(self, reply: Reply | None) -> Endpoint:
        """Where to connect; with the reply to `ask`. Raises BrokerError."""

    def opened(self) -> Sequence[Frame]:
        """The socket is open: what is said first."""

    @property
    def ready(self) -> bool:
        """Whether subscriptions may be sent: from `opened` on, or after the event Ready."""

    def change(self, changes: Sequence[Change]) -> Sequence[Frame]:
        """The frames that ask for these changes, none with more of them than
        `Limits.per_message`. From now on ticks of their subscriptions are known by them."""

    def receive(self, data: str | bytes, now_ms: int, take: Take) -> Sequence[Event]:
        """Read one message. Ticks go to `take` as they are found, in at most the mode that their
        subscription has; `now_ms` is the time it came, in epoch milliseconds."""

    def beat(self) -> Sequence[Frame]:
        """What is to be sent every `Limits.beat_s`."""

    def ended(self, end: Ended) -> tuple[Fault, str]:
        """Why the connection ended or was refused: the kind, and a sentence."""


class Limits(NamedTuple):
    """What a broker allows on one kind of connection, and how it wants to be treated.

    `sockets` of an account, each with so many symbols per mode (`per_socket`: LTP, Quote, Depth;
    one that holds some of each is full when the shares add up to one; 0: no limit); `per_account`
    symbols (0: no limit). A message names `per_message` at most, and two of them are `gap_s`
    apart. When the broker `confirms`, a subscription that it has not confirmed within `confirm_s`
    is refused; else one is confirmed that it has not refused for `confirm_s`. `beat_s` parts
    beats, `ping_s` pings of the WebSocket protocol (0: none). No message for `idle_s` in a session
    of its market means a dead connection (0: never). `ready_s` it may take until Ready. After a
    connection that was up, the next one is not made within `rest_s`.
    """

    sockets: int = 1
    per_socket: tuple[int, int, int] = (0, 0, 0)
    per_account: int = 0
    per_message: int = 100
    gap_s: float = 0.0
    confirms: bool = True
    confirm_s: float = 5.0
    beat_s: float = 0.0
    ping_s: float = 10.0
    idle_s: float = 60.0
    ready_s: float = 15.0
    rest_s: float = 0.0


class Addresses(NamedTuple):
    """Where a broker is reached: its stream, and its REST API."""

    url: str
    api: str = ""


class Channel(NamedTuple):
    """One kind of connection of a broker: the usual one, or one of deeper books.

    `levels` is the number of levels of its books; a channel but the first serves symbols with
    `:LEVELS` behind them, as OpenAlgo's clients write them, of `exchanges` (empty: of all). Where
    there are `books` alone, it has no LTP and no quotes."""

    name: str
    addresses: Addresses
    limits: Limits
    codec: Callable[[Credentials, Addresses], Codec]
    levels: int = 5
    exchanges: tuple[str, ...] = ()
    books: bool = False


class Field(NamedTuple):
    """One thing that credentials say. Who has no `needed` one cannot connect; those that `hub
    login` brings are `kept` by it."""

    name: str
    text: str
    needed: bool = True
    secret: bool = True
    kept: bool = False


class Login(NamedTuple):
    """How a session is begun, once a day. `needs` are fields of the credentials.

    `visit` gives the address that has to be opened in a browser, and `code` names what the broker
    hands over in the address that it leads back to; both are None and empty where no browser is
    needed. `request` is made of the credentials, that code and the time in epoch seconds; `take`
    gives the fields to keep, of the reply and the credentials. Both raise BrokerError.
    """

    needs: tuple[str, ...]
    request: Callable[[Credentials, Addresses, str, float], Request]
    take: Callable[[Reply, Credentials], dict[str, str]]
    visit: Callable[[Credentials, Addresses], str] | None = None
    code: str = ""


class Source(NamedTuple):
    """A file of a broker's list of instruments: a name for it, where it is had, and where another
    one of the same is had, which may say less."""

    name: str
    url: str
    other: str = ""


class Reader(NamedTuple):
    """How a broker's list of instruments reads. `read` is given the name of a source and the file,
    as it was downloaded, and yields what is in it; a row that cannot be read is left out, a file
    that is something else raises Malformed. `fixed` are listings that no file has. `least` rows
    are in a good list: one with fewer replaces nothing."""

    sources: tuple[Source, ...]
    read: Callable[[str, IO[bytes]], Iterable[Listing]]
    fixed: tuple[Listing, ...] = ()
    least: int = 1


class Broker(NamedTuple):
    """A broker: `channels` (the first is the usual one), `sockets` of all of them together for one
    account (0: their own limits are all), what its credentials say, how one logs in, and when
    credentials expire (epoch seconds; None: unknown)."""

    name: str
    title: str
    channels: tuple[Channel, ...]
    instruments: Reader
    fields: tuple[Field, ...] = ()
    login: Login | None = None
    expires: Callable[[Credentials], float | None] = lambda _: None
    sockets: int = 0
