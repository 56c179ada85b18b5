"""How a circuit was found: a typed record that is written into the circuit's file as plain values.

Every field may be unknown (None). A file may hold keys that this version does not know, because a later version or a
person wrote them. They are kept in `extra` and written back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

from sparsegpt2.circuits.calibrate import Calibration
from sparsegpt2.plain import check_record


@dataclass(frozen=True, kw_only=True)
class Info:
    """The fields common to circuits of every kind."""

    task: str | None = None
    """Name of the task, or the path of its file."""
    seed: int | None = None
    """Seed of the pruner, or of the method for component circuits."""
    model: str | None = None
    """Where the model is: its published name, such as `zoo:memory-512`, or its folder. The folder is relative to the
    folder of the circuit's file if the two have a common parent folder, other than the root of the file system."""
    model_fingerprint: str | None = None
    """16 hex digits of a hash of the model's weights, means and tokenizer."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Plain values of the keys that are not fields."""

    order: ClassVar[tuple[str, ...]] = ("task", "seed", "model", "model_fingerprint")
    """The order of the fields in a file."""

    def __post_init__(self) -> None:
        check_record(type(self), {one.name: getattr(self, one.name) for one in fields(self)}, "the circuit's info")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read the plain values of a file; `UserError` for a field of the wrong type."""
        known = {name: value for name, value in values.items() if name in cls.order}
        return cls(**known, extra={name: value for name, value in values.items() if name not in cls.order})

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a file: the known fields in the order of `order`, then `extra`."""
        values = {name: getattr(self, name) for name in self.order}
        return {**{name: value for name, value in values.items() if value is not None}, **self.extra}


@dataclass(frozen=True, kw_only=True)
class CircuitInfo(Info):
    """How a circuit of channels was found."""

    pruner: str | None = None
    """Name of the pruner with its options, such as `node+tied+trim`."""
    target_loss: float | None = None
    """Target for the task loss, in nats."""
    validation_loss: float | None = None
    """The circuit's task loss on validation pairs, in nats. If calibration was on, the logits were calibrated."""
    validation_loss_full: float | None = None
    """The unpruned model's task loss on the same pairs, in nats."""
    reached: bool | None = None
    """Whether the target was met. If it was not, the circuit is the whole model."""
    k: int | None = None
    """The chosen size: the number of top-ranked nodes that were kept or, if the pruner ranks edges, of edges."""
    trained_k: int | None = None
    """Size of the mask that the pruner trained."""
    search: str | None = None
    """How the size was chosen: scan or bisect."""
    trim: str | None = None
    """What was removed greedily after pruning: none, nodes, or edges (which means nodes and edges)."""
    edges_before_trim: int | None = None
    """Number of edges before trimming, if the circuit was trimmed."""
    calibrated: bool | None = None
    """Whether calibration was on."""
    calibration: Calibration | None = None
    """The calibration of the circuit's logits, if there is one."""
    curve: list[list[float]] | None = None
    """[nodes, edges, loss in nats] of every size that was scored, in the search for this target loss or in
    earlier searches for other target losses with the same ranking."""
    seconds: float | None = None
    """Seconds that the ranking and the choice of a size took."""
    config: dict[str, Any] | None = None
    """The pruning settings, flat, as returned by `PruneConfig.to_dict`."""
    evidence: dict[str, Any] | None = None
    """A faithfulness report on the circuit, if the circuit's file contains one."""

    order = (
        *("task", "pruner", "seed", "target_loss", "validation_loss", "validation_loss_full", "reached", "k"),
        *("trained_k", "search", "trim", "edges_before_trim", "calibrated", "calibration", "curve", "seconds"),
        *("config", "model", "model_fingerprint", "evidence"),
    )
    if_ranked: ClassVar[tuple[str, ...]] = ("trained_k", "edges_before_trim", "calibration")
    """Fields that are always in the file of a circuit that was made from a ranking, that is, of a circuit with a `k`. A
    field without a value is written as null."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """As in `Info`. The calibration, which is an object of its own, is read too."""
        calibration = values.get("calibration")
        if calibration is not None:
            values = {**values, "calibration": Calibration.from_dict(calibration)}
        return super().from_dict(values)

    def to_dict(self) -> dict[str, Any]:
        """As in `Info`, but the fields in `if_ranked` can be written as null."""
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
        """Whether the target was met. It is also True if `reached` is unknown."""
        return self.reached is not False
