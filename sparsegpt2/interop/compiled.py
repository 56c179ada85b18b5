"""RASP programs compiled to transformer weights by Tracr: models whose circuit is known.

A directory holds `weights.npz` (as Tracr's haiku names them; products are x @ w + b) and `model.json` (sizes,
vocabulary, what each residual channel means, examples). The model has no norm, learned positions that are added, ReLU,
and looks both ways unless `causal` says otherwise. Source: Lindner et al. 2023, "Tracr: Compiled Transformers as a
Laboratory for Interpretability".

A compiled model has no unembedding; its answer is read off the residual channels of its output variable. `load` makes
them the logits: of a categorical output, logit i is the channel of the value that token i stands for (of the i-th value
where values are no tokens), of a numerical one logit 0 is the number, and all other logits are 0. Where positions in
`model.json` begin with BOS, the answer at position 0 means nothing.

Shapes: T positions, D d_model, V vocabulary, A heads * head width, M d_mlp.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sparsegpt2.circuits.task import ANYTHING_ELSE, SPLITS, TaskBatch
from sparsegpt2.config import GPTConfig
from sparsegpt2.errors import UserError
from sparsegpt2.files import read_json
from sparsegpt2.model.gpt import GPT

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Compiled:
    """A compiled program: the model and what its file says about it."""

    name: str
    model: GPT
    channels: tuple[int, ...]
    """Residual channels of the output variable."""
    values: tuple[str, ...]
    """What each of these channels stands for; empty for a numerical output."""
    examples: tuple[dict[str, Any], ...]
    """As in `model.json`: tokens, ids, residual [T, D], output."""

    @property
    def numerical(self) -> bool:
        """Whether the output is a number instead of one of several values."""
        return not self.values

    def task(self) -> ProgramTask:
        """The program as a task of prompt pairs."""
        return ProgramTask(self)


def load(directory: str | Path) -> GPT:
    """The compiled model in `directory`, as a `GPT`; a missing or inconsistent file is a `UserError` that names it."""
    return read(directory).model


def read(directory: str | Path) -> Compiled:
    """The compiled model with its examples and output channels; errors as of `load`."""
    directory = Path(directory)
    if not directory.is_dir():
        raise UserError(f"{directory} is no folder; a compiled model is one with weights.npz and model.json")
    about = read_json(directory / "model.json", "compiled model")
    arrays = _read_arrays(directory / "weights.npz")
    try:
        channels, values = _output(about)
        config = _config(about, arrays, len(channels))
        model = GPT(config).requires_grad_(False)
        _fill(model, arrays)
        for logit, channel in _logits(about, channels, values):
            model.unembed.weight[logit, channel] = 1.0
        return Compiled(str(about["name"]), model, channels, values, tuple(about.get("examples", ())))
    except (KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
        raise UserError(
            f"{directory} is not a compiled model as written with model.json and weights.npz "
            f"({type(error).__name__}: {error})"
        ) from None


def _read_arrays(path: Path) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise UserError(f"compiled model weights {path} do not exist") from None
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is not a readable .npz file ({error})") from None
    except Exception as error:  # zipfile.BadZipFile is no OSError
        raise UserError(f"{path} is not a readable .npz file ({error})") from None


def _config(about: dict[str, Any], arrays: Arrays, outputs: int) -> GPTConfig:
    """The shape, from model.json; what this forward does not do is refused."""
    if about.get("norm", "none") != "none":
        raise UserError(f"compiled models have no norm; model.json asks for {about['norm']!r}")
    if about.get("attention_scale", "1/sqrt(d_head)") != "1/sqrt(d_head)":
        raise UserError(f"attention is scaled by 1/sqrt(d_head); model.json asks for {about['attention_scale']!r}")
    tokens, positions = arrays["token_embed/embeddings"], arrays["pos_embed/embeddings"]
    return GPTConfig(
        vocab_size=max(len(tokens), outputs) + 1,  # one id more than the program knows, for padding
        context=len(positions),
        n_layer=int(about["n_layer"]),
        d_model=int(about["d_model"]),
        n_head=int(about["n_head"]),
        d_head=int(about["d_head"]),
        d_mlp=int(about["d_mlp"]),
        activation=about.get("activation", "relu"),
        norm="none",
        positions="learned",
        sink=False,
        bigram_table=False,
        activation_density=1.0,
        bias=True,
        causal=bool(about.get("causal", False)),
    )


def _fill(model: GPT, arrays: Arrays) -> None:
    """Copy the weights; ours are [out, in], theirs [in, out]."""
    for parameter in model.parameters():
        parameter.zero_()
    tokens = _tensor(arrays, "token_embed/embeddings")
    model.wte.weight[: len(tokens)] = tokens
    model.wpe.weight.copy_(_tensor(arrays, "pos_embed/embeddings"))
    for index, block in enumerate(model.layers):
        attention, mlp = f"layer_{index}/attn", f"layer_{index}/mlp"
        parts = ("query", "key", "value")
        block.attn.c_attn.weight.copy_(torch.cat([_tensor(arrays, f"{attention}/{part}/w").T for part in parts]))
        block.attn.c_attn.bias.copy_(torch.cat([_tensor(arrays, f"{attention}/{part}/b") for part in parts]))
        for layer, name in (
            (block.attn.c_proj, f"{attention}/linear"),
            (block.mlp.c_fc, f"{mlp}/linear_1"),
            (block.mlp.c_proj, f"{mlp}/linear_2"),
        ):
            layer.weight.copy_(_exactly(_tensor(arrays, f"{name}/w").T, layer.weight, name))
            layer.bias.copy_(_exactly(_tensor(arrays, f"{name}/b"), layer.bias, name))


def _exactly(given: Tensor, wanted: Tensor, name: str) -> Tensor:
    """`given`, if it has the shape wanted: `copy_` alone would spread a smaller one."""
    if given.shape != wanted.shape:
        raise ValueError(f"{name} has shape {list(given.shape)} where {list(wanted.shape)} follows from model.json")
    return given


def _tensor(arrays: Arrays, name: str) -> Tensor:
    return torch.from_numpy(np.asarray(arrays[name], dtype=np.float32))


# --- The output variable ------------------------------------------------------------------------------------------


def _output(about: dict[str, Any]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Channels of the output variable, and what each stands for (nothing for a number).

    Labels are `variable:value`, or `variable` for a number. The output is the variable whose channels give the
    examples' outputs; without examples the one that the program is named after.
    """
    labels = [str(label) for label in about["residual_labels"]]
    variables: dict[str, list[int]] = {}
    for channel, label in enumerate(labels):
        variables.setdefault(label.split(":", 1)[0], []).append(channel)
    named = [variable for variable in variables if variable.rsplit("_", 1)[0] == about["name"]]
    order = named + [variable for variable in variables if variable not in named]
    examples = about.get("examples", ())
    for variable in order if examples else named:
        channels = variables[variable]
        values = tuple(labels[channel].split(":", 1)[1] for channel in channels if ":" in labels[channel])
        if all(_gives(example, channels, values) for example in examples):
            return tuple(channels), values
    raise UserError("no variable among the residual_labels of model.json gives the outputs of its examples")


