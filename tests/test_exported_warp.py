"""The part warp without torch warps as that with torch; here torch runs its graphs, in test_export.py the files do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import test_crossed_arms
import test_hanging_arms
import test_photo_end
import torch
from test_extremities import standing
from test_hanging_arms import lifted
from test_made_up_hands import in_sleeves
from test_unseen_legs import WALKING, dressed
from test_unseen_limbs import SHORT, joints_with
from test_unseen_limbs import photo as with_arms
from torch import Tensor
from warped_people import noise
from warped_people import standing as small_standing

from scmnet_cli.images.morphology import largest_around
from scmnet_cli.inference.exports.export_warp import WarpPart, warp_graphs
from scmnet_cli.inference.exports.exported_warp import ExportedPerson
from scmnet_cli.inference.limbs.crossed_arms import PersonToWarp, limb_kinds, moved_limbs
from scmnet_cli.inference.limbs.unseen_limbs import NUM_REPLACED, absent_joints, replaced_limbs
from scmnet_cli.models.neighbourhoods import dilated
from scmnet_cli.models.warp_fields import WarpFields
from scmnet_cli.regions import region_id
from scmnet_cli.types import Canvas

ACROSS, SHORT_ARM = test_crossed_arms.crossed(), joints_with(**SHORT)
LIFTED = joints_with(right_elbow=(36, 90), right_wrist=(10, 90), left_elbow=(140, 90), left_wrist=(166, 90))


class Session:
    """A graph that torch runs, with the interface of ONNX Runtime."""

    def __init__(self, graph: WarpPart) -> None:
        self._graph = graph

    def get_outputs(self) -> list[Any]:
        return [SimpleNamespace(name=name) for name in self._graph.outputs]

    def run(self, names: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        assert names == self._graph.outputs
        with torch.inference_mode():
            found = self._graph.module(*(torch.from_numpy(inputs[name]) for name in self._graph.seen))
        return [each.numpy() for each in (found if isinstance(found, tuple) else (found,))]


def sessions(masks: Tensor) -> dict[str, Session]:
    return {name: Session(graph) for name, graph in warp_graphs(Canvas(*masks.shape[2:])).items()}


def with_hair_on_arm() -> tuple[Tensor, Tensor]:
    image, masks = with_arms(standing(), sleeves=("right", "left"))
    upper = masks[:, region_id("upper")].clone()
    upper[:, :60], upper[:, 90:], upper[:, :, 70:] = 0, 0, 0
    masks[:, region_id("upper")] -= upper
    masks[:, region_id("hair")] += upper
    return image, masks


CASES = {
    "an arm across": (*test_crossed_arms.photo(ACROSS), ACROSS, standing()),
    "hanging arms": (*test_hanging_arms.photo(), standing(), lifted()),
    "one hanging arm": (*test_hanging_arms.photo(), standing(), lifted("left")),
    "an unseen arm": (*with_arms(SHORT_ARM), SHORT_ARM, standing()),
    "hidden hands": (*in_sleeves(), standing(), LIFTED),
    "hidden hands without skin": (*in_sleeves(face=False), standing(), LIFTED),
    "hair on an arm": (*with_hair_on_arm(), standing(), LIFTED),
    "a lost shin": (*dressed(standing(), (("right", "knee"),)), standing(), WALKING),
    "an arm and a leg": (*dressed(SHORT_ARM, (("left", "knee"),)), SHORT_ARM, WALKING),
    "nothing moves": (*test_hanging_arms.photo(), standing(), standing()),
}


@pytest.mark.parametrize("mirrored", [True, False], ids=["mirrored", "not mirrored"])
@pytest.mark.parametrize("case", CASES)
def test_the_graphs_and_arrays_warp_as_torch_does(case: str, mirrored: bool) -> None:
    image, masks, joints, pose = CASES[case]
    if mirrored:
        assert moved_limbs(limb_kinds(masks, joints), joints, pose).any() == (case != "nothing moves")
    replaced = None if mirrored else torch.zeros(1, NUM_REPLACED, dtype=torch.bool)
    expected = PersonToWarp(image, masks, joints, replaced=replaced).warp(pose)
    person = ExportedPerson(sessions(masks), image.numpy(), masks.numpy(), joints.numpy(), mirrored)
    for found in (person.warp(pose.numpy()), person.warp(pose.numpy())):
        assert_same(found, expected)


def test_half_a_body_ends_with_the_photo_in_both_runtimes() -> None:
    masks, joints, pose = test_photo_end.half_body(), small_standing(*test_photo_end.LEGS), small_standing()
    image = noise()
    expected = PersonToWarp(image, masks, joints).warp(pose)
    found = ExportedPerson(sessions(masks), image.numpy(), masks.numpy(), joints.numpy()).warp(pose.numpy())
    assert_same(found, expected)
    assert not found.coverage[0, 0, test_photo_end.CUT + 2 :].any()


def assert_same(found: WarpFields[Any], expected: WarpFields[Tensor]) -> None:
    for name in ("image", "regions", "coverage"):
        away = np.abs(getattr(found, name) - getattr(expected, name).numpy())
        assert (away > 1e-4).mean() < 1e-3, "where little is shown, the last digits of the maps count"
        assert away.max() < 0.02
    apart = np.abs(found.coordinates - expected.coordinates.numpy()).max(1)
    assert (apart > 0.01).mean() < 1e-3, "two parts may have the same weight at single pixels"


def test_joints_that_the_photo_lacks_are_found_without_torch() -> None:
    joints = standing("right_wrist")
    image, masks = with_arms(standing(), without=("right",))
    person = ExportedPerson(sessions(masks), image.numpy(), masks.numpy(), joints.numpy(), mirrored_limbs=False)
    expected = absent_joints(masks, joints)
    assert expected.any()
    np.testing.assert_array_equal(person.absent, expected.numpy())


def test_limbs_are_judged_by_the_map_before_clothes_were_completed_at_bags() -> None:
    image, masks, joints, pose = CASES["a lost shin"]
    _, completed = dressed(standing(), ())
    expected = PersonToWarp(image, completed, joints, replaced=replaced_limbs(masks, joints)).warp(pose)
    arrays = image.numpy(), completed.numpy(), joints.numpy()
    found = ExportedPerson(sessions(masks), *arrays, own_masks=masks.numpy()).warp(pose.numpy())
    assert_same(found, expected)
    without = ExportedPerson(sessions(masks), *arrays).warp(pose.numpy())
    assert np.abs(without.image - found.image).max() > 0.1


@pytest.mark.parametrize("radius", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("kind", [np.float32, np.bool_])
def test_arrays_grow_as_tensors_do(radius: int, kind: type) -> None:
    values = np.random.default_rng(0).random((1, 2, 21, 17)).astype(np.float32)
    values = (values > 0.97).astype(kind) if kind is np.bool_ else values
    np.testing.assert_array_equal(largest_around(values, radius), dilated(torch.from_numpy(values), radius).numpy())
