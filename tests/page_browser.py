"""The server of ``scm app`` in a process of its own, and a real browser on its page."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 90.0
"""Seconds for what takes one on an idle machine."""

NUM_PARTS = 7
RESULT, PHOTO = "picture .scm-picture", "photo .scm-frame"


@dataclass(frozen=True)
class Server:
    url: str
    folder: Path
    process: subprocess.Popen[str]

    def kept(self) -> list[Path]:
        """Return all files that the server has on disk."""
        return [path for path in self.folder.rglob("*") if path.is_file()]

    def most_memory(self) -> float:
        """Return the peak memory of the server in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024


def start(model: Path, folder: Path, *more: object, program: Sequence[str] = ("-m", "scmnet_cli")) -> Server:
    folder.mkdir()
    command = [sys.executable, *program, "app", "-m", str(model), "--no-browser", "--port", "0"]
    with (folder.parent / "server.log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--max-upload-mb", "2", "--device", "cpu", *map(str, more)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | {"TMPDIR": str(folder), "GRADIO_SHARE": "True"},
        )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert url.startswith("http://127.0.0.1:"), (folder.parent / "server.log").read_text()
    return Server(url, folder, process)


def stop(server: Server, number: int = signal.SIGINT) -> int:
    server.process.send_signal(number)
    code = server.process.wait(PATIENCE)
    assert server.process.stdout is not None
    server.process.stdout.close()
    return code


class Browser:
    """A headless Chromium on the page."""

    def __init__(self, driver: Any, downloads: Path) -> None:
        self.driver = driver
        self.downloads = downloads
        self._sent: list[dict[str, Any]] = []

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements("css selector", selector)

    def one(self, selector: str) -> Any:
        return self.until(lambda: self.all(selector))[0]

    def script(self, code: str, *arguments: object) -> Any:
        return self.driver.execute_script(code, *arguments)

    def until(self, what: Callable[[], Any]) -> Any:
        from selenium.common.exceptions import StaleElementReferenceException

        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                if found := what():
                    return found
            except StaleElementReferenceException:
                pass
            time.sleep(0.1)
        raise AssertionError(
            f"not within {PATIENCE} s; the page says: {self.driver.find_element('css selector', 'body').text}"
        )

    def upload(self, box: str, path: Path) -> None:
        self.one(f"#{box} input[type=file]").send_keys(str(path))

    def source(self, picture: str) -> str:
        images = self.all(f"#{picture} img")
        return images[0].get_attribute("src") or "" if images else ""

    def message(self, of: str) -> str:
        return "".join(element.text for element in self.all(f"#{of}"))

    def press(self, selector: str) -> None:
        """Click wherever the page is scrolled to."""
        self.script("arguments[0].click()", self.one(selector))

    def press_at(self, selector: str, across: float, down: float, drag: tuple[int, int] | None = None) -> None:
        """Click an element, or drag from it, at shares of its width and height from its middle."""
        from selenium.webdriver.common.action_chains import ActionChains

        element = self.one(selector)
        self.script("arguments[0].scrollIntoView({block: 'center'})", element)
        place = element.rect
        pointer = ActionChains(self.driver).move_to_element_with_offset(
            element, round(across * place["width"]), round(down * place["height"])
        )
        if drag is None:
            pointer.click().perform()
        else:
            pointer.click_and_hold().move_by_offset(*drag).release().perform()

    def open_tab(self, name: str) -> None:
        self.until(lambda: [tab for tab in self.all("button[role=tab]") if tab.text == name])[0].click()

    def settle(self) -> None:
        """Wait until nothing is drawn any more."""
        self.until(lambda: not self.all("#cards.scm-busy"))
        self.until(lambda: not self.all("[data-testid=status-tracker]:not(.hide)"))

    def changes(self, picture: str, act: Callable[[], Any]) -> None:
        """Do something and wait until another picture is there and all is quiet."""
        before = self.source(picture)
        act()
        self.until(lambda: self.source(picture) not in ("", before))
        self.settle()

    def resize(self, width: int, height: int) -> None:
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500},
        )
        self.until(lambda: self.script("return innerWidth") == width)

    def in_sight(self, selector: str) -> bool:
        """Whether an element is inside the window as a whole, up to a few pixels."""
        box = "const b = arguments[0].getBoundingClientRect(); return [b.top, b.bottom - innerHeight, b.height];"
        top, below, height = self.script(box, self.one(selector))
        return height > 0 and top > -8 and below < 8

    def requests(self) -> list[dict[str, Any]]:
        """Return all requests of the page so far."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        self._sent += [sent["params"]["request"] for sent in messages if sent["method"] == "Network.requestWillBeSent"]
        return self._sent


@contextmanager
def browser_on(server: Server, folder: Path) -> Iterator[Browser]:
    """Open the page in a browser with its profile and downloads in a folder; skip without one."""
    pytest.importorskip("selenium", reason="Selenium is not installed (extra `dev`)")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no chromium and chromedriver here (Debian: apt-get install chromium chromium-driver)")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu", "window-size=1280,1000"):
        options.add_argument(f"--{argument}")
    options.add_argument(f"--user-data-dir={folder / 'chromium'}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=Service(driver))
    downloads = folder / "downloads"
    downloads.mkdir()
    opened.execute_cdp_cmd("Page.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads)})
    opened.get(server.url)
    browser = Browser(opened, downloads)
    browser.resize(1280, 800)
    browser.until(lambda: len(browser.all("[data-ready]")) >= NUM_PARTS)
    yield browser
    opened.quit()
