"""How well component circuits reproduce the full model, and how they compare with a known circuit or with each other.

Shapes: N masks, B rows, V vocabulary, W writers, R readers (docs/definitions.md, Writer and reader), E edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsegpt2.circuits.losses import accuracy, task_loss
from sparsegpt2.components.objectives import damage, logit_difference
from sparsegpt2.components.problem import Problem, Trial


@dataclass(frozen=True, kw_only=True)
class ComponentScore:
    """Scores of a circuit, and of the full model in the fields that end in `_full`, on the same prompts.

    Every value is a mean over rows. KL and losses are in nats.
    """

    kl: float
    """KL(full || circuit) over the whole vocabulary, after the last token of the prompt."""
    logit_difference: float
    """Logit of the right choice minus that of the wrong one."""
    logit_difference_full: float
    exact_match: float
    """Share of rows on which circuit and full model have the same most likely token."""
    accuracy: float
    """Share of rows on which the right choice has a higher probability than the wrong one."""
    accuracy_full: float
    loss: float
    """Task loss."""
    loss_full: float


@torch.no_grad()
def score_masks(problem: Problem, masks: Tensor, *, split: str, pairs: int, seed: int = 0) -> list[ComponentScore]:
    """Score each of the masks [N, W, R], all on the same prompt pairs. pairs: number of pairs; split: their split."""
    trial = problem.trial(split, pairs, seed)
    at_once = max(1, problem.config.rows // len(trial))
    scores = []
    for group in masks.to(problem.device).split(at_once):
        scores += [score_logits(logits, trial) for logits in problem.logits(trial, group)]
    return scores


def score_logits(logits: Tensor, trial: Trial) -> ComponentScore:
    """Compare a circuit's logits [B, V] on the rows of `trial` with the full model's."""
    batch, full = trial.batch, trial.full
    return ComponentScore(
        kl=float(damage("kl", logits, full, batch).mean()),
        logit_difference=float(logit_difference(logits, batch).mean()),
        logit_difference_full=float(logit_difference(full, batch).mean()),
        exact_match=float((logits.argmax(-1) == full.argmax(-1)).float().mean()),
        accuracy=accuracy(logits, batch),
        accuracy_full=accuracy(full, batch),
        loss=float(task_loss(logits, batch).mean()),
        loss_full=float(task_loss(full, batch).mean()),
    )


@torch.no_grad()
def completeness(problem: Problem, kept: Tensor, *, split: str, pairs: int, samples: int, seed: int = 0) -> Tensor:
    """|F(circuit without K) - F(model without K)| for random sets K of the circuit's edges, float64 [samples].

    F is the mean logit difference. Each edge of the circuit is in K with probability 1/2. (Wang et al. 2022,
    "Interpretability in the Wild", section 4, do this with nodes.) If the circuit contains everything that matters to
    the task, F of the circuit stays close to F of the model when the same edges are removed from both.
    """
    generator = torch.Generator().manual_seed(seed)
    knocked = torch.rand(samples, *kept.shape, generator=generator) < 0.5
    knocked = (knocked & kept.cpu()).to(problem.device)
    trial = problem.trial(split, pairs, seed)
    circuit = _differences(problem, trial, kept.to(problem.device) & ~knocked)
    model = _differences(problem, trial, problem.graph.present.to(problem.device) & ~knocked)
    return (circuit - model).abs()


@torch.no_grad()
def minimality(problem: Problem, kept: Tensor, *, split: str, pairs: int, seed: int = 0) -> Tensor:
    """|F(circuit) - F(circuit without e)| for each edge e of the circuit, float64, in the graph's order of edges.

    F is the mean logit difference. An edge with almost no effect does not belong in the circuit.
    """
    kept = kept.to(problem.device)
    places = problem.graph.flat(kept).nonzero().flatten().cpu()
    writers, readers = (end[places] for end in problem.graph.ends)
    without = kept.repeat(len(places), 1, 1)
    without[torch.arange(len(places)), writers, readers] = False
    values = _differences(problem, problem.trial(split, pairs, seed), torch.cat([kept[None], without]))
    return (values[0] - values[1:]).abs()


def _differences(problem: Problem, trial: Trial, masks: Tensor) -> Tensor:
    """Mean logit difference of each mask, float64 [N], on the CPU."""
    groups = masks.split(max(1, problem.config.rows // len(trial)))
    logits = (one for group in groups for one in problem.logits(trial, group))
    return torch.stack([logit_difference(one, trial.batch).double().mean() for one in logits]).cpu()


def smallest_faithful(
    problem: Problem, scores: Tensor, tolerance: float, *, split: str, pairs: int, seed: int = 0
) -> Tensor | None:
    """The smallest circuit of top-scored edges whose mean objective is at most `tolerance`, as bool [W, R].

    scores: [W, R]. For every n from 0 to the number of edges, the n edges with the highest scores are tried. Returns
    None if none of these circuits meets the tolerance.
    """
    order = problem.graph.flat(scores).cpu().argsort(descending=True, stable=True)
    rank = torch.empty_like(order).scatter_(0, order, torch.arange(len(order)))
    nested = rank[None] < torch.arange(len(order) + 1)[:, None]  # [E + 1, E]
    masks = problem.graph.matrix(nested)
    damages = problem.mean_damage(problem.trial(split, pairs, seed), masks.to(problem.device))
    met = (damages <= tolerance).nonzero().flatten()
    return masks[met[0]] if len(met) else None


def roc_curve(scores: Tensor, truth: Tensor) -> tuple[list[float], list[float]]:
    """The false positive rates and the true positive rates of the ROC curve, from (0, 0) to (1, 1).

    scores: [E]. truth: bool [E], the edges of a known circuit. There is one point for each distinct score: it counts
    the edges with at least that score as positive.
    """
    values, truth = scores.double().cpu(), truth.bool().cpu()
    positives, negatives = max(1, int(truth.sum())), max(1, int((~truth).sum()))
    false_rates, true_rates = [0.0], [0.0]
    for threshold in values.unique().flip(0):
        over = values >= threshold
        false_rates.append(int((over & ~truth).sum()) / negatives)
        true_rates.append(int((over & truth).sum()) / positives)
    return false_rates, true_rates


def auc(scores: Tensor, truth: Tensor) -> float:
    """Area under the ROC curve of scores [E] against a known circuit, bool [E]; 1 if all true edges come first."""
    false_rates, true_rates = roc_curve(scores, truth)
    steps = zip(false_rates, false_rates[1:], true_rates, true_rates[1:], strict=False)
    return sum((right - left) * (low + high) / 2 for left, right, low, high in steps)


def iou(masks: Sequence[Tensor]) -> float:
    """Intersection over union, averaged over all pairs of masks; two empty masks count as 1. Needs at least 2 masks."""
    pairs = [(a.bool(), b.bool()) for i, a in enumerate(masks) for b in masks[i + 1 :]]
    shares = [int((a & b).sum()) / int((a | b).sum()) if bool((a | b).any()) else 1.0 for a, b in pairs]
    return sum(shares) / len(shares)
