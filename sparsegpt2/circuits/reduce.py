"""Run an ablated model faster: leave out the nodes that an ablation makes constant. The results are the same.

A node that stays at its mean, or at another constant, adds the same number to everything that reads it. So its column
of the weight matrix that reads it can be folded into the bias, and its row of the matrix that writes it need not be
computed. All other nodes are called live. The forward is the model's own,
but it gets smaller parameters and a site object. The site object selects the live channels where a sublayer reads the
residual stream, and puts them back in their places where the sublayer writes to it. All channels of q, k and v stay,
because attention works on whole heads. Where AbsTopK acts, all channels are computed, because all of them compete.

Shapes: C channels of a site, L live ones, R masks at once.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sparsegpt2.circuits.ablations import Masks, Sites
from sparsegpt2.circuits.edges import edge_maps
from sparsegpt2.circuits.gates import MeanAblation
from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.sites import place_of


class Reduction:
    """Parameters and site objects with which the forward computes only the live nodes."""

    def __init__(
        self,
        model: GPT,
        live: Mapping[str, Tensor],
        dtype: torch.dtype,
        means: Mapping[str, Tensor],
        parameters: Mapping[str, Tensor] | None = None,
    ) -> None:
        """live: site -> bool [C]. means: site -> [C], the constant values of the other nodes.

        dtype: precision of the model's linear maps. parameters: name -> value that replaces the model's own.

        A model without biases has no place for the constants, so its matrices keep their full size.
        """
        self.model, self.means, device = model, means, model.wte.weight.device
        self.live = {site: mask.to(device) for site, mask in live.items()}
        gathered = [site for site in self.live if place_of(site) not in ("attn.q", "attn.k", "attn.v")]
        self.channels = {
            site: self.live[site].nonzero().flatten()
            for site in gathered
            if model.config.bias and not bool(self.live[site].all())
        }
        """Site -> indices of its live channels [L], for the sites at which some channels are left out."""
        self.parameters = self._parameters(dict(parameters or {}), dtype)
        """Parameters by name, for `torch.func.functional_call`."""

        self.size = int(torch.cat(list(self.live.values())).count_nonzero())
        """Number of live nodes."""

    def over(self, kept: Masks) -> Sites:
        """As in `Ablation`: the site objects ablate the live nodes that are not in `kept` (site -> [C] or [R, C])."""
        ablation = ReducedAblation(self, kept)
        return lambda piece: ablation if piece.owner is None else ablation.on_rows(piece.owner)

    def _parameters(self, given: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
        own = {name: parameter.detach() for name, parameter in self.model.named_parameters()} | given
        result = dict(given)
        if not self.model.config.tied_unembedding:  # the embedding itself stays as it is
            result["unembed.weight"] = own["unembed.weight"].to(dtype)
        for edge_map in {edge_map.parameter: edge_map for edge_map in edge_maps(self.model)}.values():
            weight = own[edge_map.parameter]
            if edge_map.bias not in own:
                result[edge_map.parameter] = weight.to(dtype)
                continue
            bias = own[edge_map.bias]
            if edge_map.source in self.channels:
                closed = ~self.live[edge_map.source]
                bias = bias + weight[:, edge_map.columns][:, closed] @ self.means[edge_map.source][closed]
                positions = torch.arange(len(closed), weight.shape[1], device=weight.device)
                weight = weight[:, torch.cat([self.channels[edge_map.source], positions])]
            if edge_map.target in self.channels and not self._competes(edge_map.target):
                weight, bias = weight[self.channels[edge_map.target]], bias[self.channels[edge_map.target]]
            result[edge_map.parameter], result[edge_map.bias] = weight.to(dtype), bias.to(dtype)
        return result

    def _competes(self, site: str) -> bool:
        """Whether AbsTopK acts at a site."""
        return self.model.config.keep_at(place_of(site)) is not None


class ReducedAblation:
    """`MeanAblation` for a reduced model.

    It is called with all channels of a site, [..., C]. If only the live ones were computed, it is called with the live
    ones, [..., L].
    """

    def __init__(self, reduction: Reduction, kept: Mapping[str, Tensor]) -> None:
        self.reduction = reduction
        self.ablation = MeanAblation(self._live(kept), self._live(reduction.means))

    def _live(self, by_site: Mapping[str, Tensor]) -> dict[str, Tensor]:
        channels, device = self.reduction.channels, self.reduction.model.wte.weight.device
        return {
            site: x.to(device).index_select(-1, channels[site]) if site in channels else x
            for site, x in by_site.items()
        }

    def on_rows(self, rows: Tensor) -> ReducedAblation:
        """As `MeanAblation.on_rows`."""
        other = ReducedAblation.__new__(ReducedAblation)
        other.reduction, other.ablation = self.reduction, self.ablation.on_rows(rows)
        return other

    def __call__(self, name: str, x: Tensor) -> Tensor:
        channels = self.reduction.channels.get(name)
        if channels is None:
            return self.ablation(name, x)
        if x.shape[-1] != len(channels):
            x = x.index_select(-1, channels)
        x = self.ablation(name, x)
        if not name.endswith("resid_delta"):
            return x
        everything = self.reduction.means[name].to(x.dtype).expand(*x.shape[:-1], -1)
        return everything.index_copy(-1, channels, x)
