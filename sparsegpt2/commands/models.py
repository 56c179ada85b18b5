"""The commands `import`, `export`, `push` and `zoo`: models in other formats and places."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sparsegpt2.circuits import Circuit, node_means
from sparsegpt2.circuits.locate import circuit_model
from sparsegpt2.config import require
from sparsegpt2.errors import UserError
from sparsegpt2.interop import data_gym, gpt2, graph, hub, openai, transformers
from sparsegpt2.locate import TOKENIZER, model_directory
from sparsegpt2.model.checkpoint import MODEL, load_model, model_info, save_model
from sparsegpt2.model.gpt import GPT
from sparsegpt2.settings import make_parser, parse, progress_bar
from sparsegpt2.sparsity.stats import l0
from sparsegpt2.text.corpus import open_corpus
from sparsegpt2.text.sample import corpus_config
from sparsegpt2.text.tokenizer import Tokenizer
from sparsegpt2.zoo import export as zoo_models

MODELS_IN = {"openai": openai, "gpt2": gpt2}
"""Formats that are read; each module has `load` and `load_tokenizer`."""
FORMATS_OUT = ("openai", "transformers", "zoo", "graphml", "csv")


def import_model(arguments: list[str]) -> None:
    """Bring in a published sparse model or a GPT-2: weights, tokenizer, and node means over a corpus."""
    parser = make_parser("sparsegpt2 import", import_model.__doc__ or "")
    parser.add_argument("format", type=str, help=f"One of {', '.join(MODELS_IN)}.")
    parser.add_argument("source", type=str, help="Directory of the model; for gpt2 also its name on the hub.")
    parser.add_argument("--out", type=str, required=True, help="Directory of the model that is made.")
    parser.add_argument("--tokenizer", type=str, default="", help="Its tokenizer: a file, folder or model.")
    parser.add_argument(
        "--corpus", type=str, default="tinypython", help="Corpus for node means: a name, or a file or folder; or none."
    )
    parser.add_argument("--means_tokens", type=int, default=32768, help="Tokens over which node means are taken.")
    parser.add_argument("--device", type=str, default="cpu", help="Torch device on which they are taken.")
    settings = parse(parser, arguments)
    require(settings.format in MODELS_IN, f"there is no format {settings.format!r}; there are {', '.join(MODELS_IN)}")
    require(settings.means_tokens >= 1, f"means_tokens must be at least 1, got {settings.means_tokens}")
    MODEL.check(Path(settings.out))
    reader = MODELS_IN[settings.format]
    model = reader.load(settings.source)
    info: dict[str, Any] = {"imported": {"format": settings.format, "source": settings.source}, "l0": l0(model)}
    if settings.format == "openai":
        info["openai"] = openai.inert_settings(settings.source)
    tokenizer = _tokenizer(reader, settings.source, settings.tokenizer)
    if tokenizer is None:
        print(
            f"{settings.source} has no tokenizer, so tasks cannot be posed and no node means were taken; "
            f"give its folder with --tokenizer"
        )
    else:
        _check_sizes(model, tokenizer)
        if settings.corpus != "none":
            tokens = _tokens(
                open_corpus(corpus_config(settings.corpus)).documents(0),
                tokenizer,
                model.config.context,
                settings.means_tokens,
            )
            with progress_bar("taking node means") as progress:
                means = node_means(model.to(_device(settings.device)), tokens, batch_size=8, progress=progress)
            model.means = {site: mean.cpu() for site, mean in means.items()}
            model.cpu()
            info |= {"means_tokens": tokens.numel(), "means_corpus": settings.corpus}
    save_model(model, settings.out, tokenizer=tokenizer, info=info)
    print(f"{settings.out}: {sum(p.numel() for p in model.parameters()):,} parameters, {info['l0']:,} of L0")


def export(arguments: list[str]) -> None:
    """Write a model as `openai`, `transformers` or `zoo` directories, or a circuit as `graphml` or `csv`."""
    parser = make_parser("sparsegpt2 export", export.__doc__ or "")
    parser.add_argument("format", type=str, help=f"One of {', '.join(FORMATS_OUT)}.")
    parser.add_argument("source", type=str, help="A model, or for graphml and csv a circuit file.")
    parser.add_argument("--out", type=str, required=True, help="Directory that is made; for graphml a file.")
    parser.add_argument("--model", type=str, default="", help="Model of a circuit; by default the one it names.")
    parser.add_argument("--results", type=str, default="", help="For zoo: results folders of the model, with commas.")
    settings = parse(parser, arguments)
    require(
        settings.format in FORMATS_OUT, f"there is no format {settings.format!r}; there are {', '.join(FORMATS_OUT)}"
    )
    if settings.format in ("graphml", "csv"):
        circuit = Circuit.load(settings.source)
        made = graph.to_networkx(circuit, load_model(circuit_model(circuit, settings.source, settings.model)))
        {"graphml": graph.write_graphml, "csv": graph.write_csv}[settings.format](made, settings.out)
    elif settings.format == "zoo":
        size = zoo_models.export(
            settings.source, settings.out, [folder for folder in settings.results.split(",") if folder]
        )
        print(f"{size / 1e6:.1f} MB")
    else:
        directory = model_directory(settings.source)
        model = load_model(directory)
        tokenizer = Tokenizer.load(directory) if (directory / TOKENIZER).exists() else None
        if settings.format == "openai":
            openai.export(model, settings.out, tokenizer=tokenizer, inert=model_info(directory).get("openai"))
        else:
            transformers.export(model, settings.out, tokenizer=tokenizer)
    print(settings.out)


def push(arguments: list[str]) -> None:
    """Put a model on the Hugging Face hub, with a model card made from what is known of it."""
    parser = make_parser("sparsegpt2 push", push.__doc__ or "")
    parser.add_argument("model", type=str, help="A model or a run.")
    parser.add_argument("name", type=str, help="Where it goes: user/name.")
    parser.add_argument("--private", type=bool, default=False, help="Whether only you may see it, if it is new.")
    parser.add_argument("--message", type=str, default="", help="Message of the commit.")
    settings = parse(parser, arguments)
    print(hub.push(settings.model, settings.name, private=settings.private, message=settings.message))


def zoo(arguments: list[str]) -> None:
    """List the trained models of the package, zoo:NAME, and fetch those that it does not bring."""
    from sparsegpt2.zoo.get import ADDRESS, get
    from sparsegpt2.zoo.listing import zoo_lines
    from sparsegpt2.zoo.release import release

    parser = make_parser("sparsegpt2 zoo", zoo.__doc__ or "")
    parser.add_argument("--get", type=str, default="", help="Fetch this model into ~/.cache/sparsegpt2/zoo.")
    parser.add_argument(
        "--from", type=str, default="", help=f"Folder or address of a release to fetch from; default ${ADDRESS}."
    )
    parser.add_argument("--release", type=str, default="", help="In a clone: make a release in this folder.")
    settings = parse(parser, arguments)
    if settings.release:
        print("\n".join(map(str, release(settings.release))))
    elif settings["get"]:  # a Namespace has a method of that name
        print(get(settings["get"], settings["from"]))
    else:
        print("\n".join(zoo_lines()))


def _device(name: str) -> torch.device:
    try:
        return torch.zeros(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        raise UserError(f"torch cannot use the device {name!r} ({str(error).splitlines()[0]})") from None


def _tokenizer(reader: Any, source: str, given: str) -> Tokenizer | None:
    """The tokenizer that `given` names, or else the one beside the model, or None when there is none."""
    names = [name for pair in data_gym.NAMES for name in pair]
    if given:
        if any((Path(given) / name).exists() for name in names):
            return reader.load_tokenizer(given)
        try:
            return Tokenizer.load(given)
        except UserError:
            if reader is not gpt2:
                raise
            return gpt2.load_tokenizer(given)  # a tokenizer.json of GPT-2's, here or on the hub
    directory: Path = reader.locate(source)
    names.append(TOKENIZER)
    return reader.load_tokenizer(directory) if any((directory / name).exists() for name in names) else None


def _check_sizes(model: GPT, tokenizer: Tokenizer) -> None:
    if tokenizer.vocab_size != model.config.vocab_size:
        raise UserError(
            f"the tokenizer has {tokenizer.vocab_size} tokens and the model {model.config.vocab_size}; "
            f"they must belong together"
        )


def _tokens(documents: Iterator[str], tokenizer: Tokenizer, context: int, count: int) -> Tensor:
    """About `count` tokens of documents, each behind an end of text as in training, in windows [N, context]."""

    def ids() -> Iterator[int]:
        for text in documents:
            yield tokenizer.end_of_text
            yield from tokenizer.encode(text)

    rows = max(1, count // context)
    taken = list(islice(ids(), rows * context))
    require(len(taken) >= context, f"the corpus has only {len(taken)} tokens, too few for one context of {context}")
    rows = len(taken) // context
    return torch.tensor(taken[: rows * context]).view(rows, context)
