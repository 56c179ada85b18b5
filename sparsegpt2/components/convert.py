"""Conversion between component circuits and circuits of channels, so that their sizes can be compared.

A writer and a reader share a residual channel if the writer writes it and the reader reads it, both with nonzero
weights. A component edge contains the nonzero weights with which its writer writes the shared channels and its reader
reads them. A weight can be in several edges of a component circuit but is counted once. The weights of embedding and
unembedding are not counted, as in `circuits.edges`.

Shapes: W writers, R readers (docs/definitions.md, Writer and reader), D d_model, H heads of a layer, A channels of all
heads of a layer together, C channels of a site.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsegpt2.circuits.circuit import Circuit, every_node
from sparsegpt2.circuits.edges import EdgeMap, edge_maps, edges_present
from sparsegpt2.circuits.info import CircuitInfo
from sparsegpt2.components.circuit import ComponentCircuit, ComponentInfo
from sparsegpt2.components.graph import ComponentGraph
from sparsegpt2.model.gpt import GPT

Masks = Mapping[str, Tensor]


@dataclass(frozen=True)
class Links:
    """Number of nonzero weights between each component and each residual channel."""

    graph: ComponentGraph
    out: Tensor
    """Number of weights with which each writer writes each channel, int64 [W, D]. In the embedding's row it is 1 for
    the channels that the embedding writes and 0 for the others."""
    into: Tensor
    """Number of weights with which each reader reads each channel, int64 [R, D]. In the row of the logits it is 1 for
    the channels that the unembedding reads and 0 for the others."""

    def meets(self) -> Tensor:
        """The edges of the graph whose writer and reader share a channel, bool [W, R]."""
        shared = (self.out > 0).float() @ (self.into > 0).float().T
        return (shared > 0).cpu() & self.graph.present

    def used(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        """The channels that each writer uses, bool [W, D], and the channels that each reader uses, bool [R, D].

        kept: the kept edges, bool [W, R]. A writer uses the channels that it shares with the readers of its kept edges,
        and a reader those that it shares with the writers of its kept edges.
        """
        edges = kept.to(self.out.device).float()
        writes, reads = (self.out > 0).float(), (self.into > 0).float()
        return (writes * (edges @ reads)) > 0, (reads * (edges.T @ writes)) > 0


def links_of(model: GPT, nodes: Masks | None = None, weights: Masks | None = None) -> Links:
    """The links of a model.

    nodes: site -> bool [C], and weights: as in `Circuit.weights`. If they are given, only weights that they keep and
    that join kept nodes are counted.
    """
    graph = ComponentGraph.of(model.config)
    nodes = every_node(model) if nodes is None else nodes
    present = {(m.source, m.target): _present(model, m, nodes, weights) for m in edge_maps(model)}
    embedded = (model.wte.weight.detach() != 0).any(dim=0)
    if model.config.positions == "learned":
        embedded = embedded | (model.wpe.weight.detach() != 0).any(dim=0)
    out, into = [embedded[None]], []
    for layer in range(model.config.n_layer):
        attention, mlp = f"{layer}.attn", f"{layer}.mlp"
        written = present[f"{attention}.v", f"{attention}.resid_delta"]  # [D, A]
        out.append(_per_head(model, written.T).sum(dim=1))
        parts = [_per_head(model, present[f"{attention}.act_in", f"{attention}.{part}"]).sum(dim=1) for part in "qkv"]
        into.append(torch.stack(parts, dim=1).flatten(0, 1))  # [3 H, D]
        out.append(present[f"{mlp}.post_act", f"{mlp}.resid_delta"].sum(dim=1)[None])
        into.append(present[f"{mlp}.act_in", f"{mlp}.post_act"].sum(dim=0)[None])
    into.append((model.unembed.weight.detach() != 0).any(dim=0)[None])
    return Links(graph, torch.cat([one.long() for one in out]), torch.cat([one.long() for one in into]))


def _present(model: GPT, edge_map: EdgeMap, nodes: Masks, weights: Masks | None) -> Tensor:
    """The edges of a map that join kept nodes, bool [O, I] (O target channels, I source channels)."""
    present = edges_present(model, edge_map, weights)
    kept_out, kept_in = (nodes[site].to(present.device) for site in (edge_map.target, edge_map.source))
    return present & kept_out[:, None] & kept_in


def _per_head(model: GPT, channels: Tensor) -> Tensor:
    """Split the first axis by head: [A, ...] -> [H, d_head, ...]."""
    return channels.unflatten(0, (model.config.n_head, model.config.d_head))


def component_view(model: GPT, circuit: Circuit) -> ComponentCircuit:
    """The component circuit that corresponds to a circuit of channels.

    It has an edge wherever the writer writes a residual channel that the reader reads, both with kept weights between
    kept nodes. Only edges on a path from the embedding to the logits are included. A circuit of channels never ablates
    the embedding or the unembedding, so every writer of a channel that the unembedding reads has an edge into the
    logits.
    """
    circuit.check(model)
    links = links_of(model, circuit.nodes, circuit.weights)
    info = ComponentInfo.from_dict(circuit.info.to_dict())
    return ComponentCircuit(links.graph, links.meets(), info).trimmed()


def edge_weights(model: GPT) -> Tensor:
    """Number of nonzero weights in each component edge, int64 [W, R].

    These are the weights of the writer and of the reader at the residual channels that they share.
    """
    links = links_of(model)
    writes, reads = (links.out > 0).double(), (links.into > 0).double()
    counted_out, counted_in = _counted(links)
    held = counted_out.double() @ reads.T + writes @ counted_in.double().T
    return held.long().cpu() * links.graph.present


def circuit_weights(model: GPT, kept: Tensor) -> int:
    """Number of nonzero weights in a component circuit, each counted once; kept: bool [W, R].

    This number can be compared with `Circuit.edges`, the size of a circuit of channels.
    """
    links = links_of(model)
    counted_out, counted_in = _counted(links)
    writes, reads = links.used(kept)
    return int((counted_out * writes).sum() + (counted_in * reads).sum())


def channel_view(model: GPT, circuit: ComponentCircuit) -> Circuit:
    """The smallest circuit of channels that contains all weights of a component circuit.

    It can contain more weights than the component circuit, because the heads of a layer share the sites act_in and
    resid_delta.
    """
    links, nodes = links_of(model), {site: torch.zeros_like(mask) for site, mask in every_node(model).items()}
    writes, reads = (used.cpu() for used in links.used(circuit.kept))
    blocks, heads, width = links.graph.block_writers, model.config.n_head, model.config.d_head
    present = {(m.source, m.target): edges_present(model, m).cpu() for m in edge_maps(model)}
    for layer in range(model.config.n_layer):
        attention, mlp = f"{layer}.attn", f"{layer}.mlp"
        written = writes[blocks[f"a{layer}"]]  # [H, D]
        nodes[f"{attention}.resid_delta"] = written.any(dim=0)
        values = present[f"{attention}.v", f"{attention}.resid_delta"]  # [D, A]
        nodes[f"{attention}.v"] = (values & written.repeat_interleave(width, dim=0).T).any(dim=0)
        first = links.graph.reader_index[f"a{layer}.h0.q"]
        read = reads[first : first + 3 * heads].unflatten(0, (heads, 3))  # [H, 3, D]
        nodes[f"{attention}.act_in"] = read.flatten(0, 1).any(dim=0)
        for index, part in enumerate("qkv"):
            weights = present[f"{attention}.act_in", f"{attention}.{part}"]  # [A, D]
            fed = (weights & read[:, index].repeat_interleave(width, dim=0)).any(dim=1)
            nodes[f"{attention}.{part}"] = nodes[f"{attention}.{part}"] | fed
        nodes[f"{mlp}.resid_delta"] = writes[blocks[f"m{layer}"]][0]
        nodes[f"{mlp}.act_in"] = reads[links.graph.reader_index[f"m{layer}"]]
        neurons_in = present[f"{mlp}.act_in", f"{mlp}.post_act"][:, nodes[f"{mlp}.act_in"]].any(dim=1)
        neurons_out = present[f"{mlp}.post_act", f"{mlp}.resid_delta"][nodes[f"{mlp}.resid_delta"]].any(dim=0)
        nodes[f"{mlp}.post_act"] = neurons_in | neurons_out
    return Circuit(nodes=nodes, info=CircuitInfo.from_dict(circuit.info.to_dict()))


def _counted(links: Links) -> tuple[Tensor, Tensor]:
    """Copies of `out` and `into` in which the rows of embedding and logits, which are not counted, are 0."""
    out, into = links.out.clone(), links.into.clone()
    out[0], into[-1] = 0, 0
    return out, into
