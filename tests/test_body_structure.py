"""The body structure retaining loss, Eq. 8, equals a loop."""

from __future__ import annotations

import pytest
import torch
from loss_inputs import random, whole_image_masks
from torch import Tensor

from scmnet_cli.losses.body_structure import body_graph, body_structure_loss
from scmnet_cli.regions import NUM_REGIONS, one_hot


def slow_body_graph(
    features: Tensor, masks: Tensor
) -> tuple[list[list[Tensor | None]], list[dict[tuple[int, int], float]]]:
    """Compute nodes and edges by loops over pixels in float64; the grid divides the masks exactly."""
    batch, channels, height, width = features.shape
    step_y, step_x = masks.shape[2] // height, masks.shape[3] // width
    all_nodes: list[list[Tensor | None]] = []
    all_edges = []
    for n in range(batch):
        nodes: list[Tensor | None] = []
        for region in range(masks.shape[1]):
            total, area = torch.zeros(channels, dtype=torch.float64), 0.0
            for y in range(height):
                for x in range(width):
                    cell = masks[n, region, y * step_y : (y + 1) * step_y, x * step_x : (x + 1) * step_x]
                    share = cell.double().mean().item()
                    total += share * features[n, :, y, x].double()
                    area += share
            nodes.append(total / area if area else None)
        edges = {}
        for i, a in enumerate(nodes):
            for j, b in enumerate(nodes):
                if i < j and a is not None and b is not None:
                    edges[i, j] = (a @ b / (a.norm() * b.norm())).item()
        all_nodes.append(nodes)
        all_edges.append(edges)
    return all_nodes, all_edges


def slow_body_structure_loss(generated: Tensor, target: Tensor, masks: Tensor) -> float:
    losses = []
    nodes_g, edges_g = slow_body_graph(generated, masks)
    nodes_t, edges_t = slow_body_graph(target, masks)
    for n in range(generated.shape[0]):
        node_terms = [
            (a - b).abs().mean().item()
            for a, b in zip(nodes_g[n], nodes_t[n], strict=True)
            if a is not None and b is not None
        ]
        edge_terms = [abs(edges_g[n][pair] - edges_t[n][pair]) for pair in edges_t[n]]
        losses.append(sum(node_terms) / len(node_terms) + (sum(edge_terms) / len(edge_terms) if edge_terms else 0))
    return sum(losses) / len(losses)


def some_regions_absent() -> Tensor:
    """Return masks of three images: random regions, two regions with a ragged border, a single region."""
    labels = torch.stack(
        [
            torch.randint(0, NUM_REGIONS, (16, 12), generator=torch.Generator().manual_seed(3)),
            torch.where(torch.arange(12)[None, :] > 4, 5, 2).expand(16, 12),
            torch.full((16, 12), 6),
        ]
    )
    return one_hot(labels)


def test_body_graph_equals_a_float64_loop() -> None:
    features, masks = random(3, 5, 4, 3), some_regions_absent()
    graph = body_graph(features, masks)
    nodes, edges = slow_body_graph(features, masks)
    for n in range(3):
        for i in range(NUM_REGIONS):
            node = nodes[n][i]
            assert graph.present[n, i].item() == (node is not None)
            expected = torch.zeros(5).double() if node is None else node
            torch.testing.assert_close(graph.nodes[n, i].double(), expected, rtol=1e-5, atol=1e-6)
        for (i, j), edge in edges[n].items():
            assert graph.edges[n, i, j].item() == pytest.approx(edge, abs=1e-5)


def test_body_structure_loss_equals_a_float64_loop() -> None:
    generated, target, masks = random(3, 5, 4, 3), random(3, 5, 4, 3, seed=1), some_regions_absent()
    loss = body_structure_loss(generated, target, masks)
    assert loss.item() == pytest.approx(slow_body_structure_loss(generated, target, masks), rel=1e-5)


def test_an_image_with_a_single_region_has_a_node_term_no_edge_and_finite_gradients() -> None:
    generated = random(1, 4, 4, 4).requires_grad_()
    target, masks = random(1, 4, 4, 4, seed=1), whole_image_masks(1, 16, 16, 5)
    loss = body_structure_loss(generated, target, masks)
    loss.backward()
    assert loss.item() == pytest.approx((generated - target).mean((2, 3)).abs().mean().item(), rel=1e-5)
    assert generated.grad is not None
    assert generated.grad.isfinite().all()
    assert generated.grad.abs().max() > 0


@pytest.mark.parametrize("masks", [whole_image_masks(1, 16, 16, 0), torch.zeros(1, NUM_REGIONS, 16, 16)])
def test_body_structure_of_empty_features_or_without_regions_has_finite_gradients(masks: Tensor) -> None:
    generated = torch.zeros(1, 4, 4, 4, requires_grad=True)
    loss = body_structure_loss(generated, torch.zeros(1, 4, 4, 4), masks)
    loss.backward()
    assert loss.item() == 0
    assert generated.grad is not None
    assert generated.grad.isfinite().all()


def test_body_structure_loss_ignores_absent_regions_and_the_layout_inside_a_region() -> None:
    generated, target = random(1, 4, 4, 4), random(1, 4, 4, 4, seed=1)
    masks = one_hot(torch.where(torch.arange(16) < 8, 1, 5).expand(1, 16, 16))
    moved_inside = generated[:, :, [3, 2, 1, 0]]
    torch.testing.assert_close(
        body_structure_loss(moved_inside, target, masks), body_structure_loss(generated, target, masks)
    )
    renamed = masks[:, [0, 2, 1, 3, 4, 6, 5, 7]]
    torch.testing.assert_close(
        body_structure_loss(generated, target, renamed), body_structure_loss(generated, target, masks)
    )
