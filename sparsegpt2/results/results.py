"""Benchmark results on disk: `results.jsonl`, one JSON object a line, each a `Row`, read strictly.

A row is one circuit: a model, a task, a pruner, a pruning seed and a target loss. Tasks that a model has not, or that
its tokenizer cannot pose, are rows too, so that nothing is left out in silence. `aggregate.py` makes means of them.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import types
import typing
from collections.abc import Iterable
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from sparsegpt2.errors import UserError
from sparsegpt2.files import write_text
from sparsegpt2.lock import appending, locked

RESULTS = "results.jsonl"
"""Name of the file inside a results folder."""


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

    status: Literal["pruned", "has not", "unavailable", "discovered"]
    """`has not`: the unpruned loss is not under the target, so there is nothing to prune. `unavailable`: the task
    cannot be posed with this tokenizer. `discovered`: a circuit of components, which `components` describes."""
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
    (eval_tasks/bench/discover.py); `pruner` is then the method, `target_loss` the loss below which it has the task."""
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

    def __getitem__(self, name: str) -> Any:
        """A field by its name, for tables and for choosing between the measures of size."""
        return getattr(self, name)

    @property
    def counts(self) -> bool:
        """Whether the row may enter a mean: the model has the task and the circuit reached the target."""
        return self.status == "pruned" and self.has_task and self.reached

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


def results_file(path: str | Path) -> Path:
    """`results.jsonl` of a results folder, or the file itself when `path` is one; `UserError` when there is none."""
    path = Path(path)
    if path.is_file():
        return path
    if not path.exists():
        raise UserError(f"results folder {path} does not exist; make it with `sparsegpt2 bench MODEL --out {path}`")
    if not (path / RESULTS).is_file():
        raise UserError(f"{path} holds no {RESULTS}; give a folder written by `sparsegpt2 bench`")
    return path / RESULTS


def read_rows(path: str | Path) -> list[Row]:
    """Every row of a results folder or file, in order.

    `UserError` naming file and line for a truncated line, a missing, unknown or mistyped field; also for no rows.
    """
    file = results_file(path)
    data = file.read_bytes()
    until = time.monotonic() + 0.5
    while data and not data.endswith(b"\n") and time.monotonic() < until:  # a row that is being appended just now
        time.sleep(0.01)
        data = file.read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 text ({error}); it is no results file") from None
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            rows.append(parse_row(line, f"{file} line {number}"))
    if not rows:
        raise UserError(f"{file} holds no results yet; run `sparsegpt2 bench` first")
    return rows


def parse_row(line: str, source: str) -> Row:
    """A row from its JSON; `source` (file and line) begins the sentence of any `UserError`."""
    try:
        values = json.loads(line, parse_constant=_reject_constant)
    except ValueError as error:
        raise UserError(
            f"{source} is not complete JSON ({error}); if a benchmark was interrupted there, run it again to repair it"
        ) from None
    if not isinstance(values, dict):
        raise UserError(f"{source} is not a JSON object, but a {type(values).__name__}")
    hints = _row_hints()
    for unknown in sorted(set(values) - set(hints)):
        raise UserError(f"{source} has the unknown field {unknown!r}; a newer version may have written it")
    for item in fields(Row):
        if item.name not in values:
            if item.default is MISSING and item.default_factory is MISSING:
                raise UserError(f"{source} lacks the field {item.name!r}")
        elif not _matches(values[item.name], hints[item.name]):
            raise UserError(f"{source}: the field {item.name!r} cannot be {json.dumps(values[item.name])[:60]}")
    try:
        return Row(**values)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None


def append_row(folder: str | Path, row: Row) -> None:
    """Add one complete line to a results folder's file and wait until it is on disk."""
    data = _line(row).encode("utf-8")
    with appending(Path(folder) / RESULTS) as descriptor:
        while data:  # one write in practice; a full disk may take it in parts
            data = data[os.write(descriptor, data) :]


def merge_results(folders: Iterable[str | Path], out: str | Path) -> list[Row]:
    """Make `out`/results.jsonl hold every row of `folders`, which lie inside `out`; its rows.

    Circuits stay where they are, and the rows say where that is from `out`. Rows that `out` has beyond those stay.
    """
    rows = []
    for folder in folders:
        place = Path(folder).relative_to(out)
        rows += [replace(row, circuit=row.circuit and (place / row.circuit).as_posix()) for row in read_rows(folder)]
    with locked(out, "results folder"):
        file, merged = Path(out) / RESULTS, {row.identity for row in rows}
        earlier = read_rows(out) if file.exists() and file.stat().st_size else []
        rows = [row for row in earlier if row.identity not in merged] + rows
        write_text(file, "".join(map(_line, rows)))
    return rows


def _line(row: Row) -> str:
    return json.dumps(asdict(row), ensure_ascii=False, allow_nan=False) + "\n"


def repair(folder: str | Path) -> bool:
    """Cut off a last line torn by an interruption (no newline at its end); whether there was one.

    The row that was being written is then simply not finished, and is made again.
    """
    file = Path(folder) / RESULTS
    if not file.exists() or file.read_bytes()[-1:] in (b"", b"\n"):
        return False
    with appending(file):  # which cuts it off, unless its writer lives and has finished it meanwhile
        return True


def current_rows(rows: Iterable[Row]) -> list[Row]:
    """One row for each (model, task, pruner, seed, target): the last, where settings changed between runs.

    Rows of a model that has since been trained anew at the same path are left out, and circuits of components, whose
    sizes are of another kind (`component_rows`).
    """
    rows = [row for row in rows if row.status != "discovered"]
    newest = {row.model_path: row.fingerprint for row in rows}
    latest = {
        (row.fingerprint, row.task, row.pruner, row.seed, row.target_loss): row
        for row in rows
        if newest[row.model_path] == row.fingerprint
    }
    return list(latest.values())


def component_rows(rows: Iterable[Row]) -> list[Row]:
    """The rows of component circuits, one for each identity: the last."""
    return list({row.identity: row for row in rows if row.status == "discovered"}.values())


@cache
def _row_hints() -> dict[str, Any]:
    return typing.get_type_hints(Row)


def _matches(value: Any, hint: Any) -> bool:
    """Whether a JSON value fits an annotation made of scalars, Literal, unions, list[...] and dict[str, ...]."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_matches(value, argument) for argument in arguments)
    if origin is Literal:
        return value in arguments
    if origin is list:
        return isinstance(value, list) and all(_matches(item, arguments[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(_matches(item, arguments[1]) for item in value.values())
    if hint is Any:
        return True
    if isinstance(value, bool):  # JSON's true is no number
        return hint is bool
    return isinstance(value, (int, float)) if hint is float else isinstance(value, hint)


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")
