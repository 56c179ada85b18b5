"""What all commands share: settings from YAML files and flags, help, and messages of one sentence.

    sparsegpt2 train base.yaml delta.yaml --model.d_model 512

YAML files are read in order: later ones override earlier ones, and flags override all of them. A file is the user's or,
by name, one that comes with the package (`quickstart/sparse-256`). The grammar is the same everywhere:

- a list is written with commas: `--seeds 0,1,2` (or `[0,1,2]`);
- a yes-or-no setting is a flag: `--evidence`, `--no-evidence` (or `--evidence true`);
- whole numbers may be written `1e5`; `-` and `_` in a name are the same;
- what a command works on (a model, a circuit, a folder) is given without a flag, before or between the flags.

`values.py` converts text to values, `yaml_file.py` reads YAML, `parser.py` combines both, `help.py` prints help,
`programs.py` runs commands, `completion.py` writes shell completion, `device.py` finds the torch device. Torch is not
imported before a device is needed.
"""

from __future__ import annotations

from sparsegpt2.settings.device import torch_device
from sparsegpt2.settings.parser import Parser, settings_from
from sparsegpt2.settings.programs import USER_MISTAKE, Command, run, run_commands, step

__all__ = ["USER_MISTAKE", "Command", "Parser", "run", "run_commands", "settings_from", "step", "torch_device"]
