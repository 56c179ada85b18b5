"""Patches that are run on every circuit: does the whole model's answer depend on what the circuit carries?

Patching a node sets it to the value that it has in the other prompt of the pair. A patch turns an answer if the
unpatched model answers right and the patched model wrong (`flipped` in experiment.py). The predictions were written
before anything was measured. Later edits may make the wording clearer, but must not change a prediction or a bound.
"""

from __future__ import annotations

from sparsegpt2.reading.experiment import CHOSEN, OTHERS, RANDOM, Claim, Patch

TURNED, LEFT, LEFT_BY_ALL = 0.8, 0.1, 0.2
"""Predicted shares of answers that are turned: at least `TURNED` by patching the circuit's nodes, at most `LEFT` by
patching as many other nodes of the same sites, and at most `LEFT_BY_ALL` by patching all other nodes of these sites."""
TURNED_BESIDE = 0.5
"""Predicted smallest share of answers that patching all other writes turns, if the model is expected to carry the
answer in several places. A write is a node of a site `resid_delta`, and a value channel is a node of a site
`attn.v`."""


def swaps(what: str, *, beside: bool = False) -> tuple[Patch, ...]:
    """Three patches: of all value channels of the circuit, of its writes, and of its most important value channel.

    what: the information that the circuit takes from the prompt, such as `the kind of quote`; it is put into the
    predictions. beside: True if ablating the circuit's writes barely raises the whole model's loss, so that other
    writes are expected to carry the answer too.
    """
    claims = (
        Claim(quantity="flipped", level=CHOSEN, at_least=TURNED),
        Claim(quantity="flipped", level=RANDOM, at_most=LEFT),
        Claim(quantity="flipped", level=OTHERS, at_most=LEFT_BY_ALL),
    )
    return (
        Patch(
            name="swapped_values",
            prediction=(
                f"The value channels of the circuit carry {what}: patching them turns the answer, and patching any "
                "other value channels does not."
            ),
            sites=("*.attn.v",),
            claims=claims,
        ),
        _writes_beside(what) if beside else _writes(what, claims),
        Patch(
            name="swapped_first_value",
            prediction=(
                f"A single value channel, the one whose ablation raises the loss most, carries {what}: patching it "
                "alone turns most answers."
            ),
            sites=("*.attn.v",),
            count=1,
            claims=(Claim(quantity="flipped", level=CHOSEN, at_least=0.5), claims[1]),
        ),
    )


def alone(name: str, prediction: str, node: str) -> Patch:
    """A patch of one named node, such as `0.attn.v.13`. Patching it alone is expected to turn the answers."""
    claims = (
        Claim(quantity="flipped", level=CHOSEN, at_least=TURNED),
        Claim(quantity="flipped", level=RANDOM, at_most=LEFT),
    )
    return Patch(name=name, prediction=prediction, nodes=(node,), claims=claims)


def _writes(what: str, claims: tuple[Claim, ...]) -> Patch:
    return Patch(
        name="swapped_writes",
        prediction=(
            f"The whole model knows {what} from what the circuit writes into the residual stream: patching the "
            "circuit's writes turns the answer, and patching all other writes does not."
        ),
        sites=("*.resid_delta",),
        claims=claims,
    )


def _writes_beside(what: str) -> Patch:
    return Patch(
        name="swapped_writes",
        prediction=(
            f"Ablating any one write of the circuit barely raises the whole model's loss, so the model must know "
            f"{what} in other ways too: patching all other writes turns most answers."
        ),
        sites=("*.resid_delta",),
        claims=(
            Claim(quantity="flipped", level=RANDOM, at_most=LEFT),
            Claim(quantity="flipped", level=OTHERS, at_least=TURNED_BESIDE),
        ),
    )
