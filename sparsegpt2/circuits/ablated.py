"""Run a model with everything outside a circuit ablated. All code that trains or scores circuits uses `Ablated`.

    Ablated(model, circuit).losses(batch)                                    # nodes outside the circuit at their means
    Ablated(model, circuit, ablation=zero_ablation(model)).logits(batch)
    Ablated(model).losses(batch)                                             # the whole model

A mask over nodes has one entry for each node: 1 keeps the node, and 0 ablates it. The entries may be float gates with
gradients. The node means are checked when an `Ablated` is made. Its method `under` returns a copy with other masks and
does not check the means again, so every training step can call it. An `Ablated` can also hold R masks at once. Then
every row of a batch is run under each of them, or under the one that the argument `owner` of `under` assigns to it.

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
"""Largest number of sequences in one forward pass, unless the caller gives another number."""


class Ablated:
    """A model in which everything outside a circuit is ablated.

    Float masks receive gradients; the model's weights do not.
    """

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
        """Choose what is kept, what replaces everything else, and how the model computes.

        circuit: what is kept. Either a `Circuit`, or masks over nodes: site -> [C], or [R, C] for R masks at once. With
        None every node is kept. ablation: what replaces nodes and edges that are not kept; mean ablation by default.
        weights: a mask over weights, parameter name -> bool or float gates. It is ignored if `circuit` is a `Circuit`,
        which has its own. live: site -> bool [C], the nodes that `circuit`, or a mask passed to `under`, may keep. All
        other nodes are left out of the computation, because their constant values can be folded into biases
        (`reduce.Reduction`). So `live` needs an ablation that sets nodes to constants. Without `live` all nodes are
        computed, except that for a `Circuit` its own nodes are live, if the ablation allows that and there is no
        `through`. dtype: precision of the model's linear maps. calibration: applied to the logits. The calibration in
        `circuit.info` is used only if it is passed here. through: a site object that runs after the ablation and can
        record or change the ablated activations.

        `UserError` if mean ablation is needed and the model's node means are incomplete or not finite.
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
        """Name -> value of each parameter that replaces the model's own in the forward pass."""
        if live is not None:
            if not isinstance(self.ablation, Constant):
                raise UserError("nodes can be left out of the computation only if the ablation sets them to constants")
            self.reduction = Reduction(model, live, dtype, self.ablation.values, self.parameters)
            self.parameters = self.reduction.parameters
        self._set(kept, None)

    def under(self, kept: Masks, *, owner: Tensor | None = None, weights: Masks | None = None) -> Ablated:
        """A copy of this object with other masks over nodes. Neither the masks nor the node means are checked.

        kept: site -> [C], or [R, C] for R masks. owner: [B] int64, for each row of a batch the index (below R) of the
        mask that it uses. weights: another mask over weights. It is a `UserError` if this object leaves nodes out of
        the computation.
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
        """The number of masks R if every row of a batch is run under each of them, else None."""

    def _parameters(self, weights: Masks | None) -> dict[str, Tensor]:
        return ablate_edges(self.model, weights, self.ablation.edge_values()) if weights and self.ablation else {}

    _sites: Sites | None

    def _site(self, piece: Piece) -> Site | None:
        """The site object for the rows of one piece of a batch; None if nothing is ablated, recorded or changed."""
        ablating: Site | None = None
        if self.kept is not None and self.ablation is not None:
            if self._sites is None:  # made once, so that all pieces share the terms computed from masks
                over = self.ablation.over if self.reduction is None else self.reduction.over
                self._sites = over(self.kept)
            ablating = self._sites(piece)
        if ablating is None or self.through is None:
            return ablating or self.through
        return Chain(ablating, self.through)

    def each(self, batch: TaskBatch, rows: int | None = ROWS) -> Iterator[tuple[Tensor, TaskBatch, Tensor]]:
        """Run the batch in pieces, each with prompts of similar length, and yield the results of each piece.

        A result is (row indices [b] int64, the rows as a batch, their logits [b, V] float32). If every row is run under
        each of R masks, the logits are [R * b, V]: all rows under the first mask, then all rows under the second, and
        so on. rows: largest number of sequences in one forward pass; with None the whole batch is one piece. A piece
        runs only when it is requested, so the caller may run a backward pass between two pieces, or stop.
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
        """Logits after each prompt, float32: [B, V], or [R, B, V] if every row is run under each of R masks."""
        return self._gathered(batch, rows, lambda logits, _part: logits)

    def losses(self, batch: TaskBatch, rows: int | None = ROWS) -> Tensor:
        """Task loss of each row in nats, float32: [B], or [R, B] if every row is run under each of R masks."""
        return self._gathered(batch, rows, task_loss)

    def _gathered(self, batch: TaskBatch, rows: int | None, measure: Callable[[Tensor, TaskBatch], Tensor]) -> Tensor:
        """Apply `measure` to every piece and join the results in the order of the rows: [B, ...] or [R, B, ...].

        measure: (logits [b, V], the rows as a batch) -> one value or vector per row, [b, ...].
        """
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
    """Join the values of all pieces along `dim`, in the order of the batch's rows. Gradients pass through.

    pieces: (row indices, values of those rows).
    """
    whole: Tensor | None = None
    for some, values in pieces:
        if whole is None:
            whole = values.new_empty(*values.shape[:dim], len(batch), *values.shape[dim + 1 :])
        whole.index_copy_(dim, some, values)
    if whole is None:
        raise UserError("a batch without pairs has no losses")
    return whole
