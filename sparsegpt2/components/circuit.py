"""A component circuit: the edges of a component graph that are kept. It is saved as a JSON file.

Each edge joins a writer to a reader (docs/definitions.md, Writer and reader).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sparsegpt2.circuits.info import Info
from sparsegpt2.components.graph import ComponentGraph
from sparsegpt2.errors import UserError
from sparsegpt2.files import read_json, write_json
from sparsegpt2.plain import check, reading
from sparsegpt2.results.markup import table

FORMAT, KIND = 1, "sparsegpt2 component circuit"
MOST_ENTRIES = 2**24
"""Largest number of (writer, reader) pairs of a graph that is read from a file; the largest GPT-2 has 4,557,601."""
SHOWN = 40
"""Largest number of edges listed when a circuit is displayed in a notebook."""


@dataclass(frozen=True, kw_only=True)
class ComponentInfo(Info):
    """How a component circuit was found."""

    method: str | None = None
    """Name of the method that found the circuit."""
    intervention: str | None = None
    """What an ablated edge carried: interchange, resample, mean or zero."""
    objective: str | None = None
    """The objective of the method, such as kl."""
    sparsities: tuple[float, ...] | list[float] | None = None
    """All sparsities requested in the run that found this circuit, each a share of edges to leave out."""
    pairs: int | None = None
    """Number of train pairs on which edges were scored."""
    rows: int | None = None
    """Largest number of sequences in one forward pass."""
    settings: dict[str, Any] | None = None
    """The method's own settings."""
    asked: dict[str, Any] | None = None
    """The requested sparsity or threshold that gave this circuit, such as {"sparsity": 0.9} or {"threshold": 0.01}."""

    order = (
        *("task", "method", "intervention", "objective", "sparsities", "pairs", "seed", "rows", "settings", "asked"),
        "model",
    )


@dataclass(frozen=True, eq=False)
class ComponentCircuit:
    """Kept edges of a component graph, and a record of how they were found."""

    graph: ComponentGraph
    kept: Tensor
    """Bool [W, R] (W writers, R readers), on the CPU; False where the graph has no edge."""
    info: ComponentInfo = field(default_factory=ComponentInfo)
    """How the circuit was found."""

    def __repr__(self) -> str:
        return f"ComponentCircuit({', '.join(f'{name} {value}' for name, value in self._facts())})"

    def _repr_html_(self) -> str:
        names = self.edges
        listed = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
        return table((), [*self._facts(), ("kept edges", listed)], "Circuit of components")

    def _facts(self) -> list[tuple[str, str]]:
        """(name, value) pairs that `repr` and notebooks show."""
        names = {"task": self.info.task, "method": self.info.method, "seed": self.info.seed}
        told = [(name, str(value)) for name, value in names.items() if value is not None]
        writers = f"{len(self.nodes)} of {len(self.graph.writers)}"
        return [*told, ("edges", f"{self.n_edges:,} of {self.graph.n_edges:,}"), ("writers", writers)]

    @property
    def n_edges(self) -> int:
        """Number of kept edges."""
        return int(self.kept.count_nonzero())

    @property
    def sparsity(self) -> float:
        """Share of the graph's edges that are left out."""
        return 1 - self.n_edges / self.graph.n_edges

    @property
    def nodes(self) -> list[str]:
        """Names of the writers that have at least one kept edge, in forward order."""
        used = self.kept.any(dim=1).tolist()
        return [name for name, one in zip(self.graph.writers, used, strict=True) if one]

    @property
    def node_sparsity(self) -> float:
        """Share of the graph's writers without a kept edge."""
        return 1 - len(self.nodes) / len(self.graph.writers)

    @property
    def edges(self) -> list[str]:
        """Names of the kept edges."""
        return self.graph.names(self.kept)

    def noting(self, **known: Any) -> ComponentCircuit:
        """A copy of the circuit in which the given fields of `info` are replaced."""
        return replace(self, info=replace(self.info, **known))

    def trimmed(self, *, from_inputs: bool = True) -> ComponentCircuit:
        """A copy that keeps only the edges on a path of kept edges to the logits.

        from_inputs: the path must also start at the embedding.
        """
        return ComponentCircuit(self.graph, self.graph.trimmed(self.kept, from_inputs=from_inputs), self.info)

    def save(self, path: str | Path) -> None:
        """Write the circuit as JSON with the names of its edges. An interrupted write leaves no partial file."""
        graph = {"n_layer": self.graph.n_layer, "n_head": self.graph.n_head}
        info = self.info.to_dict()
        write_json(path, {"format": FORMAT, "kind": KIND, "info": info, "graph": graph, "edges": self.edges})

    @staticmethod
    def load(path: str | Path) -> ComponentCircuit:
        """Read a circuit written by `save`.

        `UserError`, with the path, if the file is missing, is damaged or contains something else.
        """
        values = read_json(path, "component circuit file")
        if not isinstance(values, dict) or values.get("kind") != KIND or values.get("format") != FORMAT:
            raise UserError(
                f"{path} is not a component circuit of format {FORMAT}: write one with `sparsegpt2 discover`"
            )
        with reading(f"component circuit {path}", "run `sparsegpt2 discover` again"):
            shape = check(values["graph"], dict[str, int], "graph")
            graph = ComponentGraph(shape["n_layer"], shape["n_head"])
            if graph.n_layer < 1 or graph.n_head < 1 or graph.n_entries > MOST_ENTRIES:
                raise UserError(
                    f"its graph has {graph.n_layer} layers of {graph.n_head} heads; it must have "
                    f"at least one of each, and at most {MOST_ENTRIES:,} pairs of a writer and a reader"
                )
            edges, info = check(values["edges"], list[str], "edges"), check(values["info"], dict[str, Any], "info")
            return ComponentCircuit(graph, graph.mask(edges), ComponentInfo.from_dict(info))


def top_edges(graph: ComponentGraph, scores: Tensor, sparsity: float) -> Tensor:
    """Select the share 1 - `sparsity` of the graph's edges with the highest scores.

    scores: [W, R]. Returns bool [W, R]. Of edges with equal scores, the one that is earlier in
    `graph.edge_names` is selected first.
    """
    count = round((1 - sparsity) * graph.n_edges)
    order = graph.flat(scores).cpu().argsort(descending=True, stable=True)
    flat = torch.zeros(graph.n_edges, dtype=torch.bool)
    flat[order[:count]] = True
    return graph.matrix(flat)
