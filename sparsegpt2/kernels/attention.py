"""Causal attention with a sink: one extra logit per head in the softmax denominator.

Shapes: B rows, H heads, T positions, d head channels.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sparsegpt2.kernels.dispatch import cpu_kernels, over_rows, trial


def sink_attention(
    q: Tensor, k: Tensor, v: Tensor, sink: Tensor | None, *, causal: bool, position: Tensor | None = None
) -> Tensor:
    """Attention of q, k and v, each [B, H, T, d] and of one dtype. The result is [B, H, T, d] of that dtype.

    sink: logits [H], or None for no sink. causal: whether a query attends only to its own and earlier positions.
    position: [B] int64, given if each row has a single query: the position of that query. Then q and the result are
    [B, H, 1, d].
    """
    if position is not None:
        return _one_query(q, k, v, sink, position, causal=causal)
    kernels = cpu_kernels(q, "attention")
    if kernels is not None and q.dtype == torch.bfloat16 and q.shape[-1] == kernels.attention.D:
        mixed: Tensor = _NarrowHeads.apply(q, k, v, sink, causal)
        return mixed
    if sink is None:
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    if q.device.type == "cpu":
        # float32 inside: with 16 channels in a head the fused CPU kernel is 3 times slower in bfloat16
        mixed = _FlashSinkCPU.apply(q.float(), k.float(), v.float(), sink.float(), causal)
        return mixed.to(v.dtype)
    return sink_attention_padded(q, k, v, sink, causal=causal)


class _NarrowHeads(torch.autograd.Function):
    """Attention with the compiled loops of `cpu/attention.py`, for bfloat16 and heads of 16 channels."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, sink: Tensor | None, causal: bool) -> Tensor:
        kernels = cpu_kernels(q, "attention")
        assert kernels is not None
        rows, heads, length, d = q.shape
        flat = [_flat(x) for x in (q, k, v)]
        out = q.new_empty(rows, length, heads * d)
        lse = torch.empty(rows * heads, length)
        logits = torch.empty(0) if sink is None else sink.detach().float()
        strides = (*(stride for _, stride in flat), heads * d)
        arrays = [array for array, _ in flat]
        shape = (logits.numpy(), heads, length, causal)
        over_rows(
            kernels.attention.attend, rows * heads, *arrays, strides, *shape, out.view(torch.int16).view(-1).numpy(),
            lse.numpy(),
        )  # fmt: skip
        ctx.save_for_backward(q, k, v, sink, out, lse)
        ctx.causal = causal
        return out.unflatten(-1, (heads, d)).transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, sink, out, lse = ctx.saved_tensors
        kernels = cpu_kernels(q, "attention")
        assert kernels is not None
        rows, heads, length, d = q.shape
        flat = [_flat(x) for x in (q, k, v)]
        grad, grad_stride = _flat(gradients[0])
        of_qkv = q.new_empty(rows, length, 3 * heads * d)  # in one buffer, like q, k and v
        parts = of_qkv.chunk(3, dim=-1)
        targets = tuple(part.as_strided((_span(part),), (1,)).view(torch.int16).numpy() for part in parts)
        paid = torch.empty(rows * heads)
        logits = torch.empty(0) if sink is None else sink.detach().float()
        strides = (*(stride for _, stride in flat), heads * d, grad_stride, 3 * heads * d)
        over_rows(
            kernels.attention.attend_backward, rows * heads, grad, out.view(torch.int16).view(-1).numpy(),
            *(array for array, _ in flat), strides, logits.numpy(), heads, length, ctx.causal, lse.numpy(), targets,
            paid.numpy(),
        )  # fmt: skip
        of_sink = None if sink is None else paid.view(rows, heads).sum(0).to(sink.dtype)
        return (*(part.unflatten(-1, (heads, d)).transpose(1, 2) for part in parts), of_sink, None)


@trial("attention")
def _try_loops() -> None:
    q = torch.ones(1, 1, 2, 16, dtype=torch.bfloat16, device="cpu", requires_grad=True)
    sink = torch.zeros(1, device="cpu", requires_grad=True)
    sink_attention(q, q, q, sink, causal=True).sum().backward()


def _flat(x: Tensor) -> tuple[Any, int]:
    """Returns (x [B, H, T, d] bfloat16 as a flat int16 array, the distance in it from one position to the next).

    x is not copied if it is a view of a tensor [B, T, W] in which its H * d channels are next to each other.
    """
    rows, heads, length, d = x.shape
    stride = x.stride(0) // length
    if x.stride() != (length * stride, d, stride, 1):
        x = x.detach().transpose(1, 2).contiguous().transpose(1, 2)
        stride = heads * d
    span = (rows * length - 1) * stride + heads * d
    return x.detach().as_strided((span,), (1,)).view(torch.int16).numpy(), stride


