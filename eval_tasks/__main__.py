"""`python -m eval_tasks COMMAND`: the commands tasks, prune and bench."""

import sys

from sparsegpt2.commands.tasks import COMMANDS
from sparsegpt2.settings import run_commands

sys.exit(run_commands("python -m eval_tasks", COMMANDS, sys.argv[1:]))
