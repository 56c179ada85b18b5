"""A model under every kind of ablation, against one prompt after the other with each node set by hand."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import sparsegpt2
from sparsegpt2 import GPT, UserError
from sparsegpt2.circuits import Ablated, Circuit
from sparsegpt2.circuits.ablations import Behind, Resample, mean_ablation, zero_ablation
from sparsegpt2.circuits.calibrate import Calibration
from sparsegpt2.circuits.circuit import every_node
from sparsegpt2.circuits.task import TaskBatch
from sparsegpt2.model.sites import Record, node_sites

Value = Callable[[str, Tensor, int], Tensor]
"""(site, x [1, T, C], row of the batch) -> what an ablated node there takes, [T, C] or [C]."""


def loss_by_hand(logits: Tensor, answer: int, alternative: int) -> float:
    """-log p of the right choice, from logits [V] in float64; -1 stands for every token but the other choice."""
    p = logits.double().softmax(0)
    right = p[answer] if answer >= 0 else 1 - p[alternative]
    wrong = p[alternative] if alternative >= 0 else 1 - p[answer]
    return float(-(right / (right + wrong)).log())


def by_hand(model: GPT, batch: TaskBatch, mask_of_row: Callable[[int], dict[str, Tensor]], value: Value) -> Tensor:
    """Losses [B] of each prompt alone, without padding, by the plain forward over all positions."""
    losses = []
    for row in range(len(batch)):
        length, kept = int(batch.position[row]) + 1, mask_of_row(row)

        def site(name: str, x: Tensor, row: int = row, kept: dict[str, Tensor] = kept) -> Tensor:
            if name not in kept:
                return x
            m = kept[name].float()
            return m * x + (1 - m) * value(name, x, row)

        logits = model(batch.tokens[row : row + 1, :length], site=site)[0, -1]
        losses.append(loss_by_hand(logits, int(batch.answer[row]), int(batch.alternative[row])))
    return torch.tensor(losses)


@pytest.fixture
def batch(planted: Any) -> TaskBatch:
    made: TaskBatch = planted.task.batch("test", 6, 3)
    return made


def random_masks(model: GPT, share: float, seed: int, count: int = 0) -> dict[str, Tensor]:
    """Site -> bool [C], or [count, C]."""
    generator = torch.Generator().manual_seed(seed)
    shape = (count,) if count else ()
    return {
        site: torch.rand(*shape, width, generator=generator) < share for site, width in node_sites(model.config).items()
    }


def means(model: GPT) -> Value:
    return lambda name, _x, _row: (model.means or {})[name]


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found.float(), expected.float(), rtol=2e-4, atol=2e-5)


def test_without_a_circuit_it_is_the_whole_model(random_model: GPT, batch: TaskBatch) -> None:
    random_model.means = None  # nobody needs them
    close(Ablated(random_model).losses(batch), by_hand(random_model, batch, lambda _: {}, means(random_model)))


@pytest.mark.parametrize("rows", [None, 2, 5, 256])
@pytest.mark.parametrize("live", [False, True])
def test_mean_ablation(random_model: GPT, batch: TaskBatch, rows: int | None, live: bool) -> None:
    nodes = random_masks(random_model, 0.6, 0)
    expected = by_hand(random_model, batch, lambda _: nodes, means(random_model))
    ablated = Ablated(random_model, Circuit(nodes)) if live else Ablated(random_model, nodes)
    assert (ablated.reduction is not None) == live
    close(ablated.losses(batch, rows), expected)
    assert float((expected - Ablated(random_model).losses(batch)).abs().max()) > 0.05
    logits = ablated.logits(batch, rows)
    assert logits.shape == (12, random_model.config.vocab_size) and logits.dtype == torch.float32
    torch.testing.assert_close(
        ablated.losses(batch),
        torch.nn.functional.cross_entropy(
            torch.stack([logits[torch.arange(12), batch.alternative], logits[torch.arange(12), batch.answer]], dim=1),
            torch.ones(12, dtype=torch.int64),
            reduction="none",
        ),
    )


def test_zero_ablation(random_model: GPT, batch: TaskBatch) -> None:
    nodes = random_masks(random_model, 0.6, 1)
    expected = by_hand(random_model, batch, lambda _: nodes, lambda _name, x, _row: torch.zeros_like(x))
    for ablated in (
        Ablated(random_model, nodes, ablation=zero_ablation(random_model)),
        Ablated(random_model, Circuit(nodes), ablation=zero_ablation(random_model)),
    ):
        close(ablated.losses(batch), expected)


def test_resampling(random_model: GPT, batch: TaskBatch) -> None:
    """The windows drawn are those of the same generator, piece after piece in order of length."""
    nodes = random_masks(random_model, 0.6, 2)
    text = torch.randint(random_model.config.vocab_size, (5, 8), generator=torch.Generator().manual_seed(7))
    ablation = Resample(random_model, text, torch.Generator().manual_seed(4))
    found = Ablated(random_model, nodes, ablation=ablation).losses(batch, rows=4)
    generator = torch.Generator().manual_seed(4)
    torch.randint(5, (1,), generator=generator), torch.randint(8, (1,), generator=generator)  # of the edges' token
    values: dict[int, dict[str, Tensor]] = {}
    for rows, _ in batch.by_length(4):
        for row, window in zip(rows.tolist(), torch.randint(5, (len(rows),), generator=generator), strict=True):
            record = Record()
            random_model(text[window][None], site=record)
            values[row] = record.values
    close(found, by_hand(random_model, batch, lambda _: nodes, lambda name, x, row: values[row][name][0, : x.shape[1]]))
    again = Ablated(random_model, nodes, ablation=Resample(random_model, text, torch.Generator().manual_seed(4)))
    assert torch.equal(again.losses(batch, rows=4), found)


def test_a_removed_edge_carries_one_token_under_resampling(random_model: GPT) -> None:
    text = torch.randint(random_model.config.vocab_size, (5, 8), generator=torch.Generator().manual_seed(7))
    generator = torch.Generator().manual_seed(9)
    carried = Resample(random_model, text, torch.Generator().manual_seed(9)).edge_values()
    window, place = (int(torch.randint(size, (1,), generator=generator)) for size in (5, 8))
    record = Record()
    random_model(text[window][None], site=record)
    for site, value in carried.items():
        torch.testing.assert_close(value, record.values[site][0, place], rtol=1e-4, atol=1e-5)


def test_partial_ablation_is_a_mask_for_each_row(random_model: GPT, batch: TaskBatch) -> None:
    masks = random_masks(random_model, 0.7, 3, count=len(batch))
    owner = torch.arange(len(batch)).flip(0)
    expected = by_hand(
        random_model, batch, lambda row: {site: mask[owner[row]] for site, mask in masks.items()}, means(random_model)
    )
    base = Ablated(random_model, every_node(random_model))
    close(base.under(masks, owner=owner).losses(batch, rows=4), expected)
    reduced = Ablated(random_model, every_node(random_model), live=every_node(random_model))
    close(reduced.under(masks, owner=owner).losses(batch), expected)


@pytest.mark.parametrize("rows", [12, 30, 256])
def test_several_masks_for_every_row(random_model: GPT, batch: TaskBatch, rows: int) -> None:
    masks = random_masks(random_model, 0.7, 4, count=5)
    expected = torch.stack(
        [
            by_hand(random_model, batch, lambda _, i=i: {s: m[i] for s, m in masks.items()}, means(random_model))
            for i in range(5)
        ]
    )
    ablated = Ablated(random_model, masks)
    close(ablated.losses(batch, rows), expected)
    assert ablated.logits(batch, rows).shape == (5, 12, random_model.config.vocab_size)


def test_float_gates_have_the_gradient_of_the_loss(random_model: GPT, batch: TaskBatch) -> None:
    """As the adversary and the pruners use them: fractional gates, by finite differences."""
    gates = {site: torch.full((width,), 0.8) for site, width in node_sites(random_model.config).items()}
    ablation = mean_ablation(random_model)
    leaves = {site: gate.clone().requires_grad_(True) for site, gate in gates.items()}
    base = Ablated(random_model, every_node(random_model), ablation=ablation)
    with torch.enable_grad():
        base.under(leaves).losses(batch, rows=4).mean().backward()
    for site in ("0.attn.v", "0.mlp.post_act", "1.attn.q", "1.mlp.resid_delta"):
        gradient = leaves[site].grad
        assert gradient is not None
        channel = int(gradient.abs().argmax())
        losses = []
        for step in (1e-2, -1e-2):
            moved = {**gates, site: gates[site].index_add(0, torch.tensor([channel]), torch.tensor([step]))}
            losses.append(float(by_hand(random_model, batch, lambda _, m=moved: m, means(random_model)).mean()))
        assert float(gradient[channel]) == pytest.approx((losses[0] - losses[1]) / 2e-2, rel=0.05, abs=1e-5)
    assert not any(parameter.requires_grad for parameter in random_model.parameters())


def test_a_mask_over_weights_ablates_edges(random_model: GPT, batch: TaskBatch) -> None:
    """Against the forward with one linear map spelled out: W masked, and what is masked carries the source's mean."""
    name, source = "blocks.1.mlp.c_fc", "1.mlp.act_in"
    kept = torch.rand(12, 8, generator=torch.Generator().manual_seed(5)) < 0.5
    layer = random_model.blocks[1].mlp.c_fc
    mean = (random_model.means or {})[source]
    found = Ablated(random_model, Circuit(every_node(random_model), weights={f"{name}.weight": kept})).losses(batch)
    weight, bias = layer.weight.clone(), layer.bias.clone()
    layer.bias.copy_(bias + (weight * ~kept) @ mean)
    layer.weight.copy_(weight * kept)
    expected = by_hand(random_model, batch, lambda _: {}, means(random_model))
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)
    close(found, expected)


