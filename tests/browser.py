"""Chromium without a window, driven by its DevTools protocol, for tests of what a person sees.

with Browser() as browser:
    page = browser.open("http://127.0.0.1:8766")
    page.until("document.title.startsWith('OK')")
    assert page.complaints == []
"""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

import pytest
from websockets.sync.client import ClientConnection, connect

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")
WITHIN_S = 20.0

needs_chromium = pytest.mark.skipif(PROGRAM is None, reason="there is no chromium here")


class Refused(AssertionError):
    """The browser does not do what it was asked: perhaps the page is just being left."""


class Browser:
    """One Chromium with a profile of its own; it ends with the `with`."""

    def __enter__(self) -> Self:
        assert PROGRAM
        self._dir = tempfile.mkdtemp(prefix="browser-", dir="/tmp")
        self._process = subprocess.Popen(
            [PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--no-first-run", "--disable-background-networking", "--disable-extensions",
             "--hide-scrollbars", "--remote-debugging-port=0", f"--user-data-dir={self._dir}",
             "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if b"DevTools listening on " in line:
                url = line.decode().rpartition(" ")[2].strip()
                break
        else:
            raise AssertionError("chromium does not start")
        self._pages: list[Page] = []
        self._stack = ExitStack()
        self._socket = self._stack.enter_context(
            connect(
                url, max_size=None, max_queue=None, compression=None, ping_interval=None, proxy=None
            )
        )
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)  # a session of its own: nobody else's
        self._stack.close()
        self._process.wait(WITHIN_S)
        assert self._process.stderr is not None
        self._process.stderr.close()
        shutil.rmtree(self._dir, ignore_errors=True)

    def open(
        self,
        url: str,
        *,
        width: int = 1440,
        height: int = 1000,
        dark: bool = False,
        moves: bool = False,
    ) -> Page:
        """A tab of its own, with cookies that no other has. What moves costs CPU."""
        root = _Channel(self._socket, None)
        context = root.call("Target.createBrowserContext")["browserContextId"]
        target = root.call("Target.createTarget", url="about:blank", browserContextId=context)
        attached = root.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = Page(_Channel(self._socket, attached["sessionId"]))
        self._pages.append(page)
        page.begin(width, height, dark=dark, moves=moves)
        page.go(url)
        return page

    def close_all(self) -> None:
        """No tab is left of those that were opened."""
        while self._pages:
            self._pages.pop().close()


class Page:
    """One tab. `requests` are the addresses that it asked, `complaints` what its console said."""

    def __init__(self, channel: _Channel) -> None:
        self._channel = channel
        self.requests: list[str] = channel.requests
        self.complaints: list[str] = channel.complaints

    def begin(self, width: int, height: int, *, dark: bool, moves: bool) -> None:
        """Listen, and be a screen of this size."""
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._channel.call(f"{domain}.enable")
        self.resize(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "" if moves else "reduce"}
        self._channel.call("Emulation.setEmulatedMedia", features=[scheme, still])

    def resize(self, width: int, height: int) -> None:
        """Be a screen of another size; a narrow one is a phone's."""
        self._channel.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 500,
        )  # fmt: skip

    def close(self) -> None:
        """The tab is gone."""
        self._channel.call("Page.close")

    def go(self, url: str) -> None:
        """Another address; returns when it is there."""
        self._channel.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, script: str) -> Any:
        """What an expression gives; a promise is awaited."""
        answer = self._channel.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, script: str, within_s: float = WITHIN_S) -> Any:
        """What an expression gives once that is true; errors meanwhile mean not yet."""
        end_s = time.monotonic() + within_s
        tried = f"(() => {{ try {{ return {script}; }} catch {{ return null; }} }})()"
        while time.monotonic() < end_s:
            with suppress(Refused):
                if found := self.run(tried):
                    return found
            time.sleep(0.05)
        raise AssertionError(f"never: {script}\n{self.run('document.body.innerText')}")

    def text(self, selector: str) -> str:
        """What a person reads there."""
        return str(self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    def press(self, key: str) -> None:
        """A key, as from a keyboard."""
        text = {"Enter": "\r"}.get(key, "")
        number = {"Enter": 13, "Tab": 9}.get(key, 0)
        for kind in ("keyDown", "keyUp"):
            self._channel.call(
                "Input.dispatchKeyEvent",
                type=kind, key=key, code=key, text=text, windowsVirtualKeyCode=number,
            )  # fmt: skip

    def write(self, text: str) -> None:
        """Text, as from a keyboard, where the focus is."""
        self._channel.call("Input.insertText", text=text)

    def picture(self, file: Path, *, whole: bool = True) -> None:
        """A PNG of it, with what one would have to scroll to."""
        answer = self._channel.call(
            "Page.captureScreenshot", format="png", captureBeyondViewport=whole
        )
        file.write_bytes(base64.b64decode(answer["data"]))


class _Channel:
    """Calls to one tab, or to the browser itself; what it says unasked is kept."""

    _numbers = itertools.count(1)

    def __init__(self, socket: ClientConnection, session: str | None) -> None:
        self._socket = socket
        self._session = {"sessionId": session} if session else {}
        self.requests: list[str] = []
        self.complaints: list[str] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call and wait."""
        number = next(self._numbers)
        self._socket.send(
            json.dumps({"id": number, "method": method, "params": parameters} | self._session)
        )
        while True:
            message = json.loads(self._socket.recv(WITHIN_S))
            if message.get("id") == number:
                if "error" in message:
                    raise Refused(f"{method}: {message['error']}")
                return dict(message["result"])
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        said, method = message.get("params", {}), message.get("method")
        if message.get("sessionId") != self._session.get("sessionId"):
            return
        if method == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])
        elif method == "Network.webSocketCreated":
            self.requests.append(said["url"])
        elif method == "Runtime.exceptionThrown":
            details = said["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and said["type"] in {"error", "warning"}:
            self.complaints.append(" ".join(str(one.get("value")) for one in said["args"]))
        elif method == "Log.entryAdded" and said["entry"]["level"] in {"error", "warning"}:
            self.complaints.append(f"{said['entry']['text']} {said['entry'].get('url', '')}")


def main() -> None:
    """Make a picture."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("url")
    parser.add_argument("file", type=Path)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=1000)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--after", type=float, default=5.0, help="seconds that it has been open")
    given = parser.parse_args()
    with Browser() as browser:
        page = browser.open(
            given.url, width=given.width, height=given.height, dark=given.dark, moves=True
        )
        time.sleep(given.after)
        page.picture(given.file, whole=False)


if __name__ == "__main__":
    main()
