"""The command `discover`: circuits of components, by any method, scored and put into results.jsonl."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path, PurePosixPath
from typing import Any

from eval_tasks.bench.subjects import Posed, Subject, pose_tasks, read_subjects
from sparsegpt2.circuits import unpruned_loss
from sparsegpt2.components import ComponentCircuit, DiscoverConfig, discover, get_method, score_circuits
from sparsegpt2.components.convert import circuit_weights
from sparsegpt2.components.counterfactual import FROM_PROMPTS
from sparsegpt2.components.find import Discovered
from sparsegpt2.components.score import ComponentScore
from sparsegpt2.config import require, to_dict
from sparsegpt2.errors import UserError
from sparsegpt2.model.checkpoint import load_model
from sparsegpt2.model.gpt import GPT
from sparsegpt2.results.results import RESULTS, Row, append_row, read_rows, repair, row_identity
from sparsegpt2.settings import make_parser, parse, settings_from

TEST_SEED = 0
"""Seed of the test pairs: the same for every model, method and size."""
HAS_TASK = 0.15
"""A model has a task whose loss is under this (nats, the benchmark's usual target)."""

Progress = Callable[[int, int, str], None]


def command(arguments: list[str]) -> None:
    """Find circuits of components (heads, MLPs, edges) of a task in a model, by Edge Pruning, ACDC, EAP and others."""
    count = next((i for i, text in enumerate(arguments) if text.startswith("-")), len(arguments))
    models, arguments = arguments[:count], arguments[count:]
    if not models and not {"-h", "--help"} & set(arguments):
        raise UserError("discover needs a model: sparsegpt2 discover MODEL --task NAME --method NAME")
    method = get_method(_value_of("--method", arguments) or DiscoverConfig().method)
    parser = make_parser("sparsegpt2 discover MODEL...", command.__doc__ or "")
    parser.add_class_arguments(DiscoverConfig, None, skip={"sparsities"})
    parser.add_class_arguments(method.settings, "set")
    parser.add_argument("--task", type=str, required=True, help="Task or task file; several with commas between.")
    parser.add_argument("--sparsity", type=str, default="", help="Shares of edges to leave out, such as 0.8,0.9.")
    parser.add_argument("--test_pairs", type=int, default=128, help="Test pairs that circuits are scored on.")
    parser.add_argument("--out", type=str, default="", help="Results folder; by default circuits are only listed.")
    parser.add_argument("--device", type=str, default="cpu", help="Torch device.")
    settings = parse(parser, arguments)
    config = settings_from(settings, DiscoverConfig)
    if settings.sparsity:
        config = replace(config, sparsities=_numbers(settings.sparsity))
    require(settings.test_pairs >= 1, f"test_pairs must be at least 1, got {settings.test_pairs}")
    rows = discover_rows(
        models,
        tuple(settings.task.split(",")),
        config,
        settings.set,
        out=settings.out or None,
        test_pairs=settings.test_pairs,
        device=settings.device,
        progress=_progress_line,
    )
    for row in rows:
        _print(row)


def discover_rows(
    models: Sequence[str | Path],
    tasks: Sequence[str],
    config: DiscoverConfig,
    settings: Any = None,
    *,
    out: str | Path | None = None,
    test_pairs: int = 128,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Iterator[Row]:
    """A row for each circuit of each model and task, as soon as it is there; with `out` also files.

    out/results.jsonl gets the rows, out/circuits the circuits. What is there already is not made again. `UserError` for
    a model, task or setting that cannot be used; a task that the tokenizer cannot pose or the prompts of which the
    model cannot read is a row that says so.
    """
    settings = get_method(config.method).settings() if settings is None else settings
    finished: dict[str, Row] = {}
    if out is not None:
        Path(out).mkdir(parents=True, exist_ok=True)
        repair(out)
        if (Path(out) / RESULTS).exists() and (Path(out) / RESULTS).stat().st_size:
            finished = {row.identity: row for row in read_rows(out)}
    for subject in read_subjects(models, device):
        model = load_model(subject.path, device)
        for posed in pose_tasks(subject.tokenizer, tasks):
            cell = _Cell(subject, posed, config, settings, test_pairs)
            known = [row for row in finished.values() if row.settings.get("run") == cell.run]
            if known:
                yield from known
                continue
            for row, circuit in cell.rows(model, progress):
                if out is not None:
                    if circuit is not None and row.circuit is not None:
                        circuit.save(Path(out) / row.circuit)
                    append_row(out, row)
                yield row


def print_circuits(
    models: Sequence[str], tasks: Sequence[str], method: str, *, out: str | Path, test_pairs: int
) -> None:
    """`discover_rows` with a method's defaults, one line a circuit: what `bench --components` adds."""
    config = DiscoverConfig(method=method)
    for row in discover_rows(models, tasks, config, out=out, test_pairs=test_pairs, progress=_progress_line):
        _print(row)


class _Cell:
    """One model, task and method."""

    def __init__(self, subject: Subject, posed: Posed, config: DiscoverConfig, settings: Any, test_pairs: int) -> None:
        self.subject, self.posed, self.config, self.settings = subject, posed, config, settings
        self.test_pairs = test_pairs
        own = {name: value for name, value in to_dict(config).items() if name not in ("method", "seed")}
        own = {**own, **{f"set.{name}": value for name, value in to_dict(settings).items()}, "test_pairs": test_pairs}
        self.own = {name: list(value) if isinstance(value, tuple) else value for name, value in own.items()}
        self.run = self._identity(self.own)
        """Hash of everything that decides the rows of this cell."""

    def rows(self, model: GPT, progress: Progress | None) -> Iterator[tuple[Row, ComponentCircuit | None]]:
        """Each circuit's row, with the circuit; a task that cannot be posed is one row without."""
        task = self.posed.task
        if task is None:
            yield self._row({}, status="unavailable", reason=self.posed.reason), None
            return
        found = discover(model, task, self.config, self.settings, progress)  # first, so that it shows all the memory
        loss_full = unpruned_loss(model, task, pairs=self.test_pairs, seed=TEST_SEED)
        scores = score_circuits(model, task, found.circuits, self.config, pairs=self.test_pairs, seed=TEST_SEED)
        for circuit, score in zip(found.circuits, scores, strict=True):
            circuit.info["model"] = self.subject.path
            row = self._row(
                circuit.info["asked"],
                status="discovered",
                has_task=loss_full < HAS_TASK,
                loss=score.loss,
                loss_full=score.loss_full,
                components=self._measures(model, found, circuit, score),
                seconds=found.seconds,
            )
            name = f"{self.config.method}-seed{self.config.seed}-{row.identity[:8]}.json"
            path = str(PurePosixPath("circuits", self.subject.name, self.posed.name, name))
            yield replace(row, circuit=path), circuit

    def _measures(
        self, model: GPT, found: Discovered, circuit: ComponentCircuit, score: ComponentScore
    ) -> dict[str, Any]:
        """The column set of component circuits; sizes are of the circuit without edges that do nothing."""
        acting = circuit.trimmed(from_inputs=self.config.intervention in FROM_PROMPTS)
        return {
            **circuit.info["asked"],
            "intervention": self.config.intervention,
            "objective": circuit.info["objective"],
            "edges_kept": circuit.n_edges,
            "edges": acting.n_edges,
            "edges_of_model": circuit.graph.n_edges,
            "edge_sparsity": acting.sparsity,
            "nodes": len(acting.nodes),
            "node_sparsity": acting.node_sparsity,
            "weights": circuit_weights(model, acting.kept),
            **asdict(score),
            "megabytes": found.megabytes,
            "circuits_of_run": len(found.circuits),
        }

    def _row(self, asked: dict[str, Any], **measured: Any) -> Row:
        fields: dict[str, Any] = {
            "model": self.subject.name,
            "model_path": self.subject.path,
            "fingerprint": self.subject.fingerprint,
            "task": self.posed.name,
            "task_fingerprint": self.posed.fingerprint,
            "pruner": self.config.method,
            "seed": self.config.seed,
            "target_loss": HAS_TASK,
            "settings": {**self.own, "run": self.run, "asked": asked},
        }
        return Row(**fields, **self.subject.about, **measured)

    def _identity(self, settings: dict[str, Any]) -> str:
        return row_identity(
            self.subject.fingerprint,
            self.posed.name,
            self.posed.fingerprint,
            self.config.method,
            self.config.seed,
            HAS_TASK,
            settings,
        )


def _value_of(flag: str, arguments: list[str]) -> str | None:
    """The value given for a flag, before the parser is made: the method decides which settings there are."""
    for index, text in enumerate(arguments):
        if text.startswith(flag + "="):
            return text.split("=", 1)[1]
        if text == flag and index + 1 < len(arguments):
            return arguments[index + 1]
    return None


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"sparsity takes numbers with commas between, such as 0.8,0.9, not {text!r}") from None


def _progress_line(done: int, total: int, text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[2K{text}  {done}/{total}", end="\n" if done == total else "", file=sys.stderr, flush=True)


def _print(row: Row) -> None:
    """One circuit in one line."""
    found = row.components
    head = f"{row.model}  {row.task}  {row.pruner}"
    if found is None:
        print(f"{head}: not posed: {row.reason}")
        return
    asked = ", ".join(f"{name} {value:g}" for name, value in row.settings["asked"].items())
    memory = "" if found["megabytes"] is None else f", {found['megabytes']:.0f} MB"
    print(
        f"{head} at {asked}: {found['edges']} of {found['edges_of_model']} edges ({found['weights']:,} weights), "
        f"KL {found['kl']:.4f}, accuracy {found['accuracy']:.3f} ({found['accuracy_full']:.3f}), "
        f"exact match {found['exact_match']:.3f}; {row.seconds:.1f} s{memory}"
    )
    if row.circuit:
        print(f"    {row.circuit}")
