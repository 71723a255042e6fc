"""Enlarged pictures show the photo's hands and feet, and legs end where the warped legs end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_editing import MODEL, PANTS, SKIRT, dressed, save_part_warp_model
from torch import Tensor

from scmnet_cli.data.cropping import resized
from scmnet_cli.images import to_uint8
from scmnet_cli.inference.composition.enlarging import enlarge
from scmnet_cli.inference.composition.extremities import _Limbs, _whole_hands, connected
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.inference.synthesis import owners_of, photo_of
from scmnet_cli.models.generator import Rendering
from scmnet_cli.models.part_joints import complete_joints
from scmnet_cli.models.part_shapes import PartShapes
from scmnet_cli.models.part_warp import PartWarp
from scmnet_cli.regions import one_hot, region_id
from scmnet_cli.skeleton import JOINTS

HEIGHT, WIDTH = 256, 176
GREY, PHOTO, DRAWN = 0.8, 0.5, -0.5
STANDING = {
    "nose": (88, 40), "neck": (88, 64), "right_shoulder": (68, 66), "left_shoulder": (108, 66),
    "right_elbow": (52, 96), "left_elbow": (124, 96), "right_wrist": (44, 124), "left_wrist": (132, 124),
    "right_hip": (76, 128), "left_hip": (100, 128), "right_knee": (74, 172), "left_knee": (102, 172),
    "right_ankle": (72, 214), "left_ankle": (104, 214),
}  # fmt: skip


def standing(*missing: str) -> Tensor:
    """Return the joints of a standing person, (1, 18, 3)."""
    places = [(*STANDING.get(name, (0, 0)), float(name in STANDING and name not in missing)) for name in JOINTS]
    return torch.tensor(places)[None]


def a_warp(labels: Tensor) -> PartWarp:
    """A photo of one colour that is covered everywhere."""
    regions = one_hot(labels[None])
    return PartWarp(
        torch.full((1, 3, HEIGHT, WIDTH), PHOTO), regions, torch.ones(1, 1, HEIGHT, WIDTH),
        torch.zeros(1, 2, HEIGHT, WIDTH),
    )  # fmt: skip


def a_rendering(alpha: float = 20.0) -> Rendering:
    """A picture of the network on half the canvas that ignores the warp and takes everything for the person."""
    drawn = torch.full((1, 3, HEIGHT // 2, WIDTH // 2), DRAWN)
    blend = torch.zeros(1, 1, HEIGHT // 2, WIDTH // 2)
    return Rendering(drawn, drawn, blend, torch.full_like(blend, alpha))


def body() -> Tensor:
    """Labels of a person: arms near the wrists, trousers along the legs, shoes (region legs) below the ankles."""
    labels = torch.full((HEIGHT, WIDTH), region_id("background"), dtype=torch.uint8)
    labels[60:130, 66:110] = region_id("upper")
    for x in (44, 132):
        labels[120:146, x - 5 : x + 6] = region_id("arms")
    for x in (74, 103):
        labels[130:214, x - 7 : x + 8] = region_id("pants")
        labels[214:228, x - 7 : x + 8] = region_id("legs")
    return labels


def test_hands_and_feet_are_the_photos_the_rest_is_drawn() -> None:
    image = enlarge(a_rendering(), a_warp(body()), standing(), GREY).image[0, 0]
    for y, x in ((134, 43), (134, 133), (221, 73), (221, 104)):
        assert image[y, x] == pytest.approx(PHOTO, abs=1e-3)
    assert image[100, 88] == pytest.approx(DRAWN, abs=1e-3)
    assert image[150, 74] == pytest.approx(DRAWN, abs=1e-3)


def test_a_hand_is_whole_where_the_network_drew_a_stump_and_what_floats_beside_it_does_not_show() -> None:
    labels = body()
    labels[134:146, 54:58] = region_id("arms")  # a scrap
    rendering = a_rendering()
    assert rendering.foreground is not None
    rendering.foreground[..., 70:76, 10:40] = -20.0  # rows 140 to 151
    rendering.foreground[..., 60:76, 26:30] = -20.0  # columns 52 to 59
    found = enlarge(rendering, a_warp(labels), standing(), GREY)
    assert found.alpha is not None
    assert found.alpha[0, 0, 143, 42:46].min() > 0.9
    assert found.image[0, 0, 143, 44] == pytest.approx(PHOTO, abs=1e-2)
    assert found.alpha[0, 0, 140:144, 55].max() < 0.1


def test_a_long_shoe_is_whole_where_the_network_drew_a_stump() -> None:
    labels = body()
    labels[214:242, 58:82] = region_id("legs")
    rendering = a_rendering()
    assert rendering.foreground is not None
    rendering.foreground[..., 115:, :] = -20.0  # from row 230
    found = enlarge(rendering, a_warp(labels), standing(), GREY)
    assert found.alpha is not None
    assert found.alpha[0, 0, 237, 62:79].min() > 0.9
    assert found.image[0, 0, 237, 70] == pytest.approx(PHOTO, abs=1e-2)


def test_warped_pixels_of_the_person_need_less_trust_than_those_of_the_background() -> None:
    labels = body()
    labels[64:80, 80:96] = region_id("background")  # a hole in the coat
    rendering = a_rendering()
    trusting = replace(rendering, blend=torch.full_like(rendering.alpha, 0.25))
    image = enlarge(trusting, a_warp(labels), standing(), GREY).image[0, 0]
    assert image[100, 88] == pytest.approx(PHOTO, abs=1e-3)
    assert image[72, 88] < DRAWN + 0.3, "the network closes the hole"


@pytest.mark.parametrize(("alpha", "edge"), [(0.2, 0), (0.5, 0.5), (0.8, 1)])
def test_the_warped_silhouette_decides_where_the_mask_is_uncertain(alpha: float, edge: float) -> None:
    found = enlarge(a_rendering(float(np.log(alpha / (1 - alpha)))), a_warp(body()), standing(), GREY).alpha
    assert found is not None
    inside, outside = found[0, 0, 100, 88], found[0, 0, 30, 30]
    assert inside >= outside
    if edge == 0.5:
        assert inside > 0.9
        assert outside < 0.2
    else:
        assert inside == pytest.approx(edge, abs=0.1)
        assert outside == pytest.approx(edge, abs=0.1)


def test_legs_are_no_wider_than_the_warped_legs() -> None:
    """The network takes everything for the person; beside legs and feet the warp knows better."""
    alpha = enlarge(a_rendering(), a_warp(body()), standing(), GREY).alpha
    assert alpha is not None
    for y in (150, 190, 205, 222):
        assert alpha[0, 0, y, [73, 104]].min() > 0.95
        assert alpha[0, 0, y, [60, 117]].max() < 0.05
    assert alpha[0, 0, 90, 20] > 0.95, "far from the legs the network decides"


def test_nothing_is_drawn_in_a_seam_beside_a_leg() -> None:
    """A strip that neither leg covers was a thin pale line beside the leg."""
    warp = a_warp(body())
    warp.coverage[..., 140:210, 84:87] = 0
    alpha = enlarge(a_rendering(), warp, standing(), GREY).alpha
    assert alpha is not None
    assert alpha[0, 0, 150:200, 85].max() < 0.05


def test_a_narrow_gap_between_the_legs_stays_open_and_a_hole_in_a_leg_is_closed() -> None:
    labels = body()
    labels[130:214, 67:111] = region_id("pants")
    labels[150:214, 84:92] = labels[160:168, 71:77] = region_id("background")
    alpha = enlarge(a_rendering(), a_warp(labels), standing(), GREY).alpha
    assert alpha is not None
    assert alpha[0, 0, 156:205, 88].max() < 0.05
    assert alpha[0, 0, 162:166, 74].min() > 0.95


def test_hips_are_no_wider_than_the_warped_hips() -> None:
    """A wedge was drawn where a hand had hung beside the trousers."""
    labels = body()
    labels[124:150] = 0
    labels[124:150, 64:112] = region_id("pants")
    found = enlarge(a_rendering(), a_warp(labels), standing(), GREY)
    assert found.alpha is not None
    assert found.alpha[0, 0, 140, [56, 58, 118, 120]].max() < 0.1
    assert found.alpha[0, 0, 140, 68:108].min() > 0.95


def test_nothing_is_drawn_outside_a_bent_elbow() -> None:
    """The network drew a pale wisp there, where neither half of the arm covers a pixel. Thin arms stay whole."""
    joints = standing()
    for side, sign in (("right", 1), ("left", -1)):
        elbow = joints[0, JOINTS.index(f"{side}_elbow"), :2]
        joints[0, JOINTS.index(f"{side}_wrist"), :2] = elbow + torch.tensor([sign * 22.0, 22.0])
    labels = body()
    for share in torch.linspace(0, 1, 60):
        for start, end in (("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist")):
            place = torch.lerp(*(joints[0, JOINTS.index(name), :2] for name in (start, end)), share)
            x, y = place.round().int().tolist()
            labels[y - 1 : y + 2, x - 1 : x + 2] = region_id("upper")
    warp = a_warp(labels)
    warp.coverage[..., 88:106, 30:49] = 0
    alpha = enlarge(a_rendering(), warp, joints, GREY).alpha
    assert alpha is not None
    assert alpha[0, 0, 96, 40:45].max() < 0.1
    assert alpha[0, 0, 96, 52] > 0.9


def test_the_gap_between_an_arm_and_the_body_is_open() -> None:
    labels = body()
    for row in range(70, 124):
        for x in (68 - (row - 66) * 16 / 30 if row < 96 else 52 - (row - 96) * 8 / 28,):
            for centre in (x, 176 - x):
                labels[row, round(centre) - 4 : round(centre) + 5] = region_id("upper")
    alpha = enlarge(a_rendering(), a_warp(labels), standing(), GREY).alpha
    assert alpha is not None
    assert alpha[0, 0, 110, 59] < 0.05
    assert alpha[0, 0, 110, [48, 88, 128]].min() > 0.95


def test_a_narrow_gap_beside_a_forearm_stays_open() -> None:
    labels = body()
    labels[60:130, 60:116] = region_id("upper")
    labels[94:124, 44:53] = region_id("upper")
    alpha = enlarge(a_rendering(), a_warp(labels), standing(), GREY).alpha
    assert alpha is not None
    assert alpha[0, 0, 106:114, 57].max() < 0.1
    assert alpha[0, 0, 106:114, [49, 64]].min() > 0.95


def test_a_hole_in_an_arm_is_drawn_and_shows_no_background() -> None:
    labels = body()
    labels[94:124, 40:56] = labels[80:96, 44:66] = region_id("upper")
    labels[106:109, 45:51] = region_id("background")
    rendering = a_rendering()
    trusting = replace(rendering, blend=torch.ones_like(rendering.alpha))
    found = enlarge(trusting, a_warp(labels), standing(), GREY)
    assert found.alpha is not None
    assert found.alpha[0, 0, 107, 48] > 0.95
    assert found.image[0, 0, 107, 48] == pytest.approx(DRAWN, abs=1e-3)
    assert found.image[0, 0, 100, 48] == pytest.approx(PHOTO, abs=1e-3)


def test_a_seam_between_two_parts_is_no_edge() -> None:
    warp = a_warp(body())
    warp.regions[:, [0, region_id("upper")], 100] = 0.5
    rendering = a_rendering()
    alpha = enlarge(replace(rendering, blend=torch.ones_like(rendering.alpha)), warp, standing(), GREY).alpha
    assert alpha is not None
    assert alpha[0, 0, 100, 80:96].min() > 0.95


def test_what_the_network_takes_for_background_has_no_outline() -> None:
    """A piece of a bag beside a sleeve was a scribble."""
    labels = body()
    labels[70:100, 110:150] = region_id("skirt")
    rendering = a_rendering(-3.0)
    alpha = enlarge(replace(rendering, blend=torch.ones_like(rendering.alpha)), a_warp(labels), standing(), GREY).alpha
    assert alpha is not None
    assert alpha[0, 0, 70:100, 130:155].max() < 0.05


def enlarged(labels: Tensor) -> Tensor:
    """Return alpha of a picture that is four times as large as the canvas, (4 H, 4 W); labels: likewise."""
    size = (4 * HEIGHT, 4 * WIDTH)
    image, one = torch.full((1, 3, *size), PHOTO), torch.ones(1, 1, *size)
    warp = PartWarp(image, one_hot(labels[None]), one, torch.zeros(1, 2, *size))
    alpha = enlarge(a_rendering(), warp, standing() * torch.tensor([4.0, 4.0, 1.0]), GREY).alpha
    assert alpha is not None
    return alpha[0, 0]


def test_a_slender_forearm_is_whole_and_no_wider_than_the_warped_one() -> None:
    labels = torch.full((4 * HEIGHT, 4 * WIDTH), region_id("background"), dtype=torch.uint8)
    labels[240:520, 264:440] = region_id("upper")
    for row in range(270, 560):
        x = 4 * (68 - (row / 4 - 66) * 16 / 30 if row < 384 else 52 - (row / 4 - 96) * 8 / 28)
        for centre in (x, 704 - x):
            labels[row, round(centre) - 12 : round(centre) + 13] = region_id("arms")
    alpha = enlarged(labels)
    for row in range(404, 444, 4):
        x = round(4 * (52 - (row / 4 - 96) * 8 / 28))
        assert alpha[row, [x, 704 - x]].min() > 0.95
        assert alpha[row, [x - 22, 704 - x + 22]].max() < 0.05


def test_no_seam_crosses_an_ankle() -> None:
    alpha = enlarged(body().repeat_interleave(4, 0).repeat_interleave(4, 1))
    assert alpha[800:896, 232:268].max() < 0.05


def test_a_hole_in_the_region_map_does_not_cut_a_leg_off() -> None:
    labels = body()
    labels[178:200, 60:90] = region_id("background")
    alpha = enlarge(a_rendering(), a_warp(labels), standing(), GREY).alpha
    assert alpha is not None
    assert alpha[0, 0, 189, 74] > 0.95
    assert alpha[0, 0, 189, 115] < 0.05, "the other leg is whole"


def test_debris_beside_a_shoe_is_not_shown() -> None:
    labels = body()
    labels[222:226, 115:118] = region_id("legs")
    alpha = enlarge(a_rendering(), a_warp(labels), standing(), GREY).alpha
    assert alpha is not None
    assert alpha[0, 0, 224, 116] < 0.05


@pytest.mark.parametrize(
    ("half", "end", "drawn"),
    [(5, 144, False), (1, 144, False), (0, 150, False), (1, 130, True)],
    ids=["a hand", "a hand half hidden", "a hand from the side", "a tip of a finger"],
)
def test_nothing_is_drawn_beside_a_hand_that_shows(half: int, end: int, drawn: bool) -> None:
    labels = body()
    labels[:, 30:60] = region_id("background")
    labels[94:124, 40:56] = region_id("upper")
    labels[124:end, 44 - half : 45 + half] = region_id("arms")
    alpha = enlarge(a_rendering(), a_warp(labels), standing(), GREY).alpha
    assert alpha is not None
    assert (alpha[0, 0, 132, 33] > 0.5) == drawn


@pytest.mark.parametrize(("covered", "drawn"), [(1.0, False), (0.0, True)], ids=["background", "nothing"])
def test_beside_a_forearm_the_warp_decides_only_where_it_shows_something(covered: float, drawn: bool) -> None:
    labels = body()
    labels[94:124, 40:56] = region_id("upper")
    labels[124:150, 30:60] = region_id("background")
    warp = a_warp(labels)
    warp.coverage[:, :, 100:150, 28:36] = covered
    alpha = enlarge(a_rendering(), warp, standing(), GREY).alpha
    assert alpha is not None
    assert (alpha[0, 0, 112, 34] > 0.5) == drawn


def test_a_hand_before_a_thigh_that_the_map_lost_cuts_no_hole() -> None:
    labels = body()
    labels[130:180, 60:90] = region_id("background")
    joints = standing()
    for name, place in (("right_elbow", (62, 104)), ("right_wrist", (72, 136))):
        joints[0, JOINTS.index(name), :2] = torch.tensor(place)
    labels[100:138, 58:78] = region_id("upper")
    labels[138:156, 66:80] = region_id("arms")
    alpha = enlarge(a_rendering(), a_warp(labels), joints, GREY).alpha
    assert alpha is not None
    assert alpha[0, 0, 158:164, 74:80].min() > 0.9


def with_head(labels: Tensor, left: int = 74) -> Tensor:
    """Add a head whose hair ends at a column."""
    labels[20:60, left : left + 28] = region_id("hair")
    labels[28:60, left + 4 : left + 24] = region_id("face")
    return labels


def test_the_head_is_the_photos_and_has_its_outline() -> None:
    found = enlarge(a_rendering(), a_warp(with_head(body())), standing(), GREY)
    assert found.alpha is not None
    assert found.image[0, 0, 24, 88] == pytest.approx(PHOTO, abs=1e-3), "hair"
    assert found.image[0, 0, 40, 88] == pytest.approx(PHOTO, abs=1e-3), "face"
    assert found.alpha[0, 0, 40, [69, 107]].max() < 0.05, "nothing is drawn beside it"
    assert found.image[0, 0, 100, 88] == pytest.approx(DRAWN, abs=1e-3), "the coat is drawn"


def test_nothing_is_drawn_in_the_corner_between_neck_and_shoulder() -> None:
    """The network drew hair there; the head's outline bounds it on both sides."""
    labels = with_head(body())
    labels[46:60, 74:78] = labels[46:60, 98:102] = region_id("background")  # beside the neck
    alpha = enlarge(a_rendering(), a_warp(labels), standing(), GREY).alpha
    assert alpha is not None
    assert alpha[0, 0, 50:56, [75, 100]].max() < 0.3


