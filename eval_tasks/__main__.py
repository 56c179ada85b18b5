"""`python -m eval_tasks COMMAND`: the commands tasks, prune, bench and evaluate."""

from sparsegpt2.siblings import claim_process

claim_process()

OWN = ("tasks", "prune", "bench", "evaluate")

if __name__ == "__main__":
    import sys

    from sparsegpt2.cli import COMMANDS
    from sparsegpt2.settings import run_commands

    sys.exit(run_commands("python -m eval_tasks", {name: COMMANDS[name] for name in OWN}, sys.argv[1:]))
