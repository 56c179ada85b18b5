"""A row of results: one circuit of one model on one task, or why there is none.

Tasks that a model lacks, or that are unavailable in its tokenizer, have rows too, so that nothing is silently left out.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from sparsegpt2.errors import UserError
from sparsegpt2.plain import stays_inside
from sparsegpt2.results.markup import table


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of results.jsonl. Losses are in nats; a task loss is the mean over both sides of the pairs."""

    model: str
    """Short name of the model, unique among those benchmarked together."""
    model_path: str
    """Path or address of the model, as it was given."""
    fingerprint: str
    """Hash of the model's config, weights, node means and tokenizer. Models with the same hash are the same model."""
    task: str
    """Name of the task."""
    task_fingerprint: str
    """Hash of the task's prompts for this tokenizer; empty if the task is unavailable."""
    pruner: str
    """Name of the pruner."""
    seed: int
    """Pruning seed."""
    target_loss: float
    """Largest task loss that the circuit may have on validation pairs."""
    settings: dict[str, Any]
    """The pruner's other settings, and how circuits are scored."""

    status: Literal["pruned", "lacks the task", "unavailable", "discovered"]
    """`pruned`: a circuit of nodes. `lacks the task`: the unpruned loss is not below the target, so there is nothing to
    prune. `unavailable`: the tokenizer cannot express the task. `discovered`: a circuit of components, described in
    `components`."""
    reason: str = ""
    """Why the task is unavailable."""
    has_task: bool = False
    """Whether the unpruned loss on test pairs is below the target."""
    reached: bool = False
    """Whether the circuit's loss on validation pairs meets the target."""
    loss: float | None = None
    """Task loss of the circuit on test pairs."""
    loss_full: float | None = None
    """Task loss of the unpruned model on the same test pairs."""
    nodes: int | None = None
    """Number of kept nodes."""
    nodes_per_site: dict[str, int] | None = None
    """Number of kept nodes at each site; sites without kept nodes may be left out."""
    edges: int | None = None
    """Circuit size: nonzero weights between kept nodes."""
    edges_trimmed: int | None = None
    """The same after dropping dangling nodes, those on no path of kept edges from an input to the logits."""
    side_edges: dict[str, int] | None = None
    """Nonzero weights that the circuit uses and that are not edges, by kind (docs/definitions.md, Side edge). They are
    not part of the size."""
    calibrated: bool = False
    """Whether a scale and a shift of the logits were fitted before the losses were measured."""
    curve: list[list[float]] = field(default_factory=list)
    """[nodes, edges, validation loss] along the pruner's ranking."""
    seconds: float = 0.0
    """Wall-clock seconds of pruning (shared by all targets of one ranking), choosing the size and scoring."""
    circuit: str | None = None
    """File of the circuit, relative to the results folder."""
    components: dict[str, Any] | None = None
    """For a circuit of components: the requested size, the edges, nodes and weights, and measures of its answers
    (eval_tasks/bench/component_cells.py). `pruner` is then the method, and `target_loss` the loss below which the
    model has the task."""
    evidence: dict[str, Any] | None = None
    """Faithfulness report of the circuit (evidence.Report.to_dict); None if none was requested."""

    held_out_loss: float | None
    """Loss of the model on held-out text, nats per token; None if its checkpoint does not record it."""
    l0: int
    """Number of nonzero weights and biases of the model, without the bigram table."""
    density: float
    """Target density of training; 1 is a dense model."""
    d_model: int
    """Width: channels of the residual stream."""
    n_layer: int
    """Layers."""
    parameters: int
    """Number of weights, zeros included, without the bigram table."""
    tokens: int | None = None
    """Tokens seen in training."""
    kurtosis: float | None = None
    """Kurtosis of the final residual stream over held-out text; None if the checkpoint does not record it."""

    version: str = ""
    """Version of sparsegpt2."""
    commit: str = ""
    """Commit of its source, with `-dirty` if there were uncommitted changes; empty if it was not run from a clone."""
    torch: str = ""
    """Version of torch."""
    device: str = ""
    """`cpu` or `cuda`."""
    machine: str = ""
    """Kind of processor or GPU."""

    def __post_init__(self) -> None:
        if self.status == "pruned":
            absent = [name for name in ("loss", "loss_full", "nodes", "edges", "edges_trimmed") if self[name] is None]
            if absent:
                raise UserError(f"a pruned row needs a number for {absent[0]!r}")
        if not self.target_loss > 0:
            raise UserError(f"target_loss must be above 0, got {self.target_loss}")
        for name in ("nodes", "edges", "edges_trimmed", "l0", "parameters", "d_model", "n_layer"):
            if (self[name] or 0) < 0:
                raise UserError(f"{name} must be 0 or more, got {self[name]}")
        if self.circuit is not None and not stays_inside(self.circuit):
            raise UserError(f"circuit must be a path inside the results folder, got {self.circuit!r}")
        if any(len(point) != 3 or min(point) < 0 for point in self.curve):
            raise UserError("curve must hold lists of nodes, edges and loss, each 0 or more")

    def __repr__(self) -> str:
        known = {
            "nodes": self.nodes,
            "edges": self.edges,
            "loss": None if self.loss is None else f"{self.loss:.3f}",
            "whole model": None if self.loss_full is None else f"{self.loss_full:.3f}",
        }
        measured = "".join(f", {name} {value}" for name, value in known.items() if value is not None)
        missed = "" if self.status != "pruned" or self.reached else ", target not met"
        return (
            f"Row({self.model} · {self.task} · {self.pruner}, seed {self.seed}, target {self.target_loss:g}: "
            f"{self.status}{measured}{missed})"
        )

    def _repr_html_(self) -> str:
        values = asdict(self) | {name: "..." for name in ("curve", "components", "evidence") if self[name]}
        return table((), [(name, value) for name, value in values.items() if value not in (None, "", [])], "Row")

    def __getitem__(self, name: str) -> Any:
        """The field `name`, for tables and for choosing a measure of size."""
        return getattr(self, name)

    @property
    def of_components(self) -> bool:
        """Whether the row comes from a method of `discover`, even if the method found no circuit."""
        return self.status == "discovered" or "asked" in self.settings

    @property
    def counts(self) -> bool:
        """Whether the row may enter a mean: the model has the task and the circuit meets the target."""
        return self.status == "pruned" and self.has_task and self.reached

    @property
    def misses_on_test(self) -> bool:
        """Whether a circuit misses the target on test pairs though it meets it on validation pairs.

        Its size was chosen on validation pairs, and they alone decide whether a row counts, so such a row still counts.
        """
        return self.counts and self.loss is not None and self.loss > self.target_loss

    @property
    def identity(self) -> str:
        """Hash of everything that decides the row's numbers. A benchmark computes no row whose identity its results
        already have."""
        return row_identity(
            self.fingerprint, self.task, self.task_fingerprint, self.pruner, self.seed, self.target_loss, self.settings
        )


def row_identity(
    fingerprint: str,
    task: str,
    task_fingerprint: str,
    pruner: str,
    seed: int,
    target_loss: float,
    settings: dict[str, Any],
) -> str:
    """Hash [16 hex digits] of everything that decides a row's numbers; the arguments are fields of `Row`."""
    parts = [fingerprint, task, task_fingerprint, pruner, int(seed), float(target_loss), settings]
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
