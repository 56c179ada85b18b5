"""Interventions on edges: all, none and one of them, every kind of ablation, with and without AbsTopK."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sparsegpt2 import UserError
from sparsegpt2.circuits.task import TaskBatch
from sparsegpt2.components import DiscoverConfig
from sparsegpt2.components.counterfactual import (
    INTERVENTIONS,
    counterfactual,
    other_sides,
    record,
    resampled_rows,
    writer_means,
)  # fmt: skip
from sparsegpt2.components.problem import Problem
from sparsegpt2.components.streams import EdgeMix, writer_outputs
from sparsegpt2.interop.compiled import read
from sparsegpt2.model.sites import Record

ABS_TOPK = {"activation_density": 0.5}


def nothing(problem: Problem) -> torch.Tensor:
    return torch.zeros_like(problem.everything())


@pytest.mark.parametrize("options", [{}, {"positions": "learned", "norm": "layer", "sink": False}, {"causal": False}])
def test_patching_every_edge_gives_the_corrupted_run_and_none_the_clean_one_bit_for_bit(
    make_model, make_problem, options
):
    model = make_model(**options)
    problem = make_problem(model)
    if not model.config.causal:
        problem.task.padding = None
    with torch.no_grad():
        trial = problem.trial("train", 4, 0)
        batch = trial.batch
        corrupted = model(other_sides(batch), position=batch.position)
        none, every = problem.logits(trial, torch.stack([problem.everything(), nothing(problem)]))
    assert torch.equal(none, trial.full) and torch.equal(none, model(batch.tokens, position=batch.position))
    assert torch.equal(every, corrupted)
    assert not torch.allclose(none, every, atol=1e-3)


def test_with_abs_topk_up_to_rounding(make_model, make_problem):
    model = make_model(**ABS_TOPK)
    problem = make_problem(model)
    with torch.no_grad():
        trial = problem.trial("train", 4, 0)
        none, every = problem.logits(trial, torch.stack([problem.everything(), nothing(problem)]))
        assert torch.equal(none, trial.full)
        assert torch.allclose(every, model(other_sides(trial.batch), position=trial.batch.position), atol=1e-4)


@pytest.mark.parametrize("options", [{}, ABS_TOPK])
@pytest.mark.parametrize("intervention", INTERVENTIONS)
def test_a_mix_is_the_sum_over_writers(make_model, make_problem, options, intervention):
    """What the last MLP reads is, writer by writer, the own or the other run's output, and the bias of c_proj."""
    model = make_model(**options)
    problem = make_problem(model, intervention=intervention)
    trial = problem.trial("train", 3, 0)
    part, reader = trial.parts[0], problem.graph.reader_index["m1"]
    generator = torch.Generator().manual_seed(0)
    kept = problem.everything()
    kept[:, reader] *= torch.rand(len(kept), generator=generator)
    with torch.no_grad():
        mix = EdgeMix(model, problem.graph, kept, part.other)
        seen = {}
        mix.read, original = (lambda name, x: seen.setdefault(name, original(name, x))), mix.read
        model(part.batch.tokens, position=part.batch.position, streams=mix)
        own = dict(writer_outputs(model, record(model, part.batch.tokens)))
        expected = torch.zeros_like(seen["m1"])
        other = other_outputs(model, problem, trial)
        for writer in range(problem.graph.block_writers["a1"].stop):
            share = kept[writer, reader]
            expected += share * own[writer] + (1 - share) * other[writer]
        bias = [block.attn.c_proj.bias for block in model.layers]
        recorder = Record(["0.attn.resid_delta", "1.attn.resid_delta"])
        model(part.batch.tokens, site=recorder)
        for layer in range(2):
            delta = recorder.values[f"{layer}.attn.resid_delta"]
            expected += bias[layer] * (delta != 0 if options else 1)
    assert torch.allclose(seen["m1"], expected, atol=1e-5)


def other_outputs(model, problem, trial) -> dict[int, torch.Tensor]:
    """Counterfactual outputs worked out another way than `EdgeMix` does."""
    batch, kind = trial.batch, problem.config.intervention
    if kind in ("interchange", "resample"):
        tokens = other_sides(batch) if kind == "interchange" else batch.tokens[resampled_rows(batch, 0)]
        return dict(writer_outputs(model, record(model, tokens)))
    outputs = dict(writer_outputs(model, record(model, batch.tokens)))
    if kind == "zero":
        return {writer: torch.zeros_like(output) for writer, output in outputs.items()}
    reference = problem._batches("train", 128, 0)[0]
    inside = torch.arange(reference.tokens.shape[1]) <= reference.position[:, None]
    run = record(model, reference.tokens)
    return {writer: output[inside].mean(dim=0) for writer, output in writer_outputs(model, run)}


