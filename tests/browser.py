"""A headless Chromium driven over a pipe with the standard library alone (Chrome DevTools Protocol, no WebDriver)."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import pathlib
import select
import shutil
import subprocess
import time
from typing import Any, Iterator, Optional, Sequence

from support import lacking

NAMES = ("chromium", "chromium-browser", "google-chrome")
DEADLINE = 240.0
# Without these a browser asks its maker for news at every start.
_QUIET = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-extensions --hide-scrollbars --force-color-profile=srgb "
    "--remote-debugging-pipe"
).split()
_KEYS = {
    "Tab": 9,
    "Enter": 13,
    "End": 35,
    "Home": 36,
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
}


def require_chromium() -> str:
    """Return the browser's path, skip without one, or fail where KDBG_REQUIRE says that it must be there."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        lacking("chromium", "chromium is not installed (scripts/setup --for test installs it)")
    return found


class Browser:
    """One Chromium with one page. `events` keeps what it reported of console, errors and requests."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back = to, back
        self._left = b""
        self._number = 0
        self._session: Optional[str] = None
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and wait for its answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def attach(self) -> None:
        """Take the page that was opened at the start."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def resize(self, width: int, height: int = 900) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def media(self, scheme: str = "light", medium: str = "") -> None:
        """Prefer light or dark colours; show the page as it is printed."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=medium, features=features)

    def scripts(self, on: bool) -> None:
        self.call("Emulation.setScriptExecutionDisabled", value=not on)

    def open(self, path: pathlib.Path) -> None:
        """Open a file and wait until it is loaded."""
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())

    def value(self, expression: str) -> Any:
        """Evaluate an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, *keys: str, shift: bool = False) -> None:
        """Press keys one after the other, as a user does."""
        for key in keys:
            text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
            code = _KEYS.get(key, ord(key.upper()[0]))
            common = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
            self.call("Input.dispatchKeyEvent", type="keyDown", **common, **text)
            self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def mouse(self, kind: str, x: float, y: float) -> None:
        button = "none" if kind == "mouseMoved" else "left"
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, buttons=1, clickCount=1)

    def screenshot(self, path: pathlib.Path, whole: bool = True) -> None:
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def pdf(self, path: pathlib.Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"]))

    def close(self) -> None:
        """Let the browser end by itself, with all that it started."""
        self._session = None
        self.call("Browser.close")

    def complaints(self) -> Sequence[str]:
        """Everything the console was told: errors, warnings, refused requests, exceptions."""
        self.value("0")  # what was reported up to now has come by then
        found = []
        for event in self.events:
            if event.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
                found.append(json.dumps(event["params"]))
        return found

    def requests(self) -> Sequence[str]:
        """The addresses that were asked for, the page's own among them."""
        self.value("0")
        sent = (event for event in self.events if event.get("method") == "Network.requestWillBeSent")
        return [event["params"]["request"]["url"] for event in sent]

    def _receive(self) -> dict[str, Any]:
        end = time.monotonic() + DEADLINE
        while b"\0" not in self._left:
            ready, _, _ = select.select([self._back], [], [], max(0.0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            data = os.read(self._back, 1 << 20)
            assert data, "the browser ended"
            self._left += data
        message, _, self._left = self._left.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer


@contextlib.contextmanager
def browser(profile: pathlib.Path) -> Iterator[Browser]:
    """Start a browser with an empty profile; it is ended in the end."""
    command = [require_chromium(), *_QUIET, f"--user-data-dir={profile}", "about:blank"]
    (their_in, to), (back, their_out) = os.pipe(), os.pipe()
    # The protocol wants file descriptors 3 and 4, which these may be already, the other way round.
    theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (their_in, their_out)]

    def place() -> None:
        os.dup2(theirs[0], 3)
        os.dup2(theirs[1], 4)

    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=place,
        pass_fds=(3, 4), start_new_session=True,
    )  # fmt: skip
    for end in (their_in, their_out, *theirs):
        os.close(end)
    try:
        driver = Browser(to, back)
        driver.attach()
        yield driver
        with contextlib.suppress(OSError, AssertionError, subprocess.TimeoutExpired):
            driver.close()
            process.wait(DEADLINE)
    finally:
        process.kill()
        process.wait()
        os.close(to)
        os.close(back)
