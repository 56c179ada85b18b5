"""The benchmark: a row of results and a circuit file for each model, task, pruner, seed and target loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from eval_tasks.bench.cells import Cell
from eval_tasks.bench.component_cells import ComponentCell
from eval_tasks.bench.component_table import print_component_tables
from eval_tasks.bench.config import BenchConfig
from eval_tasks.bench.display import Display, print_tables
from eval_tasks.bench.evidence import print_verdicts
from eval_tasks.bench.pruner_cells import PrunerCell, nearest
from eval_tasks.bench.runner import Runner
from eval_tasks.bench.sharing import share_rankings
from eval_tasks.bench.subjects import Subject, pose_for_each, read_subjects
from sparsegpt2.circuits import PruneConfig
from sparsegpt2.circuits.pruners import named_plainly
from sparsegpt2.components import DiscoverConfig, get_method
from sparsegpt2.evidence import EvidenceConfig
from sparsegpt2.evidence.registry import plain_checks
from sparsegpt2.lock import locked
from sparsegpt2.results import Row
from sparsegpt2.settings import torch_device


def bench(
    models: Sequence[str | Path],
    out: str | Path,
    config: BenchConfig | None = None,
    prune: PruneConfig | None = None,
    check: EvidenceConfig | None = None,
    *,
    components: Sequence[DiscoverConfig] = (),
    progress: bool = True,
    table: bool = True,
) -> list[Row]:
    """Benchmark `models` (models or runs). Returns all requested rows, those from earlier runs and new ones.

    out: the results folder. Each new row is appended to out/results.jsonl, and its circuit is written to out/circuits.
    A task that the model lacks, or that is unavailable, gets a row that says so.

    check: settings of the faithfulness checks, which run if `config.evidence` is True. components: methods of
    `discover` to run on the same models and tasks, in addition to the pruners. progress: print a line for each finished
    cell, with the time left. table: also print the tables at the end, if `progress` is True.

    Raises `UserError`, before anything is pruned, if a model, task, pruner, method or earlier row cannot be used, or if
    another process is writing to the results folder.
    """
    config, prune = config or BenchConfig(), prune or PruneConfig()
    config = replace(config, pruners=tuple(named_plainly(PruneConfig(pruner=name)).pruner for name in config.pruners))
    if config.evidence and check is not None:
        check = replace(check, checks=plain_checks(check.checks))
    components = [replace(found, method=get_method(found.method).name) for found in components]
    device = str(torch_device(config.device))
    subjects = read_subjects(models, device)
    cells = plan(subjects, config, prune, (check or EvidenceConfig()) if config.evidence else None, components)
    with locked(out, "results folder"):
        runner = Runner(cells, device, out)
        with Display(len(runner.missing), enabled=progress) as display:
            for cell in runner.missing:
                display.begin(str(cell))
                display.end(runner.rows(cell, display.inside))
        rows = [row for cell in cells for row in runner.rows(cell)]
    if progress and table:
        print_tables(rows)
        print_component_tables(rows)
        print_verdicts(rows)
    return rows


def plan(
    subjects: Sequence[Subject],
    config: BenchConfig,
    prune: PruneConfig,
    check: EvidenceConfig | None = None,
    components: Sequence[DiscoverConfig] = (),
) -> list[Cell]:
    """Every cell (unit of work, see cells.py) of the benchmark, grouped by model.

    A cell ranks its nodes once, for the one of its target losses that is nearest to `prune.target_loss`. With
    `config.rank_each_target`, each target loss has a cell and a ranking of its own.
    """
    targets = tuple(sorted(config.target_losses or (prune.target_loss,), reverse=True))
    aim = nearest(targets, prune.target_loss)
    groups = [((target,), target) for target in targets] if config.rank_each_target else [(targets, aim)]
    cells: list[Cell] = []
    for subject, posed in pose_for_each(subjects, config.tasks):
        of_pruners = []
        for task, pruner, seed, (group, aimed) in product(posed, config.pruners, config.seeds, groups):
            settings = replace(prune, pruner=pruner, seed=seed, target_loss=aimed)
            of_pruners.append(PrunerCell(subject, task, settings, group, config.test_pairs, config.tune, check))
        cells += share_rankings(of_pruners, config.together)
        cells += [
            ComponentCell(subject, task, found, get_method(found.method).settings(), config.test_pairs)
            for found, task in product(components, posed)
        ]
    return cells