def _gives(example: dict[str, Any], channels: list[int], values: tuple[str, ...]) -> bool:
    """Whether the residual channels read as the example's output, from position 1 on."""
    residual = np.asarray(example["residual"], dtype=np.float64)[1:, channels]  # [T - 1, C]
    outputs = example["output"][1:]
    if values:
        return [values[best] for best in residual.argmax(axis=1)] == [str(output) for output in outputs]
    return bool(
        all(isinstance(output, (int, float)) for output in outputs)
        and np.allclose(residual[:, 0], np.asarray(outputs, dtype=np.float64), atol=1e-3)
    )


def _logits(about: dict[str, Any], channels: tuple[int, ...], values: tuple[str, ...]) -> list[tuple[int, int]]:
    """(logit, residual channel) of each output channel."""
    vocabulary = about["vocab"]
    if values and all(value in vocabulary for value in values):
        return [(vocabulary[value], channel) for value, channel in zip(values, channels, strict=True)]
    return list(enumerate(channels))


# --- The program as a task ----------------------------------------------------------------------------------------

SEQUENCES = 32
"""Random sequences drawn for each length of a batch."""

FEW = 64
"""Lengths with fewer sequences than this are not dealt to splits: each split has them all."""


class ProgramTask:
    """Pairs of random inputs of a compiled program; a `circuits.task.Task`.

    The two sides ask for the output at the same position, never 0, where their outputs differ. Right is each one's own
    output, wrong the other's; of a number, right is the direction away from the other side's number. Outputs are those
    of the model, which equal the program's. Inputs have the examples' lengths, begin as they do and go on with any of
    their later tokens.
    """

    def __init__(self, compiled: Compiled) -> None:
        self.name, self.compiled = compiled.name, compiled
        starts = sorted({example["ids"][0] for example in compiled.examples})
        self.words = sorted({token for example in compiled.examples for token in example["ids"][1:]})
        self.lengths = sorted({len(example["ids"]) for example in compiled.examples} - {1})
        if len(starts) != 1 or len(self.words) < 2:
            raise UserError(f"{compiled.name} needs examples that begin alike and have at least 2 different tokens")
        self.start, self.padding = starts[0], compiled.model.config.vocab_size - 1
        self.logits = compiled.model.unembed.weight.any(dim=1).nonzero().flatten()

    def batch(self, split: str, n: int, seed: int) -> TaskBatch:
        """`n` pairs, of the lengths in turn; shorter rows are filled up with `padding`, which is no word."""
        if split not in SPLITS:
            raise UserError(f"there is no split {split!r}; the splits are {', '.join(SPLITS)}")
        source = random.Random(f"{self.name}/{split}/{seed}")
        drawn = {length: [self._sequence(split, length, source) for _ in range(SEQUENCES)] for length in self.lengths}
        outputs = {length: self._outputs(torch.tensor(sequences)) for length, sequences in drawn.items()}
        rows: list[tuple[list[int], int, int, int]] = []
        while len(rows) < 2 * n:
            length = self.lengths[len(rows) // 2 % len(self.lengths)]
            one, other = source.randrange(SEQUENCES), source.randrange(SEQUENCES)
            place, fill = source.randrange(1, length), [self.padding] * (self.lengths[-1] - length)
            own, foreign = (float(outputs[length][side, place]) for side in (one, other))
            if abs(own - foreign) > 1e-3:
                rows.append((drawn[length][one] + fill, place, *self._choice(own, foreign)))
                rows.append((drawn[length][other] + fill, place, *self._choice(foreign, own)))
        return TaskBatch(*(torch.tensor(column) for column in zip(*rows, strict=True)))

    def _sequence(self, split: str, length: int, source: random.Random) -> list[int]:
        """A random sequence that belongs to the split: half of all train, a quarter each validate and test."""
        while True:
            drawn = [source.randrange(len(self.words)) for _ in range(length - 1)]
            number = sum(index * len(self.words) ** place for place, index in enumerate(drawn))
            home = ("train", "validation", "train", "test")[number * 40503 // 8 % 4]
            if home == split or len(self.words) ** (length - 1) < FEW:
                return [self.start, *(self.words[index] for index in drawn)]

    @torch.no_grad()
    def _outputs(self, tokens: Tensor) -> Tensor:
        """The output at every position [N, T]: the number, or the logit's index of the value."""
        logits = self.compiled.model(tokens)[..., self.logits]
        return logits[..., 0] if self.compiled.numerical else self.logits[logits.argmax(dim=-1)]

    def _choice(self, own: float, foreign: float) -> tuple[int, int]:
        """Answer and alternative, as indices of logits."""
        if self.compiled.numerical:
            return (0, ANYTHING_ELSE) if own > foreign else (ANYTHING_ELSE, 0)
        return int(own), int(foreign)
