"""Activations of nodes on text: a histogram and some snippets of text for each node.

There are two passes over the same rows of tokens. The first finds the lowest and the highest activation of each node,
and the places where they occur. The second computes the histograms between these bounds and cuts out the snippets. Only
one batch of activations is in RAM at a time, so the use of RAM does not grow with the amount of text.
Shapes: N rows, B rows in a batch, T tokens in a row, K shown nodes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsegpt2.circuits.gates import frozen
from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.sites import Record
from sparsegpt2.progress import Progress
from sparsegpt2.viewer.graph import Shown, short
from sparsegpt2.viewer.schema import Activations, Snippet

BINS = 40
"""Number of bins in a histogram."""
TOP, BOTTOM, RANDOM = 6, 4, 4
"""Number of snippets of each kind: with the highest activations, with the lowest, and at random places."""
SPARE = 3
"""For each snippet, this many candidates are kept. The prompts of a pair begin with the same text, so many candidates
show the same snippet and are dropped."""
BEFORE, AFTER = 26, 9
"""Number of tokens in a snippet before and after its peak, the token that the snippet was chosen for."""
HUNDREDTHS = 100
"""The activations in a snippet are stored as whole numbers: this number stands for the node's largest magnitude."""


@dataclass(frozen=True)
class Text:
    """Rows of tokens from one source."""

    tokens: Tensor
    """[N, T] int64, right-padded."""
    lengths: Tensor
    """[N] int64, number of tokens in each row, not counting padding."""

    def rows(self) -> list[list[int]]:
        """The rows as lists of token ids, without padding."""
        return [row[:length].tolist() for row, length in zip(self.tokens, self.lengths.tolist(), strict=True)]


@dataclass
class _Found:
    """Result of the first pass. Tensors have the shape [K], except those in `top` and `bottom`: [candidates, K]."""

    total: Tensor
    """Sum over all tokens."""
    zeros: Tensor
    """Number of tokens at which the node is exactly 0."""
    low: Tensor
    high: Tensor
    top: tuple[Tensor, Tensor]
    """(values, places) of the highest activations, at most one per row. A place is row * T + position."""
    bottom: tuple[Tensor, Tensor]
    """The same for the lowest activations."""


@torch.no_grad()
def node_activations(
    model: GPT, text: Text, shown: Shown, *, batch_size: int, seed: int, progress: Progress | None, what: str
) -> list[Activations]:
    """The activations of the shown nodes on `text`, in the whole model, computed in float32. The list has an entry for
    each node, in the order of `shown.nodes`.

    what: name of the text, for the progress display.
    """
    length, tokens = text.tokens.shape[1], int(text.lengths.sum())
    with frozen(model, torch.float32):
        found = _first_pass(_batches(model, text, shown, batch_size, progress, f"{what}: extremes"), shown, length)
        random = _random_places(text, len(shown.nodes), seed)
        cuts = {  # kind of snippet -> for each node, the places that its snippets are cut from
            "top": _distinct(found.top[1], text, TOP),
            "bottom": _distinct(found.bottom[1], text, BOTTOM),
            "random": random.T.tolist(),
        }
        counts, snippets = _second_pass(
            _batches(model, text, shown, batch_size, progress, f"{what}: snippets"), found, cuts, text
        )
    scale = torch.maximum(found.low.abs(), found.high.abs())
    return [
        {
            "mean": short(float(found.total[k]) / tokens),
            "low": short(float(found.low[k])),
            "high": short(float(found.high[k])),
            "scale": short(float(scale[k])),
            "zeros": short(float(found.zeros[k]) / tokens),
            "counts": counts[k].tolist(),
            "top": [snippets[k, place] for place in cuts["top"][k]],
            "bottom": [snippets[k, place] for place in cuts["bottom"][k]],
            "random": [snippets[k, place] for place in cuts["random"][k]],
        }
        for k in range(len(shown.nodes))
    ]


