"""`python -m train`: the same as `sparsegpt2 train`."""

import sys

from sparsegpt2.commands.train import main
from sparsegpt2.settings import run

sys.exit(run(main, sys.argv[1:]))
