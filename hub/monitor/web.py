"""The monitor's web server: the page, its live figures, `/status.json`, `/metrics` and health.

It runs in the monitor's own loop, so `/healthz` is answered while that turns, and takes no signals.
A port that cannot be had costs the page alone: it is said, and tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import html
import logging
import mimetypes
import socket
from collections.abc import Iterator
from importlib import resources

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute

import hub
from hub.core.settings import Settings
from hub.monitor.doors import Doors
from hub.monitor.live import MOST_PAGES, Board, Pages
from hub.monitor.token import Gate
from hub.runtime.log import log

_AGAIN_S = 5.0
_FOREVER = "public, max-age=31536000, immutable"
_WHY = {"wrong": "That is not the token.", "wait": "Too many wrong tokens. Wait a moment."}


class Files:
    """The files of the page, read once; `mark` tells one build of them from another."""

    def __init__(self) -> None:
        folder = resources.files("hub.monitor.page")
        self._files = {
            file.name: file.read_bytes()
            for file in folder.iterdir()
            if file.name.endswith((".css", ".html", ".js", ".svg"))
        }
        whole = b"\0".join(self._files[name] for name in sorted(self._files))
        self.mark = hashlib.sha256(hub.__version__.encode() + whole).hexdigest()[:12]

    def names(self) -> list[str]:
        """What there is."""
        return list(self._files)

    def page(self, name: str, **said: str) -> Response:
        """One of the two pages; what stands in it as `{{name}}` is said here."""
        text = self._files[name].decode()
        for key, value in (said | {"mark": self.mark, "version": hub.__version__}).items():
            text = text.replace(f"{{{{{key}}}}}", html.escape(value))
        return Response(text, media_type="text/html")

    def file(self, name: str, mark: str) -> Response:
        """A file by its name, kept for ever by whoever asks with the mark of now."""
        content = self._files.get(name)
        if content is None or name.endswith(".html"):
            return PlainTextResponse("There is no such file.\n", 404)
        kept = _FOREVER if mark == self.mark else "no-cache"
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Response(content, media_type=kind, headers={"Cache-Control": kept})


class Web:
    """All that is served. `board` says what there is to show."""

    def __init__(self, settings: Settings, board: Board, token: str) -> None:
        self._page = settings.page
        self._board = board
        self._gate = Gate(token)
        self._files = Files()
        self.pages = Pages(board, self._files.mark)
        self.port = 0
        self._leave = asyncio.Event()
        self._done = asyncio.Event()
        routes = [
            Route("/", self._index),
            Route("/static/{mark}/{name}", self._static),
            Route("/status.json", self._status),
            Route("/metrics", self._metrics),
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            WebSocketRoute("/live", self.pages.serve),
        ]
        self.app = Doors(
            Starlette(routes=routes), gate=self._gate, host=self._page.host, port=self._page.port,
            origins=self._page.origins, trusted=settings.websocket.trusted_proxies,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<Web {self._page.host}:{self._page.port} {self.pages!r} {self._gate!r}>"

    async def run(self) -> None:
        """Serve until `stop`. While the port cannot be had that is said, and tried again."""
        telling = asyncio.create_task(self.pages.tell())
        try:
            if sock := await self._listen():
                await _Server(_config(self.app), self._leave).serve([sock])
        finally:
            telling.cancel()
            self._done.set()

    async def stop(self) -> None:
        """Send all pages away, who will come again; returns when they are gone."""
        self._leave.set()
        await self._done.wait()

    async def _listen(self) -> socket.socket | None:
        """The socket, None when it is time to leave."""
        host, port = self._page.host, self._page.port
        said = ""
        while not self._leave.is_set():
            try:
                sock = _listener(host, port)
            except OSError as error:
                if said != (said := str(error.strerror or error)):
                    log.warning(
                        "the page cannot use %s:%s: %s; all else goes on, and it is tried again. "
                        "Start with `--page-port 0` for another port, or `--no-page` for no page",
                        host, port, said,
                    )  # fmt: skip
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._leave.wait(), _AGAIN_S)
            else:
                host, self.port = sock.getsockname()[:2]
                shown = f"[{host}]" if ":" in host else host
                log.info("the page is at http://%s:%s", shown, self.port)
                return sock
        return None

    async def _index(self, request: Request) -> Response:
        if request.scope["authorised"]:
            return self._files.page("index.html")
        why = _WHY.get(request.url.query, "")
        page = self._files.page("login.html", why=why)
        page.status_code = 401
        return page

    async def _static(self, request: Request) -> Response:
        return self._files.file(request.path_params["name"], request.path_params["mark"])

    async def _status(self, _: Request) -> Response:
        return _json(self._board.board())

    async def _metrics(self, _: Request) -> Response:
        content, kind = self._board.metrics()
        return Response(content, headers={"Content-Type": kind})

    async def _healthz(self, _: Request) -> Response:
        return _json({"status": "ok"})

    async def _readyz(self, _: Request) -> Response:
        missing = self._board.missing()
        return _json({"ready": not missing, "missing": missing}, 503 if missing else 200)


class _Server(uvicorn.Server):
    """One that leaves the signals to the role, and wakes up for nothing but visitors."""

    def __init__(self, config: uvicorn.Config, leave: asyncio.Event) -> None:
        super().__init__(config)
        self._leave = leave

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    async def main_loop(self) -> None:
        """Wait for the end."""
        await self._leave.wait()


def _config(app: Doors) -> uvicorn.Config:
    logger = logging.getLogger("uvicorn")
    logger.handlers[:], logger.propagate = log.handlers, False
    return uvicorn.Config(
        app, log_config=None, log_level="error", access_log=False, lifespan="off",
        ws="websockets-sansio", ws_max_size=4096, ws_per_message_deflate=False,
        limit_concurrency=4 * MOST_PAGES, timeout_keep_alive=5, timeout_graceful_shutdown=1,
        server_header=False, date_header=False, proxy_headers=False,
    )  # fmt: skip


def _listener(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises OSError."""
    family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    sock = socket.socket(family, kind, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(128)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _json(content: object, status: int = 200) -> Response:
    body = msgspec.json.encode(content) + b"\n"
    return Response(body, status, media_type="application/json")
