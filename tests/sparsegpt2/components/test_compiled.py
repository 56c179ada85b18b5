"""Compiled programs: they load, give their residuals and outputs, and methods find their known circuits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from sparsegpt2 import UserError
from sparsegpt2.circuits.gates import frozen
from sparsegpt2.components import DiscoverConfig, discover, get_method
from sparsegpt2.components.problem import Problem
from sparsegpt2.components.score import auc
from sparsegpt2.interop import compiled
from sparsegpt2.model.sites import Record

HERE = Path(__file__).parent
ZERO = {"intervention": "zero"}


def test_residuals_and_outputs_are_the_programs(program):
    model = compiled.load(HERE / "compiled" / program.name)
    assert len(program.examples) == 50
    for example in program.examples:
        record = Record(["final.act_in"])
        logits = model(torch.tensor([example["ids"]]), site=record)[0]
        residual = torch.tensor(example["residual"])
        assert (record.values["final.act_in"][0] - residual).abs().max() < 1e-5
        outputs = example["output"][1:]
        if program.numerical:
            assert logits[1:, 0].tolist() == pytest.approx(outputs, abs=1e-5)
        else:
            vocabulary = dict(zip(example["tokens"], example["ids"], strict=True))
            best = logits[1:].argmax(-1).tolist()
            assert best == [vocabulary[token] for token in outputs]


def test_the_true_edges_are_those_whose_ablation_alone_changes_the_output(program, true_edges):
    settings = get_method("path_patching").settings(pairs=60)
    config = DiscoverConfig(method="path_patching", objective="squared_error", **ZERO)
    found = discover(program.model, program.task(), config, settings)
    graph = found.circuits[0].graph
    assert set(graph.names(found.discovery.effects > 1e-9)) == set(true_edges)


def test_edge_pruning_recovers_the_true_edges_exactly(program, true_edges):
    graph = Problem(program.model, program.task(), DiscoverConfig(**ZERO), "kl").graph
    sparsity = 1 - len(true_edges) / graph.n_edges
    config = DiscoverConfig(sparsities=(round(sparsity, 2),), **ZERO)
    settings = get_method("edge_pruning").settings(pairs=5, batches=8)
    found = discover(program.model, program.task(), config, settings)
    truth = graph.mask(true_edges)
    assert found.circuits[0].trimmed(from_inputs=False).edges == graph.names(truth)
    assert auc(graph.flat(found.discovery.scores), graph.flat(truth)) == 1


def test_prompts_are_pairs_of_one_length_with_different_outputs(program):
    task = program.task()
    batch = task.batch("train", 10, seed=0)
    lengths = (batch.tokens != task.padding).sum(dim=1)
    assert torch.equal(lengths[0::2], lengths[1::2]) and sorted(set(lengths.tolist())) == [2, 3, 4, 5, 6]
    assert bool((batch.position >= 1).all()) and bool((batch.position < lengths).all())
    problem = Problem(program.model, task, DiscoverConfig(**ZERO), "kl")
    with frozen(program.model, torch.float32):
        trial = problem.trial("train", 10, 0)
        assert len(trial.parts) == 5
        everything = problem.logits(trial, problem.everything()[None])[0]
    assert torch.equal(everything, trial.full)
    assert torch.equal(task.batch("train", 4, 0).tokens, batch.tokens[:8])
    with pytest.raises(UserError, match="no split"):
        task.batch("holiday", 1, 0)


def test_splits_share_no_long_sequence(program):
    task = program.task()
    seen = [
        {tuple(row.tolist()) for row in task.batch(split, 100, 0).tokens if int((row != task.padding).sum()) == 6}
        for split in ("train", "validation", "test")
    ]
    assert all(seen) and not seen[0] & seen[1] and not seen[0] & seen[2] and not seen[1] & seen[2]


def edit(folder, change) -> None:
    about = json.loads((folder / "model.json").read_text())
    change(about)
    (folder / "model.json").write_text(json.dumps(about))


def without_an_array(folder) -> None:
    with np.load(folder / "weights.npz") as file:
        arrays = {name: file[name] for name in file.files if name != "layer_1/mlp/linear_2/w"}
    np.savez(folder / "weights.npz", **arrays)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda folder: (folder / "weights.npz").unlink(), "do not exist"),
        (lambda folder: (folder / "weights.npz").write_bytes(b"PK\x03\x04 no archive"), "not a readable"),
        (lambda folder: (folder / "model.json").write_text("{"), "not valid JSON"),
        (lambda folder: edit(folder, lambda about: about.pop("d_head")), "d_head"),
        (lambda folder: edit(folder, lambda about: about.update(d_mlp=2)), "linear_1"),
        (lambda folder: edit(folder, lambda about: about.update(norm="layer")), "no norm"),
        (lambda folder: edit(folder, lambda about: about.update(attention_scale="1")), "scaled by"),
        (lambda folder: edit(folder, lambda about: about["examples"][0].update(output=["BOS"] + ["?"] * 5)), "outputs"),
        (without_an_array, "linear_2"),
        (lambda folder: shutil.rmtree(folder), "no folder"),
    ],
)
def test_a_broken_folder_is_one_sentence(tmp_path, damage, sentence):
    folder = tmp_path / "broken"
    shutil.copytree(HERE / "compiled" / "frac_prevs", folder)
    damage(folder)
    with pytest.raises(UserError, match=sentence) as caught:
        compiled.load(folder)
    assert "\n" not in str(caught.value)
