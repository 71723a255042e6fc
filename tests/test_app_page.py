"""The web page, served by ``scm app`` in its own process and used through its API and in a real browser.

Tests skip without Gradio, Selenium or Debian's chromium and chromium-driver.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageOps

from scmnet_cli import checkpoint
from scmnet_cli.config import parse_config
from scmnet_cli.errors import ScmError
from scmnet_cli.images import GENERATED, example_photo
from scmnet_cli.models.build import build_generator

if TYPE_CHECKING:
    from conftest import Scm, SomeFaces

if importlib.util.find_spec("gradio") is None:
    pytest.skip("Gradio is not installed (extra `app`)", allow_module_level=True)

PATIENCE = 90.0
"""Seconds for what takes one on an idle machine."""


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


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = parse_config({"model": {"size": "tiny", "height": 64, "width": 48}}, "test")
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        checkpoint.save_model(path, build_generator(config.model).state_dict(), config)
    return path


def start(model: Path, folder: Path, *more: object) -> Server:
    folder.mkdir()
    command = [sys.executable, "-m", "scmnet_cli", "app", "-m", str(model), "--no-browser", "--port", "0"]
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


@pytest.fixture(scope="module")
def server(model: Path, some_faces: SomeFaces, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve a model of random weights; the environment asks for a share link, which must not be made."""
    faces = ("--face-model", some_faces.model, "--faces", some_faces.data)
    server = start(model, tmp_path_factory.mktemp("server") / "tmp", *faces)
    yield server
    assert stop(server) == 0
    assert server.kept() == [], "a page that is stopped leaves nothing on the disk"


def photos(folder: Path) -> list[Path]:
    """Three photos of one person that a model draws differently."""
    with Image.open(example_photo()) as opened:
        image = opened.convert("RGB").resize((256, 256))
    made = []
    for name, picture in {
        "as-is": image,
        "mirrored": ImageOps.mirror(image),
        "grey": ImageOps.grayscale(image),
    }.items():
        made.append(folder / f"{name}.jpg")
        picture.save(made[-1])
    return made


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is read from Linux's /proc")
def test_fifty_concurrent_visitors_each_get_their_own_picture(server: Server, tmp_path: Path):
    from gradio_client import Client, handle_file

    given = photos(tmp_path)

    def visit(number: int) -> bytes:
        client = Client(
            server.url,
            verbose=False,
            download_files=str(tmp_path / str(number)),
            analytics_enabled=False,
            httpx_kwargs={"timeout": PATIENCE},
        )
        answer = client.predict(handle_file(given[number % 3]), api_name="/photo")
        client.close()
        (message, *shown) = answer
        assert message == "", message
        drawn = [value["value"] for value in shown if isinstance(value, dict) and isinstance(value.get("value"), str)]
        (result,) = [Path(path) for path in drawn if _is_result(Path(path))]
        with Image.open(result) as picture:
            assert picture.text == GENERATED  # type: ignore[attr-defined]
        return result.read_bytes()

    before, start_of_visits = server.most_memory(), time.monotonic()
    with ThreadPoolExecutor(50) as pool:
        got = list(pool.map(visit, range(50)))
    grown, kept = server.most_memory() - before, sum(path.stat().st_size for path in server.kept())
    numbers = f"{time.monotonic() - start_of_visits:.0f} s; {before:.0f} MB of memory and {grown:.0f} more"
    print(f"fifty visitors: {numbers}; {kept / 2**20:.0f} MB on the disk")  # noqa: T201 - for docs/app.md, by -s
    assert grown < 500
    of_photo = [set(got[first::3]) for first in range(3)]
    assert [len(results) for results in of_photo] == [1, 1, 1], "the same photo, the same bytes"
    assert len(set.union(*of_photo)) == 3


def _is_result(path: Path) -> bool:
    if path.suffix != ".png":
        return False
    with Image.open(path) as picture:
        return picture.size == (48 * 8, 64 * 8)


@pytest.mark.slow
def test_a_terminated_server_leaves_no_files(model: Path, tmp_path: Path):
    server = start(model, tmp_path / "tmp")
    assert server.kept()
    assert stop(server, signal.SIGTERM) == 0
    assert server.kept() == []


def test_a_port_in_use_is_a_one_line_error(model: Path, scm: Scm):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = scm("app", "-m", model, "--no-browser", "--device", "cpu", "--port", port)
    assert refused.code == 2
    (line,) = refused.errors
    assert f"--port {port}: cannot be listened on" in line


