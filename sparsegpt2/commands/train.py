"""`sparsegpt2 train CONFIG.yaml [--key value]`, also `python -m train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsegpt2 import configs
from sparsegpt2.settings import Parser, settings_from
from sparsegpt2.settings.device import DEVICE_HELP

if TYPE_CHECKING:
    from train.config import TrainConfig


def train_parser() -> Parser:
    """The settings of `train`."""
    from train.config import TrainConfig

    parser = Parser(
        "train SETTINGS.yaml... --out RUN",
        "Train one model. Run the same command again to resume from the last checkpoint.",
    )
    parser.add_settings(TrainConfig)
    parser.add("out", str, "", help="Run folder; by default runs/NAME for NAME.yaml.", metavar="RUN")
    parser.add(
        "sweep",
        dict[str, list[Any]],
        {},
        help="Values to try, such as '{optimizer.lr: [5e-3, 1e-2]}': one run for each combination, in --out.",
        metavar="LISTS",
    )
    parser.front(
        "The run",
        out="Run folder; by default runs/NAME for NAME.yaml.",
        tokens="Tokens to train on, such as 3e6.",
        batch_size="Sequences per step.",
        seed="Seed for the initial weights and the order of the data.",
        device=DEVICE_HELP,
        sweep="Values to try, one run for each combination, such as '{optimizer.lr: [5e-3, 1e-2]}'.",
    )
    parser.front(
        "The model",
        {
            "model.d_model": "Width: channels of the residual stream.",
            "model.n_layer": "Number of layers.",
            "model.context": "Longest sequence, in tokens.",
            "sparsity.density": "Share of nonzero weights at the end of training; 1: a dense model.",
            "optimizer.lr": "Learning rate.",
        },
    )
    parser.front(
        "The text",
        {
            "data.corpora": "Text to train on, such as '[{name: files, path: src}]' [tinypython].",
            "data.tokens": "Tokens to prepare; longer training repeats them.",
            "data.vocab_size": "Size of the tokenizer to train; must equal model.vocab_size.",
            "data.tokenizer": "A tokenizer to use instead of training one.",
        },
    )
    return parser


def train(arguments: list[str]) -> None:
    """Train one model, or a sweep of them; the same command resumes from the last checkpoint."""
    parser = train_parser()
    settings = parser.parse(arguments)

    from train.config import TrainConfig
    from train.loop import train as train_model
    from train.sweep import sweep

    names = [configs.name_of(argument) for argument in arguments if configs.is_config(argument)]
    usual = f"runs/{names[-1] if names else 'model'}{'-sweep' if settings.sweep else ''}"
    out = Path(settings.out or usual)

    def configure(flags: list[str]) -> TrainConfig:
        return settings_from(parser.parse(arguments + flags), TrainConfig)

    best = sweep(settings.sweep, out, configure) if settings.sweep else train_model(configure([]), out)
    print(f"model: {best}")
