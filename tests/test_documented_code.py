"""Every Python block in README and docs runs as written."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from scmnet_cli.checkpoint import load_model
from scmnet_cli.images import example_photo, read_photo

if TYPE_CHECKING:
    from conftest import Place, SomeFaces

ROOT = Path(__file__).parent.parent

RUN_BY = {
    "analyser.md": Path(__file__).name,
    "api.md": Path(__file__).name,
    "export.md": "test_export.py",
    "inspect.md": Path(__file__).name,
    "photos.md": Path(__file__).name,
}
"""Pages that hold Python, and the file whose tests run it."""


API_PICTURES = {
    **dict.fromkeys(("walking", "green", "edited", "edited_walking", "as_friend"), (256, 176)),
    **dict.fromkeys(("0010_to_0020", "0010_to_0030"), (64, 48)),
    **dict.fromkeys(("coloured", "hair"), (32, 32)),
}
"""What the page of the API draws, and how high and wide."""


def code(page: str) -> str:
    """Return the Python blocks of a page, joined in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return "\n".join(re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL))


def run(page: str, changes: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    """Run the Python of a page, with some values replaced by those of the small test data."""
    text = code(f"docs/{page}")
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    found: dict[str, Any] = {}
    exec(compile(text, page, "exec"), found)  # noqa: S102 - our own page
    return found


def test_every_page_with_python_has_a_test_that_runs_it() -> None:
    pages = [path.relative_to(ROOT).as_posix() for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))]
    assert sorted(page.removeprefix("docs/") for page in pages if code(page)) == sorted(RUN_BY)
    for page, file in RUN_BY.items():
        assert f'"{page}"' in (Path(__file__).parent / file).read_text(encoding="utf-8")


def test_the_analysers_page_finds_a_person_with_joints_and_regions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Image.open(example_photo()).convert("RGB").save("me.jpg")
    found = run("analyser.md")["found"]
    assert found.has_person
    assert found.joints.shape == (18, 3)
    assert found.regions.shape == (512, 512)


def test_the_page_of_the_api_draws_photos_prepared_people_poses_and_faces(
    place: Place, some_faces: SomeFaces, capsys: pytest.CaptureFixture[str]
) -> None:
    astronaut = Image.open(example_photo()).convert("RGB")
    astronaut.save("me.jpg")
    ImageOps.mirror(astronaut).save("friend.jpg")
    place.prepare(place.path / "data" / "ccp", [place.person(f"00{n}0", n) for n in (1, 2, 3)], [])
    (place.path / "runs").mkdir()
    place.model.parent.rename(place.path / "runs" / "ccp")
    shutil.copytree(some_faces.data, place.path / "data" / "faces")
    (place.path / "runs" / "faces").mkdir()
    shutil.copy(some_faces.model, place.path / "runs" / "faces" / "model.safetensors")
    sketch = Image.new("L", (64, 64), 255)
    ImageDraw.Draw(sketch).ellipse((16, 8, 48, 56), outline=0)
    sketch.save("sketch.png")
    run("api.md", {'"00017"': '"red"', '"00001"': '"blue"', '"hair": faces': '"skin": faces'})
    said = capsys.readouterr().out.splitlines()
    num_tensors = len(load_model(place.path / "runs" / "ccp").state)
    assert said == ["walking-mirrored (18, 3)", f"tiny 64x48 {num_tensors}"]
    drawn = {name: read_photo(Path(f"{name}.png")) for name in API_PICTURES}
    assert {name: picture.shape[:2] for name, picture in drawn.items()} == API_PICTURES
    assert Path("small.safetensors").stat().st_size < Path("runs/ccp/model.safetensors").stat().st_size
    assert not np.array_equal(drawn["walking"], drawn["green"])
    assert not np.array_equal(drawn["edited"], drawn["as_friend"])


def test_the_page_on_inspection_shows_where_a_pixel_came_from(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    people = [place.person(name, seed) for seed, name in enumerate(["0010", "0020"])]
    place.prepare(place.path / "data" / "ccp", people, [])
    (place.path / "runs").mkdir()
    place.model.parent.rename(place.path / "runs" / "ccp")
    run("inspect.md", {"(88, 60)": "(20, 30)"})  # a canvas of 64x48
    assert "(8, 6)" in capsys.readouterr().out


def test_the_page_on_photos_writes_metadata_into_a_parser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
    monkeypatch.chdir(tmp_path)
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, 8, 8]) for name in ("x", "y")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "parser", ends[:1], ends[1:])
    onnx.save(onnx.helper.make_model(graph), "parser.onnx")
    run("photos.md")
    written = {entry.key: entry.value for entry in onnx.load("parser.onnx").metadata_props}
    assert written == {"labels": "schp-lip", "input": "bgr", "size": "473x473"}
