"""Runs experiments on the whole model.

Shapes: B rows (two per pair), T positions, C channels of a site, P patches.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
import torch.nn.functional as F
from torch import Tensor

from sparsegpt2.circuits.ablated import Ablated
from sparsegpt2.circuits.losses import choice_logits, task_batch
from sparsegpt2.circuits.task import RewordableTask, Task, TaskBatch, Unposable
from sparsegpt2.errors import UserError
from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.sites import Record, node_sites
from sparsegpt2.reading.experiment import CHOSEN, OTHERS, RANDOM, SIDES, UNTOUCHED, Claim, Experiment, Patch, Prompts
from sparsegpt2.viewer.schema import NodeData

DRAWS = 5
"""Number of random sets of nodes that are patched for comparison with the nodes that an experiment chose."""

Nodes = dict[str, list[int]]
"""Site -> channels."""


@dataclass(frozen=True)
class Values:
    """Means over the prompts of one side of the pairs, or of both sides."""

    margin: float
    """log p(right choice) - log p(wrong choice), nats."""
    spread: float
    """Standard deviation of the margin over prompts."""
    accuracy: float
    loss: float
    """Task loss, nats."""
    flipped: float
    """Share of the prompts answered right by the unpatched model that the patched model answers wrong."""


@dataclass(frozen=True)
class Outcome:
    """The result of one experiment."""

    experiment: Experiment
    levels: dict[str, dict[str, Values]]
    """Level -> side (`both`, `left`, `right`) -> values."""
    pairs: int
    """Number of pairs at each level."""
    example: str = ""
    """A prompt of the last level or, for a `Patch`, a sentence that says which nodes were patched."""
    unposed: str = ""
    """Why nothing was measured; empty if the experiment was run."""

    def value(self, claim: Claim) -> float:
        """The value that a claim is about. If the claim has a level `minus`, the value there is subtracted."""
        of = self.levels[claim.level][claim.side]
        less = getattr(self.levels[claim.minus][claim.side], claim.quantity) if claim.minus else 0.0
        return float(getattr(of, claim.quantity)) - less

    @property
    def held(self) -> bool:
        """Whether all claims hold."""
        return all(claim.holds(self.value(claim)) for claim in self.experiment.claims)


@torch.no_grad()
def margins(model: GPT, batch: TaskBatch, patches: Sequence[Nodes] = ({},)) -> Tensor:
    """The whole model's log p(right choice) - log p(wrong choice) under each patch, float32 [P, B], in nats.

    A patch names nodes. At every position they get the value that they have in the other prompt of the pair. Rows 0 and
    1 are a pair, rows 2 and 3 are the next, and so on. The patch `{}` changes nothing.
    """
    sites = {site for patch in patches for site in patch}
    found = torch.empty(len(patches), len(batch), device=batch.tokens.device)
    record = Record(sites)  # the unpatched model's values on the current piece of the batch, which the patches use
    clean = Ablated(model, through=record).each(batch)
    patched = [
        Ablated(model, through=_Exchange(record.values, patch)).each(batch) if patch else None for patch in patches
    ]
    for rows, part, whole in clean:
        for number, steps in enumerate(patched):
            right, wrong = choice_logits(whole if steps is None else next(steps)[2], part)
            found[number, rows] = right - wrong
    return found


class _Exchange:
    """A site object that sets `nodes` to the values that they have in the other prompt of the pair.

    clean: site -> recorded values of the unpatched model.
    """

    def __init__(self, clean: dict[str, Tensor], nodes: Nodes) -> None:
        self.clean, self.nodes = clean, nodes

    def __call__(self, name: str, x: Tensor) -> Tensor:
        if name not in self.nodes:
            return x
        channels = torch.tensor(self.nodes[name], dtype=torch.int64, device=x.device)
        other = torch.arange(len(x), device=x.device) ^ 1
        return x.index_copy(-1, channels, self.clean[name][other][..., channels])


def measure(
    experiment: Experiment,
    model: GPT,
    task: Task,
    nodes: Sequence[NodeData],
    *,
    split: str,
    pairs: int,
    seed: int,
) -> Outcome:
    """Run one experiment on `pairs` pairs of a split. nodes: the circuit's nodes with their effects.

    `UserError` if the experiment needs templates that the task lacks, or names a node that the model lacks.
    """
    if isinstance(experiment, Prompts):
        return _prompts(experiment, model, task, split, pairs, seed)
    assert isinstance(experiment, Patch)
    return _patch(experiment, model, task_batch(model, task, split, pairs, seed), nodes, seed)


def _prompts(experiment: Prompts, model: GPT, task: Task, split: str, pairs: int, seed: int) -> Outcome:
    if not isinstance(task, RewordableTask):
        raise UserError(f"experiment {experiment.name!r} needs a task with templates, but {task.name} has none")
    levels, example = {}, ""
    for level, templates in experiment.levels.items():
        try:
            posed = task.reworded(experiment.name, templates, experiment.words)
        except Unposable as error:
            return Outcome(experiment, {}, pairs, unposed=f"level {level}: {error.reason}")
        (found,) = margins(model, task_batch(model, posed, split, pairs, seed))
        levels[level] = _values(found, found)
        assert isinstance(posed, RewordableTask)
        example = posed.pairs(split, 1, seed)[0].left.prompt
    return Outcome(experiment, levels, pairs, example)


def _patch(experiment: Patch, model: GPT, batch: TaskBatch, nodes: Sequence[NodeData], seed: int) -> Outcome:
    pairs = len(batch) // 2
    kept = {f"{node['site']}.{node['channel']}" for node in nodes}
    if missing := [name for name in experiment.nodes if name not in kept]:
        return Outcome(experiment, {}, pairs, unposed=f"{missing[0]} is not a node of this circuit")
    chosen = chosen_nodes(experiment, model, nodes)
    if not chosen:
        return Outcome(experiment, {}, pairs, unposed="the circuit has no nodes at these sites")
    flat = [(site, channel) for site, channels in chosen.items() for channel in channels]
    others = [node for node in _differing(model, batch, chosen) if node not in set(flat)]
    source = random.Random(seed)
    draws = [source.sample(others, min(len(flat), len(others))) for _ in range(DRAWS)]
    clean, swapped, rest, *drawn = margins(model, batch, [{}, chosen, _by_site(others), *map(_by_site, draws)])
    levels = {
        UNTOUCHED: _values(clean, clean),
        CHOSEN: _values(swapped, clean),
        RANDOM: _values(torch.cat(drawn), clean.repeat(DRAWS)),
        OTHERS: _values(rest, clean),
    }
    named = ", ".join(f"{site}.{channel}" for site, channel in flat[:12])
    more = f" and {len(flat) - 12} more" if len(flat) > 12 else ""
    note = f"Patched: {named}{more}. At these sites, {len(others)} other nodes differ between the prompts."
    return Outcome(experiment, levels, pairs, note)


def chosen_nodes(experiment: Patch, model: GPT, nodes: Sequence[NodeData]) -> Nodes:
    """The nodes that an experiment patches. The circuit's nodes at a site are in order of effect, largest first."""
    if experiment.nodes:
        named = [name.rsplit(".", 1) for name in experiment.nodes]
        sites = node_sites(model.config)
        for site, channel in named:
            if not channel.isdigit() or int(channel) >= sites.get(site, 0):
                raise UserError(f"experiment {experiment.name!r}: the model has no node {site}.{channel}")
        return _by_site([(site, int(channel)) for site, channel in named])
    there = [node for node in nodes if any(fnmatchcase(node["site"], pattern) for pattern in experiment.sites)]
    there.sort(key=lambda node: -(node["effect"] or 0.0))
    return _by_site([(node["site"], node["channel"]) for node in there[: experiment.count or None]])


