"""Several processes give the results of one, in training, preprocessing and drawing, and stop together."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from scmnet_cli.checkpoint import load_tensors
from scmnet_cli.cli.drawing.input import Input
from scmnet_cli.cli.drawing.task import Task
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.models.layers import BatchNorm
from scmnet_cli.preprocess.journal import lock_folder
from scmnet_cli.preprocess.prepare import prepare, prepare_share
from scmnet_cli.sources.folder import FolderSource
from scmnet_cli.system.devices import _of_this_process
from scmnet_cli.system.processes import Rank, Team, this_rank
from scmnet_cli.training.means import Means
from scmnet_cli.training.state import STATE_FILE
from scmnet_cli.training.tracking import read_stats
from scmnet_cli.types import Canvas
from scmnet_cli.weights import backbone_shapes

CANVAS = Canvas(64, 48)


def test_the_rank_is_read_from_torchruns_variables() -> None:
    rank = this_rank({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"})
    assert rank == Rank(5, 8, 1)
    assert not rank.is_first
    assert str(rank) == "rank 5 of 8"
    assert this_rank({}) == Rank()


@pytest.mark.parametrize("values", [("2", "2"), ("-1", "2"), ("a", "2"), ("0", "0")])
def test_invalid_variables_of_torchrun_are_refused(values: tuple[str, str]) -> None:
    with pytest.raises(ScmError, match=r"RANK=.*torchrun"):
        this_rank({"RANK": values[0], "WORLD_SIZE": values[1]})


def test_each_process_of_a_machine_gets_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "9", "WORLD_SIZE": "16", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "8"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert _of_this_process(torch.device("cuda")) == torch.device("cuda", 1)
    assert chosen == [1]
    assert _of_this_process(torch.device("cpu")) == torch.device("cpu")
    with pytest.raises(ScmError, match="16 processes cannot share one GPU"):
        _of_this_process(torch.device("cuda", 0))
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ScmError, match="has 2 GPUs; lower torchrun's --nproc-per-node"):
        _of_this_process(torch.device("cuda"))


def test_a_single_process_never_waits() -> None:
    team = Team(Rank())
    team.wait()
    assert team.gather("me") == ["me"]
    assert team.any(True)
    assert not team.any(False)


def test_means_are_over_images_however_they_are_split_and_skip_values_that_are_not_finite() -> None:
    means, whole = Means(), torch.tensor([1.0, math.nan, 3.0, 8.0, math.inf, 4.0])
    means.add("a", whole[:2])
    means.add("a", whole[2:])
    means.add("b", torch.tensor(2.0), images=3)
    means.add("b", torch.tensor(6.0), images=1)
    means.add("c", torch.tensor([math.nan]))
    found = means.pop(Team(Rank()))
    assert found["a"] == 4.0
    assert found["b"] == 3.0
    assert math.isnan(found["c"])
    assert means.pop(Team(Rank())) == {}


def contents(folder: Path) -> dict[str, bytes]:
    """Return the whole content of a prepared folder."""
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith((".", "journal"))]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def share(source: Path, out: Path, number: int, count: int, limit: int | None = None) -> int:
    return prepare_share(FolderSource(source), out, CANVAS, "plain", limit, 1, None, Rank(number, count))


@pytest.mark.parametrize("limit", [None, 5])
def test_shares_and_a_final_run_equal_one_run(drawn_source: Path, tmp_path: Path, limit: int | None) -> None:
    whole = prepare(FolderSource(drawn_source), tmp_path / "whole", CANVAS, limit=limit, jobs=1)
    made = [share(drawn_source, tmp_path / "shared", number, 3, limit) for number in (2, 0, 1)]
    assert all(made)
    with pytest.raises(ScmError, match=r"manifest\.json"):
        PreparedFolder(tmp_path / "shared")
    last = prepare(FolderSource(drawn_source), tmp_path / "shared", CANVAS, limit=limit, jobs=1)
    assert (last.num_usable, last.num_new) == (whole.num_usable, 0)
    assert list((tmp_path / "shared").glob("journal*")) == [tmp_path / "shared" / "journal.jsonl"]
    shared, alone = contents(tmp_path / "shared"), contents(tmp_path / "whole")
    assert {name: shared[name] for name in alone if name.endswith((".txt", ".csv", ".json"))} == {
        name: value for name, value in alone.items() if name.endswith((".txt", ".csv", ".json"))
    }
    assert all(shared[f"images/{name}.png"] for name in PreparedFolder(tmp_path / "shared").names())


def test_the_final_run_prepares_people_of_a_lost_share(drawn_source: Path, tmp_path: Path) -> None:
    prepare(FolderSource(drawn_source), tmp_path / "whole", CANVAS, jobs=1)
    share(drawn_source, tmp_path / "shared", 0, 2)
    prepare(FolderSource(drawn_source), tmp_path / "shared", CANVAS, jobs=1)
    assert contents(tmp_path / "shared") == contents(tmp_path / "whole")


def test_a_folder_that_another_run_writes_to_is_refused(drawn_source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with lock_folder(out):
        with pytest.raises(ScmError, match=r"out: another 'scm preprocess' is writing into it"):
            prepare(FolderSource(drawn_source), out, CANVAS, jobs=1)
        with pytest.raises(ScmError, match="is writing into it"):
            share(drawn_source, out, 0, 2)
    with lock_folder(out, together=True):  # a share that is being prepared
        with pytest.raises(ScmError, match="is writing into it"):
            prepare(FolderSource(drawn_source), out, CANVAS, jobs=1)
        share(drawn_source, out, 0, 2)
    with lock_folder(out, "share 2 of 2"), pytest.raises(ScmError, match="is doing share 2 of 2"):
        share(drawn_source, out, 1, 2)
    prepare(FolderSource(drawn_source), out, CANVAS, jobs=1)


def test_several_processes_draw_each_picture_once_and_one_source_in_one_process() -> None:
    def given(name: str, where: str) -> Input:
        return Input(name, where, lambda: pytest.fail("nothing is read yet"))

    sources = [given("anna", "a"), given("ben", "b"), given("anna", "c")]
    poses = [given("x", "x"), given("y", "y"), given("x", "z"), given("x_2", "w")]
    task = Task(sources, poses, {})
    drawn = [
        [(source.where, pose.where) for source, own in task.of_rank(Rank(index, 3)) for pose in own]
        for index in range(3)
    ]
    assert all(drawn)
    everything = [(source.where, pose.where) for source in sources for pose in poses]
    assert sorted(pair for own in drawn for pair in own) == sorted(everything)
    for together in ({("a", "x"), ("a", "z"), ("c", "x"), ("a", "w")}, {("b", "x"), ("b", "z"), ("b", "w")}):
        assert sum(bool(together & set(own)) for own in drawn) == 1


@pytest.mark.usefixtures("float64_kept")
def test_batch_norm_over_several_processes_equals_batch_norm() -> None:
    random = torch.Generator().manual_seed(0)
    images, gradient = (torch.randn(3, 4, 5, 6, generator=random).double() * 2 + 3 for _ in range(2))
    found = []
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        for norm in (BatchNorm(4).double(), torch.nn.BatchNorm2d(4).double()):
            features = images.clone().requires_grad_()
            out = norm(features)
            (out * gradient).sum().backward()
            assert norm.weight.grad is not None
            found.append([out, features.grad, norm.weight.grad, *norm.eval().state_dict().values(), norm(images)])
    finally:
        torch.distributed.destroy_process_group()
    for ours, torchs in zip(*found, strict=True):
        torch.testing.assert_close(ours, torchs, rtol=1e-9, atol=1e-9)


SMALL = (
    "train.images=12", "train.batch=4", "train.log_every=4", "train.save_every=100", "data.drop_region=0.5",
    "loss.vgg=vgg16", "loss.perceptual=5", "loss.style=150", "loss.bsr=1", "loss.style_layers=[relu1_2,relu2_1]",
    "loss.bsr_layer=relu2_2", "train.ema_images=100", "model.height=64", "model.width=48",
)  # fmt: skip
BATCH_NORM = ("model.norm=batch", "model.generator_norm=batch")
PART_WARP = (
    "model.part_warp=true", "model.prior_sigma=0.1", "data.repose=0.75", "data.close_up=0.3", "data.close_up_both=0.3",
    "data.joint_noise=0.012", "loss.person_weight=3", "loss.vgg_band=0.5",
)  # fmt: skip
CASES = {
    "instance norm": SMALL,
    "batch norm": (*SMALL, *BATCH_NORM),
    "batch norm in parts": (*SMALL, *BATCH_NORM, "train.accumulate=2"),
    "instance norm in parts": (*SMALL, "train.accumulate=2"),
    "part warp": (*SMALL, *PART_WARP),
    "feature discriminator in parts": (
        *SMALL,
        "loss.feature_adversarial=1",
        "loss.feature_layers=[relu1_2,relu2_1]",
        "train.accumulate=2",
    ),
}


def ranks(number: int, *command: object) -> list[subprocess.Popen[str]]:
    """Start processes as torchrun does, without torchrun's own start-up time."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(number):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": number, "LOCAL_WORLD_SIZE": number}
        there = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": 1}
        env = os.environ | {name: str(value) for name, value in {**place, **there}.items()}
        arguments = [sys.executable, *map(str, command)]
        started.append(subprocess.Popen(arguments, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    return started


def finish(started: Sequence[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    said = [process.communicate(timeout=900) for process in started]
    return [(process.returncode, out, err) for process, (out, err) in zip(started, said, strict=True)]


@dataclass(frozen=True)
class Trained:
    """The run folders of one process and of two."""

    alone: Path
    together: Path

    def state(self, case: str) -> dict[str, Tensor]:
        return torch.load(self.alone / f"{case}.0.pt")

    def states_of_two(self, case: str) -> list[dict[str, Tensor]]:
        return [torch.load(self.together / f"{case}.{rank}.pt") for rank in (0, 1)]


@pytest.fixture(scope="module")
def trained(drawn_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    generator = torch.Generator().manual_seed(0)
    shapes = {key: shape for key, shape in backbone_shapes("vgg16").items() if int(key.split(".")[1]) <= 7}
    weights = {
        key: torch.randn(shape, generator=generator) / math.prod(shape[1:]) ** 0.5 for key, shape in shapes.items()
    }
    torch.save(weights, folder / "vgg16-features-fp16.pth")
    script = Path(__file__).parent / "train_in_double.py"
    for number, name in ((1, "alone"), (2, "together")):
        (folder / name).mkdir()
        ended = finish(ranks(number, script, drawn_data, folder, folder / name, json.dumps(CASES)))
        assert [code for code, _, _ in ended] == [0] * number, ended
    return Trained(folder / "alone", folder / "together")


def furthest(one: dict[str, Tensor], other: dict[str, Tensor]) -> dict[str, float]:
    assert one.keys() == other.keys()
    return {key: float((one[key] - other[key]).abs().max() / one[key].abs().max().clamp_min(1e-3)) for key in one}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_processes_with_half_the_batch_train_as_one_process(trained: Trained, case: str) -> None:
    first, second = trained.states_of_two(case)
    assert all(torch.equal(first[key], second[key]) for key in first)
    apart = furthest(trained.state(case), first)
    assert max(apart.values()) < 1e-7, max(apart, key=lambda key: apart[key])


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_processes_log_the_losses_of_the_whole_batch(trained: Trained, case: str) -> None:
    of_one, of_two = read_stats(trained.alone / case), read_stats(trained.together / case)
    assert [line["images"] for line in of_two] == [4, 8, 12]
    for line, other in zip(of_one, of_two, strict=True):
        assert {"adversarial", "perceptual", "style", "bsr", "field_regions", "discriminator_pose"} < line.keys()
        assert line.keys() == other.keys()
        for name in line.keys() - {"seconds", "images_per_s"}:
            assert other[name] == pytest.approx(line[name], rel=1e-5), name


@pytest.mark.slow
def test_accumulated_parts_train_as_one_batch_without_batch_statistics(trained: Trained) -> None:
    apart = furthest(trained.state("instance norm"), trained.state("instance norm in parts"))
    assert max(apart.values()) < 1e-7
    # Batch norm sees one part at a time: training differs, and the running averages are updated once per part.
    apart = furthest(trained.state("batch norm"), trained.state("batch norm in parts"))
    assert max(apart.values()) > 1e-3


@pytest.mark.slow
def test_two_processes_prepare_the_same_folder_as_one(drawn_source: Path, tmp_path: Path) -> None:
    prepare(FolderSource(drawn_source), tmp_path / "whole", CANVAS, jobs=1)
    command = [
        "preprocess",
        drawn_source,
        "-o",
        tmp_path / "shared",
        "--layout",
        "folder",
        "--canvas",
        "64x48",
        "--sheet",
    ]
    (code, out, _), (other_code, other_out, other_err) = finish(ranks(2, "-m", "scmnet_cli", *command))
    assert (code, other_code) == (0, 0)
    assert "12 people" in out
    assert "12 new" in out
    assert other_out + other_err == ""
    shared = contents(tmp_path / "shared")
    assert shared.pop("sheet.png")
    assert shared.pop("report.html")
    assert shared == contents(tmp_path / "whole")


@pytest.mark.slow
def test_two_processes_draw_the_same_as_one_and_rank_0_reports_all(place: Any) -> None:
    people = [option for name in ("anna", "ben", "cleo") for option in ("--src", place.data / name)]
    command = ["transfer", *people, "--pose", place.data, "--pose", place.data / "anna", "-m", place.model]
    (alone,) = finish(ranks(1, "-m", "scmnet_cli", *command, "-o", "alone"))
    (code, out, _), (other_code, other_out, _) = finish(ranks(2, "-m", "scmnet_cli", *command, "-o", "shared"))
    assert (alone[0], code, other_code) == (0, 0, 0)
    assert other_out == ""
    assert out.replace("shared", "alone").split() == alone[1].split()
    for path in Path("alone").glob("*.png"):
        assert (Path("shared") / path.name).read_bytes() == path.read_bytes()
    assert len(list(Path("shared").glob("*.json"))) == 9


@pytest.mark.slow
def test_a_command_of_one_process_refuses_several(tmp_path: Path) -> None:
    (code, _, err), (other_code, _, _) = finish(ranks(2, "-m", "scmnet_cli", "demo", "-o", tmp_path / "demo"))
    assert (code, other_code) == (2, 2)
    assert "scm: rank 0 of 2: 'scm demo' runs as one process" in err
    assert not (tmp_path / "demo").exists()


def training(data: Path, run: Path, images: int) -> list[object]:
    settings = (f"train.images={images}", "train.batch=2", "train.save_every=2", "train.log_every=2", *BATCH_NORM)
    settings = (*settings, "model.height=64", "model.width=48")
    options = [part for setting in (*settings, "train.sample_every=1000") for part in ("--set", setting)]
    return ["-m", "scmnet_cli", "train", data, "-o", run, "-c", "smoke", "--device", "cpu", *options]


def torchrun(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(map(str, command), env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for_state(run: Path, process: subprocess.Popen[str]) -> None:
    for _ in range(2400):
        if (run / STATE_FILE).is_file():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("no state within two minutes")


@pytest.mark.slow
def test_a_killed_rank_ends_all_within_a_minute_and_another_process_count_resumes(
    drawn_data: Path, tmp_path: Path
) -> None:
    started = torchrun(*training(drawn_data, tmp_path / "run", 4000))
    wait_for_state(tmp_path / "run", started)
    workers = [int(pid) for pid in Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()]
    assert len(workers) == 2
    os.kill(workers[1], signal.SIGKILL)
    _, err = started.communicate(timeout=60)
    assert started.returncode != 0
    assert "rank      : 1" in err
    assert "SIGKILL" in err
    tensors, metadata = load_tensors(tmp_path / "run" / STATE_FILE)
    images = int(metadata["images"]) + 2
    assert all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())
    alone = [*training(drawn_data, tmp_path / "run", images), "--allow-changes"]
    ((code, _, err),) = finish(ranks(1, *alone))
    assert code == 0, err
    assert read_stats(tmp_path / "run")[-1]["images"] == images


FAILING = """
import sys
from scmnet_cli.cli.main import main
from scmnet_cli.system.processes import this_rank
from scmnet_cli.training.loop import Run
step = Run._step
def fail(run, *networks):
    if run.images == 4 and not this_rank().is_first:
        raise ZeroDivisionError("a bug in one process")
    return step(run, *networks)
Run._step = fail
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_an_error_in_one_process_is_shown_with_its_rank_and_ends_the_others(drawn_data: Path, tmp_path: Path) -> None:
    _, _, *arguments = training(drawn_data, tmp_path / "run", 4000)
    (code, _, err), (other_code, _, other_err) = finish(ranks(2, "-c", FAILING, *arguments))
    assert other_code == 1
    assert "[rank1]: ZeroDivisionError: a bug in one process" in other_err
    assert code == 2
    assert "scm: rank 0 of 2: another process of this run is gone" in err
    assert "Traceback" not in err
    assert load_tensors(tmp_path / "run" / STATE_FILE)[1]["images"] == "4"


@pytest.mark.slow
def test_sigterm_to_torchrun_stops_all_processes_at_the_same_step_and_saves(drawn_data: Path, tmp_path: Path) -> None:
    started = torchrun(*training(drawn_data, tmp_path / "run", 4000))
    wait_for_state(tmp_path / "run", started)
    started.send_signal(signal.SIGTERM)
    _, err = started.communicate(timeout=60)
    images = load_tensors(tmp_path / "run" / STATE_FILE)[1]["images"]
    assert err.count(f"stopped and saved at {images} images") == 1


@pytest.mark.slow
def test_processes_with_different_settings_are_refused_before_anything_is_written(
    drawn_data: Path, tmp_path: Path
) -> None:
    different = "import sys; from scmnet_cli.cli.main import main; from scmnet_cli.system.processes import this_rank; "
    different += "main([*sys.argv[1:], '--seed', str(this_rank().index)])"
    _, _, *arguments = training(drawn_data, tmp_path / "run", 8)
    (code, _, err), _ = finish(ranks(2, "-c", different, *arguments))
    assert code == 2
    assert "rank 1 has another seed than rank 0 (1, not 0)" in err
    assert not (tmp_path / "run").exists()
