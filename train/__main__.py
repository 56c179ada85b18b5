"""`python -m train CONFIG`: the same as `sparsegpt2 train CONFIG`, for launchers such as torchrun."""

from sparsegpt2.siblings import claim_process

claim_process()

if __name__ == "__main__":
    import sys

    from sparsegpt2.cli import COMMANDS
    from sparsegpt2.settings import run

    sys.exit(run(COMMANDS["train"], sys.argv[1:]))
