"""Edge Pruning trains masks to preserve the full model's output at a given sparsity (Bhaskar et al. 2024).

Every edge and every writer (embedding, head or MLP) has a hard-concrete mask; an edge's effective mask is the product
of its own and its writer's. The loss is objective + lambda1 (s - t) + lambda2 (s - t)^2, where s is the share of edges
that are off and t the target, which is warmed up from 0. The multipliers are trained by gradient ascent. At the end,
the mean of the masks without noise is the share of edges to keep, and bisection finds the threshold that keeps that
many. There is one training run for each requested sparsity.

The objective is divided by its value with all edges ablated, and a multiplier is the price of a single edge rather than
of a share of all edges. So one learning rate works for graphs of 20 edges and of 30,000, and for tasks on which that
value is 0.02 or 5 nats.
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
"""Gap between the batch seeds of consecutive seeds, larger than any number of batches, so that they share none."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How masks are trained. The paper's values are given in brackets."""

    steps: int = 250
    """Training steps (paper: 3000 on GPT-2; our graphs are a hundredth of its size)."""
    pairs: int = 8
    """Prompt pairs per step, two sequences each (paper: 32 sequences)."""
    batches: int = 16
    """Number of different batches, used in turn. Each one keeps a recorded run in memory."""
    lr: float = 0.1
    """Adam's learning rate for the masks (paper: 0.8). At a higher rate all masks close before the objective shows
    which of them matter, and if the circuit is a chain, none of its edges opens again (docs/components.md)."""
    price_lr: float = 1e-4
    """Adam's learning rate for the multipliers: the price of one edge, where 1 is the objective with all edges ablated.
    The paper's rate is 0.8 for the price of all edges, which is 2.5e-5 nats for each of GPT-2's 32,491 edges, and it
    trains for 12 times as many steps."""
    warmup: float = 0.8
    """Share of the steps over which the target sparsity rises from 0 (paper: 2500 of 3000 steps)."""
    init_mean: float = 4.0
    """Mean of the initial log alpha: nearly all masks start at 1 (paper: 10, where they have no gradient at first)."""
    init_std: float = 0.01
    """Standard deviation of the initial log alpha (paper: 0.01)."""
    node_masks: bool = True
    """Whether writers have masks too, in addition to those of the edges."""

    def __post_init__(self) -> None:
        for name in ("steps", "pairs", "batches"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("lr", "price_lr"):
            require(0 < getattr(self, name) < math.inf, f"{name} must be above 0, got {getattr(self, name)}")
        require(0 <= self.warmup <= 1, f"warmup is a share of the steps, 0 to 1, got {self.warmup}")
        require(self.init_std >= 0, f"init_std must be 0 or more, got {self.init_std}")


def discover(problem: Problem, settings: Settings, progress: Progress | None = None) -> Discovery:
    """A circuit for each requested sparsity. An edge's score is the mean over the runs of P(its mask is not 0)."""
    seeds = [problem.config.seed * BATCH_SEEDS + number for number in range(min(settings.batches, settings.steps))]
    trials = [problem.trial("train", settings.pairs, seed) for seed in seeds]
    found, targets = [], sorted(problem.config.sparsities)
    for index, target in enumerate(targets):
        found.append(train(problem, settings, trials, target, progress, (index, len(targets))))
    scores = torch.stack([one.scores for one in found if one.scores is not None]).mean(dim=0)
    return Discovery(scores, tuple(found))


class Masks:
    """log alpha of the edges [E] and of the writers [W]."""

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
        """Values of edges [..., E] times those of their writers [..., W]: [..., E]."""
        return edges * nodes[..., self.graph.ends[0].to(nodes.device)] if self.with_nodes else edges

    def sample(self, rows: int) -> Tensor:
        """A random mask for each row, [rows, W, R], differentiable."""
        edges, nodes = (hard_concrete.sample(one.expand(rows, -1), self.generator) for one in (self.edges, self.nodes))
        return self.graph.matrix(self.joined(edges, nodes))

    def on(self) -> Tensor:
        """Probability that each edge's mask is not 0, [E]."""
        return self.joined(hard_concrete.expected_l0(self.edges), hard_concrete.expected_l0(self.nodes))

    def share(self) -> Tensor:
        """Approximate mean of each edge's mask, [E], with a gradient everywhere (a sample has none at 0 and at 1)."""
        return self.joined(torch.sigmoid(self.edges), torch.sigmoid(self.nodes))

    def settled(self) -> Tensor:
        """Masks without noise, [E]."""
        return self.joined(hard_concrete.settled(self.edges), hard_concrete.settled(self.nodes))


def train(
    problem: Problem,
    settings: Settings,
    trials: list[Trial],
    target: float,
    progress: Progress | None,
    place: tuple[int, int],
) -> Found:
    """Train masks for one target sparsity, and cut the circuit. place: (index of this run, number of runs)."""
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
    """Bool [E]: which edges to keep, as many as the masks [E] sum to. Bisection finds the threshold on the masks."""
    wanted, low, high = float(masks.mean()) * len(masks), 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if float((masks > middle).sum()) > wanted + 0.5 else (low, middle)
    return masks > high
