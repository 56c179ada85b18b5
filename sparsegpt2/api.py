"""The functions of the public API. They accept a task's name, and return results that a notebook can display.

The functions in the subpackages need a task object instead. Here a task that is named is posed with `model.tokenizer`,
which means that its prompts and answers are turned into that tokenizer's tokens.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from sparsegpt2 import circuits, evidence
from sparsegpt2.circuits import Circuit, PruneConfig, Score, Task
from sparsegpt2.errors import UserError, UserTypeError
from sparsegpt2.evidence import EvidenceConfig, Report
from sparsegpt2.locate import is_published
from sparsegpt2.model.checkpoint import model_fingerprint
from sparsegpt2.model.gpt import GPT
from sparsegpt2.progress import Progress
from sparsegpt2.results import Results, listing
from sparsegpt2.siblings import claim
from sparsegpt2.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from eval_tasks.base import PosedTask
    from eval_tasks.bench.benchmark import BenchConfig
    from sparsegpt2.viewer import ViewConfig
    from train.config import TrainConfig

    _Path = Path
else:
    _Path = type(Path())  # in Python 3.11 only the concrete class of the platform can be subclassed


def get_task(name: str, tokenizer: Tokenizer | GPT) -> PosedTask:
    """The task called `name`, posed with a tokenizer, or with the tokenizer of a model.

    name: the name of a task, or the path of a task file, which ends in .py. `UserError` if there is no such task, the
    model has no tokenizer, or the task cannot be posed with it.
    """
    claim("eval_tasks")
    from eval_tasks import registry

    if isinstance(tokenizer, GPT):
        if tokenizer.tokenizer is None:
            raise UserError(f"the model has no tokenizer to pose the task {name!r} with; set model.tokenizer first")
        tokenizer = tokenizer.tokenizer
    return registry.get_task(name, tokenizer)


def find_circuit(
    model: GPT, task: Task | str, config: PruneConfig | None = None, progress: Progress | None = None
) -> Circuit:
    """Find the smallest circuit of `model` whose loss on `task` is at most `config.target_loss` (default 0.15 nats).

    If no size meets the target, the circuit is the whole model and `info.reached` is False. progress: a function that
    is called as progress(done, total, what). `UserError` for an unknown task or pruner, a model without node means, or
    a task that does not fit the model.
    """
    circuit = circuits.find_circuit(model, _posed(model, task), config, progress)
    if model.folder is not None:  # with the model's name in it, `view` and others need no --model
        named = model.source if is_published(model.source) else str(model.folder.resolve())
        known = None if model.tokenizer is None else model_fingerprint(model, model.tokenizer)
        circuit = circuit.noting(model=named, model_fingerprint=known)
    return circuit


def score(
    model: GPT, task: Task | str, circuit: Circuit, *, split: str = "test", pairs: int = 256, seed: int = 0
) -> Score:
    """Task loss (nats) and accuracy of `circuit` and of the whole model, on the same `pairs` prompt pairs of a split.

    Everything outside the circuit is mean-ablated. `UserError` for a circuit of another model, a model without node
    means, or a task that does not fit the model.
    """
    return circuits.evaluate(model, _posed(model, task), _a_circuit(circuit), split=split, pairs=pairs, seed=seed)


def collect_evidence(
    model: GPT,
    task: Task | str,
    circuit: Circuit,
    config: EvidenceConfig | None = None,
    *,
    text: Tensor | None = None,
    path: str | Path | None = None,
    progress: Progress | None = None,
) -> Report:
    """Run the faithfulness checks of `config` on `circuit`; by default all of them (docs/faithfulness.md).

    text: pretraining text, N rows of T tokens, [N, T] int64. With None, the task's prompts are used instead, and the
    report says so. path: a file in which finished checks are saved, so that an interrupted call can be resumed. Errors
    as in `score`.
    """
    task = _posed(model, task)
    return evidence.collect_evidence(model, task, _a_circuit(circuit), config, text=text, path=path, progress=progress)


def bench(
    models: str | Path | Sequence[str | Path],
    out: str | Path,
    config: BenchConfig | None = None,
    prune: PruneConfig | None = None,
    check: EvidenceConfig | None = None,
    *,
    progress: bool = True,
) -> Results:
    """Benchmark one or several models (directories, runs or `zoo:NAME`) on tasks, and write rows into the folder `out`.

    Rows that `out` already holds are not computed again. config: tasks, pruners, seeds and target losses. prune: how
    circuits are found. check: how circuits are checked, if `config.evidence` is set. Returns all requested rows, old
    and new. If a model, a task, a pruner or earlier results cannot be used, there is a `UserError` before anything is
    pruned.
    """
    claim("eval_tasks")
    from eval_tasks.bench.benchmark import bench as run_bench

    several = [models] if isinstance(models, str | Path) else models
    return Results(run_bench(several, out, config, prune, check, progress=progress))


def read_results(*folders: str | Path) -> Results:
    """The rows of one or more results folders that `bench` wrote, in order; `UserError` for any other folder."""
    return listing.read_results(folders)


def train(config: TrainConfig, out: str | Path) -> Path:
    """Train a model into the run folder `out`, or resume where an earlier call stopped.

    Returns the folder of the best model. `load_model` accepts that folder, and `out` too. `UserError` if `out` holds a
    run with other settings.
    """
    claim("train")
    from train.config import TrainConfig
    from train.loop import train as train_run

    if not isinstance(config, TrainConfig):
        raise UserTypeError(f"the settings must be a TrainConfig, not {_said(config)}")
    return train_run(config, out)


class Page(_Path):
    """The path of a page that was written. A notebook shows a link to the page, and the page itself below it."""

    def _repr_html_(self) -> str:
        address = escape(os.path.relpath(self), quote=True)
        link = f'<a href="{address}" target="_blank">{address}</a>'
        return f'{link}<br><iframe src="{address}" width="100%" height="600" title="circuit explorer"></iframe>'


def view(
    what: Circuit | str | Path,
    out: str | Path | None = None,
    *,
    model: GPT | str | Path | None = None,
    task: Task | str | None = None,
    corpus: str = "",
    config: ViewConfig | None = None,
) -> Page:
    """Write a page that shows a circuit, or a run with its circuits, and return its path. It is one HTML file.

    what: a circuit, a circuit's file, or a folder (a run, or results). out: the path of the page. By default the page
    is written next to the circuit's file, or into the folder. For a circuit that was found in Python the default is
    TASK.html in the working folder. model, task: by default those that the circuit names. corpus: the text on which
    activations are shown, as a corpus's name or as files; by default the text that the model was trained on.
    """
    claim("eval_tasks")
    from sparsegpt2.commands.view import gather_circuit, gather_run
    from sparsegpt2.viewer import ViewConfig, page_data, write_page

    config = config or ViewConfig()
    if isinstance(what, str | Path) and Path(what).is_dir():
        folder = Path(what)
        found, run = gather_run(folder, config, model=model, task=task, corpus=corpus)
        page = page_data(found, run)
        usual = folder / "view.html"
    else:
        file = None if isinstance(what, Circuit) else Path(what)
        circuit = what if isinstance(what, Circuit) else Circuit.load(what)
        page = page_data([gather_circuit(circuit, file, config, model=model, task=task, corpus=corpus)])
        usual = Path(f"{circuit.info.task or 'circuit'}.html") if file is None else file.with_suffix(".html")
    path = Path(out) if out is not None else usual
    write_page(path, page)
    return Page(path)


def _posed(model: GPT, task: Task | str) -> Task:
    """`task` itself, or the task of that name, posed with the model's tokenizer."""
    if not isinstance(model, GPT):
        raise UserTypeError(f"the model must be a GPT, as load_model returns it, not {_said(model)}")
    if isinstance(task, str):
        return get_task(task, model)
    if not hasattr(task, "batch"):
        raise UserTypeError(f"the task must be a name such as 'else_elif' or a task from get_task, not {_said(task)}")
    return task


def _a_circuit(circuit: Any) -> Circuit:
    if not isinstance(circuit, Circuit):
        raise UserTypeError(f"the circuit must be a Circuit from find_circuit or Circuit.load, not {_said(circuit)}")
    return circuit


def _said(value: Any) -> str:
    return f"{type(value).__name__} {str(value)[:40]!r}"
