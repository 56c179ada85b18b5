"""A model under an ablation: the one way to ask what it says when only a circuit is left.

    Ablated(model, circuit).losses(batch)                                    # all else at its mean
    Ablated(model, circuit, ablation=zero_ablation(model)).logits(batch)
    Ablated(model).losses(batch)                                             # the whole model

Node means are checked once, when the object is made. `under` gives the same model other masks without checking again,
as a training step does: float gates with gradients, or several masks of which each row of the batch takes its own.

Shapes: B rows (two a pair), V vocabulary, R masks, C channels of a site.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy

import torch
from torch import Tensor

from sparsegpt2.circuits.ablations import Ablation, Constant, Masks, Piece, Sites, mean_ablation
from sparsegpt2.circuits.calibrate import Calibration
from sparsegpt2.circuits.circuit import Circuit
from sparsegpt2.circuits.edges import ablate_edges
from sparsegpt2.circuits.gates import frozen
from sparsegpt2.circuits.losses import answer_logits, task_loss
from sparsegpt2.circuits.reduce import Reduction
from sparsegpt2.circuits.task import TaskBatch
from sparsegpt2.errors import UserError
from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.sites import Chain, Site

ROWS = 256
"""Most sequences in one forward pass when scoring."""


class Ablated:
    """`model` with all but a circuit ablated. Gradients reach float masks; the model's weights get none."""

    def __init__(
        self,
        model: GPT,
        circuit: Circuit | Masks | None = None,
        *,
        ablation: Ablation | None = None,
        weights: Masks | None = None,
        live: Masks | None = None,
        dtype: torch.dtype = torch.float32,
        calibration: Calibration | None = None,
        through: Site | None = None,
    ) -> None:
        """circuit: what is kept; or masks over nodes, site -> [C], or [R, C] for R ablations at once; None: everything.

        ablation: what stands in for the rest; the means by default. weights: a mask over weights, parameter name ->
        bool or float gates; a circuit has its own. live: site -> bool [C], the nodes that any mask will ever keep: the
        others are folded into biases and not computed (`reduce.Reduction`), which only constants can be; a circuit's
        own nodes by default. dtype: of the model's linear maps. calibration: applied to the logits; a
        circuit's own only if it is given. through: a site object behind the ablation, to record or change what is left.

        `UserError` for a model without complete and finite node means, if they are what the rest is set to.
        """
        self.model, self.dtype, self.through, self.calibration = model, dtype, through, calibration
        if isinstance(circuit, Circuit):
            kept: Masks | None = circuit.nodes
            weights = circuit.weights
        else:
            kept = circuit
        needs_values = kept is not None or weights is not None or live is not None
        self.ablation = mean_ablation(model) if ablation is None and needs_values else ablation
        if isinstance(circuit, Circuit) and live is None and through is None and isinstance(self.ablation, Constant):
            live = circuit.nodes
        self.reduction: Reduction | None = None
        self.parameters = self._parameters(weights)
        """What replaces the model's parameters in the forward, by name."""
        if live is not None:
            if not isinstance(self.ablation, Constant):
                raise UserError("only nodes that are ablated to constants can be left out of the computation")
            self.reduction = Reduction(model, live, dtype, self.ablation.values, self.parameters)
            self.parameters = self.reduction.parameters
        self._set(kept, None)

    def under(self, kept: Masks, *, owner: Tensor | None = None, weights: Masks | None = None) -> Ablated:
        """The same with other masks, unchecked. owner: [B] int64, which of the R masks [R, C] each row takes.

        weights: another mask over weights; not where some nodes are left out of the computation.
        """
        other = copy(self)
        if weights is not None:
            if self.reduction is not None:
                raise UserError("a mask over weights cannot change once nodes are left out of the computation")
            other.parameters = self._parameters(weights)
        other._set(kept, owner)
        return other

    def _set(self, kept: Masks | None, owner: Tensor | None) -> None:
        self.kept, self.owner, self._sites = kept, owner, None
        first = next(iter(kept.values())) if kept else None
        self.runs = len(first) if first is not None and first.ndim > 1 and owner is None else None
        """R, where every row of a batch is asked under each of R masks; else None."""

    def _parameters(self, weights: Masks | None) -> dict[str, Tensor]:
        return ablate_edges(self.model, weights, self.ablation.edge_values()) if weights and self.ablation else {}

    _sites: Sites | None

    def _site(self, piece: Piece) -> Site | None:
        """What the forward calls at its sites for the rows of a piece."""
        ablating: Site | None = None
        if self.kept is not None and self.ablation is not None:
            if self._sites is None:  # made once for all pieces, as what it computes of the masks is
                over = self.ablation.over if self.reduction is None else self.reduction.over
                self._sites = over(self.kept)
            ablating = self._sites(piece)
        if ablating is None or self.through is None:
            return ablating or self.through
        return Chain(ablating, self.through)

    def each(self, batch: TaskBatch, rows: int | None = ROWS) -> Iterator[tuple[Tensor, TaskBatch, Tensor]]:
        """(rows of the batch [b] int64, those rows, their logits [b, V] float32), piece after piece of like length.

        rows: most in one forward pass; None: the batch as it is, in one. With R masks for every row the logits are
        [R * b, V], mask after mask. Each piece runs when it is asked for, so a caller may go backward or stop between.
        """
        if rows is None:
            pieces: Iterator[tuple[Tensor, TaskBatch]] = iter([(torch.arange(len(batch), device=batch.device), batch)])
        else:
            pieces = batch.by_length(rows)
        everywhere = self.through is not None or (self.ablation is not None and self.ablation.everywhere)
        for some, part in pieces:
            site = self._site(Piece(part, some, None if self.owner is None else self.owner[some]))
            with frozen(self.model, self.dtype):
                logits = answer_logits(
                    self.model,
                    part,
                    site,
                    runs=self.runs or 1,
                    parameters=self.parameters,
                    position_only=not everywhere,
                )
            yield some, part, logits if self.calibration is None else self.calibration.apply(logits)
            del logits

    def logits(self, batch: TaskBatch, rows: int | None = ROWS) -> Tensor:
        """Logits after each prompt, float32: [B, V], or [R, B, V] with R masks for every row."""
        return self._gathered(batch, rows, lambda logits, _part: logits)

    def losses(self, batch: TaskBatch, rows: int | None = ROWS) -> Tensor:
        """Task loss of each row in nats, float32: [B], or [R, B] with R masks for every row."""
        return self._gathered(batch, rows, task_loss)

    def _gathered(self, batch: TaskBatch, rows: int | None, measure: Callable[[Tensor, TaskBatch], Tensor]) -> Tensor:
        """`measure(logits [b, V], part)` [b, ...] of all pieces, in the batch's order: [B, ...] or [R, B, ...]."""
        if self.runs is None:
            return _in_order(batch, ((some, measure(logits, part)) for some, part, logits in self.each(batch, rows)), 0)
        most = len(batch) if rows is None else rows
        at_once, found = max(1, most // len(batch)), []
        for start in range(0, self.runs, at_once):
            assert self.kept is not None  # or there would be no R
            group = self.under({name: mask[start : start + at_once] for name, mask in self.kept.items()})
            count = min(at_once, self.runs - start)
            pieces = (
                (some, torch.stack([measure(one, part) for one in logits.unflatten(0, (count, -1))]))
                for some, part, logits in group.each(batch, None if rows is None else most // count)
            )
            found.append(_in_order(batch, pieces, 1))
        return torch.cat(found)


def _in_order(batch: TaskBatch, pieces: Iterator[tuple[Tensor, Tensor]], dim: int) -> Tensor:
    """The values of pieces of a batch put where their rows belong, along `dim`; gradients pass."""
    whole: Tensor | None = None
    for some, values in pieces:
        if whole is None:
            whole = values.new_empty(*values.shape[:dim], len(batch), *values.shape[dim + 1 :])
        whole.index_copy_(dim, some, values)
    if whole is None:
        raise UserError("a batch without pairs has no losses")
    return whole
