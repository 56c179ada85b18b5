"""Several runs at the same time, each in its own process. A run that was stopped is resumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sparsegpt2.lock import locked
from sparsegpt2.model.checkpoint import model_info
from train.config import TrainConfig
from train.cost import progress_of
from train.folder import CONFIG, check_folder, leave_folder, record_settings
from train.lanes import run_queue, usable_cores
from train.loop import device_of
from train.state import saved_at


def lanes_for(config: TrainConfig) -> int:
    """How many runs like `config` train at the same time: one on a GPU, one for each core on a CPU."""
    return usable_cores() if device_of(config).type == "cpu" else 1


def in_a_lane(config: TrainConfig) -> TrainConfig:
    """The run's settings for training at the same time as others: one thread on a CPU, unless `threads` is set."""
    return replace(config, threads=1) if device_of(config).type == "cpu" and not config.threads else config


def train_all(runs: Mapping[Path, TrainConfig], lanes: int) -> None:
    """Train every run into its folder, in order, `lanes` at a time; runs that are finished are skipped.

    If a run ends with a user's mistake, most often a loss that is not finite, it prints the reason and the others
    continue. If a run ends for any other reason, all end, and the same call resumes them.
    """
    left = {out: config for out, config in runs.items() if results_of(out, config) is None}
    for out, config in left.items():
        with locked(out, "run folder"):
            check_folder(out, config)
            if saved_at(out / "last") is None:
                record_settings(out, config, 0)
    try:
        run_queue([command(out, config) for out, config in left.items()], lanes, forgiving=True)
    finally:
        for out in left:
            leave_folder(out)


def command(out: Path, config: TrainConfig) -> list[str]:
    """The arguments of `sparsegpt2` that train one run.

    Its settings are read from the config.yaml in `out`. `tokens` and `device` may differ from those recorded in it, so
    they are given as flags.
    """
    return ["train", str(out / CONFIG), "--tokens", str(config.tokens), "--device", config.device, "--out", str(out)]


def results_of(out: Path, config: TrainConfig) -> dict[str, Any] | None:
    """What a run's best model records about its training; None if the run has not finished all steps of `config`."""
    done, finished = progress_of(out)
    return model_info(out) if finished and done >= config.steps else None
