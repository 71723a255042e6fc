"""Metrics that compare two pictures, and those of the field."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from metric_inputs import left_half, random_images, random_labels
from torch import Tensor

from scmnet_cli.errors import ScmError
from scmnet_cli.metrics.correspondence import region_accuracy
from scmnet_cli.metrics.l1 import l1
from scmnet_cli.metrics.lpips import Lpips
from scmnet_cli.metrics.masked import masked_mean
from scmnet_cli.metrics.region_consistency import region_consistency
from scmnet_cli.metrics.ssim import ssim_masked, ssim_patn, ssim_raw
from scmnet_cli.regions import one_hot
from scmnet_cli.weights import backbone_shapes


@pytest.fixture(scope="module")
def lpips(seeded_backbones: Path) -> Lpips:
    """LPIPS with its own heads on an AlexNet of random weights."""
    return Lpips("alex", seeded_backbones)


PAIRWISE = ["l1", "l1 masked", "ssim_raw", "ssim_patn", "lpips", "lpips masked", "consistency"]
Metric = Callable[[Tensor, Tensor], Tensor]


@pytest.fixture(params=PAIRWISE)
def metric(request: pytest.FixtureRequest, lpips: Lpips) -> tuple[str, Metric]:
    masks = one_hot(random_labels(1))
    metrics: dict[str, Metric] = {
        "l1": l1,
        "l1 masked": lambda a, b: l1(a, b, left_half()),
        "ssim_raw": ssim_raw,
        "ssim_patn": ssim_patn,
        "lpips": lpips,
        "lpips masked": lambda a, b: lpips(a, b, left_half()),
        "consistency": lambda a, b: region_consistency(
            a, masks.expand(len(a), -1, -1, -1), b, masks.expand(len(b), -1, -1, -1)
        ),
    }
    return request.param, metrics[request.param]


def test_an_image_with_itself_scores_the_best_value(metric: tuple[str, Metric]) -> None:
    name, of = metric
    images = random_images(2)
    best = 1 if "ssim" in name or name == "consistency" else 0
    assert of(images, images.clone()).tolist() == pytest.approx([best, best], abs=1e-6)
    other = of(images, random_images(2, seed=1))
    assert (other < best - 0.01).all() if best else (other > 0.01).all()


def test_a_batch_scores_like_its_members(metric: tuple[str, Metric]) -> None:
    _, of = metric
    a, b = random_images(3), random_images(3, seed=1)
    assert of(a, b).shape == (3,)
    singles = torch.cat([of(a[i : i + 1], b[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(of(a, b), singles, rtol=1e-4, atol=1e-6)


def test_metrics_are_symmetric_where_their_protocol_is(metric: tuple[str, Metric]) -> None:
    name, of = metric
    a, b = random_images(2), (random_images(2, seed=1) + 1) / 2  # b has half the range of a
    if name == "ssim_patn":
        assert ((of(a, b) - of(b, a)).abs() > 1e-3).all()
    else:
        torch.testing.assert_close(of(a, b), of(b, a), rtol=1e-4, atol=1e-6)


# L1 and masks


def test_l1_of_black_and_white_is_2_and_reaches_only_as_far_as_the_mask() -> None:
    black, other = torch.full((1, 3, 4, 6), -1.0), torch.full((1, 3, 4, 6), -1.0)
    other[..., :3] = 1
    assert l1(black, other).item() == 1
    assert l1(black, other, left_half(4, 6)).item() == 2
    assert l1(black, other, ~left_half(4, 6)).item() == 0


def test_a_full_mask_is_no_mask_and_an_empty_one_gives_nan() -> None:
    values = random_images(2)
    torch.testing.assert_close(masked_mean(values, torch.ones(2, 1, 48, 32, dtype=torch.bool)), masked_mean(values))
    mask = torch.zeros(2, 1, 48, 32)
    mask[1, :, 0, 0] = 1
    means = masked_mean(values, mask)
    assert means[0].isnan()
    assert means[1].item() == pytest.approx(values[1, :, 0, 0].mean().item(), abs=1e-6)


# SSIM


def pixels(image: Tensor) -> np.ndarray:
    return ((image + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()


def skimage_ssim(reference: np.ndarray, generated: np.ndarray, data_range: float) -> float:
    from skimage.metrics import structural_similarity

    return structural_similarity(
        reference,
        generated,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=data_range,
    )


def test_raw_ssim_equals_scikit_images() -> None:
    a, b = random_images(2), random_images(2, seed=1)
    expected = [skimage_ssim(pixels(b[i]), pixels(a[i]), 255) for i in range(2)]
    assert ssim_raw(a, b).tolist() == pytest.approx(expected)


def test_patn_ssim_equals_scikit_images_on_images_padded_to_256x256_with_the_generated_images_range() -> None:
    a, b = random_images(1, 256, 176), random_images(1, 256, 176, seed=1)
    padded = np.full((2, 256, 256, 3), 255, np.uint8)
    padded[0, :, 40:216], padded[1, :, 40:216] = pixels(a[0]), pixels(b[0])
    data_range = int(padded[0].max()) - int(padded[0].min())
    assert ssim_patn(a, b).item() == pytest.approx(skimage_ssim(padded[1], padded[0], data_range))


def test_the_masked_ssim_map_equals_scikit_images_up_to_the_border() -> None:
    from skimage.metrics import structural_similarity

    a, b = random_images(1, 36, 44), random_images(1, 36, 44, seed=1)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    _, expected = structural_similarity(pixels(b[0]), pixels(a[0]), channel_axis=2, full=True, **options)
    for row, column in ((0, 0), (35, 43), (3, 40), (17, 22)):
        mask = torch.zeros(1, 1, 36, 44)
        mask[..., row, column] = 1
        assert ssim_masked(a, b, mask).item() == pytest.approx(expected[row, column].mean(), abs=1e-6)


def test_padding_raises_ssim_by_about_the_share_of_the_padding() -> None:
    a, b = random_images(1, 256, 176), random_images(1, 256, 176, seed=1)
    raw, patn = ssim_raw(a, b).item(), ssim_patn(a, b).item()
    assert patn == pytest.approx(0.69 * raw + 0.31, abs=0.02)


def test_a_square_image_is_not_padded() -> None:
    a, b = random_images(1, 32, 32), random_images(1, 32, 32, seed=1)
    ours = pixels(a[0])
    assert ssim_patn(a, b).item() == pytest.approx(skimage_ssim(pixels(b[0]), ours, int(ours.max()) - int(ours.min())))


def test_an_all_white_output_has_a_patn_ssim() -> None:
    assert ssim_patn(torch.ones(1, 3, 48, 32), random_images(1)).isfinite().all()


# LPIPS


def test_lpips_with_a_mask_is_the_mean_of_its_map_over_the_mask(lpips: Lpips) -> None:
    a, b = random_images(1), random_images(1, seed=1)
    distances = lpips.distance_map(a, b)
    assert distances.shape == (1, 1, 48, 32)
    torch.testing.assert_close(lpips(a, b, left_half()), distances[..., :16].mean()[None])


def test_lpips_stays_frozen_and_without_dropout_inside_a_training_module(lpips: Lpips) -> None:
    a, b = random_images(1), random_images(1, seed=1)
    before = lpips(a, b)
    torch.nn.ModuleDict({"lpips": lpips}).train()
    assert not any(module.training for module in lpips.modules())
    assert not any(parameter.requires_grad for parameter in lpips.parameters())
    assert torch.equal(lpips(a, b), before)


def test_building_lpips_is_silent_and_leaves_the_random_state_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    torch.save(
        {key: torch.zeros(shape) for key, shape in backbone_shapes("alexnet").items()},
        tmp_path / "alexnet-features-fp16.pth",
    )
    before = torch.get_rng_state()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Lpips("alex", tmp_path)
    assert not caught
    assert capfd.readouterr() == ("", "")
    assert torch.equal(before, torch.get_rng_state())


def test_lpips_is_float32_under_autocast(lpips: Lpips) -> None:
    a, b = random_images(1), random_images(1, seed=1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(lpips(a, b), lpips(a.float(), b.float()))
        inside = lpips(a, b)
    assert torch.equal(inside, lpips(a, b))


def test_lpips_without_its_backbone_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("SCM_WEIGHTS", raising=False)
    with pytest.raises(ScmError, match=r"alexnet-owt-7be5be79\.pth"):
        Lpips("alex", tmp_path)


@pytest.mark.data
@pytest.mark.weights
def test_lpips_gives_the_official_distances_of_the_official_example(
    shared: Callable[[str], Path], shared_weights: Path
) -> None:
    from PIL import Image

    example = shared("data/lpips_example")

    def picture(name: str) -> Tensor:
        with Image.open(example / name) as opened:
            return torch.from_numpy(np.array(opened.convert("RGB"))).permute(2, 0, 1)[None] / 127.5 - 1

    reference = picture("ex_ref.png").expand(2, -1, -1, -1)
    distances = Lpips("alex", shared_weights)(reference, torch.cat([picture("ex_p0.png"), picture("ex_p1.png")]))
    assert distances.tolist() == pytest.approx([0.722, 0.138], abs=5e-4)


# The field


def test_region_accuracy_counts_the_persons_positions_that_the_source_shows() -> None:
    target = one_hot(torch.tensor([[[0, 0, 1, 1], [5, 5, 2, 2]]]))  # a 2x4 map for a grid of 2x4
    source = one_hot(torch.tensor([[[0, 1], [5, 5]]]))  # no hair
    right = target.clone()
    assert region_accuracy(right, target, source).item() == 1
    half_wrong = right.clone()
    half_wrong[0, :, 0, 2:] = torch.eye(8)[5][:, None]  # pants taken from the upper body
    assert region_accuracy(half_wrong, target, source).item() == 0.5
    wrong_where_it_does_not_count = right.clone()
    wrong_where_it_does_not_count[0, :, 0, :2] = torch.eye(8)[5][:, None]  # background
    wrong_where_it_does_not_count[0, :, 1, 2:] = torch.eye(8)[5][:, None]  # hair, which the source lacks
    assert region_accuracy(wrong_where_it_does_not_count, target, source).item() == 1


def test_region_accuracy_takes_the_region_that_covers_most_of_a_position() -> None:
    labels = torch.zeros(1, 8, 16, dtype=torch.long)
    labels[:, :, :8] = 1
    labels[:, :5, :8] = 5
    labels[:, :4, 8:] = 5
    labels[:, 0, 8:] = 2
    target = one_hot(labels)  # left cell 5/8 upper, 3/8 pants; right cell 1/2 background
    moved = torch.zeros(1, 8, 1, 2)
    moved[:, 5, 0, 0], moved[:, 1, 0, 0], moved[:, 1, 0, 1] = 0.6, 0.4, 1
    assert region_accuracy(moved, target, target).item() == 1


def test_region_accuracy_of_a_batch_is_by_image_and_nan_where_nothing_counts() -> None:
    labels = random_labels(3)
    labels[1] = 0
    masks = one_hot(labels)
    moved = torch.rand(3, 8, 6, 4, generator=torch.Generator().manual_seed(1))
    together = region_accuracy(moved, masks, masks)
    alone = torch.cat([region_accuracy(moved[i : i + 1], masks[i : i + 1], masks[i : i + 1]) for i in range(3)])
    assert together[1].isnan()
    torch.testing.assert_close(together, alone, equal_nan=True)
