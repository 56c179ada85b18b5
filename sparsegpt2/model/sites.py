"""Named sites of the forward pass: what can be recorded, ablated, masked, patched or steered.

A site is a point where the forward calls `x = site(name, x)`. The function `site`, passed to one forward call, sees
every such tensor and returns the tensor that the network continues with. Without such a function, a site costs
nothing. Shapes: B rows, T positions, C channels of a site, D d_model, A = n_head * d_head.

Node sites of layer i (docs/definitions.md, Node):
`i.attn.act_in`, `i.attn.q`, `i.attn.k`, `i.attn.v`, `i.attn.resid_delta`,
`i.mlp.act_in`, `i.mlp.post_act`, `i.mlp.resid_delta`.
The forward also calls `embed`, `i.attn.resid_post`, `i.mlp.resid_post` (the residual stream) and `final.act_in` (after
the last norm); they carry no nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from torch import Tensor

from sparsegpt2.config import NODE_PLACES, GPTConfig

Site = Callable[[str, Tensor], Tensor]
"""Passed to one forward call: (site name, x [B, T, C]) -> x of the same shape."""


class Streams(Protocol):
    """Passed to one forward call: gives each reader of the residual stream its own input.

    A reader is a part of the model that reads the residual stream: q, k or v of head j in layer i (`a{i}.h{j}.q` and so
    on), the MLP of layer i (`m{i}`), or the unembedding (`logits`). A writer adds to the residual stream: the embedding
    (`emb`), or attention or MLP of layer i (`a{i}`, `m{i}`). The act_in sites are called once for each reader. Nothing
    else in the forward pass changes.
    """

    def read(self, reader: str, x: Tensor) -> Tensor:
        """What `reader` reads, [B, T, D], in place of the residual stream x [B, T, D]."""
        ...

    def wrote(self, writer: str, delta: Tensor, heads: Tensor | None = None) -> None:
        """Called with what `writer` adds to the residual stream, [B, T, D], as soon as it is computed.

        heads: for attention, the input of c_proj, [B, T, A], one head after the other.
        """
        ...


def node_sites(config: GPTConfig) -> dict[str, int]:
    """Every node site, in forward order, with its number of channels."""
    return {f"{layer}.{place}": config.width_of(place) for layer in range(config.n_layer) for place in NODE_PLACES}


def place_of(site: str) -> str:
    """`3.mlp.post_act` -> `mlp.post_act`."""
    return site.split(".", 1)[1]


class Record:
    """Keeps the tensors at the named sites (None: at all sites): `record.values[name]`, detached, [B, T, C]."""

    def __init__(self, names: Iterable[str] | None = None) -> None:
        self.names = None if names is None else set(names)
        self.values: dict[str, Tensor] = {}

    def __call__(self, name: str, x: Tensor) -> Tensor:
        if self.names is None or name in self.names:
            self.values[name] = x.detach()
        return x


class Chain:
    """Calls several site functions one after the other."""

    def __init__(self, *sites: Site) -> None:
        self.sites = sites

    def __call__(self, name: str, x: Tensor) -> Tensor:
        for site in self.sites:
            x = site(name, x)
        return x
