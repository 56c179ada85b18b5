"""The parts of the one forward: norm, sublayers, attention and MLP (paper, section 2.1 and A.1); `gpt.py` joins them.

Shapes: B rows, T positions, H heads (n_head), D d_model, A = H * d_head, M d_mlp, P d_pos.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sparsegpt2.config import GPTConfig
from sparsegpt2.kernels import linear as kernels
from sparsegpt2.kernels.abs_topk import abs_topk
from sparsegpt2.kernels.attention import sink_attention
from sparsegpt2.kernels.fused import activation_topk, add_topk, norm_topk
from sparsegpt2.kernels.product import Product
from sparsegpt2.model.sites import Site, Streams


def linear(x: Tensor, layer: nn.Linear, rows: slice = slice(None)) -> Tensor:
    """x [..., in] -> [..., out], or only the outputs `rows`. The result has x's dtype; weights are cast to it."""
    if rows == slice(None):
        product: Product | None = getattr(layer, "sparse_product", None)  # see GPT.to_sparse
        if product is not None and x.dtype == product.dtype and not x.requires_grad:
            return product(x, layer.bias)
        return kernels.linear(x, layer.weight, layer.bias)
    return kernels.linear(x, layer.weight[rows], None if layer.bias is None else layer.bias[rows])


def at_position(x: Tensor, position: Tensor) -> Tensor:
    """The entry of x [B, T, ...] at `position` [B] of each row: [B, ...]."""
    return x[torch.arange(len(position), device=x.device), position]


class Table(nn.Embedding):
    """An embedding that draws no initial values on the meta device, where torch would first import sympy for 3 s."""

    def reset_parameters(self) -> None:
        if not self.weight.is_meta:
            super().reset_parameters()


class Norm(nn.Module):
    """RMSNorm, LayerNorm or nothing, computed in float32 over the last axis."""

    def __init__(self, config: GPTConfig, width: int) -> None:
        super().__init__()
        self.kind, self.width, self.eps = config.norm, width, config.norm_eps
        if self.kind != "none":
            self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if self.kind == "layer" and config.norm_bias else None

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "rms":
            return F.rms_norm(x, (self.width,), self.weight, self.eps)
        if self.kind == "layer":
            return F.layer_norm(x, (self.width,), self.weight, self.bias, self.eps)
        return x


class Sublayer(nn.Module):
    """What attention and MLP share: norm and position channels at the input, AbsTopK and a site at each place.

    A place is the last part of a site's name, such as `act_in` or `resid_delta`.
    """

    def __init__(self, config: GPTConfig, layer: int, kind: str) -> None:
        super().__init__()
        self.name, self.component = f"{layer}.{kind}", f"{kind[0]}{layer}"
        self.keep = {
            place: config.keep_at(f"{kind}.{place}")
            for place in ("act_in", "q", "k", "v", "post_act", "resid_delta", "resid_post")
        }
        self.relu_residual = config.residual_activation == "relu"
        self.positions_compete = config.positions_compete
        self.norm = Norm(config, config.d_model)
        if config.d_pos:
            self.position_norm = Norm(config, config.d_pos)

    def at(self, place: str, x: Tensor, site: Site | None) -> Tensor:
        """Apply AbsTopK, if the model has it at this place, then the function `site` of the caller."""
        keep = self.keep[place]
        return self.see(place, x if keep is None else abs_topk(x, keep), site)

    def see(self, place: str, x: Tensor, site: Site | None) -> Tensor:
        """Apply the caller's `site` only, for values that have already been through AbsTopK."""
        return x if site is None else site(f"{self.name}.{place}", x)

    def read_competing(self, x: Tensor, positions: Tensor, site: Site | None, dtype: torch.dtype) -> Tensor:
        """`read` for models in which AbsTopK chooses among residual and position channels together."""
        channels = self.position_norm(positions).to(dtype).expand(*x.shape[:-1], -1)  # [B, T, P]
        h = torch.cat([self.norm(x).to(dtype), channels], dim=-1)
        h = h if self.keep["act_in"] is None else abs_topk(h, self.keep["act_in"])
        if site is None:
            return h
        own = site(f"{self.name}.act_in", h[..., : x.shape[-1]])  # position channels are not nodes
        return torch.cat([own, h[..., x.shape[-1] :]], dim=-1)

    def read(self, x: Tensor, positions: Tensor | None, site: Site | None, dtype: torch.dtype) -> Tensor:
        """Residual stream [B, T, D] -> input of the sublayer's first linear map [B, T, D + P]."""
        if positions is not None and self.positions_compete:
            return self.read_competing(x, positions, site, dtype)
        if self.norm.kind == "rms":
            h = self.see("act_in", norm_topk(x, self.norm.weight, self.norm.eps, self.keep["act_in"], dtype), site)
        else:
            h = self.at("act_in", self.norm(x).to(dtype), site)
        if positions is None:
            return h
        channels = self.position_norm(positions).to(dtype)  # [T, P]
        return torch.cat([h, channels.expand(*h.shape[:-1], -1)], dim=-1)

    def write(
        self, x: Tensor, delta: Tensor, site: Site | None, streams: Streams | None = None, heads: Tensor | None = None
    ) -> Tensor:
        """Add the sublayer's output `delta` to the residual stream x, both [B, T, D]. heads: as in `Streams.wrote`."""
        if site is None and streams is None:
            x = add_topk(x, delta, self.keep["resid_delta"])
        else:
            delta = self.at("resid_delta", delta, site)
            if streams is not None:
                streams.wrote(self.component, delta, heads)
            x = x + delta
        if self.relu_residual:
            x = F.relu(x)
        return self.at("resid_post", x, site)


