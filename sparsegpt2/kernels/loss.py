"""Next-token loss from the last hidden state, in chunks of rows, so that the logits are never all stored.

Shapes: N tokens, n tokens of one chunk, D channels, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sparsegpt2.kernels.abs_topk import as_rows
from sparsegpt2.kernels.dispatch import CpuKernels, cpu_kernels, over_rows, trial
from sparsegpt2.kernels.linear import compressed_if_faster

CHUNK_ENTRIES = 1 << 21
"""Number of logits in one chunk. In float32 a chunk takes 8 MB, so it stays in the CPU's cache."""


def next_token_loss(h: Tensor, weight: Tensor, bigram: Tensor | None, tokens: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy in nats, a float32 scalar.

    h: [N, D] in the dtype in which the model computes. weight: [V, D] float32, the unembedding. bigram: [V, V] float32
    or None; its row for the current token is added to the logits. tokens, targets: [N] int64.

    The forward pass computes the gradients too, chunk by chunk, while it has the logits of the chunk. Otherwise the
    logits of the whole batch would have to be stored for the backward pass, and in float32 they would be the largest
    tensor of a step.
    """
    if not torch.is_grad_enabled():
        return _chunked(h, weight, bigram, tokens, targets)
    loss: Tensor = _NextTokenLoss.apply(h, weight, bigram, tokens, targets)
    return loss


class _NextTokenLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor, bigram: Tensor | None, tokens: Tensor, targets: Tensor) -> Tensor:
        gradients = [
            torch.empty_like(h) if h.requires_grad else None,
            torch.zeros_like(weight) if weight.requires_grad else None,
            torch.zeros_like(bigram) if bigram is not None and bigram.requires_grad else None,
        ]
        ctx.gradients = gradients
        return _chunked(h, weight, bigram, tokens, targets, gradients)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients, None
        if outer[0].is_cuda or outer[0] != 1:  # on a GPU the comparison would make the host wait
            # in place, because nothing else refers to them and backward runs only once
            gradients = [None if gradient is None else gradient.mul_(outer[0]) for gradient in gradients]
        return (*gradients, None, None)


def _chunked(
    h: Tensor,
    weight: Tensor,
    bigram: Tensor | None,
    tokens: Tensor,
    targets: Tensor,
    gradients: list[Tensor | None] | None = None,
) -> Tensor:
    """The mean loss. gradients: [of h, of weight, of bigram], tensors that receive the gradients. None: not wanted."""
    kernels = cpu_kernels(h, "loss", "sparse")
    if kernels is not None and h.dtype == torch.bfloat16:
        return _chunked_cpu(kernels, h, weight, bigram, tokens, targets, gradients)
    matrix = weight.detach().to(h.dtype)
    rows = max(1, CHUNK_ENTRIES // len(weight))
    total = torch.zeros((), dtype=torch.float32, device=h.device)
    for start in range(0, len(h), rows):
        chunk = slice(start, start + rows)
        logits = (h[chunk].detach() @ matrix.T).float()  # [n, V]
        if bigram is not None:
            logits += bigram.detach()[tokens[chunk]]
        log_total = logits.logsumexp(dim=-1)
        total += (log_total - logits.gather(1, targets[chunk, None]).squeeze(1)).sum()
        if gradients is None:
            continue
        residue = logits.sub_(log_total[:, None]).exp_()  # the softmax; the next line subtracts 1 at the target
        residue.scatter_add_(1, targets[chunk, None], residue.new_full((len(residue), 1), -1.0))
        residue /= len(h)
        of_h, of_weight, of_bigram = gradients
        if of_bigram is not None:
            of_bigram.index_add_(0, tokens[chunk], residue)
        low = residue.to(h.dtype)
        if of_h is not None:
            torch.mm(low, matrix, out=of_h[chunk])
        if of_weight is not None:
            of_weight += low.T @ h[chunk].detach()
    return total / len(h)


def _chunked_cpu(
    kernels: CpuKernels,
    h: Tensor,
    weight: Tensor,
    bigram: Tensor | None,
    tokens: Tensor,
    targets: Tensor,
    gradients: list[Tensor | None] | None,
) -> Tensor:
    """`_chunked` in bfloat16 on the CPU, with one pass over each row of logits.

    Rows are sorted by token. So each row of the bigram table, and of its gradient, is fetched once for all positions
    with that token.
    """
    order = tokens.argsort(stable=True)
    h, tokens, targets = h.detach()[order], tokens[order], targets[order]
    of_h, of_weight, of_bigram = gradients or (None, None, None)
    matrix, sparse = weight.detach().to(h.dtype), compressed_if_faster(weight, len(h), kernels)
    turned = None if sparse is None or of_h is None else sparse.transposed(kernels)
    table = torch.empty(0, 0) if bigram is None else bigram.detach()
    of_table = torch.empty(0, 0) if of_bigram is None else of_bigram
    losses, sorted_of_h = torch.empty(len(h)), torch.empty_like(h)
    rows = max(1, CHUNK_ENTRIES // len(weight))
    for start in range(0, len(h), rows):
        chunk = slice(start, start + rows)
        logits = h[chunk] @ matrix.T if sparse is None else sparse.times(h[chunk], None, kernels)  # [n, V]
        over_rows(
            kernels.loss.loss_rows, len(logits), as_rows(logits), table.numpy(), tokens[chunk].numpy(),
            targets[chunk].numpy(), 1 / len(h), losses[chunk].numpy(), of_table.numpy(), gradients is not None,
        )  # fmt: skip
        if turned is not None:
            sorted_of_h[chunk] = turned.times(logits, None, kernels)
        elif of_h is not None:
            torch.mm(logits, matrix, out=sorted_of_h[chunk])
        if of_weight is not None:
            of_weight += logits.T @ h[chunk]
    if of_h is not None:
        of_h[order] = sorted_of_h
    return losses.mean()


@trial("loss")
def _try_loops() -> None:
    h = torch.zeros(2, 16, dtype=torch.bfloat16, device="cpu", requires_grad=True)
    weight, table = torch.zeros(32, 16, device="cpu"), torch.zeros(32, 32, device="cpu")
    ids = torch.zeros(2, dtype=torch.int64, device="cpu")
    next_token_loss(h, weight.requires_grad_(), table.requires_grad_(), ids, ids).backward()


def next_token_loss_reference(
    h: Tensor, weight: Tensor, bigram: Tensor | None, tokens: Tensor, targets: Tensor
) -> Tensor:
    """The definition of `next_token_loss`. It stores all logits."""
    logits = (h @ weight.to(h.dtype).T).float()
    if bigram is not None:
        logits = logits + bigram[tokens]
    return F.cross_entropy(logits, targets)
