"""Garments of train people on other train people, other colours for garments, and skirts seen more often."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from test_editing import DRESS, GREEN, PANTS, RED, SKIRT, full_size, has_colour

from scmnet_cli.analyser.training.losses import class_weights_of
from scmnet_cli.analyser.training.repainting import repainted
from scmnet_cli.analyser.training.transplants import transplants
from scmnet_cli.analyser.training.views import OF_PEOPLE, TrainingPhoto, Views, training_photo
from scmnet_cli.regions import BACKGROUND, region_id
from scmnet_cli.types import Canvas, UInt8Array


def photo(seed: int, **colours: tuple[int, int, int]) -> TrainingPhoto:
    person = full_size(seed, "person", colours)
    return training_photo(person.image, person.regions, person.joints)


def labels_of(person: TrainingPhoto) -> UInt8Array:
    return np.asarray(person.labels)


@pytest.fixture(scope="module")
def drawn() -> list[TrainingPhoto]:
    return transplants([photo(PANTS), photo(SKIRT, skirt=RED), photo(DRESS)], 6, seed=0)


def test_a_transplanted_skirt_is_labelled_where_it_is_drawn(drawn: list[TrainingPhoto]) -> None:
    skirts = [one for one in drawn if (labels_of(one) == region_id("skirt")).sum() > 100]
    assert skirts
    for one in skirts:
        red = has_colour(np.asarray(one.levels[0]), RED)
        skirt = labels_of(one) == region_id("skirt")
        assert red[skirt].mean() > 0.85
        assert red[~skirt].sum() < 0.2 * skirt.sum()
        assert one.joints[:, 2].max() == 1


def test_a_transplant_leaves_head_and_arms_of_the_wearer(drawn: list[TrainingPhoto]) -> None:
    for one in drawn:
        for region in ("face", "hair", "arms"):
            assert (labels_of(one) == region_id(region)).any()


def test_people_without_another_one_to_dress_give_no_transplants() -> None:
    assert transplants([photo(SKIRT)], 4, seed=0) == []
    unlabelled = replace(photo(SKIRT), labels=None)
    assert transplants([photo(PANTS), unlabelled], 4, seed=0) == []


def test_repainting_changes_garments_alone() -> None:
    person = full_size(SKIRT, "person", {"upper": GREEN, "skirt": RED})
    garments = np.isin(person.regions, [region_id(name) for name in ("upper", "skirt", "pants")])
    patterns = [Image.effect_noise((64, 64), 80).convert("RGB")]
    edges = ndimage.binary_dilation(garments, iterations=4)
    changed = []
    for seed in range(6):
        new = np.asarray(
            repainted(Image.fromarray(person.image), person.regions, patterns, np.random.default_rng(seed))
        )
        away = abs(new.astype(int) - person.image).max(-1)
        changed.append(away[garments].mean() > 15)
        assert away[~edges].max() == 0
    assert sum(changed) >= 4


def test_skirts_are_seen_more_often() -> None:
    photos = [photo(PANTS) for _ in range(9)] + [photo(SKIRT, skirt=RED)]
    skirt = region_id("skirt")

    def share(rare: float) -> float:
        manner = replace(OF_PEOPLE, rare=rare, nobody=0)
        views = Views(photos, [], Canvas(96, 64), 0, manner)
        return float(np.mean([(views.view(k).labels == skirt).any() for k in range(60)]))

    assert share(0.0) < 0.25
    assert share(0.5) > 0.35


def test_class_weights_are_one_without_balance_and_largest_for_rare_regions() -> None:
    photos = [photo(PANTS), photo(SKIRT)]
    assert class_weights_of(photos, 8, 0.0).tolist() == [1.0] * 8
    weights = class_weights_of(photos, 8, 0.25)
    assert weights[BACKGROUND] == 1
    assert weights[region_id("face")] > weights[region_id("upper")] > 1