def test_a_site_object_sees_what_is_left_or_what_comes_first(random_model: GPT, batch: TaskBatch) -> None:
    nodes = random_masks(random_model, 0.5, 6)
    after, before = Record(), Record()
    Ablated(random_model, nodes, through=after).logits(batch, rows=None)
    Ablated(random_model, nodes, ablation=Behind(before, mean_ablation(random_model))).logits(batch, rows=None)
    site = "0.mlp.post_act"
    gone = ~nodes[site]
    torch.testing.assert_close(
        after.values[site][..., gone],
        (random_model.means or {})[site][gone].expand(12, after.values[site].shape[1], -1),
    )
    assert float(before.values[site][..., gone].std(dim=(0, 1)).max()) > 1e-3
    assert torch.equal(before.values[site][..., nodes[site]], after.values[site][..., nodes[site]])


def test_a_calibration_is_applied(random_model: GPT, batch: TaskBatch) -> None:
    calibration = Calibration(scale=0.5, shifts={7: 2.0})
    plain = Ablated(random_model).logits(batch)
    expected = 0.5 * plain
    expected[:, 7] += 2
    torch.testing.assert_close(Ablated(random_model, calibration=calibration).logits(batch), expected)


def test_means_are_checked_once(random_model: GPT, batch: TaskBatch) -> None:
    nodes = random_masks(random_model, 0.5, 6)
    ablated = Ablated(random_model, nodes)
    assert random_model.means is not None
    random_model.means["1.attn.k"][0] = math.nan
    ablated.under(nodes).losses(batch)  # no look at them again
    with pytest.raises(UserError, match=r"node means of the model at 1\.attn\.k are not finite"):
        Ablated(random_model, nodes)
    random_model.means = None
    with pytest.raises(UserError, match="no node means"):
        Ablated(random_model, Circuit(nodes))


