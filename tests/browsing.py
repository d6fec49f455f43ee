"""Headless Chromium as tests use it: sizes, themes, keys, what the console said, what axe-core finds. Not a test."""

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

Serve = Callable[..., str]
"""Starts a web server with settings by keyword; answers its address."""

AXE = Path(__file__).parent.parent / "collector/node_modules/axe-core/axe.min.js"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip

WATCH = """
window.__violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.__violations.push(`${event.violatedDirective} ${event.blockedURI}`);
});
"""


def program() -> str | None:
    """The browser's path."""
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


def why_not() -> str:
    """Why browser tests cannot run here; empty when they can."""
    missing = [
        name for name, path in (("Chromium", program()), ("chromedriver", shutil.which("chromedriver"))) if not path
    ]
    return (
        f"NOT TESTED in a browser: {' and '.join(missing)} missing; apt-get install chromium chromium-driver"
        if missing
        else ""
    )


class Browser:
    """One window."""

    def __init__(self) -> None:
        self._profile = tempfile.TemporaryDirectory(prefix="otel-cx-chromium-", ignore_cleanup_errors=True)
        options = Options()
        for flag in (*FLAGS, f"--user-data-dir={self._profile.name}"):
            options.add_argument(flag)
        options.binary_location = program() or ""
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        self.command("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        self._origins: set[str] = set()

    def reset(self) -> None:
        """Be a viewer who was never here: no page, nothing stored, nothing permitted, the usual window."""
        self.driver.get("about:blank")
        for origin in self._origins:
            self.command("Storage.clearDataForOrigin", origin=origin, storageTypes="all")
        self._origins.clear()
        self.command("Browser.resetPermissions")
        self.look()

    def quit(self) -> None:
        self.driver.quit()
        self._profile.cleanup()

    def command(self, name: str, **arguments: Any) -> Any:
        return self.driver.execute_cdp_cmd(name, arguments)

    def look(self, *, width: int = 1440, height: int = 900, dark: bool = False, zone: str = "Europe/Berlin") -> None:
        """Be a viewer with this window, system theme and time zone."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.command("Emulation.setEmulatedMedia", features=scheme)
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        self.command("Emulation.setTimezoneOverride", timezoneId=zone)

    def open(self, url: str) -> None:
        """Load a page, and forget what earlier pages said."""
        self.driver.get_log("browser")  # type: ignore[no-untyped-call] # selenium
        self.driver.get(url)
        self._origins.add("/".join(url.split("/")[:3]))

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def until(self, script: str, *arguments: Any, patience_s: float = 30.0) -> Any:
        """Wait for a script to answer something true."""
        end = time.monotonic() + patience_s
        while not (answer := self.run(script, *arguments)):
            if time.monotonic() > end:
                raise AssertionError(f"in vain waited for: {script}")
            time.sleep(0.05)
        return answer

    def text(self, selector: str) -> str:
        return str(self.run("return document.querySelector(arguments[0])?.textContent ?? ''", selector))

    def drawn(self) -> None:
        """Wait until every chart is drawn."""
        self.until("return [...document.querySelectorAll('[data-chart]')].every((place) => place.querySelector('svg'))")

    def press(self, key: str, code: int = 0) -> None:
        """One key, as a person presses it."""
        for kind in ("keyDown", "keyUp"):
            text = "\r" if key == "Enter" and kind == "keyDown" else ""
            self.command("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, text=text)

    def complaints(self) -> list[str]:
        """Policy violations, and what the console said that is worse than information."""
        log = self.driver.get_log("browser")  # type: ignore[no-untyped-call] # selenium
        return [
            *self.run("return window.__violations ?? []"),
            *(entry["message"] for entry in log if entry["level"] != "INFO"),
        ]

    def findings(self) -> list[str]:
        """What axe-core calls serious or critical: rule and element."""
        self.run(AXE.read_text())
        results = self.driver.execute_async_script(
            "const done = arguments[0]; axe.run().then((found) => done(JSON.stringify(found.violations)))"
        )
        return [
            f"{found['id']}: {node['target']} {node.get('failureSummary', '')}"
            for found in json.loads(results)
            if found["impact"] in {"serious", "critical"}
            for node in found["nodes"]
        ]
