"""Export a trained model to the zoo, as a small folder with a card that describes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from sparsegpt2.config import require
from sparsegpt2.errors import UserError
from sparsegpt2.files import Kind, replacing_directory, write_text
from sparsegpt2.interop.card import check_card, plain, yaml_block
from sparsegpt2.interop.hub import CARD, model_card
from sparsegpt2.locate import FILES, TOKENIZER, model_directory, zoo
from sparsegpt2.model.checkpoint import MODEL, load_model, model_info, write_model
from sparsegpt2.model.gpt import GPT
from sparsegpt2.results import ModelResult, choose_pruner, choose_target, load_results, model_results
from sparsegpt2.sparsity.stats import l0
from sparsegpt2.text.tokenizer import Tokenizer

LIMIT = 10_000_000
"""Largest size of a zoo model in bytes, so that the package stays small."""
KIND = Kind("a model of the zoo", (*FILES, CARD), MODEL.mark, MODEL.signs)
"""The kind of folder that `export` may replace."""
BENCHMARK, ROUNDED = "benchmark", "rounded"
"""Keys that the info of a zoo model has in addition to its training record. The first holds the result of
`benchmark_facts`, the second the tensors that were rounded, as name -> dtype."""


def export(
    path: str | Path, out: str | Path, results: Sequence[str | Path] = (), target_loss: float | None = None
) -> int:
    """Write the model at `path` (a model or a run) into the folder `out`, as a zoo entry. Returns its size in bytes.

    The last part of `out` is the name of the model. The folder gets compact weights, node means, the tokenizer and a
    card, README.md. results: results folders, whose rows of this model are shown on the card at `target_loss` (by
    default at the target nearest to 0.15). If the folder would be larger than `LIMIT`, the bigram table is rounded to
    bfloat16, and the card says so. `UserError` if the model has no tokenizer or no node means, if `results` has no rows
    of it, or if the folder is larger than `LIMIT` even with the rounded table.
    """
    directory, name = model_directory(path), Path(out).resolve().name
    require(directory.resolve() != Path(out).resolve(), f"{out} is the model itself; name another folder for its copy")
    model, info = load_model(directory), model_info(directory)
    require((directory / TOKENIZER).exists(), f"{directory} has no {TOKENIZER}, so no task could be posed with it")
    require(model.means is not None, f"{directory} has no node means, so it could not be pruned; train it to the end")
    if results:
        info = {**info, BENCHMARK: benchmark_facts(own_results(model, info, results, target_loss))}
    tokenizer = Tokenizer.load(directory)
    with replacing_directory(out, KIND) as folder:
        size = _write(model, folder, name, tokenizer, info)
        if size > LIMIT and model.bigram is not None:
            model.bigram.data = model.bigram.data.to(torch.bfloat16).float()
            size = _write(model, folder, name, tokenizer, {**info, ROUNDED: {"bigram": "bfloat16"}})
        require(
            size <= LIMIT,
            f"{path} has {size / 1e6:.1f} MB without zeros; a zoo model may have at most {LIMIT / 1e6:g} MB",
        )
    return size


def own_results(
    model: GPT, info: dict[str, Any], results: Sequence[str | Path], target_loss: float | None = None
) -> ModelResult:
    """The results of this model, identified by its L0 and its exact held-out loss; `UserError` if there are none."""
    rows = [
        row
        for row in load_results(results)
        if row.l0 == l0(model) and row.held_out_loss is not None and row.held_out_loss == info.get("held_out_loss")
    ]
    if not rows:
        raise UserError(f"there are no results of this model in {', '.join(map(str, results))}; run `sparsegpt2 bench`")
    pruner = choose_pruner(rows)
    target = choose_target([row for row in rows if row.pruner == pruner], target_loss)
    return model_results(rows, pruner, target)[0]


def benchmark_facts(result: ModelResult) -> dict[str, Any]:
    """What a zoo model's info records about its tasks and circuits, as JSON values. Sizes are means over seeds."""
    row, size = result.row, result.size()
    tasks = {
        task: {
            "has_task": cell.has_task,
            "counts": cell.counts,
            "loss_full": cell.loss_full,
            "loss": cell.loss,
            "edges": cell.edges(),
            "edges_trimmed": cell.edges("edges_trimmed"),
        }
        for task, cell in sorted(result.tasks.items())
    }
    return {
        "pruner": row.pruner,
        "target_loss": row.target_loss,
        "seeds": result.seeds,
        "settings": row.settings,
        "had": len(result.had),
        "counted": size.tasks,
        "edges": size.value if size.tasks else None,
        "tasks": tasks,
        "commit": row.commit,
        "machine": row.machine,
    }


