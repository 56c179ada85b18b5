"""A circuit: the kept nodes of a model, its size in nodes and edges, and its file.

Shapes: C channels of a site.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sparsegpt2.circuits.edges import count_edges, count_side_edges
from sparsegpt2.circuits.info import CircuitInfo
from sparsegpt2.circuits.paths import nodes_on_paths
from sparsegpt2.errors import UserError
from sparsegpt2.files import read_json, write_text
from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.sites import node_sites
from sparsegpt2.plain import check, reading
from sparsegpt2.results.markup import bar, table

FORMAT, KIND = 1, "sparsegpt2 circuit"
MOST_ENTRIES = 2**29
"""Largest number of entries of the masks in one file, nodes and weights together. Each entry takes a byte of
memory."""


@dataclass(frozen=True, eq=False)
class Circuit:
    """Kept nodes by site; optionally kept weights, the scores that ranked the nodes, and how the circuit was found."""

    nodes: dict[str, Tensor]
    """Site -> bool [C]: the kept channels, for every node site of the model (model.sites.node_sites)."""
    weights: dict[str, Tensor] | None = None
    """Parameter name -> bool of the parameter's shape: which of its nonzero weights are kept. A matrix without an entry
    keeps all its weights, and None means that no matrix has an entry. A mask should keep the weights that lead from or
    to an ablated node, because removing them can change the result. The reason is the attention sink: an ablated v
    channel contributes its mean times the share of attention that does not go to the sink, whereas a removed weight
    contributes the whole mean."""
    scores: dict[str, Tensor] | None = None
    """Site -> float32 [C]: the pruner's score of each node. Nodes with higher scores are kept before others."""
    info: CircuitInfo = field(default_factory=CircuitInfo)
    """How the circuit was found."""

    def __repr__(self) -> str:
        facts = self._facts()
        task = facts.pop("task", "")
        return f"Circuit({task}{': ' if task else ''}{', '.join(map(' '.join, facts.items()))})"

    def _repr_html_(self) -> str:
        kept = self.nodes_per_site()
        largest = max(kept.values(), default=0)
        sites = [(site, n, len(self.nodes[site]), bar(n, largest)) for site, n in kept.items() if n]
        facts = table((), self._facts().items(), "Circuit")
        return facts + table(("site", "kept", "of", ""), sites, "kept nodes by site; circuit.edges(model) counts edges")

    def _facts(self) -> dict[str, str]:
        """What `repr` shows, as name -> text. The number of edges is missing, because counting them needs the model."""
        info = self.info
        facts = {"task": info.task} if info.task else {}
        facts["nodes"] = f"{self.n_nodes:,} of {sum(map(len, self.nodes.values())):,}"
        if self.weights is not None:
            facts["weights"] = f"masked in {len(self.weights)} matrices"
        names = {"pruner": info.pruner, "seed": info.seed}
        facts |= {name: str(value) for name, value in names.items() if value is not None}
        losses = {"target": info.target_loss, "loss": info.validation_loss}
        facts |= {name: f"{loss:.3g}" for name, loss in losses.items() if loss is not None}
        if not info.met:
            facts["target"] = f"{facts.get('target', '')} not met"
        return facts | ({"model": info.model} if info.model else {})

    @property
    def n_nodes(self) -> int:
        """Number of kept nodes."""
        return sum(self.nodes_per_site().values())

    def nodes_per_site(self) -> dict[str, int]:
        """Number of kept nodes at each site."""
        return {site: int(kept.count_nonzero()) for site, kept in self.nodes.items()}

    def noting(self, **known: Any) -> Circuit:
        """A copy of the circuit with the given fields of `info` set."""
        return replace(self, info=replace(self.info, **known))

    def edges(self, model: GPT) -> int:
        """The size of the circuit: the number of nonzero, kept weights between two kept nodes."""
        return sum(self.edges_by_map(model).values())

    def edges_by_map(self, model: GPT) -> dict[str, int]:
        """Number of edges in each map, by its name, such as `0.attn.act_in -> 0.attn.q`; see `edges.edge_maps`."""
        self.check(model)
        return count_edges(model, self.nodes, self.weights)

    def side_edges(self, model: GPT) -> dict[str, int]:
        """Number of weights that the circuit uses in addition to its edges, by kind; see `edges.count_side_edges`."""
        self.check(model)
        return count_side_edges(model, self.nodes)

    def trimmed(self, model: GPT) -> Circuit:
        """The circuit without its dangling nodes: those on no path of kept edges from an input to the logits."""
        self.check(model)
        return replace(self, nodes=nodes_on_paths(model, self.nodes, self.weights))

    def check(self, model: GPT) -> None:
        """Raise `UserError` unless the circuit's sites, widths and weights are those of `model`."""
        sites = node_sites(model.config)
        widths = {site: len(kept) for site, kept in self.nodes.items()}
        for site in [*sites, *widths]:
            if widths.get(site) != sites.get(site):
                raise UserError(
                    f"the circuit was found in another model: site {site} has {widths.get(site, 'no')} channels in "
                    f"the circuit and {sites.get(site, 'none')} in this model"
                )
        shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
        for name, kept in (self.weights or {}).items():
            if kept.shape != shapes.get(name):
                raise UserError(f"the circuit was found in another model: its mask over {name} has another shape")

    def save(self, path: str | Path) -> None:
        """Write the circuit as JSON; the file appears whole or not at all."""
        values: dict[str, Any] = {"format": FORMAT, "kind": KIND, "info": self.info.to_dict()}
        values["nodes"] = {
            site: {"width": len(kept), "kept": kept.nonzero().flatten().tolist()} for site, kept in self.nodes.items()
        }
        if self.weights is not None:
            values["weights"] = {name: _entries(kept) for name, kept in self.weights.items()}
        if self.scores is not None:
            values["scores"] = {site: _short(score) for site, score in self.scores.items()}
        write_text(path, json.dumps(values, ensure_ascii=False) + "\n")

    @staticmethod
    def load(path: str | Path) -> Circuit:
        """Read a circuit written by `save`; `UserError` if the file is missing, damaged or of another kind."""
        values = read_json(path, "circuit file")
        if not isinstance(values, dict) or values.get("kind") != KIND or values.get("format") != FORMAT:
            raise UserError(f"{path} is not a circuit file of format {FORMAT}: write one with `sparsegpt2 prune`")
        with reading(f"circuit file {path}", "prune again"):
            info = CircuitInfo.from_dict(check(values.get("info"), dict[str, Any], "info"))
            nodes = check(values.get("nodes"), dict[str, dict[str, int | list[int]]], "nodes")
            weights = check(values.get("weights"), dict[str, dict[str, list[int]]] | None, "weights")
            scores = check(values.get("scores"), dict[str, list[float]] | None, "scores")
            shapes = {site: [check(entry["width"], int, "width")] for site, entry in nodes.items()}
            _check_sizes(shapes | {name: entry["shape"] for name, entry in (weights or {}).items()})
            if scores and set(scores) != set(nodes):
                raise UserError("its scores must be of the same sites as its nodes")
            return Circuit(
                nodes={site: _mask(shapes[site], entry["kept"]) for site, entry in nodes.items()},
                weights=weights and {name: _weight_mask(entry) for name, entry in weights.items()},
                scores=scores and {site: _ranking(score, shapes[site]) for site, score in scores.items()},
                info=info,
            )


