"""What each node responds to and writes: tokens that differ between the prompts, text that activates it, and answers.

Shapes: B rows (two per pair), T positions, C channels of a site.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsegpt2.circuits.gates import frozen
from sparsegpt2.circuits.losses import answer_logits
from sparsegpt2.circuits.task import ANYTHING_ELSE, TaskBatch
from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.layers import at_position
from sparsegpt2.model.sites import Record, node_sites, place_of
from sparsegpt2.reading.drawing import residual_links
from sparsegpt2.text.tokenizer import Tokenizer
from sparsegpt2.viewer.schema import Activations, CircuitData, NodeData, Snippet, TokenWeights

DECIDING = 12
"""Number of deciding tokens that are used, the most frequent ones. A token is deciding if the prompts of a pair differ
at it."""
NAMED = 4
"""Number of tokens or edges listed for a node."""
LAST, PARTING = "last", "where they part"
"""Two places in a prompt: its last token, and the first token that differs from the pair's other prompt."""
SNIPPETS = 3
"""Number of snippets shown for a node's highest, and for its lowest, values."""
BEFORE, AFTER = 9, 3
"""Number of tokens of a snippet before and after its peak."""
MARKUP = "\\`*_[]<>|~$&"
"""Characters with a meaning in Markdown or HTML."""
NOTABLE = 0.25
"""A node counts as negative at times if its lowest value is negative and its magnitude is more than this share of the
node's largest magnitude."""


@dataclass(frozen=True)
class Touched:
    """How a node is related to the task's tokens, prompts and answers."""

    deciding: TokenWeights
    """For nodes of act_in sites: deciding tokens with their embedding weights into the node, largest magnitude first.
    Empty for other nodes."""
    left: float
    """Mean activation on the left prompts of the task, at the place `where`."""
    right: float
    """Mean activation on the right prompts of the task, at the place `where`."""
    where: str
    """`LAST` or `PARTING`: the place at which the means over left and right prompts differ more."""
    push: float | None
    """For nodes of resid_delta sites: how much one unit of the node adds to logit(left answer) - logit(right answer),
    with the final norm's gain but without its scale. None at other sites, or if the answers vary between pairs."""


def deciding_tokens(batch: TaskBatch) -> list[int]:
    """Tokens at which the two prompts of a pair differ, most frequent first."""
    counts: Counter[int] = Counter()
    for row in range(0, len(batch), 2):
        length = int(batch.position[row : row + 2].max()) + 1
        for one, other in zip(
            batch.tokens[row, :length].tolist(), batch.tokens[row + 1, :length].tolist(), strict=True
        ):
            if one != other:
                counts.update((one, other))
    return [token for token, _ in counts.most_common(DECIDING)]


def touched(model: GPT, tokenizer: Tokenizer, data: CircuitData, batch: TaskBatch | None) -> list[Touched]:
    """One `Touched` for each node of `data`, in the same order.

    batch: pairs of the task. If it is None, each `Touched` has no tokens, means of 0, an empty `where` and no push.
    """
    deciding = [] if batch is None else deciding_tokens(batch)
    means = {} if batch is None else side_means(model, batch)
    answers = _answers(batch)
    found = []
    for node in data["nodes"]:
        place, channel = place_of(node["site"]), node["channel"]
        weights, push = [], None
        if place.endswith("act_in"):
            column = model.wte.weight.detach()[:, channel]
            weights = [(tokenizer.token(token), float(column[token])) for token in deciding if float(column[token])]
            weights.sort(key=lambda entry: -abs(entry[1]))
        if place.endswith("resid_delta") and answers is not None:
            column = model.unembed.weight.detach()[:, channel]
            gain = getattr(model.norm, "weight", None)
            left, right = (0.0 if token == ANYTHING_ELSE else float(column[token]) for token in answers)
            push = (left - right) * (1.0 if gain is None else float(gain.detach()[channel]))
        left, right, where = (0.0, 0.0, "")
        if batch is not None:
            tokens = _tokens_that_matter(node["site"], model.config.n_layer)
            where = max(tokens, key=lambda token: abs(float(means[token][node["site"]][:, channel].diff())))
            left, right = means[where][node["site"]][:, channel].tolist()
        found.append(Touched(weights[:NAMED], left, right, where, push))
    return found


def _tokens_that_matter(site: str, layers: int) -> tuple[str, ...]:
    """The places (`LAST`, `PARTING`) from which a value at this site can reach the answer. `Touched.where` is one of
    them.
    """
    if site.endswith((".k", ".v")):
        return (PARTING,)
    last_layer = site.startswith(f"{layers - 1}.") and not site.endswith("attn.act_in")
    return (LAST,) if last_layer or site.endswith(".q") else (LAST, PARTING)


