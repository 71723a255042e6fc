"""Faces from edges: preprocessing, edge maps, drawings, training, colorizing, editing and evaluation."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from scmnet_cli import checkpoint
from scmnet_cli.analyser.windows import AlignedFace, Window
from scmnet_cli.config import Config, DataConfig, parse_config
from scmnet_cli.data.augmentation import draw_moves, move
from scmnet_cli.data.cropping import resized
from scmnet_cli.data.dataset import TrainingStream, collate, open_people
from scmnet_cli.data.face_edges import with_parts
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.domains import FACE, PERSON
from scmnet_cli.edges import (
    CANNY,
    PARTS,
    Strokes,
    distance_to_edges,
    edge_maps,
    face_edges,
    redrawn,
    rescale_edges,
)  # fmt: skip
from scmnet_cli.errors import ScmError
from scmnet_cli.evaluation.prepared_cases import deranged
from scmnet_cli.images import save_png
from scmnet_cli.inference.face_editing import edit_face
from scmnet_cli.inference.inputs.faces import read_framed_face
from scmnet_cli.inference.inputs.sketches import likely_kind, read_drawing
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.losses.edges import edge_loss
from scmnet_cli.metrics.edge_fidelity import edge_f1
from scmnet_cli.metrics.region_consistency import region_colour_distance
from scmnet_cli.models.build import build_generator
from scmnet_cli.preprocess.prepare import prepare
from scmnet_cli.regions import CELEBAMASK19, CELEBAMASK_PARTS, FACE_REGIONS, one_hot
from scmnet_cli.sources.celebamask import MASKS, PHOTOS, CelebAMaskSource
from scmnet_cli.training.loop import Run
from scmnet_cli.types import NO_JOINTS, Canvas, Person, Pose, UInt8Array

if TYPE_CHECKING:
    from conftest import Place, Scm

CANVAS = Canvas(32, 32)


def part(name: str) -> int:
    return CELEBAMASK_PARTS.index(name)


def drawn_face(seed: int, size: int = 64) -> tuple[UInt8Array, UInt8Array]:
    """A face of ellipses in random colours, and its parts."""
    random = np.random.default_rng(seed)
    image, parts = Image.new("RGB", (size, size), (200, 210, 220)), Image.new("L", (size, size), 0)
    shift = int(random.integers(-3, 4))
    shapes = {
        "cloth": (10, 54, 54, 70), "hair": (12, 4, 52, 50), "skin": (18, 12, 46, 54), "l_eye": (24, 26, 30, 30),
        "r_eye": (35, 26, 41, 30), "nose": (30, 30, 35, 38), "u_lip": (26, 42, 39, 45), "l_lip": (26, 45, 39, 48),
    }  # fmt: skip
    for name, box in shapes.items():
        box = tuple((place + shift * (i % 2 == 0)) * size / 64 for i, place in enumerate(box))
        ImageDraw.Draw(image).ellipse(box, fill=tuple(random.integers(0, 256, 3).tolist()))
        ImageDraw.Draw(parts).ellipse(box, fill=part(name))
    return np.asarray(image), np.asarray(parts)


def write_source(folder: Path, num: int = 12) -> Path:
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for seed in range(num):
        image, parts = drawn_face(seed)
        save_png(folder / "images" / f"face{seed:02d}.png", image)
        palette = Image.fromarray(parts).convert("P")
        palette.putdata(parts.reshape(-1).tolist())
        palette.putpalette([255 - i // 3 for i in range(768)])
        palette.save(folder / "masks" / f"face{seed:02d}.png")
    return folder


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared folder of twelve drawn faces; not to be written into."""
    folder = tmp_path_factory.mktemp("faces")
    prepare(CelebAMaskSource(write_source(folder / "source")), folder / "data", CANVAS, "keep", jobs=1)
    return folder / "data"


def config(**model: object) -> Config:
    tiny = {"domain": "face", "size": "tiny", "height": 32, "width": 32, "carry_colours": True, "show_structure": True}
    loss = {"perceptual": 0, "style": 0, "bsr": 0}
    train = {"images": 8, "batch": 4, "num_samples": 2, "learning_rate": 1e-3}
    return parse_config({"model": tiny | model, "loss": loss, "train": train}, "test")


@pytest.fixture(scope="session")
def face_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("face-model") / "model.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        checkpoint.save_model(
            path, build_generator(config().model).state_dict(), config(), extra={"background": "keep"}
        )
    return path


