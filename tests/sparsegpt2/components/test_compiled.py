"""Compiled programs: they load, give their residuals and outputs, and methods find their known circuits."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from sparsegpt2 import GPT, UserError
from sparsegpt2.circuits.gates import frozen
from sparsegpt2.components import DiscoverConfig, discover, get_method
from sparsegpt2.components.problem import Problem
from sparsegpt2.components.score import auc
from sparsegpt2.interop import compiled
from sparsegpt2.model.sites import Record

HERE = Path(__file__).parent
ZERO = {"intervention": "zero"}


def worst_residual(model: GPT, examples) -> float:
    """Largest difference from the residuals of the examples."""
    worst = 0.0
    for example in examples:
        record = Record(["final.act_in"])
        model(torch.tensor([example["ids"]]), site=record)
        worst = max(worst, float((record.values["final.act_in"][0] - torch.tensor(example["residual"])).abs().max()))
    return worst


def test_residuals_and_outputs_are_the_programs(program):
    model = compiled.load(HERE / "compiled" / program.name)
    assert len(program.examples) >= 20
    assert worst_residual(model, program.examples) < 1e-5
    for example in program.examples:
        logits, outputs = model(torch.tensor([example["ids"]]))[0, 1:], example["output"][1:]
        if program.numerical:
            assert logits[:, 0].tolist() == pytest.approx(outputs, abs=1e-5)
        else:
            vocabulary = dict(zip(example["tokens"], example["ids"], strict=True))
            logit = {value: index for index, value in enumerate(program.values)} | vocabulary
            assert logits.argmax(-1).tolist() == [logit[str(output)] for output in outputs]


def test_the_true_edges_are_those_whose_ablation_alone_changes_the_output(program, true_edges):
    settings = get_method("path_patching").settings(pairs=60)
    config = DiscoverConfig(method="path_patching", objective="squared_error", **ZERO)
    found = discover(program.model, program.task(), config, settings)
    graph = found.circuits[0].graph
    assert set(graph.names(found.discovery.effects > 1e-9)) == set(true_edges)


@pytest.mark.parametrize("program", ["frac_prevs", "hist", "length", "pair_balance", "reverse"], indirect=True)
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
    assert torch.equal(lengths[0::2], lengths[1::2])
    assert set(lengths.tolist()) == {2, 3, 4, 5, 6} - ({2} if program.name == "hist" else set())  # alone, all are alike
    assert bool((batch.position >= 1).all()) and bool((batch.position < lengths).all())
    problem = Problem(program.model, task, DiscoverConfig(**ZERO), "kl")
    with frozen(program.model, torch.float32):
        trial = problem.trial("train", 10, 0)
        assert len(trial.parts) == (1 if program.model.config.causal else len(set(lengths.tolist())))
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


def test_answer_and_alternative_are_two_outputs(program):
    batch, model = program.task().batch("train", 30, seed=1), program.model
    assert bool((batch.answer != batch.alternative).all())
    for row in range(len(batch)):
        tokens = batch.tokens[row][batch.tokens[row] != program.task().padding]
        logits = model(tokens[None])[0, batch.position[row]]
        if not program.numerical:
            assert int(logits.argmax()) == batch.answer[row]
    if program.numerical:
        assert torch.equal(batch.answer[0::2], batch.alternative[1::2])


def test_examples_that_begin_differently_are_asked_from_position_0_on(program):
    examples = tuple({**example, "ids": example["ids"][1:]} for example in program.examples)
    task = dataclasses.replace(program, examples=examples).task()
    batch = task.batch("train", 40, seed=0)
    assert int(batch.position.min()) == 0 and batch.tokens.shape[1] == 5
    with pytest.raises(UserError, match="2 different tokens"):
        dataclasses.replace(program, examples=({"ids": [0, 1]},)).task()


def edit(folder, change) -> None:
    about = json.loads((folder / "model.json").read_text())
    change(about)
    (folder / "model.json").write_text(json.dumps(about))


def rewrite(folder, change) -> None:
    """Change the arrays of a folder: `change` gets them by name and returns them."""
    with np.load(folder / "weights.npz") as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(folder / "weights.npz", **change(arrays))


def without(*names):
    """All arrays but those that begin so."""
    return lambda arrays: {name: array for name, array in arrays.items() if not name.startswith(names)}


def with_a_second_head(arrays):
    """Beside each head another that reads at random and writes nothing."""
    random, changed = np.random.default_rng(0), dict(arrays)
    for layer in range(2):
        for part in ("query", "key", "value"):
            for name in (f"layer_{layer}/attn/{part}/w", f"layer_{layer}/attn/{part}/b"):
                changed[name] = np.concatenate([arrays[name], random.normal(size=arrays[name].shape)], axis=-1)
        name = f"layer_{layer}/attn/linear/w"
        changed[name] = np.concatenate([arrays[name], np.zeros_like(arrays[name])])
    return changed


@pytest.fixture
def folder(tmp_path):
    """A copy of frac_prevs to change."""
    return shutil.copytree(HERE / "compiled" / "frac_prevs", tmp_path / "changed")


def test_sublayers_without_arrays_write_nothing(folder):
    rewrite(folder, without("layer_1/mlp/", "layer_0/attn/"))  # the program uses neither
    program = compiled.read(folder)
    assert worst_residual(program.model, program.examples) < 1e-5
    rewrite(folder, without("layer_0/mlp/"))
    assert worst_residual(compiled.load(folder), program.examples) > 0.1


def test_more_heads_and_layers_that_do_nothing(folder):
    rewrite(folder, with_a_second_head)
    edit(folder, lambda about: about.update(n_head=2, n_layer=3))
    program = compiled.read(folder)
    assert program.model.config.n_head == 2 and program.model.config.n_layer == 3
    assert worst_residual(program.model, program.examples) < 1e-5


def test_the_output_is_the_variable_that_agrees_most(folder):
    def change(about) -> None:
        about["name"] = "another name"
        about["examples"][0]["output"] = ["BOS"] + [None] * (len(about["examples"][0]["ids"]) - 1)
        about["examples"][1]["output"][1] = 0.77

    edit(folder, change)
    assert compiled.read(folder).channels == (0,)
    edit(folder, lambda about: about.pop("examples"))
    with pytest.raises(UserError, match="outputs of its examples"):
        compiled.load(folder)
    edit(folder, lambda about: about.update(name="frac_prevs"))
    assert compiled.read(folder).channels == (0,)


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
        (
            lambda folder: edit(
                folder, lambda about: [e.update(output=["?" for _ in e["ids"]]) for e in about["examples"]]
            ),
            "outputs",
        ),
        (lambda folder: edit(folder, lambda about: about.update(n_layer=1)), "more layers"),
        (lambda folder: edit(folder, lambda about: about.update(activation="tanh")), "ReLU"),
        (lambda folder: edit(folder, lambda about: about.update(d_model=13)), "token_embed"),
        (lambda folder: rewrite(folder, without("layer_1/mlp/linear_2/w")), "linear_2"),
        (lambda folder: shutil.rmtree(folder), "is not a folder"),
    ],
)
def test_a_broken_folder_is_one_sentence(folder, damage, sentence):
    damage(folder)
    with pytest.raises(UserError, match=sentence) as caught:
        compiled.load(folder)
    assert "\n" not in str(caught.value)
