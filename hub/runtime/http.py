"""The door to what is asked by HTTP: a broker's REST API, and files that are downloaded.

1. Addresses are https, or of this machine; certificates are verified.
2. A redirect is followed for what was asked with GET: to the same host, or, for a file, which is
   asked with nothing secret, to any.
3. No error holds a query, a header or a body: they may be secret.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import IO
from urllib.parse import urljoin, urlsplit

import httpx

import hub
from hub.brokers.base import Reply, Request
from hub.core.errors import BrokerError, HubError
from hub.core.model import Fault

MOST_BYTES = 4 << 20
"""Longest answer to a request."""
_AGENT = f"shardhub/{hub.__version__}"
_HOPS = 4
_PACKED = (".gz", ".zip")


class NotThere(BrokerError):
    """A file is not there, or not for us: asking again would change nothing."""

    def __init__(self, text: str) -> None:
        super().__init__(Fault.NETWORK, text)


async def fetch(request: Request, timeout_s: float) -> Reply:
    """Make this request, once. Raises BrokerError (NETWORK) when there is no answer to it within
    `timeout_s`, or one longer than MOST_BYTES. Any HTTP status is an answer."""
    async with _asked(request, timeout_s, timeout_s, far=False) as response:
        body = bytearray()
        async for part in response.aiter_bytes():
            body += part
            if len(body) > MOST_BYTES:
                raise _failed(request.url, f"its answer is longer than {MOST_BYTES >> 20} MiB")
        return Reply(response.status_code, _headers(response), bytes(body))


async def download(
    url: str,
    file: IO[bytes],
    most_bytes: int,
    progress: Callable[[int, int], None],
    timeout_s: float = 600.0,
    silence_s: float = 30.0,
) -> None:
    """Put what is at this address in `file`: one whose name says that it is packed stays so,
    whatever the server calls that. `progress` is told how many bytes have come, and of
    how many (0: unknown). Raises BrokerError: RATE for status 429, NETWORK for all else; and
    HubError when `file` does not take it, as on a full disk."""
    request = Request("GET", url)
    async with _asked(request, timeout_s, silence_s, far=True) as response:
        if response.status_code != httpx.codes.OK:
            rate = response.status_code == httpx.codes.TOO_MANY_REQUESTS
            error = _failed(url, f"it answers with HTTP status {response.status_code}")
            if rate:
                error.fault = Fault.RATE
            raise NotThere(str(error)) if response.is_client_error and not rate else error
        packed = urlsplit(url).path.endswith(_PACKED)
        length = response.headers.get("content-length", "")
        known = length.isdecimal() and (packed or "content-encoding" not in response.headers)
        whole, had = int(length) if known else 0, 0
        async for part in response.aiter_raw() if packed else response.aiter_bytes():
            had += len(part)
            if max(had, whole) > most_bytes:
                raise _failed(url, f"it is longer than {most_bytes >> 20} MiB")
            _put(file, part, url)
            progress(had, whole)


def _put(file: IO[bytes], part: bytes, url: str) -> None:
    try:
        file.write(part)
    except OSError as error:  # none of the network's
        raise HubError(
            f"what {shown(url)} sends cannot be kept: {error.strerror}; see that there is room"
        ) from None


def is_safe(url: str) -> bool:
    """Whether an address is https, or of this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        return bool(host) and (
            parts.scheme == "https" or (parts.scheme == "http" and _is_here(host))
        )
    except ValueError:
        return False


def shown(url: str) -> str:
    """An address without what may be secret: its query, and who asks."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an address that is none"
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


@asynccontextmanager
async def _asked(
    request: Request, timeout_s: float, silence_s: float, *, far: bool
) -> AsyncIterator[httpx.Response]:
    """The answer, with its body yet to be read, within the same time."""
    try:
        async with asyncio.timeout(timeout_s), _client(request.url, silence_s) as client:
            response = await _answer(client, request, far=far)
            try:
                yield response
            finally:
                await response.aclose()
    except TimeoutError:
        raise _failed(request.url, f"it did not answer within {timeout_s:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ValueError, OSError) as error:
        raise _failed(request.url, _why(error, silence_s)) from None


async def _answer(client: httpx.AsyncClient, request: Request, *, far: bool) -> httpx.Response:
    """The first answer that leads nowhere else."""
    for _ in range(_HOPS):
        if not is_safe(request.url):
            raise _failed(request.url, "it is neither https nor of this machine")
        headers = {"user-agent": _AGENT, **request.headers}
        asked = client.build_request(
            request.method, request.url, headers=headers, content=request.body or None
        )
        response = await client.send(asked, stream=True)
        if request.method != "GET" or not response.has_redirect_location:
            return response
        await response.aclose()
        request = _redirected(request, response.headers["location"], far=far)
    raise _failed(request.url, "it leads on and on")


def _client(url: str, silence_s: float) -> httpx.AsyncClient:
    here = _is_here(urlsplit(url).hostname or "")
    return httpx.AsyncClient(
        timeout=silence_s,
        trust_env=not here,  # a proxy is for what is far
        follow_redirects=False,
    )


def _redirected(request: Request, location: str, *, far: bool) -> Request:
    """Rule 2."""
    url = urljoin(request.url, location)
    if not far and urlsplit(url).netloc != urlsplit(request.url).netloc:
        raise _failed(request.url, f"it leads to {shown(url)}, which was not asked for")
    if _is_here(urlsplit(url).hostname or "") and not _is_here(
        urlsplit(request.url).hostname or ""
    ):
        raise _failed(request.url, "it leads back to this machine")
    return request._replace(url=url)


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _headers(response: httpx.Response) -> Mapping[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _why(error: Exception, silence_s: float) -> str:
    if isinstance(error, httpx.TimeoutException):
        return f"it was silent for {silence_s:g} s"
    if isinstance(error, httpx.ConnectError):
        return f"it cannot be reached ({_reason(error)})"
    return f"it broke off ({type(error).__name__})"


def _reason(error: BaseException) -> str:
    """What the operating system or TLS says: it knows hosts and certificates, and no queries."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return (error.strerror if isinstance(error, OSError) else "") or type(error).__name__


def _failed(url: str, why: str, fault: Fault = Fault.NETWORK) -> BrokerError:
    return BrokerError(fault, f"{shown(url)}: {why}")
