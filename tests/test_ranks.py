"""Several processes do what one does: the same training, the same folder, the same pictures, and stop together."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from scmnet_cli.errors import ScmError
from scmnet_cli.ranks import Rank, Team, this_rank
from scmnet_cli.training.means import Means
from scmnet_cli.training.tracking import read_stats
from scmnet_cli.weights import backbone_shapes


def test_the_rank_is_what_torchrun_says() -> None:
    rank = this_rank({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"})
    assert rank == Rank(5, 8, 1)
    assert not rank.is_first
    assert str(rank) == "rank 5 of 8"
    assert this_rank({}) == Rank()


@pytest.mark.parametrize("values", [("2", "2"), ("-1", "2"), ("a", "2"), ("0", "0")])
def test_an_environment_that_names_no_rank_is_refused(values: tuple[str, str]) -> None:
    with pytest.raises(ScmError, match=r"RANK=.*torchrun"):
        this_rank({"RANK": values[0], "WORLD_SIZE": values[1]})


def test_one_process_alone_is_a_team_that_never_waits() -> None:
    team = Team(Rank())
    team.wait()
    assert team.gather("me") == ["me"]
    assert team.any(True)
    assert not team.any(False)


def test_means_are_over_images_however_they_were_cut_and_leave_out_what_is_not_finite() -> None:
    means, whole = Means(), torch.tensor([1.0, math.nan, 3.0, 8.0, math.inf, 4.0])
    means.add("a", whole[:2])
    means.add("a", whole[2:])
    means.add("b", torch.tensor(2.0), images=3)
    means.add("b", torch.tensor(6.0), images=1)
    means.add("c", torch.tensor([math.nan]))
    found = means.taken(Team(Rank()))
    assert found["a"] == 4.0
    assert found["b"] == 3.0
    assert math.isnan(found["c"])
    assert means.taken(Team(Rank())) == {}


SMALL = (
    "train.images=12", "train.batch=4", "train.log_every=4", "train.save_every=100", "data.drop_region=0.5",
    "loss.vgg=vgg16", "loss.perceptual=5", "loss.style=150", "loss.bsr=1", "loss.style_layers=[relu1_2,relu2_1]",
    "loss.bsr_layer=relu2_2", "train.ema_images=100",
)  # fmt: skip
BATCH_NORM = ("model.norm=batch", "model.generator_norm=batch")
CASES = {
    "instance norm": SMALL,
    "batch norm": (*SMALL, *BATCH_NORM),
    "batch norm in parts": (*SMALL, *BATCH_NORM, "train.accumulate=2"),
    "instance norm in parts": (*SMALL, "train.accumulate=2"),
}


def ranks(number: int, *command: object) -> list[subprocess.Popen[str]]:
    """Start processes as torchrun would, without the seconds that torchrun itself takes."""
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
    said = [process.communicate(timeout=300) for process in started]
    return [(process.returncode, out, err) for process, (out, err) in zip(started, said, strict=True)]


@dataclass(frozen=True)
class Trained:
    """Where one and where two processes left their trainings."""

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
def test_two_processes_with_half_the_batch_each_train_as_one_with_the_whole(trained: Trained, case: str) -> None:
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
def test_accumulated_parts_train_as_one_batch_where_no_statistics_span_the_batch(trained: Trained) -> None:
    apart = furthest(trained.state("instance norm"), trained.state("instance norm in parts"))
    assert max(apart.values()) < 1e-7
    # Batch norm sees a part at a time: another training, and the running averages take two steps.
    apart = furthest(trained.state("batch norm"), trained.state("batch norm in parts"))
    assert max(apart.values()) > 1e-3
