"""A valid file of each kind, mutations of it, and the readers that must read or refuse each of them."""

from __future__ import annotations

import io
import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from scmnet_cli import checkpoint
from scmnet_cli.config import load_config, parse_config
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.images import read_label_map, read_photo
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.inference.video_files import ClipWriter, open_film, read_frames
from scmnet_cli.inference.wardrobe import SHIPPED_WARDROBE, Wardrobe
from scmnet_cli.metrics.frechet import FeatureStatistics
from scmnet_cli.models.build import build_generator
from scmnet_cli.photo_files import has_heif
from scmnet_cli.poses.files import read_pose_file
from scmnet_cli.preprocess.layouts import open_source
from scmnet_cli.preprocess.prepare import prepare
from scmnet_cli.sources.ccp import CcpSource
from scmnet_cli.sources.drawn import draw_person, write_drawn_source
from scmnet_cli.sources.dresscode import DressCodeSource
from scmnet_cli.sources.keypoints import read_joints, read_keypoint_table
from scmnet_cli.sources.label_maps import read_ids
from scmnet_cli.training.state import read_state
from scmnet_cli.training.tracking import read_stats
from scmnet_cli.types import Canvas, Person
from scmnet_cli.weights import load_backbone

SECONDS = 20
LONGEST_LINE = 2000
FEW, MANY = 12, 250
TOKENS = (
    b"nan", b"NaN", b"-inf", b"1e999", b"-1", b"0", b"99999999999999999999", b"null", b"true", b'""', b"[]", b"{}",
    b"../../../../etc/passwd", b"/etc/passwd", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\n\n", b":", b",", b'"',
    b"[" * 3000, b"{\"a\":" * 2000, b"!!python/object/apply:os.system ['true']", b"&a [*a]", b"A" * 5000,
    "ünï\u202ecode".encode(), b"%s%n", b"2147483648", b"-0.0", b"1_000",
)  # fmt: skip


def mutated(original: bytes, seed: int) -> bytes:
    """Return the file with one to three mutations: bits, bytes, cuts, repeats, and tokens that break parsers."""
    random = np.random.default_rng(seed)
    content = bytearray(original)
    for _ in range(random.integers(1, 4)):
        place = int(random.integers(0, len(content) + 1))
        length = int(random.integers(1, 40))
        match random.integers(0, 9):
            case 0:
                content = content[:place]
            case 1:
                del content[place : place + length]
            case 2:
                content[place:place] = content[place : place + length] * int(random.integers(1, 50))
            case 3:
                content[place : place + length] = bytes(len(content[place : place + length]))
            case 4:
                content[place : place + length] = random.bytes(length)
            case 5 | 6 if words := list(re.finditer(rb"[\w.+-]+", bytes(content[:20_000]))):
                word = words[int(random.integers(len(words)))]
                content[word.start() : word.end()] = TOKENS[int(random.integers(len(TOKENS)))]
            case 7:
                content[place:place] = TOKENS[int(random.integers(len(TOKENS)))]
            case _ if content:
                content[min(place, len(content) - 1)] ^= 1 << int(random.integers(8))
    return bytes(content)


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def is_one_clear_line(error: ScmError) -> bool:
    text = str(error)
    return 0 < len(text) < LONGEST_LINE and text.isprintable()


def drawn() -> Person:
    person = draw_person(0)
    return Person(person.name, person.image[::5, ::5], person.regions[::5, ::5], person.joints)


def picture(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    image = Image.fromarray(drawn().image).convert(mode)
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def exif() -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = 6
    return tags


def label_map() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(drawn().regions).save(stream, "PNG")
    return stream.getvalue()


def array_file() -> bytes:
    stream = io.BytesIO()
    np.save(stream, drawn().regions.astype(np.int64))
    return stream.getvalue()


def benchmark_table() -> bytes:
    rows = ["name:keypoints_y:keypoints_x"]
    rows += [f"{name}.jpg: {[*range(18)]}: {[-1, *range(17)]}" for name in ("anna", "ben", "cleo")]
    return "\n".join(rows).encode()


def pose_file() -> bytes:
    joints = {"nose": {"x": 20.5, "y": 8, "score": 0.9}, "neck": {"x": 20, "y": 16}, "left_knee": None}
    pose = {"format": "scm-net pose", "version": 1, "name": "walking", "canvas": {"height": 64, "width": 48}}
    return json.dumps(pose | {"joints": joints}).encode()


def openpose_file() -> bytes:
    return json.dumps(
        {"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": [float(n) for n in range(75)]}]}
    ).encode()


