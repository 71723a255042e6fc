"""Training the face parser: views, labels of street photos, losses, and photos without a face."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from faces_of_discs import SMALL, a_face, parts_of
from PIL import Image

from scmnet_cli.analyser.face_landmarks import ALIGNED, EYES_APART
from scmnet_cli.analyser.network import Analysed, AnalyserNet
from scmnet_cli.analyser.training.face_photos import OF_FACES, face_photo, head_photo, without_face
from scmnet_cli.analyser.training.losses import ViewBatch, losses
from scmnet_cli.analyser.training.views import ONE_OF, UNKNOWN, Views, plain_view
from scmnet_cli.regions import FACE_REGIONS, region_id
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import NO_JOINTS, Person


def test_views_of_faces_keep_landmarks_in_place_and_include_views_without_a_face() -> None:
    person = Person("ann", a_face(64), parts_of(("r_eye", 20, 30), ("l_eye", 44, 30), ("nose", 32, 36)), NO_JOINTS)
    photo = face_photo(person)
    view = plain_view(photo, SMALL, OF_FACES)
    np.testing.assert_allclose(view.joints[:3, :2], [[20, 30], [44, 30], [32, 36]], atol=0.5)
    assert view.joints[3:, 2].tolist() == [0, 0]
    assert np.abs(view.image.astype(int) - person.image).mean() < 2
    views = Views([photo], [Image.new("RGB", (50, 40), "green")], SMALL, 0, OF_FACES)
    seen = [views.view(number) for number in range(60)]
    assert {0, 1} <= {view.person for view in seen}
    for view in seen:
        if view.person == 0:
            assert not view.labels.any()
            assert not view.joints.any()


def a_street_person() -> Person:
    regions = np.zeros((400, 200), np.uint8)
    regions[40:120, 70:130] = region_id("hair")
    regions[60:110, 80:120] = region_id("face")
    regions[120:260, 60:140] = region_id("upper")
    regions[260:380, 70:130] = region_id("legs")
    joints = np.zeros((18, 3), np.float32)
    for name, place in {
        "right_eye": (92, 80), "left_eye": (108, 80), "nose": (100, 87), "neck": (100, 125),
        "right_shoulder": (65, 130), "left_shoulder": (135, 130),
    }.items():  # fmt: skip
        joints[JOINTS.index(name)] = (*place, 1)
    image = np.full((400, 200, 3), 128, np.uint8)
    return Person("0001", image, regions, joints)


def test_a_head_in_a_street_photo_trains_only_hair_clothes_eyes_and_nose() -> None:
    head = head_photo(a_street_person())
    assert head is not None
    assert head.labels is not None
    labels = np.asarray(head.labels)
    annotated = {region_id(name, FACE_REGIONS) for name in ("background", "hair", "cloth")}
    assert set(np.unique(labels)) == annotated | {ONE_OF}
    left, _, right, _ = head.box
    assert right - left == pytest.approx(16 / EYES_APART, rel=0.1)
    view = plain_view(head, SMALL, OF_FACES)
    assert view.joints[:, 2].tolist() == [1, 1, 1, -1, -1]
    np.testing.assert_allclose(view.joints[:2, :2], ALIGNED[:2] * 64, atol=2)
    joints = a_street_person().joints.copy()
    joints[JOINTS.index("nose"), 0] = 130
    assert head_photo(replace(a_street_person(), joints=joints)) is None  # turned away


def test_landmarks_of_unknown_visibility_give_no_loss() -> None:
    head = head_photo(a_street_person())
    assert head is not None
    batch = ViewBatch.of([plain_view(head, SMALL, OF_FACES)])
    torch.manual_seed(0)
    with torch.no_grad():
        found = AnalyserNet(5, 8, 6).eval()(batch.image)
        wrong = losses(found, batch, torch.ones(8))["visible"]
        found.visible[0, 3:] = 9.0
        assert losses(found, batch, torch.ones(8))["visible"] == wrong
        found.visible[0, 0] = -9.0
        assert losses(found, batch, torch.ones(8))["visible"] > wrong


def test_partial_labels_are_trained_on_the_sum_of_the_possible_regions() -> None:
    regions = torch.zeros(1, 8, 4, 4)
    regions[:, 1] = 3.0
    found = Analysed(regions, torch.zeros(1, 5, 2, 2), torch.zeros(1, 5), torch.zeros(1))
    labels = torch.full((1, 4, 4), UNKNOWN)
    labels[0, 0] = ONE_OF
    batch = ViewBatch(torch.zeros(1, 3, 8, 8), labels, torch.zeros(1, 5, 3), torch.zeros(1))
    likely = torch.softmax(regions[0, :, 0, 0], 0)
    for one_of in ((1, 5), (3, 5, 6)):
        wanted = -float(likely[list(one_of)].sum().log())
        assert float(losses(found, batch, torch.ones(8), one_of)["regions"]) == pytest.approx(wanted, abs=1e-4)
    assert float(losses(found, batch, torch.ones(8), (1, 5))["overlap"]) == 0


def test_views_without_a_face_come_from_beside_and_below_the_head() -> None:
    person = a_street_person()
    person.image[:120, 60:140] = 255
    for picture in without_face(person):
        assert np.asarray(picture).max() == 128
