"""Correlation Mining Module (the paper's 3.3): the correlation field, and style features rearranged by it.

With both features centred over channels and scaled to unit length,

    s_ij = <F_p(i), F_s(j)>                        (Eq. 2, a cosine)
    C_ij = exp(s_ij / tau) / sum_j exp(s_ij / tau) (Eq. 1, over all style positions j of one pose position i)
    F_s*(i) = sum_j C_ij F_s(j)                    (Eq. 3)

Eq. 1 as printed normalises over the other index and Eq. 3 sums over this one; only this reading makes F_s* an
average. It is independent of the order of the style positions, and it moves when the pose moves.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

_VALUES_AT_A_TIME = 2**22  # 16 MiB of the field


def _directions(features: Tensor) -> Tensor:
    tokens = _tokens(features)
    return F.normalize(tokens - tokens.mean(-1, keepdim=True), dim=-1)


def _tokens(features: Tensor) -> Tensor:
    # The fused kernels want channels side by side in memory.
    return features.flatten(2).transpose(1, 2).float().contiguous()  # (B, N, C)


def correlation(pose_features: Tensor, style_features: Tensor, tau: float) -> Tensor:
    """Return the explicit correlation field, N x N values: what the paths that never hold it are tested against.

    Shape:
        pose_features, style_features: (B, C, h, w); result: (B, N, N) float32, N = h w; rows are pose positions and
        sum to 1, columns are style positions.
    """
    with torch.autocast(pose_features.device.type, enabled=False):
        cosine = _directions(pose_features) @ _directions(style_features).transpose(1, 2)
        return (cosine / tau).softmax(-1)


def correlation_rows(pose_features: Tensor, style_features: Tensor, tau: float) -> Iterator[Tensor]:
    """Go through the field in blocks of consecutive rows, so that no more than one of them is ever held.

    Shape:
        pose_features, style_features: (B, C, h, w); each block: (B, rows, N) float32; together (B, N, N).
    """
    for cosine in _cosine_rows(pose_features, style_features):
        yield (cosine / tau).softmax(-1)


def correlation_entropy(pose_features: Tensor, style_features: Tensor, tau: float) -> Tensor:
    """Return the entropy of each row of the field, in nats: how many style positions one pose position mixes.

    0 looks at one position, log N at all N alike; e^entropy is the number of positions.

    Shape:
        pose_features, style_features: (B, C, h, w); result: (B, h, w).
    """
    entropies = []
    for cosine in _cosine_rows(pose_features, style_features):
        scores = (cosine - cosine.amax(2, keepdim=True)) / tau  # at most 0
        weights = scores.exp()
        total = weights.sum(2)
        entropies.append(total.log() - (weights * scores).sum(2) / total)  # -sum p log p, with one exponential
    return torch.cat(entropies, dim=1).view(-1, *pose_features.shape[2:])


def _cosine_rows(pose_features: Tensor, style_features: Tensor) -> Iterator[Tensor]:
    device = pose_features.device.type
    with torch.autocast(device, enabled=False):
        query, key = _directions(pose_features), _directions(style_features)
    rows = max(1, _VALUES_AT_A_TIME // (key.shape[0] * key.shape[1]))
    for some in torch.split(query, rows, dim=1):
        with torch.autocast(device, enabled=False):  # never while somebody else's code runs
            cosine = some @ key.transpose(1, 2)
        yield cosine


def rearrange(pose_features: Tensor, style_features: Tensor, values: Tensor, tau: float) -> Tensor:
    """Move values along the correlation field (Eq. 3) without ever holding the field.

    Shape:
        pose_features: (B, C, h, w); style_features: (B, C, h', w'); values: (B, K, h', w');
        result: (B, K, h, w) float32.
    """
    height, width = pose_features.shape[-2:]
    with torch.autocast(pose_features.device.type, enabled=False):
        query, key = _directions(pose_features), _directions(style_features)
        value = _tokens(values)
        # They also want queries, keys and values of one width, a multiple of 8; zeros change no cosine.
        width_of_all = -(-max(query.shape[-1], value.shape[-1]) // 8) * 8
        query, key, padded = (F.pad(t, (0, width_of_all - t.shape[-1]))[:, None] for t in (query, key, value))
        moved = F.scaled_dot_product_attention(query, key, padded, scale=1 / tau)[:, 0, :, : value.shape[-1]]
    return moved.transpose(1, 2).view(-1, values.shape[1], height, width)
