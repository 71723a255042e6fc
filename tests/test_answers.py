"""The analyser's answers as arrays: interpolation, probabilities and mirrored answers are those of torch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from scmnet_cli.analyser.answers import Answer, as_input
from scmnet_cli.analyser.in_torch import InTorch, answer_of
from scmnet_cli.analyser.interpolation import interpolated, resized
from scmnet_cli.analyser.network import AnalyserNet
from scmnet_cli.images import to_tensor
from scmnet_cli.models.part_joints import body_size, complete_joints, hidden_faces
from scmnet_cli.skeleton import MIRRORED
from scmnet_cli.types import FloatArray


def noise(*shape: int) -> FloatArray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("size", [(24, 16), (20, 9), (6, 4), (5, 3)])
def test_maps_are_resized_as_torch_does_it(size: tuple[int, int]) -> None:
    maps = noise(3, 6, 4)
    expected = F.interpolate(torch.from_numpy(maps)[None], size=size, mode="bilinear", align_corners=False)[0]
    np.testing.assert_allclose(resized(maps, *size), expected, atol=1e-5)


def test_places_beyond_the_borders_get_the_outermost_cells() -> None:
    maps = noise(2, 5, 4)
    rows, columns = np.array([-3.0, -0.2, 1.25, 9.0]), np.array([-1.0, 2.5, 3.4])
    grid = np.stack(np.meshgrid((2 * columns + 1) / 4 - 1, (2 * rows + 1) / 5 - 1), -1).astype(np.float32)
    expected = F.grid_sample(
        torch.from_numpy(maps)[None], torch.from_numpy(grid)[None], padding_mode="border", align_corners=False
    )[0]
    np.testing.assert_allclose(interpolated(maps, rows, columns), expected, atol=1e-5)


def an_answer() -> tuple[torch.Tensor, Answer]:
    torch.manual_seed(0)
    net = AnalyserNet(carried=True).eval()
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.inference_mode():
        return image, answer_of(net(image))


def test_the_network_gets_a_picture_as_torch_converts_it() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (64, 32, 3), dtype=np.uint8)
    assert np.array_equal(as_input(picture), to_tensor(picture).numpy())
    torch.manual_seed(0)
    net = AnalyserNet().eval()
    with torch.inference_mode():
        expected = net(to_tensor(picture)[None].flip(-1)).regions[0]
    np.testing.assert_allclose(InTorch(net)(as_input(picture)[..., ::-1]).regions, expected, atol=1e-3)


def test_probabilities_and_scores_are_those_of_torch() -> None:
    _, answer = an_answer()
    np.testing.assert_allclose(answer.probabilities, torch.from_numpy(answer.regions).softmax(0), atol=1e-6)
    assert answer.score == pytest.approx(float(torch.tensor(answer.person).sigmoid()), abs=1e-6)
    np.testing.assert_allclose(answer.joints[:, 2], torch.from_numpy(answer.visible).sigmoid(), atol=1e-6)


def test_a_mirrored_answer_has_left_and_right_exchanged_and_mirrored_twice_is_the_answer() -> None:
    _, answer = an_answer()
    mirrored = answer.mirrored()
    np.testing.assert_allclose(mirrored.joints[:, 0], 63 - answer.joints[list(MIRRORED), 0], atol=1e-3)
    again = mirrored.mirrored()
    assert np.array_equal(again.heat, answer.heat)
    assert answer.carried is not None
    assert np.array_equal(mirrored.averaged(again).carried, (answer.carried + answer.carried[:, ::-1]) / 2)  # type: ignore[arg-type]


def test_joints_are_completed_and_measured_alike_as_arrays_and_as_tensors() -> None:
    random = np.random.default_rng(0)
    joints = random.uniform(0, 200, (300, 18, 3)).astype(np.float32)
    joints[..., 2] = random.random((300, 18)) < 0.7
    joints[joints[..., 2] == 0] = 0
    tensors = torch.from_numpy(joints)
    for found, expected in (
        (body_size(joints), body_size(tensors)),
        (complete_joints(joints), complete_joints(tensors)),
        (hidden_faces(joints[:150], joints[150:]), hidden_faces(tensors[:150], tensors[150:])),
    ):
        assert found.dtype == expected.numpy().dtype
        np.testing.assert_allclose(found, expected, atol=1e-3)


def test_what_follows_the_network_imports_no_torch() -> None:
    modules = ("analyser.people", "inference.edits.wearer_faults", "preprocess.photos", "inference.hidden_places")
    code = f"import sys, {', '.join(f'scmnet_cli.{name}' for name in modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
