"""Run by test_ranks.py, once alone and once as two processes: short trainings in float64.

In float32 a network this small is chaotic: a sum in another order moves one ReLU, and three steps later the weights
differ by more than any bug would. In float64 the same noise stays below 1e-9.
"""

import dataclasses
import json
import sys
from pathlib import Path

import torch

from scmnet_cli.config import load_config
from scmnet_cli.system.processes import Team, this_rank
from scmnet_cli.training import loop
from scmnet_cli.training.objective import Inputs

in_single, given = torch.Tensor.float, Inputs.of
torch.Tensor.float = lambda self: self if self.dtype == torch.float64 else in_single(self)


def doubled(value):
    """Return a tensor, or dataclass of tensors, in float64."""
    if isinstance(value, torch.Tensor):
        return value.double()
    if dataclasses.is_dataclass(value):
        return type(value)(*(doubled(getattr(value, field.name)) for field in dataclasses.fields(value)))
    return value


def in_double(batch, **options):
    return doubled(given(batch, **options))


loop.Inputs.of = in_double
loop.Run._validate = lambda _self, _tracker: {}


def main(data: Path, weights: Path, out: Path, cases: dict[str, list[str]]) -> None:
    team = Team(this_rank())
    for name, settings in cases.items():
        run = loop.Run(data, out / name, load_config("smoke", settings), device="cpu", weights_dir=weights)
        for module in (*run.modules.values(), *([run.objective.vgg] if run.objective.vgg else [])):
            module.double()
        run.train()
        state = {f"{kind}.{key}": value for kind, m in run.modules.items() for key, value in m.state_dict().items()}
        for kind, module in run.modules.items():
            if kind in run.optimizers:
                for key, parameter in module.named_parameters():
                    state[f"gradient.{kind}.{key}"] = run.optimizers[kind].state[parameter]["exp_avg"]
        torch.save(state, out / f"{name}.{team.rank.index}.pt")
    team.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), json.loads(sys.argv[4]))