def _batches(
    model: GPT, text: Text, shown: Shown, batch_size: int, progress: Progress | None, what: str
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield for each batch: (number of its first row, activations [B, T, K], bool mask [B, T] of positions that are not
    padding). Tensors are on the CPU."""
    positions = torch.arange(text.tokens.shape[1])
    for start in range(0, len(text.tokens), batch_size):
        batch = text.tokens[start : start + batch_size].to(model.wte.weight.device)
        record = Record(shown.by_site)
        # The logits are not needed. Computing them at only one position skips most of the unembedding.
        model(batch, site=record, position=torch.zeros(len(batch), dtype=torch.int64, device=batch.device))
        parts = [record.values[site][..., channels].float().cpu() for site, channels in shown.by_site.items()]
        valid = positions < text.lengths[start : start + batch_size, None]
        yield start, torch.cat(parts, dim=-1), valid
        if progress is not None:
            progress(min(start + batch_size, len(text.tokens)), len(text.tokens), what)


def _first_pass(batches: Iterator[tuple[int, Tensor, Tensor]], shown: Shown, length: int) -> _Found:
    width = len(shown.nodes)
    nothing = (torch.empty(0, width), torch.empty(0, width, dtype=torch.int64))
    found = _Found(
        torch.zeros(width, dtype=torch.float64),
        torch.zeros(width, dtype=torch.int64),
        torch.full((width,), torch.inf),
        torch.full((width,), -torch.inf),
        nothing,
        nothing,
    )
    for start, values, valid in batches:
        mask = valid[..., None]
        found.total += (values * mask).sum(dim=(0, 1), dtype=torch.float64)
        found.zeros += ((values == 0) & mask).sum(dim=(0, 1))
        high, low = values.masked_fill(~mask, -torch.inf), values.masked_fill(~mask, torch.inf)
        found.top = _merge(found.top, high, start, length, SPARE * TOP, largest=True)
        found.bottom = _merge(found.bottom, low, start, length, SPARE * BOTTOM, largest=False)
    found.high, found.low = found.top[0].amax(dim=0), found.bottom[0].amin(dim=0)
    return found


def _merge(
    best: tuple[Tensor, Tensor], values: Tensor, start: int, length: int, count: int, *, largest: bool
) -> tuple[Tensor, Tensor]:
    """Update the `count` highest (or lowest) values of each node with the highest (or lowest) value in each new row.

    best: (values, places) so far. values: activations [B, T, K] of the rows from `start` on. length: T. Returns the new
    (values, places), each [at most `count`, K]. If values are equal, the earlier place is kept.
    """
    extreme, position = values.max(dim=1) if largest else values.min(dim=1)  # [B, K]
    rows = torch.arange(start, start + len(values))[:, None]
    joined, places = torch.cat([best[0], extreme]), torch.cat([best[1], rows * length + position])
    order = joined.sort(dim=0, descending=largest, stable=True).indices[:count]
    return joined.gather(0, order), places.gather(0, order)


def _distinct(places: Tensor, text: Text, count: int) -> list[list[int]]:
    """For each node, up to `count` of its `places` [candidates, K], in order.

    If several snippets have the same tokens up to the peak, only the first is used.
    """
    chosen = []
    for candidates in places.T.tolist():
        seen: dict[tuple[int, ...], int] = {}
        for place in candidates:
            row, peak = divmod(place, text.tokens.shape[1])
            seen.setdefault(tuple(text.tokens[row, max(0, peak - BEFORE) : peak + 1].tolist()), place)
        chosen.append(list(seen.values())[:count])
    return chosen


def _random_places(text: Text, nodes: int, seed: int) -> Tensor:
    """Random places (row * T + position), int64 [RANDOM, K]. They depend only on the seed and the lengths of rows."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(len(text.tokens), (RANDOM, nodes), generator=generator)
    position = (torch.rand(RANDOM, nodes, generator=generator) * text.lengths[rows]).long()
    return rows * text.tokens.shape[1] + position


def _second_pass(
    batches: Iterator[tuple[int, Tensor, Tensor]], found: _Found, cuts: dict[str, list[list[int]]], text: Text
) -> tuple[Tensor, dict[tuple[int, int], Snippet]]:
    """(histograms, int64 [K, BINS]; (node, place) -> snippet, for every place in `cuts`).

    cuts: kind of snippet -> for each node, its places.
    """
    length, width = text.tokens.shape[1], len(found.low)
    wanted: dict[int, set[tuple[int, int]]] = defaultdict(set)  # row -> (node, place)
    for by_node in cuts.values():
        for node, places in enumerate(by_node):
            for place in places:
                wanted[place // length].add((node, place))
    counts = torch.zeros(width * BINS, dtype=torch.int64)
    snippets: dict[tuple[int, int], Snippet] = {}
    scale = torch.maximum(found.low.abs(), found.high.abs()).clamp(min=1e-30)
    span = (found.high - found.low).clamp(min=1e-30)
    for start, values, valid in batches:
        bins = ((values - found.low) / span * BINS).long().clamp(0, BINS - 1) + torch.arange(width) * BINS
        counts += torch.bincount(bins[valid[..., None] & (values != 0)], minlength=width * BINS)
        parts = (values / scale * HUNDREDTHS).round().to(torch.int8)
        for row in range(start, start + len(values)):
            for node, place in wanted[row]:
                peak, end = place % length, int(text.lengths[row])
                first = max(0, peak - BEFORE)
                stretch = parts[row - start, first : min(end, peak + AFTER + 1), node].tolist()
                snippets[node, place] = {"row": row, "start": first, "peak": peak, "values": stretch}
    return counts.view(width, BINS), snippets
