"""`sparsegpt2 train CONFIG.yaml [--key value]`, also `python -m train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sparsegpt2 import configs
from sparsegpt2.settings import add_settings, make_parser, parse, settings_from


def train(arguments: list[str]) -> None:
    """Train one model; started again with the same settings and --out, it goes on from its last checkpoint."""
    from train.config import TrainConfig
    from train.loop import train as train_model
    from train.sweep import sweep

    parser = make_parser("sparsegpt2 train", train.__doc__ or "")
    add_settings(parser, TrainConfig)
    parser.add_argument("--out", type=str, default="", help="Run folder; default runs/NAME for NAME.yaml.")
    parser.add_argument(
        "--sweep",
        type=dict[str, list[Any]],
        default={},
        help="Settings to try, such as '{optimizer.lr: [5e-3, 1e-2]}': a run for each combination, inside --out.",
    )
    settings = parse(parser, arguments)
    names = [configs.name_of(argument) for argument in arguments if configs.is_config(argument)]
    usual = f"runs/{names[-1] if names else 'model'}{'-sweep' if settings.sweep else ''}"
    out = Path(settings.out or usual)

    def configure(flags: list[str]) -> TrainConfig:
        return settings_from(parse(parser, arguments + flags), TrainConfig)

    best = sweep(settings.sweep, out, configure) if settings.sweep else train_model(configure([]), out)
    print(f"model: {best}")
