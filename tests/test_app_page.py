"""The web page, served by ``scm app`` in its own process and used through its API and in a real browser.

Tests skip without Gradio, Selenium or Debian's chromium and chromium-driver.
"""

from __future__ import annotations

import base64
import importlib.util
import itertools
import math
import signal
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from page_browser import PATIENCE, PHOTO, RESULT, Browser, Server, browser_on, start, stop
from PIL import Image, ImageDraw, ImageOps

from scmnet_cli import checkpoint
from scmnet_cli.config import parse_config
from scmnet_cli.errors import ScmError
from scmnet_cli.images import example_photo
from scmnet_cli.models.build import build_generator
from scmnet_cli.provenance import COMPOSITE, read_provenance

if TYPE_CHECKING:
    from conftest import Scm, SomeFaces

if importlib.util.find_spec("gradio") is None:
    pytest.skip("Gradio is not installed (extra `app`)", allow_module_level=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = parse_config({"model": {"size": "tiny", "height": 64, "width": 48}}, "test")
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        checkpoint.save_model(path, build_generator(config.model).state_dict(), config)
    return path


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
        (notice, *shown) = answer
        assert notice["state"] == "done", notice
        (result,) = [value["image"] for value in shown if isinstance(value, dict) and "before" in value]
        content = base64.b64decode(result.split(",")[1])
        assert COMPOSITE.encode() in content
        return content

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
    assert f"--port {port}: not available" in line


def test_without_gradio_the_command_says_what_to_install(model: Path, monkeypatch: pytest.MonkeyPatch):
    from scmnet_cli.app.server import serve

    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ScmError, match=r"pip install 'scmnet-cli\[app\]'"), serve(None):  # type: ignore[arg-type]
        pass