def coco_file() -> bytes:
    return json.dumps(
        {
            "images": [{"id": 7, "file_name": "anna.jpg", "height": 64, "width": 48}],
            "annotations": [{"image_id": 7, "num_keypoints": 17, "keypoints": [*range(51)]}],
        }
    ).encode()


def mmpose_file() -> bytes:
    person = {"keypoints": [[n, 2 * n] for n in range(17)], "keypoint_scores": [0.9] * 17, "bbox": [[0, 0, 9, 9]]}
    names = {str(n): f"left_{n}" if n else "nose" for n in range(17)}
    names |= {"5": "l_shoulder", "6": "r_shoulder", "11": "l_hip", "12": "r_hip", "13": "l_knee", "14": "r_knee"}
    frames = [{"frame_id": 0, "instances": [person]}, {"frame_id": 1, "instances": []}]
    return json.dumps({"meta_info": {"keypoint_id2name": names}, "instance_info": frames}).encode()


def landmarks_file() -> bytes:
    point = {"x": 0.4, "y": 0.2, "z": -0.1, "visibility": 0.9}
    return json.dumps({"landmarks": [[point] * 33], "width": 48, "height": 64}).encode()


DRESSCODE_KEYPOINTS = json.dumps({"keypoints": [[20 + n, 30 + 20 * n, 0.9, n] for n in range(18)]})


def dresscode_beside(folder: Path) -> None:
    for name in ("images", "label_maps", "keypoints"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "images" / "000000_0.jpg").write_bytes(picture("JPEG"))
    (folder / "label_maps" / "000000_4.png").write_bytes(label_map())
    (folder / "keypoints" / "000000_2.json").write_text(DRESSCODE_KEYPOINTS, encoding="utf-8")
    (folder / "train_pairs.txt").write_text("000000_0.jpg\t000000_1.jpg\n", encoding="utf-8")


def animation() -> bytes:
    frames = [Image.new("P", (24, 32), number) for number in (3, 80, 200)]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:], duration=100)
    return stream.getvalue()


def read_film(path: Path) -> None:
    open_film(path)
    list(read_frames(path))


def clip() -> bytes:
    path = Path(os.environ["SCM_HOSTILE"]) / "saved.mp4"
    writer = ClipWriter(path, Fraction(10), {"Comment": "made for a test"})
    for level in (20, 90, 160):
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.close()
    return path.read_bytes()


def heic() -> bytes:
    import pillow_heif

    stream = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(drawn().image)).save(stream)
    return stream.getvalue()


def statistics_file() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, count=4, sum=np.zeros(3), products=np.zeros((3, 3)))
    return stream.getvalue()


def model_file() -> bytes:
    config = parse_config({"model": {"size": "tiny", "height": 64, "width": 48}}, "test")
    return saved(lambda path: checkpoint.save_model(path, build_generator(config.model).state_dict(), config))


def state_file() -> bytes:
    config = load_config("smoke").model_dump_json()
    metadata = {"config": config, "images": "4", "seconds": "1.5", "seed": "0", "people": "abc"}
    return saved(lambda path: checkpoint.save_tensors(path, {"generator.a": torch.zeros(3)}, metadata))


def saved(save: Callable[[Path], None]) -> bytes:
    path = Path(os.environ["SCM_HOSTILE"]) / "saved.safetensors"
    save(path)
    return path.read_bytes()


def backbone_file() -> bytes:
    stream = io.BytesIO()
    torch.save({"features.0.weight": torch.zeros(64, 3, 11, 11), "features.0.bias": torch.zeros(64)}, stream)
    return stream.getvalue()


def mat_file() -> bytes:
    stream = io.BytesIO()
    savemat(stream, {"groundtruth": drawn().regions}, do_compression=True)
    return stream.getvalue()


