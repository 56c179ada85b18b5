"""A row of results: one circuit of one model on one task, or why there is none.

Tasks that a model lacks, or that its tokenizer cannot pose, are rows too, so that nothing is left out in silence.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from sparsegpt2.errors import UserError
from sparsegpt2.results.markup import table


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of results.jsonl. Losses are in nats; a task loss is the mean over both sides of the pairs."""

    model: str
    """Short name of the model, unique among those benchmarked together."""
    model_path: str
    """Where the model was, as given."""
    fingerprint: str
    """Hash of the model's config, weights, node means and tokenizer: what makes two models the same."""
    task: str
    """Name of the task."""
    task_fingerprint: str
    """Hash of the task's instances for this tokenizer; empty when the task cannot be posed."""
    pruner: str
    """Name of the pruner."""
    seed: int
    """Pruning seed."""
    target_loss: float
    """Task loss the circuit had to meet on validation pairs."""
    settings: dict[str, Any]
    """The pruner's other settings, and how circuits are scored."""

    status: Literal["pruned", "lacks the task", "unavailable", "discovered"]
    """`lacks the task`: the unpruned loss is not below the target, so there is nothing to prune. `unavailable`: the
    task cannot be posed with this tokenizer. `discovered`: a circuit of components, which `components` describes."""
    reason: str = ""
    """Why the task is unavailable."""
    has_task: bool = False
    """Whether the unpruned loss on test pairs is under the target."""
    reached: bool = False
    """Whether the circuit's loss on validation pairs meets the target."""
    loss: float | None = None
    """The circuit's loss on test pairs."""
    loss_full: float | None = None
    """The unpruned model's loss on the same test pairs."""
    nodes: int | None = None
    """Kept nodes."""
    nodes_per_site: dict[str, int] | None = None
    """Kept nodes by site; sites without any may be left out."""
    edges: int | None = None
    """Circuit size: nonzero weights between kept nodes."""
    edges_trimmed: int | None = None
    """The same without nodes that no kept path joins to both an input and the logits."""
    side_edges: dict[str, int] | None = None
    """Edges of embedding and unembedding and kept biases: reported beside the size, never inside it."""
    calibrated: bool = False
    """Whether the losses are after fitting a scale and a shift of the logits."""
    curve: list[list[float]] = field(default_factory=list)
    """[nodes, edges, validation loss] along the pruner's ranking."""
    seconds: float = 0.0
    """Wall-clock time of pruning (shared by all targets of one ranking), choosing the size and scoring."""
    circuit: str | None = None
    """The circuit's file, relative to the results folder."""
    components: dict[str, Any] | None = None
    """Of a circuit of components: what was asked for, its edges, nodes and weights, and how it answers
    (eval_tasks/bench/component_cells.py); `pruner` is then the method, `target_loss` the loss below which the model
    has the task."""
    evidence: dict[str, Any] | None = None
    """The circuit's faithfulness report (evidence.Report.to_dict); None when it was not asked for."""

    held_out_loss: float | None
    """Pretraining loss of the model on held-out text, nats per token; None when its checkpoint does not say."""
    l0: int
    """Nonzero weights and biases of the model, the bigram table left out."""
    density: float
    """Target density of training; 1 is a dense model."""
    d_model: int
    """Width: channels of the residual stream."""
    n_layer: int
    """Layers."""
    parameters: int
    """Weights, zeros included, the bigram table left out."""
    tokens: int | None = None
    """Tokens seen in training."""
    kurtosis: float | None = None
    """Kurtosis of the final residual stream over held-out text; None when the checkpoint does not say."""

    version: str = ""
    """Version of sparsegpt2."""
    commit: str = ""
    """Commit of its source, with `-dirty` when there were changes on top; empty when it was installed."""
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
        """A field by its name, for tables and for choosing between the measures of size."""
        return getattr(self, name)

    @property
    def of_components(self) -> bool:
        """Whether it is of a method of `discover`, also where that found nothing."""
        return self.status == "discovered" or "asked" in self.settings

    @property
    def counts(self) -> bool:
        """Whether the row may enter a mean: the model has the task and the circuit reached the target."""
        return self.status == "pruned" and self.has_task and self.reached

    @property
    def misses_on_test(self) -> bool:
        """Whether a circuit that met the target on validation pairs, on which it was chosen, misses it on test pairs.

        Such a row counts all the same: which circuits count is decided on validation pairs alone.
        """
        return self.counts and self.loss is not None and self.loss > self.target_loss

    @property
    def identity(self) -> str:
        """What must be the same for a finished row to stand for a new run of it."""
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
    """Hash [16 hex digits] of everything that decides a row's numbers; arguments as the fields of `Row`."""
    parts = [fingerprint, task, task_fingerprint, pruner, int(seed), float(target_loss), settings]
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