class Attention(Sublayer):
    """Multi-head attention with an optional sink logit per head."""

    def __init__(self, config: GPTConfig, layer: int) -> None:
        super().__init__(config, layer, "attn")
        self.n_head, self.d_head, self.causal = config.n_head, config.d_head, config.causal
        self.c_attn = nn.Linear(config.d_model + config.d_pos, 3 * config.d_attn, bias=config.bias)  # rows: q, k, v
        self.c_proj = nn.Linear(config.d_attn, config.d_model, bias=config.bias)
        self.sink = nn.Parameter(torch.zeros(config.n_head)) if config.sink else None

    def heads(self, x: Tensor) -> Tensor:
        """[B, T, A] -> [B, H, T, d_head]."""
        return x.unflatten(-1, (self.n_head, self.d_head)).transpose(1, 2)

    def read_by_head(
        self, x: Tensor, positions: Tensor | None, site: Site | None, dtype: torch.dtype, streams: Streams
    ) -> Tensor:
        """q, k and v concatenated, [B, T, 3 A]. Each head reads each of them from its own residual stream."""
        parts = []
        for index, part in enumerate("qkv"):
            for head in range(self.n_head):
                own = streams.read(f"{self.component}.h{head}.{part}", x)
                first = (index * self.n_head + head) * self.d_head
                h = self.read(own, positions, site, dtype)
                parts.append(linear(h, self.c_attn, slice(first, first + self.d_head)))  # [B, T, d_head]
        return torch.cat(parts, dim=-1)

    def forward(
        self,
        x: Tensor,
        positions: Tensor | None,
        site: Site | None,
        dtype: torch.dtype,
        position: Tensor | None = None,
        streams: Streams | None = None,
    ) -> Tensor:
        """The residual stream [B, T, D] after this sublayer, or only at `position` [B] of each row: [B, 1, D]."""
        if streams is not None:
            q, k, v = self.read_by_head(x, positions, site, dtype, streams).chunk(3, dim=-1)
        elif position is None:
            q, k, v = linear(self.read(x, positions, site, dtype), self.c_attn).chunk(3, dim=-1)  # each [B, T, A]
        else:
            h = self.read(x, positions, site, dtype)
            x, width = at_position(x, position)[:, None], self.n_head * self.d_head
            q = linear(at_position(h, position)[:, None], self.c_attn, slice(0, width))  # [B, 1, A]
            k, v = linear(h, self.c_attn, slice(width, None)).chunk(2, dim=-1)
        q, k, v = self.at("q", q, site), self.at("k", k, site), self.at("v", v, site)
        mixed = sink_attention(
            self.heads(q), self.heads(k), self.heads(v), self.sink, causal=self.causal, position=position
        )
        mixed = mixed.transpose(1, 2).flatten(-2)  # [B, T, A]
        return self.write(x, linear(mixed, self.c_proj), site, streams, mixed)


class MLP(Sublayer):
    """Two linear maps with a nonlinearity between them."""

    def __init__(self, config: GPTConfig, layer: int) -> None:
        super().__init__(config, layer, "mlp")
        self.activation = config.activation
        self.c_fc = nn.Linear(config.d_model + config.d_pos, config.d_mlp, bias=config.bias)
        self.c_proj = nn.Linear(config.d_mlp, config.d_model, bias=config.bias)

    def forward(
        self,
        x: Tensor,
        positions: Tensor | None,
        site: Site | None,
        dtype: torch.dtype,
        streams: Streams | None = None,
    ) -> Tensor:
        own = x if streams is None else streams.read(self.component, x)
        h = linear(self.read(own, positions, site, dtype), self.c_fc)  # [B, T, M]
        h = self.see("post_act", activation_topk(h, self.activation, self.keep["post_act"]), site)
        return self.write(x, linear(h, self.c_proj), site, streams)


class Block(nn.Module):
    """One layer: an attention and an MLP sublayer."""

    def __init__(self, config: GPTConfig, layer: int) -> None:
        super().__init__()
        self.attn = Attention(config, layer)
        self.mlp = MLP(config, layer)
