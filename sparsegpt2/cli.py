"""The command `sparsegpt2`: the list of its commands. Only code that starts the program imports this file."""

from __future__ import annotations

import sys

from sparsegpt2.settings import Command, run_commands
from sparsegpt2.settings.completion import completion_script
from sparsegpt2.siblings import claim_process

TRAIN, FIND, LOOK, SHARE = "Train", "Find circuits", "Look", "Share"


def _command(group: str, module: str, says: str, function: str = "") -> Command:
    """A command in `sparsegpt2.commands.MODULE`, which is imported only when the command runs."""
    return Command(group, f"sparsegpt2.commands.{module}", function or module, says)


COMMANDS = {
    "quickstart": _command(TRAIN, "quickstart", "Try everything in minutes: train, prune, draw."),
    "train": _command(TRAIN, "train", "Train a model; the same command resumes it."),
    "family": _command(TRAIN, "family", "Train a family of models side by side and benchmark them."),
    "tasks": _command(FIND, "tasks", "List the tasks, with examples, and which of them a model's tokenizer can pose."),
    "prune": _command(FIND, "prune", "Find the circuit of one task in one model."),
    "bench": _command(FIND, "bench", "Find many circuits: models x tasks x pruners x target losses."),
    "discover": _command(FIND, "discover", "Find circuits of components: heads, MLPs and the edges between them."),
    "evaluate": _command(LOOK, "evaluate", "Check whether to believe a circuit."),
    "view": _command(LOOK, "view", "Write a page that shows a circuit, or a run: one HTML file."),
    "read": _command(LOOK, "read", "Write a page that explains circuits by predictions, and tests each prediction."),
    "frontier": _command(LOOK, "frontier", "Draw capability against interpretability."),
    "zoo": _command(SHARE, "models", "List the trained models, zoo:NAME, and fetch those that are not here.", "zoo"),
    "import": _command(SHARE, "models", "Import a published sparse model or a GPT-2.", "import_model"),
    "export": _command(SHARE, "models", "Write a model or a circuit in another format.", "export"),
    "push": _command(SHARE, "models", "Put a model on the Hugging Face hub, with a model card.", "push"),
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
