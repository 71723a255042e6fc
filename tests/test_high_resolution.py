"""Large canvases: memory grows with the image, so nothing may hold a value for each pair of its positions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from scmnet_cli.checkpoint import SavedModel
from scmnet_cli.config import Config, parse_config
from scmnet_cli.data.dataset import TrainingBatch
from scmnet_cli.inference.pipeline import Pipeline, make_person
from scmnet_cli.models import correlation
from scmnet_cli.models.build import build_generator
from scmnet_cli.sources.drawn import draw_person
from scmnet_cli.training.measure import field_statistics
from scmnet_cli.training.objective import GeneratorObjective, GeneratorPass, Inputs
from scmnet_cli.types import Canvas, Person


class Watch(TorchDispatchMode):
    """Record every operation and the shape of each of its outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: set[str] = set()
        self.shapes: set[tuple[int, ...]] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = func(*args, **(kwargs or {}))
        self.operations.add(func.overloadpacket.__name__)
        for value in given if isinstance(given, tuple | list) else [given]:
            if isinstance(value, torch.Tensor):
                self.shapes.add(tuple(value.shape))
        return given

    def pairs(self, positions: int) -> list[tuple[int, ...]]:
        return [shape for shape in self.shapes if shape.count(positions) > 1]


CANVAS = Canvas(96, 80)
POSITIONS = 120  # 12 x 10; nothing else has this size


def configured(canvas: Canvas) -> Config:
    return parse_config(
        {
            "model": {"size": "tiny", "height": canvas.height, "width": canvas.width, "carry_colours": True},
            "loss": {"perceptual": 0, "style": 0, "bsr": 0, "adversarial": 0},
        },
        "test",
    )


def on_canvas(canvas: Canvas) -> Person:
    from PIL import Image

    drawn = draw_person(3)
    size = (canvas.width, canvas.height)
    scale = np.array([canvas.width / drawn.canvas.width, canvas.height / drawn.canvas.height, 1], np.float32)
    return make_person(
        Image.fromarray(drawn.image).resize(size),
        Image.fromarray(drawn.regions).resize(size, Image.Resampling.NEAREST),
        drawn.joints * scale,
    )


def pipeline_on(canvas: Canvas) -> Pipeline:
    torch.manual_seed(0)
    config = configured(canvas)
    net = build_generator(config.model)
    return Pipeline(net, SavedModel(net.state_dict(), config), torch.device("cpu"))


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(correlation, "_VALUES_AT_A_TIME", 16 * POSITIONS)
    monkeypatch.setattr(correlation, "_VALUES_IN_A_BLOCK", 16 * POSITIONS)


def test_drawing_never_holds_the_whole_field_and_uses_fused_attention(small_blocks, monkeypatch):
    monkeypatch.setattr(torch, "inference_mode", torch.no_grad)  # inference mode hides the kernel inside attention
    pipeline, person = pipeline_on(CANVAS), on_canvas(CANVAS)
    with Watch() as watch:
        result = pipeline.transfer(person, person)
    assert 0 < result.entropy <= 1
    assert watch.pairs(POSITIONS) == []
    assert "_scaled_dot_product_flash_attention_for_cpu" in watch.operations


@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bf16"])
def test_a_training_step_and_its_statistics_never_hold_the_whole_field(small_blocks, bf16):
    config, person = configured(CANVAS), on_canvas(CANVAS)
    from scmnet_cli.data.dataset import collate

    target = collate([person, person], torch.device("cpu"))
    inputs = Inputs.of(TrainingBatch(target, target))
    net = build_generator(config.model)
    with Watch() as watch:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            drawn = GeneratorPass(net)(inputs)
            objective = GeneratorObjective(config, None, torch.device("cpu"))
            total = objective.total(objective(drawn, inputs, None))
        total.backward()
        field_statistics(drawn, inputs)
    assert watch.pairs(POSITIONS) == []
    assert "_scaled_dot_product_flash_attention_for_cpu" not in watch.operations, "training has blocks of its own"


def test_the_recorder_detects_the_explicit_field():
    pose, style = torch.rand(2, 1, 32, 12, 10)
    with Watch() as watch:
        correlation.Field.of(pose, style, 0.01).explicit()
    assert (1, POSITIONS, POSITIONS) in watch.pairs(POSITIONS)


@pytest.mark.slow
@pytest.mark.parametrize("canvas", [Canvas(512, 352), Canvas(1024, 704)], ids=str)
def test_large_canvases_are_drawn(canvas):
    pipeline, person = pipeline_on(canvas), on_canvas(canvas)
    result = pipeline.transfer(person, person)
    assert result.image.size == (canvas.width, canvas.height)
    assert result.moved_regions.shape == (canvas.height, canvas.width)
