"""`sparsegpt2 discover MODEL... --task T --method M`: circuits of components (heads, MLPs) of a task."""

from __future__ import annotations

import sys
from dataclasses import replace

from eval_tasks.bench.component_table import asked_in
from eval_tasks.bench.discover import discover_rows
from sparsegpt2.components import DiscoverConfig, get_method
from sparsegpt2.config import require
from sparsegpt2.errors import UserError
from sparsegpt2.results import Row
from sparsegpt2.settings import make_parser, parse, settings_from


def discover(arguments: list[str]) -> None:
    """Find circuits of components (heads, MLPs, edges) of a task in a model, by Edge Pruning, ACDC, EAP and others."""
    count = next((i for i, text in enumerate(arguments) if text.startswith("-")), len(arguments))
    models, arguments = arguments[:count], arguments[count:]
    if not models and not {"-h", "--help"} & set(arguments):
        raise UserError("discover needs a model: sparsegpt2 discover MODEL --task NAME --method NAME")
    method = get_method(_value_of("--method", arguments) or DiscoverConfig().method)
    parser = make_parser("sparsegpt2 discover MODEL...", discover.__doc__ or "")
    parser.add_class_arguments(DiscoverConfig, None, skip={"sparsities"})
    parser.add_class_arguments(method.settings, "set")
    parser.add_argument("--task", type=str, required=True, help="Task or task file; several with commas between.")
    parser.add_argument("--sparsity", type=str, default="", help="Shares of edges to leave out, such as 0.8,0.9.")
    parser.add_argument("--test_pairs", type=int, default=128, help="Test pairs that circuits are scored on.")
    parser.add_argument("--out", type=str, default="", help="Results folder; by default circuits are only listed.")
    parser.add_argument("--device", type=str, default="cpu", help="Torch device.")
    settings = parse(parser, arguments)
    config = settings_from(settings, DiscoverConfig)
    if settings.sparsity:
        config = replace(config, sparsities=_numbers(settings.sparsity))
    require(settings.test_pairs >= 1, f"test_pairs must be at least 1, got {settings.test_pairs}")
    rows = discover_rows(
        models,
        tuple(settings.task.split(",")),
        config,
        settings.set,
        out=settings.out or None,
        test_pairs=settings.test_pairs,
        device=settings.device,
        progress=_progress_line,
    )
    for row in rows:
        _print(row)


def _value_of(flag: str, arguments: list[str]) -> str | None:
    """The value given for a flag, before the parser is made: the method decides which settings there are."""
    for index, text in enumerate(arguments):
        if text.startswith(flag + "="):
            return text.split("=", 1)[1]
        if text == flag and index + 1 < len(arguments):
            return arguments[index + 1]
    return None


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"sparsity takes numbers with commas between, such as 0.8,0.9, not {text!r}") from None


def _progress_line(done: int, total: int, text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[2K{text}  {done}/{total}", end="\n" if done == total else "", file=sys.stderr, flush=True)


def _print(row: Row) -> None:
    """One circuit in one line."""
    found = row.components
    head = f"{row.model}  {row.task}  {row.pruner}"
    if found is None:
        print(f"{head}: not posed: {row.reason}")
        return
    memory = "" if found["megabytes"] is None else f", {found['megabytes']:.0f} MB"
    print(
        f"{head} at {asked_in(row)}: "
        f"{found['edges']} of {found['edges_of_model']} edges ({found['weights']:,} weights), "
        f"KL {found['kl']:.4f}, accuracy {found['accuracy']:.3f} ({found['accuracy_full']:.3f}), "
        f"exact match {found['exact_match']:.3f}; {row.seconds:.1f} s{memory}"
    )
    if row.circuit:
        print(f"    {row.circuit}")
