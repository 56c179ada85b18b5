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
    """Benchmark `models` (models or runs) into the results folder `out`; returns all requested rows, old and new.

    For each row that does not exist yet, appends it to out/results.jsonl and writes its circuit to out/circuits. Tasks
    that a model lacks or that are unavailable get rows that say so.

    check: settings of the faithfulness checks, used if `config.evidence`. components: methods of `discover` to run on
    the same models and tasks as well. progress: print a line for each cell with the time left. table: with progress,
    print the tables at the end.

    Before anything is pruned, `UserError` for a model, task, pruner, method or earlier results that cannot be used, and
    for a results folder that another process is writing to.
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
    """Every cell, grouped by model. Rankings are made for the target loss nearest to `prune.target_loss`."""
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
