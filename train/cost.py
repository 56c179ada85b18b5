"""What runs will cost before they begin: a few timed steps of each on random tokens, and then the time for all."""

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
from sparsegpt2.sparsity.optimizer import make_optimizer
from train.config import TrainConfig
from train.log import synchronise
from train.loop import device_of, take_step
from train.state import PROGRESS

FORWARD_SHARE = 1 / 3
"""Time of a token that is only read, as a share of one that is trained on: the backward pass costs two forwards."""


@dataclass(frozen=True)
class Cost:
    """Of one run: what it will see and how long that takes, less what is done already."""

    tokens: int
    """Tokens still to train on."""
    seconds: float
    """Wall-clock time for them and for the run's evaluations and means; preparing data and pruning are not in it."""


def seconds_per_step(config: TrainConfig, steps: int = 5) -> float:
    """Median wall-clock time of a training step of `config` after two to warm up, on random tokens; nothing is kept."""
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
    """What the run `config` in the folder `out` still costs at `per_step` seconds a step."""
    done, finished = progress_of(out)
    if finished and done >= config.steps:
        return Cost(0, 0.0)
    left = 1 - done / config.steps
    per_token = per_step / (config.batch_size * config.length)
    tokens = (config.steps - done) * config.batch_size * config.length
    read = left * config.evaluations * config.validation_tokens + 2 * config.held_out_tokens + config.means_tokens
    return Cost(tokens, per_token * (tokens + FORWARD_SHARE * read))


def progress_of(out: Path) -> tuple[int, bool]:
    """Steps that the run folder `out` has done, and whether it is finished; (0, False) where there is none yet."""

    def read(last: Path) -> tuple[int, bool]:
        if not (last / PROGRESS).exists():
            return 0, False
        values = read_json(last / PROGRESS, "training progress")
        return int(values["step"]), bool(values["finished"])

    return read_settled(out / "last", read)


def together(seconds: Iterable[float], lanes: int) -> float:
    """Time for runs that wait in one queue for `lanes` lanes, in their order."""
    busy_until = [0.0] * lanes
    for duration in seconds:
        heapq.heapreplace(busy_until, busy_until[0] + duration)
    return max(busy_until)
