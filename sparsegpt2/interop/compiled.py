"""RASP programs compiled to transformer weights by Tracr: models whose circuit is known.

A folder has `weights.npz` (named as in Tracr's haiku model; products are x @ w + b) and `model.json` (sizes,
vocabulary, labels of the residual channels, examples). The model has no norm, adds learned positions, uses ReLU, and
attends in both directions unless `causal` is true. Source: Lindner et al. 2023, "Tracr: Compiled Transformers as a
Laboratory for Interpretability" (arXiv 2301.05062).

A compiled model has no unembedding: its answer is in the residual channels of its output variable. `load` makes these
the logits. For a categorical output, logit i is the channel of the value that is token i (or of the i-th value, if
values are not tokens). For a numerical output, logit 0 is the number. All other logits are 0. If the examples in
`model.json` begin with BOS, Tracr's token for the start, the answer at position 0 is meaningless.

Shapes: N sequences, T positions, D d_model, V vocabulary.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import torch
from torch import Tensor, nn

from sparsegpt2.circuits.task import ANYTHING_ELSE, SPLITS, TaskBatch
from sparsegpt2.config import GPTConfig
from sparsegpt2.errors import UserError
from sparsegpt2.files import read_json
from sparsegpt2.interop import compiled_file
from sparsegpt2.model.checkpoint import TENSORS_OF_A_LAYER, allocated, require_finite, unfilled_model, unshared
from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.tensors import check_size, shapes_of
from sparsegpt2.plain import require_file

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Compiled:
    """A compiled program: the model and the facts in its `model.json`."""

    name: str
    model: GPT
    channels: tuple[int, ...]
    """The residual channels of the output variable."""
    values: tuple[str, ...]
    """The value that each of these channels represents; empty for a numerical output."""
    examples: tuple[dict[str, Any], ...]
    """The examples of `model.json`: tokens, ids, residual [T, D], output."""

    @property
    def numerical(self) -> bool:
        """Whether the output is a number rather than one of several values."""
        return not self.values

    def task(self) -> ProgramTask:
        """The program as a task of prompt pairs."""
        return ProgramTask(self)


def load(directory: str | Path) -> GPT:
    """The compiled model in `directory` as a `GPT`; `UserError` for a missing or inconsistent file."""
    return read(directory).model


def read(directory: str | Path) -> Compiled:
    """The compiled model with its examples and output channels; errors as in `load`."""
    directory = Path(directory)
    if not directory.is_dir():
        raise UserError(f"{directory} is not a folder; a compiled model is a folder with weights.npz and model.json")
    about = read_json(directory / "model.json", "compiled model")
    path = directory / "weights.npz"
    arrays = _read_arrays(path)
    try:
        compiled_file.check(about, arrays["token_embed/embeddings"].shape, len(arrays["pos_embed/embeddings"]))
        channels, values = _output(about)
        config = _config(about, arrays, len(channels))
        # A sublayer may have no arrays to check sizes against, so the file's size limits how large a model may be.
        model = unfilled_model(config, len(arrays) * TENSORS_OF_A_LAYER, str(path))
        check_size(sum(map(math.prod, shapes_of(unshared(model)).values())), path.stat().st_size, str(directory))
        model = allocated(model).requires_grad_(False)
        _fill(model, arrays)
        require_finite(unshared(model), str(path))
        for logit, channel in _logits(about, channels, values):
            model.unembed.weight[logit, channel] = 1.0
        return Compiled(about["name"], model, channels, values, tuple(about.get("examples", ())))
    except UserError:
        raise  # already one sentence
    except (KeyError, TypeError, ValueError, RuntimeError, IndexError, AttributeError, OverflowError) as error:
        raise UserError(
            f"{directory} is not a compiled model: its model.json and weights.npz are not valid "
            f"({type(error).__name__}: {error})"
        ) from None


def _read_arrays(path: Path) -> Arrays:
    """The arrays of an .npz file. Its archive may be compressed, so the unpacked size is checked first."""
    try:
        if path.exists():
            require_file(path, "compiled model weights")
        with ZipFile(path) as archive:
            total = sum(member.file_size for member in archive.infolist())
            check_size(total // 4, path.stat().st_size, str(path))
            for member in archive.infolist():
                with archive.open(member) as file:
                    compiled_file.check_array(file, member.file_size, member.filename)
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise UserError(f"compiled model weights {path} do not exist") from None
    except UserError:
        raise
    except Exception as error:  # of many kinds, such as zipfile.BadZipFile and zlib.error, which are no OSError
        raise UserError(f"{path} is not a readable .npz file ({error})") from None


def _config(about: dict[str, Any], arrays: Arrays, outputs: int) -> GPTConfig:
    """The model's config, from model.json; `UserError` for features that our forward pass lacks."""
    if about.get("norm", "none") != "none":
        raise UserError(f"compiled models have no norm; model.json asks for {about['norm']!r}")
    if about.get("attention_scale", "1/sqrt(d_head)") != "1/sqrt(d_head)":
        raise UserError(f"attention is scaled by 1/sqrt(d_head); model.json asks for {about['attention_scale']!r}")
    if about.get("activation", "relu") not in ("relu", "gelu", "gelu_tanh"):
        raise UserError(f"compiled models have ReLU (or GELU); model.json asks for {about['activation']!r}")
    tokens, positions = arrays["token_embed/embeddings"], arrays["pos_embed/embeddings"]
    return GPTConfig(
        vocab_size=max(len(tokens), outputs) + 1,  # one more id than the program knows, for padding
        context=len(positions),
        n_layer=about["n_layer"],
        d_model=about["d_model"],
        n_head=about["n_head"],
        d_head=about["d_head"],
        d_mlp=max(1, about["d_mlp"]),  # 0 would mean 4 * d_model; a neuron with zero weights has no effect
        activation=about.get("activation", "relu"),
        norm="none",
        positions="learned",
        sink=False,
        bigram_table=False,
        activation_density=1.0,
        bias=True,
        causal=about.get("causal", False),
    )