def test_one_edge_patched_leaves_every_other_reader_alone(make_model, make_problem):
    """Zero-ablating m0→m1 equals taking m0's output out of what the second MLP reads, and nothing else."""
    model = make_model()
    problem = make_problem(model, intervention="zero")
    trial = problem.trial("train", 3, 0)
    kept = problem.everything() - problem.graph.mask(["m0→m1"]).float()
    patched = problem.logits(trial, kept[None])[0]
    recorder = Record(["embed", "0.attn.resid_delta", "1.attn.resid_delta", "1.attn.resid_post"])
    model(trial.batch.tokens, site=recorder)
    by_name = recorder.values
    without = by_name["embed"] + by_name["0.attn.resid_delta"] + by_name["1.attn.resid_delta"]
    stream = by_name["1.attn.resid_post"]
    mlp = model.layers[1].mlp
    written = mlp(without, None, None, torch.float32) - without
    logits = model.logits(stream + written, trial.batch.tokens)
    rows = torch.arange(len(trial))
    assert torch.allclose(patched, logits[rows, trial.batch.position], atol=1e-4)


def test_several_masks_at_once_are_those_masks_one_by_one(make_model, make_problem):
    problem = make_problem(make_model())
    trial = problem.trial("train", 3, 0)
    masks = torch.rand(4, *problem.everything().shape, generator=torch.Generator().manual_seed(0))
    together = problem.logits(trial, masks)
    alone = torch.stack([problem.logits(trial, mask[None])[0] for mask in masks])
    assert torch.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("intervention", ["interchange", "mean"])
@pytest.mark.parametrize("options", [{}, ABS_TOPK])
def test_a_mask_for_each_row_is_those_masks_row_by_row(make_model, make_problem, options, intervention):
    problem = make_problem(make_model(**options), intervention=intervention)
    check_masks_by_row(problem)


def test_masks_by_row_follow_their_rows_into_batches_of_one_length():
    program = read(Path(__file__).parent / "compiled" / "hist")  # looks both ways
    problem = Problem(program.model, program.task(), DiscoverConfig(intervention="zero"), "kl")
    assert len(problem.trial("train", 6, 0).parts) > 1
    check_masks_by_row(problem)


def check_masks_by_row(problem: Problem) -> None:
    trial = problem.trial("train", 6, 0)
    masks = torch.rand(len(trial), *problem.everything().shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        together = problem.logits(trial, masks[None])[0]
        alone = torch.stack([problem.logits(trial, mask[None])[0, row] for row, mask in enumerate(masks)])
        same = problem.logits(trial, masks[:1])[0]
    assert torch.allclose(together, alone, atol=1e-5)
    assert not torch.allclose(together, same, atol=1e-3)


def test_means_leave_out_padding(make_model):
    model = make_model()
    tokens = torch.tensor([[0, 1, 2, 9, 9], [0, 3, 4, 5, 6]])
    means = writer_means(model, [(tokens, torch.tensor([2, 4]))])
    expected = torch.cat([model.wte.weight[[0, 1, 2]], model.wte.weight[[0, 3, 4, 5, 6]]]).mean(dim=0)
    assert torch.allclose(means["emb"], expected, atol=1e-6)


def test_resampling_takes_another_pair_of_the_same_length(task):
    batch = task.batch("train", 24, 0)
    rows = resampled_rows(batch, seed=3)
    assert bool((rows // 2 != torch.arange(48) // 2).all())
    assert (batch.position[rows] == batch.position).float().mean() > 0.9
    assert torch.equal(rows, resampled_rows(batch, seed=3)) and not torch.equal(rows, resampled_rows(batch, seed=4))


def test_bad_pairs_are_one_sentence(make_model):
    model, answer = make_model(), torch.tensor([1, 2])
    uneven = TaskBatch(
        tokens=torch.zeros(2, 4, dtype=torch.int64),
        position=torch.tensor([2, 3]),
        answer=answer,
        alternative=answer.flip(0),
    )
    with pytest.raises(UserError, match="same number of tokens"):
        counterfactual(model, uneven, "interchange")
    with pytest.raises(UserError, match="at least 2 pairs"):
        counterfactual(model, uneven, "resample")
    with pytest.raises(UserError, match="intervention must be"):
        counterfactual(model, uneven, "noise")
