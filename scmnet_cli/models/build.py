"""Build the networks from a config: the only place that reads their sizes."""

from __future__ import annotations

from torch import nn

from scmnet_cli.config import ModelConfig
from scmnet_cli.domains import DOMAINS
from scmnet_cli.models.discriminators import Discriminators
from scmnet_cli.models.generator import TranslationGenerator
from scmnet_cli.models.part_warp import NUM_WARP_CHANNELS
from scmnet_cli.models.pose_encoder import PoseEncoder
from scmnet_cli.models.scmnet import SCMNet
from scmnet_cli.models.style_encoder import NUM_PARTS, CrossChannelFusion, DecomposedStyleEncoder, GlobalStyleEncoder
from scmnet_cli.models.warp_fields import PLAIN_BACKGROUND


def build_generator(config: ModelConfig) -> SCMNet:
    """Build the generator with fresh weights from torch's global random generator."""
    cells = config.carry_detail if config.carry_colours else 0
    num_maps = DOMAINS[config.domain].num_maps
    if config.style == "decomposed":
        style_encoder: DecomposedStyleEncoder | GlobalStyleEncoder = DecomposedStyleEncoder(
            config.part_channels, config.features, config.mask_channel, cells
        )
    else:
        style_encoder = GlobalStyleEncoder(config.part_channels, config.features, cells)
    aligned = not DOMAINS[config.domain].has_joints
    num_warped = NUM_WARP_CHANNELS if config.part_warp else 0
    num_carried = (4 * NUM_PARTS if config.style == "decomposed" else 3) if cells else 0
    return SCMNet(
        pose_encoder=PoseEncoder(num_maps + num_warped, config.pose_channels, config.features, config.norm),
        style_encoder=style_encoder,
        ccf=CrossChannelFusion(config.features, config.norm) if config.ccf else nn.Identity(),
        generator=TranslationGenerator(
            config.features + num_carried,
            config.generator_channels,
            config.generator_up_channels,
            config.generator_blocks,
            config.generator_norm,
            reads_base=cells > 1,
            num_maps=num_maps if config.show_structure else 0,
            part_warp=config.part_warp,
            background=PLAIN_BACKGROUND if config.foreground else None,
            half_size=config.half_size,
        ),
        tau=config.tau,
        prior_sigma=config.prior_sigma if config.part_warp or aligned else 0,
        aligned=aligned,
        use_correlation=config.correlation,
    )


def build_discriminators(config: ModelConfig) -> Discriminators:
    """Build both discriminators with fresh weights from torch's global random generator."""
    return Discriminators(DOMAINS[config.domain].num_maps, config.discriminator_channels, config.discriminator_blocks)
