"""Experiments as data: a prediction made from a circuit, what is measured, and the claims that decide if it held.

An experiment is measured at several levels, such as lengths of the prompt, or with different nodes patched. The claims
are inequalities about the values measured there. They are written together with the prediction, before measuring.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sparsegpt2.errors import UserError
from sparsegpt2.registry import Kind

QUANTITIES = ("margin", "accuracy", "loss", "flipped")
SIDES = ("both", "left", "right")

UNTOUCHED, CHOSEN, RANDOM, OTHERS = "untouched", "circuit's nodes", "random nodes", "all others"
"""Levels of a `Patch`. They differ in which nodes are patched: `UNTOUCHED` none, `CHOSEN` the chosen nodes, `RANDOM` as
many other nodes of the same sites, drawn at random, and `OTHERS` all other nodes of the same sites."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One inequality about a measured value, such as `accuracy at 8 is at least 0.9`. `text` is this sentence."""

    quantity: str
    """What is measured: `margin`, log p(right choice) - log p(wrong choice) in nats; `accuracy`, the share of prompts
    on which the right choice has a higher probability than the wrong one; `loss`, the task loss in nats; or `flipped`,
    the share of the prompts answered right by the unpatched model that the patched model answers wrong."""
    level: str
    """The level at which it is measured."""
    at_least: float | None = None
    at_most: float | None = None
    minus: str = ""
    """Another level. Its value is subtracted before the comparison with the bound. Empty if nothing is subtracted."""
    side: str = "both"
    """Which prompts of the pairs count: `left`, `right` or `both`."""

    def __post_init__(self) -> None:
        if self.quantity not in QUANTITIES or self.side not in SIDES:
            raise UserError(
                f"a claim is about one of {', '.join(QUANTITIES)} on one of {', '.join(SIDES)}, "
                f"not {self.quantity!r} on {self.side!r}"
            )
        if (self.at_least is None) == (self.at_most is None):
            raise UserError("a claim needs one bound: at_least or at_most")

    @property
    def text(self) -> str:
        """The claim as a sentence, such as `accuracy of right prompts at 8, minus that at 0, is at most -0.1`."""
        of = "" if self.side == "both" else f" of {self.side} prompts"
        less = f", minus that at {self.minus}," if self.minus else ""
        bound = f"at least {self.at_least:g}" if self.at_least is not None else f"at most {self.at_most:g}"
        return f"{self.quantity}{of} at {self.level}{less} is {bound}"

    def holds(self, value: float) -> bool:
        """Whether the claim holds for the measured value. With `minus`, the value must be the difference."""
        return value >= self.at_least if self.at_least is not None else value <= (self.at_most or 0.0)


@dataclass(frozen=True, kw_only=True)
class Experiment(ABC):
    """The common part of the two kinds of experiments, `Prompts` and `Patch`."""

    name: str
    """Lower-case words joined by `_`; part of the figure's file name."""
    prediction: str
    """What is expected, and which property of the circuit it follows from."""
    claims: tuple[Claim, ...]
    """The prediction held if all claims hold. They are written before anything is measured."""

    @property
    @abstractmethod
    def levels_named(self) -> Sequence[str]:
        """Names of the levels, in the order in which they are drawn."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9_]+", self.name):
            raise UserError(f"an experiment's name is lower-case words joined by _, not {self.name!r}")
        if not self.claims:
            raise UserError(f"experiment {self.name!r} claims nothing: give at least one claim")
        for claim in self.claims:
            for level in filter(None, (claim.level, claim.minus)):
                if level not in self.levels_named:
                    raise UserError(
                        f"experiment {self.name!r} has no level {level!r}; it has {', '.join(self.levels_named)}"
                    )


@dataclass(frozen=True, kw_only=True)
class Prompts(Experiment):
    """An experiment that changes the prompts: prompt pairs that differ in one respect are given to the whole model."""

    axis: str
    """What differs between the levels. It is also the label of the chart's axis."""
    levels: Mapping[str, str]
    """Name of the level -> templates of its prompts, in the language of eval_tasks/template.py. The answers are those
    of the task. If all names are numbers, the chart shows a line."""
    words: str = ""
    """More lists of words for the templates, in the format of eval_tasks/words.txt."""

    @property
    def levels_named(self) -> Sequence[str]:
        return list(self.levels)


@dataclass(frozen=True, kw_only=True)
class Patch(Experiment):
    """An experiment that patches nodes of the whole model.

    At every position, a patched node gets the value that it has in the other prompt of the pair.
    """

    sites: tuple[str, ...] = ()
    """Patterns of sites, such as `*.attn.v`. The circuit's nodes at these sites are patched."""
    count: int = 0
    """If not 0, only this many nodes of `sites` are patched: those whose ablation raises the circuit's loss most."""
    nodes: tuple[str, ...] = ()
    """Names of nodes to patch, such as `0.attn.v.13`, instead of `sites`. They make sense for one circuit only."""

    @property
    def levels_named(self) -> Sequence[str]:
        return [UNTOUCHED, CHOSEN, RANDOM, OTHERS]

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.sites) == bool(self.nodes):
            raise UserError(f"experiment {self.name!r} needs either sites or nodes to patch, not both or neither")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The experiments of one task."""

    sides: tuple[str, str]
    """Names of the left and the right prompts for the legends of charts, such as `' opened` and `\" opened`."""
    experiments: tuple[Experiment, ...] = field(default=())

    def __post_init__(self) -> None:
        names = [experiment.name for experiment in self.experiments]
        for name in names:
            if names.count(name) > 1:
                raise UserError(f"two experiments are called {name!r}, but each needs a name of its own")


def _flaw(reading: Any, _holder: Any) -> str:
    return "" if isinstance(reading, Reading) else f"must be a Reading, not {type(reading).__name__}"


READINGS = Kind("reading", "sparsegpt2.readings", "READING", _flaw, ("sparsegpt2.reading.tasks",))


def reading_of(task: str) -> Reading:
    """The experiments of the task with this plain name. A task without a file in `tasks` has none."""
    if task not in READINGS.known():
        return Reading(sides=("left", "right"))
    reading: Reading = READINGS.named(task).thing
    return reading
