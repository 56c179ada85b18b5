"""The page about read circuits, in Markdown. For each circuit it has a figure, a description in words, the nodes and
the experiments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sparsegpt2.reading.drawing import most_effective
from sparsegpt2.reading.experiment import Experiment, Patch, Reading
from sparsegpt2.reading.heads import Look
from sparsegpt2.reading.measure import Outcome
from sparsegpt2.reading.nodes import Touched, code, edges_text, escaped, signed, snippets_text, visible, weights_text
from sparsegpt2.viewer.schema import CircuitData

WORDS = Path(__file__).parent / "words"

INTRODUCTION = """# Circuits read

{about}

The predictions and the claims by which they are judged are in `sparsegpt2/reading/tasks`, together with what was known
when they were made. They were written before anything was measured. Some sentences were reworded later for clarity; no
claim or bound was changed.

Every experiment is run on the whole, unpruned model. It changes either the prompts or some activations. The prompts are
made with words of the test split. The *margin* is log p(right choice) − log p(wrong choice), in nats. *Patching* a node
sets it, at every position, to the value that it has in the other prompt of the pair. A patch *turns* an answer if the
model is right without it and wrong with it. As controls, other nodes of the same sites are patched, namely nodes whose
values differ between the two prompts: as many as in the experiment, chosen at random ({draws} draws), or all of them.
"""


@dataclass(frozen=True)
class Read:
    """One circuit, and everything that was measured on it."""

    task: str
    description: str
    data: CircuitData
    touched: list[Touched]
    looks: list[Look]
    tokens: dict[int, str]
    """Id -> text of the tokens that heads attend to."""
    answers: tuple[str, str]
    """The answers of the left and the right prompts, for the table; empty if they vary between pairs."""
    fingerprint: str
    """Fingerprint of the circuit and its model. It decides which description in words belongs to the circuit."""
    size: tuple[int, int]
    """Number of nodes and of edges."""
    reading: Reading
    outcomes: list[Outcome]


def words_for(task: str, fingerprint: str, folder: Path = WORDS) -> tuple[str, str]:
    """Find the description of a circuit in words. Returns (description, why there is none); one of them is empty.

    The description is in a Markdown file with the name of the task. The file's first line is `circuit: FINGERPRINT`. If
    the fingerprint is that of another circuit, the description is not used.
    """
    path = folder / f"{task}.md"
    if not path.is_file():
        return "", f"Nobody has described this circuit in words yet (fingerprint {fingerprint})."
    first, _, rest = path.read_text(encoding="utf-8").partition("\n")
    named = first.removeprefix("circuit:").strip()
    if named != fingerprint:
        return (
            "",
            f"The existing description is of another circuit ({named or 'unnamed'}); this one is {fingerprint}.",
        )
    return rest.strip(), ""


def page(reads: Sequence[Read], about: str, folder: str, draws: int, words: Path = WORDS) -> str:
    """The whole page. about: text about model and command. folder: the path of the figures, relative to the page.

    draws: number of random sets of control nodes (`measure.DRAWS`). words: folder of the descriptions.
    """
    parts = [INTRODUCTION.format(about=about, draws=draws), overview(reads)]
    for read in reads:
        parts += [_circuit(read, folder, words), *(_outcome(one, read, folder) for one in read.outcomes)]
    return "\n".join(parts)


def overview(reads: Sequence[Read]) -> str:
    """A table with a row for each circuit."""
    lines = [
        "| task | nodes | edges | test loss: whole model | circuit | all but the circuit | predictions held |",
        "|---|---|---|---|---|---|---|",
    ]
    for read in reads:
        assert read.data["task"] is not None
        loss = read.data["task"]["scores"]["loss"]
        measured = [outcome for outcome in read.outcomes if not outcome.unposed]
        held = f"{sum(outcome.held for outcome in measured)} of {len(measured)}"
        losses = " | ".join(f"{loss[name]:.3f}" for name in ("full", "circuit", "complement"))
        lines.append(f"| [{read.task}](#{read.task}) | {read.size[0]:,} | {read.size[1]:,} | {losses} | {held} |")
    return "\n".join(lines) + "\n"


def _circuit(read: Read, folder: str, words: Path) -> str:
    data, count = read.data, len(most_effective(read.data))
    text, missing = words_for(read.task, read.fingerprint, words)
    lines = [f"## {read.task}", "", f"{read.description} ({data['name']}; circuit {read.fingerprint}.)", ""]
    if not data["nodes"]:
        return "\n".join([*lines, "The circuit is empty: the model's biases alone meet the target.", ""])
    caption = (
        f"All {count} nodes"
        if count == read.size[0]
        else f"The {count} nodes of {read.size[0]} with the largest effect, and nodes that connect them"
    )
    caption += (
        ". Effect: the rise of the circuit's task loss when the node is ablated. Below the lowest row: of the tokens "
        "that differ between the prompts of a pair, the one with the largest embedding weight into the node. Above "
        "writers of the residual stream: the answer whose logit a positive value raises, and by how much per unit."
    )
    lines += [f"![The circuit of {read.task}]({folder}/{read.task}.png)", "", f"*{caption}*", ""]
    lines += [text or f"*{missing}*", ""]
    return "\n".join([*lines, *_heads(read), *_table(read), ""])


def _heads(read: Read) -> list[str]:
    """A table with a row for each head of the circuit; empty if the circuit has none."""
    if not read.looks:
        return []
    lines = [
        "Attention from the last token of validation prompts, in the whole model:",
        "",
        "| head | to tokens where the prompts differ | to the sink | tokens with the most attention |",
        "|---|---|---|---|",
    ]
    for look in read.looks:
        most = ", ".join(
            f"{code(visible(read.tokens[token]))} {share:.2f}" for token, share in look.tokens if share >= 0.01
        )
        lines.append(f"| layer {look.layer}, head {look.head} | {look.parting:.2f} | {look.sink:.2f} | {most} |")
    return [*lines, ""]


def _table(read: Read) -> list[str]:
    """A table with a row for each drawn node, folded because it is long."""
    data, shown = read.data, most_effective(read.data)
    pushes = " or ".join(code(visible(answer)) for answer in read.answers) if any(read.answers) else "an answer"
    lines = [
        f"<details><summary>{len(shown)} nodes: effects, edges, tokens, strongest activations on corpus text</summary>",
        "",
        f"Effects are in nats of task loss, in the circuit and in the whole model. *Left, right prompts*: mean "
        f"activation on validation prompts at their last token or where they part, that is, at the first token that "
        f"differs between the two prompts of a pair. "
        f"*Tokens*: for readers, embedding weights of tokens that differ between the prompts (if there are none, the "
        f"largest weights); for writers, how much one unit adds towards {pushes}. *Strongest*: "
        f"{data['sources'].get('corpus', 'no corpus')}; the peak is in bold; for nodes that are negative at times, "
        f"the lowest values follow.",
        "",
        "| node | effect: circuit, model | left, right prompts | reads | feeds | tokens | strongest |",
        "|---|---|---|---|---|---|---|",
    ]
    for place in shown:
        node, one = data["nodes"][place], read.touched[place]
        effects = ", ".join(signed(value or 0.0) for value in (node["effect"], node["effect_full"]))
        tokens = weights_text(one.deciding or node["excited_by"])
        if one.push:
            tokens = f"{code(visible(read.answers[0] if one.push > 0 else read.answers[1]))} {signed(abs(one.push))}"
        head = "" if node["head"] is None else f" (h{node['head']})"
        edges = " | ".join(edges_text(data, place, into=into) for into in (True, False))
        means = f"{signed(one.left)}, {signed(one.right)} {one.where}"
        lines.append(f"| {node['id']}{head} | {effects} | {means} | {edges} | {tokens} | {snippets_text(data, node)} |")
    return [*lines, "", "</details>"]


def _outcome(outcome: Outcome, read: Read, folder: str) -> str:
    experiment = outcome.experiment
    if outcome.unposed:
        return (
            f"### {_title(experiment)}: not measured\n\n{experiment.prediction}\n\nNot measured: {outcome.unposed}.\n"
        )
    lines = [f"### {_title(experiment)}: {'held' if outcome.held else 'not held'}", "", experiment.prediction, ""]
    lines += ["| claim | measured | |", "|---|---|---|"]
    for claim in experiment.claims:
        value = outcome.value(claim)
        lines.append(f"| {escaped(claim.text)} | {value:.2f} | {'holds' if claim.holds(value) else 'does not hold'} |")
    lines += ["", f"![{_title(experiment)}]({folder}/{figure_name(read.task, experiment)})", ""]
    what = "the patched nodes" if isinstance(experiment, Patch) else "the last level's first prompt"
    lines += [f"<details><summary>Numbers, and {what}</summary>", ""]
    left, right = (escaped(side) for side in read.reading.sides)
    third = "turned" if isinstance(experiment, Patch) else "accuracy"
    lines += [f"| level | {left}: margin ± sd | {third} | {right}: margin ± sd | {third} |", "|---|---|---|---|---|"]
    for level, of in outcome.levels.items():
        cells = []
        for side in ("left", "right"):
            share = of[side].flipped if isinstance(experiment, Patch) else of[side].accuracy
            cells += [f"{of[side].margin:.2f} ± {of[side].spread:.2f}", f"{share:.2f}"]
        lines.append(f"| {escaped(level)} | {' | '.join(cells)} |")
    example = outcome.example if isinstance(experiment, Patch) else f"```\n{outcome.example}\n```"
    return "\n".join([*lines, "", f"{outcome.pairs} pairs per level.", "", example, "", "</details>", ""])


def figure_name(task: str, experiment: Experiment) -> str:
    """File name of an experiment's chart."""
    return f"{task}-{experiment.name}.png"


def _title(experiment: Experiment) -> str:
    return experiment.name.replace("_", " ").capitalize()
