"""The losses of discriminators and generator."""

from __future__ import annotations

import pytest
import torch
from loss_inputs import random

from scmnet_cli.losses.adversarial import discriminator_loss, generator_loss
from scmnet_cli.models.choices import GANKind

GAN_KINDS: tuple[GANKind, ...] = ("lsgan", "bce", "hinge")


@pytest.mark.parametrize("kind", GAN_KINDS)
def test_a_discriminator_that_separates_real_from_generated_has_a_lower_loss(kind: GANKind) -> None:
    real, fake = torch.full((2, 1, 3, 3), 1.0), torch.full((2, 1, 3, 3), -1.0)
    assert discriminator_loss(kind, real, fake) < discriminator_loss(kind, fake, real)


@pytest.mark.parametrize("kind", GAN_KINDS)
def test_the_generators_loss_falls_as_the_logits_turn_to_real(kind: GANKind) -> None:
    logits = torch.linspace(-2, 1, 6)
    losses = torch.stack([generator_loss(kind, value.expand(1, 1, 2, 2)) for value in logits])
    assert (losses.diff() < 0).all()


def test_adversarial_losses_equal_their_formulas() -> None:
    real, fake = random(2, 1, 3, 4), random(2, 1, 3, 4, seed=1)
    sigmoid = torch.sigmoid
    for kind, d_real, d_fake, g in (
        ("lsgan", (real - 1) ** 2, fake**2, (fake - 1) ** 2),
        ("bce", -sigmoid(real).log(), -(1 - sigmoid(fake)).log(), -sigmoid(fake).log()),
        ("hinge", (1 - real).clamp_min(0), (1 + fake).clamp_min(0), -fake),
    ):
        torch.testing.assert_close(discriminator_loss(kind, real, fake), (d_real.mean() + d_fake.mean()) / 2)
        torch.testing.assert_close(generator_loss(kind, fake), g.mean())


@pytest.mark.parametrize("kind", GAN_KINDS)
def test_adversarial_losses_stay_finite_for_confident_discriminators(kind: GANKind) -> None:
    logits = torch.tensor([-1e4, 1e4]).view(2, 1, 1, 1).bfloat16().requires_grad_()
    loss = discriminator_loss(kind, logits, logits) + generator_loss(kind, logits)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
