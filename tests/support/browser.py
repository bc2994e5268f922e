"""A real Chromium, driven through chromedriver's own protocol: no library between.

Source: https://www.w3.org/TR/webdriver2/
"""

import base64
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx

START_TIMEOUT_S = 30
WAIT_S = 15
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--force-prefers-reduced-motion",
)
TAB, ENTER, SPACE = "\ue004", "\ue007", " "

Value = TypeVar("Value")


class Gone(AssertionError):
    """The page of an element was left, or the browser is about to leave it."""


# Caught in the middle of a change of pages, the driver passes on what Chromium says itself.
_GONE = ("stale element reference", "does not belong to the document", "navigated or closed")


class Element:
    """Something on the page; `Gone` when another page has come meanwhile."""

    def __init__(self, browser: "Browser", reference: str) -> None:
        self._browser, self._path = browser, f"element/{reference}"

    @property
    def text(self) -> str:
        return str(self._browser.ask("GET", f"{self._path}/text"))

    @property
    def name(self) -> str:
        """What a screen reader says it is called."""
        return str(self._browser.ask("GET", f"{self._path}/computedlabel"))

    def click(self) -> None:
        """Click what changes something on this page."""
        self._browser.ask("POST", f"{self._path}/click", {})

    def follow(self) -> None:
        """Click what loads another page: a link, or a button that sends a form."""
        with self._browser.leaving():
            self.click()

    def is_gone(self) -> bool:
        try:
            self._browser.ask("GET", f"{self._path}/name")
        except Gone:
            return True
        return False

    def type(self, text: str) -> None:
        self._browser.ask("POST", f"{self._path}/value", {"text": text})

    def clear(self) -> None:
        self._browser.ask("POST", f"{self._path}/clear", {})


class Browser:
    """One Chromium with a profile of its own; pages get no JavaScript."""

    def __init__(self, *, width: int = 1280, height: int = 900) -> None:
        missing = [one for one in ("chromium", "chromedriver") if shutil.which(one) is None]
        assert not missing, f"{missing} not found; tests/system_tools.sh browser installs them"
        self._profile = tempfile.mkdtemp(prefix="packledger-chromium-")
        self._driver = subprocess.Popen(
            ["chromedriver", "--port=0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{self._port()}", timeout=60)
        flags = [*_FLAGS, f"--user-data-dir={self._profile}", f"--window-size={width},{height}"]
        options = {
            "args": flags,
            "binary": shutil.which("chromium"),
            # 2 = block: no page may depend on scripts
            "prefs": {"profile.managed_default_content_settings.javascript": 2},
        }
        wanted = {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}
        answer = self._http.post("/session", json={"capabilities": wanted}).json()["value"]
        assert "sessionId" in answer, answer
        self._session = f"/session/{answer['sessionId']}"

    def _port(self) -> int:
        assert self._driver.stdout is not None
        for line in self._driver.stdout:
            if "started successfully on port" in line:
                return int(line.strip().rstrip(".").rpartition(" ")[2])
        raise AssertionError("chromedriver did not start")

    def __enter__(self) -> "Browser":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._http.delete(self._session)
        finally:
            self._http.close()
            self._driver.terminate()
            self._driver.wait(20)
            if self._driver.stdout is not None:
                self._driver.stdout.close()
            shutil.rmtree(self._profile, ignore_errors=True)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One command; its value. Raises: AssertionError, or `Gone`, with what the driver says."""
        url = f"{self._session}/{path}"
        answer = self._http.request(method, url, json=body if method == "POST" else None)
        value = answer.json()["value"]
        if answer.status_code != 200:
            said = f"{value['error']}: {value['message']}"
            kind = Gone if any(one in said for one in _GONE) else AssertionError
            raise kind(f"{method} {path} {body}: {said}")
        return value

    def go(self, url: str) -> None:
        self.ask("POST", "url", {"url": url})

    @contextmanager
    def leaving(self) -> Iterator[None]:
        """What is done inside loads another page; return when the one before is gone.

        The driver waits for a load that has begun, not for one that is about to: what is looked
        for at once may be found on the page that is being left.
        """
        page = self.one("html")
        yield
        self.until(page.is_gone, "another page")
        self.until(lambda: self.script("return document.readyState") == "complete", "all of it")

    @property
    def url(self) -> str:
        return str(self.ask("GET", "url"))

    @property
    def title(self) -> str:
        return str(self.ask("GET", "title"))

    def all(self, css: str) -> list[Element]:
        found = self.ask("POST", "elements", {"using": "css selector", "value": css})
        return [Element(self, one[_ELEMENT]) for one in found]

    def one(self, css: str) -> Element:
        """The first match, waited for."""
        return self.until(lambda: next(iter(self.all(css)), None), css)

    def link(self, text: str) -> Element:
        """The first link that has this text, waited for."""
        query = {"using": "link text", "value": text}
        found = self.until(lambda: self.ask("POST", "elements", query), f"the link {text!r}")
        return Element(self, found[0][_ELEMENT])

    def labelled(self, label: str) -> Element:
        """The control that a screen reader calls by this name."""

        def look() -> Element | None:
            controls = self.all("input:not([type=hidden]), select, textarea, button")
            return next((one for one in controls if one.name == label), None)

        return self.until(look, f"a control called {label!r}")

    def focused(self) -> Element:
        return Element(self, self.ask("GET", "element/active")[_ELEMENT])

    def press(self, *keys: str) -> None:
        """Press keys one after another, wherever the focus is."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.ask("POST", "actions", {"actions": [{"type": "key", "id": "k", "actions": actions}]})

    def script(self, text: str) -> Any:
        """What a script of ours (not of a page) returns."""
        return self.ask("POST", "execute/sync", {"script": text, "args": []})

    def resize(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._devtools("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, scheme: str) -> None:
        """`light` or `dark`, as the system would say."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._devtools("Emulation.setEmulatedMedia", {"features": [feature]})

    def _devtools(self, command: str, parameters: dict[str, Any]) -> Any:
        return self.ask("POST", "goog/cdp/execute", {"cmd": command, "params": parameters})

    def screenshot(self, path: Path) -> None:
        """The whole page, however long."""
        whole = {"format": "png", "captureBeyondViewport": True}
        path.write_bytes(base64.b64decode(self._devtools("Page.captureScreenshot", whole)["data"]))

    def until(self, look: Callable[[], Value | None], what: str) -> Value:
        deadline = time.monotonic() + WAIT_S
        while True:
            with suppress(Gone):  # what was looked at; there is another page to look at now
                if found := look():
                    return found
            assert time.monotonic() < deadline, f"{what} did not appear at {self.url}"
            time.sleep(0.05)