def is_circuit(path: str | Path) -> bool:
    """Whether `path` is a circuit file, and not another JSON file such as a report, which can be in the same folder."""
    try:
        values = read_json(path)
    except UserError:
        return False
    return isinstance(values, dict) and values.get("kind") == KIND


def every_node(model: GPT) -> dict[str, Tensor]:
    """The node masks of the whole model: site -> bool [C], all true."""
    return {site: torch.ones(width, dtype=torch.bool) for site, width in node_sites(model.config).items()}


def _check_sizes(shapes: dict[str, list[int]]) -> None:
    """`UserError` unless masks of these shapes fit in memory; called before any of them is made."""
    for name, shape in shapes.items():
        if min(shape, default=0) < 1:
            raise UserError(f"{name} has the shape {shape}; each of its sizes must be at least 1")
    entries = sum(math.prod(shape) for shape in shapes.values())
    if entries > MOST_ENTRIES:
        raise UserError(f"its masks have {entries:,} entries, and at most {MOST_ENTRIES:,} are read")


def _mask(shape: list[int], listed: Any, value: bool = True) -> Tensor:
    """A bool mask of the given shape. It is `value` at the listed entries, and the opposite at all others.

    listed: indices into the flattened mask.
    """
    indices = torch.tensor(check(listed, list[int], "kept entries"), dtype=torch.int64)
    mask = torch.full(shape, not value)
    if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < mask.numel():
        raise UserError(f"kept entries must be from 0 to {mask.numel() - 1}")
    mask.view(-1)[indices] = value
    return mask


def _ranking(score: list[float], shape: list[int]) -> Tensor:
    ranking = torch.tensor(score, dtype=torch.float32)
    if list(ranking.shape) != shape or not bool(ranking.isfinite().all()):
        raise UserError(f"a site with {shape[0]} channels must have {shape[0]} scores, all finite")
    return ranking


def _entries(kept: Tensor) -> dict[str, Any]:
    """A mask over weights as plain values: the indices of the kept entries or, if fewer, of the removed ones."""
    which = "kept" if 2 * int(kept.count_nonzero()) <= kept.numel() else "removed"
    entries = kept if which == "kept" else ~kept
    return {"shape": list(kept.shape), which: entries.flatten().nonzero().flatten().tolist()}


def _weight_mask(values: dict[str, Any]) -> Tensor:
    """The inverse of `_entries`."""
    which = "kept" if "kept" in values else "removed"
    return _mask(values["shape"], values[which], which == "kept")


def _short(scores: Tensor) -> list[float]:
    """The scores, rounded to nine significant digits, which is enough to restore each float32 exactly."""
    return [float(f"{value:.9g}") for value in scores.tolist()]
