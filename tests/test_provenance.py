"""The provenance mark of every written image format."""

from __future__ import annotations

import json
import struct
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageSequence

from scmnet_cli.cli.main import main
from scmnet_cli.errors import ScmError
from scmnet_cli.images import save_png
from scmnet_cli.provenance import (
    COMPOSITE,
    GENERATED,
    SOFTWARE,
    Provenance,
    add_mark,
    encode_generated,
    label_video,
    read_provenance,
    save_generated,
    save_generated_animation,
)
from scmnet_cli.types import UInt8Array

if TYPE_CHECKING:
    from conftest import Place, Scm

IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


def picture(seed: int = 0, height: int = 64, width: int = 48) -> UInt8Array:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def xmp_of(image: Image.Image) -> str:
    packet = image.info.get("xmp") or image.info["XML:com.adobe.xmp"]
    return packet.decode() if isinstance(packet, bytes) else str(packet)


def test_the_term_is_iptcs_own() -> None:
    assert COMPOSITE == IPTC


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.JPEG", "a.webp"])
def test_a_picture_of_any_format_has_provenance_that_pillow_reads(tmp_path: Path, name: str) -> None:
    save_generated(tmp_path / name, picture())
    with Image.open(tmp_path / name) as image:
        image.load()
        assert f'DigitalSourceType="{IPTC}"' in xmp_of(image)
        assert image.size == (48, 64)
    assert read_provenance(tmp_path / name) == Provenance(IPTC, SOFTWARE)


def test_a_png_keeps_its_pixels_and_its_text_fields(tmp_path: Path) -> None:
    save_generated(tmp_path / "a.png", picture())
    with Image.open(tmp_path / "a.png") as image:
        assert np.array_equal(np.asarray(image), picture())
        assert {key: image.info[key] for key in GENERATED} == GENERATED
    save_generated(tmp_path / "b.png", picture(), {"Comment": "of a test"})
    with Image.open(tmp_path / "b.png") as image:
        assert image.info["Comment"] == "of a test"
    assert read_provenance(tmp_path / "b.png").source_type == IPTC


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.apng"])
def test_an_animation_of_any_format_has_provenance_and_still_plays(tmp_path: Path, name: str) -> None:
    frames = [picture(seed) for seed in range(3)]
    save_generated_animation(tmp_path / name, frames, 10)
    with Image.open(tmp_path / name) as image:
        assert image.info["loop"] == 0
        shown = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]
    assert len(shown) == 3
    assert not np.array_equal(shown[0], shown[1])
    assert read_provenance(tmp_path / name) == Provenance(IPTC, SOFTWARE)


def test_a_gif_has_xmp_in_its_application_extension(tmp_path: Path) -> None:
    save_generated_animation(tmp_path / "a.gif", [picture(0), picture(1)], 10)
    content = (tmp_path / "a.gif").read_bytes()
    start = content.index(b"\x21\xff\x0bXMP DataXMP") + 14
    place = start
    while content[place]:  # like a reader without XMP support, skip blocks by their length
        place += 1 + content[place]
    assert content[place - 257 : place + 1] == b"\x01" + bytes(range(255, -1, -1)) + b"\x00"
    assert content[place + 1] in (0x00, 0x21, 0x2C)
    assert IPTC.encode() in content[start:place]


def test_a_video_has_xmp_in_adobes_box_and_still_plays(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("mpeg4", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 48, 64, "yuv420p"
        for seed in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(seed), format="rgb24")))
        container.mux(stream.encode(None))
    assert read_provenance(path) == Provenance("", "")
    label_video(path)
    assert read_provenance(path) == Provenance(IPTC, SOFTWARE)
    content, place, boxes = path.read_bytes(), 0, []
    while place < len(content):
        size, kind = struct.unpack_from(">I4s", content, place)
        boxes.append((kind, content[place + 8 : place + size]))
        place += size
    assert place == len(content), "the boxes fill the file"
    assert [kind for kind, _ in boxes].count(b"moov") == 1
    kind, body = boxes[-1]
    assert (kind, body[:16].hex()) == (b"uuid", "be7acfcb97a942e89c71999491e3afac")
    with av.open(str(path)) as container:
        assert len(list(container.decode(video=0))) == 3


def test_the_mark_is_small_visible_and_in_the_corner() -> None:
    for height, width in ((64, 48), (256, 176), (1024, 704)):
        plain = np.full((height, width, 3), 128, np.uint8)
        marked = add_mark(plain)
        changed = (marked != plain).any(2)
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        assert columns[-1] == width - 1
        assert rows[-1] == height - 1
        assert changed.mean() < (0.3 if height == 64 else 0.06)
        assert int(marked[changed].max()) > 200, "light letters"
        assert int(marked[changed].min()) < 80, "on a dark ground"


def test_the_mark_is_added_only_on_request(tmp_path: Path) -> None:
    for mark in (False, True):
        save_generated(tmp_path / "a.png", picture(1, 256, 176), mark=mark)
        with Image.open(tmp_path / "a.png") as image:
            assert np.array_equal(np.asarray(image), picture(1, 256, 176)) is not mark
    frames = [picture(seed, 256, 176) for seed in range(2)]
    save_generated_animation(tmp_path / "b.png", frames, 5, mark=True)
    with Image.open(tmp_path / "b.png") as image:
        first = next(ImageSequence.Iterator(image)).convert("RGB")
        assert np.array_equal(np.asarray(first), add_mark(frames[0]))
    assert encode_generated(picture(1, 256, 176), mark=True) != encode_generated(picture(1, 256, 176))


