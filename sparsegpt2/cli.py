"""The command `sparsegpt2`: the list of commands. Nothing imports it but what starts the program."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module

from sparsegpt2.settings import run_commands
from sparsegpt2.siblings import claim_process

Command = Callable[[list[str]], None]


def _command(module: str, function: str, says: str) -> Command:
    """A command whose module is imported when it runs."""

    def command(arguments: list[str]) -> None:
        getattr(import_module(f"sparsegpt2.commands.{module}"), function)(arguments)

    command.__doc__ = says
    return command


COMMANDS = {
    "quickstart": _command("quickstart", "quickstart", "Train three small models, prune their tasks, draw the fronti."),
    "train": _command("train", "train", "Train a model from YAML settings and flags; the same command resumes it."),
    "tasks": _command("tasks", "tasks", "List the tasks, with examples, and why a tokenizer can't pose one."),
    "prune": _command("prune", "prune", "Find the circuit of one task in one model."),
    "bench": _command("bench", "bench", "Benchmark models x tasks x pruners x target losses into results.jsonl."),
    "evaluate": _command("evaluate", "evaluate", "Report whether to believe a circuit: each check, one summary."),
    "discover": _command("discover", "discover", "Find circuits of components (heads, MLPs) of a task."),
    "frontier": _command("frontier", "frontier", "Draw capability against interpretability from results."),
    "view": _command("view", "view", "Write a page that shows a circuit, or a run: one HTML file for any browser."),
    "read": _command("read", "read", "Read circuits by predictions: a page with each one's graph, nodes and tests."),
    "import": _command("models", "import_model", "Bring in a published sparse model or a GPT-2."),
    "export": _command("models", "export", "Write a model or a circuit in another format."),
    "push": _command("models", "push", "Put a model on the Hugging Face hub, with a model card."),
    "zoo": _command("models", "zoo", "List the trained models, zoo:NAME, and fetch one that is not here."),
    "family": _command("family", "family", "Train a family of models side by side and benchmark them."),
}


def main() -> None:
    """Entry point of the installed command."""
    claim_process()
    sys.exit(run_commands("sparsegpt2", COMMANDS, sys.argv[1:]))


if __name__ == "__main__":
    main()
