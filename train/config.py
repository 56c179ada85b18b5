"""Settings of a training run."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Literal

from sparsegpt2.config import GPTConfig, OptimizerConfig, SparsityConfig, require, to_dict
from sparsegpt2.settings.fields import check_fields
from sparsegpt2.text.config import DataConfig


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything about one training run. Together with the version of the code it determines every weight."""

    model: GPTConfig
    """The shape of the model."""
    sparsity: SparsityConfig = field(default_factory=SparsityConfig)
    """Which weights are kept."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """AdamW and the learning rate."""
    data: DataConfig = field(default_factory=DataConfig)
    """The text to train on."""
    data_folder: str = "runs/data"
    """Folder for prepared tokens. It has one folder for each set of data settings, which runs with equal ones share."""
    tokens: int = 10_000_000
    """Tokens to train on, rounded up to whole steps. May grow when a run is resumed, even a finished one. The schedules
    of learning rate and density are functions of the share of training done, so the next steps have the rate and the
    density that a run of the new length has there: the rate rises again, and so does the density if that share is below
    `anneal_end`."""
    batch_size: int = 64
    """Sequences in each step."""
    sequence: int = 0
    """Tokens in each sequence; 0: the model's context."""
    init: str = ""
    """A model or run whose weights replace the random initial ones (not its optimiser's state; the schedules start at
    0). It must have this run's shape, and the data must use its tokenizer (`data.tokenizer`)."""
    seed: int = 0
    """Seed of the initial weights and of the order of the data."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Arithmetic inside sublayers. Weights, residual stream and loss are float32 in either case."""
    device: str = "auto"
    """`auto` (CUDA if there is a GPU, else the CPU), or a torch device such as `cuda:1`. May change when a run is
    resumed, like `threads`, `data_folder` and `checkpoint_every`."""
    threads: int = 0
    """CPU threads; 0: torch's choice. Results repeat bit for bit only with the same number of threads."""
    log_every: int = 10
    """Steps between entries in metrics.jsonl and TensorBoard."""
    evaluations: int = 10
    """How many times held-out loss is measured, the last time at the end. `last` and `best` are saved then."""
    checkpoint_every: int = 0
    """Steps between additional saves of `last`; 0: only when held-out loss is measured."""
    validation_tokens: int = 16384
    """Held-out tokens for the loss during the run: always the same ones, spread over the held-out split."""
    held_out_tokens: int = 65536
    """Held-out tokens for the loss that a finished model reports."""
    means_tokens: int = 131072
    """Training tokens over which the mean of each node is taken at the end, for mean ablation."""

    def __post_init__(self) -> None:
        check_fields(self)
        positive = ("tokens", "batch_size", "log_every", "evaluations", "validation_tokens", "held_out_tokens")
        for name in (*positive, "means_tokens"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("sequence", "checkpoint_every", "threads"):
            require(getattr(self, name) >= 0, f"{name} must be 0 or more, got {getattr(self, name)}")
        require(
            self.sequence <= self.model.context,
            f"sequence={self.sequence} exceeds the model's context of {self.model.context}",
        )

    @property
    def prepared_data(self) -> Path:
        """Folder of this run's prepared tokens."""
        key = sha256(json.dumps(to_dict(self.data), sort_keys=True).encode()).hexdigest()[:12]
        return Path(self.data_folder) / key

    @property
    def length(self) -> int:
        """Tokens in each sequence."""
        return self.sequence or self.model.context

    @property
    def steps(self) -> int:
        """Number of steps of the run."""
        return -(-self.tokens // (self.batch_size * self.length))

    def evaluation_steps(self) -> set[int]:
        """Steps (counted from 1) after which held-out loss is measured: evenly spaced, the last step among them."""
        count = min(self.evaluations, self.steps)
        return {round(self.steps * (i + 1) / count) for i in range(count)}
