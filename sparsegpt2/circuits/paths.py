"""Which nodes of a circuit are on a path from an input to the logits; the others are dangling.

A path consists of kept nodes. The embedding writes residual channel c if its column c has a nonzero entry; the same
holds for learned positions. An act_in node reads the residual channel of the same index. It is on a path if the
embedding, or an earlier kept resid_delta on a path, writes that channel. Edges join act_in to q, k, v and post_act, and
join v and post_act to resid_delta. Concatenated position channels are an input to every q, k, v and post_act that has a
nonzero weight from them. A resid_delta node reaches the logits through a later kept act_in of its channel, or directly
through a nonzero column of the unembedding.

q and k act through attention: channel j of a head adds q_j * k_j to its scores, and the scores decide how its v
channels are mixed. So q and k matter only in a head with a kept v that reaches the logits. Three more rules apply:

- An ablated q_j is a constant, which need not be zero. So k_j acts on the scores if q_j is kept or has a nonzero mean.
- If k_j does not depend on an input, q_j adds the same number to the scores of all positions. That changes nothing
  after the softmax, unless the head has a sink. So q_j acts if k_j is kept and depends on an input, or if the head has
  a sink and k_j is kept or has a nonzero mean.
- With a sink, attention sums to less than 1 and so scales even a v channel that is itself constant. Such a v is on a
  path if the head's scores depend on an input.

Two influences do not count as paths: channels compete in AbsTopK, and all channels share the scale of a norm. The gains
of norms count as nonzero.

Shapes: D d_model; A channels of all heads of a layer together, one head after the other; O channels that a map writes;
I channels that a map reads; C channels of a site.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sparsegpt2.circuits import host
from sparsegpt2.circuits.edges import EdgeMap, edge_maps, edges_present, parameter_and_bias
from sparsegpt2.model.gpt import GPT

Nodes = dict[str, Tensor]


def nodes_on_paths(
    model: GPT, nodes: Mapping[str, Tensor], weights: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """The nodes (site -> bool [C]) that have a path both from an input and to the logits, by the rules above."""
    paths = _Paths(model, weights)
    device = model.wte.weight.device
    kept = {site: mask.to(device) for site, mask in nodes.items()}
    for _ in range(most_sweeps(model)):
        smaller = paths.towards_logits(kept, paths.from_inputs(kept))
        if host.looks_are_free(device) and all(torch.equal(smaller[site], kept[site]) for site in kept):
            break  # more sweeps would change nothing (on a GPU this test would make the host wait)
        kept = smaller
    return {site: mask.to(nodes[site].device) for site, mask in kept.items()}


def most_sweeps(model: GPT) -> int:
    """The number of sweeps after which no more nodes are dropped.

    A sweep drops every node without a path, given which q and k channels act on the scores. When it drops one of these,
    the partner with which it is multiplied can dangle in the next sweep. When no pair of a head acts any more, the v
    channels that were on a path only through the head's scores dangle as well. That affects nodes of later layers. So
    the first layer in which a sweep drops a node is later than the first layer in which the sweep before it did.
    """
    return model.config.n_layer + 1


class _Paths:
    """A model's edges as boolean matrices, and the two passes of a sweep: from the inputs, and back from the logits."""

    def __init__(self, model: GPT, weights: Mapping[str, Tensor] | None) -> None:
        self.config = model.config
        self.edges = {(m.source, m.target): edges_present(model, m, weights) for m in edge_maps(model)}  # bool [O, I]
        self.fed_by_positions = {m.target: _reads_positions(model, m) for m in edge_maps(model)}  # bool [O]
        self.embedded = (model.wte.weight.detach() != 0).any(dim=0)  # [D]
        if model.config.positions == "learned":
            self.embedded = self.embedded | (model.wpe.weight.detach() != 0).any(dim=0)
        self.unembedded = (model.unembed.weight.detach() != 0).any(dim=0)  # [D]
        self.means = model.means

    def from_inputs(self, kept: Nodes) -> Nodes:
        """The kept nodes whose value depends on an input. For a v node this is the value after attention."""
        live, stream = {}, self.embedded
        for layer in range(self.config.n_layer):
            for kind in ("attn", "mlp"):
                act_in, delta = f"{layer}.{kind}.act_in", f"{layer}.{kind}.resid_delta"
                live[act_in] = kept[act_in] & stream
                hidden = [f"{layer}.attn.{part}" for part in "qkv"] if kind == "attn" else [f"{layer}.mlp.post_act"]
                for site in hidden:
                    live[site] = kept[site] & (self._written(act_in, site, live) | self.fed_by_positions[site])
                if kind == "attn" and self.config.sink:
                    modulated = self._live_scores(f"{layer}.attn", kept, live)
                    live[f"{layer}.attn.v"] |= kept[f"{layer}.attn.v"] & modulated
                live[delta] = kept[delta] & self._written(hidden[-1], delta, live)
                stream = stream | live[delta]
        return live

    def towards_logits(self, kept: Nodes, live: Nodes) -> Nodes:
        """Those of the `live` nodes from which a path of live nodes leads to the logits."""
        on_path, stream = {}, self.unembedded
        for layer in reversed(range(self.config.n_layer)):
            for kind in ("mlp", "attn"):
                act_in, delta = f"{layer}.{kind}.act_in", f"{layer}.{kind}.resid_delta"
                on_path[delta] = live[delta] & stream
                last = f"{layer}.attn.v" if kind == "attn" else f"{layer}.mlp.post_act"
                on_path[last] = live[last] & self._read(last, delta, on_path)
                used = self._read(act_in, last, on_path)
                if kind == "attn":
                    mixing = self._per_head(on_path[last])
                    for part, acts in zip("qk", self._acting(f"{layer}.attn", kept, live), strict=True):
                        site = f"{layer}.attn.{part}"
                        on_path[site] = live[site] & acts & mixing
                        used = used | self._read(act_in, site, on_path)
                on_path[act_in] = live[act_in] & used
                stream = stream | on_path[act_in]
        return {site: on_path[site] for site in kept}

    def _written(self, source: str, target: str, nodes: Nodes) -> Tensor:
        """Channels of `target` that have an edge from one of `nodes` at `source`, bool [O]."""
        return (self.edges[source, target] & nodes[source]).any(dim=1)

    def _read(self, source: str, target: str, nodes: Nodes) -> Tensor:
        """Channels of `source` that have an edge to one of `nodes` at `target`, bool [I]."""
        return (self.edges[source, target] & nodes[target][:, None]).any(dim=0)

    def _acting(self, attention: str, kept: Nodes, live: Nodes) -> tuple[Tensor, Tensor]:
        """Which q channels and which k channels act on the scores, given their partners: two tensors, bool [A]."""
        nonzero_q, nonzero_k = (self._nonzero(f"{attention}.{part}", kept) for part in "qk")
        return live[f"{attention}.k"] | (nonzero_k & self.config.sink), nonzero_q

    def _nonzero(self, site: str, kept: Nodes) -> Tensor:
        """Channels that can be nonzero: those that are kept, and ablated ones with a nonzero mean.

        Without known means this is every channel.
        """
        return torch.ones_like(kept[site]) if self.means is None else kept[site] | (self.means[site] != 0)

    def _live_scores(self, attention: str, kept: Nodes, live: Nodes) -> Tensor:
        """All channels of the heads whose scores depend on an input, bool [A]."""
        q_acts, k_acts = self._acting(attention, kept, live)
        return self._per_head((live[f"{attention}.q"] & q_acts) | (live[f"{attention}.k"] & k_acts))

    def _per_head(self, channels: Tensor) -> Tensor:
        """All channels of each head that has at least one of `channels`, bool [A]."""
        heads = channels.unflatten(0, (self.config.n_head, self.config.d_head)).any(dim=1)
        return heads.repeat_interleave(self.config.d_head)


def _reads_positions(model: GPT, edge_map: EdgeMap) -> Tensor:
    """Channels that a map writes with a nonzero weight from concatenated positions, bool [O]."""
    weight, _ = parameter_and_bias(model, edge_map)
    rows = weight[edge_map.rows]
    if edge_map.columns.stop is None:
        return torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
    return (rows[:, edge_map.columns.stop :] != 0).any(dim=1)
