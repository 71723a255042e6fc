"""SCM-Net (the paper's Figure 2): disentangle, rearrange, translate."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scmnet_cli.models.correlation import correlation, correlation_entropy, correlation_rows, rearrange
from scmnet_cli.models.generator import TranslationGenerator
from scmnet_cli.models.pose_encoder import PoseEncoder
from scmnet_cli.models.style_encoder import NUM_PARTS, DecomposedStyleEncoder, GlobalStyleEncoder

_LEAST_MASK = 0.1


class SCMNet(nn.Module):
    """The generator: the style of one image in the layout of a pose.

    Disentangled: F_p = pose_encoder(pose maps), F_s^i = style_encoder(image, masks), F_s = ccf(F_s^1 .. F_s^8).
    Rearranged: F_s* = correlation field of F_p and F_s, applied to F_s. Translated: image = generator(F_s*).
    """

    def __init__(
        self,
        pose_encoder: PoseEncoder,
        style_encoder: DecomposedStyleEncoder | GlobalStyleEncoder,
        ccf: nn.Module,
        generator: TranslationGenerator,
        tau: float,
    ) -> None:
        super().__init__()
        self.pose_encoder = pose_encoder
        self.style_encoder = style_encoder
        self.ccf = ccf
        self.generator = generator
        self.tau = tau

    @property
    def has_regions(self) -> bool:
        """Whether style features are kept per region, as editing needs; not so without the DSE."""
        return isinstance(self.style_encoder, DecomposedStyleEncoder)

    def encode_regions(self, image: Tensor, masks: Tensor) -> Tensor:
        """Encode each region of the image.

        Shape:
            image: (B, 3, H, W) in [-1, 1]; masks: (B, 8, H, W); result: F_s^i as (B, 8, C/8, H/8, W/8), or, without
            the DSE, features of the whole image as (B, 1, C, H/8, W/8).
        """
        encoded: Tensor = self.style_encoder(image, masks)
        return encoded if self.has_regions else encoded[:, None]

    def fuse(self, region_features: Tensor) -> Tensor:
        """Concatenate the regions' features over channels and fuse them.

        Shape:
            region_features: (B, 8, C/8, H/8, W/8); result: F_s, (B, C, H/8, W/8). What regions carry beside their C/8
            features follows F_s: each region's means over a position, and, where they carry several cells a position,
            these, of all regions together.
        """
        part, cells = self.style_encoder.part_features, self.style_encoder.carried_cells
        fused: Tensor = self.ccf(region_features[:, :, :part].flatten(1, 2))
        if not cells:
            return fused
        carried = region_features[:, :, part:].to(fused.dtype)  # (B, 8, 4 cells^2, H/8, W/8)
        means = torch.unflatten(carried, 2, (-1, cells**2)).mean(3)  # (B, 8, 4, H/8, W/8)
        together = [carried.sum(1)] if cells > 1 else []
        return torch.cat([fused, means.flatten(1, 2), *together], dim=1)

    def field(self, pose_features: Tensor, style_features: Tensor) -> Tensor:
        """Return the explicit correlation field, N x N values; for tests.

        Shape:
            pose_features: (B, C, h, w); style_features: as :meth:`fuse` gives them; result: (B, N, N) float32.
        """
        return correlation(pose_features, style_features[:, : pose_features.shape[1]], self.tau)

    def field_rows(self, pose_features: Tensor, style_features: Tensor) -> Iterator[Tensor]:
        """Go through the correlation field in blocks of rows, for plots and statistics; memory stays small.

        Shape:
            as in :meth:`field`; each block: (B, rows, N).
        """
        return correlation_rows(pose_features, style_features[:, : pose_features.shape[1]], self.tau)

    def field_entropy(self, pose_features: Tensor, style_features: Tensor) -> Tensor:
        """Return the entropy of each row of the field in nats, from 0 to log N.

        Shape:
            as in :meth:`field`; result: (B, h, w).
        """
        return correlation_entropy(pose_features, style_features[:, : pose_features.shape[1]], self.tau)

    def encode_style(self, image: Tensor, masks: Tensor) -> Tensor:
        """Return F_s of an image; shapes as in :meth:`encode_regions` and :meth:`fuse`."""
        return self.fuse(self.encode_regions(image, masks))

    def encode_pose(self, maps: Tensor) -> Tensor:
        """Return F_p of pose maps.

        Shape:
            maps: (B, 19, H, W); result: (B, C, H/8, W/8).
        """
        encoded: Tensor = self.pose_encoder(maps)
        return encoded

    def rearrange(
        self, pose_features: Tensor, style_features: Tensor, carried: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Move the style features, and whatever is carried along, to where the pose wants them (Eq. 3).

        Shape:
            pose_features, style_features: (B, C, h, w); carried: (B, K, h, w), for example region masks or colours;
            result: F_s*, (B, C, h, w) float32, and ``carried`` moved likewise.
        """
        keys = style_features[:, : pose_features.shape[1]]
        if carried is None:
            return rearrange(pose_features, keys, style_features, self.tau), None
        values = torch.cat([style_features.float(), carried.float()], dim=1)
        moved = rearrange(pose_features, keys, values, self.tau)
        features = style_features.shape[1]
        return moved[:, :features], moved[:, features:]

    def translate(self, rearranged: Tensor, maps: Tensor | None = None) -> Tensor:
        """Draw the image of rearranged style features.

        Shape:
            rearranged: (B, C, H/8, W/8), or more channels where colours are carried: the image is then drawn on top of
            them; maps: (B, M, H, W), needed by a generator that sees the structure; result: (B, 3, H, W) in [-1, 1].
        """
        encoder = self.style_encoder
        ground = None
        if encoder.carried_cells == 1 and self.has_regions:
            ground = self._ground(
                torch.unflatten(rearranged[:, -NUM_PARTS * encoder.num_carried :], 1, (NUM_PARTS, -1)).sum(1)
            )
        elif encoder.carried_cells:
            ground = self._ground(rearranged[:, -encoder.num_carried :])
        features = rearranged[:, : -encoder.num_carried] if encoder.carried_cells > 1 else rearranged
        image: Tensor = self.generator(features, ground, maps)
        return image

    def _ground(self, carried: Tensor) -> Tensor:
        """Return the colours that the image is drawn on.

        Shape:
            carried: (B, 4 d^2, h, w), of the regions together, or (B, 3 d^2, h, w) without the DSE; result: (B, 3, d h,
            d w).
        """
        cells = F.pixel_shuffle(carried, self.style_encoder.carried_cells)
        # After an edit a position may hold no region, or two: the masks' sum is then not 1.
        return cells[:, :3] / cells[:, 3:].clamp(min=_LEAST_MASK) if self.has_regions else cells

    def forward(self, maps: Tensor, image: Tensor, masks: Tensor) -> Tensor:
        """Draw the person of ``image`` in the pose of ``maps``.

        Shape:
            maps: (B, 19, H, W); image: (B, 3, H, W) in [-1, 1]; masks: (B, 8, H, W); result: (B, 3, H, W) in [-1, 1].
        """
        rearranged, _ = self.rearrange(self.encode_pose(maps), self.encode_style(image, masks))
        return self.translate(rearranged, maps)
