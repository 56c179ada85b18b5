"""A circuit as lines of text, for `sparsegpt2 view --text`: facts about it, and the edges and tokens of each node."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from sparsegpt2.circuits import Circuit
from sparsegpt2.circuits.edges import edge_maps, edges_present
from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.sites import place_of
from sparsegpt2.text.tokenizer import Tokenizer

TOKENS = 5
"""Number of tokens listed for a node that reads or writes the residual stream."""


def list_circuit(circuit: Circuit, model: GPT, tokenizer: Tokenizer) -> Iterator[str]:
    """Yield lines of text: facts, then each kept node in forward order with its in-edges, largest magnitude first.

    A node that reads the residual stream is listed with the tokens whose embeddings have the largest positive entries
    in its channel. A node that writes to the residual stream is listed with the tokens whose logits its channel raises
    most. Both lists ignore the norms.
    """
    info = circuit.info
    circuit.check(model)
    known = {"task": info.task, "pruner": info.pruner, "seed": info.seed, "target_loss": info.target_loss}
    facts = [f"{name} {value}" for name, value in known.items() if value is not None]
    yield "  ".join(facts) or "circuit"
    if info.validation_loss is not None:
        met = "" if info.met else "  (target not met; this is the whole model)"
        full = "" if info.validation_loss_full is None else f", whole model {info.validation_loss_full:.3f}"
        yield f"validation loss {info.validation_loss:.3f} nats{full}{met}"
    trimmed = circuit.trimmed(model).edges(model)
    yield f"{circuit.n_nodes} nodes, {circuit.edges(model)} edges, {trimmed} without dangling nodes"
    for site, kept in circuit.nodes.items():
        for channel in kept.nonzero().flatten().tolist():
            yield f"{site}.{channel}{_tokens(model, tokenizer, site, channel)}"
            for weight, source in in_edges(circuit, model, site, channel):
                yield f"    {weight:+.4f}  {source}"


def in_edges(circuit: Circuit, model: GPT, site: str, channel: int) -> list[tuple[float, str]]:
    """(weight, source node) of every edge into the kept node at `site` and `channel`, largest magnitude first."""
    found = []
    for edge_map in edge_maps(model):
        if edge_map.target != site:
            continue
        present = edges_present(model, edge_map, circuit.weights)[channel].cpu() & circuit.nodes[edge_map.source]
        row = model.get_parameter(edge_map.parameter).detach()[edge_map.rows, edge_map.columns][channel]
        found += [(float(row[i]), f"{edge_map.source}.{i}") for i in present.nonzero().flatten().tolist()]
    return sorted(found, key=lambda edge: -abs(edge[0]))


def _tokens(model: GPT, tokenizer: Tokenizer, site: str, channel: int) -> str:
    """The tokens that excite an act_in node or that a resid_delta node raises, as text; empty for other nodes."""
    place = place_of(site).split(".")[1]
    if place == "act_in":
        return _top("  excited by", model.wte.weight[:, channel], tokenizer)
    if place == "resid_delta":
        return _top("  raises", model.unembed.weight[:, channel], tokenizer)
    return ""


def _top(words: str, weights: Tensor, tokenizer: Tokenizer) -> str:
    values, ids = torch.topk(weights.detach(), min(TOKENS, len(weights)))
    named = [tokenizer.token(int(id)) for value, id in zip(values, ids, strict=True) if value > 0]
    return f"{words} {' '.join(map(repr, named))}" if named else ""
