"""Close-ups of a person's upper and lower part refine its regions, where the photo has the pixels."""

from __future__ import annotations

import numpy as np

from scmnet_cli.analyser.close_ups import closer_regions
from scmnet_cli.images import CropBox
from scmnet_cli.regions import NUM_REGIONS, region_id
from scmnet_cli.types import Canvas, FloatArray

ROWS, COLUMNS = 48, 32
CANVAS = Canvas(96, 64)
CROP = CropBox(10, 20, 320, 480, CANVAS)
BACKGROUND, PANTS, SKIRT, UPPER, ARMS = (region_id(name) for name in ("background", "pants", "skirt", "upper", "arms"))


def certain(labels: np.ndarray, by: float = 0.9) -> FloatArray:
    """Return probabilities of regions, ``by`` of which is that of a label."""
    one_hot = np.eye(NUM_REGIONS, dtype=np.float32)[labels].transpose(2, 0, 1)
    return np.ascontiguousarray(by * one_hot + (1 - by) / NUM_REGIONS, np.float32)


def everywhere(region: int, by: float = 0.9) -> FloatArray:
    return certain(np.full((ROWS, COLUMNS), region), by)


def closer(found: FloatArray, once: FloatArray, both: FloatArray | None = None) -> FloatArray:
    """Return the regions of a person after close-ups that all show ``found``."""
    return closer_regions(once, once if both is None else both, CROP, lambda _: found)


def seen(found: FloatArray, crops: list[CropBox]) -> FloatArray:
    """Return the regions of an unsure person after close-ups that all show ``found``."""

    def regions_in(crop: CropBox) -> FloatArray:
        crops.append(crop)
        return found

    return closer_regions(everywhere(UPPER, 0.3), everywhere(UPPER, 0.3), CROP, regions_in)


def test_close_ups_are_the_upper_and_the_lower_part_around_the_middle() -> None:
    crops: list[CropBox] = []
    seen(everywhere(UPPER), crops)
    upper, lower = crops
    assert (upper.top, upper.height, lower.top + lower.height) == (20, 288, 500)
    assert all(abs(crop.left + crop.width / 2 - 170) <= 1 for crop in crops)
    assert all(abs(crop.width / crop.height - 2 / 3) < 0.01 and crop.canvas == CANVAS for crop in crops)


def test_a_close_up_that_is_sure_decides_and_its_place_is_right() -> None:
    """The close-ups show an arm in one quarter of their cells; it is found in the middle of the whole crop's parts."""
    labels = np.full((ROWS, COLUMNS), UPPER)
    labels[12:24, 8:16] = ARMS
    chosen = seen(certain(labels), []).argmax(0)
    # Upper close-up: rows 0 to 0.6 of the crop; its columns are 0.6 of the width around the middle.
    rows, columns = (np.arange(ROWS) + 0.5) / ROWS, (np.arange(COLUMNS) + 0.5) / COLUMNS
    in_row = [(rows > start + 0.25 * 0.6) & (rows < start + 0.5 * 0.6) for start in (0.0, 0.4)]
    in_column = (columns > 0.2 + 0.25 * 0.6) & (columns < 0.2 + 0.5 * 0.6)
    wanted = (in_row[0] | in_row[1])[:, None] & in_column
    assert ((chosen == ARMS) == wanted).mean() > 0.97


def test_nothing_beyond_the_close_ups_changes_and_probabilities_sum_to_one() -> None:
    found = seen(everywhere(ARMS), [])
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)
    np.testing.assert_allclose(found[:, :, :4], everywhere(UPPER, 0.3)[:, :, :4], atol=1e-6)


def test_nothing_joins_the_person_and_what_a_close_up_shows_as_background_leaves() -> None:
    added = closer(everywhere(UPPER), everywhere(BACKGROUND, 0.6))
    assert (added.argmax(0) == BACKGROUND).all()
    removed = seen(everywhere(BACKGROUND), []).argmax(0)
    assert (removed[4:-4, 10:22] == BACKGROUND).all()


def test_the_whole_person_tells_trousers_from_a_skirt() -> None:
    assert (closer(everywhere(PANTS), everywhere(SKIRT, 0.5)).argmax(0) == SKIRT).all()


def test_the_mean_of_both_passes_decides_on_skirts_and_on_the_background_and_the_plain_one_on_the_rest() -> None:
    trousers = closer(everywhere(PANTS), everywhere(SKIRT, 0.5), everywhere(PANTS, 0.4))
    assert (trousers.argmax(0) == PANTS).all()
    nothing = closer(everywhere(UPPER), everywhere(UPPER, 0.3), everywhere(BACKGROUND, 0.6))
    assert (nothing.argmax(0) == BACKGROUND).all()
    joined = closer(everywhere(UPPER), everywhere(BACKGROUND, 0.5), everywhere(UPPER, 0.5))
    assert (joined[:, 4:-4, 10:22].argmax(0) == UPPER).all()
    plain = closer(everywhere(UPPER, 0.3), everywhere(ARMS, 0.7), everywhere(UPPER, 0.7))
    assert (plain.argmax(0) == ARMS).all()


def test_a_gap_within_the_person_that_the_close_ups_see_is_background_and_a_notch_of_its_outline_is_not() -> None:
    """A gap between an arm and the body is narrow: it shows at more pixels only."""
    labels = np.full((ROWS, COLUMNS), UPPER)
    labels[12:24, 14:17] = BACKGROUND
    person = everywhere(UPPER, 0.95)
    gap = closer(certain(labels), person).argmax(0) == BACKGROUND
    assert gap[10:12, 15].all(), "in the upper close-up"
    assert gap.sum() > 20
    notch = np.full((ROWS, COLUMNS), BACKGROUND)
    notch[:, :15] = UPPER  # the person's outline lies further to the right in the whole
    beside = everywhere(UPPER, 0.95)
    beside[:, :, 20:] = everywhere(BACKGROUND)[:, :, 20:]
    assert (closer(certain(notch, 0.6), beside).argmax(0)[:18, :20] == UPPER).all()


def test_a_photo_without_the_pixels_is_not_enlarged() -> None:
    small = CropBox(0, 0, 27, 40, CANVAS)
    both = everywhere(UPPER, 0.4)
    assert closer_regions(everywhere(UPPER, 0.3), both, small, lambda _: everywhere(ARMS)) is both
