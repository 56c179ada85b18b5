"""A model under an ablation: the one way to run a model in which only a circuit is left.

    Ablated(model, circuit).losses(batch)                                    # everything else at its mean
    Ablated(model, circuit, ablation=zero_ablation(model)).logits(batch)
    Ablated(model).losses(batch)                                             # the whole model

Node means are checked once, when the object is made. `under` changes the masks without checking again, which is what
each training step needs. Its masks may be float gates with gradients, or several masks of which each row uses one.

Shapes: B rows (two per pair), V vocabulary, R masks, C channels of a site.
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
"""Largest number of sequences in one forward pass when scoring."""


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
        """circuit: what is kept; or masks over nodes, site -> [C], or [R, C] for R masks at once; None: everything.

        ablation: what replaces the rest; the means by default. weights: a mask over weights, parameter name -> bool or
        float gates; ignored for a `Circuit`, which has its own. live: site -> bool [C], every node that some later mask
        may keep. All other nodes are folded into biases and not computed (`reduce.Reduction`), which works only for
        constants; a circuit's own nodes by default. dtype: of the model's linear maps. calibration: applied to the
        logits; a circuit's own is applied only if it is passed here. through: a site object that runs after the
        ablation, to record or change what is left.

        `UserError` if the rest is set to node means and the model's are incomplete or not finite.
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
        """Parameters that replace the model's in the forward, by name."""
        if live is not None:
            if not isinstance(self.ablation, Constant):
                raise UserError("only nodes that are ablated to constants can be left out of the computation")
            self.reduction = Reduction(model, live, dtype, self.ablation.values, self.parameters)
            self.parameters = self.reduction.parameters
        self._set(kept, None)

    def under(self, kept: Masks, *, owner: Tensor | None = None, weights: Masks | None = None) -> Ablated:
        """The same object with other masks, unchecked. owner: [B] int64, which of the R masks [R, C] each row uses.

        weights: another mask over weights; a `UserError` if some nodes are left out of the computation.
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
        """R, if every row of a batch is run under each of R masks; else None."""

    def _parameters(self, weights: Masks | None) -> dict[str, Tensor]:
        return ablate_edges(self.model, weights, self.ablation.edge_values()) if weights and self.ablation else {}

    _sites: Sites | None

    def _site(self, piece: Piece) -> Site | None:
        """The object that the forward calls at its sites for the rows of a piece."""
        ablating: Site | None = None
        if self.kept is not None and self.ablation is not None:
            if self._sites is None:  # made once, so that what it computes from the masks serves all pieces
                over = self.ablation.over if self.reduction is None else self.reduction.over
                self._sites = over(self.kept)
            ablating = self._sites(piece)
        if ablating is None or self.through is None:
            return ablating or self.through
        return Chain(ablating, self.through)

    def each(self, batch: TaskBatch, rows: int | None = ROWS) -> Iterator[tuple[Tensor, TaskBatch, Tensor]]:
        """Yield (row indices [b] int64, those rows, their logits [b, V] float32) in pieces of similar prompt length.

        rows: largest number in one forward pass; None: the whole batch in one pass. With R masks for every row the
        logits are [R * b, V], mask after mask. A piece runs only when it is requested, so a caller may run a backward
        pass or stop between two pieces.
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
        """`measure(logits [b, V], part)` -> [b, ...] of all pieces, in the batch's order: [B, ...] or [R, B, ...]."""
        if self.runs is None:
            return _in_order(batch, ((some, measure(logits, part)) for some, part, logits in self.each(batch, rows)), 0)
        most = len(batch) if rows is None else rows
        at_once, found = max(1, most // len(batch)), []
        for start in range(0, self.runs, at_once):
            assert self.kept is not None  # R is the number of masks in `kept`
            group = self.under({name: mask[start : start + at_once] for name, mask in self.kept.items()})
            count = min(at_once, self.runs - start)
            pieces = (
                (some, torch.stack([measure(one, part) for one in logits.unflatten(0, (count, -1))]))
                for some, part, logits in group.each(batch, None if rows is None else most // count)
            )
            found.append(_in_order(batch, pieces, 1))
        return torch.cat(found)


def _in_order(batch: TaskBatch, pieces: Iterator[tuple[Tensor, Tensor]], dim: int) -> Tensor:
    """Values of the pieces put back into the batch's order of rows along `dim`; gradients pass through."""
    whole: Tensor | None = None
    for some, values in pieces:
        if whole is None:
            whole = values.new_empty(*values.shape[:dim], len(batch), *values.shape[dim + 1 :])
        whole.index_copy_(dim, some, values)
    if whole is None:
        raise UserError("a batch without pairs has no losses")
    return whole
