"""Run the checks on a circuit, one after the other, and save each finding in a report as soon as it is complete."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sparsegpt2.circuits.circuit import Circuit
from sparsegpt2.circuits.config import PruneConfig
from sparsegpt2.circuits.pruners import plain_pruner
from sparsegpt2.circuits.task import Task
from sparsegpt2.config import from_dict, to_dict
from sparsegpt2.evidence.case import Case
from sparsegpt2.evidence.config import EvidenceConfig
from sparsegpt2.evidence.registry import check_names, check_sources, get_check, in_order, plain_checks
from sparsegpt2.evidence.report import Report, load_report
from sparsegpt2.evidence.text import STAND_IN, prompt_text
from sparsegpt2.model.gpt import GPT
from sparsegpt2.progress import Progress


def collect_evidence(
    model: GPT,
    task: Task,
    circuit: Circuit,
    config: EvidenceConfig | None = None,
    *,
    text: Tensor | None = None,
    text_source: str = "pretraining text",
    path: str | Path | None = None,
    about: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Run the checks that `config` selects on `circuit`, and return the report.

    text: pretraining text, N windows of T tokens, [N, T] int64. Some checks take the values of ablated nodes from it,
    and the check controls computes the node means of its random models on it. Without text, the task's prompts are
    used, and the report says so. text_source: where the text is from, for the report. path: the report's file, which is
    saved after each check. If it already contains findings for the same model, circuit, test pairs, text and settings,
    those are kept, so an interrupted run is resumed. about: additional facts for `Report.about`. The pruner's settings
    are read from `circuit.info.config`.

    `UserError` for a circuit of another model, a model without node means, an unknown check, or a task whose prompts
    are too long for the model or contain tokens that are not in its vocabulary.
    """
    config = config or EvidenceConfig()
    chosen = chosen_checks(config)
    if text is None:
        text, text_source = prompt_text(model, task, config.text_rows), STAND_IN
    case = Case(
        model, task, circuit, config, text=text[: config.text_rows], text_source=text_source, prune=settings_of(circuit)
    )
    sources = {"check_sources": own} if (own := check_sources(chosen)) else {}
    report = _started(case, path, {**_about(case), **sources, **(about or {})})
    case.remember, progress = report.remember, progress or _silent
    for name in chosen:
        if name in report.findings:
            continue
        started = time.perf_counter()
        progress(0, 1, name)
        finding = get_check(name).run(case, progress)
        report.add(name, replace(finding, seconds=time.perf_counter() - started))
    known = [*check_names(), *sources.get("check_sources", {})]
    report.findings = {name: report.findings[name] for name in in_order(known) if name in report.findings}
    report.save()
    return report


def chosen_checks(config: EvidenceConfig) -> list[str]:
    """Names of the checks that `config` selects, first the fast and then the expensive ones.

    A check that `config` names by a path, such as `mine.py`, has the plain name `mine` here. `UserError` for an unknown
    check.
    """
    names = set(plain_checks(config.checks)) or check_names()
    return [name for name in in_order(names) if config.expensive or not get_check(name).expensive]


def settings_of(circuit: Circuit) -> PruneConfig:
    """The settings that found `circuit`. If its file has none, they are the defaults with its pruner and seed."""
    info = circuit.info
    if info.config:
        settings = from_dict(PruneConfig, dict(info.config), "the circuit's file")
    else:
        settings = PruneConfig(pruner=info.pruner or "node", seed=info.seed or 0)
    # A circuit's file could give a path as its pruner. Code at that path must not be run, so only a plain name is used.
    settings = replace(settings, pruner=plain_pruner(settings.pruner))
    # One ranking of nodes can give circuits for several target losses, so the circuit's own target loss is used.
    return settings if info.target_loss is None else replace(settings, target_loss=info.target_loss)


def report_path(circuit: str | Path) -> Path:
    """Path of the report on a circuit: `x.evidence.json` for the circuit in `x.json`."""
    return Path(circuit).with_suffix(".evidence.json")


def _started(case: Case, path: str | Path | None, about: dict[str, Any]) -> Report:
    """The report in the file `path` if it is about the same case, else an empty report."""
    identity, path = case_identity(case), None if path is None else Path(path)
    if path is not None and path.exists():
        earlier = load_report(path)
        if earlier.identity == identity:
            _forget_edited(earlier, about)
            earlier.about = about
            return earlier
    return Report(identity=identity, about=about, path=path)


def _forget_edited(report: Report, about: dict[str, Any]) -> None:
    """Remove the findings of your own checks that were edited after the report was written."""
    then, now = report.about.get("check_sources", {}), about.get("check_sources", {})
    for name in now:
        if then.get(name) != now[name]:
            report.findings.pop(name, None)
            report.memo = {key: value for key, value in report.memo.items() if not key.startswith(f"{name}/")}


def case_identity(case: Case) -> str:
    """16 hex digits of a hash of everything that the numbers in findings depend on.

    It does not depend on which checks are chosen.
    """
    # `checks` and `expensive` only choose checks. `dear` is the name under which `expensive` is stored.
    settings = {name: value for name, value in to_dict(case.config).items() if name not in ("checks", "dear")}
    calibration = case.calibration and case.calibration.to_dict()
    plain = [settings, case.prune.to_dict(), calibration, case.task.name, case.text_source]
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
    tensors = {**dict(case.model.named_parameters()), **case.means}
    tensors |= {f"kept {name}": kept for name, kept in {**case.nodes, **(case.weights or {})}.items()}
    tensors |= {"text": case.text, "tokens": case.batch.tokens, "answer": case.batch.answer}
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _about(case: Case) -> dict[str, Any]:
    return {
        "task": case.task.name,
        "pruner": case.prune.pruner,
        "seed": case.prune.seed,
        "target_loss": case.target,
        "reached": case.circuit.info.reached,
        "nodes": case.circuit.n_nodes,
        "edges": case.circuit.edges(case.model),
        "edges_trimmed": case.circuit.trimmed(case.model).edges(case.model),
        "calibrated": case.calibration is not None,
        "pairs": case.config.pairs,
        "text": case.text_source,
    }


def _silent(_done: int, _total: int, _what: str) -> None:
    return None
