"""The part of a circuit that is drawn: shown nodes and edges, residual lanes, and the tokens listed for each node.

A residual lane is a residual channel, drawn as a vertical line.

Shapes: C channels of a site, D d_model, V tokens of the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sparsegpt2.circuits import Circuit
from sparsegpt2.circuits.edges import edge_maps, edges_present
from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.sites import node_sites, place_of
from sparsegpt2.text.tokenizer import Tokenizer
from sparsegpt2.viewer.config import ViewConfig
from sparsegpt2.viewer.schema import EdgeColumns, Hidden, Lane, TokenWeights

TOKENS = 8
"""A node is listed with up to this many tokens with positive weights, and as many with negative weights."""


@dataclass(frozen=True)
class Shown:
    """The nodes of a circuit that a page shows, in forward order."""

    nodes: list[tuple[str, int]]
    """The nodes, each as (site, channel)."""
    left_out: int
    """Number of the circuit's nodes that are not shown."""

    @property
    def index(self) -> dict[tuple[str, int], int]:
        """(site, channel) -> index in `nodes`."""
        return {node: place for place, node in enumerate(self.nodes)}

    @property
    def by_site(self) -> dict[str, list[int]]:
        """Site -> its shown channels, in increasing order. Sites and channels have the same order as in `nodes`."""
        channels: dict[str, list[int]] = {}
        for site, channel in self.nodes:
            channels.setdefault(site, []).append(channel)
        return channels


def shown_nodes(circuit: Circuit, model: GPT, limit: int) -> Shown:
    """The circuit's nodes, or only `limit` of them if there are more.

    The nodes with the highest pruner scores are chosen or, if the circuit has no scores, those with the most edges.
    """
    sites = list(node_sites(model.config))
    kept = [(site, channel) for site in sites for channel in circuit.nodes[site].nonzero().flatten().tolist()]
    if len(kept) <= limit:
        return Shown(kept, 0)
    scores = circuit.scores or _degrees(circuit, model)
    best = sorted(kept, key=lambda node: -float(scores[node[0]][node[1]]))[:limit]
    chosen = set(best)
    return Shown([node for node in kept if node in chosen], len(kept) - limit)


def graph_edges(circuit: Circuit, model: GPT, shown: Shown, limit: int) -> EdgeColumns:
    """The edges between shown nodes, largest magnitude first. At most `limit`; if there are more, the smallest are left
    out."""
    index, found = shown.index, []
    for edge_map in edge_maps(model):
        present = edges_present(model, edge_map, circuit.weights).cpu()
        present &= circuit.nodes[edge_map.target].cpu()[:, None] & circuit.nodes[edge_map.source].cpu()
        block = model.get_parameter(edge_map.parameter).detach()[edge_map.rows, edge_map.columns]
        for out, into in present.nonzero().tolist():
            source, target = index.get((edge_map.source, into)), index.get((edge_map.target, out))
            if source is not None and target is not None:
                found.append((source, target, short(float(block[out, into]))))
    found = sorted(found, key=lambda edge: -abs(edge[2]))[:limit]
    return {
        "source": [source for source, _, _ in found],
        "target": [target for _, target, _ in found],
        "weight": [weight for _, _, weight in found],
    }


def hidden_part(circuit: Circuit, model: GPT, shown: Shown, edges: EdgeColumns, config: ViewConfig) -> Hidden:
    """How much of the circuit is not on the page, and how the shown part was chosen."""
    missing = circuit.edges(model) - len(edges["source"])
    rules = []
    if shown.left_out:
        how = "that the pruner ranked highest" if circuit.scores else "with the most edges"
        rules.append(f"shown are the {len(shown.nodes)} nodes {how}")
    if len(edges["source"]) == config.max_edges and missing:
        rules.append(f"of the edges between shown nodes, the {config.max_edges} with the largest weights")
    return {"nodes": shown.left_out, "edges": missing, "rule": "; ".join(rules)}


def residual_lanes(model: GPT, shown: Shown) -> list[Lane]:
    """A lane for each residual channel that a shown node reads or writes, sorted by channel."""
    nodes: dict[int, list[int]] = {}
    for place, (site, channel) in enumerate(shown.nodes):
        if site.endswith(("act_in", "resid_delta")):
            nodes.setdefault(channel, []).append(place)
    embedded = (model.wte.weight.detach() != 0).any(dim=0)  # [D]
    if model.config.positions == "learned":
        embedded = embedded | (model.wpe.weight.detach() != 0).any(dim=0)
    unembedded = (model.unembed.weight.detach() != 0).any(dim=0)  # [D]
    return [
        {"channel": c, "embedded": bool(embedded[c]), "unembedded": bool(unembedded[c]), "nodes": nodes[c]}
        for c in sorted(nodes)
    ]


def excited_by(model: GPT, tokenizer: Tokenizer, site: str, channel: int) -> TokenWeights:
    """For an act_in node: the tokens whose embeddings have the highest and the lowest entries in its channel.

    Empty for nodes at other sites.
    """
    if not place_of(site).endswith("act_in"):
        return []
    return _largest(model.wte.weight.detach()[:, channel], tokenizer)


def raises(model: GPT, tokenizer: Tokenizer, site: str, channel: int) -> TokenWeights:
    """For a resid_delta node: the tokens whose logits its channel changes most, in either direction.

    A weight is the unembedding's entry times the gain of the final norm. Empty for nodes at other sites.
    """
    if not place_of(site).endswith("resid_delta"):
        return []
    column = model.unembed.weight.detach()[:, channel]
    gain = getattr(model.norm, "weight", None)
    return _largest(column if gain is None else column * gain.detach()[channel], tokenizer)


def short(value: float) -> float:
    """The value rounded to five significant digits, which keeps the page small."""
    return float(f"{value:.5g}")


def _largest(column: Tensor, tokenizer: Tokenizer) -> TokenWeights:
    """(token, entry) for the `TOKENS` highest and the `TOKENS` lowest entries of `column` [V], without zeros.

    Sorted by magnitude, largest first.
    """
    values, ids = column.float().sort(descending=True)
    count = min(TOKENS, len(ids))
    places = [*range(count), *range(max(count, len(ids) - TOKENS), len(ids))]
    named = [(tokenizer.token(int(ids[i])), short(float(values[i]))) for i in places if float(values[i]) != 0]
    return sorted(named, key=lambda entry: -abs(entry[1]))


def _degrees(circuit: Circuit, model: GPT) -> dict[str, Tensor]:
    """Site -> number of edges at each of its kept nodes, float32 [C]."""
    degrees = {site: torch.zeros(len(kept)) for site, kept in circuit.nodes.items()}
    for edge_map in edge_maps(model):
        present = edges_present(model, edge_map, circuit.weights).cpu()
        present &= circuit.nodes[edge_map.target].cpu()[:, None] & circuit.nodes[edge_map.source].cpu()
        degrees[edge_map.target] += present.sum(dim=1)
        degrees[edge_map.source] += present.sum(dim=0)
    return degrees
