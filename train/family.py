"""A family of models: YAML files that share one base. Estimate what training them costs, and train them all."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch

from sparsegpt2.config import require
from sparsegpt2.model.gpt import GPT
from sparsegpt2.process import end_with_parent
from sparsegpt2.report.style import plain_number
from sparsegpt2.results import aligned
from sparsegpt2.settings import Parser, settings_from
from sparsegpt2.siblings import claim
from sparsegpt2.sparsity.project import check_feasible, projected_parameters
from train.config import TrainConfig
from train.cost import Cost, cost, seconds_per_step, together
from train.log import duration
from train.side_by_side import in_a_lane, lanes_for, results_of, train_all

BASE, BENCH = "base.yaml", "bench.yaml"
"""The files of a family's folder that do not describe a model. The first has the settings that all models share, the
second those of the benchmark."""


def read_family(folder: Path, only: Sequence[str] = (), flags: Sequence[str] = ()) -> dict[str, TrainConfig]:
    """Name -> settings of each model. `NAME.yaml` overrides `base.yaml`, and `flags` override both.

    only: names of the models to read; all by default. flags: as for `sparsegpt2 train`. `UserError` for a folder
    without models, for an unknown name and for wrong settings.
    """
    require((folder / BASE).is_file(), f"{folder} holds no family: there is no {BASE} in it")
    names = sorted(path.stem for path in folder.glob("*.yaml") if path.name not in (BASE, BENCH))
    require(bool(names), f"{folder} holds no models, only {BASE}; add NAME.yaml for each model")
    for name in only:
        require(name in names, f"there is no {name!r} in {folder}; there are {', '.join(names)}")
    return {
        name: read_run([str(folder / BASE), str(folder / f"{name}.yaml"), *flags])
        for name in names
        if not only or name in only
    }


def read_run(arguments: Sequence[str]) -> TrainConfig:
    """The settings of one model, from the YAML files and flags of `sparsegpt2 train`, except --out."""
    parser = Parser("train SETTINGS.yaml...", "")
    parser.add_settings(TrainConfig)
    return settings_from(parser.parse(list(arguments)), TrainConfig)


def begin_child(parent: int) -> None:
    """Set up a child process in which steps are timed.

    `import train` finds our package there, even if the user has a train.py. The process ends when its parent ends.
    parent: process id of the parent.
    """
    claim()
    end_with_parent(parent)


@dataclass(frozen=True)
class Plan:
    """A family that is about to be trained.

    Runs start in the order of `runs`. The longest comes first: if it started last, it would run alone at the end.
    """

    runs: dict[Path, TrainConfig]
    """Run folder -> settings."""
    costs: list[Cost]
    """The cost of each run, in the order of `runs`."""
    lanes: int
    """How many runs train at the same time."""

    def lines(self) -> list[str]:
        """The plan as a table with its totals."""
        table: list[tuple[str, ...]] = [("MODEL", "WIDTH", "L0", "OF", "TOKENS LEFT", "TIME")]
        for (out, config), one in zip(self.runs.items(), self.costs, strict=True):
            left = [f"{one.tokens:,}", duration(one.seconds)] if one.seconds else ["0", "finished"]
            table.append((out.name, str(config.model.d_model), *map(plain_number, sizes(config)), *left))
        tokens, seconds = sum(one.tokens for one in self.costs), [one.seconds for one in self.costs]
        return [
            *aligned(table),
            f"{plain_number(tokens)} tokens in {duration(sum(seconds))} of training, "
            f"{duration(together(seconds, self.lanes))} with {self.lanes} side by side; "
            "preparing the text before it and pruning after it are not included",
        ]


def sizes(config: TrainConfig) -> tuple[int, int]:
    """(L0 at the end of training, number of entries) of all sparsified tensors of a model together.

    `UserError` if the density in the settings cannot be met.
    """
    with torch.device("meta"):  # shapes only: no values are allocated
        model = GPT(config.model)
    check_feasible(model, config.sparsity)
    tensors = list(projected_parameters(model))
    kept = sum(math.floor(config.sparsity.density_of(tensor.kind) * tensor.weight.numel()) for tensor in tensors)
    return kept, sum(tensor.weight.numel() for tensor in tensors)


def make_plan(family: Mapping[str, TrainConfig], out: Path) -> Plan:
    """Time a few steps of every unfinished model, and put the runs in the order in which they will train.

    family: name -> settings of each model. out: the folder in which each run gets a folder of its name.
    """
    for config in family.values():
        sizes(config)  # report a density that cannot be met before anything begins
    lanes = lanes_for(next(iter(family.values())))
    runs = {out / name: in_a_lane(config) for name, config in family.items()}
    left = [config for run, config in runs.items() if results_of(run, config) is None]
    if lanes > 1 and len(left) > 1:
        spawn = get_context("spawn")
        with ProcessPoolExecutor(lanes, spawn, initializer=begin_child, initargs=(os.getpid(),)) as pool:
            try:  # in parallel, because runs that train in parallel slow each other down
                timed = list(pool.map(seconds_per_step, left))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    else:
        timed = [seconds_per_step(config) for config in left]
    steps = iter(timed)
    costs = {run: cost(config, 0.0 if results_of(run, config) else next(steps), run) for run, config in runs.items()}
    order = sorted(runs, key=lambda run: -costs[run].seconds)
    return Plan({run: runs[run] for run in order}, [costs[run] for run in order], lanes)


def train_family(plan: Plan) -> list[Path]:
    """Train the runs that are not finished. Returns the folders of all runs that are finished afterwards, sorted."""
    train_all(plan.runs, plan.lanes)
    return sorted(run for run, config in plan.runs.items() if results_of(run, config) is not None)
