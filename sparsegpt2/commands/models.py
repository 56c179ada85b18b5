"""The commands `import`, `export`, `push` and `zoo`, which exchange models with other formats and other places."""

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

    from sparsegpt2.text.tokenizer import Tokenizer

FORMATS_IN = Literal["openai", "gpt2"]
"""Formats that `import` reads. Each is a module of `interop` that has `load`, `locate` and `load_tokenizer`."""
FORMATS_OUT = Literal["openai", "transformers", "zoo", "graphml", "csv"]


def import_model_parser() -> Parser:
    """The parser of the settings of `import`."""
    parser = Parser(
        "import FORMAT SOURCE --out DIR",
        "Import a sparse model published by OpenAI, or a GPT-2, with its tokenizer. "
        "The node means are computed on a corpus.",
    )
    parser.positional("format", f"Format of the model: {alternatives(get_args(FORMATS_IN))}.")
    parser.positional("source", "Folder of the model; for gpt2 also its name on the Hugging Face hub.")
    parser.add("out", str, help="Folder to write the model to.", metavar="DIR", required=True)
    parser.add(
        "tokenizer", str, "", help="File, folder or model with the tokenizer; by default the one in the model's folder."
    )
    parser.add(
        "corpus",
        str,
        "tinypython",
        help="Corpus for the node means: a name, a file, a folder, or `none` for no node means.",
    )
    parser.add("means_tokens", int, 32768, help="Number of corpus tokens that the node means are computed from.")
    parser.add("device", str, "auto", help=DEVICE_HELP)
    return parser


def export_parser() -> Parser:
    """The parser of the settings of `export`."""
    parser = Parser(
        "export FORMAT SOURCE --out PATH",
        "Write a model as an `openai`, `transformers` or `zoo` folder, or a circuit as `graphml` or `csv`.",
    )
    parser.positional("format", f"Format to write: {alternatives(get_args(FORMATS_OUT))}.")
    parser.positional("source", "A model; for graphml and csv a circuit file.")
    parser.add("out", str, help="Folder to write to; for graphml a file.", metavar="PATH", required=True)
    parser.add("model", str, "", help="Model of the circuit; by default the one named in the circuit's file.")
    parser.add(
        "results", tuple[str, ...], (), help="For zoo: results folders with rows of the model.", metavar="DIR,DIR"
    )
    return parser


def push_parser() -> Parser:
    """The parser of the settings of `push`."""
    parser = Parser("push MODEL USER/NAME", "Upload a model to the Hugging Face hub, with a model card.")
    parser.positional("model", "A model or a run.")
    parser.positional("name", "Repository on the Hugging Face hub: user/name.", metavar="USER/NAME")
    parser.add("private", bool, False, help="If the repository is new, make it private.")
    parser.add("message", str, "", help="Commit message.")
    return parser


def zoo_parser() -> Parser:
    """The parser of the settings of `zoo`."""
    parser = Parser("zoo", "List the trained models of the package, or fetch one that is not on this machine.")
    parser.add("get", str, "", help="Fetch this model into the cache, ~/.cache/sparsegpt2/zoo.", metavar="NAME")
    parser.add("from", str, "", help="Folder or URL to fetch from; by default $SPARSEGPT2_ZOO.", metavar="PLACE")
    parser.add(
        "release",
        str,
        "",
        help="In a clone of the repository: write a release of all models to this folder.",
        metavar="DIR",
    )
    return parser


def import_model(arguments: list[str]) -> None:
    """Import a sparse model published by OpenAI, or a GPT-2, with its tokenizer, and compute its node means."""
    settings = import_model_parser().parse(arguments)
    format = value_of(settings.format, FORMATS_IN, "FORMAT")
    require(settings.means_tokens >= 1, f"means_tokens must be at least 1, got {settings.means_tokens}")
    device = torch_device(settings.device)

    from sparsegpt2.circuits import node_means
    from sparsegpt2.interop import gpt2, openai
    from sparsegpt2.model.checkpoint import MODEL, save_model
    from sparsegpt2.model.vocabulary import without_padding
    from sparsegpt2.sparsity.stats import l0
    from sparsegpt2.text.corpus import open_corpus
    from sparsegpt2.text.sample import corpus_config

    MODEL.check(Path(settings.out))  # a folder that can't be written should fail before the slow part
    reader: Any = {"openai": openai, "gpt2": gpt2}[format]
    model = reader.load(settings.source)
    info: dict[str, Any] = {"imported": {"format": format, "source": settings.source}, "l0": l0(model)}
    if format == "openai":
        info["openai"] = openai.inert_settings(settings.source)
    tokenizer = _tokenizer(reader, settings.source, settings.tokenizer)
    if tokenizer is None:
        print(
            f"{settings.source} has no tokenizer, so its node means are not computed and it can't do tasks; "
            f"give the folder of a tokenizer with --tokenizer"
        )
    else:
        padded = model.config.vocab_size - tokenizer.vocab_size
        model = without_padding(model, tokenizer.vocab_size)
        if padded:
            info |= {"l0": l0(model), "padding_dropped": padded}
            print(
                f"the model has {padded} ids more than its tokenizer's {tokenizer.vocab_size:,}: rows of padding, "
                "which were dropped; the logits of all other ids are the same"
            )
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
            if tokenizer is not None:
                print(transformers.SAME_TEXT)
    print(settings.out)


def push(arguments: list[str]) -> None:
    """Upload a model to the Hugging Face hub, with a model card made from its config and its training record."""
    settings = push_parser().parse(arguments)

    from sparsegpt2.interop import hub

    print(hub.push(settings.model, settings.name, private=settings.private, message=settings.message))


def zoo(arguments: list[str]) -> None:
    """List the trained models of the package, or fetch one that is not on this machine."""
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
    """The tokenizer that `given` names, or the one in the model's folder if `given` is empty; None if it has none."""
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
            return gpt2.load_tokenizer(given)  # GPT-2's tokenizer, in a folder or on the hub
    directory: Path = reader.locate(source)
    names.append(TOKENIZER)
    return reader.load_tokenizer(directory) if any((directory / name).exists() for name in names) else None


def _tokens(documents: Iterator[str], tokenizer: Tokenizer, context: int, count: int) -> Tensor:
    """About `count` tokens of `documents`, cut into windows: int64 [N, context].

    As in training, an end-of-text token precedes each document. `UserError` if the documents are too short to fill one
    window.
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
