"""Edge Pruning trains masks to preserve the full model's output at a given sparsity (Bhaskar et al. 2024).

The paper is "Finding Transformer Circuits with Edge Pruning". Every edge and every writer (embedding, head or MLP) has
a hard-concrete mask (circuits/hard_concrete.py). An edge's effective mask is the product of its own mask and its
writer's. The loss is objective + lambda1 (s - t) + lambda2 (s - t)^2. Here s is 1 minus the mean of the masks, that is,
the share of edges that are ablated. The target t rises to the requested sparsity during the warm-up. The multipliers
lambda1 and lambda2 are trained by gradient ascent. After training, the mean of the masks without noise is the share of
edges to keep. Edges whose masks are above a threshold are kept, and bisection finds the threshold that keeps this
share. There is one training run for each requested sparsity.

In contrast to the paper, the objective is divided by its value with all edges ablated. The multipliers are multiplied
by the number of edges, so that each is the price of a single edge and not of a share of all edges. As a result, one
learning rate works for graphs of 20 and of 30,000 edges, and for tasks on which ablating all edges costs 0.02 nats or
5.

Shapes: E edges, W writers, R readers (docs/definitions.md, Writer and reader).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsegpt2.circuits import hard_concrete
from sparsegpt2.components.discovery import Discovery, Found
from sparsegpt2.components.problem import Problem, Trial
from sparsegpt2.config import require
from sparsegpt2.progress import Progress

OBJECTIVE = "kl"

BATCH_SEEDS = 1_000_003
"""With seed s, the seeds of the batches are counted up from s * `BATCH_SEEDS`. The number is larger than any number of
batches, so runs with different seeds never use the same batch."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How masks are trained. The paper's values are given in brackets."""

    steps: int = 250
    """Training steps (paper: 3000 on GPT-2, whose graph has about 100 times as many edges as a graph of 2
    layers of 8 heads)."""
    pairs: int = 8
    """Prompt pairs per step, two sequences each (paper: 32 sequences)."""
    batches: int = 16
    """Number of different batches, used in turn. Each one keeps a recorded run in memory."""
    lr: float = 0.1
    """Adam's learning rate for the masks (paper: 0.8). At a higher rate all masks close before the objective shows
    which of them matter, and if the circuit is a chain, none of its edges opens again (docs/components.md)."""
    price_lr: float = 1e-4
    """Adam's learning rate for the multipliers. A multiplier is the price of one edge, in units of the objective with
    all edges ablated. In the paper the rate is 0.8 for the price of all edges together, or 2.5e-5 nats for each of
    GPT-2's 32,491 edges, and there are 12 times as many training steps."""
    warmup: float = 0.8
    """Share of the steps during which the target sparsity rises; afterwards it is constant (paper: 2500 of 3000 steps).
    """
    init_mean: float = 4.0
    """Mean of the initial log alpha. With 4, nearly all masks start at 1 (paper: 10, where masks have no gradient)."""
    init_std: float = 0.01
    """Standard deviation of the initial log alpha (paper: 0.01)."""
    node_masks: bool = True
    """Whether writers have masks, in addition to the masks of edges."""

    def __post_init__(self) -> None:
        for name in ("steps", "pairs", "batches"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("lr", "price_lr"):
            require(0 < getattr(self, name) < math.inf, f"{name} must be above 0, got {getattr(self, name)}")
        require(0 <= self.warmup <= 1, f"warmup is a share of the steps, 0 to 1, got {self.warmup}")
        require(self.init_std >= 0, f"init_std must be 0 or more, got {self.init_std}")


def discover(problem: Problem, settings: Settings, progress: Progress | None = None) -> Discovery:
    """Train one circuit for each requested sparsity.

    The score of an edge is the probability that its mask is not 0, averaged over the training runs.
    """
    seeds = [problem.config.seed * BATCH_SEEDS + number for number in range(min(settings.batches, settings.steps))]
    trials = [problem.trial("train", settings.pairs, seed) for seed in seeds]
    found, targets = [], sorted(problem.config.sparsities)
    for index, target in enumerate(targets):
        found.append(train(problem, settings, trials, target, progress, (index, len(targets))))
    scores = torch.stack([one.scores for one in found if one.scores is not None]).mean(dim=0)
    return Discovery(scores, tuple(found))


class Masks:
    """The trained parameters of the hard-concrete masks: log alpha of each edge [E] and of each writer [W]."""

    def __init__(self, problem: Problem, settings: Settings) -> None:
        self.graph, self.with_nodes = problem.graph, settings.node_masks
        self.generator = torch.Generator().manual_seed(problem.config.seed)
        self.edges, self.nodes = (
            (settings.init_mean + settings.init_std * torch.randn(size, generator=self.generator))
            .to(problem.device)
            .requires_grad_()
            for size in (self.graph.n_edges, len(self.graph.writers))
        )

    @property
    def parameters(self) -> list[Tensor]:
        """The tensors to train."""
        return [self.edges, self.nodes] if self.with_nodes else [self.edges]

    def joined(self, edges: Tensor, nodes: Tensor) -> Tensor:
        """Multiply values of edges [..., E] by the values of their writers [..., W]. Returns [..., E]."""
        return edges * nodes[..., self.graph.ends[0].to(nodes.device)] if self.with_nodes else edges

    def sample(self, rows: int) -> Tensor:
        """A random mask for each row, [rows, W, R], differentiable."""
        edges, nodes = (hard_concrete.sample(one.expand(rows, -1), self.generator) for one in (self.edges, self.nodes))
        return self.graph.matrix(self.joined(edges, nodes))

    def on(self) -> Tensor:
        """Probability that each edge's mask is not 0, [E]."""
        return self.joined(hard_concrete.expected_l0(self.edges), hard_concrete.expected_l0(self.nodes))

    def share(self) -> Tensor:
        """Approximate mean of each edge's mask, [E]. It always has a gradient; a sampled mask of 0 or 1 has none."""
        return self.joined(torch.sigmoid(self.edges), torch.sigmoid(self.nodes))

    def settled(self) -> Tensor:
        """The masks without noise, [E]."""
        return self.joined(hard_concrete.settled(self.edges), hard_concrete.settled(self.nodes))


def train(
    problem: Problem,
    settings: Settings,
    trials: list[Trial],
    target: float,
    progress: Progress | None,
    place: tuple[int, int],
) -> Found:
    """Train masks for one target sparsity, and select the circuit's edges from them.

    place: (index of this run, number of runs), for the progress display.
    """
    masks = Masks(problem, settings)
    prices = torch.zeros(2, device=problem.device, requires_grad=True)
    learner = torch.optim.Adam(masks.parameters, lr=settings.lr)
    ascent = torch.optim.Adam([prices], lr=settings.price_lr, maximize=True)
    nothing = torch.zeros_like(problem.everything())[None]
    unit = max(float(torch.stack([problem.mean_damage(trial, nothing) for trial in trials]).mean()), 1e-12)
    start = float(1 - masks.share().detach().mean())
    history = []
    with torch.enable_grad():
        for step in range(settings.steps):
            trial = trials[step % len(trials)]
            damage = problem.damage(trial, masks.sample(len(trial))[None]).mean()
            sparsity = 1 - masks.share().mean()
            done = min(1.0, (step + 1) / max(1.0, settings.warmup * settings.steps))
            gap = sparsity - (start + done * (target - start))
            loss = damage / unit + problem.graph.n_edges * (prices[0] * gap + prices[1] * gap.square())
            learner.zero_grad()
            ascent.zero_grad()
            loss.backward()
            learner.step()
            ascent.step()
            history.append({"damage": float(damage.detach()), "sparsity": float(sparsity.detach())})
            if progress is not None:
                steps = place[0] * settings.steps + step + 1
                progress(steps, place[1] * settings.steps, f"edge pruning to {target:g}: {history[-1]['damage']:.4f}")
    with torch.no_grad():
        kept = cut(masks.settled())
        return Found(
            kept=problem.graph.matrix(kept).cpu(),
            asked={"sparsity": target},
            scores=problem.graph.matrix(masks.on()).cpu(),
            history=history,
        )


def cut(masks: Tensor) -> Tensor:
    """The edges to keep, bool [E]: those with the largest masks [E], as many as the sum of all masks.

    Bisection finds the threshold that a mask must exceed. So edges with equal masks are kept or dropped together.
    """
    wanted, low, high = float(masks.mean()) * len(masks), 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if float((masks > middle).sum()) > wanted + 0.5 else (low, middle)
    return masks > high
