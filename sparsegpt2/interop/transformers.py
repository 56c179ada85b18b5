"""Our models for `transformers`: a folder that AutoModelForCausalLM loads with `trust_remote_code=True`."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from sparsegpt2.config import to_dict
from sparsegpt2.files import Kind, replacing_directory, write_json, write_text
from sparsegpt2.locate import CONFIG, TOKENIZER, WEIGHTS
from sparsegpt2.model.checkpoint import unshared
from sparsegpt2.model.gpt import GPT
from sparsegpt2.text.tokenizer import END_OF_TEXT, Tokenizer

MODELLING = "modeling_sparsegpt2"
"""Name of the modelling file. It imports this package, which must be installed to load the model."""
TOKENIZER_CONFIG = "tokenizer_config.json"
SAME_TEXT = (
    f"AutoTokenizer gives the same ids as sparsegpt2: {END_OF_TEXT} inside a text is ordinary text; "
    "put tokenizer.eos_token_id in front where a document begins"
)
"""What a user of the exported tokenizer must know."""
KIND = Kind(
    "a model for transformers", (CONFIG, WEIGHTS, TOKENIZER, TOKENIZER_CONFIG, f"{MODELLING}.py"), CONFIG, (MODELLING,)
)
"""Folders that `export` may replace."""


def export(model: GPT, directory: str | Path, *, tokenizer: Tokenizer | None = None) -> None:
    """Write `model` into `directory`; an earlier folder of this kind is replaced. It does not need `transformers`.

    tokenizer: written so that AutoTokenizer loads it; its end of text becomes the token that ends generation.
    `UserError` if `directory` has other files.
    """
    with replacing_directory(directory, KIND) as unfinished:
        write_json(unfinished / CONFIG, _config(model, tokenizer))
        tensors = {f"gpt.{name}": value.detach().cpu().contiguous() for name, value in unshared(model).items()}
        save_file(tensors, unfinished / WEIGHTS, metadata={"format": "pt"})
        source = files("sparsegpt2.interop").joinpath(f"{MODELLING}.py").read_text(encoding="utf-8")
        write_text(unfinished / f"{MODELLING}.py", source)
        if tokenizer is not None:
            tokenizer.save(unfinished)
            write_json(unfinished / TOKENIZER_CONFIG, _tokenizer_config(model))


def _config(model: GPT, tokenizer: Tokenizer | None) -> dict[str, Any]:
    special = {} if tokenizer is None else dict.fromkeys(("bos_token_id", "eos_token_id"), tokenizer.end_of_text)
    return {
        "model_type": "sparsegpt2",
        "architectures": ["SparseGPT2ForCausalLM"],
        "auto_map": {
            "AutoConfig": f"{MODELLING}.SparseGPT2Config",
            "AutoModelForCausalLM": f"{MODELLING}.SparseGPT2ForCausalLM",
        },
        "dtype": "float32",
        "model": to_dict(model.config),
        **special,
    }


def _tokenizer_config(model: GPT) -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END_OF_TEXT,
        "eos_token": END_OF_TEXT,
        "pad_token": END_OF_TEXT,
        "padding_side": "right",
        "clean_up_tokenization_spaces": False,
        "split_special_tokens": True,  # <|endoftext|> in a text is a text, as for our own encoder
        "model_max_length": model.config.context,
    }
