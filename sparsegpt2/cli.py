"""The program `sparsegpt2` and the list of its commands. Only code that starts the program imports this file."""

from __future__ import annotations

import sys

from sparsegpt2.settings import Command, run_commands
from sparsegpt2.settings.completion import completion_script
from sparsegpt2.siblings import claim_process

TRAIN, FIND, LOOK, SHARE = "Train", "Find circuits", "Look at results", "Share"


def _command(group: str, module: str, says: str, function: str = "") -> Command:
    """A command defined in `sparsegpt2.commands.MODULE`. That module is imported only when the command runs.

    says: the line about the command in `sparsegpt2 --help`. function: its function, by default named like the module.
    """
    return Command(group, f"sparsegpt2.commands.{module}", function or module, says)


COMMANDS = {
    "quickstart": _command(
        TRAIN, "quickstart", "Try everything in minutes: train models, find circuits, draw a figure."
    ),
    "train": _command(TRAIN, "train", "Train a model. The same command resumes an interrupted training."),
    "family": _command(TRAIN, "family", "Train several models at the same time and benchmark them."),
    "tasks": _command(FIND, "tasks", "List the tasks, with examples, and whether a model's tokenizer can pose them."),
    "prune": _command(FIND, "prune", "Find the circuit of one task in one model."),
    "bench": _command(FIND, "bench", "Find many circuits: one for each model, task, pruner and target loss."),
    "discover": _command(FIND, "discover", "Find circuits of components: heads, MLPs and the edges between them."),
    "evaluate": _command(LOOK, "evaluate", "Check whether a circuit is faithful to its model."),
    "view": _command(LOOK, "view", "Write an HTML page that shows a circuit, or a run with its circuits."),
    "read": _command(LOOK, "read", "Write a Markdown page that explains circuits and tests the explanations."),
    "frontier": _command(LOOK, "frontier", "Draw models' held-out loss against the size of their circuits."),
    "zoo": _command(SHARE, "models", "List the trained models of the package, or fetch one that is not here.", "zoo"),
    "import": _command(SHARE, "models", "Import a published sparse model or a GPT-2.", "import_model"),
    "export": _command(SHARE, "models", "Write a model or a circuit in another format.", "export"),
    "push": _command(SHARE, "models", "Upload a model to the Hugging Face hub, with a model card.", "push"),
    "completion": Command(
        SHARE, "sparsegpt2.cli", "completion", "Print a script that completes commands and flags in bash or zsh."
    ),
}


def completion(arguments: list[str]) -> None:
    """Print a script that completes commands and flags in bash or zsh."""
    print(completion_script(arguments, COMMANDS))


def main() -> None:
    """Entry point of the installed command."""
    claim_process()
    sys.exit(run_commands("sparsegpt2", COMMANDS, sys.argv[1:]))


if __name__ == "__main__":
    main()
