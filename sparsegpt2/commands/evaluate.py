"""`sparsegpt2 evaluate CIRCUIT`: whether to believe a circuit."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eval_tasks.bench.display import duration
from sparsegpt2.circuits import Circuit, Task
from sparsegpt2.circuits.task import Unposable
from sparsegpt2.errors import UserError
from sparsegpt2.evidence import EvidenceConfig, Report, collect_evidence, report_path
from sparsegpt2.settings import add_settings, make_parser, parse, settings_from
from sparsegpt2.text.tokenizer import Tokenizer
from sparsegpt2.text.training_text import training_text


def evaluate(arguments: list[str]) -> None:
    """Report whether to believe a circuit: every check of its faithfulness, and one line that sums up."""
    from sparsegpt2.circuits.locate import circuit_model
    from sparsegpt2.model.checkpoint import load_model

    parser = make_parser("sparsegpt2 evaluate CIRCUIT", evaluate.__doc__ or "")
    parser.add_argument("circuit", type=str, help="A circuit file written by prune or bench.")
    add_settings(parser, EvidenceConfig)
    parser.add_argument("--model", type=str, default="", help="The model it is of; by default the one it names.")
    parser.add_argument("--task", type=str, default="", help="The task it does; by default the one it names.")
    parser.add_argument(
        "--pruner", type=str, default="", help="The FILE.py of the pruner that found it, if it is yours."
    )
    parser.add_argument("--text", type=str, default="", help="A file of text like that the model was trained on.")
    parser.add_argument("--out", type=str, default="", help="Report file; by default CIRCUIT.evidence.json.")
    parser.add_argument("--device", type=str, default="cpu", help="Torch device.")
    settings = parse(parser, arguments)
    config = settings_from(settings, EvidenceConfig)
    circuit = Circuit.load(settings.circuit)
    directory = circuit_model(circuit, settings.circuit, settings.model)
    model = load_model(directory, settings.device)
    tokenizer = Tokenizer.load(directory)
    task = _task(settings, circuit, tokenizer)
    _check_pruner(settings, circuit, config)
    text, source = None, "pretraining text"
    if settings.text:
        text, source = read_text(settings.text, tokenizer, model.config.context, config.text_rows), settings.text
    else:
        text = training_text(directory, config.text_rows, model.config.context)
    out = Path(settings.out or report_path(settings.circuit))
    report = collect_evidence(
        model,
        task,
        circuit,
        config,
        text=text,
        text_source=source,
        path=out,
        about={"circuit": settings.circuit, "model": str(directory)},
        progress=ProgressLine(),
    )
    _print_report(report, out)


def _task(settings: Any, circuit: Circuit, tokenizer: Tokenizer) -> Task:
    """The task as given, or else as the circuit's file names it: then by plain name, as a file may not run code."""
    from eval_tasks.registry import get_task

    if settings.task:
        return get_task(settings.task, tokenizer)
    named = circuit.info.get("task")
    if not named:
        raise UserError(f"{settings.circuit} does not name its task; give it with --task")
    try:
        return get_task(str(named), tokenizer, trusted=False)
    except Unposable:
        raise
    except UserError as error:
        raise UserError(f"{settings.circuit} names its task, but {error}; give it with --task FILE.py") from None


def _check_pruner(settings: Any, circuit: Circuit, config: EvidenceConfig) -> None:
    """The pruner can be had, where a check prunes anew; a pruner of one's own must be given, as the task must."""
    from sparsegpt2.circuits.pruners import get_pruner, plain_pruner
    from sparsegpt2.evidence.collect import chosen_checks

    if settings.pruner:
        get_pruner(settings.pruner)
    elif {"controls", "seeds"} & set(chosen_checks(config)):
        try:
            get_pruner(plain_pruner(str(circuit.info.get("pruner", "node"))))
        except UserError as error:
            raise UserError(
                f"{settings.circuit} names its pruner, but {error}; give it with --pruner FILE.py"
            ) from None


def read_text(path: str | Path, tokenizer: Tokenizer, context: int, rows: int) -> Tensor:
    """Windows [at most `rows`, context] of a text file in tokens; a missing or short file is a `UserError`."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"text file {path} cannot be read as UTF-8 text: {error}") from None
    tokens = torch.tensor(tokenizer.encode(text))
    windows = len(tokens) // context
    if not windows:
        raise UserError(f"text file {path} has {len(tokens)} tokens; at least one window of {context} is needed")
    return tokens[: windows * context].view(windows, context)[:rows]


class ProgressLine:
    """Shows how far a check is and how long it will still take, on one line of a terminal; nothing elsewhere."""

    def __init__(self) -> None:
        self.started, self.last = time.monotonic(), 1.0

    def __call__(self, done: int, total: int, what: str) -> None:
        share, now = done / max(1, total), time.monotonic()
        if share < self.last or not done:  # another check has begun
            self.started = now
        self.last = share
        left = f", about {duration((now - self.started) * (1 - share) / share)} left" if 0 < share < 1 else ""
        if sys.stderr.isatty():
            print(f"\r\x1b[2K{what}: {100 * share:.0f}%{left}", end="", file=sys.stderr, flush=True)
            if done == total:
                print("\r\x1b[2K", end="", file=sys.stderr, flush=True)


def _print_report(report: Report, out: Path) -> None:
    about = report.about
    print(f"circuit   {about['circuit']}: {about['nodes']} nodes, {about['edges']} edges of {about['model']}")
    print(f"task      {about['task']}  pruner {about['pruner']}  seed {about['seed']}  target {about['target_loss']:g}")
    print(f"text      {about['text']}\n")
    for name, finding in report.findings.items():
        print(f"{name:<15}{finding.verdict:<9}{finding.says}")
    print(f"\n{report.summary()}\nwritten   {out}")
