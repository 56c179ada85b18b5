"""Put our models on the Hugging Face hub, as the files of `save_model` and a model card.

`load_model("hf:user/name")` reads them from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sparsegpt2.config import require, to_dict
from sparsegpt2.interop.card import check_card, corpora_of, plain, yaml_block
from sparsegpt2.locate import FILES, hub, model_directory
from sparsegpt2.model.checkpoint import load_model, model_info
from sparsegpt2.model.gpt import GPT
from sparsegpt2.sparsity.project import projected_parameters
from sparsegpt2.sparsity.stats import l0

CARD = "README.md"


def push(path: str | Path, name: str, *, private: bool = False, message: str = "") -> str:
    """Put the model or run `path` on the hub as `name` (`user/name`) in one commit; returns its address.

    private: whether the repository is private if it is new. message: commit message. `UserError` for a damaged model,
    before anything is sent, and if the hub refuses or cannot be reached.
    """
    directory = model_directory(path)
    name = name.removeprefix(hub.PREFIX)
    require(
        hub.is_name(name) and name.count("/") == 1 and "@" not in name,
        f"{name!r} is not a repository name on the hub; write user/name",
    )
    model = load_model(directory)
    client = hub.client()
    api = client.HfApi()
    card = model_card(model, model_info(directory), title=name.split("/")[1], address=hub.PREFIX + name)
    operations = [client.CommitOperationAdd(CARD, card.encode())]
    operations += [client.CommitOperationAdd(file, directory / file) for file in FILES if (directory / file).exists()]
    hub.asking(name, lambda: api.create_repo(name, private=private, exist_ok=True))
    words = message or f"{name.split('/')[1]}, by sparsegpt2"
    return str(hub.asking(name, lambda: api.create_commit(name, operations, commit_message=words)).repo_url)


def model_card(model: GPT, info: dict[str, Any], *, title: str, address: str, sections: Sequence[str] = ()) -> str:
    """The card of a model: what it is, how it was trained and measured, how to use it. Markdown with a YAML header.

    address: argument with which `load_model` finds the model. sections: lines of Markdown that come before the section
    about the model's shape.
    """
    check_card(info)
    parameters = sum(tensor.weight.numel() for tensor in projected_parameters(model))
    weights, table = l0(model), model.bigram
    facts = {
        "L0 (nonzero weights and biases)": f"{weights:,} of {parameters:,}",
        "nonzero entries of the bigram table, not in L0": None if table is None else f"{int((table != 0).sum()):,}",
        "density": f"{weights / parameters if info.get('density') is None else info['density']:.4g}",
        "held-out loss (nats per token)": _number(info.get("held_out_loss"), ".4f"),
        "tokens seen": _number(info.get("tokens"), ",d"),
        "seed": info.get("seed"),
        "trained at commit": info.get("commit"),
        "imported": info.get("imported"),
    }
    lines = [
        "---",
        "library_name: sparsegpt2",
        "tags: [sparse, interpretability, circuits]",
        "---",
        f"# {plain(title)}",
        "",
        "A GPT-2-style language model for sparsegpt2, a framework for weight-sparse transformers with small circuits.",
        "",
        *_table(facts),
        "",
        "```python",
        "import sparsegpt2",
        "",
        f'model = sparsegpt2.load_model("{address}")  # tokens [B, T] -> logits [B, T, V]',
        "```",
        *sections,
        "",
        "## Shape",
        "",
        *_table(to_dict(model.config)),
    ]
    train = info.get("train")
    if train:
        corpora = ", ".join(map(plain, corpora_of(train)))
        lines += ["", "## Training", "", f"Data: {corpora}. Command: `sparsegpt2 train train.yaml --out run`, with"]
        lines += ["train.yaml:", "", *yaml_block(train)]
    return "\n".join(lines) + "\n"


def _table(facts: dict[str, Any]) -> list[str]:
    rows = [f"| {plain(name)} | {plain(value)} |" for name, value in facts.items() if value is not None]
    return ["| | |", "|---|---|", *rows]


def _number(value: float | None, form: str) -> str | None:
    return None if value is None else format(value, form)
