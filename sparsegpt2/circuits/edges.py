"""Edges of a circuit: nonzero weights between two kept nodes (docs/definitions.md, Edge).

A map is the block of a weight matrix that joins two node sites. Shapes: O channels of the site that the map writes, I
channels of the site that it reads, D d_model, N nodes of the model, E edges, C channels of a site.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsegpt2.errors import UserError
from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.sites import node_sites


@dataclass(frozen=True)
class EdgeMap:
    """The weights from one node site to another."""

    source: str
    """Site that is read."""
    target: str
    """Site that is written."""
    parameter: str
    """Name of the weight parameter that holds them, such as `blocks.0.attn.c_attn.weight`."""
    rows: slice
    """Rows of the parameter: all of them, or those of q, of k or of v in c_attn."""
    columns: slice
    """Columns of the parameter: all except those that read concatenated positions, which are not nodes."""

    @property
    def bias(self) -> str:
        """Name of the bias vector that goes with the weight; the model may have none."""
        return self.parameter.removesuffix("weight") + "bias"

    @property
    def name(self) -> str:
        """`0.attn.act_in -> 0.attn.q`."""
        return f"{self.source} -> {self.target}"


def edge_maps(model: GPT) -> list[EdgeMap]:
    """Every map of the model, in forward order: six per layer."""
    config, maps = model.config, []
    width, everything = config.d_attn, slice(None)
    for layer in range(config.n_layer):
        for index, part in enumerate(("q", "k", "v")):
            rows = slice(index * width, (index + 1) * width)
            maps.append((f"{layer}.attn", "act_in", part, "c_attn", rows, slice(0, config.d_model)))
        maps.append((f"{layer}.attn", "v", "resid_delta", "c_proj", everything, everything))
        maps.append((f"{layer}.mlp", "act_in", "post_act", "c_fc", everything, slice(0, config.d_model)))
        maps.append((f"{layer}.mlp", "post_act", "resid_delta", "c_proj", everything, everything))
    return [
        EdgeMap(f"{sublayer}.{source}", f"{sublayer}.{target}", f"blocks.{sublayer}.{linear}.weight", rows, columns)
        for sublayer, source, target, linear, rows, columns in maps
    ]


def edges_present(model: GPT, edge_map: EdgeMap, weights: Mapping[str, Tensor] | None = None) -> Tensor:
    """Which entries of a map are nonzero and kept by the mask in `weights`, whatever nodes are kept; bool [O, I]."""
    block = (edge_map.rows, edge_map.columns)
    present = model.get_parameter(edge_map.parameter).detach()[block] != 0
    if weights is not None and edge_map.parameter in weights:
        present = present & weights[edge_map.parameter][block].to(present.device)
    return present


def count_edges(model: GPT, nodes: Mapping[str, Tensor], weights: Mapping[str, Tensor] | None = None) -> dict[str, int]:
    """Map name -> number of edges between kept nodes.

    nodes: site -> bool [C]. weights: parameter name -> bool of its shape.
    """
    counts = {}
    for edge_map in edge_maps(model):
        present = edges_present(model, edge_map, weights)
        kept_out, kept_in = (nodes[site].to(present.device) for site in (edge_map.target, edge_map.source))
        counts[edge_map.name] = int(present[kept_out][:, kept_in].count_nonzero())
    return counts


def edges_by_size(model: GPT, ranks: Mapping[str, Tensor]) -> Tensor:
    """Number of edges between the first k nodes of a ranking, for every k at once: int64 [N + 1], entry k.

    ranks: site -> [C] int64, the rank of each node, from 0. An edge is there once the later of its two ends is.
    """
    total = sum(len(rank) for rank in ranks.values())
    appear = torch.zeros(total + 1, dtype=torch.int64)
    for edge_map in edge_maps(model):
        out, into = edges_present(model, edge_map).nonzero(as_tuple=True)
        later = torch.maximum(ranks[edge_map.target][out], ranks[edge_map.source][into])
        appear += torch.bincount(later.cpu() + 1, minlength=total + 1)
    return appear.cumsum(0)


def count_side_edges(
    model: GPT, nodes: Mapping[str, Tensor], weights: Mapping[str, Tensor] | None = None
) -> dict[str, int]:
    """Weights that a circuit uses in addition to its edges, by kind; never part of its size.

    `embedding`: nonzero embedding weights (token and learned positions) into channels that a kept act_in reads.
    `unembedding`: nonzero weights out of channels that a kept resid_delta writes. `positions`: nonzero weights from
    concatenated position channels into kept nodes. `biases`: nonzero biases of kept nodes.
    """
    read, written = (_channels(model, nodes, place) for place in ("act_in", "resid_delta"))
    embeddings = [model.wte.weight]
    if model.config.positions == "learned":
        embeddings.append(model.wpe.weight)
    counts = {
        "embedding": sum(int(table.detach()[:, read].count_nonzero()) for table in embeddings),
        "unembedding": int(model.unembed.weight.detach()[:, written].count_nonzero()),
        "positions": 0,
        "biases": 0,
    }
    for edge_map in edge_maps(model):  # every site that a linear map writes is the target of exactly one map
        kept = nodes[edge_map.target].to(model.wte.weight.device)
        weight, bias = parameter_and_bias(model, edge_map)
        if edge_map.columns.stop is not None:
            counts["positions"] += int(weight[edge_map.rows, edge_map.columns.stop :][kept].count_nonzero())
        if bias is not None:
            counts["biases"] += int(bias[edge_map.rows][kept].count_nonzero())
    return counts


def parameter_and_bias(model: GPT, edge_map: EdgeMap) -> tuple[Tensor, Tensor | None]:
    """The whole weight matrix that holds a map and its bias vector (None if there is none), detached."""
    bias = dict(model.named_parameters()).get(edge_map.bias)
    return model.get_parameter(edge_map.parameter).detach(), None if bias is None else bias.detach()


def ablate_edges(model: GPT, weights: Mapping[str, Tensor], means: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Parameters of the model with the edges outside `weights` mean-ablated, by name, for `torch.func.functional_call`.

    A removed edge from node i carries w * mean_i instead of w * x_i. So applying a mask Z to a matrix W means using the
    matrix W * Z and the bias b + (W * (1 - Z)) @ mean (docs/definitions.md, Circuit of edges). weights: parameter name
    -> Z of the parameter's shape, bool or float gates; gradients reach gates. means: site -> [C]. Columns that read
    concatenated positions are never masked. `UserError` for a model without biases.
    """
    changed: dict[str, Tensor] = {}
    for name, edge_map in {edge_map.parameter: edge_map for edge_map in edge_maps(model)}.items():
        if name not in weights:
            continue
        weight, bias = parameter_and_bias(model, edge_map)
        if bias is None:
            raise UserError("a circuit with a mask over weights needs a model whose linear maps have biases")
        nodes, positions = weight[:, edge_map.columns], weight[:, edge_map.columns.stop or weight.shape[1] :]
        carried = nodes * weights[name][:, edge_map.columns].to(weight)  # [O, I]
        changed[name] = torch.cat([carried, positions], dim=1) if positions.numel() else carried
        changed[edge_map.bias] = bias + (nodes - carried) @ means[edge_map.source]
    return changed