def test_what_cannot_be_done_is_said(random_model: GPT, batch: TaskBatch) -> None:
    nodes = random_masks(random_model, 0.5, 6)
    text = torch.zeros(2, 8, dtype=torch.int64)
    with pytest.raises(UserError, match="only if the ablation sets them to constants"):
        Ablated(random_model, nodes, live=nodes, ablation=Resample(random_model, text, torch.Generator()))
    with pytest.raises(UserError, match="mask over weights cannot change"):
        Ablated(random_model, Circuit(nodes)).under(nodes, weights={})


def test_the_model_is_left_as_it_was(random_model: GPT, batch: TaskBatch) -> None:
    random_model.requires_grad_(True)
    before = {name: parameter.clone() for name, parameter in random_model.named_parameters()}
    for _ in Ablated(random_model, every_node(random_model), dtype=torch.bfloat16).each(batch, 4):
        break  # abandoned in the middle
    assert random_model.compute_dtype == torch.float32
    for name, parameter in random_model.named_parameters():
        assert torch.equal(parameter, before[name]) and parameter.requires_grad


def test_the_loop_over_pieces_of_a_batch_stands_once() -> None:
    root, calls = Path(sparsegpt2.__file__).parent.parent, []
    for package in ("sparsegpt2", "eval_tasks", "studies", "benchmarks"):
        for path in (root / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute) and node.attr == "by_length":
                    calls.append(path.name)
    assert calls == ["ablated.py"]
