"""Networks of joints: COCO to OpenPose, RTMPose, and files that are not one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_estimators import RED, save_parser, save_pose

from scmnet_cli.analyser.rtm_pose import RtmPose, openpose_joints
from scmnet_cli.errors import ScmError
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import UInt8Array


def test_coco_joints_become_openpose_joints_with_a_neck_between_the_shoulders() -> None:
    places = np.stack([np.arange(17) * 10, np.arange(17) * 5], 1).astype(np.float32)
    scores = np.full(17, 0.9, np.float32)
    scores[5], scores[9], scores[16] = 0.6, 0.2, 1.2
    joints = openpose_joints(places, scores, 159, 100)
    at = {name: joints[number] for number, name in enumerate(JOINTS)}
    assert at["nose"].tolist() == pytest.approx([0, 0, 0.9])
    assert at["left_shoulder"].tolist() == pytest.approx([50, 25, 0.6])
    assert at["right_shoulder"].tolist() == pytest.approx([60, 30, 0.9])
    assert at["neck"].tolist() == pytest.approx([55, 27.5, 0.6])
    assert at["left_eye"][0] == 10
    assert at["right_ear"][0] == 40
    assert at["left_ankle"].tolist() == pytest.approx([150, 75, 0.9])
    assert not at["left_wrist"].any()  # below the score threshold
    assert not at["right_ankle"].any()  # outside the photo


def dot(x: int, y: int) -> UInt8Array:
    """Return a grey photo, 120 wide and 100 high, with a red dot."""
    photo = np.full((100, 120, 3), 60, np.uint8)
    photo[y - 2 : y + 3, x - 2 : x + 3] = RED
    return photo


@pytest.mark.parametrize("num_joints", [17, 133])
@pytest.mark.parametrize("box", [(0, 0, 120, 100), (20, 10, 80, 90)])
def test_an_rtmpose_network_returns_joints_in_photo_pixels(
    tmp_path: Path, num_joints: int, box: tuple[float, float, float, float]
) -> None:
    pytest.importorskip("rtmlib", reason="needs the extra rtmlib", exc_type=ImportError)
    estimator = RtmPose(str(save_pose(tmp_path / "net.onnx", num_joints)))
    joints = estimator(dot(50, 40), box)
    found = joints[:, 2] > 0
    assert found[JOINTS.index("nose")]
    assert np.abs(joints[found, :2] - (50, 40)).max() < 3
    assert ((joints[:, 2] >= 0) & (joints[:, 2] <= 1)).all()
    assert not estimator(dot(50, 40)[..., ::-1].copy(), box).any()  # no red, no joint
    assert "net.onnx, sha256 " in estimator.name


def test_a_file_that_is_not_an_rtmpose_network_is_a_one_line_error(tmp_path: Path) -> None:
    pytest.importorskip("rtmlib", reason="needs the extra rtmlib", exc_type=ImportError)
    file = save_parser(tmp_path / "net.onnx", (1, 2, 3), 20)
    with pytest.raises(ScmError, match=r"--pose-estimator .*net\.onnx: is not a network of RTMPose's family [^\n]*$"):
        RtmPose(str(file))
    with pytest.raises(ScmError, match="finds 21 joints; expected 17, 26, 133"):
        RtmPose(str(save_pose(tmp_path / "hand.onnx", 21)))


def test_a_missing_published_network_is_named_with_the_command_that_fetches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(
        ScmError, match=r"rtmpose-m_.*\.onnx .*download it with: python -c .*openmmlab\.com/.*e48f03d0"
    ) as caught:
        RtmPose("rtmpose-m")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("*"))
