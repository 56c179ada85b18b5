"""The benchmark: models x tasks x pruners x seeds x target losses, a row of results and a circuit file each.

A cell is one model, task, pruner and seed: its nodes are ranked once and circuits for every target cut from the
ranking. A cell needs nothing of any other, and its rows depend on nothing but what they name, so a run may be
interrupted anywhere: the next one makes only the rows that are missing, and makes them the same. Pruning sees a task's
train and validation splits; scores come from its test split.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby, product
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from eval_tasks.base import PosedTask
from eval_tasks.bench.cells import TEST_SEED, Cell, Ranker, aim_at, nearest, shared_rankings, standing
from eval_tasks.bench.display import Display, print_tables
from eval_tasks.bench.evidence import print_verdicts
from eval_tasks.bench.subjects import Posed, Subject, pose_tasks, read_subjects
from sparsegpt2.circuits import Circuit, LossCurve, PruneConfig, Score, circuit_at, evaluate, rank_nodes
from sparsegpt2.circuits.pruners import get_pruner
from sparsegpt2.circuits.tune import tune
from sparsegpt2.config import require
from sparsegpt2.errors import UserError
from sparsegpt2.evidence import EvidenceConfig, collect_evidence, report_path
from sparsegpt2.lock import locked
from sparsegpt2.model.checkpoint import load_model
from sparsegpt2.model.gpt import GPT
from sparsegpt2.results.results import RESULTS, Row, append_row, read_rows, repair
from sparsegpt2.text.training_text import training_text

TUNING = "tuning.journal"
"""Optuna's journal of all searches of a results folder."""

