"""The input of every check: a circuit, its model and task, the test pairs, and losses under any ablation.

Shapes: B rows (two per pair), R masks, C channels of a site, V vocabulary, N windows of text of T tokens each.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from sparsegpt2.circuits.ablated import Ablated
from sparsegpt2.circuits.ablations import Ablation, Constant, mean_ablation
from sparsegpt2.circuits.circuit import Circuit, every_node
from sparsegpt2.circuits.config import PruneConfig
from sparsegpt2.circuits.losses import task_batch, task_loss
from sparsegpt2.circuits.task import Task, TaskBatch
from sparsegpt2.errors import UserError
from sparsegpt2.evidence.config import EvidenceConfig
from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.sites import Site, node_sites

CHANCE = math.log(2)
"""Loss in nats of a model that gives the right and the wrong choice the same probability."""

Remember = Callable[[str, Callable[[], Any]], Any]
"""A function of a key (`check/part`) and a function `make`. It returns `make()` and stores the result under the key, or
returns the result that an interrupted run stored there."""


class Case:
    """A circuit to be checked. Losses are in float32, one for each row, and on test pairs unless a batch is given.

    Some circuits have a calibration: a scale and shifts of their logits, fitted after pruning (`calibrate.py` in
    sparsegpt2/circuits).
    """

    def __init__(
        self,
        model: GPT,
        task: Task,
        circuit: Circuit,
        config: EvidenceConfig,
        *,
        text: Tensor,
        text_source: str,
        prune: PruneConfig,
        remember: Remember = lambda _key, make: make(),
    ) -> None:
        """text: pretraining text [N, T] int64, or the substitute that `text.py` makes. text_source: where it is from,
        for the report. prune: the settings that found the circuit. remember: the function through which slow checks
        compute their parts, so that these can be stored; by default nothing is stored.
        """
        circuit.check(model)
        self.model, self.task, self.config, self.prune, self.remember = model, task, config, prune, remember
        self.device = model.wte.weight.device
        self.circuit = Circuit(
            {site: kept.to(self.device) for site, kept in circuit.nodes.items()},
            weights=None
            if circuit.weights is None
            else {name: kept.to(self.device) for name, kept in circuit.weights.items()},
            info=circuit.info,
        )
        self.nodes, self.weights = self.circuit.nodes, self.circuit.weights
        self.text, self.text_source = text.to(self.device), text_source
        self.sites, self.mean = node_sites(model.config), mean_ablation(model)
        self.everything = {site: kept.to(self.device) for site, kept in every_node(model).items()}
        self.calibration = circuit.info.calibration

    @property
    def means(self) -> dict[str, Tensor]:
        """Node means of the model: site -> [C]."""
        return self.mean.values

    # --- The pairs, and the logits and losses of model and circuit -----------------------------------------------

    def pairs(
        self, split: str, pairs: int | None = None, seed: int | None = None, task: Task | None = None
    ) -> TaskBatch:
        """Pairs of a split, on the model's device.

        By default they are `config.pairs` pairs of the circuit's task, made with `config.seed`.
        """
        seed = self.config.seed if seed is None else seed
        return task_batch(self.model, task or self.task, split, pairs or self.config.pairs, seed)

    @cached_property
    def batch(self) -> TaskBatch:
        """The test pairs."""
        return self.pairs("test")

    @cached_property
    def full_logits(self) -> Tensor:
        """The whole model's logits on the test pairs [B, V]."""
        return self.whole_logits(self.batch)

    @cached_property
    def circuit_logits(self) -> Tensor:
        """The circuit's logits on the test pairs [B, V]: everything outside it is mean-ablated, and its calibration is
        applied if it has one."""
        return self.logits(self.nodes, weights=self.weights, calibrated=True)[0]

    @torch.no_grad()
    def whole_logits(self, batch: TaskBatch) -> Tensor:
        """The whole model's logits on any pairs [B, V]."""
        return Ablated(self.model).logits(batch)

    @cached_property
    def full_loss(self) -> Tensor:
        """The whole model's loss on the test pairs [B]."""
        return task_loss(self.full_logits, self.batch)

    @cached_property
    def circuit_loss(self) -> Tensor:
        """The circuit's loss on the test pairs [B]."""
        return task_loss(self.circuit_logits, self.batch)

    @property
    def target(self) -> float:
        """The circuit's target loss, in nats."""
        return self.prune.target_loss

    def bar(self, full_loss: Tensor | None = None) -> float:
        """The largest mean loss that counts as doing the task.

        It is `slack` times the larger of the target loss and the whole model's mean loss. full_loss: the whole model's
        loss per row; by default that on the test pairs.
        """
        full = self.full_loss if full_loss is None else full_loss
        return self.config.slack * max(self.target, float(full.mean()))

    # --- Losses under ablation -----------------------------------------------------------------------------------

    def ablated(self, *, ablation: Ablation | None = None, through: Site | None = None) -> Ablated:
        """The model with everything outside the circuit ablated, and with the circuit's calibration if it has one.

        ablation: mean ablation by default. through: a site object that runs after the ablation. If it is given, every
        node is computed, including those that the circuit does not need.
        """
        return Ablated(
            self.model,
            self.nodes,
            weights=self.weights,
            ablation=ablation or self.mean,
            calibration=self.calibration,
            through=through,
        )

    @torch.no_grad()
    def logits(
        self,
        kept: Mapping[str, Tensor],
        *,
        weights: Mapping[str, Tensor] | None = None,
        ablation: Constant | None = None,
        batch: TaskBatch | None = None,
        calibrated: bool = False,
    ) -> Tensor:
        """Logits [R, B, V] with everything ablated except the nodes in `kept` and the weights in `weights`.

        kept: site -> mask over nodes, [C] or, for R masks, [R, C]. weights: parameter name -> mask, as in
        `Circuit.weights`; None keeps all weights. ablation: the values of ablated nodes, by default the node means.
        batch: by default the test pairs. calibrated: whether to apply the circuit's calibration, if it has one.
        """
        masks = {site: torch.atleast_2d(mask) for site, mask in kept.items()}
        ablated = Ablated(
            self.model,
            masks,
            weights=weights,
            ablation=ablation or self.mean,
            calibration=self.calibration if calibrated else None,
        )
        return ablated.logits(batch or self.batch)

    @torch.no_grad()
    def losses(self, kept: Mapping[str, Tensor], *, batch: TaskBatch | None = None, **settings: Any) -> Tensor:
        """The loss of each row under each mask, [R, B]. The arguments are those of `logits`."""
        batch = batch or self.batch
        return torch.stack([task_loss(one, batch) for one in self.logits(kept, batch=batch, **settings)])

    # --- Random choices ------------------------------------------------------------------------------------------

    def generator(self, purpose: str) -> torch.Generator:
        """A random generator for one purpose, seeded from `config.seed` and the name of the purpose.

        A check with its own generator gets the same random numbers whichever other checks are run.
        """
        generator = torch.Generator()
        return generator.manual_seed(self.config.seed * 2**32 + zlib.crc32(purpose.encode()))

    def random_nodes(self, share: float, of: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """A random subset of the nodes in `of`, site -> bool [C]. Each node is included with probability `share`."""
        return {
            site: mask & (torch.rand(len(mask), generator=generator) < share).to(mask.device)
            for site, mask in of.items()
        }

    def complement(self) -> dict[str, Tensor]:
        """The nodes outside the circuit: site -> bool [C]."""
        return {site: ~kept for site, kept in self.nodes.items()}

    @property
    def has_edge_mask(self) -> bool:
        """Whether the circuit leaves out edges between its own nodes."""
        return self.circuit.edges(self.model) < Circuit(self.nodes).edges(self.model)


def stack_masks(masks: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Stack R masks over nodes (site -> [C]) into one dictionary of site -> [R, C]."""
    if not masks:
        raise UserError("no random nodes can be drawn: the circuit is empty or is the whole model")
    return {site: torch.stack([mask[site] for mask in masks]) for site in masks[0]}
