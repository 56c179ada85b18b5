"""A page that summarises results: headline, figures and tables in one HTML file that needs no other files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from sparsegpt2.files import write_text
from sparsegpt2.report.frontier import Frontier, FrontierConfig, analyse, nothing_to_draw
from sparsegpt2.report.style import plain_number, to_svg
from sparsegpt2.report.training import training_figure
from sparsegpt2.results import ModelResult, Ratio, Spread, TaskResult, all_ratios, headline_ratio, load_results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class SummaryFacts:
    """What the page says about how the results were made. Empty fields are not shown."""

    title: str = "Dense and sparse models, and the circuits in them"
    """Heading of the page."""
    command: str = ""
    """The command that made the results."""
    seed: int | None = None
    """The seed that the command used."""
    minutes: float | None = None
    """Wall-clock time of the command in minutes."""


def write_summary(
    out_html: str | Path,
    results: Iterable[str | Path],
    *,
    runs: Sequence[str | Path] = (),
    facts: SummaryFacts | None = None,
    config: FrontierConfig | None = None,
) -> Frontier:
    """Write the page about the results in the folders `results`. runs: run folders whose training curves are drawn.

    Returns the values that the page shows; `closing_text` takes them. If no task counts for any model, the page says so
    and has no figures of circuits.
    """
    facts = facts or SummaryFacts()
    found = analyse(load_results(results), config)
    template = Template(files("sparsegpt2.report").joinpath("summary.html").read_text(encoding="utf-8"))
    page = template.substitute(
        title=escape(facts.title),
        headline=escape(headline(found)),
        facts=_facts(found, facts),
        figures=_figures(found, runs),
        models=_model_table(found),
        models_note=escape(_models_note(found)),
        ratios=_ratio_section(found),
        tasks=_task_table(found),
        tasks_note=escape(_tasks_note(found)),
    )
    write_text(out_html, page)
    return found


def headline(found: Frontier) -> str:
    """The main result in one to three sentences.

    If a dense and a sparse model can be compared, the main result is the ratio of the sizes of their circuits.
    """
    if not found.points:
        return _sentence(nothing_to_draw(found))
    compared = _compared(found)
    best = headline_ratio(compared, size=found.config.size)
    if best is not None:
        return f"{_ratio_sentence(best)} Held-out loss: {_losses(best)}."
    ratios = [ratio for ratio in all_ratios(compared, found.config.size) if ratio.spread.tasks]
    if ratios:
        nearest = min(ratios, key=lambda ratio: ratio.loss_gap)
        return (
            f"No sparse model reaches the held-out loss of a dense model. The nearest: {_losses(nearest)}. "
            f"{_ratio_sentence(nearest)}"
        )
    smallest = min(found.points, key=lambda point: point.size.value)
    return (
        f"{smallest.name} has the smallest circuits: {_edges(smallest.size.value)} edges, geometric mean over "
        f"{_tasks(len(found.shared))}, at a held-out loss of {smallest.loss:.3f} nats per token."
    )


def closing_text(found: Frontier, summary: str | Path) -> str:
    """The last lines that `sparsegpt2 quickstart` prints: path of the page, one line for each model, and the headline.

    summary: path of the page.
    """
    lines = [f"Summary: {summary}", ""]
    width = max((len(model.name) for model in found.models), default=0)
    for model in found.models:
        loss = "unknown" if model.row.held_out_loss is None else f"{model.row.held_out_loss:.3f}"
        size = _size_on_shared(found, model)
        edges = f"{_edges(size.value)} edges (mean over {size.tasks} shared)" if size else "not compared"
        had = f"has {len(model.had)} of {len(model.tasks)} tasks"
        lines.append(
            f"  {model.name:<{width}}  held-out loss {loss}  L0 {plain_number(model.row.l0):>5}  {had}  {edges}"
        )
    return "\n".join([*lines, "", headline(found)])


# --- Sentences ------------------------------------------------------------------------------------------------------


def _ratio_sentence(ratio: Ratio) -> str:
    value = ratio.spread.value
    size = f"{value:.1f} times smaller than" if value >= 1 else f"{1 / value:.1f} times larger than"
    text = f"The circuits of {ratio.sparse.name} are {size} those of {ratio.dense.name}, geometric mean over "
    text += f"{_tasks(ratio.spread.tasks)} that count for both"
    if ratio.spread.seeds > 1:
        text += f" ({ratio.spread.low:.1f} to {ratio.spread.high:.1f} over {ratio.spread.seeds} pruning seeds)"
    return text + "."


def _losses(ratio: Ratio) -> str:
    sparse, dense = ratio.sparse.row.held_out_loss, ratio.dense.row.held_out_loss
    return f"{sparse:.3f} nats per token ({ratio.sparse.name}) against {dense:.3f} ({ratio.dense.name})"


def _models_note(found: Frontier) -> str:
    note = (
        f"A model has a task if its unpruned loss is below {found.target_loss:g} nats. The task counts if the circuit "
        f"also meets that loss. Edges are geometric means: over all tasks that count for the model, and over the "
        f"{_tasks(len(found.shared))} that count for every model compared; a circuit without edges is counted as 1. "
        f"L0 is the number of nonzero weights and biases, without the bigram table."
    )
    if found.shared:
        note += f" Shared: {', '.join(found.shared)}."
    if found.left_out:
        note += " Not compared: " + ", ".join(f"{name} ({why})" for name, why in found.left_out) + "."
    return note


def _tasks_note(found: Frontier) -> str:
    note = (
        "Edges of the circuit, its loss on test pairs, and in parentheses the loss of the unpruned model on the same "
        "pairs (nats, mean over both sides). With several pruning seeds: geometric mean of edges, mean of losses. "
        "Grey: does not count."
    )
    rows = [result.rows[0] for model in found.models for result in model.tasks.values()]
    reasons = sorted({f"{row.task} ({row.reason})" for row in rows if row.reason})
    return f"{note} Unavailable: {'; '.join(reasons)}." if reasons else note


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _tasks(count: int) -> str:
    return f"{count} task" + ("" if count == 1 else "s")


def _edges(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:,.0f}"


# --- Tables and figures ---------------------------------------------------------------------------------------------


def _compared(found: Frontier) -> list[ModelResult]:
    names = {point.name for point in found.points}
    return [model for model in found.models if model.name in names]


def _size_on_shared(found: Frontier, model: ModelResult) -> Spread | None:
    return next((point.size for point in found.points if point.name == model.name), None)


def _facts(found: Frontier, facts: SummaryFacts) -> str:
    row = found.models[0].row
    seeds = sorted({seed for model in found.models for seed in model.seeds})
    listed: list[tuple[str, str]] = [
        ("Command", f"<code>{escape(facts.command)}</code>" if facts.command else ""),
        ("Seed", "" if facts.seed is None else str(facts.seed)),
        ("Time", "" if facts.minutes is None else f"{facts.minutes:.1f} minutes"),
        ("Machine", escape(row.machine)),
        ("Source", escape(" ".join(part for part in (f"sparsegpt2 {row.version}", row.commit) if part))),
        ("Pruning", f"{escape(found.pruner)} pruner, target loss {found.target_loss:g} nats, {_listed(seeds)}"),
    ]
    return "\n".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in listed if value)


def _listed(seeds: Sequence[int]) -> str:
    return ("seed " if len(seeds) == 1 else "seeds ") + ", ".join(str(seed) for seed in seeds)


def _figures(found: Frontier, runs: Sequence[str | Path]) -> str:
    parts = []
    if found.points:
        parts.append(_figure("Capability against interpretability", found.figure()))
    if found.curves:
        parts.append(_figure("Task loss against circuit size", found.sizes_figure()))
    if runs:
        parts.append(_figure("Training", training_figure(runs)))
    return "\n".join(parts)


def _figure(heading: str, figure: Figure) -> str:
    return f'<h2>{escape(heading)}</h2>\n<figure role="img" aria-label="{escape(heading)}">{to_svg(figure)}</figure>'


def _model_table(found: Frontier) -> str:
    header = [
        "Model",
        "Width",
        "Layers",
        "L0",
        "Density",
        "Held-out loss",
        "Tasks it has",
        "Edges, its tasks",
        "Edges, shared tasks",
    ]
    body = []
    for model in found.models:
        row, own, shared = model.row, model.size(size=found.config.size), _size_on_shared(found, model)
        body.append(
            [
                model.name,
                f"{row.d_model:,}",
                str(row.n_layer),
                f"{row.l0:,}",
                f"{row.density:.3g}",
                "–" if row.held_out_loss is None else f"{row.held_out_loss:.3f}",
                f"{len(model.had)} of {len(model.tasks)}",
                f"{_edges(own.value)} ({own.tasks})",
                f"{_edges(shared.value)} ({shared.tasks})" if shared else "–",
            ]
        )
    return _table(header, body)


def _ratio_section(found: Frontier) -> str:
    ratios = [ratio for ratio in all_ratios(found.models, found.config.size) if ratio.spread.tasks]
    if not ratios:
        return ""
    header = ["Dense", "Sparse", "Edges dense : sparse", "Over seeds", "Shared tasks", "Held-out loss, sparse − dense"]
    body = []
    for ratio in ratios:
        low, high = ratio.spread.low, ratio.spread.high
        body.append(
            [
                ratio.dense.name,
                ratio.sparse.name,
                f"{ratio.spread.value:.2f}",
                f"{low:.2f} to {high:.2f}" if ratio.spread.seeds > 1 else "one seed",
                str(ratio.spread.tasks),
                "–" if math.isnan(ratio.loss_gap) else f"{ratio.loss_gap:+.3f}",
            ]
        )
    return f'<h2>Dense against sparse</h2>\n<div class="scroll">\n{_table(header, body, names=2)}\n</div>'


def _task_table(found: Frontier) -> str:
    tasks = sorted({task for model in found.models for task in model.tasks})
    rows = []
    for task in tasks:
        cells = "".join(_task_cell(model.tasks.get(task), found) for model in found.models)
        rows.append(f"<tr><td>{escape(task)}</td>{cells}</tr>")
    sizes = [model.size(size=found.config.size) for model in found.models]
    foot = "".join(f"<td>{_edges(size.value)} over {size.tasks}</td>" for size in sizes)
    head = "".join(f"<th>{escape(model.name)}</th>" for model in found.models)
    return (
        f"<table><thead><tr><th>Task</th>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
        f"<tfoot><tr><td>Geometric mean</td>{foot}</tr></tfoot></table>"
    )


def _task_cell(result: TaskResult | None, found: Frontier) -> str:
    if result is None:
        return '<td class="out">not benchmarked</td>'
    if result.status == "unavailable":
        return '<td class="out">unavailable</td>'
    if result.status == "lacks the task":
        return f'<td class="out">lacks the task ({result.loss_full:.3f})</td>'
    text = f"{_edges(result.edges(found.config.size) or 0)} · {result.loss:.3f} ({result.loss_full:.3f})"
    return f"<td>{text}</td>" if result.counts else f'<td class="out">{text}, target missed</td>'


def _table(header: Sequence[str], body: Sequence[Sequence[str]], names: int = 1) -> str:
    """An HTML table. The first `names` columns contain names and are aligned left; the others contain numbers."""
    look = [' class="name"' if column < names else "" for column in range(len(header))]
    head = "".join(f"<th{kind}>{escape(text)}</th>" for kind, text in zip(look, header, strict=True))
    lines = ["".join(f"<td{kind}>{escape(text)}</td>" for kind, text in zip(look, line, strict=True)) for line in body]
    rows = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