def _fill(model: GPT, arrays: Arrays) -> None:
    """Copy the weights; ours are [out, in], theirs [in, out]. A sublayer without arrays stays zero."""
    for parameter in model.parameters():
        parameter.zero_()
    tokens = arrays["token_embed/embeddings"]
    _put(model.wte.weight[: len(tokens)], arrays, "token_embed/embeddings")
    _put(model.wpe.weight, arrays, "pos_embed/embeddings")
    if any(name.startswith(f"layer_{len(model.layers)}/") for name in arrays):
        raise ValueError(f"there are more layers than n_layer, {len(model.layers)}")
    for index, block in enumerate(model.layers):
        weights, biases = block.attn.c_attn.weight.chunk(3), block.attn.c_attn.bias.chunk(3)
        maps = {
            "attn": [*zip(weights, biases, ("query", "key", "value"), strict=True), _map(block.attn.c_proj, "linear")],
            "mlp": [_map(block.mlp.c_fc, "linear_1"), _map(block.mlp.c_proj, "linear_2")],
        }
        for sublayer, places in maps.items():
            prefix = f"layer_{index}/{sublayer}/"
            if any(name.startswith(prefix) for name in arrays):
                for weight, bias, name in places:
                    _put(weight.T, arrays, f"{prefix}{name}/w")
                    _put(bias, arrays, f"{prefix}{name}/b")


def _map(layer: nn.Linear, name: str) -> tuple[Tensor, Tensor, str]:
    return layer.weight, layer.bias, name


def _put(place: Tensor, arrays: Arrays, name: str) -> None:
    """Copy an array into a tensor of the same shape; `copy_` alone would broadcast a smaller array."""
    given = torch.from_numpy(np.asarray(arrays[name], dtype=np.float32))
    if given.shape != place.shape:
        raise ValueError(f"{name} has shape {list(given.shape)} but model.json implies {list(place.shape)}")
    place.copy_(given)


