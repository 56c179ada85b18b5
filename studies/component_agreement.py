"""Whether circuits of components agree with circuits of channels: a Markdown table of models and tasks with both.

    python studies/component_agreement.py runs/quickstart/dense-32 runs/quickstart/sparse-256 \
        --channels runs/quickstart --components runs/components

The view of a circuit of channels is the set of edges between components along which it has a path of kept weights.
Edges into the logits are not compared, because circuits of channels do not choose among the unembedding's weights. The
table has the share of a component circuit's edges that are in the view and, as chance, the share of all edges that are
in it. The AUC is that of the effects of path patching (4 pairs) against the view.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from eval_tasks import get_task
from eval_tasks.bench.subjects import Subject, read_subjects
from sparsegpt2 import GPT, load_model
from sparsegpt2.circuits import Circuit
from sparsegpt2.circuits.task import Task
from sparsegpt2.components import ComponentCircuit, DiscoverConfig, discover, get_method, score_circuits
from sparsegpt2.components.convert import component_view
from sparsegpt2.components.score import auc, iou
from sparsegpt2.report.component_tables import ABSENT, table
from sparsegpt2.results import Row, component_rows, read_rows

METHODS = ("edge_pruning", "acdc")
HEAD = ("model", "task", "channel edges", "view", "its KL", "AUC", *(f"{m}: in view, IoU" for m in METHODS), "chance")


def lines(subject: Subject, channels: str, components: str, kl: float) -> Iterator[list[object]]:
    """A line for each task for which the model has circuits of both kinds."""
    model, found = load_model(subject.path), component_rows(read_rows(components))
    for row in read_rows(channels):
        own = [one for one in found if (one.fingerprint, one.task) == (row.fingerprint, row.task)]
        if own and row.fingerprint == subject.fingerprint and row.pruner == "node" and row.circuit:
            task = get_task(row.task, subject.tokenizer)
            yield [row.model, row.task, *compare(model, task, Path(channels) / row.circuit, own, components, kl)]


def compare(model: GPT, task: Task, circuit: Path, rows: list[Row], folder: str, kl: float) -> list[object]:
    """The cells of the table for one task.

    rows: the task's rows of component circuits, whose files are in `folder`. kl: as the option `--kl`.
    """
    channels = Circuit.load(circuit)
    view = component_view(model, channels)
    graph = view.graph
    inner = graph.present.clone()
    inner[:, graph.reader_index["logits"]] = False

    def at_inner(values: Tensor) -> Tensor:
        return graph.flat(values)[graph.flat(inner)]

    seen = at_inner(view.kept)
    (score,) = score_circuits(model, task, (view,), DiscoverConfig())
    patching = discover(
        model, task, DiscoverConfig(method="path_patching"), get_method("path_patching").settings(pairs=4)
    )
    area = auc(at_inner(patching.discovery.scores), seen)
    cells: list[object] = [
        channels.edges(model),
        f"{view.n_edges} of {graph.n_edges}",
        f"{score.kl:.3f}",
        f"{area:.2f}",
    ]
    for method in METHODS:
        faithful = [one for one in rows if one.pruner == method and one.components and one.components["kl"] <= kl]
        cells.append(ABSENT)
        if faithful:
            best = min(faithful, key=lambda one: (one.components or {})["edges"])
            kept = at_inner(ComponentCircuit.load(Path(folder) / str(best.circuit)).trimmed().kept)
            cells[-1] = f"{int((kept & seen).sum())} of {int(kept.sum())}, {iou([kept, seen]):.2f}"
    return [*cells, f"{float(seen.float().mean()):.0%}"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--channels", required=True, help="results folder of `prune` or `bench`")
    parser.add_argument("--components", required=True, help="results folder of component_circuits.py")
    parser.add_argument(
        "--kl", type=float, default=0.05, help="the smallest circuits with a KL of at most this (nats) are compared"
    )
    arguments = parser.parse_args()
    subjects = read_subjects(arguments.models, "cpu")
    found = [one for each in subjects for one in lines(each, arguments.channels, arguments.components, arguments.kl)]
    print(table(HEAD, found))


if __name__ == "__main__":
    main()
