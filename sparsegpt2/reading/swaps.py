"""Patches that are run on every circuit: does the whole model's answer depend on what the circuit carries?

A patch turns an answer if the unpatched model answers right and the patched one wrong (`flipped` in experiment.py).
The predictions were written before anything was measured, so their texts must not change.
"""

from __future__ import annotations

from sparsegpt2.reading.experiment import CHOSEN, OTHERS, RANDOM, Claim, Patch

TURNED, LEFT, LEFT_BY_ALL = 0.8, 0.1, 0.2
"""Predicted shares of answers turned: at least `TURNED` by the circuit's nodes, at most `LEFT` by as many other nodes,
and at most `LEFT_BY_ALL` by all other nodes of the sites."""
TURNED_BESIDE = 0.5
"""Smallest share turned by all other writes, if the model is expected to hold the answer in several places."""


def swaps(what: str, *, beside: bool = False) -> tuple[Patch, ...]:
    """The patches. what: what the circuit reads from its prompt, for the prediction, such as `which quote it was`.

    beside: ablating the circuit's writes barely raises the whole model's loss, so other writes are expected to carry
    the answer too.
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
                f"The value channels of the circuit carry {what}: with their values of the other prompt the answer "
                "turns, and with any other value channels' it does not."
            ),
            sites=("*.attn.v",),
            claims=claims,
        ),
        _writes_beside(what) if beside else _writes(what, claims),
        Patch(
            name="swapped_first_value",
            prediction=(
                f"One value channel, the one whose ablation costs most, carries {what} well enough to turn most "
                "answers."
            ),
            sites=("*.attn.v",),
            count=1,
            claims=(Claim(quantity="flipped", level=CHOSEN, at_least=0.5), claims[1]),
        ),
    )


def alone(name: str, prediction: str, node: str) -> Patch:
    """A patch of one named node, such as `0.attn.v.13`, which alone is expected to turn the answers."""
    claims = (
        Claim(quantity="flipped", level=CHOSEN, at_least=TURNED),
        Claim(quantity="flipped", level=RANDOM, at_most=LEFT),
    )
    return Patch(name=name, prediction=prediction, nodes=(node,), claims=claims)


def _writes(what: str, claims: tuple[Claim, ...]) -> Patch:
    return Patch(
        name="swapped_writes",
        prediction=(
            f"What the circuit writes into the residual stream is how the whole model knows {what}: with the "
            "circuit's writes of the other prompt the answer turns, and with all other writes it does not."
        ),
        sites=("*.resid_delta",),
        claims=claims,
    )


def _writes_beside(what: str) -> Patch:
    return Patch(
        name="swapped_writes",
        prediction=(
            f"Ablating any one write of the circuit costs the whole model little, so it must know {what} in other "
            "ways too: with all other writes of the other prompt most answers turn."
        ),
        sites=("*.resid_delta",),
        claims=(
            Claim(quantity="flipped", level=RANDOM, at_most=LEFT),
            Claim(quantity="flipped", level=OTHERS, at_least=TURNED_BESIDE),
        ),
    )