# --- The output variable ------------------------------------------------------------------------------------------


def _output(about: dict[str, Any]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """(channels of the output variable, the value that each represents; no values for a number).

    Labels are `variable:value`, or `variable` for a number. The output variable is the one whose channels agree most
    often with the outputs of the examples. If several agree equally, or there are no examples, it is the one that the
    program is named after.
    """
    labels = [str(label) for label in about["residual_labels"]]
    variables: dict[str, list[int]] = {}
    for channel, label in enumerate(labels):
        variables.setdefault(label.split(":", 1)[0], []).append(channel)
    named = [variable for variable in variables if variable.rsplit("_", 1)[0] == about["name"]]
    order = named + [variable for variable in variables if variable not in named]
    examples = [example for example in about.get("examples", ()) if "output" in example]
    best, agreement = (order[0], 1.0) if named and not examples else ("", 0.5)
    for variable in order if examples else ():
        share = _agreement(examples, labels, variables[variable])
        if share > agreement:
            best, agreement = variable, share
    if not best:
        raise UserError("no variable among the residual_labels of model.json gives the outputs of its examples")
    return tuple(variables[best]), _values(labels, variables[best])


def _values(labels: list[str], channels: list[int]) -> tuple[str, ...]:
    return tuple(labels[channel].split(":", 1)[1] for channel in channels if ":" in labels[channel])


def _agreement(examples: list[dict[str, Any]], labels: list[str], channels: list[int]) -> float:
    """Share of the outputs, from position 1, that the residual channels reproduce; null outputs are not counted."""
    values, same, counted = _values(labels, channels), 0, 0
    for example in examples:
        residual = np.asarray(example["residual"], dtype=np.float64)[1:, channels]  # [T - 1, channels]
        found = [values[best] for best in residual.argmax(axis=1)] if values else residual[:, 0].tolist()
        pairs = [pair for pair in zip(found, example["output"][1:], strict=True) if pair[1] is not None]
        same, counted = same + sum(_same(*pair) for pair in pairs), counted + len(pairs)
    return same / max(1, counted)


def _same(found: str | float, output: Any) -> bool:
    """Whether a channel's value or a number equals the output. `2` equals 2 and 2.0; numbers are equal within 1e-3."""
    if str(found) == str(output):
        return True
    try:
        return not isinstance(output, bool) and abs(float(found) - float(output)) <= 1e-3
    except (TypeError, ValueError):
        return False


def _logits(about: dict[str, Any], channels: tuple[int, ...], values: tuple[str, ...]) -> list[tuple[int, int]]:
    """(logit, residual channel) for each output channel."""
    vocabulary = about["vocab"]
    if values and all(value in vocabulary for value in values):
        return [(vocabulary[value], channel) for value, channel in zip(values, channels, strict=True)]
    return list(enumerate(channels))


# --- The program as a task ----------------------------------------------------------------------------------------

SEQUENCES = 32
"""Number of random sequences of each length that are drawn for a batch."""

FEW = 64
"""If there are fewer different sequences of a length than this, they are not divided among the splits. Every split then
uses all of them."""


class ProgramTask:
    """Pairs of random inputs of a compiled program; it implements `circuits.task.Task`.

    Both sides ask for the output at one position where their outputs differ. The right answer of a side is its own
    output, the wrong one that of the other side. For numbers, logit 0 is the right answer on the side with the larger
    number, and `ANYTHING_ELSE` on the other side. If inputs of the same length never have different outputs (as for a
    program that counts the tokens), the wrong answer is another value of the output. Outputs are those of the model,
    which equal those of the program.

    Inputs have the lengths of the examples and consist of the examples' tokens. If all examples begin with the same
    token (BOS), so do the inputs, and no pair asks for the output at that position.
    """

    def __init__(self, compiled: Compiled) -> None:
        self.name, self.compiled = compiled.name, compiled
        examples = [example["ids"] for example in compiled.examples]
        starts = sorted({ids[0] for ids in examples})
        self.start = starts[:1] if len(starts) == 1 else []
        self.words = sorted({token for ids in examples for token in ids[len(self.start) :]})
        self.lengths = sorted({len(ids) for ids in examples} - {len(self.start)})
        if len(self.words) < 2 or not self.lengths:
            raise UserError(f"{compiled.name} needs examples with at least 2 different tokens to make inputs from")
        self.padding = compiled.model.config.vocab_size - 1
        self.logits = compiled.model.unembed.weight.any(dim=1).nonzero().flatten()

    def batch(self, split: str, n: int, seed: int) -> TaskBatch:
        """`n` pairs as 2n rows; pairs take the lengths in turn, and shorter rows are padded with `padding`, an unused
        id."""
        if split not in SPLITS:
            raise UserError(f"there is no split {split!r}; the splits are {', '.join(SPLITS)}")
        source = random.Random(f"{self.name}/{split}/{seed}")
        drawn = {length: [self._sequence(split, length, source) for _ in range(SEQUENCES)] for length in self.lengths}
        outputs = {length: self._outputs(torch.tensor(sequences)) for length, sequences in drawn.items()}
        places = {length: _where_differ(values, len(self.start)) for length, values in outputs.items()}
        lengths = [length for length in self.lengths if places[length]]
        if not lengths:
            lengths, places = self.lengths, {one: _anywhere(outputs[one], len(self.start)) for one in self.lengths}
        rows: list[tuple[list[int], int, int, int]] = []
        for pair in range(n):
            length = lengths[pair % len(lengths)]
            one, other, place = source.choice(places[length])
            own, foreign = (float(outputs[length][side, place]) for side in (one, other))
            fill = [self.padding] * (self.lengths[-1] - length)
            rows.append((drawn[length][one] + fill, place, *self._choice(own, foreign)))
            rows.append((drawn[length][other] + fill, place, *self._choice(foreign, own)))
        return TaskBatch(*(torch.tensor(column) for column in zip(*rows, strict=True)))

    def _sequence(self, split: str, length: int, source: random.Random) -> list[int]:
        """A random sequence of the split. Half of all sequences belong to train, a quarter each to validation and
        test."""
        free = length - len(self.start)
        while True:
            drawn = [source.randrange(len(self.words)) for _ in range(free)]
            number = sum(index * len(self.words) ** place for place, index in enumerate(drawn))
            home = ("train", "validation", "train", "test")[number * 40503 // 8 % 4]
            if home == split or len(self.words) ** free < FEW:
                return [*self.start, *(self.words[index] for index in drawn)]

    @torch.no_grad()
    def _outputs(self, tokens: Tensor) -> Tensor:
        """The output at every position, [N, T]: the number, or the index of the logit of the value."""
        logits = self.compiled.model(tokens)[..., self.logits]
        return logits[..., 0] if self.compiled.numerical else self.logits[logits.argmax(dim=-1)]

    def _choice(self, own: float, foreign: float) -> tuple[int, int]:
        """(answer, alternative), as indices of logits, from the outputs of the two sides."""
        if self.compiled.numerical:
            return (0, ANYTHING_ELSE) if own >= foreign else (ANYTHING_ELSE, 0)
        if own == foreign:
            values: list[int] = self.logits.tolist()
            foreign = values[(values.index(int(own)) + 1) % len(values)]
        return int(own), int(foreign)


Places = list[tuple[int, int, int]]
"""(a sequence, another one, position)."""


def _where_differ(outputs: Tensor, first: int) -> Places:
    """Pairs of sequences and positions, from `first`, at which their `outputs` [N, T] differ."""
    differ = (outputs[:, None] - outputs[None]).abs() > 1e-3  # [N, N, T]
    differ[..., :first] = False
    return [(one, other, place) for one, other, place in differ.nonzero().tolist()]


def _anywhere(outputs: Tensor, first: int) -> Places:
    """Each sequence with the next one, at every position from `first`."""
    sequences, length = outputs.shape
    return [(one, (one + 1) % sequences, place) for one in range(sequences) for place in range(first, length)]
