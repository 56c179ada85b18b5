"""`sparsegpt2 family FOLDER`: a family of models, trained side by side and benchmarked."""

from __future__ import annotations

from pathlib import Path

from sparsegpt2 import configs
from sparsegpt2.commands.frontier import frontier
from sparsegpt2.settings import make_parser, parse, step


def family(arguments: list[str]) -> None:
    """Train a family of models side by side and benchmark them, after saying what that will cost."""
    from sparsegpt2.results import merge_results
    from train.family import BENCH, make_plan, read_family, train_family
    from train.lanes import run_queue

    parser = make_parser("sparsegpt2 family FOLDER", family.__doc__ or "")
    says = "YAML files: base.yaml, NAME.yaml over it for each model, bench.yaml; or family or main, of the package."
    parser.add_argument("folder", type=str, help=says)
    parser.add_argument("--out", type=str, default="runs/family", help="A run folder for each model, and the results.")
    parser.add_argument("--only", type=str, default="", help="Names of the models to make, with commas; default all.")
    parser.add_argument("--tokens", type=int, default=0, help="Tokens to train on, instead of what base.yaml says.")
    parser.add_argument("--dry_run", action="store_true", help="Say what it will cost, and stop.")
    settings = parse(parser, arguments)
    folder, out = configs.find_folder(settings.folder), Path(settings.out)
    flags = ["--data_folder", str(out / "data")]
    if settings.tokens:
        flags += ["--tokens", str(settings.tokens), "--data.tokens", str(settings.tokens)]
    plan = make_plan(read_family(folder, [name for name in settings.only.split(",") if name], flags), out)
    print("\n".join(plan.lines()), flush=True)
    if settings.dry_run:
        return
    results = {run: out / "results" / run.name for run in train_family(plan)}  # apart, as they are written at once
    bench_settings = [str(folder / BENCH)] if (folder / BENCH).is_file() else []
    run_queue([["bench", str(run), *bench_settings, "--out", str(to)] for run, to in results.items()], plan.lanes)
    merge_results(results.values(), out)
    step(frontier, [str(out), "--out", str(out / "frontier.png")])