def test_without_gradio_the_command_says_what_to_install(model: Path, monkeypatch: pytest.MonkeyPatch):
    from scmnet_cli.app.server import serve

    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ScmError, match=r"pip install 'scmnet-cli\[app\]'"), serve(None):  # type: ignore[arg-type]
        pass


class Browser:
    """A headless Chromium on the page."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self._sent: list[dict[str, Any]] = []

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements("css selector", selector)

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
        self.until(lambda: self.all(f"#{box} input[type=file]"))[0].send_keys(str(path))

    def source(self, picture: str) -> str:
        images = self.all(f"#{picture} img")
        return images[0].get_attribute("src") if images else ""

    def message(self, of: str = "message") -> str:
        return "".join(element.text for element in self.all(f"#{of}"))

    def click(self, picture: str, across: float, down: float) -> None:
        """Click a picture at an offset from its centre, as shares of its width and height."""
        from selenium.webdriver.common.action_chains import ActionChains

        image = self.all(f"#{picture} img")[0]
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", image)
        size = image.size
        ActionChains(self.driver).move_to_element_with_offset(
            image, round(across * size["width"]), round(down * size["height"])
        ).click().perform()

    def open_tab(self, name: str) -> None:
        self.until(lambda: [tab for tab in self.all("button[role=tab]") if tab.text == name])[0].click()

    def settle(self) -> None:
        """Wait until drawing ends: its progress overlay intercepts clicks."""
        self.until(lambda: not self.all("[data-testid=status-tracker]:not(.hide)"))

    def requests(self) -> list[dict[str, Any]]:
        """Return all requests of the page so far."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        self._sent += [sent["params"]["request"] for sent in messages if sent["method"] == "Network.requestWillBeSent"]
        return self._sent

    def clicked(self) -> list[int]:
        """Return the pixel of the last click, as the page sent it."""
        last = [sent["postData"] for sent in self.requests() if "/queue/join" in sent["url"]][-1]
        place: list[int] = json.loads(last)["event_data"]["index"]
        return place


