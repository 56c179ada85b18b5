"""A family's models, and its sparse models against dense ones: `python benchmarks/family_tables.py FOLDER...`.

Prints Markdown from results.jsonl alone. Two models are compared on the tasks that count for both (had, and pruned to
the target with every seed), and each sparse model is set beside the dense one whose held-out loss is nearest.
"""

from __future__ import annotations

import argparse
import math

from sparsegpt2.report.aggregate import (
    ModelResult,
    Spread,
    choose_pruner,
    choose_target,
    load_results,
    model_results,
    size_ratio,
)
from sparsegpt2.report.style import plain_number


def ranged(spread: Spread, digits: int = 0) -> str:
    """A mean with its range over pruning seeds, where there are several."""
    if not spread.tasks:
        return "-"
    text = f"{spread.value:,.{digits}f}"
    return text if spread.seeds < 2 else f"{text} ({spread.low:,.{digits}f} to {spread.high:,.{digits}f})"


def models_table(models: list[ModelResult]) -> list[str]:
    """A line a model."""
    lines = ["| model | width | L0 | density | held-out loss | tasks had | edges | over | kurtosis |"]
    lines.append("|" + "---|" * 9)
    for model in models:
        row, size = model.row, model.size()
        kurtosis = "-" if row.kurtosis is None else f"{row.kurtosis:.1f}"
        lines.append(
            f"| {model.name} | {row.d_model} | {plain_number(row.l0)} | {row.density:.3g} | {row.held_out_loss:.3f} "
            f"| {len(model.had)} of {len(model.cells)} | {ranged(size)} | {size.tasks} tasks | {kurtosis} |"
        )
    return lines


def ratio_table(models: list[ModelResult]) -> list[str]:
    """A line a sparse model: the dense one of nearest held-out loss, and the ratio of their circuits' sizes."""
    dense = [model for model in models if model.is_dense]
    lines = [
        "| sparse | dense | held-out loss, sparse − dense | tasks | dense : sparse, edges |",
        "|---|---|---|---|---|",
    ]
    for sparse in (model for model in models if not model.is_dense):
        ratio = min(
            (size_ratio(other, sparse) for other in dense),
            key=lambda ratio: abs(ratio.loss_gap) if math.isfinite(ratio.loss_gap) else math.inf,
        )
        lines.append(
            f"| {sparse.name} | {ratio.dense.name} | {ratio.loss_gap:+.3f} | {ratio.spread.tasks} "
            f"| {ranged(ratio.spread, 1)} |"
        )
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
    print("\n".join([f"{pruner} pruner, target loss {target:g}", "", *models_table(models), "", *ratio_table(models)]))


if __name__ == "__main__":
    main()
