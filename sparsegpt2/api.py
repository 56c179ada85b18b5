"""What the package's face adds to its parts: tasks by name, and results and pages that show themselves in a notebook.

The functions of the parts need a task object; these also take a task's name, and pose it with `model.tokenizer`.
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
    _Path = type(Path())  # what may be subclassed in Python 3.11


def get_task(name: str, tokenizer: Tokenizer | GPT) -> PosedTask:
    """The task called `name`, or of the task file `name` (ending in .py), in the tokens of a tokenizer or of a model.

    `UserError` when there is no such task, the model has no tokenizer, or the tokenizer can't pose the task.
    """
    claim("eval_tasks")
    from eval_tasks import registry

    if isinstance(tokenizer, GPT):
        if tokenizer.tokenizer is None:
            raise UserError(f"the model has no tokenizer to pose the task {name!r} with; set model.tokenizer")
        tokenizer = tokenizer.tokenizer
    return registry.get_task(name, tokenizer)


def find_circuit(
    model: GPT, task: Task | str, config: PruneConfig | None = None, progress: Progress | None = None
) -> Circuit:
    """The smallest circuit found of `model` on `task` whose task loss is at most `config.target_loss` (0.15 nats).

    If no size meets the target the circuit is the whole model and `info["reached"]` is False. progress: called as
    progress(done, total, what). `UserError` for an unknown task or pruner, a model without node means, or a task that
    the model cannot read.
    """
    circuit = circuits.find_circuit(model, _posed(model, task), config, progress)
    if model.folder is not None:  # so that the circuit's file can be looked at without saying what it is of
        circuit.info["model"] = model.source if is_published(model.source) else str(model.folder.resolve())
        if model.tokenizer is not None:
            circuit.info["model_fingerprint"] = model_fingerprint(model, model.tokenizer)
    return circuit


def score(
    model: GPT, task: Task | str, circuit: Circuit, *, split: str = "test", pairs: int = 256, seed: int = 0
) -> Score:
    """Loss (nats) and accuracy of `circuit` and of the whole model, on the same `pairs` prompt pairs of a split.

    All that is not in the circuit is mean-ablated. `UserError` for a circuit of another model, a model without node
    means, or a task that the model cannot read.
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
    """Whether to believe `circuit`: the checks of `config`, all by default (docs/faithfulness.md defines each).

    text: pretraining text [N, T] int64; without it the task's prompts stand in, and the report says so. path: a file
    that grows as checks finish, from which interrupted work goes on. Errors as of `score`.
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
    """Benchmark models (directories, runs or `zoo:NAME`; one or several) on tasks into the results folder `out`.

    Rows that are there already are not made again. config: tasks, pruners, seeds and target losses; prune: how a
    circuit is found; check: how circuits are judged, with `config.evidence`. Returns all rows asked for. `UserError`
    for a model, task, pruner or earlier results that cannot be used, before anything is pruned.
    """
    claim("eval_tasks")
    from eval_tasks.bench.benchmark import bench as run_bench

    several = [models] if isinstance(models, str | Path) else models
    return Results(run_bench(several, out, config, prune, check, progress=progress))


def read_results(*folders: str | Path) -> Results:
    """The rows of one or more results folders written by `bench`, in order; `UserError` for what is no such folder."""
    return listing.read_results(folders)


def train(config: TrainConfig, out: str | Path) -> Path:
    """Train a model into the run folder `out`, going on from where an earlier call stopped; the best model's folder.

    `load_model` takes the folder that is returned, or `out` itself. `UserError` where `out` holds another run.
    """
    claim("train")
    from train.config import TrainConfig
    from train.loop import train as train_run

    if not isinstance(config, TrainConfig):
        raise UserTypeError(f"the settings must be a TrainConfig, not {_said(config)}")
    return train_run(config, out)


class Page(_Path):
    """The path of a page that was written; a notebook shows a link and the page itself."""

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
    """Write a page that shows a circuit, or a run with its circuits: one HTML file for any browser. Returns its path.

    what: a circuit, a circuit's file, or the folder of a run or of results. out: the page; by default beside the file
    or in the folder, and TASK.html here for a circuit that was found in Python. model, task: by default those that the
    circuit names. corpus: text for activations, a corpus's name or files; by default what the model was trained on.
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
        usual = Path(f"{circuit.info.get('task', 'circuit')}.html") if file is None else file.with_suffix(".html")
    path = Path(out) if out is not None else usual
    write_page(path, page)
    return Page(path)


def _posed(model: GPT, task: Task | str) -> Task:
    """A task, or the one of that name in the model's tokens."""
    if not isinstance(model, GPT):
        raise UserTypeError(f"the model must be a GPT, as load_model returns it, not {_said(model)}")
    if isinstance(task, str):
        return get_task(task, model)
    if not hasattr(task, "batch"):
        raise UserTypeError(f"the task must be a name such as 'else_elif' or a task of get_task, not {_said(task)}")
    return task


def _a_circuit(circuit: Any) -> Circuit:
    if not isinstance(circuit, Circuit):
        raise UserTypeError(f"the circuit must be a Circuit of find_circuit or Circuit.load, not {_said(circuit)}")
    return circuit


def _said(value: Any) -> str:
    return f"{type(value).__name__} {str(value)[:40]!r}"
