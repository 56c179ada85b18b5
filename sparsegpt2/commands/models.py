"""The commands `import`, `export`, `push` and `zoo`: models in other formats and places."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from sparsegpt2.config import require
from sparsegpt2.errors import UserError
from sparsegpt2.progress import ProgressDisplay
from sparsegpt2.settings import Parser, torch_device
from sparsegpt2.settings.device import DEVICE_HELP
from sparsegpt2.settings.values import alternatives, value_of

if TYPE_CHECKING:
    from torch import Tensor

    from sparsegpt2.model.gpt import GPT
    from sparsegpt2.text.tokenizer import Tokenizer

FORMATS_IN = Literal["openai", "gpt2"]
"""Formats that `import` reads; each is a module of `interop` with `load`, `locate` and `load_tokenizer`."""
FORMATS_OUT = Literal["openai", "transformers", "zoo", "graphml", "csv"]


def import_model_parser() -> Parser:
    """The settings of `import`."""
    parser = Parser(
        "import FORMAT SOURCE --out DIR",
        "Import a published sparse model or a GPT-2: weights, tokenizer, and node means over a corpus.",
    )
    parser.positional("format", f"Format of the model: {alternatives(get_args(FORMATS_IN))}.")
    parser.positional("source", "Folder of the model; for gpt2 also its name on the hub.")
    parser.add("out", str, help="Folder to write the model to.", metavar="DIR", required=True)
    parser.add("tokenizer", str, "", help="A file, folder or model with the tokenizer; by default the model's own.")
    parser.add("corpus", str, "tinypython", help="Corpus for node means: a name, a file or a folder; or `none`.")
    parser.add("means_tokens", int, 32768, help="Tokens that node means are taken over.")
    parser.add("device", str, "auto", help=DEVICE_HELP)
    return parser


def export_parser() -> Parser:
    """The settings of `export`."""
    parser = Parser(
        "export FORMAT SOURCE --out PATH",
        "Write a model as an `openai`, `transformers` or `zoo` folder, or a circuit as `graphml` or `csv`.",
    )
    parser.positional("format", f"Format to write: {alternatives(get_args(FORMATS_OUT))}.")
    parser.positional("source", "A model; for graphml and csv a circuit file.")
    parser.add("out", str, help="Folder to write; for graphml a file.", metavar="PATH", required=True)
    parser.add("model", str, "", help="Model of the circuit; by default the one the file names.")
    parser.add("results", tuple[str, ...], (), help="For zoo: folders of the model's results.", metavar="DIR,DIR")
    return parser


def push_parser() -> Parser:
    """The settings of `push`."""
    parser = Parser("push MODEL USER/NAME", "Put a model on the Hugging Face hub, with a model card.")
    parser.positional("model", "A model or a run.")
    parser.positional("name", "Repository on the hub: user/name.", metavar="USER/NAME")
    parser.add("private", bool, False, help="Make a new repository private.")
    parser.add("message", str, "", help="Commit message.")
    return parser


def zoo_parser() -> Parser:
    """The settings of `zoo`."""
    parser = Parser("zoo", "List the trained models, zoo:NAME, or fetch one that is not in the package.")
    parser.add("get", str, "", help="Fetch this model into ~/.cache/sparsegpt2/zoo.", metavar="NAME")
    parser.add("from", str, "", help="Folder or address to fetch from; by default $SPARSEGPT2_ZOO.", metavar="PLACE")
    parser.add("release", str, "", help="In a clone: write a release of all models to this folder.", metavar="DIR")
    return parser


def import_model(arguments: list[str]) -> None:
    """Import a published sparse model or a GPT-2: weights, tokenizer, and node means over a corpus."""
    settings = import_model_parser().parse(arguments)
    format = value_of(settings.format, FORMATS_IN, "FORMAT")
    require(settings.means_tokens >= 1, f"means_tokens must be at least 1, got {settings.means_tokens}")
    device = torch_device(settings.device)

    from sparsegpt2.circuits import node_means
    from sparsegpt2.interop import gpt2, openai
    from sparsegpt2.model.checkpoint import MODEL, save_model
    from sparsegpt2.sparsity.stats import l0
    from sparsegpt2.text.corpus import open_corpus
    from sparsegpt2.text.sample import corpus_config

    MODEL.check(Path(settings.out))  # before long work
    reader: Any = {"openai": openai, "gpt2": gpt2}[format]
    model = reader.load(settings.source)
    info: dict[str, Any] = {"imported": {"format": format, "source": settings.source}, "l0": l0(model)}
    if format == "openai":
        info["openai"] = openai.inert_settings(settings.source)
    tokenizer = _tokenizer(reader, settings.source, settings.tokenizer)
    if tokenizer is None:
        print(
            f"{settings.source} has no tokenizer, so it has no node means and cannot be given tasks; "
            f"give the tokenizer's folder with --tokenizer"
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
            with ProgressDisplay("import") as progress:
                means = node_means(model.to(device), tokens, batch_size=8, progress=progress)
            model.means = {site: mean.cpu() for site, mean in means.items()}
            model.cpu()
            info |= {"means_tokens": tokens.numel(), "means_corpus": settings.corpus}
    save_model(model, settings.out, tokenizer=tokenizer, info=info)
    print(f"{settings.out}: {sum(p.numel() for p in model.parameters()):,} parameters, L0 {info['l0']:,}")


def export(arguments: list[str]) -> None:
    """Write a model as an `openai`, `transformers` or `zoo` folder, or a circuit as `graphml` or `csv`."""
    settings = export_parser().parse(arguments)
    format = value_of(settings.format, FORMATS_OUT, "FORMAT")

    from sparsegpt2.circuits import Circuit
    from sparsegpt2.circuits.locate import circuit_model
    from sparsegpt2.interop import graph, openai, transformers
    from sparsegpt2.locate import TOKENIZER, model_directory
    from sparsegpt2.model.checkpoint import load_model, model_info
    from sparsegpt2.text.tokenizer import Tokenizer
    from sparsegpt2.zoo import export as zoo_models

    if format in ("graphml", "csv"):
        circuit = Circuit.load(settings.source)
        made = graph.to_networkx(circuit, load_model(circuit_model(circuit, settings.source, settings.model)))
        {"graphml": graph.write_graphml, "csv": graph.write_csv}[format](made, settings.out)
    elif format == "zoo":
        size = zoo_models.export(settings.source, settings.out, list(settings.results))
        print(f"{size / 1e6:.1f} MB")
    else:
        directory = model_directory(settings.source)
        model = load_model(directory)
        tokenizer = Tokenizer.load(directory) if (directory / TOKENIZER).exists() else None
        if format == "openai":
            openai.export(model, settings.out, tokenizer=tokenizer, inert=model_info(directory).get("openai"))
        else:
            transformers.export(model, settings.out, tokenizer=tokenizer)
    print(settings.out)


def push(arguments: list[str]) -> None:
    """Put a model on the Hugging Face hub, with a model card made from its config and its training record."""
    settings = push_parser().parse(arguments)

    from sparsegpt2.interop import hub

    print(hub.push(settings.model, settings.name, private=settings.private, message=settings.message))


def zoo(arguments: list[str]) -> None:
    """List the trained models, zoo:NAME, or fetch one that is not in the package."""
    settings = zoo_parser().parse(arguments)

    from sparsegpt2.zoo.get import get
    from sparsegpt2.zoo.listing import zoo_lines
    from sparsegpt2.zoo.release import release

    if settings.release:
        print("\n".join(map(str, release(settings.release))))
    elif settings.get:
        print(get(settings.get, getattr(settings, "from")))
    else:
        print("\n".join(zoo_lines()))


def _tokenizer(reader: Any, source: str, given: str) -> Tokenizer | None:
    """The tokenizer that `given` names, else the one in the model's folder; None if there is neither."""
    from sparsegpt2.interop import data_gym, gpt2
    from sparsegpt2.locate import TOKENIZER
    from sparsegpt2.text.tokenizer import Tokenizer

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
            f"give the tokenizer that the model was trained with"
        )


def _tokens(documents: Iterator[str], tokenizer: Tokenizer, context: int, count: int) -> Tensor:
    """About `count` tokens of documents in windows, int64 [N, context].

    As in training, an end-of-text token precedes each document. `UserError` if there is not even one window.
    """
    import torch

    def ids() -> Iterator[int]:
        for text in documents:
            yield tokenizer.end_of_text
            yield from tokenizer.encode(text)

    rows = max(1, count // context)
    taken = list(islice(ids(), rows * context))
    require(len(taken) >= context, f"the corpus has only {len(taken)} tokens, too few for one context of {context}")
    rows = len(taken) // context
    return torch.tensor(taken[: rows * context]).view(rows, context)