Progress = Callable[[int, int, str], None]
"""Called with (done, total, what) inside a cell."""


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """What is benchmarked; how a circuit is found is a `PruneConfig`."""

    tasks: tuple[str, ...] = ()
    """Names of tasks, or paths of task files of your own; all 20 by default."""
    pruners: tuple[str, ...] = ("node",)
    """Pruners to compare."""
    target_losses: tuple[float, ...] = ()
    """Task losses, in nats, that circuits must meet; by default the pruning settings' own (paper: 0.15)."""
    seeds: tuple[int, ...] = (0,)
    """Pruning seeds."""
    test_pairs: int = 256
    """Prompt pairs of the test split that circuits and unpruned models are scored on."""
    rank_each_target: bool = False
    """Rank the nodes anew for every target loss, with the penalty's controller aimed at it, instead of once, aimed at
    the target nearest to the pruning settings' own. Costs a pruning run for each target."""
    tune: int = 0
    """Trials of a search for each cell's best pruner settings, on train and validation instances (tune.py); 0: none."""
    together: int = 1
    """Tasks and seeds whose gates train in one batch, for pruners that can. More fill a GPU; on a CPU they gain about a
    fifth. Circuits are the same but for rounding, which depends on which tasks and seeds were asked for together."""
    evidence: bool = False
    """Judge every circuit by the checks of `sparsegpt2 evaluate`; the report stands in its row and beside its file."""
    device: str = "auto"
    """`cpu`, `cuda`, or `auto`: a GPU where there is one."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "target_losses", tuple(map(float, self.target_losses)))
        for name in ("tasks", "pruners", "target_losses", "seeds"):
            values = tuple(getattr(self, name))
            require(len(set(values)) == len(values), f"{name} has an entry twice: {', '.join(map(str, values))}")
            object.__setattr__(self, name, values)
        require(bool(self.pruners) and bool(self.seeds), "a benchmark needs at least one pruner and one seed")
        require(all(target > 0 for target in self.target_losses), "target_losses must be over 0")
        require(self.tune >= 0, f"tune is a number of trials, 0 or more, got {self.tune}")
        require(self.together >= 1, f"together must be at least 1, got {self.together}")
        require(self.test_pairs >= 1, f"test_pairs must be at least 1, got {self.test_pairs}")
        require(self.device in ("auto", "cpu", "cuda"), f"device must be auto, cpu or cuda, got {self.device!r}")
        if self.device == "cuda":
            require(torch.cuda.is_available(), "device=cuda, but there is no GPU that torch can use")


def bench(
    models: Sequence[str | Path],
    out: str | Path,
    config: BenchConfig | None = None,
    prune: PruneConfig | None = None,
    check: EvidenceConfig | None = None,
    *,
    progress: bool = True,
) -> list[Row]:
    """Benchmark `models` (directories of models or training runs) into the results folder `out`.

    Appends a row to out/results.jsonl, and writes a circuit under out/circuits, for whatever is not there yet. Tasks a
    model has not, or its tokenizer cannot pose, get rows that say so. Returns all rows asked for, earlier ones too.
    check: how circuits are judged, with `config.evidence`.
    progress: print a line a cell with the time left, then the table. `UserError` for a model, task, pruner or earlier
    results that cannot be used, before anything is pruned; and for a results folder that another process writes to.
    """
    config, prune, out = config or BenchConfig(), prune or PruneConfig(), Path(out)
    for pruner in config.pruners:
        get_pruner(pruner)
    device = ("cuda" if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
    subjects = read_subjects(models, device)
    cells = list(plan(subjects, config, prune, (check or EvidenceConfig()) if config.evidence else None))
    with locked(out, "results folder"):
        rows = _make_rows(cells, out, config.together, device, progress)
    if progress:
        print_tables(rows)
        print_verdicts(rows)
    return rows


def _make_rows(cells: Sequence[Cell], out: Path, together: int, device: str, progress: bool) -> list[Row]:
    """Append the rows that are not there yet; the rows of all cells. For whoever holds the results folder's lock."""
    repair(out)
    finished = _finished(out)
    rankers = shared_rankings(cells, together)
    missing = [cell for cell in cells if any(cell.identity(target) not in finished for target in cell.targets)]
    with Display(len(missing), enabled=progress) as display:
        for cell, model in _with_models(missing, device):
            display.begin(str(cell))
            for row in run_cell(cell, model, out, display.inside, rankers.get(id(cell), rank_nodes)):
                if row.identity not in finished:
                    append_row(out, row)
                    finished[row.identity] = row
            display.end([finished[cell.identity(target)] for target in cell.targets])
            give_back_memory()
    return [finished[cell.identity(target)] for cell in cells for target in cell.targets]


