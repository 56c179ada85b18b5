"""The component graph of a model: who writes to the residual stream, who reads it, and every edge between them.

Writers are the embedding `emb`, heads `a{layer}.h{head}` and MLPs `m{layer}`; readers are the q, k and v input
of every head (`a2.h3.q`), every MLP and the `logits`. An edge joins a writer to every later reader: `emb→a0.h1.q`,
`a2.h3→m4`. Masks over edges are tensors [W, R] (or [N, W, R] for N masks); names are a view of them.

Shapes: W writers, R readers, E edges, L layers, H heads a layer, in forward order everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from sparsegpt2.config import GPTConfig
from sparsegpt2.errors import UserError

ARROW = "→"


@dataclass(frozen=True)
class ComponentGraph:
    """The graph of a model with L layers of H heads; all of it follows from these two numbers."""

    n_layer: int
    n_head: int

    @classmethod
    def of(cls, config: GPTConfig) -> ComponentGraph:
        """The graph of a model; `UserError` where its residual stream is not the sum of what is written to it."""
        if config.residual_activation != "identity":
            raise UserError(
                f"a component graph needs a residual stream that adds up what is written to it; this model applies "
                f"{config.residual_activation} to it (residual_activation)"
            )
        for place in ("attn.resid_post", "mlp.resid_post"):
            if config.keep_at(place) is not None:
                raise UserError(
                    f"a component graph needs a residual stream that adds up what is written to it; this model has "
                    f"AbsTopK at {place}"
                )
        return cls(config.n_layer, config.n_head)

    @cached_property
    def writers(self) -> tuple[str, ...]:
        """Names of the W = 1 + L (H + 1) writers."""
        return ("emb", *(name for layer in range(self.n_layer) for name in self._layer_writers(layer)))

    @cached_property
    def readers(self) -> tuple[str, ...]:
        """Names of the R = L (3 H + 1) + 1 readers; those of a head are q, k, v."""
        names = []
        for layer in range(self.n_layer):
            names += [f"a{layer}.h{head}.{part}" for head in range(self.n_head) for part in "qkv"]
            names.append(f"m{layer}")
        return (*names, "logits")

    @property
    def n_edges(self) -> int:
        """E = (3H + 1)(H + 1) L (L - 1) / 2 + 3 H L + 2 L (H + 1) + 1 (GPT-2 small: 32,491)."""
        layers, heads = self.n_layer, self.n_head
        pairs = layers * (layers - 1) // 2
        return (3 * heads + 1) * (heads + 1) * pairs + 3 * heads * layers + 2 * layers * (heads + 1) + 1

    @cached_property
    def writer_index(self) -> dict[str, int]:
        """Place of each writer."""
        return {name: index for index, name in enumerate(self.writers)}

    @cached_property
    def reader_index(self) -> dict[str, int]:
        """Place of each reader."""
        return {name: index for index, name in enumerate(self.readers)}

    @cached_property
    def block_writers(self) -> dict[str, slice]:
        """Writers that a sublayer holds, by its name in the forward: `emb`, `a0` (all its heads), `m0`, ..."""
        blocks, first = {"emb": slice(0, 1)}, 1
        for layer in range(self.n_layer):
            blocks[f"a{layer}"] = slice(first, first + self.n_head)
            blocks[f"m{layer}"] = slice(first + self.n_head, first + self.n_head + 1)
            first += self.n_head + 1
        return blocks

    @cached_property
    def owner(self) -> tuple[int, ...]:
        """The writer that each reader feeds, [R]; -1 for the logits."""
        names = [reader.rsplit(".", 1)[0] if reader.startswith("a") else reader for reader in self.readers]
        return tuple(self.writer_index.get(name, -1) for name in names)

    @cached_property
    def present(self) -> Tensor:
        """Which (writer, reader) are edges, bool [W, R]: those whose writer comes first."""
        before = torch.zeros(len(self.writers), len(self.readers), dtype=torch.bool)
        written = 1
        for column, reader in enumerate(self.readers):
            layer_start = self.block_writers[f"a{reader[1:].split('.')[0]}"] if reader != "logits" else None
            if layer_start is None:
                written = len(self.writers)
            else:
                written = layer_start.stop if reader.startswith("m") else layer_start.start
            before[:written, column] = True
        return before

    @cached_property
    def ends(self) -> tuple[Tensor, Tensor]:
        """Writer and reader of each edge, two int64 [E]; readers in order, and for each its writers in order."""
        readers, writers = self.present.T.nonzero(as_tuple=True)
        return writers, readers

    @cached_property
    def edge_names(self) -> tuple[str, ...]:
        """Names of the E edges, as `a0.h1→m0`."""
        ends = zip(*(end.tolist() for end in self.ends), strict=True)
        return tuple(f"{self.writers[writer]}{ARROW}{self.readers[reader]}" for writer, reader in ends)

    def flat(self, matrix: Tensor) -> Tensor:
        """[..., W, R] -> the values at the edges, [..., E]."""
        writers, readers = (end.to(matrix.device) for end in self.ends)
        return matrix[..., writers, readers]

    def matrix(self, flat: Tensor) -> Tensor:
        """[..., E] -> [..., W, R], 0 (False) where there is no edge."""
        full = flat.new_zeros(*flat.shape[:-1], len(self.writers), len(self.readers))
        writers, readers = (end.to(flat.device) for end in self.ends)
        full[..., writers, readers] = flat
        return full

    def mask(self, names: list[str]) -> Tensor:
        """The named edges as bool [W, R]; `->` may stand for `→`. An unknown name is a `UserError`."""
        place = {name: index for index, name in enumerate(self.edge_names)}
        flat = torch.zeros(self.n_edges, dtype=torch.bool)
        for name in names:
            found = place.get(name.replace("->", ARROW))
            if found is None:
                raise UserError(
                    f"there is no edge {name!r} among the {self.n_edges} edges, such as {self.edge_names[0]!r}"
                )
            flat[found] = True
        return self.matrix(flat)

    def names(self, mask: Tensor) -> list[str]:
        """Names of the edges in a mask [W, R]."""
        return [self.edge_names[index] for index in self.flat(mask).nonzero().flatten().tolist()]

    def trimmed(self, mask: Tensor, *, from_inputs: bool) -> Tensor:
        """The edges of a mask [W, R] that lie on a path of its edges to the logits.

        from_inputs: and on one from `emb`; a node without such a path carries its counterfactual value, if ablated
        edges carry what another prompt gives them, so its edges do nothing.
        """
        kept = mask & self.present.to(mask.device)
        live = [not from_inputs] * len(self.writers)
        live[0] = True
        useful = [False] * len(self.writers)
        useful_reader = [False] * len(self.readers)
        edges = kept.cpu()
        for column, owner in enumerate(self.owner):
            if owner >= 0 and any(live[writer] for writer in edges[:, column].nonzero().flatten().tolist()):
                live[owner] = True
        for column in reversed(range(len(self.readers))):
            owner = self.owner[column]
            useful_reader[column] = owner < 0 or useful[owner]
            if useful_reader[column]:
                for writer in edges[:, column].nonzero().flatten().tolist():
                    useful[writer] = True
        return kept & torch.tensor(live, device=mask.device)[:, None] & torch.tensor(useful_reader, device=mask.device)

    def _layer_writers(self, layer: int) -> list[str]:
        return [*(f"a{layer}.h{head}" for head in range(self.n_head)), f"m{layer}"]