@torch.no_grad()
def side_means(model: GPT, batch: TaskBatch) -> dict[str, dict[str, Tensor]]:
    """Place (`LAST` or `PARTING`) -> site -> mean activation there over left and over right prompts.

    Each mean is [2, C], float32, on the CPU.
    """
    record = Record(node_sites(model.config))
    with frozen(model, torch.float32):
        answer_logits(model, batch, record)
    part = (batch.tokens[::2] != batch.tokens[1::2]).int().argmax(dim=1).repeat_interleave(2)  # [B]
    return {
        where: {
            site: at_position(x, position).float().unflatten(0, (-1, 2)).mean(dim=0).cpu()
            for site, x in record.values.items()
        }
        for where, position in ((LAST, batch.position), (PARTING, part))
    }


def _answers(batch: TaskBatch | None) -> tuple[int, int] | None:
    """Ids of the left and the right answer if they are the same in every pair, else None."""
    if batch is None or len(batch.answer[::2].unique()) > 1 or len(batch.answer[1::2].unique()) > 1:
        return None
    return int(batch.answer[0]), int(batch.answer[1])


def figure_labels(data: CircuitData, found: list[Touched], answers: tuple[str, str]) -> dict[int, str]:
    """Index of a node -> its label in the figure; nodes without a label are left out.

    found: one `Touched` for each node. answers: texts of the left and the right answer. The label of an act_in node of
    layer 0 is the deciding token with the largest weight. The label of a resid_delta node is the answer whose logit it
    raises.
    """
    labels = {}
    for place, one in enumerate(found):
        if one.deciding and data["nodes"][place]["site"] == "0.attn.act_in":
            token, weight = one.deciding[0]
            labels[place] = f"{'+' if weight > 0 else '−'} {visible(token)}"
        elif one.push:
            labels[place] = f"↑ {visible(answers[0] if one.push > 0 else answers[1])} {abs(one.push):.2g}"
    return labels


def visible(token: str) -> str:
    """A token on one line, with visible spaces, tabs and line ends."""
    return token.replace("\n", "⏎").replace(" ", "␣").replace("\t", "⇥")


# --- Text for the table ---------------------------------------------------------------------------------------------


def code(text: str) -> str:
    """Text as inline code in a Markdown table, whatever characters it contains."""
    return f"<code>{escaped(text)}</code>"


def escaped(text: str) -> str:
    """Text with the characters of `MARKUP` replaced by character references."""
    return "".join(f"&#{ord(sign)};" if sign in MARKUP else sign for sign in text)


def weights_text(weights: TokenWeights) -> str:
    """The first `NAMED` tokens of `weights` with their weights, as text for the table."""
    return ", ".join(f"{code(visible(token))} {signed(weight)}" for token, weight in weights[:NAMED])


def signed(value: float) -> str:
    """Two significant digits with a sign: +0.52, −0.011."""
    return f"{value:+.2g}".replace("-", "−")


def edges_text(data: CircuitData, place: int, *, into: bool) -> str:
    """The strongest edges of one node, each as the node at its other end and its weight.

    place: index of the node in `data["nodes"]`. into: whether the edges are those that end at the node or those that
    start at it. They are followed by nodes that are connected with it through a residual channel. These have no weight,
    because such a connection is not an edge.
    """
    edges, here, there = data["edges"], "target" if into else "source", "source" if into else "target"
    columns: Mapping[str, list[int]] = {"source": edges["source"], "target": edges["target"]}
    found = [
        (data["nodes"][columns[there][i]]["id"], edges["weight"][i])
        for i in range(len(edges["weight"]))
        if columns[here][i] == place
    ]
    found.sort(key=lambda edge: -abs(edge[1]))
    more = f", {len(found) - NAMED} more" if len(found) > NAMED else ""
    ends = [link[0 if into else 1] for link in residual_links(data) if link[1 if into else 0] == place]
    residual = [f"residual: {data['nodes'][end]['id']}" for end in ends[:NAMED]]
    return ", ".join([*(f"{name} {signed(weight)}" for name, weight in found[:NAMED]), *residual]) + more


def snippets_text(data: CircuitData, node: NodeData, source: str = "corpus") -> str:
    """Snippets of text where a node is highest and, if it is negative at times (`NOTABLE`), where it is lowest.

    The token with the peak value is in bold.
    """
    found = node["activations"].get(source)
    if found is None or not found["scale"]:
        return ""
    lines = [_snippet(data, source, found, one) for one in found["top"][:SNIPPETS]] if found["high"] > 0 else []
    if found["low"] < -NOTABLE * found["scale"]:
        lines += [_snippet(data, source, found, one) for one in found["bottom"][:SNIPPETS]]
    return "<br>".join(lines)


def _snippet(data: CircuitData, source: str, found: Activations, one: Snippet) -> str:
    row, peak = data["rows"][source][one["row"]], one["peak"]
    tokens = [data["texts"][str(token)] for token in row[max(0, peak - BEFORE) : peak + AFTER + 1]]
    at = min(BEFORE, peak)
    before, after = (escaped(visible("".join(part))) for part in (tokens[:at], tokens[at + 1 :]))
    value = one["values"][peak - one["start"]] / 100 * found["scale"]
    return f"{signed(value)} <code>{before}<b>{escaped(visible(tokens[at]))}</b>{after}</code>"