# Edge maps


def test_part_borders_are_two_pixels_wide_and_canny_edges_inside_inner_parts_are_dropped() -> None:
    image = np.full((32, 32, 3), 128, np.uint8)
    image[:, 8] = 255  # a line in part 1, and in part 2
    image[:, 24] = 255
    parts = np.ones((32, 32), np.uint8)
    parts[:, 16:] = 2
    edges = face_edges(image, parts, inner=[1])
    with_parts = (edges & PARTS) > 0
    assert with_parts[16, [15, 16]].all()
    assert not with_parts[16, [13, 14, 17, 18]].any()
    assert not with_parts[:, :14].any()
    assert with_parts[4:28, 18:].any()
    assert ((edges & CANNY) > 0)[4:28, :14].any()


def test_the_distance_to_edges_is_l1_and_exact() -> None:
    random = np.random.default_rng(0)
    edges = torch.from_numpy(random.random((2, 9, 13)) < 0.05)
    y, x = torch.meshgrid(torch.arange(9), torch.arange(13), indexing="ij")
    for one, distance in zip(edges, distance_to_edges(edges), strict=True):
        brute = torch.stack([(y - v).abs() + (x - u).abs() for v, u in one.nonzero().tolist()]).amin(0)
        assert torch.equal(distance, brute.float())


def test_the_maps_are_edges_and_clipped_distance_and_parts_come_before_canny() -> None:
    edges = torch.zeros(2, 32, 32, dtype=torch.uint8)
    edges[:, 5, 5] = CANNY
    edges[0, 20, 20] = PARTS
    maps = edge_maps(edges, CANVAS)
    assert maps.shape == (2, 2, 32, 32)
    assert maps[0, 0].nonzero().tolist() == [[20, 20]]
    assert maps[1, 0].nonzero().tolist() == [[5, 5]]
    one_step = 256 / 32 / 3 / 16
    assert maps[1, 1, 5, 6].item() == pytest.approx(one_step)
    assert maps[1, 1, 31, 31].item() == 1
    none = edge_maps(torch.zeros(1, 32, 32, dtype=torch.uint8), CANVAS)
    assert (none[0, 1] == 1).all()


def test_no_edge_is_lost_on_a_smaller_canvas() -> None:
    edges = np.zeros((64, 64), np.uint8)
    edges[33, 21], edges[3, 3] = CANNY, PARTS
    small = rescale_edges(edges, Canvas(64, 64), CANVAS)
    assert (small[16, 10], small[1, 1], np.count_nonzero(small)) == (CANNY, PARTS, 2)


# The prepared folder


def test_a_prepared_folder_of_faces_records_its_domain_and_loads_regions_and_edges(faces: Path) -> None:
    folder = PreparedFolder(faces)
    assert folder.domain is FACE
    assert (len(folder.names("train")), folder.names("val")) == (11, ["face09"])
    face = folder.load("face03")
    assert face.domain == "face"
    assert {FACE_REGIONS[i] for i in np.unique(face.regions)} >= {"background", "skin", "hair", "mouth", "cloth"}
    assert face.edges is not None
    assert (face.edges & PARTS).any()
    assert (face.edges & CANNY).any()
    assert json.loads((faces / "manifest.json").read_text())["background"] == "keep"
    assert (faces / "faces.csv").is_file()
    assert not (faces / "joints.csv").exists()


def test_a_manifest_without_a_domain_means_people(drawn_data: Path) -> None:
    manifest = json.loads((drawn_data / "manifest.json").read_text())
    assert "domain" in manifest
    assert PreparedFolder(drawn_data).domain is PERSON
    journal = (drawn_data / "journal.jsonl").read_text().splitlines()[0]
    assert "domain" not in json.loads(journal)["settings"]  # journals of older versions are read


