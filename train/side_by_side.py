"""Several runs at once: each a process of its own that goes on where it stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sparsegpt2.model.checkpoint import model_info
from train.config import TrainConfig
from train.cost import progress_of
from train.lanes import run_queue, usable_cores
from train.loop import CONFIG, claim_folder, device_of


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
    for out, config in runs.items():
        claim_folder(out, config)
    left = [out for out in runs if results_of(out) is None]
    run_queue([["train", str(out / CONFIG), "--out", str(out)] for out in left], lanes, forgiving=True)


def results_of(out: Path) -> dict[str, Any] | None:
    """What is known of the best model of a finished run; None where it did not finish."""
    return model_info(out) if progress_of(out)[1] else None