def _by_site(nodes: Sequence[tuple[str, int]]) -> Nodes:
    found: Nodes = {}
    for site, channel in nodes:
        found.setdefault(site, []).append(channel)
    return found


@torch.no_grad()
def _differing(model: GPT, batch: TaskBatch, sites: Nodes) -> list[tuple[str, int]]:
    """All nodes of the given sites whose values differ between the two prompts of at least one pair.

    Other nodes cannot carry the answer.
    """
    record, found = Record(sites), []
    Ablated(model, through=record).logits(batch, rows=None)
    length = torch.arange(batch.longest, device=batch.device)
    valid = (length <= batch.position[::2, None])[..., None]  # [B / 2, T, 1]
    for site, x in record.values.items():
        differ = ((x[::2] != x[1::2]) & valid).any(dim=1).any(dim=0)  # [C]
        found += [(site, channel) for channel in differ.nonzero().flatten().tolist()]
    return found


def _values(found: Tensor, clean: Tensor) -> dict[str, Values]:
    """Side -> means over its rows. found: margins [B] of the patched model; clean: of the unpatched model, [B].

    Even rows are left prompts and odd rows are right prompts.
    """
    values = {}
    for side, rows in zip(SIDES, (slice(None), slice(0, None, 2), slice(1, None, 2)), strict=True):
        now, before = found[rows], clean[rows] > 0
        values[side] = Values(
            margin=float(now.mean()),
            spread=float(now.std(unbiased=False)),
            accuracy=float((now > 0).float().mean()),
            loss=float(F.softplus(-now).mean()),
            flipped=float(((now <= 0) & before).sum() / max(1, int(before.sum()))),
        )
    return values