def give_back_memory() -> None:
    """Return freed memory to the system where the C library can: batches of every length leave gaps that it keeps."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def plan(
    subjects: Sequence[Subject], config: BenchConfig, prune: PruneConfig, check: EvidenceConfig | None = None
) -> Iterator[Cell]:
    """Every cell, models outermost. A ranking is aimed at the target nearest to `prune.target_loss`."""
    targets = tuple(sorted(config.target_losses or (prune.target_loss,), reverse=True))
    aim = nearest(targets, prune.target_loss)
    groups = [((target,), target) for target in targets] if config.rank_each_target else [(targets, aim)]
    posed: dict[str, list[Posed]] = {}
    for subject in subjects:
        key = subject.tokenizer.fingerprint
        posed[key] = posed.get(key) or pose_tasks(subject.tokenizer, config.tasks)
        for task, pruner, seed, (group, aimed) in product(posed[key], config.pruners, config.seeds, groups):
            settings = replace(prune, pruner=pruner, seed=seed, target_loss=aimed)
            yield Cell(subject, task, settings, group, config.test_pairs, config.tune, check)


def run_cell(
    cell: Cell,
    model: GPT,
    out: Path,
    progress: Progress | None = None,
    rank: Ranker = rank_nodes,
) -> Iterator[Row]:
    """The rows of a cell, one for each target, falling. A circuit's file is written before its row is given out.

    All targets are gone through even if some rows are there already: which sizes a later target tries, and so its
    curve, depends on those tried before.
    """
    try:
        loss_full, had = standing(cell, model)
    except UserError as error:
        yield from (_row(cell, target, status="unavailable", reason=str(error)) for target in cell.targets)
        return
    task = cell.posed.task
    for target in cell.targets:
        if target not in had:
            yield _row(cell, target, status="has not", loss_full=loss_full)
    if had and task is not None:
        prune = aim_at(had, cell.prune)
        if cell.trials:
            study = f"{cell.identity(prune.target_loss)} {prune.target_loss:g}"
            prune = tune(model, task, prune, cell.trials, out / TUNING, name=study, progress=progress).config
        curve = LossCurve(model, task, rank(model, task, prune, progress), prune, progress)
        for target in had:
            started = time.perf_counter()
            circuit = circuit_at(curve, target)
            score = evaluate(model, task, circuit, pairs=cell.test_pairs, seed=TEST_SEED)
            path = circuit_path(cell, target)
            circuit.info["model"] = cell.subject.path
            circuit.save(out / path)
            seconds = curve.ranking.seconds + time.perf_counter() - started
            evidence = _evidence(cell, model, task, circuit, out / path, progress)
            yield _row(
                cell, target, circuit=path, seconds=seconds, evidence=evidence, **_measures(circuit, model, score)
            )


def _evidence(
    cell: Cell,
    model: GPT,
    task: PosedTask,
    circuit: Circuit,
    path: Path,
    progress: Progress | None,
) -> dict[str, Any] | None:
    """The circuit's report as plain values, kept beside its file too; None when it is not asked for."""
    if cell.check is None:
        return None
    text = training_text(cell.subject.path, cell.check.text_rows, model.config.context)
    report = collect_evidence(model, task, circuit, cell.check, text=text, path=report_path(path), progress=progress)
    return report.to_dict()


def circuit_path(cell: Cell, target: float) -> str:
    """Where a row's circuit is kept, relative to the results folder; different settings give different files."""
    name = f"{cell.prune.pruner}-seed{cell.prune.seed}-loss{target:g}-{cell.identity(target)[:8]}.json"
    return str(PurePosixPath("circuits", cell.subject.name, cell.posed.name, name))


def _measures(circuit: Circuit, model: GPT, score: Score) -> dict[str, Any]:
    """The fields of a pruned row that say what the circuit is and does."""
    return {
        "status": "pruned",
        "has_task": True,
        "reached": circuit.info["reached"],
        "loss": score.loss,
        "loss_full": score.loss_full,
        "nodes": circuit.n_nodes,
        "nodes_per_site": circuit.nodes_per_site(),
        "edges": circuit.edges(model),
        "edges_trimmed": circuit.trimmed(model).edges(model),
        "side_edges": circuit.side_edges(model),
        "calibrated": circuit.info["calibrated"],
        "curve": circuit.info["curve"],
    }


def _row(cell: Cell, target: float, **measured: Any) -> Row:
    fields: dict[str, Any] = {
        "model": cell.subject.name,
        "model_path": cell.subject.path,
        "fingerprint": cell.subject.fingerprint,
        "task": cell.posed.name,
        "task_fingerprint": cell.posed.fingerprint,
        "pruner": cell.prune.pruner,
        "seed": cell.prune.seed,
        "target_loss": target,
        "settings": cell.settings,
    }
    return Row(**fields, **cell.subject.about, **measured)


def _with_models(cells: Iterable[Cell], device: str) -> Iterator[tuple[Cell, GPT]]:
    """Each cell with its model, one model in memory at a time."""
    for _, of_model in groupby(cells, key=lambda cell: cell.subject.path):
        model: GPT | None = None
        for cell in of_model:
            model = model or load_model(cell.subject.path, device)
            yield cell, model


def _finished(out: Path) -> dict[str, Row]:
    """Rows of earlier runs by identity."""
    if not (out / RESULTS).exists() or not (out / RESULTS).stat().st_size:
        return {}
    return {row.identity: row for row in read_rows(out)}
