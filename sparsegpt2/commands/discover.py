"""`sparsegpt2 discover MODEL... --tasks TASK --method NAME`: find circuits of components (heads and MLPs)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sparsegpt2.config import require
from sparsegpt2.progress import ProgressDisplay
from sparsegpt2.settings import Parser, settings_from, torch_device
from sparsegpt2.settings.device import DEVICE_HELP

if TYPE_CHECKING:
    from sparsegpt2.results import Row


def discover_parser(method: str = "") -> Parser:
    """The parser of the settings of `discover`. If `method` is given, the method's own settings are added as
    `--set.NAME`."""
    from sparsegpt2.components.config import DiscoverConfig

    parser = Parser(
        "discover MODEL... --tasks TASK --method NAME",
        "Find the circuits of components (heads, MLPs and the edges between them) that do a task in a model. Methods "
        "include Edge Pruning, ACDC and EAP.",
    )
    parser.positional("models", "Models or runs: folders, zoo:NAME or hf:user/name.", metavar="MODEL", many=True)
    parser.add_settings(DiscoverConfig)
    if method:
        from sparsegpt2.components import get_method

        parser.add_settings(get_method(method).settings, "set")
    parser.add(
        "tasks",
        tuple[str, ...],
        (),
        help="Names of tasks, or your own tasks as FILE.py or MODULE:ATTRIBUTE.",
        metavar="TASK,TASK",
        required=True,
    )
    parser.add("test_pairs", int, 128, help="Number of test pairs that each circuit is scored on.")
    parser.add("out", str, "", help="Results folder; if omitted, circuits are printed but not saved.", metavar="DIR")
    parser.add("device", str, "auto", help=DEVICE_HELP)
    parser.alias(task="tasks", sparsity="sparsities")
    parser.front(
        "What to find",
        tasks="Names of tasks, or files with your own tasks.",
        method="acdc, eap, eap_ig, edge_pruning, information_flow or path_patching.",
        sparsities="Shares of the edges to remove, such as 0.5,0.9; there is one circuit for each share.",
        intervention="What an ablated edge carries: interchange (the other prompt's value), resample, mean or zero.",
        objective="kl, logit_difference, task or squared_error; by default the one from the method's paper.",
    )
    parser.front(
        "How",
        pairs="Number of prompt pairs that edges are scored on.",
        test_pairs="Number of test pairs that each circuit is scored on.",
        seed="Seed for pairs, initial masks and resampling.",
        out="Results folder; if omitted, circuits are printed but not saved.",
        device=DEVICE_HELP,
    )
    parser.note = "Each method has settings of its own, --set.NAME; `discover --method NAME --help-all` lists them."
    return parser


def discover(arguments: list[str]) -> None:
    """Find the circuits of components (heads, MLPs and the edges between them) that do a task in a model."""
    asks_for_help = {"-h", "--help"} & set(arguments)
    settings = discover_parser("" if asks_for_help else _method(arguments)).parse(arguments)

    from sparsegpt2.components.config import DiscoverConfig

    require(settings.test_pairs >= 1, f"test_pairs must be at least 1, got {settings.test_pairs}")
    device, out = str(torch_device(settings.device)), Path(settings.out) if settings.out else None
    config = settings_from(settings, DiscoverConfig)

    from eval_tasks.bench.discover import discover_rows

    with ProgressDisplay(f"discover {config.method}") as progress:
        for row in discover_rows(
            settings.models,
            settings.tasks,
            config,
            settings.set,
            out=out,
            test_pairs=settings.test_pairs,
            device=device,
            progress=progress,
        ):
            progress.line(_described(row, out))


def _method(arguments: list[str]) -> str:
    """The method given on the command line, or else the default method.

    It must be known before parsing, because the settings that exist depend on it.
    """
    from sparsegpt2.components.config import DiscoverConfig

    for index, text in enumerate(arguments):
        if text.startswith("--method="):
            return text.split("=", 1)[1]
        if text == "--method" and index + 1 < len(arguments):
            return arguments[index + 1]
    return DiscoverConfig().method


def _described(row: Row, out: Path | None) -> str:
    """A line about one circuit, and a second line with its file if it was saved."""
    from eval_tasks.bench.component_table import asked_in

    found = row.components
    head = f"{row.model}  {row.task}  {row.pruner}"
    if found is None:
        return f"{head}: unavailable: {row.reason}"
    memory = "" if found["megabytes"] is None else f", {found['megabytes']:.0f} MB"
    file = f"\n    {out / row.circuit}" if out is not None and row.circuit else ""
    return (
        f"{head} at {asked_in(row)}: "
        f"{found['edges']} of {found['edges_of_model']} edges ({found['weights']:,} weights), "
        f"KL {found['kl']:.4f}, accuracy {found['accuracy']:.3f} (whole model {found['accuracy_full']:.3f}), "
        f"exact match {found['exact_match']:.3f}; {row.seconds:.1f} s{memory}{file}"
    )
