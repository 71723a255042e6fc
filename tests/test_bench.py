"""``scm bench``: FLOP, time and memory."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from scmnet_cli.bench import footprint
from scmnet_cli.bench.footprint import drawing_memory, training_speed
from scmnet_cli.bench.passes import Options, Passes, built, compile_parts, standing_person
from scmnet_cli.bench.speed import CountFlop, convolutions_of, count_gflop, measure_speed
from scmnet_cli.cli.bench import _variants as all_variants
from scmnet_cli.config import Config, ModelConfig, load_config, shipped_configs
from scmnet_cli.errors import ScmError
from scmnet_cli.models.build import build_generator

TINY = ModelConfig.model_validate({"size": "tiny", "height": 64, "width": 48})


def smoke() -> Config:
    return load_config("smoke", ["model.height=64", "model.width=48", "loss.adversarial=0", "train.batch=2"])


def at_once(function, *args):
    """Call in this process instead of a new one, which would import torch again."""
    return function(*args)


def test_every_convolution_of_a_pass_is_recorded_once_with_its_input_shape():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 1))
    image = torch.zeros(2, 3, 8, 6)
    assert convolutions_of(net, lambda: net(image)) == [(net[0], (2, 3, 8, 6)), (net[2], (2, 4, 4, 3))]
    assert not net[0]._forward_pre_hooks


def test_gflop_counts_two_per_multiply_add_of_convolutions_and_attention(monkeypatch):
    net = build_generator(TINY)
    masks = torch.eye(8)[torch.arange(64) // 8].T[None, :, :, None].expand(1, 8, 64, 48)
    flop, convolve = 0, F.conv2d

    def counted(features, weight, *args, **settings):
        nonlocal flop
        out = convolve(features, weight, *args, **settings)
        if torch.is_grad_enabled():  # not in attention, whose products are convolutions in training on a CPU
            flop += 2 * out.numel() * weight[0].numel()
        return out

    with monkeypatch.context() as patched:
        patched.setattr(F, "conv2d", counted)
        net(torch.zeros(1, 19, 64, 48), torch.zeros(1, 3, 64, 48), masks)
    positions, features = 48, 32
    expected = flop + 2 * 2 * positions * positions * features
    assert count_gflop(net, TINY) == pytest.approx(expected / 1e9, rel=1e-9)


@pytest.mark.parametrize("attention", [SDPBackend.MATH, SDPBackend.FLASH_ATTENTION])
@pytest.mark.parametrize("height", [64, 128])
def test_gflop_does_not_depend_on_the_attention_kernel(attention: SDPBackend, height: int):
    config = TINY.model_copy(update={"height": height})
    net = build_generator(config)
    person = standing_person(config, 1, torch.device("cpu"))
    # The math backend is made of matrix products, which torch counts in every version.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        net(person.maps, person.image, person.masks)
    with sdpa_kernel(attention), CountFlop() as ours:
        net(person.maps, person.image, person.masks)
    assert ours.flop == counter.get_total_flops()


def test_flop_of_a_convolution_in_groups_and_of_matrix_products_are_counted():
    grouped = nn.Conv2d(4, 6, 3, groups=2, padding=1)
    with CountFlop() as count:
        grouped(torch.zeros(1, 4, 5, 7))
    assert count.flop == 2 * (6 * 5 * 7) * (2 * 9)
    with CountFlop() as count:
        torch.zeros(2, 3, 4) @ torch.zeros(2, 4, 5)
        torch.matmul(torch.zeros(3, 4), torch.zeros(4, 5))
        nn.functional.linear(torch.zeros(3, 4), torch.zeros(5, 4))
    assert count.flop == 2 * (2 + 1 + 1) * 3 * 4 * 5


def test_a_measurement_records_its_settings_and_restores_the_thread_count():
    threads = torch.get_num_threads()
    speed = measure_speed(TINY, Options(threads=1), batches=(1, 2), repeats=1)
    assert (speed.threads, speed.options.precision, speed.size, speed.canvas) == (1, "float32", "tiny", TINY.canvas)
    assert speed.tokens == 48
    assert torch.get_num_threads() == threads
    assert [timing.batch for timing in speed.timings] == [1, 2]
    assert speed.gflop_boxes < speed.gflop
    for timing in speed.timings:
        assert timing.seconds_a_further_pose > 0
        assert timing.share_of_convolutions > 0


@pytest.mark.parametrize("name", shipped_configs())
def test_every_shipped_config_is_measured_from_its_gflop_to_its_memory(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(footprint, "_in_new_process", at_once)
    config = load_config(name, ["model.size=tiny", "model.height=64", "model.width=64"]).model
    speed = measure_speed(config, Options(threads=1), batches=[1], repeats=1)
    assert speed.gflop > speed.gflop_boxes > 0
    assert drawing_memory(config, Options(threads=1), 2).peak > 0


@pytest.mark.parametrize("channels_last", [True, False])
def test_networks_use_the_memory_format_of_the_options(channels_last: bool):
    net = built(TINY, Options(channels_last=channels_last))
    weights = [module.weight for module in net.modules() if isinstance(module, nn.Conv2d)]
    last = [weight.is_contiguous(memory_format=torch.channels_last) for weight in weights if min(weight.shape[1:]) > 1]
    assert all(last) == channels_last


def test_the_memory_benchmark_runs_every_step_of_a_transfer(monkeypatch: pytest.MonkeyPatch):
    called = []
    net = built(TINY, Options())
    for name in ("encode_pose", "encode_regions", "rearrange", "translate"):
        method = getattr(net, name)
        monkeypatch.setattr(net, name, lambda *args, name=name, method=method: called.append(name) or method(*args))
    passes = Passes(net, TINY, Options(), 2)
    called.clear()
    passes.draw()
    assert sorted(called) == ["encode_pose", "encode_regions", "rearrange", "translate"]


@pytest.mark.slow
def test_memory_is_measured_in_a_separate_process_and_grows_with_the_batch():
    held = torch.zeros(100_000_000)  # 400 MB of this process, which must not be counted
    one, eight = (
        drawing_memory(TINY.model_copy(update={"height": 256, "width": 176}), Options(threads=1), n) for n in (1, 8)
    )
    assert held.numel()
    assert 50 < one.imports < one.peak < eight.peak
    assert one.peak - one.imports < 300
    assert one.device == 0


@pytest.mark.slow
def test_a_killed_process_is_an_error_with_the_remedy(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ScmError, match="smaller --batch or canvas"):
        footprint._in_new_process(_die)


def _die() -> None:
    import os

    os._exit(9)


@pytest.mark.parametrize("cache", ["ram", "none"])
def test_training_is_timed_in_the_training_loop(cache: str, drawn_data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(footprint, "_in_new_process", at_once)
    config = smoke()
    config = config.model_copy(update={"data": config.data.model_copy(update={"cache": cache})})
    found = training_speed(config, Options(threads=1), drawn_data, steps=2, cpu_time=True)
    assert (found.cache, found.batch) == (cache, 2)
    assert found.images_per_second == pytest.approx(2 / found.seconds_a_step)
    assert found.memory.peak >= found.memory.imports > 0


def test_training_of_a_face_config_asks_for_faces():
    with pytest.raises(ScmError, match=r"--training: the synthetic data shows people.*give --data"):
        training_speed(load_config("faces-cpu"), Options(threads=1))


def test_training_uses_the_precision_and_memory_format_of_the_options(
    drawn_data: Path, monkeypatch: pytest.MonkeyPatch
):
    seen = []

    class Noted(footprint.Run):
        def __init__(self, data, run, config, **about):
            seen.append((config.train.precision, config.train.channels_last, about["device"]))
            super().__init__(data, run, config, **about)

    monkeypatch.setattr(footprint, "_in_new_process", at_once)
    monkeypatch.setattr(footprint, "Run", Noted)
    training_speed(smoke(), Options(precision="bf16", channels_last=False), drawn_data, steps=1)
    assert seen == [("bf16", False, "cpu")]


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_command_prints_a_table_and_writes_json(precision, tmp_path):
    from scmnet_cli.cli.main import load_app

    file = tmp_path / "speed.json"
    arguments = [
        "bench",
        "-c",
        "smoke",
        "--batch",
        "1",
        "--repeats",
        "1",
        "--threads",
        "1",
        "--cpu-time",
        "--no-memory",
    ]
    done = CliRunner().invoke(load_app(), [*arguments, "--precision", precision, "-o", str(file)])
    assert done.exit_code == 0, done.output
    assert "1 threads" in done.output
    assert "tiny at 128x88, 176 tokens" in done.output
    assert f"{precision}, channels-last" in done.output
    (found,) = json.loads(file.read_text())["runs"]
    assert found["num_parameters"] > 0
    assert found["cpu_time"]
    assert found["timings"][0]["batch"] == 1
    assert found["options"]["precision"] == precision
    assert found["memory"] == found["training"] == []


def test_the_comparison_table_lists_every_option_and_trains_with_the_supported_ones(monkeypatch, tmp_path):
    from scmnet_cli.bench.footprint import Memory, Training
    from scmnet_cli.cli import bench as command
    from scmnet_cli.cli.main import load_app

    monkeypatch.setattr(command, "_variants", lambda chosen: [v for v in all_variants(chosen) if not v.compiled])
    trained = []

    def train(config, options, data, **about):
        trained.append((str(options), config.data.cache))
        return Training(config.data.cache, 4, 0.5, 8.0, Memory(500, 600, 0))

    monkeypatch.setattr(footprint, "training_speed", train)
    file = tmp_path / "speed.json"
    arguments = ["bench", "-c", "smoke", "--batch", "1", "--repeats", "1", "--threads", "1", "--no-memory", "--compare"]
    done = CliRunner().invoke(load_app(), [*arguments, "--training", "-o", str(file)])
    assert done.exit_code == 0, done.output
    kinds = ["float32, contiguous", "float32, channels-last", "bf16, channels-last"]
    assert trained == [(kind, cache) for kind in kinds for cache in ("ram", "none")]
    assert all(done.output.count(kind) >= 3 for kind in kinds)
    assert len(json.loads(file.read_text())["runs"]) == 3


def test_the_comparison_changes_one_option_at_a_time_and_compiles_both_precisions():
    names = [str(options) for options in all_variants(Options(precision="bf16", threads=2))]
    assert names == [
        "float32, contiguous",
        "float32, channels-last",
        "bf16, channels-last",
        "float32, channels-last, compiled",
        "bf16, channels-last, compiled",
    ]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")
def test_compiled_networks_draw_the_same():
    torch.manual_seed(0)
    net = built(TINY, Options())
    passes = Passes(net, TINY, Options(), 1)
    with torch.no_grad():
        person = passes.person
        expected = net(person.maps, person.image, person.masks).image
        compile_parts(net)
        # The softmax at tau 0.01 amplifies rounding of the cosines a hundredfold.
        torch.testing.assert_close(net(person.maps, person.image, person.masks).image, expected, rtol=0, atol=2e-3)


def test_a_failed_compilation_is_a_one_line_error(monkeypatch: pytest.MonkeyPatch):
    from torch._dynamo.exc import BackendCompilerFailed

    def fail(*_):
        failure = BackendCompilerFailed.__new__(BackendCompilerFailed)  # its arguments differ from torch to torch
        failure.inner_exception = RuntimeError("no compiler\nand more")
        raise failure

    monkeypatch.setattr("scmnet_cli.bench.speed.compile_parts", lambda _: None)
    monkeypatch.setattr(Passes, "further_pose", fail)
    with pytest.raises(ScmError, match=r"--compile: compilation failed \(no compiler\)"):
        measure_speed(TINY, Options(compiled=True), batches=[1], repeats=1)
