"""``scm bench``: what is counted and what is timed."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from scmnet_cli.config import ModelConfig
from scmnet_cli.evaluation.bench import convolutions_of, count_gflop, measure_speed
from scmnet_cli.models.build import build_generator

TINY = ModelConfig.model_validate({"size": "tiny", "height": 64, "width": 48})


def test_every_convolution_of_a_pass_is_noted_once_with_its_input_shape():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 1))
    image = torch.zeros(2, 3, 8, 6)
    assert convolutions_of(net, lambda: net(image)) == [(net[0], (2, 3, 8, 6)), (net[2], (2, 4, 4, 3))]
    assert not net[0]._forward_pre_hooks


def test_gflop_is_two_a_multiply_add_of_convolutions_and_attention():
    net = build_generator(TINY)
    masks = torch.eye(8)[torch.arange(64) // 8].T[None, :, :, None].expand(1, 8, 64, 48)
    flop = 0

    def count(module, _, out):
        nonlocal flop
        flop += 2 * out.numel() * module.weight[0].numel()

    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    net(torch.zeros(1, 19, 64, 48), torch.zeros(1, 3, 64, 48), masks)
    positions, features = 48, 32
    expected = flop + 2 * 2 * positions * positions * features
    assert count_gflop(net, TINY.canvas) == pytest.approx(expected / 1e9, rel=1e-9)


def test_a_measurement_names_what_it_ran_on_and_leaves_the_threads_as_they_were():
    threads = torch.get_num_threads()
    speed = measure_speed(TINY, batches=(1, 2), threads=1, repeats=1)
    assert (speed.threads, speed.precision, speed.size, speed.canvas) == (1, "float32", "tiny", TINY.canvas)
    assert torch.get_num_threads() == threads
    assert [timing.batch for timing in speed.timings] == [1, 2]
    assert speed.gflop_boxes < speed.gflop
    for timing in speed.timings:
        assert timing.seconds_a_further_pose > 0
        assert timing.share_of_convolutions > 0


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_command_prints_a_table_and_writes_json(precision, tmp_path):
    from scmnet_cli.cli.main import app

    file = tmp_path / "speed.json"
    arguments = ["bench", "-c", "smoke", "--batch", "1", "--repeats", "1", "--threads", "1", "--cpu-time"]
    done = CliRunner().invoke(app, [*arguments, "--precision", precision, "--json", str(file)])
    assert done.exit_code == 0, done.output
    assert "1 threads" in done.output
    assert f"tiny at 64x48, {precision}, channels-last" in done.output
    found = json.loads(file.read_text())
    assert found["num_parameters"] > 0
    assert found["cpu_time"]
    assert found["timings"][0]["batch"] == 1
