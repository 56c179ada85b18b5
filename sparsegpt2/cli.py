"""The command `sparsegpt2`. It alone sees training and tasks together, and nothing imports it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from sparsegpt2.command import add_settings, make_parser, parse, run_commands, settings_from
from sparsegpt2.errors import UserError

CONFIGS = Path(__file__).parent.parent / "configs"
QUICKSTART = ("dense", "sparse-128", "sparse-256")


def train(arguments: list[str]) -> None:
    """Train a model from YAML settings and flags; the same command goes on where it stopped."""
    from train.command import main as train_main

    train_main(arguments)


def tasks(arguments: list[str]) -> None:
    """List the tasks, with examples, and why a tokenizer can't pose one."""
    from eval_tasks.command import tasks as list_tasks

    list_tasks(arguments)


def prune(arguments: list[str]) -> None:
    """Find the circuit of one task in one model."""
    from eval_tasks.command import prune as prune_task

    prune_task(arguments)


def bench(arguments: list[str]) -> None:
    """Benchmark models x tasks x pruners x target losses into results.jsonl."""
    from eval_tasks.command import bench as bench_models
    from train.text import training_text

    bench_models(arguments, training_text)


def evaluate(arguments: list[str]) -> None:
    """Report whether to believe a circuit: every check of its faithfulness, and one line that sums up."""
    from eval_tasks.evidence import evaluate as evaluate_circuit
    from train.text import training_text

    evaluate_circuit(arguments, training_text)


def frontier(arguments: list[str]) -> None:
    """Draw capability against interpretability, and task loss against circuit size, from results."""
    from sparsegpt2.report.frontier import FrontierConfig, write_frontier

    count = next((i for i, text in enumerate(arguments) if text.startswith("-")), len(arguments))
    folders, arguments = arguments[:count], arguments[count:]
    if not folders and not {"-h", "--help"} & set(arguments):
        raise UserError("frontier needs results folders: sparsegpt2 frontier DIR... --out FILE")
    parser = make_parser("sparsegpt2 frontier DIR...", frontier.__doc__ or "")
    add_settings(parser, FrontierConfig)
    parser.add_argument("--out", type=str, required=True, help="Figure file, such as figures/frontier.png.")
    settings = parse(parser, arguments)
    for path in write_frontier(folders, settings.out, settings_from(settings, FrontierConfig)):
        print(path)


def view(arguments: list[str]) -> None:
    """Read a circuit: its nodes in forward order, their edges and the tokens they touch."""
    from sparsegpt2.circuits import Circuit
    from sparsegpt2.model.checkpoint import load_model, model_directory
    from sparsegpt2.report.listing import list_circuit
    from sparsegpt2.tokenizer import Tokenizer

    parser = make_parser("sparsegpt2 view CIRCUIT", view.__doc__ or "")
    parser.add_argument("circuit", type=str, help="A circuit file written by prune or bench.")
    parser.add_argument("--model", type=str, default="", help="The model it is of; by default the one it names.")
    settings = parse(parser, arguments)
    circuit = Circuit.load(settings.circuit)
    path = settings.model or circuit.info.get("model")
    if not path:
        raise UserError(f"{settings.circuit} does not name its model; give it with --model")
    directory = model_directory(path)
    for line in list_circuit(circuit, load_model(directory), Tokenizer.load(directory)):
        print(line)


def quickstart(arguments: list[str]) -> None:
    """Train one dense and two sparse models, prune their tasks, draw the frontier: the whole path in minutes."""
    from sparsegpt2.report.summary import SummaryFacts, closing_text, write_summary

    parser = make_parser("sparsegpt2 quickstart", quickstart.__doc__ or "")
    parser.add_argument("--out", type=str, default="runs/quickstart", help="Folder for everything that is made.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of the models and of pruning.")
    settings = parse(parser, arguments)
    out, seed = Path(settings.out), str(settings.seed)
    if not CONFIGS.is_dir():
        raise UserError(f"quickstart reads its settings from {CONFIGS}, which is missing; run it from a clone")
    started, fresh = time.monotonic(), not out.exists()
    runs = [out / name for name in QUICKSTART]
    for name, run in zip(QUICKSTART, runs, strict=True):
        config = str(CONFIGS / "quickstart" / f"{name}.yaml")
        step("train", [config, "--out", str(run), "--seed", seed, "--data_folder", str(out / "data")])
    step(
        "bench",
        [*map(str, runs), str(CONFIGS / "quickstart" / "bench.yaml"), "--seeds", f"[{seed}]", "--out", str(out)],
    )
    minutes = (time.monotonic() - started) / 60 if fresh else None  # of a run gone on with, only the rest was timed
    facts = SummaryFacts(command="sparsegpt2 quickstart", seed=settings.seed, minutes=minutes)
    found = write_summary(out / "summary.html", [out], runs=runs, facts=facts)
    step("frontier", [str(out), "--out", str(out / "frontier.png")])
    print(closing_text(found, out / "summary.html"))


def step(command: str, arguments: list[str]) -> None:
    """Run one of the commands as a user would, saying which."""
    print(f"\n$ sparsegpt2 {command} {' '.join(arguments)}", flush=True)
    COMMANDS[command](arguments)


COMMANDS = {
    "quickstart": quickstart,
    "train": train,
    "tasks": tasks,
    "prune": prune,
    "bench": bench,
    "evaluate": evaluate,
    "frontier": frontier,
    "view": view,
}


def main() -> None:
    """Entry point of the installed command."""
    sys.exit(run_commands("sparsegpt2", COMMANDS, sys.argv[1:]))


if __name__ == "__main__":
    main()