def test_a_hole_in_a_shoulder_is_drawn() -> None:
    labels = with_head(body())
    labels[63:68, 74:79] = region_id("background")
    alpha = enlarge(a_rendering(), a_warp(labels), standing(), GREY).alpha
    assert alpha is not None
    assert alpha[0, 0, 65, 76] > 0.95


def test_the_network_draws_a_head_whose_face_the_warp_does_not_show() -> None:
    """Seen from behind, or turned away."""
    labels = with_head(body())
    labels[labels == region_id("face")] = region_id("hair")
    found = enlarge(a_rendering(), a_warp(labels), standing(), GREY)
    assert found.alpha is not None
    assert found.image[0, 0, 40, 88] == pytest.approx(DRAWN, abs=1e-3)
    assert found.alpha[0, 0, 40, [69, 107]].min() > 0.95


def test_what_the_network_takes_for_background_stays_background() -> None:
    alpha = enlarge(a_rendering(-20.0), a_warp(body()), standing(), GREY).alpha
    assert alpha is not None
    assert alpha.max() < 0.05


def test_a_model_that_draws_backgrounds_shows_hands_too() -> None:
    drawn = a_rendering()
    without = Rendering(drawn.image, drawn.drawn, drawn.blend)
    found = enlarge(without, a_warp(body()), standing(), None)
    assert found.alpha is None
    assert found.image[0, 0, 134, 43] == pytest.approx(PHOTO, abs=1e-3)


