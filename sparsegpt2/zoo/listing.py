"""Show the models of the zoo as a table."""

from __future__ import annotations

from typing import Any

from sparsegpt2.locate import zoo
from sparsegpt2.model.checkpoint import load_model, model_info
from sparsegpt2.report.style import plain_number
from sparsegpt2.results import aligned
from sparsegpt2.sparsity.stats import l0
from sparsegpt2.zoo.export import BENCHMARK

HEADING = ("NAME", "LAYERS", "WIDTH", "CONTEXT", "L0", "HELD-OUT LOSS", "TASKS", "EDGES", "WHERE")


def zoo_lines() -> list[str]:
    """The lines of the table: for each model its shape, L0, held-out loss, number of tasks, circuit size and place."""
    names, index = zoo.names(), zoo.index()
    if not names:
        return ["this version has no trained models; docs/zoo.md explains how to make one"]
    lines = [HEADING]
    for name in names:
        facts = index[name]["facts"] if name in index else facts_of(name)
        loss, tasks, edges = facts["held_out_loss"], facts["tasks"], facts["edges"]
        lines.append(
            (
                name,
                str(facts["n_layer"]),
                str(facts["d_model"]),
                str(facts["context"]),
                plain_number(facts["l0"]),
                "?" if loss is None else f"{loss:.3f}",
                f"{facts['had']} of {tasks}" if tasks else "?",
                f"{edges:,.0f} (mean of {facts['counted']})" if edges else "?",
                "here" if zoo.here(name) else f"sparsegpt2 zoo --get {name}",
            )
        )
    return aligned(lines)


def facts_of(name: str) -> dict[str, Any]:
    """The table's facts about a model on this machine; None for a fact that neither training nor benchmark recorded."""
    address = zoo.PREFIX + name
    model, info = load_model(address), model_info(address)
    benchmark = info.get(BENCHMARK) or {}
    return {
        "n_layer": model.config.n_layer,
        "d_model": model.config.d_model,
        "context": model.config.context,
        "l0": l0(model),
        "held_out_loss": info.get("held_out_loss"),
        "had": benchmark.get("had"),
        "tasks": len(benchmark.get("tasks", ())),
        "counted": benchmark.get("counted"),
        "edges": benchmark.get("edges"),
    }
