"""The component graph of a model: what writes to the residual stream, what reads it, and every edge between them.

Writers are the embedding `emb`, heads `a{layer}.h{head}` and MLPs `m{layer}`; readers are the q, k and v input
of every head (`a2.h3.q`), every MLP and the `logits`. Edges join each writer to every later reader: `emb→a0.h1.q`,
`a2.h3→m4` (docs/definitions.md, Writer and reader). Masks over edges are tensors [W, R], or [N, W, R] for N masks.

Shapes: W writers, R readers, E edges, L layers, H heads per layer. Writers and readers are always in forward order.
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
    """The graph of a model with L layers of H heads. The number of layers and of heads determines all of it."""

    n_layer: int
    n_head: int

    @classmethod
    def of(cls, config: GPTConfig) -> ComponentGraph:
        """The graph of a model with this config.

        `UserError` if the model's residual stream is not the sum of the writers' outputs.
        """
        if config.residual_activation != "identity":
            raise UserError(
                f"a component graph needs a residual stream that is the sum of what is written to it, but this model "
                f"applies {config.residual_activation} to it (residual_activation)"
            )
        for place in ("attn.resid_post", "mlp.resid_post"):
            if config.keep_at(place) is not None:
                raise UserError(
                    f"a component graph needs a residual stream that is the sum of what is written to it, but this "
                    f"model has AbsTopK at {place}"
                )
        return cls(config.n_layer, config.n_head)

    @cached_property
    def writers(self) -> tuple[str, ...]:
        """Names of the W = 1 + L (H + 1) writers."""
        return ("emb", *(name for layer in range(self.n_layer) for name in self._layer_writers(layer)))

    @cached_property
    def readers(self) -> tuple[str, ...]:
        """Names of the R = L (3 H + 1) + 1 readers; each head has three: q, k, v."""
        names = []
        for layer in range(self.n_layer):
            names += [f"a{layer}.h{head}.{part}" for head in range(self.n_head) for part in "qkv"]
            names.append(f"m{layer}")
        return (*names, "logits")

    @property
    def n_edges(self) -> int:
        """Number of edges, E = (3H + 1)(H + 1) L (L - 1) / 2 + 3 H L + 2 L (H + 1) + 1 (GPT-2 small: 32,491)."""
        layers, heads = self.n_layer, self.n_head
        pairs = layers * (layers - 1) // 2
        return (3 * heads + 1) * (heads + 1) * pairs + 3 * heads * layers + 2 * layers * (heads + 1) + 1

    @property
    def n_entries(self) -> int:
        """Number of entries of a mask [W, R]."""
        return (1 + self.n_layer * (self.n_head + 1)) * (self.n_layer * (3 * self.n_head + 1) + 1)

    @cached_property
    def writer_index(self) -> dict[str, int]:
        """Name of each writer -> its index in `writers`."""
        return {name: index for index, name in enumerate(self.writers)}

    @cached_property
    def reader_index(self) -> dict[str, int]:
        """Name of each reader -> its index in `readers`."""
        return {name: index for index, name in enumerate(self.readers)}

    @cached_property
    def block_writers(self) -> dict[str, slice]:
        """Name of each sublayer (`emb`, `a0`, `m0`, ...) -> the slice of `writers` that belongs to it.

        An attention sublayer such as `a0` has one writer per head; `emb` and MLPs have one writer each.
        """
        blocks, first = {"emb": slice(0, 1)}, 1
        for layer in range(self.n_layer):
            blocks[f"a{layer}"] = slice(first, first + self.n_head)
            blocks[f"m{layer}"] = slice(first + self.n_head, first + self.n_head + 1)
            first += self.n_head + 1
        return blocks

    @cached_property
    def owner(self) -> tuple[int, ...]:
        """For each of the R readers, the index of the writer that is the same component; -1 for the logits.

        For example, the owner of the readers `a0.h1.q`, `a0.h1.k` and `a0.h1.v` is the writer `a0.h1`.
        """
        names = [reader.rsplit(".", 1)[0] if reader.startswith("a") else reader for reader in self.readers]
        return tuple(self.writer_index.get(name, -1) for name in names)

    @cached_property
    def present(self) -> Tensor:
        """Which (writer, reader) pairs are edges, bool [W, R]: those whose writer comes before the reader.

        A head comes before the MLP of its own layer, but not before other heads of that layer.
        """
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
        """Index of the writer and index of the reader of each edge: two int64 tensors [E].

        Edges are ordered by reader and then by writer.
        """
        readers, writers = self.present.T.nonzero(as_tuple=True)
        return writers, readers

    @cached_property
    def edge_names(self) -> tuple[str, ...]:
        """Names of the E edges, such as `a0.h1→m0`."""
        ends = zip(*(end.tolist() for end in self.ends), strict=True)
        return tuple(f"{self.writers[writer]}{ARROW}{self.readers[reader]}" for writer, reader in ends)

    def flat(self, matrix: Tensor) -> Tensor:
        """Select the entries of a matrix [..., W, R] that are edges: [..., E]."""
        writers, readers = (end.to(matrix.device) for end in self.ends)
        return matrix[..., writers, readers]

    def matrix(self, flat: Tensor) -> Tensor:
        """Put one value per edge, [..., E], into a matrix [..., W, R] that is 0 (False) where there is no edge."""
        full = flat.new_zeros(*flat.shape[:-1], len(self.writers), len(self.readers))
        writers, readers = (end.to(flat.device) for end in self.ends)
        full[..., writers, readers] = flat
        return full

    def mask(self, names: list[str]) -> Tensor:
        """The named edges as bool [W, R]; `->` may replace `→`. An unknown name is a `UserError`."""
        ends = []
        for name in names:
            writer, _, reader = name.replace("->", ARROW).partition(ARROW)
            end = self.writer_index.get(writer, -1), self.reader_index.get(reader, -1)
            if min(end) < 0 or not self.present[end]:
                example = f"{self.writers[0]}{ARROW}{self.readers[0]}"
                raise UserError(f"there is no edge {name!r}; the graph has {self.n_edges} edges, such as {example!r}")
            ends.append(end)
        mask = torch.zeros_like(self.present)
        if ends:
            mask[tuple(torch.tensor(ends).T)] = True
        return mask

    def names(self, mask: Tensor) -> list[str]:
        """Names of the edges in a mask [W, R]."""
        ends = (mask & self.present.to(mask.device)).T.nonzero().tolist()  # in the order of `ends`
        return [f"{self.writers[writer]}{ARROW}{self.readers[reader]}" for reader, writer in ends]

    def trimmed(self, mask: Tensor, *, from_inputs: bool) -> Tensor:
        """The edges of a mask [W, R] that are on a path of kept edges to the logits, bool [W, R].

        from_inputs: the path must also start at `emb`. This suits ablated edges that carry values from another prompt.
        Then a component that no path from `emb` reaches outputs what it outputs on that prompt, and keeping the edges
        out of it changes nothing.
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
