"""SCM-Net, the generator of the paper's Figure 2: disentangle, rearrange, translate."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scmnet_cli.models.correlation import Field, Prior, aligned_prior
from scmnet_cli.models.generator import DecoderInput, Rendering, TranslationGenerator
from scmnet_cli.models.layers import halved_edges
from scmnet_cli.models.part_warp import PartWarp
from scmnet_cli.models.pose_encoder import PoseEncoder
from scmnet_cli.models.positions import STRIDE
from scmnet_cli.models.style import Style
from scmnet_cli.models.style_encoder import NUM_PARTS, DecomposedStyleEncoder, GlobalStyleEncoder

_LEAST_MASK = 0.1


class SCMNet(nn.Module):
    """Generate an image with the style of a source in a target pose.

    1. Disentangle: F_p = pose_encoder(pose maps), F_s^i = style_encoder(image, masks), F_s = ccf(F_s^1 .. F_s^8).
    2. Rearrange: F_s* = the correlation field of F_p and F_s applied to F_s.
    3. Translate: image = generator(F_s*).

    With a part warp, pose encoder and generator also read its 12 channels, and its coordinates are the field's prior.
    """

    def __init__(
        self,
        pose_encoder: PoseEncoder,
        style_encoder: DecomposedStyleEncoder | GlobalStyleEncoder,
        ccf: nn.Module,
        generator: TranslationGenerator,
        tau: float,
        *,
        prior_sigma: float = 0.0,
        aligned: bool = False,
        use_correlation: bool = True,
    ) -> None:
        super().__init__()
        self.pose_encoder = pose_encoder
        self.style_encoder = style_encoder
        self.ccf = ccf
        self.generator = generator
        self.tau = tau
        self.prior_sigma = prior_sigma
        """Standard deviation of the field's prior as a share of the height; 0: no prior."""
        self.aligned = aligned
        """Whether images are aligned, as faces are: then places of source and target correspond without a warp."""
        self.use_correlation = use_correlation
        """False in the ablation "w/o correlation": the field is uniform, apart from its prior."""

    @property
    def has_regions(self) -> bool:
        """Whether style features are kept per region, as editing needs; False without the DSE."""
        return isinstance(self.style_encoder, DecomposedStyleEncoder)

    @property
    def reads_part_warp(self) -> bool:
        """Whether pose encoder and generator read a part warp of the source."""
        return self.generator.part_warp

    @property
    def stride(self) -> int:
        """Pixels of the canvas along each side of a feature position."""
        return 2 * STRIDE if self.generator.half_size else STRIDE

    def encode_regions(self, image: Tensor, masks: Tensor) -> Tensor:
        """Encode each region of the image.

        Shape:
            image: (B, 3, H, W) in [-1, 1]; masks: (B, 8, H, W); result: F_s^i, (B, 8, C/8, H/8, W/8), or features of
            the whole image, (B, 1, C, H/8, W/8), without the DSE.
        """
        if self.generator.half_size:
            image, masks = F.avg_pool2d(image, 2), masks[:, :, ::2, ::2]
        encoded: Tensor = self.style_encoder(image, masks)
        return encoded if self.has_regions else encoded[:, None]

    def fuse(self, region_features: Tensor) -> Style:
        """Concatenate the regions' features over channels, fuse them, and add the carried colours.

        Shape:
            region_features: (B, 8, C/8 + carried channels, H/8, W/8), as :meth:`encode_regions` returns them.
        """
        part, cells = self.style_encoder.part_features, self.style_encoder.carried_cells
        fused: Tensor = self.ccf(region_features[:, :, :part].flatten(1, 2))
        if not cells:
            return Style(fused)
        carried = region_features[:, :, part:].to(fused.dtype)  # (B, 8, 4 cells^2, H/8, W/8)
        means = torch.unflatten(carried, 2, (-1, cells**2)).mean(3)  # (B, 8, 4, H/8, W/8)
        return Style(fused, means.flatten(1, 2), carried.sum(1) if cells > 1 else None)

    def encode_style(self, image: Tensor, masks: Tensor) -> Style:
        """Return the style of an image; shapes as in :meth:`encode_regions` and :meth:`fuse`."""
        return self.fuse(self.encode_regions(image, masks))

    def encode_pose(self, maps: Tensor, warp: PartWarp | None = None) -> Tensor:
        """Return F_p of pose maps, and of the part warp if this network reads one.

        Shape:
            maps: (B, 19, H, W); result: (B, C, H/8, W/8).
        """
        seen = maps if warp is None else torch.cat([maps, warp.channels().to(maps.dtype)], dim=1)
        encoded: Tensor = self.pose_encoder(halved_edges(seen) if self.generator.half_size else seen)
        return encoded

    def guides(self, maps: Tensor, warp: PartWarp | None) -> Tensor | None:
        """Return maps and part warp joined, in the type and memory format of the convolutions that read them.

        None if the pose encoder and the generator do not both read both.

        Shape:
            maps: (B, 19, H, W); result: (B, 31, H, W).
        """
        if warp is None or not (self.generator.num_maps and self.generator.part_warp):
            return None
        device = maps.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else maps.dtype
        contiguous = next(self.pose_encoder.parameters()).is_contiguous()
        memory = torch.contiguous_format if contiguous else torch.channels_last
        parts = [maps, warp.image, warp.coverage, warp.regions]
        sizes = [part.shape[1] for part in parts]
        shape = (len(maps), sum(sizes), maps.shape[2], maps.shape[3])
        joined = torch.empty(shape, dtype=dtype, device=maps.device, memory_format=memory)
        for place, part in zip(torch.split(joined, sizes, dim=1), parts, strict=True):
            place.copy_(part)  # converts type and memory format in one pass
        return joined

    def field(
        self, pose_features: Tensor, style: Style, warp: PartWarp | None = None, alignment: Tensor | None = None
    ) -> Field:
        """Return the correlation field of a pose and a style (Eq. 1 and 2).

        Args:
            pose_features: features of the pose.
            style: the style.
            warp: the part warp, which is the prior of people.
            alignment: the prior of aligned images; None: the same places.

        Shape:
            pose_features: (B, C, h, w); alignment: (B, 2, 3), from places of the pose to places of the style, in half
            heights from the centre.
        """
        prior = None
        if self.prior_sigma and warp is not None:
            prior = self._prior(warp)
        elif self.prior_sigma and self.aligned:
            prior = aligned_prior(pose_features, alignment, self.prior_sigma)
        if not self.use_correlation:
            pose_features = pose_features * 0  # keeps the pose encoder in the graph, with zero gradients
        return Field.of(pose_features, style.features, self.tau, prior)

    def _prior(self, warp: PartWarp) -> Prior:
        """Average the warp's source coordinates over each feature position, weighted by its coverage."""
        coverage = F.avg_pool2d(warp.coverage, STRIDE)
        places = F.avg_pool2d(warp.coordinates * warp.coverage, STRIDE) / coverage.clamp(min=1e-6)
        positions = (places + 0.5) / STRIDE - 0.5
        confidence = coverage * (coverage > 0.05)  # less coverage is too little evidence
        return Prior(positions, confidence, self.prior_sigma * coverage.shape[2])

    def rearrange(self, field: Field, style: Style, carried: Tensor | None = None) -> tuple[Style, Tensor | None]:
        """Rearrange a style, and ``carried`` with it, to the layout of the pose (Eq. 3).

        Shape:
            carried: (B, K, h, w), for example region masks or colours; results: the rearranged style in float32, and
            ``carried`` rearranged likewise.
        """
        values = [*style.given, *([] if carried is None else [carried])]
        moved = field.rearrange(torch.cat([value.float() for value in values], dim=1))
        parts = list(torch.split(moved, [value.shape[1] for value in values], dim=1))
        rest = None if carried is None else parts.pop()
        return style.like(parts), rest

    def translate(
        self,
        rearranged: Style,
        maps: Tensor | None = None,
        warp: PartWarp | None = None,
        guides: Tensor | None = None,
    ) -> Rendering:
        """Generate the image of a rearranged style.

        Shape:
            maps: (B, M, H, W), needed if the generator reads structure maps; guides: what :meth:`guides` returned for
            both, or None.
        """
        rendering: Rendering = self.generator(*self._generator_input(rearranged), maps, warp, guides)
        return rendering

    def decoder_input(self, maps: Tensor, image: Tensor, masks: Tensor, warp: PartWarp | None = None) -> DecoderInput:
        """Return what the generator's decoder draws the person of ``image`` in the pose of ``maps`` from.

        Shape:
            as :meth:`forward`.
        """
        guides = self.guides(maps, warp)
        pose = self.encode_pose(maps, warp) if guides is None else self.encode_pose(guides)
        style = self.encode_style(image, masks)
        rearranged, _ = self.rearrange(self.field(pose, style, warp), style)
        return self.generator.encode(*self._generator_input(rearranged), maps, warp, guides)

    def _generator_input(self, rearranged: Style) -> tuple[Tensor, Tensor | None]:
        """Return the features that the generator reads, and the colours that it starts from."""
        features = rearranged.features
        if rearranged.means is not None:
            features = torch.cat([features, rearranged.means], dim=1)
        return features, self._base_colours(rearranged)

    def _base_colours(self, rearranged: Style) -> Tensor | None:
        """Return the colours that the generator starts from, (B, 3, d h, d w); None if the style carries none."""
        if rearranged.means is None:
            return None
        carried = rearranged.cells
        if carried is None:
            carried = rearranged.means
            if self.has_regions:
                carried = torch.unflatten(carried, 1, (NUM_PARTS, -1)).sum(1)
        cells = F.pixel_shuffle(carried, self.style_encoder.carried_cells)
        # After an edit a position may hold no region or two: then the masks do not sum to 1.
        return cells[:, :3] / cells[:, 3:].clamp(min=_LEAST_MASK) if self.has_regions else cells

    def forward(self, maps: Tensor, image: Tensor, masks: Tensor, warp: PartWarp | None = None) -> Rendering:
        """Generate the person of ``image`` in the pose of ``maps``.

        Shape:
            maps: (B, 19, H, W); image: (B, 3, H, W) in [-1, 1]; masks: (B, 8, H, W).
        """
        style = self.encode_style(image, masks)
        rearranged, _ = self.rearrange(self.field(self.encode_pose(maps, warp), style, warp), style)
        return self.translate(rearranged, maps, warp)
