"""What runs will cost, estimated before they begin from a few timed steps of each run on random tokens."""

from __future__ import annotations

import heapq
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from sparsegpt2.files import read_json, read_settled
from sparsegpt2.model.gpt import GPT
from sparsegpt2.plain import check, reading
from sparsegpt2.sparsity.optimizer import make_optimizer
from train.config import TrainConfig
from train.log import synchronise
from train.loop import device_of, take_step
from train.state import PROGRESS

FORWARD_SHARE = 1 / 3
"""Time of a forward pass as a share of a training step: the backward pass costs about two forwards."""


@dataclass(frozen=True)
class Cost:
    """An estimate of the work that one run has left."""

    tokens: int
    """Tokens still to train on."""
    seconds: float
    """Wall-clock time for training on these tokens and for measuring held-out losses and node means. Preparing the data
    and pruning are not included."""


def seconds_per_step(config: TrainConfig, steps: int = 5) -> float:
    """Median wall-clock time of a training step of `config`, on random tokens.

    steps: number of steps that are timed. Two more are done first, to warm up, and are not timed.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    device = device_of(config)
    torch.manual_seed(0)
    model = GPT(config.model).to(device)
    model.compute_dtype = getattr(torch, config.dtype)
    optimizer = make_optimizer(model, config.optimizer)
    tokens = torch.randint(config.model.vocab_size, (config.batch_size, config.length), device=device)
    taken = []
    for step in range(2 + steps):
        synchronise(device)
        started = time.perf_counter()
        take_step(model, optimizer, config, min(step, config.steps - 1), tokens, tokens)
        synchronise(device)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[2:])


def cost(config: TrainConfig, per_step: float, out: Path) -> Cost:
    """The work that the run with the settings `config` in the folder `out` has left.

    per_step: seconds that a training step takes.
    """
    done, finished = progress_of(out)
    if finished and done >= config.steps:
        return Cost(0, 0.0)
    left = 1 - done / config.steps
    per_token = per_step / (config.batch_size * config.length)
    tokens = (config.steps - done) * config.batch_size * config.length
    read = left * config.evaluations * config.validation_tokens + 2 * config.held_out_tokens + config.means_tokens
    return Cost(tokens, per_token * (tokens + FORWARD_SHARE * read))


def progress_of(out: Path) -> tuple[int, bool]:
    """(steps done, whether the run is finished) of the run folder `out`; (0, False) if it has no checkpoint yet."""

    def read(last: Path) -> tuple[int, bool]:
        if not (last / PROGRESS).exists():
            return 0, False
        values = read_json(last / PROGRESS, "training progress")
        with reading(f"training progress {last / PROGRESS}", "delete the run to start again"):
            return check(values["step"], int, "step"), check(values["finished"], bool, "finished")

    return read_settled(out / "last", read)


def together(seconds: Iterable[float], lanes: int) -> float:
    """Total time in seconds of runs that are started in order, with at most `lanes` of them running at the same time.

    seconds: the time of each run.
    """
    busy_until = [0.0] * lanes
    for duration in seconds:
        heapq.heapreplace(busy_until, busy_until[0] + duration)
    return max(busy_until)