@pytest.fixture(scope="module")
def browser(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    pytest.importorskip("selenium", reason="Selenium is not installed (extra `dev`)")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no chromium and chromedriver here (Debian: apt-get install chromium chromium-driver)")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    profile = tmp_path_factory.mktemp("chromium")
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu", "window-size=1500,1200"):
        options.add_argument(f"--{argument}")
    options.add_argument(f"--user-data-dir={profile}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=Service(driver))
    opened.get(server.url)
    yield Browser(opened)
    opened.quit()


@pytest.fixture
def drawn(browser: Browser, tmp_path: Path) -> Browser:
    """Return the page with a first result and no drawing in progress."""
    if not browser.source("result"):
        browser.upload("photo", photos(tmp_path)[0])
        browser.until(lambda: browser.source("result"))
    browser.settle()
    return browser


def test_an_uploaded_photo_is_analysed_and_drawn(drawn: Browser):
    browser = drawn
    assert browser.source("found")
    assert browser.message() == ""
    links = [link.get_attribute("href") for link in browser.all("#links a.download")]
    assert len(links) == 2
    assert all(link.startswith("data:image/png;base64,") for link in links)
    assert {"hair", "upper"} <= {chip.text for chip in browser.all(".chip")}


def test_choosing_a_library_pose_draws_another_picture(drawn: Browser):
    browser = drawn
    before = browser.source("result")
    poses = browser.until(lambda: browser.all("#library button.thumbnail-lg"))
    assert len(poses) == 25
    poses[0].click()
    browser.until(lambda: browser.source("result") != before)


def test_a_click_on_the_result_shows_the_origin_of_that_point(drawn: Browser):
    browser = drawn
    box = browser.all("#result img")[0].size
    width, height = 48 * 8, 64 * 8
    assert box["width"] >= width
    assert box["height"] >= height, "the picture is shown as large as it is, in the middle"
    for across, down in ((0.0, 0.4), (-0.4, -0.4)):
        before = browser.source("origin")
        browser.click("result", across, down)
        browser.until(lambda before=before: browser.source("origin") not in ("", before))
        expected = [width / 2 + across * box["width"], height / 2 + down * box["height"]]
        assert browser.clicked() == pytest.approx(expected, abs=2)
        browser.settle()
    assert "This point is made of" in browser.all("#origin-told")[0].text


def test_a_joint_can_be_moved_by_clicking(drawn: Browser):
    browser = drawn
    browser.open_tab("By hand")
    browser.until(lambda: browser.all("#pose img") and browser.all("#pose img")[0].is_displayed())
    browser.settle()
    before = browser.source("result")
    browser.click("pose", 0, -0.25)
    browser.until(lambda: "Now click where the" in browser.all("body")[0].text)
    browser.settle()
    assert browser.source("result") == before
    browser.click("pose", -0.4, -0.4)
    browser.until(lambda: browser.source("result") != before)


def test_a_broken_upload_is_reported_on_the_page_and_the_picture_stays(drawn: Browser, tmp_path: Path):
    browser = drawn
    broken = tmp_path / "<i>broken.jpg"
    broken.write_bytes(b"no picture at all")
    before = browser.source("result")
    browser.upload("photo", broken)
    browser.until(lambda: "cannot be read as a picture" in browser.message())
    assert "broken" in browser.message()
    assert browser.source("result") == before
    assert not browser.all("#message i"), "a file's name is no HTML"


def test_an_upload_over_the_size_limit_is_reported(browser: Browser, tmp_path: Path):
    large = tmp_path / "large.jpg"
    large.write_bytes(np.random.default_rng(0).bytes(3 * 2**20))
    browser.upload("reference-photo", large)
    browser.until(lambda: any("maximum allowed size" in toast.text for toast in browser.all(".toast-body")))


@pytest.fixture
def faces(browser: Browser) -> Browser:
    """Return the page with the tab for faces open."""
    browser.open_tab("A drawn face")
    browser.until(lambda: len(offered := browser.all("#faces button.thumbnail-lg")) == 2 and offered[0].is_displayed())
    return browser


def test_an_uploaded_face_drawing_takes_the_colours_of_the_chosen_face(faces: Browser, tmp_path: Path):
    browser, before = faces, faces.source("face-result")
    sketch = Image.new("RGB", (200, 200), "white")
    ImageDraw.Draw(sketch).ellipse((50, 30, 150, 170), outline="black", width=3)
    sketch.save(tmp_path / "sketch.png")
    browser.upload("drawing", tmp_path / "sketch.png")
    browser.until(lambda: "This picture is taken" in browser.message("drawing-used"))
    browser.all("#faces button.thumbnail-lg")[0].click()
    browser.until(lambda: browser.source("face-result") not in ("", before))


@pytest.mark.slow
def test_a_face_drawn_with_the_mouse_takes_the_colours_of_each_chosen_face(faces: Browser):
    from selenium.webdriver.common.action_chains import ActionChains

    browser = faces
    browser.until(lambda: browser.all("#pad button[aria-label=Brush]"))[0].click()
    browser.until(lambda: "select the draw tool" not in browser.all("#pad")[0].text)
    canvas = browser.all("#pad canvas")[0]
    browser.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    oval = [(round(110 * math.sin(turn)), round(140 * math.cos(turn))) for turn in np.linspace(0, 2 * math.pi, 25)]
    stroke = ActionChains(browser.driver).move_to_element_with_offset(canvas, *oval[0]).click_and_hold()
    for (x, y), (next_x, next_y) in itertools.pairwise(oval):
        stroke.move_by_offset(next_x - x, next_y - y)
    stroke.release().perform()
    browser.until(lambda: browser.all("#pad button[aria-label=Undo]:not([disabled])"))
    browser.until(lambda: browser.message("drawing-used") == "")
    shown = {browser.source("face-result")}
    for face in browser.all("#faces button.thumbnail-lg"):
        face.click()
        browser.until(lambda: browser.source("face-result") not in shown | {""})
        browser.settle()
        shown.add(browser.source("face-result"))
    assert browser.message("face-message") == ""


def test_the_page_sends_requests_to_its_own_server_only(browser: Browser, server: Server):
    asked = [sent["url"] for sent in browser.requests() if sent["url"].startswith(("http", "ws"))]
    assert len(asked) > 10
    assert [url for url in asked if not url.startswith(server.url)] == []


def test_the_content_security_policy_forbids_other_origins(server: Server):
    import urllib.request

    with urllib.request.urlopen(server.url) as answer:
        policy = answer.headers["content-security-policy"]
        text = answer.read().decode()
    assert policy.startswith("default-src 'self' ")
    assert "http" not in policy
    assert '"analytics_enabled":false' in text.replace(" ", "")
