"""Adversarial ablation: does the circuit break when an adversary chooses which other parts of the model are ablated?

If a circuit is how the model does a task, it should keep working whatever else an adversary ablates. The adversary
trains a gate for each node outside the circuit (and for each edge that a mask over weights leaves out) to raise the
task loss on train pairs. The gates are those of the pruners: 1 where the trained parameter tau is 0 or more, else 0
(docs/definitions.md, Gate). The adversary makes one choice for all prompts, because a separate choice for each prompt
would fit noise. Several searches are made. The one whose choice gives the highest loss on validation pairs is scored on
test pairs. The result is a lower bound of the worst case: a better search might do more damage. This check was proposed
in the comments on Drori 2026 (docs/faithfulness.md lists it).

Shapes: B rows (two per pair), N nodes of the model.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sparsegpt2.circuits.ablated import Ablated
from sparsegpt2.circuits.edges import count_edges
from sparsegpt2.circuits.gates import gate, join_nodes, split_nodes
from sparsegpt2.evidence.case import CHANCE, Case
from sparsegpt2.evidence.estimate import at_most, mean_over_pairs
from sparsegpt2.evidence.registry import Check
from sparsegpt2.evidence.report import Finding
from sparsegpt2.progress import Progress

INIT = 0.1
"""Initial magnitude of each tau. The threshold between kept and ablated is 0."""


class Adversary:
    """A tau for everything outside the circuit: tau >= 0 keeps a node or edge, tau < 0 ablates it."""

    def __init__(self, case: Case, start: int, generator: torch.Generator) -> None:
        self.case, self.ablated = case, Ablated(case.model, case.nodes, ablation=case.mean)
        self.inside = join_nodes(case.nodes, case.sites)  # [N]
        self.nodes = _start(self.inside.shape, start, generator).to(case.device).requires_grad_(True)
        self.edges = {
            name: _start(kept.shape, start, generator).to(case.device).requires_grad_(True)
            for name, kept in (case.weights or {}).items()
        }

    def parameters(self) -> list[Tensor]:
        """The tau of nodes and of edges, as tensors to train."""
        return [self.nodes, *self.edges.values()]

    def losses(self, split: str, pairs: int, seed: int) -> Tensor:
        """Losses [B] on `pairs` pairs of a split, with everything ablated that the current choice ablates.

        Gradients flow to tau.
        """
        case, batch = self.case, self.case.pairs(split, pairs, seed)
        kept = torch.where(self.inside, 1.0, gate(self.nodes, 1.0))
        alive = {name: torch.where((case.weights or {})[name], 1.0, gate(tau, 1.0)) for name, tau in self.edges.items()}
        return self.ablated.under(split_nodes(kept, case.sites), weights=alive).losses(batch, rows=None)

    def share(self) -> float:
        """Share of the nodes outside the circuit that are ablated."""
        outside = ~self.inside
        return float((self.nodes < 0)[outside].double().mean()) if bool(outside.any()) else 0.0


def _start(shape: torch.Size, start: int, generator: torch.Generator) -> Tensor:
    """Initial tau for search number `start`: search 0 keeps everything, search 1 ablates everything outside the
    circuit, and each later search keeps a random half of it."""
    sign = 1.0 if start == 0 else -1.0 if start == 1 else None
    random = torch.rand(shape, generator=generator)
    return torch.full(shape, INIT * sign) if sign is not None else INIT * (2 * (random < 0.5).float() - 1)


def run(case: Case, progress: Progress) -> Finding:
    """Search for the choice that does the most damage. The test loss under this choice decides.

    It must be at most chance, ln 2, because no ablation outside the circuit should reduce the circuit to guessing.
    """
    config, generator = case.config, case.generator("adversarial")
    worst: tuple[float, Adversary] | None = None
    for start in range(config.adversary_starts):
        adversary = Adversary(case, start, generator)
        optimizer = torch.optim.Adam(adversary.parameters(), lr=config.adversary_lr)
        for step in range(config.adversary_steps):
            optimizer.zero_grad()
            with torch.enable_grad():
                loss = adversary.losses("train", config.adversary_pairs, config.seed + step).mean()
                (-loss).backward()
            optimizer.step()
            with torch.no_grad():
                for tau in adversary.parameters():
                    tau.clamp_(-1, 1)
            done = start * config.adversary_steps + step + 1
            progress(
                done,
                config.adversary_starts * config.adversary_steps,
                f"adversary: loss {float(loss.detach()):.3f}",
            )
        with torch.no_grad():
            found = float(adversary.losses("validation", config.pairs, config.seed).mean())
        if worst is None or found > worst[0]:
            worst = found, adversary
    assert worst is not None  # adversary_starts is at least 1
    with torch.no_grad():
        losses = worst[1].losses("test", config.pairs, config.seed)
    numbers = {"adversarial": mean_over_pairs(losses), "all ablated": mean_over_pairs(case.circuit_loss)}
    return Finding(
        verdict=at_most(numbers["adversarial"], CHANCE),
        says=f"with the worst subset found ablated ({100 * worst[1].share():.0f}% of the nodes outside the circuit), "
        f"the loss is {numbers['adversarial']}; the bar is chance, {CHANCE:.3f}",
        numbers=numbers,
        details={
            "bar": CHANCE,
            "validation loss": worst[0],
            "ablated share": worst[1].share(),
            "edges": edges_left_out(case),
        },
    )


def edges_left_out(case: Case) -> int:
    """Number of the model's edges that the mask over weights leaves out. The adversary can ablate them too."""
    whole, masked = (count_edges(case.model, case.everything, weights) for weights in (None, case.weights))
    return sum(whole.values()) - sum(masked.values())


CHECK = Check(asks="Can ablating some subset of the rest break the circuit?", run=run, expensive=True)
