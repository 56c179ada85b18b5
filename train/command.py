"""`sparsegpt2 train CONFIG.yaml [--key value]`, also `python -m train`."""

from __future__ import annotations

from pathlib import Path

from sparsegpt2.command import add_settings, make_parser, parse, settings_from


def main(arguments: list[str]) -> None:
    """Train one model; started again with the same settings and --out, it goes on from its last checkpoint."""
    from train.config import TrainConfig
    from train.loop import train

    parser = make_parser("sparsegpt2 train", main.__doc__ or "")
    add_settings(parser, TrainConfig)
    parser.add_argument("--out", type=str, default="", help="Run folder; default runs/NAME for a config NAME.yaml.")
    settings = parse(parser, arguments)
    names = [Path(argument).stem for argument in arguments if argument.endswith((".yaml", ".yml"))]
    out = settings.out or f"runs/{names[-1] if names else 'model'}"
    best = train(settings_from(settings, TrainConfig), out)
    print(f"model: {best}")
