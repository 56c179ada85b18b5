"""The settings that all pruners share: the pruner's name with options, the target loss, and the seed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from sparsegpt2.config import require
from sparsegpt2.settings.fields import check_fields

OPTIONS: dict[str, dict[str, Any]] = {
    "tied": {"tied_qk": True},
    "trim": {"trim": "edges"},
    "trim_nodes": {"trim": "nodes"},
}
"""Options that may follow a pruner's name, and the settings that each stands for."""


@dataclass(frozen=True)
class PrunerName:
    """A pruner's name with its options, such as `node+tied+trim`."""

    base: str
    """The pruner without options: `node`."""
    options: tuple[str, ...] = ()
    """Names from `OPTIONS`, in the order they were given."""

    @staticmethod
    def parse(text: str) -> PrunerName:
        """Split `node+tied+trim` into the base `node` and the options `tied` and `trim`.

        `UserError` for an unknown option. If the name is the path of a file, its folders may contain a plus sign, but
        the file name may not.
        """
        base, options = text, list[str]()
        while "+" in base and base.rpartition("+")[2] in OPTIONS:
            base, _, option = base.rpartition("+")
            options.insert(0, option)
        _, plus, unknown = PurePath(base).name.rpartition("+")
        require(not plus, f"a pruner has no option {unknown!r}; the options are {', '.join(OPTIONS)}")
        return PrunerName(base, tuple(options))

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that the options stand for, such as {"tied_qk": True}."""
        return {name: value for option in self.options for name, value in OPTIONS[option].items()}

    def __str__(self) -> str:
        return "+".join([self.base, *self.options])


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What to search for, and with which pruner: the settings that all pruners share."""

    pruner: str = "node"
    """The pruner that ranks nodes or edges: the name of a file in `sparsegpt2/circuits/pruners`, or your own file.
    Options may follow the name, so that a benchmark can compare them: `node+tied+trim` is the node pruner with
    tied_qk=true and trim=edges."""
    target_loss: float = 0.15
    """Largest task loss, in nats, that a circuit may have (paper: 0.15; chance is ln 2 = 0.693)."""
    seed: int = 0
    """Seed for the initial gates, the training pairs and the scores of the random pruner."""

    def __post_init__(self) -> None:
        check_fields(self)
        for name, value in self.name.settings.items():
            object.__setattr__(self, name, value)
        positive(self, "target_loss")

    @property
    def name(self) -> PrunerName:
        """The pruner's name, split into base and options."""
        return PrunerName.parse(self.pruner)


def positive(settings: Any, *names: str) -> None:
    """Raise `UserError` unless each of the settings called `names` is a finite number above 0."""
    for name in names:
        value = getattr(settings, name)
        require(0 < value < math.inf, f"{name} must be above 0, got {value}")


def at_least_0(settings: Any, *names: str) -> None:
    """Raise `UserError` unless each of the settings called `names` is at least 0."""
    for name in names:
        value = getattr(settings, name)
        require(value >= 0, f"{name} must be 0 or more, got {value}")


def at_least_1(settings: Any, *names: str) -> None:
    """Raise `UserError` unless each of the settings called `names` is at least 1."""
    for name in names:
        value = getattr(settings, name)
        require(value >= 1, f"{name} must be at least 1, got {value}")


def one_of(settings: Any, name: str, *known: str) -> None:
    """Raise `UserError` unless the value of the setting called `name` is one of `known`."""
    value = getattr(settings, name)
    require(value in known, f"{name} must be {' or '.join(known)}, got {value!r}")
