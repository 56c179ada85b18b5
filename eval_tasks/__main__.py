"""`python -m eval_tasks COMMAND`: the commands tasks, prune, bench and evaluate."""

import sys

from sparsegpt2.cli import COMMANDS
from sparsegpt2.settings import run_commands

OWN = ("tasks", "prune", "bench", "evaluate")
sys.exit(run_commands("python -m eval_tasks", {name: COMMANDS[name] for name in OWN}, sys.argv[1:]))
