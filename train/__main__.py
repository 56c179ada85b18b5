"""`python -m train CONFIG`: the same as `sparsegpt2 train CONFIG`, for launchers such as torchrun."""

import sys

from sparsegpt2.cli import COMMANDS
from sparsegpt2.settings import run

sys.exit(run(COMMANDS["train"], sys.argv[1:]))