def test_the_published_layout_reads_the_same_face_from_one_mask_per_part(faces: Path, tmp_path: Path) -> None:
    (tmp_path / PHOTOS).mkdir()
    (tmp_path / MASKS / "0").mkdir(parents=True)
    image, parts = drawn_face(3, 128)
    save_png(tmp_path / PHOTOS / "7.png", image)
    small = np.asarray(Image.fromarray(parts).resize((64, 64), Image.Resampling.NEAREST))
    for place in np.unique(small)[1:]:
        mask = np.where(small == place, 255, 0).astype(np.uint8)
        Image.fromarray(mask).convert("RGB").save(tmp_path / MASKS / "0" / f"00007_{CELEBAMASK_PARTS[place]}.png")
    source = CelebAMaskSource(tmp_path)
    assert source.names() == ["00007"]
    face = source.read("00007")
    assert face.image.shape == (128, 128, 3)
    assert np.array_equal(np.asarray(Image.fromarray(face.regions).resize((64, 64), Image.Resampling.NEAREST)), small)
    prepare(source, tmp_path / "data", CANVAS, "keep", jobs=1)
    again = prepare(source, tmp_path / "data", CANVAS, "keep", jobs=1)
    assert (again.num_usable, again.num_new) == (1, 0)


def test_every_part_belongs_to_a_face_region() -> None:
    assert len(CELEBAMASK19) == len(CELEBAMASK_PARTS) == 19
    assert set(CELEBAMASK19) == set(FACE_REGIONS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layout", "celebamask"], "CelebAMask-HQ"),
        (["--layout", "celebamask", "--domain", "person"], "CelebAMask-HQ"),
        (["--domain", "face"], "CelebAMask-HQ"),
        (["--domain", "face", "--layout", "folder"], "--domain face: layout folder holds people"),
    ],
)
def test_a_folder_of_people_is_refused_as_faces(
    drawn_source: Path, tmp_path: Path, scm: Scm, arguments: list[str], message: str
) -> None:
    done = scm("preprocess", drawn_source, "-o", tmp_path / "data", *arguments)
    assert (done.code, len(done.errors)) == (2, 1)
    assert message in done.errors[0]


@pytest.mark.data
def test_celebamask_mini_is_read_by_the_index_of_its_palette(shared: Callable[[str], Path], tmp_path: Path) -> None:
    source = CelebAMaskSource(shared("data/celebamask_mini"))
    prepare(source, tmp_path / "data", Canvas(64, 64), "keep", limit=10, jobs=1)
    folder = PreparedFolder(tmp_path / "data")
    assert folder.names("val") == [source.names()[9]]
    face = folder.load(folder.names()[0])
    centre = face.regions[24:48, 20:44]
    assert (
        np.isin(centre, [FACE_REGIONS.index(name) for name in ("skin", "eyes", "nose", "mouth", "brows")]).mean() > 0.8
    )


# Training


def test_edges_are_redrawn_as_sketches_of_the_chosen_kind() -> None:
    edges = torch.zeros(1, 32, 32, dtype=torch.uint8)
    edges[0, 8], edges[0, 24] = CANNY, PARTS
    seeds = [(0, 1)]

    def kind(**chances: float) -> torch.Tensor:
        return redrawn(edges, replace(Strokes(0, 0, 0, 0), **chances), seeds)[0]

    assert torch.equal(kind(), edges[0])
    assert kind(sketch=1).unique().tolist() == [0, CANNY]
    every = kind(every_edge=1)
    assert torch.equal(every & CANNY, edges[0] & CANNY)
    assert torch.equal((every & PARTS) > 0, edges[0] > 0)
    thick = kind(thick=1)
    assert (thick > 0).sum() == 3 * (edges > 0).sum()
    assert thick[[7, 8, 9]].unique().tolist() == [CANNY]
    broken = kind(broken=1)
    assert 0 < (broken > 0).sum() < (edges > 0).sum()
    assert torch.equal(broken, torch.where(broken > 0, edges[0], 0))


def test_a_map_is_redrawn_alike_in_any_batch() -> None:
    edges = torch.from_numpy(np.random.default_rng(0).integers(0, 4, (5, 32, 32)).astype(np.uint8))
    strokes = Strokes(0.3, 0.3, 0.5, 0.5)
    seeds = [(0, k) for k in range(5)]
    together = redrawn(edges, strokes, seeds)
    for row in range(5):
        assert torch.equal(redrawn(edges[row : row + 1], strokes, seeds[row : row + 1])[0], together[row])


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_the_alignment_of_a_moved_face_finds_each_part_again(flip: float) -> None:
    """A blob left of the centre is where the alignment says, or where the mirrored face has its left."""
    settings = DataConfig(flip=flip, warp=0)
    moves = draw_moves(settings, 3, range(6), losses=False)
    size, at = 64, (12.0, -6.0)  # the blob's place from the centre, x and y
    y, x = torch.meshgrid(torch.arange(size) - 31.5, torch.arange(size) - 31.5, indexing="ij")
    mirrored = -1 if flip else 1
    blob = torch.exp(-((x - mirrored * at[0]) ** 2 + (y - at[1]) ** 2) / 18).expand(6, 3, -1, -1)
    moved, _ = move(blob, torch.ones(6, size, size, dtype=torch.uint8), moves, None)
    weight = moved[:, 0] / moved[:, 0].sum((1, 2), keepdim=True)
    found = torch.stack([(weight * x).sum((1, 2)), (weight * y).sum((1, 2))], dim=1)
    alignment = moves.alignment(1.0)
    expected = alignment[:, :, :2] @ torch.tensor(at) + alignment[:, :, 2] * (size / 2)
    assert torch.allclose(found, expected, atol=0.7)


