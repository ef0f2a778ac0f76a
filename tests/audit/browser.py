"""Debian's Chromium without a screen, driven through its own driver; nothing is looked up or fetched for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.required import without

_PATIENCE = 20.0


class Page:
    """The page that the browser shows."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, address: str) -> None:
        """Go to a page, and wait until its script has run to the end."""
        self.driver.get(address)
        self.until("return document.querySelector('.command button') !== null")

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page, beside its policy, and give what it returns."""
        return self.driver.execute_script(script, *arguments)

    def until(self, script: str) -> None:
        """Wait until a script says that something is so."""
        condition: Callable[[object], Any] = lambda _: self.run(script)  # noqa: E731
        WebDriverWait(self.driver, _PATIENCE, 0.05).until(condition)

    def all(self, selector: str) -> list[WebElement]:
        """Find elements."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def press(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def focused(self) -> str:
        """Give the text of what has the focus."""
        return str(self.run("return document.activeElement.innerText")).split("\n")[0]

    def prefers(self, scheme: str) -> None:
        """Let the system ask for a colour scheme."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def troubles(self) -> list[str]:
        """Give what the browser complained of since it was asked last: errors, and breaches of the page's policy."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]


@contextmanager
def chromium() -> Iterator[Page]:
    """Lend a browser."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        without("chromium", "chromium or chromedriver is not installed (Debian: chromium, chromium-driver)")
    options = Options()
    options.binary_location = program
    # Root may not have Chromium's own sandbox, and containers may have a small /dev/shm. It shows our own page alone.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,1000"):
        options.add_argument(argument)
    # What moves is nowhere to be clicked, and half drawn.
    options.add_argument("--force-prefers-reduced-motion")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield Page(made)
    finally:
        made.quit()
