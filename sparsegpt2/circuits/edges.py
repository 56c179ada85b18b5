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
    """The weights that lead from one node site to another."""

    source: str
    """The site that the map reads."""
    target: str
    """The site that the map writes."""
    parameter: str
    """Name of the weight parameter that contains the map, such as `blocks.0.attn.c_attn.weight`."""
    rows: slice
    """Rows of the parameter that belong to the map: all of them or, in c_attn, the rows of q, of k or of v."""
    columns: slice
    """Columns of the parameter that belong to the map: all except those that read concatenated positions, which are not
    nodes."""

    @property
    def bias(self) -> str:
        """Name of the bias vector that is added after the map. The model may not have it."""
        return self.parameter.removesuffix("weight") + "bias"

    @property
    def name(self) -> str:
        """The map's name, such as `0.attn.act_in -> 0.attn.q`."""
        return f"{self.source} -> {self.target}"


def edge_maps(model: GPT) -> list[EdgeMap]:
    """All maps of the model in forward order, six per layer."""
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
    """Which entries of a map are nonzero and kept by the mask over weights, if there is one: bool [O, I].

    Which nodes are kept makes no difference here. weights: parameter name -> bool of its shape.
    """
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
    """The number of edges between the first k nodes of a ranking, for every k from 0 to N: int64 [N + 1].

    ranks: site -> [C] int64, the rank of each node, from 0. An edge is counted when both of its nodes are among the
    first k.
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
    """Number of weights that a circuit uses in addition to its edges, by kind. They are never part of its size.

    `embedding`: nonzero weights of the token embedding and of learned positions into channels that a kept act_in reads.
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
    """The whole weight matrix that contains a map, and the bias vector that goes with it (or None), both detached."""
    bias = dict(model.named_parameters()).get(edge_map.bias)
    return model.get_parameter(edge_map.parameter).detach(), None if bias is None else bias.detach()


def ablate_edges(model: GPT, weights: Mapping[str, Tensor], means: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """New values of parameters, with which the model runs as if the edges that `weights` removes were ablated.

    Returns parameter name -> value; `torch.func.functional_call` takes these. A removed edge of weight w from node i
    carries w * mean_i instead of w * x_i, where x_i is the node's value. So applying a mask Z to a matrix W with bias b
    means using the matrix W * Z and the bias b + (W * (1 - Z)) @ mean (docs/definitions.md, Circuit of edges). weights:
    parameter name -> Z of the parameter's shape, bool or float gates, which receive gradients. means: site -> [C].
    Columns that read concatenated positions are never masked. `UserError` for a model without biases.
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
    """The edges of a circuit as masks: name of each weight parameter that contains a map -> bool of its shape."""
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
    """The E edges of a circuit as one list, ordered by parameter and then by flat index. `of` makes it on the CPU."""

    nodes: dict[str, Tensor]
    """Site -> bool [C]: the kept nodes that the edges join."""
    places: dict[str, Tensor]
    """Name of each weight parameter -> the flat indices of its edges, int64, in ascending order."""
    shapes: dict[str, torch.Size]
    """Name of each of those parameters -> its shape."""

    @classmethod
    def of(cls, model: GPT, nodes: Mapping[str, Tensor]) -> EdgeList:
        """The edges between the kept nodes. nodes: site -> bool [C]."""
        masks = {name: mask.cpu() for name, mask in circuit_edges(model, nodes).items()}
        places = {name: mask.flatten().nonzero().flatten() for name, mask in masks.items()}
        return cls(
            {site: mask.cpu() for site, mask in nodes.items()}, places, {name: m.shape for name, m in masks.items()}
        )

    def to(self, device: torch.device | str) -> EdgeList:
        """The same list on `device`. This saves copies if `spread` is called often."""
        nodes, places = (
            {name: tensor.to(device) for name, tensor in some.items()} for some in (self.nodes, self.places)
        )
        return EdgeList(nodes, places, self.shapes)

    def __repr__(self) -> str:
        return f"EdgeList({len(self):,} edges in {len(self.places)} parameters)"

    def __len__(self) -> int:
        """The number of edges, E."""
        return sum(map(len, self.places.values()))

    def spread(self, values: Tensor) -> dict[str, Tensor]:
        """Turn one value per edge, [E], into masks over weights: parameter name -> mask of its shape.

        Gradients pass through. Entries of a mask that are not edges in the list are 1, which leaves the weight
        unchanged. Such a weight has an ablated node at one end or reads a concatenated position, or is zero.
        """
        masks = {}
        parts = values.split([len(places) for places in self.places.values()])
        for (name, places), part in zip(self.places.items(), parts, strict=True):
            ones = torch.ones(self.shapes[name].numel(), dtype=values.dtype, device=values.device)
            masks[name] = ones.index_copy(0, places.to(values.device), part).view(self.shapes[name])
        return masks


def _channels(model: GPT, nodes: Mapping[str, Tensor], place: str) -> Tensor:
    """Residual channels that have a kept node at `place` of any sublayer, bool [D]. place: act_in or resid_delta."""
    sites = [site for site in node_sites(model.config) if site.endswith(place)]
    return torch.stack([nodes[site] for site in sites]).any(dim=0).to(model.wte.weight.device)
