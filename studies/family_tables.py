"""Tables of a family's models, and of sparse models against dense ones: `python studies/family_tables.py FOLDER...`.

Prints Markdown from results.jsonl alone. Two models are compared on the tasks that count for both (they have the task,
and the circuits of every seed meet the target). Each sparse model is compared with the dense model of nearest held-out
loss.
"""

from __future__ import annotations

import argparse
import math

from sparsegpt2.report.style import plain_number
from sparsegpt2.results import (
    ModelResult,
    Ratio,
    Spread,
    choose_pruner,
    choose_target,
    load_results,
    model_results,
    size_ratio,
)


def ranged(spread: Spread, digits: int = 0) -> str:
    """A mean as text, with its range over pruning seeds if there are several."""
    if not spread.tasks:
        return "-"
    text = f"{spread.value:,.{digits}f}"
    return text if spread.seeds < 2 else f"{text} ({spread.low:,.{digits}f} to {spread.high:,.{digits}f})"


def models_table(models: list[ModelResult]) -> list[str]:
    """Markdown lines: a row per model."""
    lines = ["| model | width | L0 | density | held-out loss | tasks it has | edges | over | kurtosis |"]
    lines.append("|" + "---|" * 9)
    for model in models:
        row, size = model.row, model.size()
        kurtosis = "-" if row.kurtosis is None else f"{row.kurtosis:.1f}"
        lines.append(
            f"| {model.name} | {row.d_model} | {plain_number(row.l0)} | {row.density:.3g} | {row.held_out_loss:.3f} "
            f"| {len(model.had)} of {len(model.tasks)} | {ranged(size)} | {size.tasks} tasks | {kurtosis} |"
        )
    return lines


def matched(models: list[ModelResult]) -> list[Ratio]:
    """The ratio of each sparse model to the dense model of nearest held-out loss."""
    dense = [model for model in models if model.is_dense]
    return [
        min(
            (size_ratio(other, sparse) for other in dense),
            key=lambda ratio: abs(ratio.loss_gap) if math.isfinite(ratio.loss_gap) else math.inf,
        )
        for sparse in models
        if dense and not sparse.is_dense
    ]


def ratio_table(ratios: list[Ratio]) -> list[str]:
    """Markdown lines: a row per pair, with the difference of their losses and the ratio of their circuits' sizes."""
    lines = [
        "| sparse | dense | held-out loss, sparse − dense | tasks | dense : sparse, edges |",
        "|---|---|---|---|---|",
    ]
    return lines + [
        f"| {ratio.sparse.name} | {ratio.dense.name} | {ratio.loss_gap:+.3f} | {ratio.spread.tasks} "
        f"| {ranged(ratio.spread, 1)} |"
        for ratio in ratios
    ]


def target_table(pairs: list[Ratio], by_target: dict[float, dict[str, ModelResult]]) -> list[str]:
    """Markdown lines: a row per target loss, with the ratio of every pair and its number of tasks.

    `-` if one of the models was not pruned for that target.
    """
    lines = ["| target loss | " + " | ".join(f"{pair.dense.name} : {pair.sparse.name}" for pair in pairs) + " |"]
    lines.append("|" + "---|" * (len(pairs) + 1))
    for target, models in by_target.items():
        cells = []
        for pair in pairs:
            dense, sparse = models.get(pair.dense.name), models.get(pair.sparse.name)
            ratio = size_ratio(dense, sparse) if dense and sparse else None
            cells.append(f"{ranged(ratio.spread, 1)}, {ratio.spread.tasks} tasks" if ratio else "-")
        lines.append(f"| {target:g} | " + " | ".join(cells) + " |")
    return lines


def task_table(models: list[ModelResult]) -> list[str]:
    """Markdown lines: a row per task, with the edges of every model (geometric mean over seeds) or why it has none."""
    lines = ["| task | " + " | ".join(model.name for model in models) + " |", "|---|" + "---:|" * len(models)]
    for task in sorted({task for model in models for task in model.tasks}):
        cells = [model.tasks.get(task) for model in models]
        edges = [None if cell is None or not cell.counts else cell.edges("edges") for cell in cells]
        shown = [
            f"{count:,.0f}" if count is not None else "lacks it" if cell and not cell.has_task else "-"
            for cell, count in zip(cells, edges, strict=True)
        ]
        lines.append(f"| {task} | " + " | ".join(shown) + " |")
    return lines


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", help="results folders of `sparsegpt2 bench`")
    parser.add_argument("--target_loss", type=float, help="by default the one nearest to 0.15")
    arguments = parser.parse_args()
    rows = load_results(arguments.folders)
    pruner, target = choose_pruner(rows), choose_target(rows, arguments.target_loss)
    models = sorted(
        model_results(rows, pruner, target), key=lambda model: (not model.is_dense, model.row.held_out_loss)
    )
    ratios = matched(models)
    targets = sorted({row.target_loss for row in rows if row.pruner == pruner}, reverse=True)
    by_target = {other: {model.name: model for model in model_results(rows, pruner, other)} for other in targets}
    tables = [models_table(models), ratio_table(ratios), target_table(ratios, by_target), task_table(models)]
    print("\n".join([f"{pruner} pruner, target loss {target:g}", *(line for table in tables for line in ["", *table])]))


if __name__ == "__main__":
    main()