def yaml_file() -> bytes:
    return b"""
model: {size: small, height: 128, width: 88}
loss:
  vgg: vgg16
  style_layers: [relu2_2]
train: {images: 22_400, batch: 8, learning_rate: 3e-4, precision: bf16}
"""


@dataclass(frozen=True)
class Reader:
    file: str
    good: Callable[[], bytes]
    read: Callable[[Path], object]
    beside: Callable[[Path], None] = lambda _folder: None


def read_all(folder: Path) -> None:
    people = PreparedFolder(folder)
    people.pairs()
    for split in ("train", "val", "test", None):
        for name in people.names(split):
            people.load(name)


def prepared_people(folder: Path) -> None:
    people = Path(os.environ["SCM_HOSTILE"]) / "people"
    write_drawn_source(people, 3)
    prepare(open_source("folder", people), folder, Canvas(64, 48), jobs=1)
    (folder / "pairs.csv").write_text("from,to\ndrawn_0000,drawn_0001\n", encoding="utf-8")


def prepared_file(name: str) -> Reader:
    def good() -> bytes:
        folder = Path(os.environ["SCM_HOSTILE"]) / "prepared"
        prepared_people(folder)
        return (folder / name).read_bytes()

    return Reader(name, good, lambda path: read_all(path.parents[name.count("/")]), prepared_people)


def prepare_again(folder: Path) -> None:
    prepare(open_source("folder", Path(os.environ["SCM_HOSTILE"]) / "people"), folder, Canvas(64, 48), jobs=1)
    read_all(folder)


def ccp_beside(folder: Path) -> None:
    (folder / "photos").mkdir(exist_ok=True)
    (folder / "photos" / "0001.jpg").write_bytes(picture("JPEG"))
    (folder / "keypoints.csv").write_bytes(benchmark_table().replace(b"anna", b"0001"))
    savemat(
        folder / "label_list.mat",
        {"label_list": np.array([["null", "skin", "hair", "jeans", *["hat"] * 4]], dtype=object)},
    )


MARKET_NAMES = ("0002_c1s1_000451_03", "0002_c2s1_000301_01", "0007_c3s3_077419_03")


MARKET_FILES = {
    "market-annotation-train.csv": "name:keypoints_y:keypoints_x\n"
    + "".join(f"{name}.jpg: {[*range(20, 110, 5)]}: {[30, 32] * 9}\n" for name in MARKET_NAMES),
    "train.lst": "".join(f"{name}.jpg\n" for name in MARKET_NAMES),
    "pairs-train.csv": f"from,to\n{MARKET_NAMES[0]}.jpg,{MARKET_NAMES[1]}.jpg\n",
}


def market_beside(folder: Path) -> None:
    for name in MARKET_NAMES:
        Image.new("RGB", (64, 128), "grey").save(folder / f"{name}.jpg")
    for name, text in MARKET_FILES.items():
        (folder / name).write_text(text, encoding="utf-8")


def market_file(name: str) -> Reader:
    def read(path: Path) -> None:
        prepare(open_source("market1501", path.parent), path.parent / "prepared", Canvas(64, 32), jobs=1)

    return Reader(name, lambda: MARKET_FILES[name].encode(), read, market_beside)


CCP_MAP = "annotations/pixel-level/0001.mat"


