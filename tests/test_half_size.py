"""Face models that work at half the canvas and add detail in a fourth upsampling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from scmnet_cli.checkpoint import MODEL_FILE, save_model
from scmnet_cli.config import parse_config
from scmnet_cli.edges import edge_maps
from scmnet_cli.errors import ScmError
from scmnet_cli.inference.inspection import inspect_transfer
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.losses.vgg import VGGFeatures
from scmnet_cli.models.build import build_generator
from scmnet_cli.models.layers import halved_edges
from scmnet_cli.models.scmnet import SCMNet
from scmnet_cli.regions import one_hot
from scmnet_cli.training.loop import Run
from scmnet_cli.training.warm_start import zero_new_inputs
from scmnet_cli.types import NO_JOINTS, Canvas, Person
from tests.drawn_faces import drawn_face, face_config

WHOLE = 64


def build(**model: object) -> SCMNet:
    torch.manual_seed(0)
    return build_generator(face_config(prior_sigma=0.1, carry_detail=2, **model).model).eval()


def half_size() -> SCMNet:
    return build(half_size=True, height=WHOLE, width=WHOLE)


def face_inputs() -> tuple[Tensor, Tensor, Tensor]:
    image, parts = drawn_face(1, WHOLE)
    pixels = torch.tensor(image).permute(2, 0, 1)[None] / 127.5 - 1
    labels = torch.tensor(parts % 8)[None]
    edges = (torch.rand(1, WHOLE, WHOLE, generator=torch.Generator().manual_seed(0)) < 0.1).byte()
    return edge_maps(edges, Canvas(WHOLE, WHOLE)), pixels, one_hot(labels)


def test_a_halved_edge_map_keeps_every_edge_and_the_least_distance() -> None:
    edges = torch.zeros(1, 8, 8, dtype=torch.uint8)
    edges[0, 5, 3] = 1
    maps = edge_maps(edges, Canvas(8, 8))
    halved = halved_edges(maps)
    assert halved.shape == (1, 2, 4, 4)
    assert halved[0, 0].nonzero().tolist() == [[2, 1]]
    assert halved[0, 1, 2, 1] == 0
    assert halved[0, 1, 0, 0] == maps[0, 1, :2, :2].min()


@torch.no_grad()
def test_a_fourth_upsampling_adds_nothing_to_the_smaller_models_picture_at_first() -> None:
    maps, image, masks = face_inputs()
    small, large = build(), half_size()
    large.load_state_dict(zero_new_inputs(small.state_dict(), large.state_dict()))
    drawn = large(maps, image, masks).image
    coarse = small(halved_edges(maps), F.avg_pool2d(image, 2), masks[:, :, ::2, ::2]).image
    enlarged = torch.tanh(F.interpolate(torch.atanh(coarse), scale_factor=2, mode="bilinear"))
    torch.testing.assert_close(drawn, enlarged, rtol=0, atol=1e-4)


def test_the_fourth_upsampling_reads_the_edges_at_full_size() -> None:
    maps, image, masks = face_inputs()
    net = half_size()
    torch.nn.init.normal_(net.generator.to_detail.weight)
    style = net.encode_style(image, masks)
    with torch.no_grad():
        rearranged, _ = net.rearrange(net.field(net.encode_pose(maps), style), style)
        moved = torch.roll(maps, 1, 3)
        moved[:, :, :, 0] = maps[:, :, :, 0]
        seen = net.translate(rearranged, maps).image
        assert not torch.equal(halved_edges(moved), maps)
        assert (net.translate(rearranged, moved).image - seen).abs().max() > 0.01


def test_a_position_of_the_field_has_sixteen_pixels(tmp_path: Path) -> None:
    config = face_config(half_size=True, height=WHOLE, width=WHOLE)
    run = tmp_path / MODEL_FILE
    save_model(run, half_size().state_dict(), face_config(half_size=True, height=WHOLE, width=WHOLE, carry_detail=2))
    assert config.model.stride == 2 * face_config().model.stride == 16
    pipeline = Pipeline.from_pretrained(run, "cpu")
    image, parts = drawn_face(1, WHOLE)
    edges = (face_inputs()[0][0, 0] > 0).numpy().astype("uint8")
    face = Person("face", image, (parts % 8).astype("uint8"), NO_JOINTS, edges)
    result = pipeline.transfer(face, face)
    assert np.shape(result.image) == np.shape(result.moved_source) == image.shape
    found = inspect_transfer(pipeline, face, face, [(WHOLE - 1, WHOLE - 1)])
    assert found.points[0].weights.shape == (WHOLE // 16, WHOLE // 16)


def test_vgg_losses_see_a_band_or_in_some_steps_the_whole_image_at_half_the_size(
    faces: Path, tmp_path: Path, seeded_backbones: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[tuple[int, int]] = set()
    forward = VGGFeatures.forward

    def watched(vgg: VGGFeatures, given: Tensor) -> dict[str, Tensor]:
        seen.add((given.shape[2], given.shape[3]))
        return forward(vgg, given)

    monkeypatch.setattr(VGGFeatures, "forward", watched)
    loss = {"perceptual": 1, "style": 0, "bsr": 0, "adversarial": 0, "vgg": "vgg16", "perceptual_layers": ["relu1_2"]}
    config = parse_config(
        {
            "model": {"domain": "face", "size": "tiny", "height": 32, "width": 32, "half_size": True, "norm": "batch"},
            "loss": {**loss, "vgg_band": 0.25, "vgg_halved": 0.5},
            "train": {"images": 32, "batch": 4},
        },
        "test",
    )
    Run(faces, tmp_path / "run", config, device="cpu", weights_dir=seeded_backbones).train()
    assert seen == {(8, 32), (16, 16)}


@pytest.mark.parametrize(
    ("model", "remedy"),
    [({"domain": "person"}, "set it to false for people"), ({"height": 72}, "multiples of 16, not 72x32")],
)
def test_half_size_is_refused_where_it_cannot_work(model: dict[str, object], remedy: str) -> None:
    with pytest.raises(ScmError, match=remedy):
        face_config(half_size=True, **model)
