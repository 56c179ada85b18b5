"""An experiment as data: a prediction made from a circuit, what is measured, and when the prediction counts as held.

The claims stand in the file with the prediction, so they are written before anything is measured.
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
"""Levels of a `Patch`: nothing patched; the chosen nodes; as many others at random; all the others of their sites."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One inequality over what an experiment measures; its sentence is `text`."""

    quantity: str
    """`margin`: log p(right choice) - log p(wrong choice), nats; `accuracy`: share of prompts whose right choice
    outweighs the wrong one; `loss`: task loss, nats; `flipped`: share of prompts answered right that patching turns."""
    level: str
    at_least: float | None = None
    at_most: float | None = None
    minus: str = ""
    """A level whose value is subtracted first."""
    side: str = "both"
    """Of the pairs: `left`, `right` or `both`."""

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
    """What prompts and patches have in common."""

    name: str
    """Lower-case words joined by `_`: names the figure's file."""
    prediction: str
    """One sentence, and what of the circuit it follows from."""
    claims: tuple[Claim, ...]
    """Written before measuring; the prediction held when all hold."""

    @property
    @abstractmethod
    def levels_named(self) -> Sequence[str]:
        """The levels there are, in the order they are drawn."""

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
    """A family of prompt pairs along one dimension, answered by the whole model."""

    axis: str
    """What the levels are."""
    levels: Mapping[str, str]
    """Level -> templates in the language of eval_tasks/template.py, with the task's answers; numbers make a line."""
    words: str = ""
    """Sections of words of the experiment's own, as in eval_tasks/words.txt."""

    @property
    def levels_named(self) -> Sequence[str]:
        return list(self.levels)


@dataclass(frozen=True, kw_only=True)
class Patch(Experiment):
    """Nodes set, at every position of the whole model, to the value they have in the other prompt of the pair."""

    sites: tuple[str, ...] = ()
    """Patterns of sites, such as `*.attn.v`: the circuit's nodes there are the chosen ones ..."""
    count: int = 0
    """... or, if not 0, so many of them: those whose ablation costs the circuit most."""
    nodes: tuple[str, ...] = ()
    """Named nodes such as `0.attn.v.13` instead; they belong to one model."""

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
    """What the left and the right prompts are, for legends: `' opened`, `\" opened`."""
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
    """The experiments of a task, by its plain name; none for a task that no file of `tasks` is about."""
    if task not in READINGS.known():
        return Reading(sides=("left", "right"))
    reading: Reading = READINGS.named(task).thing
    return reading
