"""Numbers of single models: losses, tasks, sizes of their circuits, and where their rows come from."""

from __future__ import annotations

import textwrap
from functools import cache

from sparsegpt2.report.style import plain_number
from sparsegpt2.results import ModelResult, Spread
from studies.pages.registry import number
from studies.pages.rows import FOLDERS, ROOT, models, rows_of, table, usual

WIDTH = 120
MISSED = "†"
"""Mark of a circuit that misses its target on test pairs."""


def ranged(spread: Spread, digits: int = 0) -> str:
    """A mean, with its range over pruning seeds if there are several."""
    if not spread.tasks:
        return "-"
    text = f"{spread.value:,.{digits}f}"
    return text if spread.seeds < 2 else f"{text} ({spread.low:,.{digits}f} to {spread.high:,.{digits}f})"


def span(values: list[float], digits: int) -> str:
    """The smallest and the largest of some values, or the one value."""
    low, high = f"{min(values):,.{digits}f}", f"{max(values):,.{digits}f}"
    return low if low == high else f"{low} to {high}"


def missed_of(model: ModelResult) -> tuple[int, int]:
    """(circuits that miss the target on test pairs, circuits), over the tasks that count and every pruning seed."""
    rows = [row for task in model.counted for row in model.tasks[task].rows]
    return sum(row.misses_on_test for row in rows), len(rows)


@number
def models_table(results: str, names: str = "") -> str:
    """A line for each model, or for those in `names`, separated by commas."""
    head = ["model", "width", "L0", "density", "held-out loss", "tasks it has", "edges", "over", "miss on test (†)"]
    lines = []
    for model in models(results).values():
        if names and model.name not in names.split(","):
            continue
        row, size, (missed, circuits) = model.row, model.size(), missed_of(model)
        lines.append(
            [
                model.name,
                str(row.d_model),
                plain_number(row.l0),
                f"{row.density:.3g}",
                f"{row.held_out_loss:.3f}",
                f"{len(model.had)} of {len(model.tasks)}",
                ranged(size),
                f"{size.tasks} tasks",
                f"{missed} of {circuits}",
            ]
        )
    return table(head, lines)


@number
def tasks_table(results: str) -> str:
    """A line for each task with the edges of every model, and a line that counts circuits that miss on test pairs."""
    found = list(models(results).values())
    lines = []
    for task in sorted({task for model in found for task in model.tasks}):
        cells = []
        for model in found:
            cell = model.tasks.get(task)
            if cell is None or not cell.counts:
                cells.append("lacks it" if cell and not cell.has_task else "-")
            else:
                cells.append(f"{cell.edges():,.0f}{MISSED if cell.misses_on_test else ''}")
        lines.append([task, *cells])
    rows = [row for model in found for task in model.counted for row in model.tasks[task].rows]
    missed = [row for row in rows if row.misses_on_test]
    far = sum((row.loss or 0.0) > 1.1 * row.target_loss for row in missed)
    note = (
        f"{MISSED} The circuit of at least one pruning seed has a loss above the target on test pairs, though it meets "
        f"it on the validation pairs that chose its size: {len(missed)} of the {len(rows)} circuits behind this table, "
        f"{far} of them by more than a tenth of it."
    )
    return table(["task", *(model.name for model in found)], lines, "---:") + "\n\n" + textwrap.fill(note, WIDTH)


@number
def made(results: str, pruner: str = "") -> str:
    """Where the rows of a table come from: seeds, machine, versions and commits, as the rows record them."""
    rows = [row for row in rows_of(results) if row.pruner == (pruner or usual(results)[0])]

    def listed(name: str) -> str:
        return ", ".join(sorted({str(row[name])[:13] if name == "commit" else str(row[name]) for row in rows}))

    commits = sorted({row.commit[:7] + ("*" if row.commit.endswith("-dirty") else "") for row in rows})
    note = (
        f"*Rows of `{FOLDERS[results].relative_to(ROOT)}/results.jsonl.gz`, pruner `{pruner or usual(results)[0]}`: "
        f"pruning seeds {listed('seed')}; {'; '.join(sorted({row.machine for row in rows}))}; torch {listed('torch')}; "
        f"commits {', '.join(commits).replace('*', chr(92) + '*')} (\\*: other files were being changed).*"
    )
    return textwrap.fill(note, WIDTH, break_on_hyphens=False)


@number
def loss(results: str, model: str, digits: str = "3") -> str:
    """Held-out loss, nats per token."""
    return f"{models(results)[model].row.held_out_loss:.{digits}f}"


@number
def l0(results: str, model: str) -> str:
    """Nonzero weights, without the bigram table."""
    return plain_number(models(results)[model].row.l0)


@number
def density(results: str, model: str) -> str:
    """Density in percent."""
    return f"{models(results)[model].row.density:.1%}"


@number
@cache
def bigram(name: str) -> str:
    """Nonzero entries of the bigram table of a model of the zoo."""
    from sparsegpt2 import load_model

    table = load_model(f"zoo:{name}").bigram
    assert table is not None
    return plain_number(int((table != 0).sum()))


@number
def had(results: str, model: str) -> str:
    """How many tasks the model has."""
    return str(len(models(results)[model].had))


@number
def edges(results: str, model: str, task: str = "", target: str = "", pruner: str = "") -> str:
    """Size of a model's circuits: of one task, or the geometric mean over all that count."""
    found = models(results, pruner, target)[model]
    return f"{found.tasks[task].edges() if task else found.size().value:,.0f}"


@number
def edges_range(results: str, model: str, task: str = "", seed: str = "") -> str:
    """The range of those sizes over pruning seeds, or the size with one seed."""
    found = models(results)[model]
    if seed:
        return f"{found.tasks[task].edges_of(int(seed)):,}"
    if task:
        return span([float(row.edges) for row in found.tasks[task].rows], 0)
    size = found.size()
    return span([size.low, size.high], 0)


@number
def test_losses(results: str, model: str, task: str) -> str:
    """Losses of the circuits of one task on test pairs, over pruning seeds."""
    return span([row.loss for row in models(results)[model].tasks[task].rows if row.loss is not None], 2)


@number
def full_loss(results: str, model: str, task: str) -> str:
    """Task loss of the whole model on test pairs."""
    return f"{models(results)[model].tasks[task].loss_full:.3f}"


@number
def missed(results: str, model: str) -> str:
    """How many of a model's circuits miss the target on test pairs."""
    count, circuits = missed_of(models(results)[model])
    return f"{count} of {circuits}"


@number
def kurtosis(results: str, kind: str) -> str:
    """Kurtosis of the final residual stream: of one model, or the range over the `dense` or `sparse` ones."""
    found = models(results)
    chosen = [found[kind]] if kind in found else [m for m in found.values() if m.is_dense == (kind == "dense")]
    return span([model.row.kurtosis for model in chosen if model.row.kurtosis is not None], 1)