def circuit_edges(
    model: GPT, nodes: Mapping[str, Tensor], weights: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """The edges of a circuit as masks: name of each weight parameter that holds a map -> bool of its shape."""
    edges: dict[str, Tensor] = {}
    for edge_map in edge_maps(model):
        present = edges_present(model, edge_map, weights)
        kept_out, kept_in = (nodes[site].to(present.device) for site in (edge_map.target, edge_map.source))
        parameter = model.get_parameter(edge_map.parameter)
        mask = edges.setdefault(edge_map.parameter, torch.zeros_like(parameter, dtype=torch.bool))
        mask[edge_map.rows, edge_map.columns] = present & kept_out[:, None] & kept_in
    return edges


@dataclass(frozen=True, eq=False)
class EdgeList:
    """The E edges of a circuit as one list: parameter after parameter, each by flat index. `of` makes it on the CPU."""

    nodes: dict[str, Tensor]
    """Site -> bool [C]: the kept nodes that the edges join."""
    places: dict[str, Tensor]
    """Weight parameter -> int64, ascending: flat indices of its edges."""
    shapes: dict[str, torch.Size]
    """Shape of each of those parameters."""

    @classmethod
    def of(cls, model: GPT, nodes: Mapping[str, Tensor]) -> EdgeList:
        """The edges between the kept nodes (site -> bool [C])."""
        masks = {name: mask.cpu() for name, mask in circuit_edges(model, nodes).items()}
        places = {name: mask.flatten().nonzero().flatten() for name, mask in masks.items()}
        return cls(
            {site: mask.cpu() for site, mask in nodes.items()}, places, {name: m.shape for name, m in masks.items()}
        )

    def to(self, device: torch.device | str) -> EdgeList:
        """The same list on `device`, which saves copies if `spread` is called often."""
        nodes, places = (
            {name: tensor.to(device) for name, tensor in some.items()} for some in (self.nodes, self.places)
        )
        return EdgeList(nodes, places, self.shapes)

    def __repr__(self) -> str:
        return f"EdgeList({len(self):,} edges in {len(self.places)} parameters)"

    def __len__(self) -> int:
        """E."""
        return sum(map(len, self.places.values()))

    def spread(self, values: Tensor) -> dict[str, Tensor]:
        """Turn one value per edge, [E], into masks over weights: parameter name -> its shape, 1 where there is no edge.

        Gradients pass through. Weights that are not in the list have an ablated node at one end; 1 leaves them as they
        are.
        """
        masks = {}
        parts = values.split([len(places) for places in self.places.values()])
        for (name, places), part in zip(self.places.items(), parts, strict=True):
            ones = torch.ones(self.shapes[name].numel(), dtype=values.dtype, device=values.device)
            masks[name] = ones.index_copy(0, places.to(values.device), part).view(self.shapes[name])
        return masks


def _channels(model: GPT, nodes: Mapping[str, Tensor], place: str) -> Tensor:
    """Residual channels with a kept node at `place` of any sublayer, bool [D]."""
    sites = [site for site in node_sites(model.config) if site.endswith(place)]
    return torch.stack([nodes[site] for site in sites]).any(dim=0).to(model.wte.weight.device)