def test_the_prior_of_a_face_pulls_the_field_to_the_same_place_or_to_the_aligned_one(faces: Path) -> None:
    folder = PreparedFolder(faces)
    batch = collate([folder.load("face00")], torch.device("cpu"))
    net = build_generator(config(prior_sigma=0.01).model).eval()
    style = net.encode_style(batch.image, one_hot(batch.labels))
    pose = net.encode_pose(batch.maps())
    same = net.field(pose, style).explicit()[0]
    assert torch.equal(same.argmax(1), torch.arange(16))  # 4x4 positions of 8 pixels
    one_down = torch.tensor([[[1.0, 0, 0], [0, 1.0, 0.5]]])  # a position is half a half height
    moved = net.field(pose, style, alignment=one_down).explicit()[0]
    assert torch.equal(moved.argmax(1)[:12], torch.arange(4, 16))


def test_edge_loss_is_zero_for_equal_images_and_counts_missing_edges_more_than_shades() -> None:
    target = torch.full((1, 3, 32, 32), -0.5)
    target[..., 16:] = 0.5
    flat = torch.zeros(1, 3, 32, 32)
    assert edge_loss(target, target, 4.0) == 0
    assert edge_loss(target + 0.2, target, 4.0) < 1e-5  # lightness alone is no edge
    assert edge_loss(flat, target, 4.0) > 3 * edge_loss(target * 0.8, target, 4.0)
    assert edge_loss(flat, target, 8.0) > edge_loss(flat, target, 1.0)


def test_gradients_of_the_edge_loss_sharpen_a_blurred_edge() -> None:
    target = torch.full((1, 3, 32, 32), -0.3)
    target[..., 16:] = 0.3
    blurred = torch.nn.functional.avg_pool2d(target, (1, 9), stride=1, padding=(0, 4), count_include_pad=False)
    image = blurred.clone().requires_grad_()
    optimizer = torch.optim.Adam([image], 0.01)
    for _ in range(40):
        optimizer.zero_grad()
        edge_loss(image, target, 4.0).backward()
        optimizer.step()
    assert edge_loss(image.detach(), target, 4.0) < 0.4 * edge_loss(blurred, target, 4.0)


def test_training_samples_both_kinds_of_edges_and_augments_only_the_style_branch(faces: Path) -> None:
    folder = PreparedFolder(faces)
    people = open_people(folder, folder.names("train"), CANVAS, torch.device("cpu"))
    stream = TrainingStream(people, config().data, seed=0)
    batch = stream.batch(0, 11)
    kinds = ((batch.target.structure & PARTS) > 0).flatten(1).any(1)
    assert kinds.any()
    assert not kinds.all()
    again = stream.batch(0, 11)
    assert torch.equal(batch.target.structure, again.target.structure)
    for row in range(11):
        name = next(n for n in folder.names("train") if _is_of(folder.load(n), batch.target.image[row]))
        plain = torch.from_numpy(folder.load(name).structure)
        seen = batch.target.structure[row]
        assert torch.equal(seen & CANNY, plain & CANNY) or torch.equal(seen & CANNY, plain.flip(1) & CANNY)
        assert not torch.equal(batch.source.image[row], batch.target.image[row])


def _is_of(face: Person, image: torch.Tensor) -> bool:
    own = collate([face], torch.device("cpu")).image[0]
    return torch.equal(own, image) or torch.equal(own.flip(2), image)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_face_model_trains_and_records_its_domain(faces: Path, tmp_path: Path) -> None:
    Run(faces, tmp_path / "run", config(), device="cpu").train()
    pipeline = Pipeline.from_pretrained(tmp_path / "run", "cpu")
    assert pipeline.domain is FACE
    assert pipeline.background == "keep"


