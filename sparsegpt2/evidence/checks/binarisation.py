"""Binarisation: does each node carry no more than one bit?

Each kept node is replaced by a step function of its value with two levels: `low` below a threshold, `high` from the
threshold on (paper, appendix C). Levels and threshold are initialised by two-means clustering and then fitted by
gradient descent, both on train pairs. During the fit, the node's value is gradually replaced by a sigmoid between the
levels, and the sigmoid becomes steeper until it is nearly a step. The reported loss is measured with hard steps, on
test pairs. A circuit that passes can be read as logic. A circuit that fails can still be faithful, for example if it
counts or compares.

Shapes: C kept channels of a site, X values (all positions of all prompts).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sparsegpt2.circuits.ablated import Ablated
from sparsegpt2.evidence.case import Case
from sparsegpt2.evidence.checks.seeds import part
from sparsegpt2.evidence.estimate import at_most, mean_over_pairs
from sparsegpt2.evidence.registry import Check
from sparsegpt2.evidence.report import Finding
from sparsegpt2.model.sites import Record
from sparsegpt2.progress import Progress

BLUNTEST, SHARPEST = 2.0, 32.0
"""Slope of the sigmoid at the start and at the end of the fit, per standard deviation of the node."""
MIXED_BY = 0.7
"""After this share of the gradient steps, a node's value is fully replaced by the sigmoid."""
FITTING_ROUNDS = 10
"""Iterations of two-means."""
FITTING_ROWS = 64
"""Number of train pairs used for two-means."""


class Steps(nn.Module):
    """A site object that replaces each kept node x by (1 - mix) x + mix * (low + (high - low) * step).

    step is sigmoid(slope * (x - threshold) / std) or, with `hard`, 1 if x is at least the threshold and otherwise 0.
    The object must run after the ablation.
    """

    def __init__(self, kept: dict[str, Tensor], values: dict[str, Tensor]) -> None:
        """kept: site -> mask over all its channels, True for kept nodes. values: site -> recorded values of its kept
        nodes, [X, C]."""
        super().__init__()
        self.kept = kept
        self.mix, self.slope, self.hard = 1.0, SHARPEST, True
        self.std = {site: value.std(dim=0, unbiased=False).clamp(min=1e-6) for site, value in values.items()}
        self.start = {site: two_means(value) for site, value in values.items()}  # low, high, threshold: [3, C]
        self.moves = nn.ParameterDict({key(site): nn.Parameter(torch.zeros_like(self.start[site])) for site in values})

    def forward(self, name: str, x: Tensor) -> Tensor:
        if name not in self.start:
            return x
        kept, std = self.kept[name], self.std[name]
        low, high, threshold = self.start[name] + self.moves[key(name)] * std
        own = x[..., kept]
        distance = (own - threshold) / std
        step = (distance >= 0).to(x.dtype) if self.hard else torch.sigmoid(self.slope * distance)
        stepped = (1 - self.mix) * own + self.mix * (low + (high - low) * step)
        return x.index_copy(-1, kept.nonzero().flatten(), stepped.to(x.dtype))


def key(site: str) -> str:
    """The name of a site without dots, because torch does not allow dots in the names of parameters."""
    return site.replace(".", "_")


def two_means(values: Tensor) -> Tensor:
    """Cluster the values of each channel into two groups. values: [X, C].

    Returns [3, C]: the mean of the lower group, the mean of the higher group, and the threshold halfway between them.
    """
    low, high = values.min(dim=0).values, values.max(dim=0).values
    for _ in range(FITTING_ROUNDS):
        upper = values >= (low + high) / 2
        counts = upper.sum(dim=0)
        high = torch.where(counts > 0, (values * upper).sum(dim=0) / counts.clamp(min=1), high)
        below = len(values) - counts
        low = torch.where(below > 0, (values * ~upper).sum(dim=0) / below.clamp(min=1), low)
    return torch.stack([low, high, (low + high) / 2])


@torch.no_grad()
def fitted_steps(case: Case) -> Steps:
    """Steps initialised from the values that kept nodes have in the circuit, on train pairs without padding."""
    batch = case.pairs("train", FITTING_ROWS)
    record = Record(case.sites)
    case.ablated(through=record).logits(batch, rows=None)
    inside = torch.arange(int(batch.position.max()) + 1, device=case.device) <= batch.position[:, None]  # [B, T]
    kept = {site: mask for site, mask in case.nodes.items() if bool(mask.any())}
    return Steps(kept, {site: record.values[site][inside][:, mask] for site, mask in kept.items()})


def run(case: Case, progress: Progress) -> Finding:
    """The loss with all kept nodes replaced by hard steps must meet the bar. The loss before the fit is also shown."""
    if not case.circuit.n_nodes:
        return Finding(verdict="not run", says="the circuit has no nodes")
    steps, validation, rates = fitted_steps(case), case.pairs("validation"), case.config.binarisation_lrs
    stepped = case.ablated(through=steps)

    @torch.no_grad()
    def losses() -> tuple[Tensor, Tensor]:
        """Losses with the current steps, on validation and on test pairs."""
        return stepped.losses(validation, rows=None), stepped.losses(case.batch, rows=None)

    tried = {0.0: losses()}
    numbers = {"circuit": mean_over_pairs(case.circuit_loss), "two means": mean_over_pairs(tried[0.0][1])}
    for done, rate in enumerate(rates):
        fit(case, steps, stepped, rate, part(progress, done, len(rates)))
        tried[rate] = losses()
    best = min(tried, key=lambda rate: float(tried[rate][0].mean()))
    numbers["binarised"] = mean_over_pairs(tried[best][1])
    bar = case.bar()
    return Finding(
        verdict=at_most(numbers["binarised"], bar),
        says=f"with every node replaced by a two-level step the loss is {numbers['binarised']}; the bar is {bar:.3f}",
        numbers=numbers,
        details={"bar": bar, "nodes": case.circuit.n_nodes, "learning rate": best},
    )


def fit(case: Case, steps: Steps, stepped: Ablated, rate: float, progress: Progress) -> None:
    """Fit levels and thresholds on train pairs, starting from their initial values.

    Over the gradient steps, the nodes change from their own values to steep sigmoids. Afterwards `steps` is hard.
    """
    config = case.config
    for move in steps.parameters():
        move.data.zero_()
    optimizer = torch.optim.Adam(steps.parameters(), lr=rate)
    steps.hard = False
    with torch.enable_grad():
        for step in range(config.binarisation_steps):
            share = (step + 1) / config.binarisation_steps
            steps.mix, steps.slope = min(1.0, share / MIXED_BY), BLUNTEST * (SHARPEST / BLUNTEST) ** share
            batch = case.pairs("train", config.binarisation_pairs, config.seed + 1 + step)
            loss = stepped.losses(batch, rows=None).mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(steps.parameters(), 1.0)
            optimizer.step()
            progress(step + 1, config.binarisation_steps, f"binarisation: loss {float(loss.detach()):.3f}")
    steps.mix, steps.hard = 1.0, True


CHECK = Check(asks="Can each node be replaced by a step between two levels?", run=run, expensive=True)
