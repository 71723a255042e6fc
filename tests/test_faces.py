"""Faces from edges: preprocessing, training, colorizing and evaluation."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from drawn_faces import CANVAS, drawn_face, face_config
from PIL import Image

from scmnet_cli.analyser.windows import AlignedFace, Window
from scmnet_cli.config import DataConfig
from scmnet_cli.data.augmentation import draw_moves, move
from scmnet_cli.data.cropping import resized
from scmnet_cli.data.dataset import TrainingStream, collate, open_people
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.domains import FACE, PERSON
from scmnet_cli.edges import CANNY, PARTS
from scmnet_cli.errors import ScmError
from scmnet_cli.evaluation.prepared_cases import deranged
from scmnet_cli.images import save_png
from scmnet_cli.inference.inputs.faces import read_framed_face
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.metrics.region_consistency import region_colour_distance
from scmnet_cli.models.build import build_generator
from scmnet_cli.preprocess.prepare import prepare
from scmnet_cli.regions import CELEBAMASK19, CELEBAMASK_PARTS, FACE_REGIONS, one_hot
from scmnet_cli.sources.celebamask import MASKS, PHOTOS, CelebAMaskSource
from scmnet_cli.training.loop import Run
from scmnet_cli.types import NO_JOINTS, Canvas, Person, Pose

if TYPE_CHECKING:
    from conftest import Place, Scm

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
    net = build_generator(face_config(prior_sigma=0.01).model).eval()
    style = net.encode_style(batch.image, one_hot(batch.labels))
    pose = net.encode_pose(batch.maps())
    same = net.field(pose, style).explicit()[0]
    assert torch.equal(same.argmax(1), torch.arange(16))  # 4x4 positions of 8 pixels
    one_down = torch.tensor([[[1.0, 0, 0], [0, 1.0, 0.5]]])  # a position is half a half height
    moved = net.field(pose, style, alignment=one_down).explicit()[0]
    assert torch.equal(moved.argmax(1)[:12], torch.arange(4, 16))


def test_training_samples_both_kinds_of_edges_and_augments_only_the_style_branch(faces: Path) -> None:
    folder = PreparedFolder(faces)
    people = open_people(folder, folder.names("train"), CANVAS, torch.device("cpu"))
    stream = TrainingStream(people, face_config().data, seed=0)
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
    Run(faces, tmp_path / "run", face_config(), device="cpu").train()
    pipeline = Pipeline.from_pretrained(tmp_path / "run", "cpu")
    assert pipeline.domain is FACE
    assert pipeline.background == "keep"


def test_data_of_another_domain_than_the_config_is_a_one_line_error(
    drawn_data: Path, faces: Path, tmp_path: Path
) -> None:
    with pytest.raises(ScmError, match=r"holds people, but model.domain is 'face'"):
        Run(drawn_data, tmp_path / "run", face_config(), device="cpu")
    with pytest.raises(ScmError, match=r"holds faces, but model.domain is 'person'"):
        Run(faces, tmp_path / "run", face_config(domain="person"), device="cpu")


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


# References


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