READERS = {
    "jpeg": Reader("a.jpg", lambda: picture("JPEG", exif=exif()), read_photo),
    "png": Reader("a.png", lambda: picture("PNG", "RGBA"), read_photo),
    "palette png": Reader("a.png", lambda: picture("PNG", "P"), read_photo),
    "gif": Reader("a.gif", lambda: picture("GIF", "P"), read_photo),
    "webp": Reader("a.webp", lambda: picture("WEBP"), read_photo),
    "tiff": Reader("a.tif", lambda: picture("TIFF", compression="tiff_lzw"), read_photo),
    "bmp": Reader("a.bmp", lambda: picture("BMP"), read_photo),
    "16 bit png": Reader("a.png", lambda: picture("PNG", "I;16"), read_photo),
    "cmyk jpeg": Reader("a.jpg", lambda: picture("JPEG", "CMYK"), read_photo),
    "label map": Reader("a.png", label_map, read_label_map),
    "npy map": Reader("a.npy", array_file, read_ids),
    "keypoint table": Reader(
        "k.csv", benchmark_table, lambda path: [read_keypoint_table(path).find(f"{n}.jpg") for n in ("anna", "ben")]
    ),
    "joints json": Reader("a.json", lambda: json.dumps([[1, 2, 1]] * 18).encode(), read_joints),
    "pose": Reader("a.json", pose_file, lambda path: [posed.person() for posed in read_pose_file(path)]),
    "openpose": Reader("a.json", openpose_file, lambda path: [posed.person() for posed in read_pose_file(path)]),
    "coco": Reader("a.json", coco_file, lambda path: [posed.person() for posed in read_pose_file(path)]),
    "mmpose": Reader("a.json", mmpose_file, lambda path: [posed.person() for posed in read_pose_file(path)[:1]]),
    "mediapipe": Reader("a.json", landmarks_file, lambda path: [posed.person() for posed in read_pose_file(path)]),
    "dresscode keypoints": Reader(
        "keypoints/000000_2.json",
        DRESSCODE_KEYPOINTS.encode,
        lambda path: DressCodeSource(path.parents[1]).read("000000"),
        dresscode_beside,
    ),
    "dresscode list": Reader(
        "train_pairs.txt",
        lambda: b"000000_0.jpg\t000000_1.jpg\n",
        lambda path: DressCodeSource(path.parent).splits(),
        dresscode_beside,
    ),
    "animation": Reader("a.gif", animation, read_film),
    **({"video": Reader("a.mp4", clip, read_film)} if find_spec("av") else {}),
    **({"heic": Reader("a.heic", heic, read_photo)} if has_heif() else {}),
    "stats": Reader(
        "stats.jsonl", lambda: b'{"images": 4, "loss": 0.5, "x": null}\n' * 3, lambda path: read_stats(path.parent)
    ),
    "statistics": Reader("a.npz", statistics_file, FeatureStatistics.read),
    "wardrobe": Reader("closet.safetensors", SHIPPED_WARDROBE.read_bytes, Wardrobe.read),
    "config": Reader("a.yaml", yaml_file, lambda path: load_config(str(path))),
    "model": Reader("model.safetensors", model_file, lambda path: Pipeline.from_pretrained(path, "cpu")),
    "state": Reader("state.safetensors", state_file, lambda path: read_state(path.parent)),
    "backbone": Reader(
        "alexnet-owt-7be5be79.pth",
        backbone_file,
        lambda path: load_backbone("alexnet", path.parent, ["features.0.weight"]),
    ),
    "ccp map": Reader(CCP_MAP, mat_file, lambda path: CcpSource(path.parents[2]).read("0001"), ccp_beside),
    **{f"market {name}": market_file(name) for name in MARKET_FILES},
    "manifest": prepared_file("manifest.json"),
    "journal": replace(prepared_file("journal.jsonl"), read=lambda path: prepare_again(path.parent)),
    "joints table": prepared_file("joints.csv"),
    "train list": prepared_file("train.txt"),
    "pairs": prepared_file("pairs.csv"),
    "prepared image": prepared_file("images/drawn_0000.png"),
}


def valid_file(reader: Reader, folder: Path) -> tuple[Path, bytes]:
    """Write the reader's valid file into a new folder, check that it is read, and return its path and content."""
    folder.mkdir(parents=True)
    reader.beside(folder)
    path = folder / reader.file
    path.parent.mkdir(parents=True, exist_ok=True)
    good = reader.good()
    path.write_bytes(good)
    reader.read(path)
    return path, good


def feed(reader: Reader, folder: Path, seeds: range) -> dict[str, int]:
    """Read the valid file and its mutants; count those read and those refused."""
    path, good = valid_file(reader, folder)
    counts = {"read": 0, "refused": 0}
    for seed in seeds:
        path.write_bytes(mutated(good, seed))
        try:
            with at_most(SECONDS):
                reader.read(path)
            counts["read"] += 1
        except ScmError as error:
            if not is_one_clear_line(error):
                pytest.fail(f"mutant {seed} of {reader.file}: {error}")
            counts["refused"] += 1
        except BaseException as error:
            error.add_note(f"mutant {seed} of {reader.file}")
            raise
    return counts
