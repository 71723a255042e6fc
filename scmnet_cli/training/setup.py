"""Setup of a training run: open the prepared folder, build networks and optimisers, and restore the state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from scmnet_cli.checkpoint import MODEL_FILE, load_model, load_strict
from scmnet_cli.config import Config, TrainConfig
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.files import unfinished_files
from scmnet_cli.models.build import build_discriminators, build_generator
from scmnet_cli.models.discriminators import Discriminators, FeatureDiscriminator
from scmnet_cli.models.scmnet import SCMNet
from scmnet_cli.system.processes import Team
from scmnet_cli.training.ema import MovingAverage
from scmnet_cli.training.objective import GeneratorPass
from scmnet_cli.training.state import Progress, check_same_run, read_state, restore
from scmnet_cli.training.warm_start import zero_new_inputs
from scmnet_cli.weights import vgg_channels

if TYPE_CHECKING:
    from accelerate import Accelerator

LOCK_FILE = ".lock"


@dataclass(frozen=True)
class Networks:
    """Networks and optimisers of a run.

    Attributes:
        generator_pass: the generator, wrapped for training.
        discriminators: None without an adversarial loss.
        feature_discriminator: None without an adversarial loss of VGG features.
        average: moving average of the generator's weights.
        modules: all networks by their names in the state file.
        optimizers: optimisers by the name of their network.
        licence: licence of the initial weights; empty if they state none.
    """

    generator_pass: GeneratorPass
    discriminators: Discriminators | None
    feature_discriminator: FeatureDiscriminator | None
    average: MovingAverage[SCMNet]
    modules: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]
    licence: str


@dataclass(frozen=True)
class PreparedNetworks:
    """The trained networks, as they are or wrapped to exchange gradients between processes."""

    generator_pass: nn.Module
    discriminators: nn.Module | None
    feature_discriminator: nn.Module | None

    def map(self, prepare: Callable[[nn.Module], nn.Module]) -> PreparedNetworks:
        """Return the networks prepared."""
        networks = (self.generator_pass, self.discriminators, self.feature_discriminator)
        generator_pass, *others = (None if network is None else prepare(network) for network in networks)
        assert generator_pass is not None
        return PreparedNetworks(generator_pass, *others)


def build_accelerator(config: Config, device: torch.device, num_processes: int) -> Accelerator:
    """Build the accelerator, which exchanges gradients between processes.

    Raises:
        ScmError: if accelerate sees another number of processes than torchrun started.
    """
    from accelerate import Accelerator, DistributedDataParallelKwargs

    parallel = DistributedDataParallelKwargs(
        broadcast_buffers=False,
        # Without a loss on the image, the translation generator gets no gradients.
        find_unused_parameters=config.loss.reconstruction == 0,
    )
    accelerator = Accelerator(cpu=device.type == "cpu", kwargs_handlers=[parallel])
    if accelerator.num_processes != num_processes:  # accelerate also reads the variables of mpirun and srun
        raise ScmError(
            f"accelerate sees {accelerator.num_processes} processes, torchrun's variables say {num_processes}; start "
            "training with torchrun"
        )
    return accelerator


def open_folder(data: Path, config: Config) -> PreparedFolder:
    """Open the prepared folder and check it against the config.

    Raises:
        ScmError: if it cannot be read, or its domain or background does not fit the config.
    """
    folder = PreparedFolder(data)
    if folder.domain.name != config.model.domain:
        raise ScmError(
            f"{data}: holds {folder.domain.members}, but model.domain is '{config.model.domain}'; choose a config "
            f"for {folder.domain.members}, or other data"
        )
    model, background = config.model, folder.manifest.background
    if model.part_warp and model.foreground and background != "plain":
        raise ScmError(
            f"{data}: was prepared with --background {background}, but model.foreground needs a plain one; give "
            "--set model.foreground=false, or prepare the photos with --background plain"
        )
    return folder


def check_batch(config: Config, num_processes: int) -> None:
    """Check that a batch can be split into equal parts.

    Raises:
        ScmError: if it cannot.
    """
    if config.train.batch % (num_processes * config.train.accumulate):
        raise ScmError(
            f"train.batch {config.train.batch} is not a multiple of {num_processes} processes x train.accumulate "
            f"{config.train.accumulate}; choose another batch"
        )


def build_networks(config: Config, device: torch.device, init: Path | None, *, in_parallel: bool) -> Networks:
    """Build generator, discriminators and optimisers; the generator's weights are fresh or those of ``init``.

    Args:
        config: sizes, losses and learning rates.
        device: device of the networks.
        init: a model file or run folder with the generator's initial weights; None for fresh ones.
        in_parallel: whether several processes train together.

    Raises:
        ScmError: if ``init`` does not fit the config.
    """
    train = config.train
    net = build_generator(config.model)
    discriminators = build_discriminators(config.model) if config.loss.adversarial > 0 else None
    feature_discriminator = None
    if config.loss.feature_adversarial > 0:
        feature_discriminator = FeatureDiscriminator(
            {layer: vgg_channels(layer) for layer in config.loss.feature_layers}
        )
    licence = ""
    if init is not None:
        saved = load_model(init)
        licence = saved.extra.get("licence", "")
        load_strict(net, zero_new_inputs(saved.state, net.state_dict()), f"--init {saved.path}")
    if in_parallel and device.type == "cuda":
        net = nn.SyncBatchNorm.convert_sync_batchnorm(net)  # type: ignore[no-untyped-call]
    memory = torch.channels_last if train.channels_last else torch.contiguous_format
    generator_pass = GeneratorPass(net.to(device).to(memory_format=memory), cross=config.loss.cross > 0)
    average = MovingAverage(net, train.ema_images)
    modules: dict[str, nn.Module] = {"generator": net, "average": average.module}
    optimizers: dict[str, torch.optim.Optimizer] = {
        "generator": torch.optim.Adam(net.parameters(), train.learning_rate, train.betas)
    }
    judges: dict[str, nn.Module] = {}
    if discriminators is not None:
        judges |= {"style": discriminators.style, "pose": discriminators.pose}
    if feature_discriminator is not None:
        judges["features"] = feature_discriminator
    for name, module in judges.items():
        modules[f"discriminator_{name}"] = module.to(device).to(memory_format=memory)
        optimizers[f"discriminator_{name}"] = torch.optim.Adam(
            module.parameters(), train.discriminator_learning_rate, train.betas
        )
    return Networks(generator_pass, discriminators, feature_discriminator, average, modules, optimizers, licence)


def resume(run: Path, networks: Networks, unchanged: tuple[Config, int, str] | None) -> Progress | None:
    """Restore the state of a run folder, if it has one.

    Args:
        run: the run folder.
        networks: restored in place.
        unchanged: config, seed and fingerprint of the training people that the state must match; None to skip the
            check.

    Returns:
        the progress of the state; None without a state.

    Raises:
        ScmError: if the state does not fit, or the folder holds something else.
    """
    found = read_state(run)
    if found is not None:
        tensors, progress = found
        if unchanged is not None:
            check_same_run(progress, *unchanged, run)
        restore(tensors, networks.modules, networks.optimizers, str(run))
        return progress
    if run.exists() and not run.is_dir():
        raise ScmError(f"{run}: is a file; choose another -o")
    own = {run / LOCK_FILE, *unfinished_files(run)}
    if run.is_dir() and not own.issuperset(run.iterdir()) and not (run / "config.json").is_file():
        raise ScmError(f"{run}: the folder is not empty and holds no run; choose another -o or empty it")
    return None


def licence_of(run: Path) -> str:
    """Return the licence stated by the model of a run folder; empty without one."""
    return load_model(run).extra.get("licence", "") if (run / MODEL_FILE).is_file() else ""


def check_ranks_agree(team: Team, run: Path, mine: Mapping[str, Any]) -> None:
    """Check that all processes have the same settings, before anything is written to the run folder.

    Args:
        team: the processes.
        run: the run folder, for messages.
        mine: values of this process by name, which must be equal in all.

    Raises:
        ScmError: naming the first difference.
    """
    first, *others = team.gather(mine)
    for index, other in enumerate(others, start=1):
        for name, value in other.items():
            if value != first[name]:
                raise ScmError(
                    f"{run}: rank {index} has another {name} than rank 0 ({value}, not {first[name]}); start "
                    "all processes with the same command, and keep data and run folder where every machine sees them"
                )


def set_learning_rates(optimizers: Mapping[str, torch.optim.Optimizer], train: TrainConfig, images: int) -> None:
    """Set the learning rates after a number of images."""
    factor = train.decay ** (images // train.decay_every) if train.decay_every else 1.0
    for name, optimizer in optimizers.items():
        base = train.learning_rate if name == "generator" else train.discriminator_learning_rate
        for group in optimizer.param_groups:
            group["lr"] = base * factor
