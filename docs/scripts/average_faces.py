"""Average weights of face models: python docs/scripts/average_faces.py DATA OUT SHARE FILE [SHARE FILE ...].

The statistics of batch norm are not averaged: they are measured again, on the first 360 training faces of DATA,
with all of Canny's edges as input, as pairs and crossed, since colorize sees such. The config is the last file's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from scmnet_cli.checkpoint import load_model, save_model
from scmnet_cli.data.dataset import TrainingStream, open_people
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.models.build import build_generator
from scmnet_cli.training.objective import GeneratorPass, Inputs

FACES, BATCH, SEED = 360, 24, 77


def averaged(states: list[dict[str, Tensor]], shares: list[float]) -> dict[str, Tensor]:
    """Return the weighted mean of weights; counts are the last file's."""
    mean = dict(states[-1])
    for name, tensor in mean.items():
        if tensor.is_floating_point():
            parts = [share * state[name].float() for share, state in zip(shares, states, strict=True)]
            mean[name] = torch.stack(parts).sum(0)
    return mean


def main(data: Path, out: Path, shares: list[float], files: list[Path]) -> None:
    """Average the weights, measure the statistics, and write the model."""
    saved = [load_model(file) for file in files]
    config, extra = saved[-1].config, saved[-1].extra
    net = build_generator(config.model)
    net.load_state_dict(averaged([dict(model.state) for model in saved], shares))
    for norm in net.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.reset_running_stats()
            norm.momentum = None  # the mean over all batches
    folder = PreparedFolder(data)
    people = open_people(folder, folder.names("train")[:FACES], config.model.canvas, torch.device("cpu"))
    edges = config.data.model_copy(update={"sketch": 1.0, "outline": 0.0, "thick": 0.0, "broken": 0.0, "colours": 0.0})
    stream, draw = TrainingStream(people, edges, SEED), GeneratorPass(net, cross=True).train()
    with torch.no_grad():
        for start in range(0, FACES, BATCH):
            draw(Inputs.of(stream.batch(start, BATCH)))
    save_model(out, net.state_dict(), config, half=True, extra=extra)


if __name__ == "__main__":
    shares, files = sys.argv[3::2], sys.argv[4::2]
    main(Path(sys.argv[1]), Path(sys.argv[2]), [float(share) for share in shares], [Path(file) for file in files])
