"""Chromium without a screen, driven by its own protocol over two pipes: a page is opened, measured, and pictured.

``--remote-debugging-pipe``: commands on descriptor 3, answers on 4, JSON documents that end with a zero byte.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LIMIT_S = 120.0
#: The tallest page that is pictured whole; textures end somewhere above.
TALLEST = 12000
OPTIONS = (
    *("--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-extensions", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--disable-default-apps", "--hide-scrollbars", "--force-color-profile=srgb"),
    # Whatever the browser itself would like to ask for stays on this machine.
    *("--host-resolver-rules=MAP * 127.0.0.1:9", "--proxy-server=127.0.0.1:9"),
)


class Page:
    """A page that has been loaded."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session
        self.requested: list[str] = []
        self.complaints: list[str] = []

    def ask(self, method: str, **values: Any) -> dict[str, Any]:
        return self._browser.ask(method, self._session, self.heard, **values)

    def heard(self, message: dict[str, Any]) -> None:
        if message.get("sessionId") != self._session:
            return
        values = message.get("params", {})
        if message["method"] == "Network.requestWillBeSent":
            self.requested.append(values["request"]["url"])
        elif message["method"] == "Log.entryAdded":
            self.complaints.append(values["entry"]["text"])
        elif message["method"] == "Runtime.exceptionThrown":
            self.complaints.append(values["exceptionDetails"]["text"])

    def evaluate(self, expression: str) -> Any:
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self, path: Path) -> None:
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], TALLEST), "scale": 1}
        answer = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(answer["data"]))


class Browser:
    """A running browser."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._number = 0
        self._unread = b""

    def ask(self, method: str, session: str = "", heard: Any = None, **values: Any) -> dict[str, Any]:
        """One command and its result; events meanwhile go to ``heard``."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": values}
        if session:
            command["sessionId"] = session
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        deadline_s = time.monotonic() + LIMIT_S
        while True:
            message = self._read(deadline_s)
            if message.get("id") == self._number:
                assert "error" not in message, (method, message["error"])
                result: dict[str, Any] = message["result"]
                return result
            if "method" in message and heard is not None:
                heard(message)

    def _read(self, deadline_s: float) -> dict[str, Any]:
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, deadline_s - time.monotonic()))
            assert ready, "the browser does not answer"
            part = os.read(self._answers, 1 << 20)
            assert part, "the browser has ended"
            self._unread += part
        text, _, self._unread = self._unread.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message

    def page(self, path: Path, *, width: int, dark: bool) -> Page:
        """A file from disk in a window of this width; loaded when it returns."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        page = Page(self, self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        for domain in ("Page", "Network", "Log", "Runtime"):
            page.ask(f"{domain}.enable")
        phone = width < 600
        page.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=844 if phone else 900,
            deviceScaleFactor=1,
            mobile=phone,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.ask("Emulation.setEmulatedMedia", features=[scheme])
        page.ask("Page.navigate", url=path.as_uri())
        deadline_s = time.monotonic() + LIMIT_S
        while page.evaluate("location.protocol + document.readyState") != "file:complete":
            assert time.monotonic() < deadline_s, f"{path} is not loaded"
            time.sleep(0.1)
        return page


def _pipe() -> tuple[int, int]:
    """A pipe whose ends are not the numbers that the browser gets them under."""
    ends = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return high[0], high[1]


@contextmanager
def opened() -> Iterator[Browser]:
    """A browser with a profile of its own, both gone at the end."""
    program = shutil.which("chromium")
    assert program, "package chromium is missing"
    profile = tempfile.mkdtemp(prefix="ha-lab-browser-")
    commands_read, commands = _pipe()
    answers, answers_write = _pipe()
    process = subprocess.Popen(
        [
            # bash, because Debian's sh knows descriptors of one digit only.
            *("bash", "-c", f'exec "$0" "$@" 3<&{commands_read} 4>&{answers_write}'),
            *(program, *OPTIONS, f"--user-data-dir={profile}"),
        ],
        pass_fds=(commands_read, answers_write),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(commands_read)
    os.close(answers_write)
    try:
        yield Browser(commands, answers)
    finally:
        # The session is the browser's own, with all its helpers.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)
        os.close(commands)
        os.close(answers)
        shutil.rmtree(profile, ignore_errors=True)
