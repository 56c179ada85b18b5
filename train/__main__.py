"""`python -m train`: the same as `sparsegpt2 train`."""

import sys

from sparsegpt2.settings import run
from train.command import main

sys.exit(run(main, sys.argv[1:]))