def test_data_of_another_domain_than_the_config_is_a_one_line_error(
    drawn_data: Path, faces: Path, tmp_path: Path
) -> None:
    with pytest.raises(ScmError, match=r"holds people, but model.domain is 'face'"):
        Run(drawn_data, tmp_path / "run", config(), device="cpu")
    with pytest.raises(ScmError, match=r"holds faces, but model.domain is 'person'"):
        Run(faces, tmp_path / "run", config(domain="person"), device="cpu")


# Drawing


def test_the_output_of_a_generator_with_edge_input_depends_on_the_edges(faces: Path, face_model: Path) -> None:
    pipeline = Pipeline.from_pretrained(face_model, "cpu")
    folder = PreparedFolder(faces)
    ann, ben = folder.load("face00"), folder.load("face01")
    own = np.asarray(pipeline.transfer(ann, ann).image).astype(int)
    other = np.asarray(pipeline.transfer(ann, ben).image).astype(int)
    assert np.abs(own - other).max() > 0
    result = pipeline.transfer(ann, Pose.of(ben))
    assert np.array_equal(np.asarray(result.image), other)
    assert np.array_equal(result.edges, ben.edges)


def test_a_person_for_a_face_model_and_a_face_for_a_person_model_are_one_line_errors(
    place: Place, scm: Scm, faces: Path, face_model: Path
) -> None:
    for arguments, message in (
        (("transfer", "--src", "data/anna", "--pose", "data/ben", "-m", face_model), "is for people, but the model"),
        (("transfer", "--src", faces / "face00", "--pose", "data/ben", "-m", "run"), "is for faces, but the model"),
        (
            ("colorize", "--edges", faces / "face00", "--ref", faces / "face01", "-m", "run"),
            "draws people, but colorize",
        ),
        (("colorize", "--edges", "data/anna", "--ref", faces / "face01", "-m", face_model), "which have no edges"),
        (
            ("edit", "--src", faces / "face00", "--region", "pants", "--ref", faces / "face01", "-m", face_model),
            "region 'pants' is not one of background, skin, hair",
        ),
    ):
        done = scm(*arguments, "--device", "cpu")
        assert (done.code, len(done.errors)) == (2, 1)
        assert message in done.errors[0]


def test_colorize_draws_every_edge_map_with_every_reference(
    place: Place, scm: Scm, faces: Path, face_model: Path
) -> None:
    arguments = ["--data", faces, "-m", face_model, "--device", "cpu"]
    done = scm(
        "colorize",
        "--edges",
        "face00",
        "--edges",
        "face01",
        "--ref",
        "face02",
        "--ref",
        "face03",
        *arguments,
        "--strip",
    )
    assert done.code == 0
    stems = {path.name for path in done.paths}
    assert stems == {f"face0{e}_like_face0{r}.png" for e in (0, 1) for r in (2, 3)}
    assert done.report()["inputs"]["edges"]["read_as"] == "prepared"
    assert done.report()["inputs"]["reference"]["name"] in {"face02", "face03"}
    assert 0 <= done.report()["metrics"]["edge_f1"] <= 1
    with Image.open(done.paths[0].with_suffix(".strip.png")) as strip:
        assert strip.width > 3 * 32
    folder = PreparedFolder(faces)
    drawn = Pipeline.from_pretrained(face_model, "cpu").transfer(folder.load("face02"), folder.load("face00"))
    with Image.open("outputs/face00_like_face02.png") as image:
        assert np.array_equal(np.asarray(image), np.asarray(drawn.image))


def test_a_face_is_edited_by_the_same_command(place: Place, scm: Scm, faces: Path, face_model: Path) -> None:
    done = scm(
        "edit",
        "--data",
        faces,
        "--src",
        "face00",
        "--region",
        "hair",
        "--ref",
        "face01",
        "-m",
        face_model,
        "--device",
        "cpu",
    )
    assert (done.code, [path.name for path in done.paths]) == (0, ["face00_hair-from-face01.png"])
    assert "hair" in done.report()["metrics"]["region_closeness"]


