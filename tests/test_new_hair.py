"""New hair: colours from where the reference's hair is deep, and the wearer's own strands beyond it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from test_editing import PANTS, full_size, regions_of
from test_fitting import relabelled

from scmnet_cli.inference.edits.fitting import fitted
from scmnet_cli.inference.edits.new_hair import glare, inner_hair, slits_filled, strands
from scmnet_cli.inference.limb_places import torso_length
from scmnet_cli.types import Person


def test_hair_is_taken_from_where_it_is_deep_and_thin_hair_is_not_lost() -> None:
    worn = np.zeros((80, 120), bool)
    worn[10:70, 10:60] = worn[10:70, 80:86] = True
    inner = inner_hair(worn, size=120)
    assert not inner[:, 10:13].any()
    assert inner[20:60, 14:56].all()
    assert inner[20:60, 82:84].any(1).all(), "a lock of 6 pixels keeps its middle"
    assert not inner[~worn].any()


def test_the_mixed_edge_of_new_hair_does_not_arrive() -> None:
    wearer = full_size(PANTS, "wearer", {"hair": (60, 40, 30)})
    own = regions_of(wearer, "hair")
    rows = np.flatnonzero(own.any(1))
    smaller = own & (np.arange(len(own))[:, None] < rows[0] + 0.6 * len(rows))
    mixed = smaller & ~inner_hair(smaller, torso_length(wearer))
    colour = np.where(mixed[..., None], np.float32(250), np.float32(40)) * np.ones(3, np.float32)
    assert mixed.sum() > 50
    cover = smaller.astype(np.float32)
    _, pixels = fitted(wearer, "hair", (cover, colour), np.zeros(cover.shape, bool), flat=False)
    assert pixels[own].mean() < 60


def test_the_wearers_strands_show_far_from_the_references_hair_alone() -> None:
    wearer = full_size(PANTS, "wearer", {"hair": (60, 60, 60)})
    own = regions_of(wearer, "hair")
    stripes = own & (np.arange(own.shape[1]) % 8 < 4)
    image = wearer.image.copy()
    image[stripes] = 160
    wearer = Person(wearer.name, image, wearer.regions, wearer.joints)
    far, near = strands(wearer, np.full(own.shape, 1.0)), strands(wearer, np.zeros(own.shape))
    assert np.array_equal(near, np.ones_like(near))
    inside = ndimage.binary_erosion(own, iterations=3)
    assert far[inside & stripes].mean() > 1.1
    assert far[inside & ~stripes].mean() < 0.95
    assert np.array_equal(far[-40:], np.ones_like(far[-40:])), "nothing but hair changes"


def test_a_slit_between_new_hair_and_the_face_is_hair() -> None:
    wearer = full_size(PANTS, "wearer", {"hair": (60, 40, 30)})
    face = regions_of(wearer, "face")
    size = torso_length(wearer)
    columns = np.arange(face.shape[1])
    rows, right = np.flatnonzero(face.any(1)), np.flatnonzero(face.any(0))[-1]
    beside = np.zeros_like(face)
    beside[rows[0] : rows[-1] + 1] = True
    wearer = relabelled(wearer, beside & (abs(columns - right + 8) <= 8), "face")
    slit = beside & (columns > right) & (columns <= right + round(0.02 * size))
    garment = (beside & (columns > right + round(0.02 * size)) & (columns < right + 0.2 * size)).astype(np.float32)
    colour = np.where(garment[..., None] > 0, np.float32((200, 40, 40)), np.float32(0))
    wide = beside & (columns > right + 0.2 * size)
    cover, pixels = slits_filled(wearer, slit | wide, garment, colour)
    assert (cover[slit] > 0.5).mean() > 0.7
    assert (pixels[slit & (cover > 0.5)] == (200, 40, 40)).all()
    assert np.array_equal(cover[wide], garment[wide]), "hair that is gone on the other side stays gone"
    first = right + round(0.02 * size) + 1
    soft = np.where(columns == first, 0.6 * garment, garment).astype(np.float32)
    cover, _ = slits_filled(wearer, slit | wide, soft, colour)
    assert (cover[(soft > 0) & (columns == first) & slit[:, [right + 1]]] == 1).mean() > 0.7, "no skin shows in between"


def test_hair_in_the_sun_that_is_lighter_than_the_wearers_skin_is_not_taken_as_it_is() -> None:
    wearer = full_size(PANTS, "wearer", {"hair": (60, 40, 30), "face": (200, 160, 140)})
    own = regions_of(wearer, "hair")
    columns = np.arange(own.shape[1])
    right = columns > np.median(np.nonzero(own)[1]) + 0.02 * torso_length(wearer)
    colour = np.broadcast_to(np.float32((120, 80, 50)), (*own.shape, 3)).copy()
    colour[own & right] = 255
    _, pixels = fitted(wearer, "hair", (own.astype(np.float32), colour), np.zeros(own.shape, bool), flat=False)
    assert glare(wearer, colour, own)[own & right].all()
    assert np.quantile(pixels[ndimage.binary_erosion(own, iterations=2)].mean(-1), 0.95) < 180
    blond = np.full_like(colour, 250)
    assert not glare(wearer, blond, own).any(), "fair all over"
    assert not glare(wearer, colour, np.zeros_like(own)).any()
    strand = own & right & (np.arange(own.shape[0])[:, None] % 8 == 0)
    colour[strand] = 150
    assert glare(wearer, colour, own)[strand].all(), "strands between lit ones are pale"
