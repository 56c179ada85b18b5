"""Gather everything that a page shows of one circuit, using the model, the task and corpus text."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sparsegpt2.circuits import Circuit, Task
from sparsegpt2.circuits.edges import edge_maps, parameter_and_bias
from sparsegpt2.circuits.losses import task_batch
from sparsegpt2.circuits.task import TaskBatch
from sparsegpt2.config import to_dict
from sparsegpt2.files import read_json
from sparsegpt2.model.gpt import GPT
from sparsegpt2.progress import Progress
from sparsegpt2.text.tokenizer import Tokenizer
from sparsegpt2.viewer.activations import Text, node_activations
from sparsegpt2.viewer.attention import attention_patterns, head_of
from sparsegpt2.viewer.config import ViewConfig
from sparsegpt2.viewer.effects import ablation_effects
from sparsegpt2.viewer.examples import example_pairs, first_pairs, task_scores
from sparsegpt2.viewer.graph import (
    Shown,
    excited_by,
    graph_edges,
    hidden_part,
    raises,
    residual_lanes,
    short,
    shown_nodes,
)
from sparsegpt2.viewer.schema import Activations, CircuitData, NodeData, Patterns, TaskData

SPLIT = "validation"
"""Split of the pairs that are shown. Test pairs are used only for the losses and accuracies."""


@dataclass(frozen=True, kw_only=True)
class Viewed:
    """The model and tokenizer of the circuit that is viewed and, if they are known, its task and corpus text."""

    model: GPT
    name: str
    """Name of the model, for titles."""
    tokenizer: Tokenizer
    task: Task | None = None
    """The task posed with `tokenizer`; None: nothing about the task is shown."""
    corpus: Tensor | None = None
    """Corpus text, N windows of T tokens, int64 [N, T]; None: no activations on the corpus are shown."""
    corpus_name: str = ""
    """Description of the corpus text, for the page."""


def circuit_data(
    circuit: Circuit,
    subject: Viewed,
    config: ViewConfig | None = None,
    *,
    file: str | Path = "",
    evidence: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> CircuitData:
    """Gather what a page shows of one circuit.

    file: path of the circuit's file, as the page shows it. evidence: name of a report on the circuit -> its content. It
    is used only if the circuit's own info has no report. `UserError` if the circuit belongs to another model, or if the
    task's prompts are too long for the model.
    """
    config, model, tokenizer = config or ViewConfig(), subject.model, subject.tokenizer
    circuit.check(model)
    shown = shown_nodes(circuit, model, config.max_nodes)
    edges = graph_edges(circuit, model, shown, config.max_edges)
    batch = None if subject.task is None else task_batch(model, subject.task, SPLIT, config.pairs, config.seed)
    effects = None
    if batch is not None and shown.nodes and config.effect_pairs:
        effects = ablation_effects(model, circuit, first_pairs(batch, config.effect_pairs), shown, progress)
    texts = _texts(subject, batch, config) if shown.nodes else {}
    activations: dict[str, list[Activations]] = {
        name: node_activations(
            model, text, shown, batch_size=config.batch_size, seed=config.seed, progress=progress, what=name
        )
        for name, text in texts.items()
    }
    task = None if batch is None else _task(circuit, subject, config, batch, shown)
    rows = {name: text.rows() for name, text in texts.items()}
    info = circuit.info
    return {
        "name": circuit_name(circuit, subject.name),
        "file": str(file),
        "facts": _facts(circuit, subject),
        "config": to_dict(model.config),
        "nodes": _nodes(subject, shown, effects, activations),
        "edges": edges,
        "lanes": residual_lanes(model, shown),
        "hidden": hidden_part(circuit, model, shown, edges, config),
        "texts": _token_texts(tokenizer, rows, task),
        "rows": rows,
        "sources": _sources(subject, texts),
        "task": task,
        "curve": [[short(value) for value in point] for point in info.curve or []],
        "chosen": _chosen(circuit, model),
        "target": info.target_loss,
        "evidence": (info.evidence and {"evidence": info.evidence}) or evidence or {},
    }


def circuit_name(circuit: Circuit, model_name: str) -> str:
    """The title of a circuit, such as `fstring_brace in sparse-256 (node pruner, seed 0, target 0.15)`.

    It is also the key under which the circuit's notes are stored (`notes.py`).
    """
    info = circuit.info
    details = [
        "" if info.pruner is None else f"{info.pruner} pruner",
        "" if info.seed is None else f"seed {info.seed}",
        "" if info.target_loss is None else f"target {info.target_loss:g}",
    ]
    listed = ", ".join(filter(None, details))
    return f"{info.task or 'circuit'} in {model_name}" + (f" ({listed})" if listed else "")


def evidence_beside(path: str | Path) -> dict[str, Any]:
    """File name -> content, for each report next to a circuit's file.

    The reports on `c.json` are the JSON files in its folder whose names start with `c.` or `c-`.
    """
    path = Path(path)
    return {
        file.name: read_json(file, "report")
        for file in sorted(path.parent.glob("*.json"))
        if file != path and file.name.startswith((f"{path.stem}.", f"{path.stem}-"))
    }


def _texts(subject: Viewed, batch: TaskBatch | None, config: ViewConfig) -> dict[str, Text]:
    """The texts on which activations are shown, as far as available: windows of the corpus, and prompts of the task."""
    texts = {}
    if subject.corpus is not None and config.windows:
        tokens = subject.corpus[: config.windows]
        texts["corpus"] = Text(tokens, torch.full((len(tokens),), tokens.shape[1]))
    if batch is not None and config.windows:
        prompts = first_pairs(batch, len(batch) // 2)
        texts["task"] = Text(prompts.tokens.cpu(), prompts.position.cpu() + 1)
    return texts


def _sources(subject: Viewed, texts: dict[str, Text]) -> dict[str, str]:
    """A description of each text: its number of rows and tokens, and where it is from."""
    words = {}
    for name, text in texts.items():
        count, tokens = len(text.tokens), int(text.lengths.sum())
        what = subject.corpus_name if name == "corpus" else f"{SPLIT} prompts of the task"
        words[name] = f"{count:,} rows, {tokens:,} tokens: {what}"
    return words


def _nodes(
    subject: Viewed,
    shown: Shown,
    effects: tuple[list[float], list[float]] | None,
    activations: dict[str, list[Activations]],
) -> list[NodeData]:
    model, tokenizer = subject.model, subject.tokenizer
    biases = {}
    for edge_map in edge_maps(model):
        _, bias = parameter_and_bias(model, edge_map)
        if bias is not None:
            biases[edge_map.target] = bias[edge_map.rows]
    means = model.means or {}
    return [
        {
            "id": f"{site}.{channel}",
            "site": site,
            "channel": channel,
            "head": head_of(model, site, channel),
            "bias": short(float(biases[site][channel])) if site in biases else None,
            "mean": short(float(means[site][channel])) if site in means else None,
            "effect": None if effects is None else short(effects[0][place]),
            "effect_full": None if effects is None else short(effects[1][place]),
            "excited_by": excited_by(model, tokenizer, site, channel),
            "raises": raises(model, tokenizer, site, channel),
            "activations": {name: of_nodes[place] for name, of_nodes in activations.items()},
        }
        for place, (site, channel) in enumerate(shown.nodes)
    ]


def _task(circuit: Circuit, subject: Viewed, config: ViewConfig, batch: TaskBatch, shown: Shown) -> TaskData:
    assert subject.task is not None
    model, examples = subject.model, first_pairs(batch, min(config.examples, len(batch) // 2))
    patterns: Patterns = {"pairs": 0, "heads": {}, "left_out": []}
    if config.pattern_bytes:
        patterns = attention_patterns(model, circuit, examples, shown, limit=config.pattern_bytes)
    return {
        "name": subject.task.name,
        "pairs": example_pairs(model, circuit, examples, subject.tokenizer),
        "split": SPLIT,
        "scores": task_scores(model, subject.task, circuit, split="test", pairs=config.score_pairs, seed=config.seed),
        "patterns": patterns,
    }


def _token_texts(tokenizer: Tokenizer, rows: dict[str, list[list[int]]], task: TaskData | None) -> dict[str, str]:
    """Token id -> text, for every token in `rows` or in an example prompt."""
    used = {id for of_source in rows.values() for row in of_source for id in row}
    for pair in task["pairs"] if task else []:
        used.update(id for side in pair for id in side["tokens"])
    return {str(id): tokenizer.token(id) for id in sorted(used)}


def _chosen(circuit: Circuit, model: GPT) -> list[float] | None:
    """[nodes, edges, validation loss] of the circuit; None if its validation loss is not recorded."""
    loss = circuit.info.validation_loss
    return None if loss is None else [circuit.n_nodes, circuit.edges(model), short(loss)]


def _facts(circuit: Circuit, subject: Viewed) -> list[tuple[str, str]]:
    """(name, value) of each fact in the overview of the circuit."""
    info, model = circuit.info, subject.model
    trimmed, side = circuit.trimmed(model), circuit.side_edges(model)
    config = model.config
    pruner = {"pruner": info.pruner, "seed": info.seed, "target_loss": info.target_loss}
    facts = [
        ("Size", f"{circuit.n_nodes:,} nodes, {circuit.edges(model):,} edges"),
        ("Without dangling nodes", f"{trimmed.n_nodes:,} nodes, {trimmed.edges(model):,} edges"),
        ("Side edges", ", ".join(f"{count:,} {kind}" for kind, count in side.items() if count)),
        ("Kind", "nodes and a mask over weights" if circuit.weights is not None else "nodes"),
        ("Model", f"{subject.name}: {config.n_layer} layers, width {config.d_model}, {config.n_head} heads"),
        ("Pruner", ", ".join(f"{name} {value}" for name, value in pruner.items() if value is not None)),
    ]
    if info.validation_loss is not None:
        met = "" if info.met else "; target not met, so this is the whole model"
        full = "" if info.validation_loss_full is None else f"; whole model {info.validation_loss_full:.3f}"
        facts.append(("Validation loss", f"{info.validation_loss:.3f} nats{full}{met}"))
    if info.config:
        facts.append(("Pruning settings", json.dumps(info.config, ensure_ascii=False)))
    return [(name, value) for name, value in facts if value]
