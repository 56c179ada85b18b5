"""What every command shares: settings from YAML files and flags, help, and one sentence for a user's mistake.

    sparsegpt2 train base.yaml delta.yaml --model.d_model 512

YAML files, the user's or by name those of the package (`quickstart/sparse-256`), are read in order, later ones over
earlier ones, and flags over all. The grammar is the same everywhere:

- a list is written with commas: `--seeds 0,1,2` (or `[0,1,2]`);
- a yes-or-no setting is a flag: `--evidence`, `--no-evidence` (or `--evidence true`);
- whole numbers may be written `1e5`; `-` and `_` in a name are the same;
- what a command works on (a model, a circuit, a folder) stands without a flag, before or between the flags.

`values.py` turns text into values, `yaml_file.py` reads YAML, `parser.py` puts both together, `help.py` prints help,
`programs.py` runs commands, `completion.py` writes shell completion, `device.py` finds the torch device. None of them
imports torch before a device is asked for.
"""

from __future__ import annotations

from sparsegpt2.settings.device import torch_device
from sparsegpt2.settings.parser import Parser, settings_from
from sparsegpt2.settings.programs import USER_MISTAKE, Command, run, run_commands, step

__all__ = ["USER_MISTAKE", "Command", "Parser", "run", "run_commands", "settings_from", "step", "torch_device"]
