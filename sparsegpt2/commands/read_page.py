"""The measurements of `sparsegpt2 read`, and the files that it writes besides the page itself."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path

from eval_tasks.bench.subjects import short_names
from sparsegpt2.circuits import Circuit
from sparsegpt2.circuits.losses import task_batch
from sparsegpt2.errors import UserError
from sparsegpt2.files import write_json
from sparsegpt2.model.checkpoint import model_fingerprint, model_info
from sparsegpt2.model.gpt import GPT
from sparsegpt2.reading.charts import draw_outcome, save_png
from sparsegpt2.reading.drawing import draw_circuit
from sparsegpt2.reading.experiment import reading_of
from sparsegpt2.reading.heads import heads_of, looks
from sparsegpt2.reading.measure import Outcome, measure
from sparsegpt2.reading.nodes import figure_labels, touched
from sparsegpt2.reading.page import Read, figure_name
from sparsegpt2.results import provenance
from sparsegpt2.sparsity.stats import l0
from sparsegpt2.text.tokenizer import Tokenizer
from sparsegpt2.viewer import ViewConfig, Viewed, circuit_data

SPLIT = "test"
"""Split whose prompts experiments are measured on. People who design experiments look at validation prompts."""
VIEW = ViewConfig(effect_pairs=16, pattern_bytes=0, examples=1)


def task_of(circuit: Circuit, file: str) -> str:
    """Name of the task that a circuit file names; `UserError` if it names none."""
    task = circuit.info.task
    if not task:
        raise UserError(f"{file} does not name its task; find the circuit with `sparsegpt2 prune`")
    return str(task)


def read_circuit(circuit: Circuit, subject: Viewed, pairs: int, seed: int) -> Read:
    """Gather what a page shows of one circuit, and run the task's experiments on the whole model.

    pairs: number of prompt pairs for each level (condition) of an experiment. Prints one line for each experiment.
    """
    model, task = subject.model, subject.task
    assert task is not None
    data = circuit_data(circuit, subject, VIEW)
    batch = task_batch(model, task, "validation", VIEW.pairs, seed)
    reading = reading_of(task.name)
    outcomes = []
    for experiment in reading.experiments:
        found = measure(experiment, model, task, data["nodes"], split=SPLIT, pairs=pairs, seed=seed)
        print(f"  {experiment.name}: {found.unposed or ('held' if found.held else 'not held')}", flush=True)
        outcomes.append(found)
    attention = looks(model, batch, heads_of(data["nodes"]))
    definition = getattr(task, "definition", None)
    left, right = definition.answers if definition is not None else ("", "")
    return Read(
        task=task.name,
        description=definition.description if definition is not None else "",
        data=data,
        touched=touched(model, subject.tokenizer, data, batch),
        looks=attention,
        tokens={token: subject.tokenizer.token(token) for look in attention for token, _ in look.tokens},
        answers=(left or f"not {right}", right or f"not {left}"),
        fingerprint=circuit_fingerprint(circuit, model, subject.tokenizer),
        size=(circuit.n_nodes, circuit.edges(model)),
        reading=reading,
        outcomes=outcomes,
    )


def circuit_fingerprint(circuit: Circuit, model: GPT, tokenizer: Tokenizer) -> str:
    """Hash (12 hexadecimal digits) of the circuit's kept nodes and weights, and of its model."""
    digest = hashlib.sha256(model_fingerprint(model, tokenizer).encode())
    for name, kept in sorted({**circuit.nodes, **(circuit.weights or {})}.items()):
        digest.update(name.encode() + kept.cpu().numpy().tobytes())
    return digest.hexdigest()[:12]


def write_figures(read: Read, out: Path) -> None:
    """Write into the folder `out`: the graph, a chart for each experiment, and all measurements as JSON."""
    out.mkdir(parents=True, exist_ok=True)
    if read.data["nodes"]:
        labels = figure_labels(read.data, read.touched, read.answers)
        save_png(draw_circuit(read.data, labels), out / f"{read.task}.png")
    for outcome in read.outcomes:
        if not outcome.unposed:
            save_png(draw_outcome(outcome, read.reading.sides), out / figure_name(read.task, outcome.experiment))
    write_json(out / f"{read.task}.json", {one.experiment.name: measured(one) for one in read.outcomes})


def measured(outcome: Outcome) -> dict[str, object]:
    """The outcome of an experiment, as values that JSON can hold."""
    if outcome.unposed:
        return {"not_measured": outcome.unposed}
    claims = [
        {"claim": claim.text, "measured": outcome.value(claim), "holds": claim.holds(outcome.value(claim))}
        for claim in outcome.experiment.claims
    ]
    levels = {level: {side: asdict(values) for side, values in of.items()} for level, of in outcome.levels.items()}
    return {"held": outcome.held, "claims": claims, "pairs": outcome.pairs, "levels": levels}


def about(model: GPT, directory: Path, command: str, seed: int) -> str:
    """A paragraph in Markdown: facts about the model, and the command, seed and machine that made the page."""
    info, config, made = model_info(directory), model.config, provenance("cpu")
    loss = info.get("held_out_loss")
    facts = [
        f"{config.n_layer} layers, width {config.d_model}, {config.n_head} heads, context {config.context}",
        f"L0 {l0(model):,}",
        f"held-out loss {loss:.3f} nats per token" if loss is not None else "",
        f"trained at commit {info['commit']}" if info.get("commit") else "",
    ]
    return (
        f"Model: **{short_names([directory])[0]}**, {', '.join(filter(None, facts))}. Seed {seed}, "
        f"{made['machine']}, torch {made['torch']}, commit {made['commit'] or 'unknown'}:\n\n```\n{command}\n```"
    )
