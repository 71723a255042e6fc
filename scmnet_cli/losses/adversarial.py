"""Adversarial losses on patch logits: the paper's Eq. 4, and the LSGAN and hinge variants."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from scmnet_cli.models.choices import GANKind


def generator_loss(kind: GANKind, fake_logits: Tensor) -> Tensor:
    """Return the generator's loss, a mean over images and patches.

    ``lsgan``: (D - 1)^2. ``bce``: -log sigmoid(D), Eq. 4 in its non-saturating form. ``hinge``: -D.

    Shape:
        fake_logits: (B, 1, h, w), a discriminator's logits of generated images; result: a float32 scalar.
    """
    fake = fake_logits.float()
    if kind == "lsgan":
        return (fake - 1).square().mean()
    if kind == "bce":
        return F.softplus(-fake).mean()
    return -fake.mean()


def discriminator_loss(kind: GANKind, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return a discriminator's loss: the mean of its terms on real and on generated images.

    The two terms are, for ``lsgan``: (D - 1)^2 and D^2; for ``bce``, Eq. 4: -log sigmoid(D) and -log(1 - sigmoid(D));
    for ``hinge``: max(0, 1 - D) and max(0, 1 + D).

    Shape:
        real_logits, fake_logits: (B, 1, h, w); result: a float32 scalar.
    """
    real, fake = real_logits.float(), fake_logits.float()
    if kind == "lsgan":
        return ((real - 1).square().mean() + fake.square().mean()) / 2
    if kind == "bce":
        return (F.softplus(-real).mean() + F.softplus(fake).mean()) / 2
    return (torch.relu(1 - real).mean() + torch.relu(1 + fake).mean()) / 2