@pytest.mark.parametrize("missing", [("right_wrist",), ("neck", "left_ankle", "left_knee"), tuple(STANDING)])
def test_missing_joints_give_finite_pictures(missing: tuple[str, ...]) -> None:
    found = enlarge(a_rendering(), a_warp(body()), standing(*missing), GREY)
    assert found.image.isfinite().all()
    if missing == tuple(STANDING):
        assert found.image == pytest.approx(DRAWN, abs=1e-3)


def test_pictures_on_the_models_canvas_are_composed_by_the_same_rules(tmp_path: Path) -> None:
    pipeline = Pipeline.from_pretrained(save_part_warp_model(tmp_path / "model.safetensors"), "cpu")
    source, pose = resized(dressed(PANTS), MODEL), resized(dressed(SKIRT, "other"), MODEL)
    photo, joints = photo_of(source, MODEL, pipeline.device), torch.from_numpy(pose.joints)[None]
    photo = replace(photo, owners=owners_of(source, MODEL, pipeline.device))
    with torch.inference_mode():
        painted = pipeline.paint(joints, pipeline.read_style(photo.image, photo.masks)[1], photo)
        assert painted.warp is not None
        expected = enlarge(painted.rendering, painted.warp, joints, pipeline.background_level).image
    drawn = np.asarray(pipeline.transfer(source, pose, MODEL).image)
    assert np.array_equal(drawn, to_uint8(expected[0]))
    assert (drawn != to_uint8(painted.rendering.image[0])).any()


