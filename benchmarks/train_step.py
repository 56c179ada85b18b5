"""Speed of a training step, ours beside the plain one in the same run, and where our time goes.

    python benchmarks/train_step.py [--width 256] [--layers 2] [--batch 64] [--sequence 128] [--repeats 5]

Prints tokens/s of both (medians over alternating steps, so that a machine whose speed drifts stays fair) and the share
of our step spent in matrix products, activation top-k, attention, projection, optimiser and everything else.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from plain_step import PlainStep
from torch import Tensor
from torch.profiler import ProfilerActivity, profile, record_function

from sparsegpt2 import GPT, GPTConfig, OptimizerConfig, SparsityConfig
from sparsegpt2.sparsity.optimizer import make_optimizer, optimizer_step
from sparsegpt2.sparsity.project import project_model_

PARTS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm"),
    "activation top-k": ("_AbsTopK", "_AbsTopKBackward"),
    "attention": ("_FlashSinkCPU", "_FlashSinkCPUBackward"),
    "projection": ("projection",),
    "optimiser": ("optimiser",),
}


class OurStep:
    """One step as the trainer does it, on given tokens."""

    def __init__(self, model: GPT, sparsity: SparsityConfig, optimizer: OptimizerConfig) -> None:
        self.model, self.sparsity, self.config = model, sparsity, optimizer
        model.compute_dtype = torch.bfloat16
        self.optimizer = make_optimizer(model, optimizer)

    def __call__(self, tokens: Tensor, targets: Tensor) -> float:
        loss = self.model.loss(tokens, targets)
        loss.backward()
        with record_function("optimiser"):
            optimizer_step(self.optimizer, self.config.gradient_rms)
        with record_function("projection"):
            project_model_(self.model, self.sparsity)
        return loss.item()


def timed(step: Callable[[Tensor, Tensor], float], tokens: Tensor, targets: Tensor) -> float:
    """Seconds of one step."""
    started = time.perf_counter()
    step(tokens, targets)
    if tokens.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - started


def shares(step: Callable[[Tensor, Tensor], float], tokens: Tensor, targets: Tensor) -> dict[str, float]:
    """Share of a step's time by part, from the profiler; what no part names is `everything else`."""
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        seconds = timed(step, tokens, targets)
    totals = {event.key: event.cpu_time_total / 1e6 for event in recorded.key_averages()}
    found = {part: sum(totals.get(name, 0.0) for name in names) / seconds for part, names in PARTS.items()}
    return found | {"everything else": 1 - sum(found.values())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"width": 256, "layers": 2, "batch": 64, "sequence": 128, "repeats": 5, "threads": 0}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--density", type=float, default=0.05)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    config = GPTConfig(d_model=options.width, n_layer=options.layers, context=options.sequence)
    sparsity, optimizer = SparsityConfig(density=options.density), OptimizerConfig()
    torch.manual_seed(0)
    stream = torch.randint(config.vocab_size, (options.batch, options.sequence + 1), device=options.device)
    tokens, targets = stream[:, :-1].contiguous(), stream[:, 1:].contiguous()
    ours = OurStep(GPT(config).to(options.device), sparsity, optimizer)
    plain = PlainStep(GPT(config).to(options.device), sparsity, optimizer)
    for step in (ours, plain):
        timed(step, tokens, targets)
    pairs = [(timed(ours, tokens, targets), timed(plain, tokens, targets)) for _ in range(options.repeats)]
    own, other = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"{options} torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"ours   {tokens.numel() / own:10,.0f} tokens/s  {own:.3f} s a step")
    print(f"plain  {tokens.numel() / other:10,.0f} tokens/s  {other:.3f} s a step")
    print(f"ratio  {statistics.median(b / a for a, b in pairs):10.1f}  (median of {options.repeats} pairs)")
    for part, share in shares(ours, tokens, targets).items():
        print(f"{part:<18}{share:7.1%}")


if __name__ == "__main__":
    main()
