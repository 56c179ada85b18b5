"""What each node touches: the tokens that tell the two prompts apart, the two answers, and text that drives it.

Shapes: B rows (two a pair), T positions, C channels of a site.
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
from sparsegpt2.model.gpt import GPT, at_position
from sparsegpt2.model.sites import Record, node_sites, place_of
from sparsegpt2.reading.drawing import residual_links
from sparsegpt2.text.tokenizer import Tokenizer
from sparsegpt2.viewer.schema import Activations, CircuitData, NodeData, Snippet, TokenWeights

DECIDING = 12
"""Tokens at which the prompts of a pair differ that are looked up in the embedding: the most frequent ones."""
NAMED = 4
"""Tokens or edges named of a node."""
LAST, PARTING = "last", "where they part"
SNIPPETS = 3
BEFORE, AFTER = 9, 3
"""Tokens of a snippet before its peak and after it."""
MARKUP = "\\`*_[]<>|~$&"
NOTABLE = 0.25
"""A node goes negative when its lowest value is at least this share of its largest magnitude."""


@dataclass(frozen=True)
class Touched:
    """What of the task's own tokens a node of the residual stream reads or writes."""

    deciding: TokenWeights
    """act_in: embedding weights of tokens that tell the prompts of a pair apart, largest first."""
    left: float
    """Mean activation on left prompts of the task ..."""
    right: float
    """... and on right ones,"""
    where: str
    """at this token: `LAST`, or the first at which the prompts part, whichever tells them further apart."""
    push: float | None
    """resid_delta: what one unit adds to logit(left answer) - logit(right answer), the norm's gain taken in, its scale
    not; None elsewhere, or where the answers vary."""


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
    """For each node of the page, in order; without a task nothing is touched."""
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
    """At which tokens what passes a site can reach the answer most directly: `Touched.where`."""
    if site.endswith((".k", ".v")):
        return (PARTING,)
    last_layer = site.startswith(f"{layers - 1}.") and not site.endswith("attn.act_in")
    return (LAST,) if last_layer or site.endswith(".q") else (LAST, PARTING)


@torch.no_grad()
def side_means(model: GPT, batch: TaskBatch) -> dict[str, dict[str, Tensor]]:
    """`Touched.where` -> site -> mean over left and over right prompts at that token, [2, C] float32."""
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
    """Ids of the left and the right answer, where they are the same in every pair."""
    if batch is None or len(batch.answer[::2].unique()) > 1 or len(batch.answer[1::2].unique()) > 1:
        return None
    return int(batch.answer[0]), int(batch.answer[1])


def figure_labels(data: CircuitData, found: list[Touched], answers: tuple[str, str]) -> dict[int, str]:
    """What stands beside nodes of the figure: the deciding token they read most, or the answer they push to."""
    labels = {}
    for place, one in enumerate(found):
        if one.deciding and data["nodes"][place]["site"] == "0.attn.act_in":
            token, weight = one.deciding[0]
            labels[place] = f"{'+' if weight > 0 else '−'} {visible(token)}"
        elif one.push:
            labels[place] = f"↑ {visible(answers[0] if one.push > 0 else answers[1])} {abs(one.push):.2g}"
    return labels


def visible(token: str) -> str:
    """A token on one line, its spaces and line ends shown."""
    return token.replace("\n", "⏎").replace(" ", "␣").replace("\t", "⇥")


# --- Text for the table ---------------------------------------------------------------------------------------------


def code(text: str) -> str:
    """Text as inline code inside a table of Markdown, whatever signs it holds."""
    return f"<code>{escaped(text)}</code>"


def escaped(text: str) -> str:
    """Signs that Markdown or HTML would read as their own become character references."""
    return "".join(f"&#{ord(sign)};" if sign in MARKUP else sign for sign in text)


def weights_text(weights: TokenWeights) -> str:
    """Tokens with their weights."""
    return ", ".join(f"{code(visible(token))} {signed(weight)}" for token, weight in weights[:NAMED])


def signed(value: float) -> str:
    """Two significant digits with a sign: +0.52, −0.011."""
    return f"{value:+.2g}".replace("-", "−")


def edges_text(data: CircuitData, place: int, *, into: bool) -> str:
    """The strongest edges that end at a node (`into`) or begin there, each with its other end.

    What a residual channel joins a reader or writer to is no edge, and has no weight.
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
    """Where a node is strongest and, where it goes negative, lowest; the peak token in bold."""
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
