"""Correlation Mining Module (the paper's 3.3): the correlation field and the rearranging of style features by it.

Pose and style features are centred over channels and scaled to unit length. Then

    s_ij = <F_p(i), F_s(j)>                        (Eq. 2, a cosine)
    C_ij = exp(s_ij / tau) / sum_j exp(s_ij / tau) (Eq. 1, over all style positions j of one pose position i)
    F_s*(i) = sum_j C_ij F_s(j)                    (Eq. 3)

Eq. 1 as printed normalises over i, while Eq. 3 sums over j. Only normalising over j makes F_s* an average. F_s* does
not depend on the order of the style positions, and it is equivariant to a permutation of the pose positions.

With a part warp the field has a prior. g(i) is the source position that the warp gives to pose position i, x(j) is the
location of style position j, and c_i in [0, 1] is the coverage. The prior adds -c_i |g(i) - x(j)|^2 / 2 sigma^2 to
s_ij / tau. The term |g(i)|^2 is constant along a row, so the softmax cancels it. Three extra channels carry the rest:
query (g_x, g_y, 1) c tau / sigma^2 and key (x, y, -|x|^2 / 2). So the fused attention kernel still applies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_VALUES_AT_A_TIME = 2**22  # 16 MiB of the field
_VALUES_IN_A_BLOCK = 2**19  # 2 MiB, which stay in a core's cache


@dataclass(frozen=True)
class Prior:
    """Expected source position of each pose position.

    Shape:
        positions: (B, 2, h, w), x and y in feature positions, 0 is the centre of the first; confidence: (B, 1, h, w)
        in [0, 1], 0 where there is no prior.
    """

    positions: Tensor
    confidence: Tensor
    sigma: float
    """Standard deviation in feature positions."""


@dataclass(frozen=True)
class Field:
    """Queries and keys of a correlation field: its logits are their inner products divided by tau.

    Shape:
        query: (B, N, D), pose positions; key: (B, N', D), style positions; size: (h, w) of the pose positions.
    """

    query: Tensor
    key: Tensor
    tau: float
    size: tuple[int, int]

    @classmethod
    def of(cls, pose_features: Tensor, style_features: Tensor, tau: float, prior: Prior | None = None) -> Field:
        """Centre features over channels, scale them to unit length, and append the prior's three channels.

        Shape:
            pose_features: (B, C, h, w); style_features: (B, C, h', w').
        """
        with torch.autocast(pose_features.device.type, enabled=False):
            query, key = _directions(pose_features), _directions(style_features)
            if prior is not None:
                expected, places = _prior_channels(prior, (style_features.shape[2], style_features.shape[3]), tau)
                query = torch.cat([query, expected], dim=-1)
                key = torch.cat([key, places.expand(len(key), -1, -1)], dim=-1)
        return cls(query, key, tau, (pose_features.shape[2], pose_features.shape[3]))

    def explicit(self) -> Tensor:
        """Return the whole field, (B, N, N') float32, whose rows sum to 1; the oracle of the memory-saving paths."""
        with torch.autocast(self.query.device.type, enabled=False):
            return (self.query @ self.key.transpose(1, 2) / self.tau).softmax(-1)

    def rows(self) -> Iterator[Tensor]:
        """Yield the field in blocks of consecutive rows, each (B, rows, N') float32, one block in memory at a time."""
        for logits in self._logit_rows():
            yield logits.softmax(-1)

    def entropy(self) -> Tensor:
        """Return the entropy of each row in nats, (B, h, w): from 0 (one style position) to log N' (uniform)."""
        entropies = []
        for logits in self._logit_rows():
            scores = logits - logits.amax(2, keepdim=True)  # at most 0
            weights = scores.exp()
            total = weights.sum(2)
            entropies.append(total.log() - (weights * scores).sum(2) / total)  # -sum p log p with a single exp
        return torch.cat(entropies, dim=1).view(-1, *self.size)

    def rearrange(self, values: Tensor) -> Tensor:
        """Move values along the field (Eq. 3) without materialising it.

        Training on a CPU has an attention of its own, which in bf16 multiplies the values in bf16; everywhere else all
        is float32 in torch's fused kernel.

        Shape:
            values: (B, K, h', w'); result: (B, K, h, w) float32.
        """
        on_cpu = self.query.device.type == "cpu" and self.query.dtype == torch.float32
        in_blocks = on_cpu and self.query.requires_grad
        low = torch.bfloat16 if torch.is_autocast_enabled(self.query.device.type) else torch.float32
        with torch.autocast(self.query.device.type, enabled=False):
            value = _tokens(values)
            if in_blocks:
                found: Tensor = BlockedAttention.apply(self.query, self.key, value, 1 / self.tau, low)
                return found.transpose(1, 2).view(-1, values.shape[1], *self.size)
            # Fused kernels need queries, keys and values of one width, a multiple of 8; zero padding changes nothing.
            width = -(-max(self.query.shape[-1], value.shape[-1]) // 8) * 8
            query, key, padded = (F.pad(t, (0, width - t.shape[-1]))[:, None] for t in (self.query, self.key, value))
            moved = F.scaled_dot_product_attention(query, key, padded, scale=1 / self.tau)[:, 0, :, : value.shape[-1]]
        return moved.transpose(1, 2).view(-1, values.shape[1], *self.size)

    def _logit_rows(self) -> Iterator[Tensor]:
        rows = max(1, _VALUES_AT_A_TIME // (self.key.shape[0] * self.key.shape[1]))
        for block in torch.split(self.query, rows, dim=1):
            with torch.autocast(self.query.device.type, enabled=False):  # closed before the caller's code runs
                logits = block @ self.key.transpose(1, 2) / self.tau
            yield logits


class BlockedAttention(torch.autograd.Function):
    """Attention with logits in float32 and all other products in bf16 or float32, for training on CPUs.

    Logits are cosines divided by a small tau, too large for bf16. torch's fused kernel has one type and one width for
    all products and takes twice as long. A block of rows of one image is in memory at a time.

    Shape:
        query: (B, N, D); key: (B, N', D); value: (B, N', K); result: (B, N, K); all float32.
    """

    @staticmethod
    def forward(context: Any, query: Tensor, key: Tensor, value: Tensor, scale: float, low: torch.dtype) -> Tensor:
        """Return softmax(scale query keyᵀ) value; the products with values are computed in ``low``."""
        value = value.to(low)
        moved = value.new_empty(*query.shape[:2], value.shape[2])
        log_sums = query.new_empty(query.shape[:2])
        for at in _blocks_of_rows(query, key):
            image, _ = at
            logits = _inner(query[at], key[image]).mul_(scale)
            log_sums[at] = logits.logsumexp(1)
            weights = logits.sub_(log_sums[at][:, None]).exp_().to(low)
            moved[at] = _inner(weights, value[image].t())
        context.save_for_backward(query, key, value, log_sums)
        context.scale = scale
        return moved.float()

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """Return the gradients of query, key and value; the weights are computed again."""
        query, key, value, log_sums = context.saved_tensors
        (of_moved,) = gradients
        of_query, of_key, of_value = torch.empty_like(query), torch.zeros_like(key), key.new_zeros(value.shape)
        of_moved, low_query, low_key = (tensor.to(value.dtype) for tensor in (of_moved, query, key))
        for at in _blocks_of_rows(query, key):
            image, _ = at
            weights = _inner(query[at], key[image]).mul_(context.scale).sub_(log_sums[at][:, None]).exp_()
            of_value[image] += _inner(weights.to(value.dtype).t(), of_moved[at].t())
            of_weights = _inner(of_moved[at], value[image]).float()
            # The mean comes from the rounded values too: where one weight is 1, the difference is exactly 0.
            of_weights.sub_((of_weights * weights).sum(1, keepdim=True))
            of_logits = of_weights.mul_(weights).mul_(context.scale).to(value.dtype)
            of_query[at] = _inner(of_logits, low_key[image].t())
            of_key[image] += _inner(of_logits.t(), low_query[at].t())
        return of_query, of_key, of_value, None, None


def _inner(rows: Tensor, others: Tensor) -> Tensor:
    """Return all inner products of rows with other rows.

    In float32 it is a 1x1 convolution: oneDNN uses AVX-512 on all CPUs that have it, MKL on Intel's only.

    Shape:
        rows: (N, D); others: (M, D); result: (N, M).
    """
    if rows.dtype != torch.float32:
        return rows @ others.t()
    positions = rows.contiguous().view(1, len(rows), 1, -1).permute(0, 3, 1, 2)  # (1, D, N, 1), channels-last
    return F.conv2d(positions, others[:, :, None, None])[0, :, :, 0].t()


def _blocks_of_rows(query: Tensor, key: Tensor) -> Iterator[tuple[int, slice]]:
    """Yield image and rows of each block of the field."""
    rows = max(1, _VALUES_IN_A_BLOCK // key.shape[1])
    for image in range(len(query)):
        for first in range(0, query.shape[1], rows):
            yield image, slice(first, first + rows)


def aligned_prior(features: Tensor, alignment: Tensor | None, sigma: float) -> Prior:
    """Return the prior of aligned images: each place corresponds to the same place of the other image.

    Args:
        features: pose features; only their size and device count.
        alignment: from places of the pose to places of the style; None: the same places.
        sigma: standard deviation as a share of the height.

    Shape:
        features: (B, C, h, w); alignment: (B, 2, 3), in half heights from the centre.
    """
    num, _, height, width = features.shape
    y, x = torch.meshgrid(
        torch.arange(height, device=features.device, dtype=torch.float32),
        torch.arange(width, device=features.device, dtype=torch.float32),
        indexing="ij",
    )
    places = torch.stack([x, y])[None].expand(num, -1, -1, -1)
    if alignment is not None:
        centre = places.new_tensor([(width - 1) / 2, (height - 1) / 2])[:, None]  # (2, 1)
        moved = alignment[:, :, :2].float() @ (places.flatten(2) - centre)
        places = (moved + alignment[:, :, 2:].float() * (height / 2) + centre).view(num, 2, height, width)
    return Prior(places, places.new_ones(num, 1, height, width), sigma * height)


def _directions(features: Tensor) -> Tensor:
    tokens = _tokens(features)
    return F.normalize(tokens - tokens.mean(-1, keepdim=True), dim=-1)


def _tokens(features: Tensor) -> Tensor:
    # The fused kernels need contiguous channels.
    return features.flatten(2).transpose(1, 2).float().contiguous()  # (B, N, C)


def _prior_channels(prior: Prior, size: tuple[int, int], tau: float) -> tuple[Tensor, Tensor]:
    """Return the prior's channels of queries, (B, N, 3), and keys, (1, N', 3)."""
    height, width = size
    # Positions are relative to the centre: smaller numbers lose fewer digits.
    middle = prior.positions.new_tensor([(width - 1) / 2, (height - 1) / 2])
    strength = _tokens(prior.confidence) * (tau / prior.sigma**2)  # (B, N, 1)
    expected = _tokens(prior.positions) - middle  # (B, N, 2)
    y, x = torch.meshgrid(
        torch.arange(height, device=middle.device, dtype=torch.float32) - middle[1],
        torch.arange(width, device=middle.device, dtype=torch.float32) - middle[0],
        indexing="ij",
    )
    places = torch.stack([x, y, -(x.square() + y.square()) / 2], dim=-1).flatten(0, 1)[None]  # (1, N', 3)
    return torch.cat([expected * strength, strength], dim=-1), places
