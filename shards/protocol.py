"""The client protocol: requests read, replies written. Pure; no session, no socket.

Source: OpenAlgo's websocket_proxy as its clients know it. A request is a JSON object whose action
is `action` if that is set, else `type`. An error reply has exactly three keys and closes nothing.
docs/protocol.md lists every message.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, cast

from hub.core import forms, topics
from hub.core.errors import RequestError
from hub.core.index import Variant
from hub.core.model import Identity, Instrument, Mode

Request = dict[str, Any]
Entry = tuple[Instrument, bytes, str]
"""A symbol of a subscribe: its names, its key, and why it cannot be had; empty when it can."""

# Error codes. Clients match on these and on nothing else in an error.
INVALID_JSON = "INVALID_JSON"
INVALID_ACTION = "INVALID_ACTION"
SERVER_ERROR = "SERVER_ERROR"
AUTHENTICATION_ERROR = "AUTHENTICATION_ERROR"
BROKER_ERROR = "BROKER_ERROR"
NOT_AUTHENTICATED = "NOT_AUTHENTICATED"
INVALID_MODE = "INVALID_MODE"
INVALID_PARAMETERS = "INVALID_PARAMETERS"

# Close codes (RFC 6455, 7.4; 4000 and up are the protocol's own).
SERVICE_RESTART = 1012
INVALID_DATA = 1007
POLICY_VIOLATION = 1008
KEEPALIVE_TIMEOUT = 1011
TRY_AGAIN_LATER = 1013
AUTH_TIMEOUT = 4401

_ACTIONS = {
    "authenticate": "authenticate",
    "auth": "authenticate",
    "subscribe": "subscribe",
    "unsubscribe": "unsubscribe",
    "unsubscribe_all": "unsubscribe",
    "subscribe_orders": "orders",
    "unsubscribe_orders": "orders",
    "get_broker_info": "get_broker_info",
    "get_supported_brokers": "get_supported_brokers",
    "ping": "ping",
}
OPEN_TO_ALL = frozenset({"authenticate", "ping", "get_supported_brokers"})
"""What a client may ask before it has authenticated."""

LEAST_RATE, MOST_RATE = 0.1, 1000.0
"""Ticks a second of a topic: what a client may ask for."""

_LONGEST_SHOWN = 200
_LONGEST_ECHO = 1024
_ECHOED = ("request_id", "_pingId", "timestamp")
_DEEPEST = 200
_quoted = json.encoder.encode_basestring_ascii
_DEPTH = 5


class Options(NamedTuple):
    """What a client has asked for beside its form: to be told how many ticks it was spared, at
    most so many a second of each topic, 0 for all of them, and to be told what is stale."""

    conflation_info: bool = False
    max_rate: float = 0
    stale_info: bool = False


NO_OPTIONS = Options()


class Subscribe(NamedTuple):
    """A subscribe: one mode and depth for all entries. They are read as they are taken, once;
    there are at most `most` of them. `max_rate` is theirs, None when it says nothing of it."""

    entries: Iterable[Entry]
    mode: Mode
    depth: int
    snapshot: bool
    most: int = 0
    max_rate: float | None = None


class Drop(NamedTuple):
    """One entry of an unsubscribe. `mode` None means Quote, or all there is if that is not held;
    `problem` is set instead when the entry's own mode cannot be read. `key` is what is held, when
    that is known already."""

    instrument: Instrument
    mode: Mode | None
    problem: str = ""
    key: bytes = b""


def read(text: str | bytes) -> Request:
    """A message as a JSON object. Raises RequestError."""
    try:
        request = json.loads(text, parse_constant=lambda _: None, parse_float=_finite)
    except RecursionError:
        raise RequestError(SERVER_ERROR, "the message is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise RequestError(INVALID_JSON, f"the message is not JSON: {error}") from None
    except ValueError as error:  # what is not UTF-8, and numbers of more digits than Python reads
        raise RequestError(SERVER_ERROR, str(error)) from None
    if not isinstance(request, dict):
        raise RequestError(SERVER_ERROR, f"the message is a JSON {_kind(request)}, not an object")
    for name in _ECHOED:
        if name in request and not _is_short(request[name]):
            raise RequestError(
                INVALID_PARAMETERS, f"{name} is longer than {_LONGEST_ECHO} bytes of JSON"
            )
    return request


def action(request: Request) -> str:
    """What a request asks for. Raises RequestError for what nobody knows."""
    asked = request.get("action") or request.get("type")
    known = _ACTIONS.get(asked) if isinstance(asked, str) else None
    if known is None:
        raise RequestError(INVALID_ACTION, f"there is no action {_shown(asked)}")
    return known


def wants_snapshots(request: Request, *, default: bool) -> bool:
    """Whether an authenticate leaves snapshots on."""
    return _flag(request, "snapshot", default=default)


def form(request: Request, *, default: int) -> int:
    """The form in which an authenticate wants to be sent things. Raises RequestError."""
    batch = _said(request, "batch", default=bool(default & forms.BATCH))
    encoding = request.get("encoding")
    if encoding is None:
        encoding = forms.encoding(default)
    if not isinstance(encoding, str) or encoding not in forms.ENCODINGS:
        known = ", ".join(forms.ENCODINGS)
        raise RequestError(INVALID_PARAMETERS, f"encoding {_shown(encoding)} is not one of {known}")
    return forms.ENCODINGS[encoding] | (forms.BATCH if batch else 0)


def options(request: Request, *, default: Options) -> Options:
    """What else an authenticate asks for. Raises RequestError."""
    rate = max_rate(request)
    return Options(
        conflation_info(request, default=default.conflation_info),
        default.max_rate if rate is None else rate,
        _said(request, "stale_info", default=default.stale_info),
    )


def conflation_info(request: Request, *, default: bool) -> bool:
    """Whether a client wants to be told of skipped ticks. Raises RequestError."""
    return _said(request, "conflation_info", default=default)


def max_rate(request: Request) -> float | None:
    """How many ticks a second of each topic a request wants at most: 0 for no such limit, None
    when it says nothing of it. Raises RequestError."""
    if "max_rate" not in request:
        return None
    asked = request["max_rate"]
    if asked is None:
        return 0
    if type(asked) in {int, float} and (asked == 0 or LEAST_RATE <= asked <= MOST_RATE):
        return cast("float", asked)
    problem = (
        f"max_rate {_shown(asked)} is not a number of ticks a second from {LEAST_RATE:g} to "
        f"{MOST_RATE:g}, nor 0 or null for no limit"
    )
    raise RequestError(INVALID_PARAMETERS, problem)


def api_key(request: Request) -> str:
    """The key of an authenticate. Raises RequestError."""
    key = request.get("api_key") or request.get("apikey")
    if not key:
        raise RequestError(AUTHENTICATION_ERROR, "an api_key is required")
    if not isinstance(key, str):
        raise RequestError(SERVER_ERROR, f"the api_key is a JSON {_kind(key)}, not text")
    return key


def check_subscribe(request: Request) -> None:
    """What is wrong with a subscribe whoever serves it: its mode, then whether it has symbols,
    then its options. The symbols themselves are looked at when there is a broker for them. Raises
    RequestError."""
    _mode(request.get("mode", "Quote"))
    if not _symbols(request):
        raise RequestError(INVALID_PARAMETERS, "at least one symbol and exchange is required")
    conflation_info(request, default=False)
    max_rate(request)


def subscribe(request: Request, *, snapshot: bool, scope: bytes = b"") -> Subscribe:
    """Read a subscribe; `snapshot` is the session's default, `scope` that of its keys. Raises
    RequestError."""
    check_subscribe(request)
    symbols = _symbols(request)
    mode = _mode(request.get("mode", "Quote"))
    return Subscribe(
        _read_entries(_entries(symbols), scope),
        mode,
        _depth(request.get("depth")),
        _flag(request, "snapshot", default=snapshot),
        len(symbols),
        max_rate(request),
    )


def check_unsubscribe(request: Request) -> None:
    """The same for an unsubscribe: the mode when it is of one symbol, then whether it has any.
    Raises RequestError."""
    if _is_of_all(request) or request.get("symbols"):
        return
    if _instrument(request) is None:
        raise RequestError(INVALID_PARAMETERS, "symbols or unsubscribe_all is required")
    if "mode" in request:
        _mode(request["mode"])


def unsubscribe(request: Request) -> Iterable[Drop] | None:
    """Read an unsubscribe; None means everything. Entries are read as they are taken, once.
    Raises RequestError."""
    check_unsubscribe(request)
    if _is_of_all(request):
        return None
    mode, symbols = _mode_or_none(request.get("mode")), request.get("symbols")
    if symbols:
        return _read_drops(_entries(symbols), mode)
    instrument = _instrument(request)
    return [Drop(instrument, mode)] if instrument else []


def wants_orders(request: Request) -> bool:
    """Whether an orders request subscribes; else it unsubscribes."""
    return bool((request.get("action") or request.get("type")) == "subscribe_orders")


# Replies.


def error(code: str, message: str) -> bytes:
    """An error reply."""
    return _text({"status": "error", "code": code, "message": message})


def authenticated(
    identity: Identity, form: int = forms.PLAIN, granted: Options = NO_OPTIONS
) -> bytes:
    """The reply to a successful authenticate; it tells of a form that is not plain, and of options
    that are on."""
    reply: dict[str, Any] = {
        "type": "auth",
        "status": "success",
        "message": "Authentication successful",
        "broker": identity.broker,
        "user_id": identity.user,
        "supported_features": {"ltp": True, "quote": True, "depth": True},
    }
    if form != forms.PLAIN:
        reply |= {"batch": bool(form & forms.BATCH), "encoding": forms.encoding(form)}
    reply |= {name: value for name, value in granted._asdict().items() if value}
    return _text(reply)


def subscribed(request: Request, rows: list[str], broker: str, *, failed: bool) -> bytes:
    """The reply to a subscribe, of rows that are written: `partial` as soon as one failed."""
    reply: dict[str, Any] = {
        "type": "subscribe",
        "status": "partial" if failed else "success",
        "subscriptions": [],
        "message": "Subscription processing complete",
        "broker": broker,
    }
    return _filled(_echo(request, reply), rows)


def subscribed_text(instrument: Instrument, tail: str) -> str:
    """One symbol that is subscribed, as JSON; there may be tens of thousands."""
    symbol, exchange = _quoted(instrument.symbol), _quoted(instrument.exchange)
    return f'{{"symbol": {symbol}, "exchange": {exchange}, {tail}'


def subscribed_tail(mode: Mode, depth: Any, broker: str) -> str:
    """What the rows of a reply have in common, the end of each. The mode is its label here, a
    number in ticks."""
    end = {"status": "success", "mode": mode.label, "depth": depth, "broker": broker}
    return _text(end).decode()[1:]


def failed_text(instrument: Instrument, problem: str, broker: str) -> str:
    """One symbol that is not, as JSON."""
    row = {
        "symbol": instrument.symbol,
        "exchange": instrument.exchange,
        "status": "error",
        "message": problem,
        "broker": broker,
    }
    return _text(row).decode()


def unsubscribed(request: Request, dropped: list[str], failed: list[str], broker: str) -> bytes:
    """The reply to an unsubscribe, of rows that are written."""
    reply: dict[str, Any] = {
        "type": "unsubscribe",
        "status": "success" if not failed else "partial" if dropped else "error",
        "message": "Unsubscription processing complete",
        "successful": [],
        "failed": [],
        "broker": broker,
    }
    return _filled(_echo(request, reply), dropped, failed)


def unsubscribed_text(instrument: Instrument, broker: str) -> str:
    """One symbol that is not subscribed any more, or was not, as JSON. Its names are what the
    client wrote, whatever that is."""
    row = {
        "symbol": instrument.symbol,
        "exchange": instrument.exchange,
        "status": "success",
        "broker": broker,
    }
    return _text(row).decode()


def orders(request: Request, *, on: bool) -> bytes:
    """The reply to subscribe_orders and unsubscribe_orders."""
    kind, done = (
        ("subscribe_orders", "Subscribed to") if on else ("unsubscribe_orders", "Unsubscribed from")
    )
    return _text(
        _echo(request, {"type": kind, "status": "success", "message": f"{done} order updates"})
    )


def broker_info(identity: Identity, *, connected: bool) -> bytes:
    """The reply to get_broker_info."""
    return _text(
        {
            "type": "broker_info",
            "status": "success",
            "broker": identity.broker,
            "adapter_status": "connected" if connected else "disconnected",
            "user_id": identity.user,
        }
    )


def supported_brokers(brokers: list[str]) -> bytes:
    """The reply to get_supported_brokers."""
    return _text(
        {
            "type": "supported_brokers",
            "status": "success",
            "brokers": brokers,
            "count": len(brokers),
        }
    )


def pong(request: Request, now_ms: int) -> bytes:
    """The reply to ping; what the client sent along is echoed unless it is null."""
    reply = {"type": "pong", "status": "success", "server_timestamp": now_ms}
    if request.get("timestamp") is not None:
        reply["client_timestamp"] = request["timestamp"]
    if request.get("_pingId") is not None:
        reply["_pingId"] = request["_pingId"]
    return _text(reply)


def stale(variant: Variant, mode: Mode, *, is_stale: bool) -> bytes:
    """What a client that asked for it is told when a symbol becomes stale, or is so no more."""
    return _text(
        {
            "type": "stale",
            "symbol": variant.symbol,
            "exchange": variant.exchange,
            "mode": int(mode),
            "stale": is_stale,
            "broker": variant.broker,
        }
    )


def names(variant: Variant) -> Instrument:
    """The names under which a session holds a key."""
    return Instrument(variant.exchange, variant.symbol)


def _text(reply: Any) -> bytes:
    try:
        return json.dumps(reply).encode()
    except RecursionError:
        raise RequestError(SERVER_ERROR, "what is to be echoed is nested too deeply") from None


def _filled(reply: dict[str, Any], *arrays: list[str]) -> bytes:
    """A reply whose first arrays are empty, with these rows in them."""
    head, *tails = _text(reply).split(b"[]", len(arrays))
    parts = [head]
    for rows, tail in zip(arrays, tails, strict=True):
        parts += (b"[", ", ".join(rows).encode(), b"]", tail)
    return b"".join(parts)


def _finite(digits: str) -> float | None:
    """A number as it is read; what no float can hold is null, as it could be written nowhere."""
    number = float(digits)
    return number if math.isfinite(number) else None


def _echo(request: Request, reply: dict[str, Any]) -> dict[str, Any]:
    if request.get("request_id") is not None:
        reply["request_id"] = request["request_id"]
    return reply


def echoed(request: Request) -> Request:
    """What a reply needs of its request, once that has been read: its id. So a reply that has to
    wait keeps no more of it than this."""
    return {"request_id": request["request_id"]} if "request_id" in request else {}


def _is_short(value: Any) -> bool:
    """Whether a value may be echoed."""
    if value is None or isinstance(value, bool | float):
        return True
    return len(_text(value)) <= _LONGEST_ECHO


def _depth(value: Any) -> int:
    """Levels asked for; what is no sensible number of them counts as not asked. It is echoed in
    each row of the reply, so it is never what a client made of it."""
    return value if type(value) is int and 1 <= value <= _DEEPEST else _DEPTH


def _symbols(request: Request) -> Any:
    symbols = request.get("symbols")
    if not symbols and request.get("symbol") and request.get("exchange"):
        return [{"symbol": request["symbol"], "exchange": request["exchange"]}]
    return symbols


def _entries(symbols: Any) -> Iterable[Request]:
    if not isinstance(symbols, list):
        raise RequestError(SERVER_ERROR, f"symbols is a JSON {_kind(symbols)}, not an array")
    for entry in symbols:
        if not isinstance(entry, dict):
            raise RequestError(
                SERVER_ERROR, f"an entry of symbols is a JSON {_kind(entry)}, not an object"
            )
    return symbols


def _instrument(entry: Request) -> Instrument | None:
    """The instrument of an entry; None when it names none, which is passed over in silence."""
    symbol, exchange = entry.get("symbol"), entry.get("exchange")
    return Instrument(exchange, symbol) if symbol and exchange else None


def _read_entries(entries: Iterable[Request], scope: bytes) -> Iterator[Entry]:
    """Entries as they are read; those that name no instrument are passed over in silence."""
    key_of = topics.key_of
    for entry in entries:
        symbol, exchange = entry.get("symbol"), entry.get("exchange")
        if not (symbol and exchange):
            continue
        key = b""
        if not (isinstance(exchange, str) and isinstance(symbol, str)):
            problem = "symbol and exchange must be text"
        else:
            try:
                key, problem = key_of(exchange, symbol)
                key = scope + key
            except UnicodeEncodeError:
                problem = "symbol and exchange must be valid text"
            exchange = sys.intern(exchange)  # a few names, and many who write them
        yield Instrument(exchange, symbol), key, problem


def _mode(value: Any) -> Mode:
    try:
        return Mode.from_client(value)
    except ValueError as problem:
        raise RequestError(INVALID_MODE, _shown(problem)) from None


def _mode_or_none(value: Any) -> Mode | None:
    try:
        return Mode.from_client(value)
    except ValueError:
        return None


def _is_of_all(request: Request) -> bool:
    return "unsubscribe_all" in (request.get("action"), request.get("type"))


def _read_drops(entries: Iterable[Request], fallback: Mode | None) -> Iterator[Drop]:
    """Entries as they are read. A mode that is none fails its entry, whatever that names; of the
    others those that name no instrument are passed over in silence."""
    for entry in entries:
        mode, problem = fallback, ""
        if "mode" in entry:
            mode, problem = _mode_or_problem(entry["mode"])
        if problem:
            exchange, symbol = entry.get("exchange"), entry.get("symbol")
            yield Drop(Instrument(cast("str", exchange), cast("str", symbol)), None, problem)
        elif instrument := _instrument(entry):
            yield Drop(instrument, mode)


def _mode_or_problem(value: Any) -> tuple[Mode | None, str]:
    try:
        return Mode.from_client(value), ""
    except ValueError as error:
        return None, _shown(error)
    except RecursionError:
        return None, "mode is nested too deeply"


def _said(request: Request, name: str, *, default: bool) -> bool:
    """Whether a request says yes or no; null says nothing. Raises RequestError."""
    asked = request.get(name)
    if asked is None:
        return default
    if not isinstance(asked, bool):
        raise RequestError(INVALID_PARAMETERS, f"{name} {_shown(asked)} is not true or false")
    return asked


def _flag(request: Request, name: str, *, default: bool) -> bool:
    value = request.get(name)
    return value if isinstance(value, bool) else default


def _kind(value: Any) -> str:
    names = {
        list: "array",
        str: "string",
        bool: "boolean",
        int: "number",
        float: "number",
        dict: "object",
    }
    return names.get(type(value), "null")


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"
