"""Weight-sparse GPT-2-style language models, understandable by construction (Gao et al. 2025).

The names in `__all__` are the public API; docs/python.md shows how to use it. Each name is imported when it is first
used, so that `import sparsegpt2` is fast. The subpackages (`sparsegpt2.circuits`, `sparsegpt2.model`, ...) are
attributes too.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eval_tasks.bench.benchmark import BenchConfig
    from eval_tasks.registry import task_names
    from sparsegpt2 import circuits as circuits
    from sparsegpt2 import components as components
    from sparsegpt2 import config as config
    from sparsegpt2 import configs as configs
    from sparsegpt2 import errors as errors
    from sparsegpt2 import evidence as evidence
    from sparsegpt2 import interop as interop
    from sparsegpt2 import kernels as kernels
    from sparsegpt2 import locate as locate
    from sparsegpt2 import model as model
    from sparsegpt2 import reading as reading
    from sparsegpt2 import report as report
    from sparsegpt2 import results as results
    from sparsegpt2 import sparsity as sparsity
    from sparsegpt2 import text as text
    from sparsegpt2 import viewer as viewer
    from sparsegpt2 import zoo as zoo
    from sparsegpt2.api import (
        bench,
        collect_evidence,
        find_circuit,
        get_task,
        read_results,
        score,
        train,
        view,
    )
    from sparsegpt2.circuits import Circuit, PruneConfig, Score
    from sparsegpt2.config import GPTConfig, OptimizerConfig, SparsityConfig
    from sparsegpt2.errors import UserError
    from sparsegpt2.evidence import EvidenceConfig, Report
    from sparsegpt2.model.checkpoint import load_model, save_model
    from sparsegpt2.model.gpt import GPT
    from sparsegpt2.results import Results, Row
    from sparsegpt2.text.tokenizer import Tokenizer
    from sparsegpt2.viewer import ViewConfig
    from train.config import TrainConfig

    __version__: str

_HOMES = {
    "eval_tasks.bench.benchmark": ("BenchConfig",),
    "eval_tasks.registry": ("task_names",),
    "sparsegpt2.api": (
        "bench",
        "collect_evidence",
        "find_circuit",
        "get_task",
        "read_results",
        "score",
        "train",
        "view",
    ),
    "sparsegpt2.circuits": ("Circuit", "PruneConfig", "Score"),
    "sparsegpt2.config": ("GPTConfig", "OptimizerConfig", "SparsityConfig"),
    "sparsegpt2.errors": ("UserError",),
    "sparsegpt2.evidence": ("EvidenceConfig", "Report"),
    "sparsegpt2.model.checkpoint": ("load_model", "save_model"),
    "sparsegpt2.model.gpt": ("GPT",),
    "sparsegpt2.results": ("Results", "Row"),
    "sparsegpt2.text.tokenizer": ("Tokenizer",),
    "sparsegpt2.viewer": ("ViewConfig",),
    "train.config": ("TrainConfig",),
}
"""Module -> the public names that it defines. Python uses this table where type checkers use the imports above."""

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "GPT",
    "BenchConfig",
    "Circuit",
    "EvidenceConfig",
    "GPTConfig",
    "OptimizerConfig",
    "PruneConfig",
    "Report",
    "Results",
    "Row",
    "Score",
    "SparsityConfig",
    "Tokenizer",
    "TrainConfig",
    "UserError",
    "ViewConfig",
    "__version__",
    "bench",
    "collect_evidence",
    "find_circuit",
    "get_task",
    "load_model",
    "read_results",
    "save_model",
    "score",
    "task_names",
    "train",
    "view",
]


if not TYPE_CHECKING:  # if type checkers saw __getattr__, they would accept any name

    def __getattr__(name: str) -> Any:
        if name in _HOME_OF:
            home = _HOME_OF[name]
            first = "eval_tasks" if home == "sparsegpt2.api" else home.split(".")[0]
            if first != "sparsegpt2":  # so that a user's train.py is not imported in place of our package
                from sparsegpt2.siblings import claim

                claim(first)
            value = getattr(import_module(home), name)
        elif name == "__version__":
            value = _version()
        elif name in _parts():
            return import_module(f"{__name__}.{name}")
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_parts()})


def _parts() -> set[str]:
    """Names of the modules and packages in this package."""
    from pkgutil import iter_modules

    return {module.name for module in iter_modules(__path__) if not module.name.startswith("_")}


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("sparsegpt2")
    except PackageNotFoundError:  # the package is on the search path, but not installed
        return "0+unknown"