def test_an_arm_does_not_cut_hips_that_the_network_draws() -> None:
    labels = body()
    labels[66:126, 40:56] = labels[66:126, 120:136] = region_id("upper")  # sleeves
    whole = enlarge(a_rendering(), a_warp(labels), standing(), GREY).alpha
    labels[132:] = torch.where(labels[132:] == region_id("arms"), labels[132:], region_id("background"))
    half = enlarge(a_rendering(), a_warp(labels), standing(), GREY).alpha
    assert whole is not None
    assert half is not None
    beside = (0, 0, slice(118, 126), slice(61, 65))  # between arm and hip
    assert (whole[beside] < 0.1).all()
    assert (half[beside] > 0.9).all()


def test_the_heel_of_a_large_picture_is_part_of_its_shoe_and_a_speck_beside_it_is_not() -> None:
    shoe, heel, speck = (torch.zeros(1, 1, 840, 200) for _ in range(3))
    shoe[..., 300:360, 60:140] = 1
    heel[..., 360:385, 66:74] = 1
    speck[..., 420:428, 66:74] = 1
    found = connected(shoe + heel + speck, 100)
    assert found[(shoe + heel) > 0].all()
    assert not found[speck > 0].any()


def test_nothing_above_the_hips_lies_between_crossed_legs() -> None:
    joints = torch.from_numpy(dressed(PANTS).joints)[None].clone()
    right, left = JOINTS.index("right_ankle"), JOINTS.index("left_ankle")
    joints[0, [right, left], 0] = joints[0, [left, right], 0]
    size = dressed(PANTS).regions.shape
    between = _Limbs.of(PartShapes.of(complete_joints(joints)), size).between[0, 0]
    assert between.any()
    assert not between[: round(float(joints[0, JOINTS.index("right_hip"), 1])) - 8].any()


def test_scraps_that_hang_on_a_line_are_no_fingers() -> None:
    hand, line, scrap = (torch.zeros(1, 1, 200, 100, dtype=torch.bool) for _ in range(3))
    hand[..., 50:70, 40:60] = True
    line[..., 70:73, 50] = True
    scrap[..., 73:78, 47:54] = True
    drawn = hand.clone()
    drawn[..., 69:, :] = False
    found = _whole_hands(hand | line | scrap, drawn) > 0
    assert found[..., 69, 41:59].all()
    assert not found[scrap].any()
