"""A model small enough to solve by hand, with a circuit planted in it, and the task that the circuit does.

Prompts are `end-of-text, a or b, filler, ask`; the answer is the token that goes with a or with b. One attention head
averages "a (+1) or b (-1)" over positions, two neurons rectify the average and its negative, and their difference
reaches the unembedding of the two answers. Everything else in the model is noise that never reaches the answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from sparsegpt2 import GPT, GPTConfig
from sparsegpt2.circuits.means import node_means
from sparsegpt2.circuits.task import TaskBatch
from sparsegpt2.model.sites import node_sites

END, A, B, FILLER, ASK, FOR_A, FOR_B, VOCAB = 0, 1, 2, (3, 4, 5), 6, 7, 8, 9
WIDTH = 8


@dataclass
class PlantedTask:
    """Pairs that differ in one token and want opposite answers; remembers which splits were asked for."""

    name: str = "planted"
    with_alternative: bool = True
    asked: list[tuple[str, int, int]] = field(default_factory=list)

    def batch(self, split: str, n: int, seed: int) -> TaskBatch:
        self.asked.append((split, n, seed))
        generator = torch.Generator().manual_seed({"train": 1, "validation": 2, "test": 3}[split] * 1000 + seed)
        tokens = torch.full((2 * n, 6), END)
        position = torch.randint(3, 5, (n,), generator=generator).repeat_interleave(2)
        filler = torch.randint(min(FILLER), max(FILLER) + 1, (n, 6), generator=generator).repeat_interleave(2, dim=0)
        column = torch.arange(6)[None]
        tokens = torch.where((column > 1) & (column < position[:, None]), filler, tokens)
        tokens = torch.where(column == position[:, None], ASK, tokens)
        tokens[0::2, 1], tokens[1::2, 1] = A, B
        answer = torch.tensor([FOR_A, FOR_B]).repeat(n)
        alternative = answer.view(n, 2).flip(1).flatten()
        if not self.with_alternative:  # FOR_A against anything else, on both sides
            answer, alternative = torch.tensor([FOR_A, -1]).repeat(n), torch.tensor([-1, FOR_A]).repeat(n)
        return TaskBatch(tokens=tokens, position=position, answer=answer, alternative=alternative)


@dataclass
class Planted:
    """The model, its task, and what a perfect pruner would find."""

    model: GPT
    task: PlantedTask
    circuit: dict[str, list[int]]
    edges: int = 6

    @property
    def nodes(self) -> dict[str, Tensor]:
        """The planted circuit as node masks."""
        return masks(self.model, self.circuit)


def masks(model: GPT, kept: dict[str, list[int]]) -> dict[str, Tensor]:
    """Node masks with the given channels kept and nothing else."""
    nodes = {site: torch.zeros(width, dtype=torch.bool) for site, width in node_sites(model.config).items()}
    for site, channels in kept.items():
        nodes[site][channels] = True
    return nodes


def small_config(**changes: object) -> GPTConfig:
    """One layer, two heads, no activation sparsity unless asked for."""
    shape = {"vocab_size": VOCAB, "context": 8, "n_layer": 1, "d_model": WIDTH, "d_head": 4, "d_mlp": 12}
    plain = {"activation": "relu", "norm": "none", "sink": False, "bigram_table": False, "activation_density": 1.0}
    return GPTConfig(**{**shape, **plain, **changes})  # type: ignore[arg-type]


@pytest.fixture
def random_model() -> GPT:
    """Two layers with everything switched on: norms, sinks, AbsTopK, biases, bigram table; means of random text."""
    torch.manual_seed(1)
    config = GPTConfig(
        vocab_size=VOCAB, context=8, n_layer=2, d_model=WIDTH, d_head=4, d_mlp=12, activation_density=0.5
    )
    model = GPT(config).requires_grad_(False)
    for parameter in model.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.3)
    model.means = node_means(model, torch.randint(VOCAB, (32, 8)))
    return model


@pytest.fixture
def make_masks() -> Callable[[GPT, dict[str, list[int]]], dict[str, Tensor]]:
    return masks


@pytest.fixture
def planted() -> Planted:
    torch.manual_seed(0)
    model = GPT(small_config()).requires_grad_(False)
    for parameter in model.parameters():
        parameter.mul_(5)  # noise of standard deviation 0.1
    attention, mlp = model.blocks[0].attn, model.blocks[0].mlp
    value = 2 * WIDTH  # first row of v in c_attn
    attention.c_attn.weight[: 2 * WIDTH] = 0  # every head averages over positions
    attention.c_attn.weight[value] = 0
    attention.c_proj.weight[[1, 2]] = 0
    attention.c_proj.weight[:, 0] = 0
    mlp.c_fc.weight[:2] = 0
    mlp.c_proj.weight[[1, 2]] = 0
    mlp.c_proj.weight[:, :2] = 0
    model.wte.weight[:, :3] = 0
    model.unembed.weight[[FOR_A, FOR_B]] = 0

    model.wte.weight[A, 0], model.wte.weight[B, 0] = 1, -1
    attention.c_attn.weight[value, 0] = 4
    attention.c_proj.weight[1, 0] = 1
    mlp.c_fc.weight[0, 1], mlp.c_fc.weight[1, 1] = 1, -1
    mlp.c_proj.weight[2, 0], mlp.c_proj.weight[2, 1] = 1, -1
    model.unembed.weight[FOR_A, 2], model.unembed.weight[FOR_B, 2] = 3, -3
    task = PlantedTask()
    model.means = node_means(model, task.batch("train", 64, 0).tokens)
    circuit = {
        "0.attn.act_in": [0],
        "0.attn.v": [0],
        "0.attn.resid_delta": [1],
        "0.mlp.act_in": [1],
        "0.mlp.post_act": [0, 1],
        "0.mlp.resid_delta": [2],
    }
    return Planted(model, task, circuit)