def test_an_unsupported_suffix_is_refused_with_the_supported_ones(tmp_path: Path) -> None:
    with pytest.raises(
        ScmError, match=r"a\.bmp: pictures of this kind cannot be written.* \.png, \.jpg, \.jpeg, \.webp"
    ):
        save_generated(tmp_path / "a.bmp", picture())


def packet(body: str) -> bytes:
    names = (
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    )
    return f'....<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {names}>{body}</rdf:RDF></x:xmpmeta>....'.encode()


@pytest.mark.parametrize(
    "body",
    [
        f'<rdf:Description e:DigitalSourceType="{IPTC}"/>',
        f"<rdf:Description><e:DigitalSourceType>{IPTC}</e:DigitalSourceType></rdf:Description>",
        f'<rdf:Description><e:DigitalSourceType rdf:resource="{IPTC}"/></rdf:Description>',
    ],
)
def test_the_source_type_is_found_in_every_way_of_writing_xmp(tmp_path: Path, body: str) -> None:
    (tmp_path / "a.jpg").write_bytes(packet(body))
    found = read_provenance(tmp_path / "a.jpg")
    assert found.source_type == IPTC
    assert found.is_generated


def test_a_photo_of_a_camera_does_not_count_as_generated() -> None:
    base = "http://cv.iptc.org/newscodes/digitalsourcetype/"
    assert not Provenance(base + "digitalCapture", "").is_generated
    assert not Provenance("", "").is_generated
    assert Provenance(base + "trainedAlgorithmicMedia", "").is_generated


def test_a_file_without_xmp_has_no_provenance(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png", picture())
    (tmp_path / "empty").touch()
    for name in ("a.png", "empty"):
        assert read_provenance(tmp_path / name) == Provenance("", "")


def test_hostile_or_broken_xmp_is_a_one_line_error(tmp_path: Path) -> None:
    bomb = packet("").replace(b"<rdf:RDF", b'<!ENTITY a "aaaaaaaa"><rdf:RDF')
    (tmp_path / "bomb.png").write_bytes(bomb)
    with pytest.raises(ScmError, match=r"bomb\.png: its XMP declares entities"):
        read_provenance(tmp_path / "bomb.png")
    (tmp_path / "cut.png").write_bytes(packet("<rdf:Description>"))
    with pytest.raises(ScmError, match=r"cut\.png: its XMP cannot be read"):
        read_provenance(tmp_path / "cut.png")
    with pytest.raises(ScmError, match=r"absent\.png: no such file"):
        read_provenance(tmp_path / "absent.png")
    with pytest.raises(ScmError, match="is no file"):
        read_provenance(tmp_path)


def test_doctor_prints_the_provenance_of_a_file(place: Place, scm: Scm, capfd: pytest.CaptureFixture[str]) -> None:
    save_generated(Path("made.webp"), picture())
    save_png(Path("plain.png"), picture())
    camera = packet(f'<rdf:Description e:DigitalSourceType="{IPTC.rsplit("/", 1)[0]}/digitalCapture"/>')
    Path("camera.jpg").write_bytes(camera)
    done = scm("doctor", "made.webp", "plain.png", "camera.jpg")
    assert done.code == 0
    made, plain, camera_line = map(str, done.paths)
    assert made.startswith("made.webp: generated, it states: composed of photographed parts")
    assert made.endswith(f"(compositeWithTrainedAlgorithmicMedia); written by {SOFTWARE}")
    assert plain == "plain.png: states nothing about its origin (no IPTC digital source type in XMP)"
    assert camera_line == "camera.jpg: not generated, it states: taken with a camera (digitalCapture)"
    with pytest.raises(SystemExit):
        main(["doctor", "--json", "made.webp"])
    assert json.loads(capfd.readouterr().out) == [
        {"file": "made.webp", "source_type": IPTC, "tool": SOFTWARE, "generated": True}
    ]
    missing = scm("doctor", "absent.png")
    assert missing.code == 2
    assert missing.errors == ["scm: absent.png: no such file"]


def test_transfer_writes_provenance_and_marks_on_request(place: Place, scm: Scm) -> None:
    given = [
        "transfer",
        "--data",
        place.data,
        "-m",
        place.model,
        "--device",
        "cpu",
        "--src",
        "anna",
        "--pose",
        "walking",
    ]
    plain = scm(*given, "--strip", "-o", "plain")
    marked = scm(*given, "-o", "marked", "--mark")
    assert (plain.code, marked.code) == (0, 0)
    paths = [*Path("plain").glob("*.png"), *Path("marked").glob("*.png")]
    assert len(paths) == 3
    assert {read_provenance(path).source_type for path in paths} == {IPTC}
    (path,) = Path("marked").glob("*.png")
    with Image.open(Path("plain") / path.name) as before, Image.open(path) as after:
        assert np.array_equal(add_mark(np.asarray(before)), np.asarray(after))
