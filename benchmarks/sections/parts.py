"""Time of our step by part, and compared with a floor: counted operations and bytes divided by measured rates."""

from __future__ import annotations

from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.measure import Bench, interleaved, random_tokens, rates, table
from benchmarks.steps import OurStep, Shape

PARTS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm", "_Linear", "_LinearBackward"),
    "attention": ("_NarrowHeads", "_FlashSinkCPU", "_scaled_dot_product_flash_attention", "_NarrowHeadsBackward",
                  "_FlashSinkCPUBackward", "_scaled_dot_product_flash_attention_backward"),
    "AbsTopK alone": ("_AbsTopK", "_AbsTopKBackward"),
    "norm, activation, residual sum with AbsTopK": ("_NormTopK", "_NormTopKBackward", "_ActivationTopK",
        "_ActivationTopKBackward", "_AddTopK", "_AddTopKBackward"),
    "loss beside its products": ("_NextTokenLoss",),
    "optimiser": ("part: optimiser",),
    "projection": ("part: projection",),
}  # fmt: skip
WHOLE = ("part: optimiser", "part: projection")
"""Events whose time includes what they call; for the others only their own time is counted."""


def run(bench: Bench) -> dict[str, Any]:
    """Share of each part in the time of a step, seconds of the step, and its floor."""
    shape = Shape(width=2048, layers=8, batch=32, length=256) if bench.cuda else Shape()
    tokens, targets = random_tokens(shape.config.vocab_size, shape.batch, shape.length, bench.device)
    step = OurStep(shape, bench.device)
    seconds = interleaved(bench, {"step": lambda: step(tokens, targets)})["step"]
    measured = rates(bench)
    shares = by_part(bench, lambda: step(tokens, targets))
    work = floor(shape, step, measured)
    print(table(["part", "share"], [[name, f"{share:.1%}"] for name, share in shares.items()]))
    print(f"peak {measured['flops'] / 1e9:,.0f} GFLOP/s in dense products, {measured['bytes'] / 1e9:,.1f} GB/s")
    print(f"floor {sum(work.values()):.3f} s: dense products {work['products']:.3f} s, memory {work['memory']:.3f} s")
    print(f"step {seconds:.3f} s, {seconds / sum(work.values()):.2f} times the floor")
    return {"shares": shares, "seconds": seconds, "floor": work, "rates": measured}


def by_part(bench: Bench, function: Any) -> dict[str, float]:
    """Share of each part in the profiled time; events of no part are `everything else`."""
    kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * bench.cuda
    with profile(activities=kinds) as recorded:
        function()
        if bench.cuda:
            torch.cuda.synchronize(bench.device)
    own, whole = ("self_device_time_total", "device_time_total") if bench.cuda else (
        "self_cpu_time_total", "cpu_time_total")  # fmt: skip
    events = {event.key.removeprefix("aten::_scaled"): event for event in recorded.key_averages()}
    events = {event.key: event for event in events.values()}
    total = sum(getattr(event, own) for event in events.values())
    shares = {
        part: sum(getattr(events[name], whole if name in WHOLE else own) for name in names if name in events) / total
        for part, names in PARTS.items()
    }
    return shares | {"everything else": 1 - sum(shares.values())}


def floor(shape: Shape, step: OurStep, measured: dict[str, float]) -> dict[str, float]:
    """Least seconds for the products and the memory traffic of a step, if every weight were nonzero.

    Products: 6 operations per token and matrix weight (embedding rows are looked up, not multiplied). Memory: each
    parameter, its gradient and its two moments are read and written once in float32. Each activation is written once,
    read once forward and once backward, and its gradient is written and read, in bfloat16 (the residual stream: in
    float32).
    """
    config = shape.config
    weights = sum(p.numel() for name, p in step.model.named_parameters() if p.ndim == 2 and "wte" not in name)
    weights -= 0 if step.model.bigram is None else step.model.bigram.numel()
    channels = config.n_layer * (4 * config.d_model + 4 * config.d_attn + 2 * config.d_mlp) + config.vocab_size
    residual = config.n_layer * 2 * config.d_model
    activations = shape.tokens * 5 * (2 * channels + 4 * residual)
    parameters = sum(p.numel() for p in step.model.parameters()) * 4 * 4 * 2
    return {
        "products": 6 * weights * shape.tokens / measured["flops"],
        "memory": (activations + parameters) / measured["bytes"],
    }