def test_an_edited_photo_of_a_face_keeps_its_resolution_and_every_pixel_elsewhere(
    place: Place, scm: Scm, face_model: Path
) -> None:
    (place.path / "masks").mkdir()
    photos = {}
    for name, seed in (("ann", 1), ("eve", 2)):
        photos[name], parts = drawn_face(seed, 128)
        save_png(place.path / f"{name}.png", photos[name])
        save_png(place.path / "masks" / f"{name}.png", parts)
    given = ("--region", "lips", "--ref", "eve.png", "-m", face_model, "--device", "cpu", "--strip")
    done = scm("edit", "--src", "ann.png", *given)
    assert (done.code, done.errors) == (0, [])
    with Image.open(done.paths[0]) as image:
        edited = np.asarray(image)
    assert edited.shape == (128, 128, 3)
    changed = (edited != photos["ann"]).any(2)
    rows, columns = np.nonzero(changed)
    assert changed.any()
    assert rows.min() > 75  # the mouth is below
    assert columns.min() > 40


def two_faces() -> tuple[Person, Person]:
    """Two faces of ellipses with noise, the second with other colours."""
    faces = []
    for seed in (1, 2):
        image, parts = drawn_face(seed)
        noise = np.random.default_rng(seed).normal(0, 6, image.shape)
        noisy = (image + noise).round().clip(0, 255).astype(np.uint8)
        faces.append(with_parts(Person(f"face{seed}", noisy, parts, NO_JOINTS)))
    return faces[0], faces[1]


@pytest.mark.parametrize("region", ["hair", "skin", "eyes", "nose", "cloth"])
def test_an_edit_of_a_face_gives_the_part_the_other_colour_and_leaves_all_else_bit_for_bit(region: str) -> None:
    face, other = two_faces()
    edit = edit_face(face, {region: other})
    outside = edit.area == 0
    assert outside.mean() > 0.25
    assert np.array_equal(edit.person.image[outside], face.image[outside])
    part = face.regions == FACE_REGIONS.index(region)
    taken = other.regions == FACE_REGIONS.index(region)
    before, after = (np.abs(each[part].mean(0) - other.image[taken].mean(0)).mean() for each in (
        face.image, edit.person.image
    ))  # fmt: skip
    assert after < 0.35 * before + 3


