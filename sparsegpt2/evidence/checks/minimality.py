"""Minimality: is every node of the circuit needed?

Each node of the circuit is mean-ablated alone, and the rise of the circuit's loss (the node's gain) is measured, always
on the same prompt pairs. (Wang et al. 2022, "Interpretability in the Wild", section 4.3, do this with sets of nodes.) A
node is needed if its gain is at least `minimality_gain` nats. If several nodes can replace each other, each of them
looks unneeded, so the check can report too many unneeded nodes.

Shapes: N nodes of the model.
"""

from __future__ import annotations

import torch

from sparsegpt2.circuits.gates import join_nodes, split_nodes
from sparsegpt2.evidence.case import Case
from sparsegpt2.evidence.estimate import at_least, mean_of
from sparsegpt2.evidence.registry import Check
from sparsegpt2.evidence.report import Finding
from sparsegpt2.progress import Progress

AT_ONCE = 64
"""Number of nodes dropped between two progress reports."""


def run(case: Case, progress: Progress) -> Finding:
    """The share of needed nodes decides; the mean, median, largest and smallest gain are shown."""
    kept = join_nodes(case.nodes, case.sites)  # [N]
    members = kept.nonzero().flatten().cpu()
    if not len(members):
        return Finding(verdict="not run", says="the circuit has no nodes")
    order = torch.randperm(len(members), generator=case.generator("minimality"))[: case.config.minimality_nodes]
    chosen = members[order.sort().values]
    batch = case.pairs("test", case.config.minimality_pairs)
    whole = case.losses(case.nodes, weights=case.weights, batch=batch, calibrated=True)[0]
    gains = []
    for start in range(0, len(chosen), AT_ONCE):
        part = chosen[start : start + AT_ONCE]
        masks = kept.repeat(len(part), 1)
        masks[torch.arange(len(part)), part] = False
        without = case.losses(split_nodes(masks, case.sites), weights=case.weights, batch=batch, calibrated=True)
        gains.append((without - whole).mean(dim=1))
        progress(min(start + AT_ONCE, len(chosen)), len(chosen), "dropping each node")
    gain = torch.cat(gains).double().cpu()
    bar, share = case.config.minimality_share, mean_of((gain >= case.config.minimality_gain).double(), "nodes")
    return Finding(
        verdict=at_least(share, bar),
        says=f"dropping a node raises the loss by {case.config.minimality_gain:g} nats or more for "
        f"{100 * share.value:.0f}% of the nodes; "
        f"the bar is {100 * bar:.0f}%",
        numbers={"needed": share, "gain": mean_of(gain, "nodes")},
        details={
            "bar": bar,
            "nodes": len(members),
            "dropped": len(chosen),
            "median gain": float(gain.median()),
            "largest gain": float(gain.max()),
            "smallest gain": float(gain.min()),
        },
    )


CHECK = Check(asks="Is every node of the circuit needed?", run=run)
