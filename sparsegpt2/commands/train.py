"""`sparsegpt2 train SETTINGS.yaml [--key value]`, also `python -m train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsegpt2 import configs
from sparsegpt2.settings import Parser, settings_from
from sparsegpt2.settings.device import DEVICE_HELP

if TYPE_CHECKING:
    from sparsegpt2.text.tokenizer import Tokenizer
    from train.config import TrainConfig

REUSED = "zoo:memory-768"
"""A model of the package whose tokenizer can pose every task of the benchmark."""


def train_parser() -> Parser:
    """The parser of the settings of `train`."""
    from train.config import TrainConfig

    parser = Parser(
        "train SETTINGS.yaml... --out RUN",
        "Train one model. Run the same command again to resume from the last checkpoint, with larger --tokens to train "
        "longer, or with another --device.",
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
        tokens="Tokens to train on, such as 3e6; may grow later.",
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
            # [In brackets]: the default, as the help shows it.
            "data.path": "Your own text: a file, a folder or a pattern such as 'src/**/*.py' [generated Python].",
            "data.corpora": "A mixture, such as '[{name: stdlib}, {name: files, path: src, weight: 3}]'.",
            "data.tokens": "Tokens to prepare; longer training repeats them.",
            "data.tokenizer": "A tokenizer to use instead of training one: a file, RUN, zoo:NAME or hf:user/name.",
            "init": "A model or run to begin with.",
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

    best = sweep(settings.sweep, out, configure) if settings.sweep else train_model(configure([]), out, greet)
    print(f"model: {best}")


def greet(tokenizer: Tokenizer) -> None:
    """Print how many tasks of the benchmark a tokenizer can pose.

    If it cannot pose all of them, also name a model whose tokenizer can.
    """
    from eval_tasks.registry import available
    from sparsegpt2.text.tokenizer import Tokenizer

    reasons = available(tokenizer)
    posable = sum(reason is None for reason in reasons.values())
    line = f"this tokenizer can pose {posable} of {len(reasons)} tasks"
    if posable < len(reasons) and (other := Tokenizer.load(REUSED)).fingerprint != tokenizer.fingerprint:
        size = f" --model.vocab_size {other.vocab_size}" if other.vocab_size != tokenizer.vocab_size else ""
        line += f"; --data.tokenizer {REUSED}{size} reuses one that can pose all"
    print(line, flush=True)
