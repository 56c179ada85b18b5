"""Several runs at once: each a process of its own that goes on where it stopped."""

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
    """How many runs like `config` go side by side: one on a GPU, one a core on a CPU."""
    return usable_cores() if device_of(config).type == "cpu" else 1


def in_a_lane(config: TrainConfig) -> TrainConfig:
    """The run as it goes in a lane: with one thread on a CPU, unless it says how many."""
    return replace(config, threads=1) if device_of(config).type == "cpu" and not config.threads else config


def train_all(runs: Mapping[Path, TrainConfig], lanes: int) -> None:
    """Train every run into its folder, in order, `lanes` at a time; those that are finished cost nothing.

    A run that a mistake of the user ends (a loss that is not finite, above all) says so, and the others go on;
    anything else that ends one ends all, and the same call goes on from there.
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
    """What trains one run, with flags for what may be otherwise than the settings recorded in its folder."""
    return ["train", str(out / CONFIG), "--tokens", str(config.tokens), "--device", config.device, "--out", str(out)]


def results_of(out: Path, config: TrainConfig) -> dict[str, Any] | None:
    """What is known of the best model of a finished run; None where it did not finish all the steps of `config`."""
    done, finished = progress_of(out)
    return model_info(out) if finished and done >= config.steps else None