def test_lips_take_the_other_colour_and_teeth_stay() -> None:
    face, other = two_faces()
    mouth = FACE_REGIONS.index("mouth")
    painted = []
    for each, lips in ((face, (200, 110, 110)), (other, (120, 20, 40))):
        rows = np.flatnonzero((each.regions == mouth).any(1))
        image = np.where(each.regions[..., None] == mouth, np.uint8(lips), each.image)
        teeth = (each.regions == mouth) & (np.arange(64)[:, None] == rows[len(rows) // 2])
        painted.append((replace(each, image=np.where(teeth[..., None], np.uint8([235, 232, 225]), image)), teeth))
    (face, teeth), (other, _) = painted
    edited = edit_face(face, {"mouth": other}).person.image
    lips = (face.regions == mouth) & ~teeth
    assert np.abs(edited[lips].astype(int) - [120, 20, 40]).max() < 12
    assert np.abs(edited[teeth].astype(int) - [235, 232, 225]).mean() < 45  # the soft edge reaches into them


def test_an_edited_part_keeps_its_lines() -> None:
    face, other = two_faces()
    hair = face.regions == FACE_REGIONS.index("hair")
    lined = face.image.copy()
    lined[::4] = (lined[::4] * 0.6).astype(np.uint8)  # strands
    edited = edit_face(replace(face, image=lined), {"hair": other}).person.image
    inner = hair & np.roll(hair, 1, 0) & np.roll(hair, -1, 0)
    rows = np.arange(len(hair))[:, None] % 4 == 0
    grey = edited.astype(float).mean(2)
    assert grey[inner & rows].mean() < grey[inner & ~rows].mean() - 5


def test_the_background_of_another_face_comes_behind_a_face() -> None:
    face, other = two_faces()
    red = replace(other, image=np.where(other.regions[..., None] == 0, np.uint8([250, 10, 10]), other.image))
    edit = edit_face(face, {"background": red})
    behind = face.regions == 0
    assert np.abs(edit.person.image[behind].astype(int) - [250, 10, 10]).max() <= 1
    assert np.array_equal(edit.person.image[edit.area == 0], face.image[edit.area == 0])


def test_a_part_that_a_face_hardly_shows_and_eyes_behind_glasses_are_one_line_errors() -> None:
    face, other = two_faces()
    bald = replace(other, regions=np.where(other.regions == FACE_REGIONS.index("hair"), 1, other.regions))
    with pytest.raises(ScmError, match=r"^face2: shows too little hair to take its colour; it has background, skin"):
        edit_face(face, {"hair": bald})
    glasses = face.regions.copy()
    glasses[24:34, 18:46] = FACE_REGIONS.index("eyes")
    with pytest.raises(ScmError, match=r"^face1: seems to wear glasses"):
        edit_face(replace(face, regions=glasses), {"eyes": other})
    assert (edit_face(replace(face, regions=glasses), {"eyes": other}, force=True).area > 0).any()


def test_an_edited_face_is_drawn_at_its_own_size_and_anew_in_other_edges(faces: Path, face_model: Path) -> None:
    face, other = two_faces()
    pipeline = Pipeline.from_pretrained(face_model, "cpu")
    edited = pipeline.exchange(face, {"hair": other})
    own = pipeline.transfer(edited, edited.person)
    assert edited.edit is not None
    assert np.array_equal(np.asarray(own.image), edited.edit.person.image)
    assert own.image.size == (64, 64)
    assert own.alpha is None
    elsewhere = pipeline.transfer(edited, PreparedFolder(faces).load("face03"))
    assert elsewhere.image.size == (32, 32)
    twice = pipeline.exchange(edited, {"mouth": other})
    assert twice.edit is not None
    hair = (edited.edit.area == 1) & (twice.edit.area == 0)
    assert np.array_equal(twice.edit.person.image[hair], edited.edit.person.image[hair])


# Drawings


def stroked(paper: int, ink: int, size: int = 96) -> UInt8Array:
    image = Image.new("RGB", (size, size), (paper,) * 3)
    ImageDraw.Draw(image).ellipse((20, 10, 76, 86), outline=(ink,) * 3, width=3)
    return np.asarray(image)


@pytest.mark.parametrize(("paper", "ink"), [(255, 0), (0, 255), (235, 70), (30, 200)])
def test_lines_are_found_dark_on_light_and_light_on_dark(tmp_path: Path, paper: int, ink: int) -> None:
    save_png(tmp_path / "drawn.png", stroked(paper, ink))
    for kind in ("edges", "sketch"):
        edges = read_drawing(tmp_path / "drawn.png", CANVAS, kind).edges
        assert edges is not None
        assert not edges[15:17, 14:18].any()  # inside the ellipse
        assert edges[16, 4:10].any()
        assert not edges[:3, :3].any()


def test_a_sketch_is_thinned_and_uneven_paper_does_not_matter(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 4, (96, 96, 1))
    shade = np.linspace(1, 0.7, 96)[None, :, None]
    save_png(tmp_path / "pencil.png", (stroked(240, 90) * shade + noise).clip(0, 255).astype(np.uint8))
    drawing = read_drawing(tmp_path / "pencil.png", CANVAS)
    assert drawing.taken_from == "sketch"
    thick = read_drawing(tmp_path / "pencil.png", CANVAS, "edges")
    assert drawing.edges is not None
    assert thick.edges is not None
    assert 30 < np.count_nonzero(drawing.edges) < np.count_nonzero(thick.edges)


def test_drawings_and_photos_are_distinguished() -> None:
    from skimage import data

    assert likely_kind(stroked(255, 0)) == "edges"
    assert likely_kind(data.astronaut()[:220, 120:340]) == "photo"
    assert likely_kind(data.camera()[..., None].repeat(3, 2)) == "photo"


def test_a_wide_drawing_is_cropped_and_a_tall_one_is_padded(tmp_path: Path) -> None:
    image = np.full((64, 128, 3), 255, np.uint8)
    image[30:34] = 0
    save_png(tmp_path / "wide.png", image)
    save_png(tmp_path / "tall.png", image.transpose(1, 0, 2))
    wide, tall = (read_drawing(tmp_path / f"{name}.png", CANVAS, "edges").edges for name in ("wide", "tall"))
    assert wide is not None
    assert tall is not None
    assert wide[15:17].all()
    assert tall[:, 15:17].all()
    assert not tall[:, :15].any()


def test_an_empty_drawing_is_a_one_line_error(tmp_path: Path) -> None:
    save_png(tmp_path / "empty.png", np.full((32, 32, 3), 250, np.uint8))
    with pytest.raises(ScmError, match=r"empty.png: shows no line, read as edges"):
        read_drawing(tmp_path / "empty.png", CANVAS, "edges")


def test_a_photo_needs_a_region_map_beside_it_to_be_a_reference(tmp_path: Path) -> None:
    image, parts = drawn_face(0)
    save_png(tmp_path / "ann.png", image)
    with pytest.raises(ScmError, match=r"ann.png: has no region map of its face beside it"):
        read_framed_face(tmp_path / "ann.png", CANVAS)
    save_png(tmp_path / "ann.regions.png", np.full((64, 64), 9, np.uint8))
    with pytest.raises(ScmError, match=r"holds id 9, beyond 0-7"):
        read_framed_face(tmp_path / "ann.png", CANVAS)
    (tmp_path / "ann.regions.png").unlink()
    (tmp_path / "masks").mkdir()
    save_png(tmp_path / "masks" / "ann.png", parts)
    face = read_framed_face(tmp_path / "ann.png", CANVAS).cropped
    assert (face.domain, face.canvas) == ("face", CANVAS)
    assert face.regions.max() < len(FACE_REGIONS)
    aligned = AlignedFace(face.image, face.regions, Window(32, 32, 64))
    found = read_framed_face(tmp_path / "ann.png", CANVAS, find=lambda *_: aligned)
    assert np.array_equal(found.cropped.regions, face.regions)


# Metrics and evaluation


def test_edge_f1_tolerates_one_pixel_and_falls_beyond() -> None:
    wanted = torch.zeros(1, 20, 20, dtype=torch.bool)
    wanted[0, 10, 2:18] = True
    assert edge_f1(wanted, wanted).item() == pytest.approx(1)
    assert edge_f1(wanted.roll(1, 1), wanted).item() == pytest.approx(1)
    assert edge_f1(wanted.roll(2, 1), wanted).item() == pytest.approx(0)
    half = wanted.clone()
    half[0, 10, 10:] = False
    assert edge_f1(half, wanted).item() == pytest.approx(edge_f1(wanted, half).item())
    assert 0.6 < edge_f1(half, wanted).item() < 0.75
    assert edge_f1(wanted, torch.zeros_like(wanted)).isnan().item()


def test_colour_distance_is_zero_for_equal_images_and_two_from_black_to_white() -> None:
    masks = torch.zeros(1, 8, 8, 8)
    masks[:, 2] = 1
    white = torch.ones(1, 3, 8, 8)
    assert region_colour_distance(white, masks, white, masks).item() == 0
    assert region_colour_distance(white, masks, -white, masks).item() == pytest.approx(2)


@pytest.mark.parametrize("number", [2, 3, 10])
def test_a_derangement_uses_each_person_once_as_source_and_once_as_target_but_never_both(number: int) -> None:
    names = [str(i) for i in range(number)]
    pairs = deranged(names)
    assert [target for _, target in pairs] == names
    assert sorted(source for source, _ in pairs) == sorted(names)
    assert all(source != target for source, target in pairs)


@pytest.mark.parametrize("case_set", ["reconstruction", "cross"])
def test_eval_of_faces_skips_metrics_that_need_ground_truth(
    place: Place, scm: Scm, faces: Path, face_model: Path, case_set: str
) -> None:
    done = scm(
        "eval", faces, "--split", "train", "-m", face_model, "--set", case_set, "--limit", "4", "-o", "judged",
        "--metrics", "l1,region_colour,edge_f1", "--device", "cpu",
    )  # fmt: skip
    assert done.code == 0
    found = json.loads(Path("judged/metrics.json").read_text())
    assert found["form"] == case_set
    copied = found["answers"]["source unchanged"]
    assert copied["region_colour"]["value"] == pytest.approx(0, abs=0.5)
    for numbers in found["answers"].values():
        assert 0 <= numbers["edge_f1"]["value"] <= 1
        assert ("l1" in numbers) == (case_set == "reconstruction")
    assert ("l1" in found["not_computed"]) == (case_set == "cross")


def test_a_face_on_another_canvas_keeps_its_domain(faces: Path) -> None:
    face = PreparedFolder(faces).load("face00")
    assert resized(face, Canvas(64, 64)).edges is not None
    assert replace(face, name="x").domain == "face"
    assert face.joints is not None
    assert np.array_equal(face.joints, NO_JOINTS)