def card(model: GPT, info: dict[str, Any], name: str) -> str:
    """The card of a zoo model: the card that any model gets, and a section on tasks and the sizes of their circuits."""
    sections = []
    check_card(info)
    if info.get(ROUNDED):
        kinds = ", ".join(plain(f"{tensor} to {dtype}") for tensor, dtype in info[ROUNDED].items())
        sections += ["", f"Rounded after training, to keep the file small: {kinds}; everything else is exact."]
    facts = info.get(BENCHMARK)
    if facts:
        sections += _circuit_section(facts)
    return model_card(model, info, title=name, address=zoo.PREFIX + name, sections=sections)


def card_of(name: str) -> str:
    """The card of a model of the zoo, from its files as they are."""
    return card(load_model(zoo.PREFIX + name), model_info(zoo.PREFIX + name), name)


def _write(model: GPT, folder: Path, name: str, tokenizer: Tokenizer, info: dict[str, Any]) -> int:
    """Write all files of an entry of the zoo. Returns their total size in bytes."""
    write_model(model, folder, tokenizer=tokenizer, info=info, compact=True)
    write_text(folder / CARD, card(model, info, name))
    return sum(file.stat().st_size for file in folder.iterdir())


def _circuit_section(facts: dict[str, Any]) -> list[str]:
    """Lines of Markdown that say which tasks the model has, and how large their circuits are."""
    mean = f"{facts['edges']:,.0f} edges" if facts["edges"] else "no size"
    seeds = ", ".join(map(str, facts["seeds"]))
    lines = [
        "",
        "## Tasks and circuits",
        "",
        f"It has {facts['had']} of {len(facts['tasks'])} tasks: its loss on their test pairs, before pruning, is below "
        f"{facts['target_loss']:g}. Circuits of the {plain(facts['pruner'])} pruner at that target, geometric mean "
        f"over {facts['counted']} tasks: {mean}. Pruning seeds: {seeds}. Made at commit "
        f"{plain(facts['commit'] or 'unknown')} on {plain(facts['machine'])}.",
        "",
        "| task | loss of the model | has the task | edges | without dangling nodes | loss of the circuit |",
        "|---|---|---|---|---|---|",
    ]
    missed = 0
    for task, cell in facts["tasks"].items():
        numbers = [_cell(cell["edges"], ",.0f"), _cell(cell["edges_trimmed"], ",.0f"), _cell(cell["loss"], ".3f")]
        if cell["counts"] and cell["loss"] is not None and cell["loss"] > facts["target_loss"]:
            missed, numbers[-1] = missed + 1, f"{numbers[-1]} †"
        has = "yes" if cell["has_task"] else "no"
        lines.append(f"| {plain(task)} | {_cell(cell['loss_full'], '.3f')} | {has} | {' | '.join(numbers)} |")
    if missed:
        lines += [
            "",
            f"† {missed} of {facts['counted']} tasks: above the target on test pairs, though not on validation pairs.",
        ]
    pruning = {name: value for name, value in facts["settings"].items() if name != "evidence"}  # not those of checks
    return [*lines, "", "Pruning settings:", "", *yaml_block(pruning, short_lists_on_a_line=True)]


def _cell(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
