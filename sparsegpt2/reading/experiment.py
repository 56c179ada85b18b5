"""An experiment as data: a prediction made from a circuit, what is measured, and when the prediction counts as held.

The claims are in the same file as the prediction, so they are written down before anything is measured.
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
"""Levels of a `Patch`: nothing patched; the chosen nodes; as many other nodes at random; all other nodes of the sites.
"""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One inequality about a measured value; `text` puts it in words."""

    quantity: str
    """`margin`: log p(right choice) - log p(wrong choice), nats; `accuracy`: share of prompts on which the right choice
    has a higher probability than the wrong one; `loss`: task loss, nats; `flipped`: of the prompts that the unpatched
    model answers right, the share that it answers wrong when patched."""
    level: str
    at_least: float | None = None
    at_most: float | None = None
    minus: str = ""
    """A level whose value is subtracted first."""
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
        """`accuracy of right prompts at 8, minus that at 0, is at most -0.1`."""
        of = "" if self.side == "both" else f" of {self.side} prompts"
        less = f", minus that at {self.minus}," if self.minus else ""
        bound = f"at least {self.at_least:g}" if self.at_least is not None else f"at most {self.at_most:g}"
        return f"{self.quantity}{of} at {self.level}{less} is {bound}"

    def holds(self, value: float) -> bool:
        """Whether the measured value (the difference, with `minus`) is within the bound."""
        return value >= self.at_least if self.at_least is not None else value <= (self.at_most or 0.0)


@dataclass(frozen=True, kw_only=True)
class Experiment(ABC):
    """What `Prompts` and `Patch` have in common."""

    name: str
    """Lower-case words joined by `_`; part of the figure's file name."""
    prediction: str
    """One sentence, which also says what in the circuit it follows from."""
    claims: tuple[Claim, ...]
    """Written before measuring; the prediction held if all of them hold."""

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
    """A family of prompt pairs that vary along one dimension, answered by the whole model."""

    axis: str
    """What varies between the levels; the label of the axis."""
    levels: Mapping[str, str]
    """Level -> templates in the language of eval_tasks/template.py, with the task's answers. Numeric levels are drawn
    as a line."""
    words: str = ""
    """Additional sections of words for these templates, in the format of eval_tasks/words.txt."""

    @property
    def levels_named(self) -> Sequence[str]:
        return list(self.levels)


@dataclass(frozen=True, kw_only=True)
class Patch(Experiment):
    """Nodes of the whole model set, at every position, to the value that they have in the other prompt of the pair."""

    sites: tuple[str, ...] = ()
    """Patterns of sites, such as `*.attn.v`: the circuit's nodes at these sites are patched."""
    count: int = 0
    """If not 0, only this many of them are: those whose ablation raises the circuit's loss most."""
    nodes: tuple[str, ...] = ()
    """Alternatively to `sites`, named nodes such as `0.attn.v.13`; they exist only in one model's circuit."""

    @property
    def levels_named(self) -> Sequence[str]:
        return [UNTOUCHED, CHOSEN, RANDOM, OTHERS]

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.sites) == bool(self.nodes):
            raise UserError(f"experiment {self.name!r} needs sites or nodes to patch, and not both")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The experiments of one task."""

    sides: tuple[str, str]
    """Names of the left and the right prompts, for legends: `' opened`, `\" opened`."""
    experiments: tuple[Experiment, ...] = field(default=())

    def __post_init__(self) -> None:
        names = [experiment.name for experiment in self.experiments]
        for name in names:
            if names.count(name) > 1:
                raise UserError(f"two experiments are called {name!r}: their figures would be one file")


def _flaw(reading: Any, _holder: Any) -> str:
    return "" if isinstance(reading, Reading) else f"must be a Reading, not {type(reading).__name__}"


READINGS = Kind("reading", "sparsegpt2.readings", "READING", _flaw, ("sparsegpt2.reading.tasks",))


def reading_of(task: str) -> Reading:
    """The experiments of a task, by its plain name; none for a task without a file in `tasks`."""
    if task not in READINGS.known():
        return Reading(sides=("left", "right"))
    reading: Reading = READINGS.named(task).thing
    return reading
