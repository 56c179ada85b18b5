"""Patches that every circuit is put to: does the whole model answer by what the circuit carries?"""

from __future__ import annotations

from sparsegpt2.reading.experiment import CHOSEN, OTHERS, RANDOM, Claim, Patch

TURNED, LEFT, LEFT_BY_ALL = 0.8, 0.1, 0.2
"""Share of answers that the circuit's nodes turn at least, and that others turn at most: as many of them, or all."""
TURNED_BESIDE = 0.5
"""Share that all other writes turn at least, where the model is expected to do it more than once."""


def swaps(what: str, *, beside: bool = False) -> tuple[Patch, ...]:
    """The patches. what: the circuit tells from its prompt, for the prediction: `which quote it was`.

    beside: the circuit's writes cost the whole model little when ablated, so other writes are expected to carry it too.
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
    """The patch of one named node, such as `0.attn.v.13`, which is expected to turn the answers by itself."""
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
