"""Read by every Python that a case starts: the hook that counts file operations goes into children, too."""

import os

if "KILL_LOG" in os.environ:
    import importlib.util
    from pathlib import Path

    spec = importlib.util.spec_from_file_location("kill_hook", Path(__file__).parents[1] / "hook.py")
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    hook.install()
    if "KILL_CONFIGS" in os.environ:  # the shipped settings are those of the case, which are tiny
        from sparsegpt2 import configs

        configs.FOLDER = Path(os.environ["KILL_CONFIGS"])
