"""Edges of faces: detection, storage, sketches, drawings of users, the edge loss and edge F1."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_faces import CANVAS, drawn_face
from PIL import Image, ImageDraw

from scmnet_cli.edges import (
    CANNY,
    PARTS,
    Strokes,
    canny_edges,
    distance_to_edges,
    edge_maps,
    face_edges,
    redrawn,
    rescale_edges,
)  # fmt: skip
from scmnet_cli.errors import ScmError
from scmnet_cli.images import save_png
from scmnet_cli.inference.inputs.sketches import likely_kind, read_drawing
from scmnet_cli.losses.edges import edge_loss
from scmnet_cli.metrics.edge_fidelity import edge_f1
from scmnet_cli.types import Canvas, UInt8Array


def test_part_borders_are_two_pixels_wide_and_canny_edges_inside_inner_parts_are_dropped() -> None:
    image = np.full((32, 32, 3), 128, np.uint8)
    image[:, 8] = 255  # a line in part 1, and in part 2
    image[:, 24] = 255
    parts = np.ones((32, 32), np.uint8)
    parts[:, 16:] = 2
    edges = face_edges(image, parts, inner=[1])
    with_parts = (edges & PARTS) > 0
    assert with_parts[16, [15, 16]].all()
    assert not with_parts[16, [13, 14, 17, 18]].any()
    assert not with_parts[:, :14].any()
    assert with_parts[4:28, 18:].any()
    assert ((edges & CANNY) > 0)[4:28, :14].any()


def test_a_larger_photo_has_the_same_edges() -> None:
    from skimage.feature import canny

    image = drawn_face(1, 128)[0]
    larger = np.asarray(Image.fromarray(image).resize((256, 256), Image.Resampling.BICUBIC))
    edges = canny_edges(image)
    grey = np.asarray(Image.fromarray(image).convert("L"))
    assert np.array_equal(edges, canny(grey, sigma=1.0))
    halved = rescale_edges(CANNY * canny_edges(larger).astype(np.uint8), Canvas(256, 256), Canvas(128, 128)) > 0
    assert float(edge_f1(torch.tensor(halved)[None], torch.tensor(edges)[None])) > 0.97


def test_the_distance_to_edges_is_l1_and_exact() -> None:
    random = np.random.default_rng(0)
    edges = torch.from_numpy(random.random((2, 9, 13)) < 0.05)
    y, x = torch.meshgrid(torch.arange(9), torch.arange(13), indexing="ij")
    for one, distance in zip(edges, distance_to_edges(edges), strict=True):
        brute = torch.stack([(y - v).abs() + (x - u).abs() for v, u in one.nonzero().tolist()]).amin(0)
        assert torch.equal(distance, brute.float())


def test_the_maps_are_all_edges_and_the_clipped_distance_to_them() -> None:
    edges = torch.zeros(2, 32, 32, dtype=torch.uint8)
    edges[:, 5, 5] = CANNY
    edges[0, 20, 20] = PARTS
    maps = edge_maps(edges, CANVAS)
    assert maps.shape == (2, 2, 32, 32)
    assert maps[0, 0].nonzero().tolist() == [[5, 5], [20, 20]]
    assert maps[1, 0].nonzero().tolist() == [[5, 5]]
    one_step = 256 / 32 / 3 / 16
    assert maps[1, 1, 5, 6].item() == pytest.approx(one_step)
    assert maps[1, 1, 31, 31].item() == 1
    none = edge_maps(torch.zeros(1, 32, 32, dtype=torch.uint8), CANVAS)
    assert (none[0, 1] == 1).all()


def test_no_edge_is_lost_on_a_smaller_canvas() -> None:
    edges = np.zeros((64, 64), np.uint8)
    edges[33, 21], edges[3, 3] = CANNY, PARTS
    small = rescale_edges(edges, Canvas(64, 64), CANVAS)
    assert (small[16, 10], small[1, 1], np.count_nonzero(small)) == (CANNY, PARTS, 2)


def test_edges_are_redrawn_as_sketches_of_the_chosen_kind() -> None:
    edges = torch.zeros(1, 32, 32, dtype=torch.uint8)
    edges[0, 8], edges[0, 24] = CANNY, PARTS
    seeds = [(0, 1)]

    def kind(**chances: float) -> torch.Tensor:
        return redrawn(edges, replace(Strokes(0, 0, 0, 0), **chances), seeds)[0]

    assert torch.equal(kind(), edges[0])
    assert kind(sketch=1).unique().tolist() == [0, CANNY]
    assert kind(outline=1).unique().tolist() == [0, PARTS]
    thick = kind(thick=1)
    assert (thick > 0).sum() == 3 * (edges > 0).sum()
    assert thick[[7, 8, 9]].unique().tolist() == [CANNY]
    broken = kind(broken=1)
    assert 0 < (broken > 0).sum() < (edges > 0).sum()
    assert torch.equal(broken, torch.where(broken > 0, edges[0], 0))


def test_a_map_is_redrawn_alike_in_any_batch() -> None:
    edges = torch.from_numpy(np.random.default_rng(0).integers(0, 4, (5, 32, 32)).astype(np.uint8))
    strokes = Strokes(0.3, 0.3, 0.5, 0.5)
    seeds = [(0, k) for k in range(5)]
    together = redrawn(edges, strokes, seeds)
    for row in range(5):
        assert torch.equal(redrawn(edges[row : row + 1], strokes, seeds[row : row + 1])[0], together[row])


def test_edge_loss_is_zero_for_equal_images_and_counts_missing_edges_more_than_shades() -> None:
    target = torch.full((1, 3, 32, 32), -0.5)
    target[..., 16:] = 0.5
    flat = torch.zeros(1, 3, 32, 32)
    assert edge_loss(target, target, 4.0) == 0
    assert edge_loss(target + 0.2, target, 4.0) < 1e-5  # lightness alone is no edge
    assert edge_loss(flat, target, 4.0) > 3 * edge_loss(target * 0.8, target, 4.0)
    assert edge_loss(flat, target, 8.0) > edge_loss(flat, target, 1.0)


def test_gradients_of_the_edge_loss_sharpen_a_blurred_edge() -> None:
    target = torch.full((1, 3, 32, 32), -0.3)
    target[..., 16:] = 0.3
    blurred = torch.nn.functional.avg_pool2d(target, (1, 9), stride=1, padding=(0, 4), count_include_pad=False)
    image = blurred.clone().requires_grad_()
    optimizer = torch.optim.Adam([image], 0.01)
    for _ in range(40):
        optimizer.zero_grad()
        edge_loss(image, target, 4.0).backward()
        optimizer.step()
    assert edge_loss(image.detach(), target, 4.0) < 0.4 * edge_loss(blurred, target, 4.0)


def stroked(paper: int, ink: int, size: int = 96) -> UInt8Array:
    image = Image.new("RGB", (size, size), (paper,) * 3)
    ImageDraw.Draw(image).ellipse((20, 10, 76, 86), outline=(ink,) * 3, width=3)
    return np.asarray(image)


@pytest.mark.parametrize(("paper", "ink"), [(255, 0), (0, 255), (235, 70), (30, 200)])
def test_lines_are_found_dark_on_light_and_light_on_dark(tmp_path: Path, paper: int, ink: int) -> None:
    save_png(tmp_path / "drawn.png", stroked(paper, ink))
    for kind in ("edges", "sketch"):
        edges = read_drawing(tmp_path / "drawn.png", CANVAS, kind).edges
        assert edges is not None
        assert not edges[15:17, 14:18].any()  # inside the ellipse
        assert edges[16, 4:10].any()
        assert not edges[:3, :3].any()


def test_a_sketch_is_thinned_and_uneven_paper_does_not_matter(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 4, (96, 96, 1))
    shade = np.linspace(1, 0.7, 96)[None, :, None]
    save_png(tmp_path / "pencil.png", (stroked(240, 90) * shade + noise).clip(0, 255).astype(np.uint8))
    drawing = read_drawing(tmp_path / "pencil.png", CANVAS)
    assert drawing.taken_from == "sketch"
    thick = read_drawing(tmp_path / "pencil.png", CANVAS, "edges")
    assert drawing.edges is not None
    assert thick.edges is not None
    assert 30 < np.count_nonzero(drawing.edges) < np.count_nonzero(thick.edges)


def test_drawings_and_photos_are_distinguished() -> None:
    from skimage import data

    assert likely_kind(stroked(255, 0)) == "edges"
    assert likely_kind(data.astronaut()[:220, 120:340]) == "photo"
    assert likely_kind(data.camera()[..., None].repeat(3, 2)) == "photo"


def test_a_wide_drawing_is_cropped_and_a_tall_one_is_padded(tmp_path: Path) -> None:
    image = np.full((64, 128, 3), 255, np.uint8)
    image[30:34] = 0
    save_png(tmp_path / "wide.png", image)
    save_png(tmp_path / "tall.png", image.transpose(1, 0, 2))
    wide, tall = (read_drawing(tmp_path / f"{name}.png", CANVAS, "edges").edges for name in ("wide", "tall"))
    assert wide is not None
    assert tall is not None
    assert wide[15:17].all()
    assert tall[:, 15:17].all()
    assert not tall[:, :15].any()


def test_an_empty_drawing_is_a_one_line_error(tmp_path: Path) -> None:
    save_png(tmp_path / "empty.png", np.full((32, 32, 3), 250, np.uint8))
    with pytest.raises(ScmError, match=r"empty.png: shows no line, read as edges"):
        read_drawing(tmp_path / "empty.png", CANVAS, "edges")


def test_edge_f1_tolerates_one_pixel_and_falls_beyond() -> None:
    wanted = torch.zeros(1, 20, 20, dtype=torch.bool)
    wanted[0, 10, 2:18] = True
    assert edge_f1(wanted, wanted).item() == pytest.approx(1)
    assert edge_f1(wanted.roll(1, 1), wanted).item() == pytest.approx(1)
    assert edge_f1(wanted.roll(2, 1), wanted).item() == pytest.approx(0)
    half = wanted.clone()
    half[0, 10, 10:] = False
    assert edge_f1(half, wanted).item() == pytest.approx(edge_f1(wanted, half).item())
    assert 0.6 < edge_f1(half, wanted).item() < 0.75
    assert edge_f1(wanted, torch.zeros_like(wanted)).isnan().item()
