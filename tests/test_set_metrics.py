"""Metrics on sets of images, and PSNR, masked SSIM and PCK."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from scmnet_cli.errors import ScmError
from scmnet_cli.metrics.fd_vgg16 import Vgg16Features
from scmnet_cli.metrics.frechet import FeatureStatistics, frechet_distance
from scmnet_cli.metrics.inception import CLASSES, FEATURES, Inception
from scmnet_cli.metrics.inception_score import InceptionScore
from scmnet_cli.metrics.pck import pck
from scmnet_cli.metrics.psnr import psnr
from scmnet_cli.metrics.ssim import ssim_gfla, ssim_masked, ssim_raw
from scmnet_cli.weights import backbone_shapes


def random_images(batch: int, height: int = 48, width: int = 32, seed: int = 0) -> Tensor:
    """Colour noise quantised to 8 bits, in [-1, 1]."""
    noise = torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))
    return (noise * 255).round() / 127.5 - 1


def left_half(height: int = 48, width: int = 32) -> Tensor:
    return (torch.arange(width) < width // 2).expand(1, 1, height, width)


def statistics(features: Tensor, batch: int | None = None) -> FeatureStatistics:
    found = FeatureStatistics()
    for part in features.split(batch or len(features)):
        found.add(part)
    return found


# PSNR


def test_psnr_equals_scikit_images_and_does_not_wrap_around() -> None:
    from skimage.metrics import peak_signal_noise_ratio

    a, b = random_images(2), random_images(2, seed=1)
    levels = [((image + 1) * 127.5).round().to(torch.uint8).numpy() for image in (a, b)]
    expected = [peak_signal_noise_ratio(levels[1][i], levels[0][i], data_range=255) for i in range(2)]
    assert psnr(a, b).tolist() == pytest.approx(expected, rel=1e-4)
    black_and_nearly_white = psnr(torch.full((1, 3, 4, 4), -1.0), torch.full((1, 3, 4, 4), 127 / 127.5))
    assert black_and_nearly_white.item() == pytest.approx(20 * math.log10(255 / 254.5), abs=1e-3)


def test_psnr_of_an_image_with_itself_is_infinite_and_depends_only_on_the_mask() -> None:
    a = random_images(1)
    assert psnr(a, a).item() == math.inf
    other = torch.where(left_half(), a, -a)
    assert psnr(other, a, left_half()).item() == math.inf
    assert psnr(other, a).item() < 20
    assert psnr(a, other, torch.zeros(1, 1, 48, 32)).isnan().all()


# SSIM on the person, and GFLA's


def test_masked_ssim_of_an_unchanged_person_is_1_whatever_the_background() -> None:
    a = random_images(1)
    other = torch.where(left_half(), a, -a)
    inner = (torch.arange(32) < 8).expand(1, 1, 48, 32)
    assert ssim_masked(other, a, inner).item() == pytest.approx(1)
    assert ssim_masked(other, a, ~left_half()).item() < 0.2
    assert ssim_masked(a, a, torch.zeros(1, 1, 48, 32)).isnan().all()


def test_masked_ssim_over_all_but_the_border_is_raw_ssim() -> None:
    a, b = random_images(1), random_images(1, seed=1)
    inner = torch.zeros(1, 1, 48, 32)
    inner[..., 5:-5, 5:-5] = 1
    assert ssim_masked(a, b, inner).item() == pytest.approx(ssim_raw(a, b).item(), abs=1e-5)


def test_gflas_ssim_equals_scikit_images_with_a_window_of_51() -> None:
    from skimage.metrics import structural_similarity

    a, b = random_images(1, 64, 56), random_images(1, 64, 56, seed=1)
    ours, theirs = (((image[0] + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy() for image in (a, b))
    scaled = structural_similarity(theirs / 255, ours / 255, channel_axis=2, data_range=1, win_size=51)
    assert ssim_gfla(a, b).item() == pytest.approx(scaled, abs=1e-6)
    assert ssim_gfla(a, a).item() == pytest.approx(1)


# PCK


def test_pck_counts_the_targets_joints_that_are_near() -> None:
    wanted = torch.zeros(1, 18, 3)
    wanted[0, :4] = torch.tensor([[0, 0, 1], [0, 100, 1], [40, 0, 1], [40, 100, 1]])
    found = wanted.clone()
    assert pck(found, wanted).item() == 1
    found[0, 0, 0] = 10  # a tenth of 100, the longer side
    assert pck(found, wanted).item() == 1
    found[0, 0, 0] = 10.5
    assert pck(found, wanted).item() == 0.75
    found[0, 1, 2] = 0  # not found
    found[0, 9] = torch.tensor([5, 5, 1])  # missing in the target
    assert pck(found, wanted).item() == 0.5
    assert pck(found, torch.zeros(1, 18, 3)).isnan().all()


# Fréchet distance


def test_the_frechet_distance_of_two_gaussians_equals_the_closed_form() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(500, 3, generator=generator), torch.randn(400, 3, generator=generator) * 2 + 1
    from scipy import linalg

    def numpy(features: Tensor) -> tuple[np.ndarray, np.ndarray]:
        return features.double().numpy().mean(0), np.cov(features.double().numpy(), rowvar=False)

    (m1, c1), (m2, c2) = numpy(a), numpy(b)
    expected = ((m1 - m2) ** 2).sum() + np.trace(c1 + c2 - 2 * linalg.sqrtm(c1 @ c2).real)
    assert frechet_distance(statistics(a), statistics(b)) == pytest.approx(expected, rel=1e-9)


def test_the_distance_is_0_for_the_same_set_symmetric_and_grows_with_noise() -> None:
    features = torch.randn(40, 64, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(40, 64, generator=torch.Generator().manual_seed(1))
    one = statistics(features)
    assert frechet_distance(one, statistics(features.flip(0))) == pytest.approx(0, abs=1e-5)
    distances = [frechet_distance(statistics(features + level * noise), one) for level in (0.1, 0.5, 1.0)]
    assert distances == sorted(distances)
    assert distances[0] > 0.01
    assert frechet_distance(one, statistics(noise)) == pytest.approx(frechet_distance(statistics(noise), one), abs=1e-5)


def test_batch_size_and_order_do_not_matter_and_a_partial_last_batch_counts() -> None:
    features = torch.randn(11, 8, generator=torch.Generator().manual_seed(0))
    other = statistics(torch.randn(30, 8, generator=torch.Generator().manual_seed(1)))
    whole = frechet_distance(statistics(features), other)
    assert frechet_distance(statistics(features, 4), other) == pytest.approx(whole, rel=1e-9)
    assert frechet_distance(statistics(features.flip(0), 3), other) == pytest.approx(whole, rel=1e-9)
    assert statistics(features, 4).count == 11
    assert abs(frechet_distance(statistics(features[:8]), other) - whole) > 1e-3


def test_a_single_image_has_no_frechet_distance() -> None:
    with pytest.raises(ScmError, match="two images"):
        frechet_distance(statistics(torch.randn(1, 4)), statistics(torch.randn(4, 4)))


# Inception Score


def test_the_inception_score_of_known_tables_equals_the_closed_form() -> None:
    sure = torch.eye(4).repeat(5, 1)
    score = InceptionScore(20, 5)
    score.add(sure)
    assert score.result() == (pytest.approx(4), pytest.approx(0, abs=1e-12))

    unsure = InceptionScore(20, 5)
    unsure.add(torch.full((20, 4), 0.25))
    assert unsure.result()[0] == pytest.approx(1)

    table = torch.tensor([[0.5, 0.5], [0.9, 0.1], [0.2, 0.8]], dtype=torch.float64)
    mean = table.mean(0)
    divergence = (table * (table / mean).log()).sum(1).mean()
    one = InceptionScore(3, 1)
    one.add(table)
    assert one.result()[0] == pytest.approx(math.exp(divergence))


def test_the_inception_score_does_not_depend_on_the_batch_size() -> None:
    table = torch.rand(23, 6, generator=torch.Generator().manual_seed(0)).mul(4).softmax(1)
    together, parts = InceptionScore(23), InceptionScore(23)
    together.add(table)
    for part in table.split(5):
        parts.add(part)
    assert parts.result() == together.result()
    with pytest.raises(ScmError, match="10 images or more, not 9"):
        InceptionScore(9)


# Networks


def seeded(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        key: torch.randn(shape, generator=generator) * math.sqrt(2 / math.prod(shape[1:]))
        if len(shape) > 1
        else torch.zeros(shape)
        for key, shape in shapes.items()
    }


def test_fd_vgg16_features_are_channel_means_at_any_size(tmp_path: Path) -> None:
    torch.save(seeded(backbone_shapes("vgg16")), tmp_path / "vgg16-features-fp16.pth")
    network = Vgg16Features(tmp_path)
    small, large = network(random_images(2, 32, 32)), network(random_images(2, 48, 32))
    assert small.shape == large.shape == (2, 512)
    # 13 convolutions sum up to 4,608 products each: in float32 that is 1e-4 of the largest value.
    scale = float(small.abs().max())
    torch.testing.assert_close(network(random_images(2, 32, 32)[:1]), small[:1], rtol=0, atol=1e-3 * scale)
    assert float((small[0] - small[1]).abs().max()) > 0.1 * scale


@pytest.fixture(scope="session")
def inception(seeded_inception: Path) -> Inception:
    return Inception(seeded_inception)


@pytest.mark.slow
def test_fid_and_is_run_on_a_file_of_the_right_layout(inception: Inception) -> None:
    pictures = random_images(6)
    features = torch.cat([inception(part) for part in pictures.split(4)])
    assert features.shape == (6, FEATURES)
    torch.testing.assert_close(inception(pictures[5:]), features[5:], rtol=1e-3, atol=1e-4)
    probabilities = inception.probabilities(features)
    assert probabilities.shape == (6, CLASSES)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(6))
    score = InceptionScore(6, 2)
    score.add(probabilities)
    assert 1 <= score.result()[0] <= 3  # three images per split

    noisy = [inception((pictures + level * random_images(6, seed=1)).clamp(-1, 1)) for level in (0.1, 1.0)]
    one = statistics(features)
    assert frechet_distance(one, statistics(features, 4)) == pytest.approx(0, abs=1e-4)
    near, far = (frechet_distance(statistics(found), one) for found in noisy)
    assert 0 < near < far
    assert frechet_distance(one, statistics(noisy[1])) == pytest.approx(far, rel=1e-3)


@pytest.mark.slow
def test_our_inception_equals_pytorch_fids(inception: Inception, monkeypatch: pytest.MonkeyPatch) -> None:
    from pytorch_fid import inception as theirs

    state = {**inception.network.state_dict()}
    state |= {f"fc.{key}": value for key, value in inception.classifier.state_dict().items()}
    load: Callable[..., object] = lambda *_, **__: state  # noqa: E731
    monkeypatch.setattr(theirs, "load_state_dict_from_url", load)
    pictures = random_images(2)
    expected = theirs.InceptionV3().eval()((pictures + 1) / 2)[0].flatten(1)
    torch.testing.assert_close(inception(pictures), expected, rtol=1e-3, atol=1e-4)


def test_weights_of_another_network_are_refused_as_inception(tmp_path: Path) -> None:
    path = tmp_path / "pt_inception-2015-12-05-6726825d.pth"
    torch.save({"Conv2d_1a_3x3.conv.weight": torch.zeros(1)}, path)
    with pytest.raises(ScmError, match="is not pytorch-fid's Inception") as caught:
        Inception(tmp_path)
    assert str(path) in str(caught.value)


def test_missing_inception_weights_are_an_error_with_file_and_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("SCM_WEIGHTS", raising=False)
    with pytest.raises(ScmError, match=r"6726825d\.pth.*scm weights fetch inception"):
        Inception(tmp_path)
