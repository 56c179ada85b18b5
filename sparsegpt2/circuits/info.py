"""What is known of a circuit beside its nodes: a typed record, written into its file as plain values.

Every field may be unknown. A file may hold keys that this version does not know, written by a later one or by hand:
they are kept in `extra` and written again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

from sparsegpt2.circuits.calibrate import Calibration

PLAIN: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "dict": (dict,),
    "list": (list,),
    "tuple": (tuple, list),
    "Calibration": (Calibration,),
}
"""What a field may hold, by the first word of its annotation."""


@dataclass(frozen=True, kw_only=True)
class Info:
    """What circuits of every kind have in common."""

    task: str | None = None
    """Name of the task, or the path of its file."""
    seed: int | None = None
    """Seed of the pruner or method."""
    model: str | None = None
    """The model's folder, from the circuit's file where they lie in one tree, or where it is published."""
    model_fingerprint: str | None = None
    """16 hex digits of the model's weights, means and tokenizer."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Plain values by keys that are no fields."""

    order: ClassVar[tuple[str, ...]] = ("task", "seed", "model", "model_fingerprint")
    """Fields in the order in which a file has them."""

    def __post_init__(self) -> None:
        for one in fields(self):
            value, kinds = getattr(self, one.name), PLAIN[str(one.type).split("[")[0].split(" ")[0]]
            wrong = isinstance(value, bool) and bool not in kinds
            if value is not None and (wrong or not isinstance(value, kinds)):
                raise ValueError(f"{one.name} must be {str(one.type).removesuffix(' | None')}, got {value!r}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From the plain values of a file; `ValueError` for a field of the wrong kind."""
        known = {name: value for name, value in values.items() if name in cls.order}
        return cls(**known, extra={name: value for name, value in values.items() if name not in cls.order})

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a file: what is known, in the order of the fields, and then what is extra."""
        values = {name: getattr(self, name) for name in self.order}
        return {**{name: value for name, value in values.items() if value is not None}, **self.extra}


@dataclass(frozen=True, kw_only=True)
class CircuitInfo(Info):
    """How a circuit of channels came about."""

    pruner: str | None = None
    """With its options, such as `node+tied+trim`."""
    target_loss: float | None = None
    """Task loss it was to meet, in nats."""
    validation_loss: float | None = None
    """Its own, in nats on validation pairs, calibrated if that was on."""
    validation_loss_full: float | None = None
    """The unpruned model's on the same pairs."""
    reached: bool | None = None
    """Whether it met the target; if not, the circuit is the whole model."""
    k: int | None = None
    """Size chosen in the ranking: nodes or, from a pruner of edges, edges."""
    trained_k: int | None = None
    """Size of the mask that the pruner trained."""
    search: str | None = None
    """How the size was chosen: scan or bisect."""
    trim: str | None = None
    """What was trimmed: none, nodes or edges."""
    edges_before_trim: int | None = None
    """Edges before trimming, where it was trimmed."""
    calibrated: bool | None = None
    """Whether it has a calibration."""
    calibration: Calibration | None = None
    """Scale and shifts of its logits."""
    curve: list[list[float]] | None = None
    """[nodes, edges, loss in nats] of every size scored for this or an earlier target."""
    seconds: float | None = None
    """Wall-clock time of the ranking and the choice of a size."""
    config: dict[str, Any] | None = None
    """The pruning settings, flat, as `PruneConfig.to_dict` gives them."""
    evidence: dict[str, Any] | None = None
    """A report on the circuit, where its file carries one."""

    order = (
        *("task", "pruner", "seed", "target_loss", "validation_loss", "validation_loss_full", "reached", "k"),
        *("trained_k", "search", "trim", "edges_before_trim", "calibrated", "calibration", "curve", "seconds"),
        *("config", "model", "model_fingerprint", "evidence"),
    )
    if_ranked: ClassVar[tuple[str, ...]] = ("trained_k", "edges_before_trim", "calibration")
    """Written even where unknown, once a circuit was cut from a ranking: then there was none."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """As of `Info`; a calibration is read from its own plain values."""
        calibration = values.get("calibration")
        if isinstance(calibration, Mapping):
            values = {**values, "calibration": Calibration.from_dict(dict(calibration))}
        return super().from_dict(values)

    def to_dict(self) -> dict[str, Any]:
        """As of `Info`."""
        values = {name: getattr(self, name) for name in self.order}
        values["calibration"] = None if self.calibration is None else self.calibration.to_dict()
        shown = {
            name: value
            for name, value in values.items()
            if value is not None or (name in self.if_ranked and self.k is not None)
        }
        return {**shown, **self.extra}

    @property
    def met(self) -> bool:
        """Whether the target was reached; a file that does not say is believed."""
        return self.reached is not False