@pytest.fixture(scope="module")
def browser(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser_on(server, tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def drawn(browser: Browser, tmp_path: Path) -> Browser:
    """The page with a first result, and nothing under way."""
    browser.resize(1280, 800)
    if not browser.source(RESULT):
        browser.upload("photo", photos(tmp_path)[0])
        browser.until(lambda: browser.source(RESULT))
    browser.settle()
    return browser


def test_an_uploaded_photo_stays_visible_with_its_analysis_as_an_overlay(drawn: Browser):
    browser = drawn
    assert browser.source(PHOTO).startswith("data:image/jpeg")
    assert browser.all("#photo .scm-joints line"), "the skeleton lies over it"
    joints, regions = browser.all("#photo .scm-switch")
    assert (joints.get_attribute("aria-pressed"), regions.get_attribute("aria-pressed")) == ("true", "false")
    assert not browser.one("#photo .scm-legend").is_displayed()
    regions.click()
    assert {"hair", "upper"} <= {entry.text for entry in browser.all("#photo .scm-legend span")}
    assert browser.one("#photo .scm-regions").is_displayed()
    joints.click()
    assert not browser.one("#photo .scm-joints").is_displayed()
    joints.click()
    regions.click()


def test_an_example_is_drawn_by_one_click_and_the_page_says_meanwhile_what_it_does(drawn: Browser):
    browser = drawn
    assert len(browser.all("#photo .scm-examples button img")) >= 1
    browser.script(
        "window.said = new Set(); window.watching = new MutationObserver(() => {"
        " if (document.querySelector('#cards.scm-busy')) said.add(document.querySelector('#busy b').textContent); });"
        " watching.observe(document.querySelector('#cards'), {subtree: true, childList: true, attributes: true});"
    )
    browser.changes(RESULT, lambda: browser.press("#photo .scm-examples button"))
    said = browser.script("watching.disconnect(); return [...said]")
    assert "Reading the example: joints and regions" in said
    assert "Generating" in said
    assert not browser.one("#busy").is_displayed()


def test_a_pose_of_the_library_is_marked_readable_and_drawn(drawn: Browser):
    browser = drawn
    cards = browser.all("#pose .scm-library .scm-card")
    assert len(cards) == 25
    browser.changes(RESULT, lambda: browser.press("#pose .scm-library .scm-card:nth-child(3)"))
    (chosen,) = browser.all("#pose .scm-library .scm-card[aria-pressed=true]")
    assert chosen == cards[2]
    name = chosen.find_element("css selector", "span")
    assert "-" not in name.text
    assert browser.one("#pose .scm-now").text == f"Pose: {name.text}"
    assert float(name.value_of_css_property("font-size").removesuffix("px")) >= 11.5


def test_joints_are_dragged_undone_mirrored_and_left_out(drawn: Browser):
    browser = drawn
    browser.open_tab("Edit by hand")
    place = "return document.querySelector('[data-joint=\"4\"]').getAttribute('cx')"
    before = float(browser.script(place))
    browser.changes(RESULT, lambda: browser.press_at('[data-joint="4"]', 0, 0, drag=(60, -40)))
    assert float(browser.script(place)) > before + 2
    assert browser.one("#pose .scm-now").text.endswith("by hand")
    assert "Selected: right wrist" in browser.message("pose")
    undo, mirror, leave_out = browser.all(".scm-hand .scm-controls > .scm-row:nth-child(2) button")
    browser.changes(RESULT, undo.click)
    assert float(browser.script(place)) == before
    everywhere = "return [...document.querySelectorAll('.scm-grip')].map(grip => grip.getAttribute('cx')).join()"
    unmirrored = browser.script(everywhere)
    browser.changes(RESULT, mirror.click)
    browser.until(lambda: browser.script(everywhere) != unmirrored)
    browser.press_at('[data-joint="4"]', 0, 0)
    browser.changes(RESULT, leave_out.click)
    assert not browser.all('[data-joint="4"]')
    (add,) = [button for button in browser.all(".scm-hand button") if button.text == "right wrist"]
    browser.changes(RESULT, add.click)
    assert browser.all('[data-joint="4"]')


def test_the_pose_of_another_photo_is_taken_and_the_photo_shown(drawn: Browser, tmp_path: Path):
    browser = drawn
    browser.open_tab("From a photo")
    browser.changes(RESULT, lambda: browser.upload("pose", photos(tmp_path)[1]))
    assert browser.source("pose .scm-frame").startswith("data:image/jpeg")
    assert browser.one("#pose .scm-now").text == "Pose: mirrored"
    assert not browser.all("#pose .scm-library .scm-card[aria-pressed=true]")
    browser.changes(RESULT, lambda: browser.press("#pose .scm-place > .scm-row button"))
    browser.open_tab("Library")


def test_clothes_are_folded_away_and_taken_from_another_photo(drawn: Browser, tmp_path: Path):
    browser = drawn
    assert not browser.one("#clothes .scm-place").is_displayed()
    browser.one("#clothes summary").click()
    browser.until(lambda: browser.one("#clothes .scm-tabs").is_displayed())
    browser.changes(RESULT, lambda: browser.upload("clothes", photos(tmp_path)[2]))
    assert "upper from the photo" in browser.one(".scm-worn").text
    browser.changes(RESULT, lambda: browser.press("#clothes [data-region=hair]"))
    assert "hair from the photo" in browser.one(".scm-worn").text
    browser.changes(RESULT, lambda: browser.press("#clothes summary button"))
    assert "optional" in browser.one(".scm-worn").text
    browser.script("document.querySelector('#clothes details').open = false")


def test_the_slider_shows_the_photo_beside_the_result(drawn: Browser):
    browser = drawn
    width = "return getComputedStyle(document.querySelector('.scm-before')).clipPath"
    slide = "const [s, to] = [document.querySelector('.scm-slider input'), arguments[0]];"
    slide += " s.value = to; s.dispatchEvent(new Event('input'))"
    browser.script(slide, 0)
    assert "100%" in browser.script(width)
    browser.script(slide, 40)
    assert "60%" in browser.script(width)
    assert browser.one(".scm-seam").is_displayed()
    browser.press_at(".scm-picture", 0.2, 0, drag=(-200, 0))
    assert browser.one(".scm-slider input").get_attribute("value") != "40", "the picture itself slides too"
    browser.script(slide, 0)


def test_a_click_on_the_result_shows_where_that_point_came_from(drawn: Browser):
    browser = drawn
    texts = set()
    for across, down in ((0.0, 0.1), (-0.4, -0.4)):
        browser.changes("origin", lambda across=across, down=down: browser.press_at(".scm-picture", across, down))
        texts.add(browser.message("origin"))
    assert all("This point comes from" in text for text in texts)


def test_downloads_have_the_full_resolution_the_mark_that_was_asked_for_and_their_origin(drawn: Browser):
    browser = drawn
    saved = {}
    files = {"picture-PNG": "scm-result.png", "picture-JPEG": "scm-result.jpg", "strip-PNG": "scm-strip.png"}
    for what, name in files.items():
        browser.press(f"[data-save={what}]")
        path = browser.downloads / name
        browser.until(lambda path=path: path.is_file() and path.stat().st_size)
        assert read_provenance(path).source_type == COMPOSITE
        with Image.open(path) as image:
            saved[name] = np.asarray(image.convert("RGB"))
    assert saved["scm-result.png"].shape == (64, 48, 3)
    assert browser.one(".scm-size").text == "48 × 64"
    (browser.downloads / "scm-result.png").unlink()
    browser.changes(RESULT, lambda: browser.press(".scm-check input"))
    browser.press("[data-save=picture-PNG]")
    browser.until((browser.downloads / "scm-result.png").is_file)
    with Image.open(browser.downloads / "scm-result.png") as image:
        assert not np.array_equal(np.asarray(image), saved["scm-result.png"]), "the mark is gone"
    browser.changes(RESULT, lambda: browser.press(".scm-check input"))


def test_a_broken_file_is_reported_at_its_place_and_the_picture_stays(drawn: Browser, tmp_path: Path):
    browser = drawn
    broken = tmp_path / "<i>broken.jpg"
    broken.write_bytes(b"no picture at all")
    before = browser.source(RESULT), browser.source(PHOTO)
    browser.upload("photo", broken)
    browser.until(lambda: "cannot be read as a picture" in browser.message("card-photo"))
    assert "broken" in browser.one("#card-photo .scm-toast[role=alert]").text
    assert (browser.source(RESULT), browser.source(PHOTO)) == before
    assert not browser.all(".scm-toast i"), "a file's name is no HTML"
    browser.press(".scm-toast button")
    assert not browser.all(".scm-toast")


def test_a_file_over_the_limit_is_reported_before_it_is_sent(browser: Browser, tmp_path: Path):
    large = tmp_path / "large.jpg"
    large.write_bytes(np.random.default_rng(0).bytes(3 * 2**20))
    browser.upload("clothes", large)
    browser.until(lambda: "large.jpg is 3.0 MB; the limit is 2 MB" in browser.message("card-clothes"))
    browser.press(".scm-toast button")


def test_on_a_desktop_everything_is_on_one_screen(drawn: Browser):
    browser = drawn
    browser.script("scrollTo(0, 0); document.querySelector('#clothes details').open = false")
    for part in ("#card-photo", "#card-pose", "#picture", "[data-save=picture-PNG]", "#clothes summary"):
        assert browser.in_sight(part), part
    assert browser.script("return document.documentElement.scrollWidth") <= 1280


def test_on_a_phone_photo_pose_and_result_come_first_and_the_result_is_in_sight_when_ready(drawn: Browser):
    browser = drawn
    browser.resize(390, 844)
    cards = [browser.one(f"#card-{name}") for name in ("photo", "pose", "result", "clothes")]
    tops = [browser.script("return arguments[0].getBoundingClientRect().top", card) for card in cards]
    assert tops == sorted(tops)
    assert browser.script("return document.documentElement.scrollWidth") <= 390
    browser.script("scrollTo(0, 0)")
    browser.changes(RESULT, lambda: browser.press("#pose .scm-library .scm-card:nth-child(5)"))
    browser.until(lambda: browser.in_sight("#picture"))
    browser.script("scrollTo(0, document.documentElement.scrollHeight)")
    browser.script("document.querySelector('#clothes details').open = true")
    browser.script("document.querySelector('#clothes .scm-place').scrollIntoView()")
    browser.until(lambda: browser.in_sight("#picture") or browser.one("#peek").is_displayed())
    browser.script("document.querySelector('#clothes details').open = false")
    browser.resize(1280, 800)


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
    browser.until(lambda: "This picture is used" in browser.message("drawing-used"))
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


QUICK_LEARNING = """
from scmnet_cli.app import studio
from scmnet_cli.cli.main import main
from scmnet_cli.inference import personal
from scmnet_cli.training.personalizing import Budget, Recipe

studio.LEARNING = Budget(None, 24)
personal.recipe_for = lambda _: Recipe(learning_rate=3e-3, batch=2)
main()
"""
"""``scm`` with a page that learns in seconds."""


def test_the_button_learns_the_person_draws_with_it_and_leaves_no_file(tmp_path: Path):
    loss = {"adversarial": 0, "perceptual": 0, "style": 0, "bsr": 0, "reconstruction": 5, "person_weight": 3}
    size = {"size": "tiny", "height": 64, "width": 48, "part_warp": True}
    config = parse_config({"model": size, "loss": loss}, "test")
    model = tmp_path / "model.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        checkpoint.save_model(model, build_generator(config.model).state_dict(), config)
    server = start(model, tmp_path / "tmp", program=("-c", QUICK_LEARNING))
    try:
        with browser_on(server, tmp_path) as browser:
            browser.changes(RESULT, lambda: browser.upload("photo", photos(tmp_path)[0]))
            assert browser.one("[data-learn]").text == "Learn this person (about a minute)"
            browser.changes(RESULT, lambda: browser.press("[data-learn]"))
            assert browser.one("[data-learn]").text == "The model has learned this person"
            assert not browser.one("[data-learn]").is_enabled()
            browser.changes(RESULT, lambda: browser.press("#pose .scm-library .scm-card:nth-child(3)"))
            assert browser.one("[data-learn]").text == "The model has learned this person"
            browser.changes(RESULT, lambda: browser.upload("photo", photos(tmp_path)[1]))
            assert browser.one("[data-learn]").text == "Learn this person (about a minute)"
            assert not [path for path in server.kept() if path.suffix == ".safetensors"]
    finally:
        assert stop(server) == 0
    assert server.kept() == []


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
