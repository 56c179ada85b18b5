"""The comparison with a dense model whose rate was tuned, and what to say next to every other ratio."""

from __future__ import annotations

import textwrap

from sparsegpt2.results import Ratio
from studies.pages.models import WIDTH, missed_of
from studies.pages.ratios import TUNED, compared, interval_of
from studies.pages.registry import number

SPARSE = "memory-768-98k"
"""The sparse model of the same held-out loss."""


def fair_pair() -> Ratio:
    """The sparse model against the tuned dense one."""
    return compared("main", TUNED, SPARSE)


def _measured(pair: Ratio) -> str:
    (low, high), spread = interval_of(pair), pair.spread
    return (
        f"**{spread.value:.1f}** ({spread.low:.1f} to {spread.high:.1f} over {spread.seeds} pruning seeds, 95% "
        f"interval over {spread.tasks} tasks {low:.1f} to {high:.1f})"
    )


@number
def fair() -> str:
    """One paragraph: the result against a tuned dense model."""
    pair = fair_pair()
    dense, sparse = pair.dense.row.held_out_loss, pair.sparse.row.held_out_loss
    missed, circuits = (sum(column) for column in zip(missed_of(pair.dense), missed_of(pair.sparse), strict=True))
    text = (
        f"At equal held-out loss ({SPARSE} {sparse:.4f}, {TUNED} {dense:.4f} nats per token) the sparse model's "
        f"circuits are {_measured(pair)} times smaller than those of a dense model trained at its best rate. "
        f"One training seed. {missed} of the {circuits} circuits behind this number miss the target on test pairs (†)."
    )
    return textwrap.fill(text, WIDTH, break_on_hyphens=False)


@number
def caveat() -> str:
    """One paragraph that stands next to every ratio against a dense model that was not tuned."""
    pair = fair_pair()
    text = (
        f"**The dense models here, except for {TUNED}, are not tuned.** They were trained at two to four times their "
        f"best rate. {TUNED}, which was, ends at {pair.dense.row.held_out_loss:.4f} nats per token, the loss of "
        f"{SPARSE}, and brings the ratio at equal held-out loss to {_measured(pair)}; one training seed."
    )
    return textwrap.fill(text, WIDTH, break_on_hyphens=False)