def _span(x: Tensor) -> int:
    """Number of entries in memory from the first entry of x [B, T, H * d] to its last."""
    return (x.shape[0] * x.shape[1] - 1) * x.stride(1) + x.shape[2]


class _FlashSinkCPU(torch.autograd.Function):
    """Torch's fused CPU kernel with an exact correction for the sink. It is as fast as attention without a sink.

    Let S be the scores of a query, P their softmax, L their log-sum-exp and b the sink logit. The softmax over scores
    and sink is P times exp(L - L'), where L' = log(exp L + exp b). The fused backward kernel is given the output O and
    L. From them it computes the gradient of the scores, dS = P (dP - sum(dO * O)). Here dP and dO are the gradients of
    P and of O, and the sum is over the channels. If the kernel is given the output and the log-sum-exp with the sink
    instead, it returns the gradients with the sink.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, sink: Tensor, causal: bool) -> Tensor:
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, causal)
        lse_sink = torch.logaddexp(lse, sink[None, :, None])  # [B, H, T]
        out = out * torch.exp(lse - lse_sink).unsqueeze(-1)
        ctx.save_for_backward(q, k, v, out, lse_sink, sink)
        ctx.causal = causal
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        q, k, v, out, lse_sink, sink = ctx.saved_tensors
        backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
        dq, dk, dv = backward(gradients[0], q, k, v, out, lse_sink, 0.0, ctx.causal)
        share = torch.exp(sink[None, :, None] - lse_sink)  # attention paid to the sink, [B, H, T]
        dsink = -(share * (gradients[0] * out).sum(-1)).sum((0, 2))
        return dq, dk, dv, dsink, None


def sink_attention_padded(q: Tensor, k: Tensor, v: Tensor, sink: Tensor, *, causal: bool) -> Tensor:
    """`sink_attention` with any fused kernel: the sink becomes an extra first position whose value is zero.

    Extra head channels carry its logit. In one of them every query is 1, the key of the extra position is the logit
    times sqrt(d), by which scores are divided, and all other keys are 0. Eight channels are added, because fused CUDA
    kernels need a multiple of eight.
    """
    d = q.shape[-1]
    q = F.pad(F.pad(q, (0, 1), value=1.0), (0, 7, 1, 0))  # [B, H, 1 + T, d + 8]
    v = F.pad(v, (0, 8, 1, 0))
    logit = (sink * math.sqrt(d)).to(k.dtype)[None, :, None, None].expand(len(k), -1, 1, 1)
    k = torch.cat([F.pad(logit, (d, 7)), F.pad(k, (0, 8))], dim=2)
    mixed = F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=1 / math.sqrt(d))
    return mixed[:, :, 1:, :d]


def _one_query(q: Tensor, k: Tensor, v: Tensor, sink: Tensor | None, position: Tensor, *, causal: bool) -> Tensor:
    """Attention of q [B, H, 1, d] at `position` [B] over k and v [B, H, T, d]: [B, H, 1, d], in float32 inside."""
    scores = (q.float() @ k.float().transpose(-1, -2)) / math.sqrt(q.shape[-1])  # [B, H, 1, T]
    if causal:
        future = torch.arange(k.shape[-2], device=k.device) > position[:, None]  # [B, T]
        scores = scores.masked_fill(future[:, None, None], -math.inf)
    return (_softmax_with_sink(scores, sink) @ v.float()).to(v.dtype)


def attention_pattern(q: Tensor, k: Tensor, sink: Tensor | None, *, causal: bool) -> Tensor:
    """Attention weights [B, H, T, T] float32; with a sink the rows sum to less than 1."""
    scores = (q.float() @ k.float().transpose(-1, -2)) / math.sqrt(q.shape[-1])  # [B, H, T, T]
    if causal:
        length = q.shape[-2]
        future = torch.ones(length, length, dtype=torch.bool, device=q.device).triu(1)
        scores = scores.masked_fill(future, -math.inf)
    return _softmax_with_sink(scores, sink)


def _softmax_with_sink(scores: Tensor, sink: Tensor | None) -> Tensor:
    """Softmax of scores [B, H, Q, T] float32, for Q queries. With a sink [H] a query's weights sum to less than 1."""
    if sink is None:
        return scores.softmax(dim=-1)
    column = sink.float()[None, :, None, None].expand(*scores.shape[:-1], 1)
    return torch.cat([scores, column], dim=-1).softmax(dim=-1)[..., :-1]


def sink_attention_reference(q: Tensor, k: Tensor, v: Tensor, sink: Tensor | None, *, causal: bool) -> Tensor:
    """The definition of `sink_attention`. It stores the whole [T, T] pattern."""
    return (attention_pattern(q, k, sink, causal=causal) @ v.float()).to(v.dtype)
