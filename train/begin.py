"""Check the tokenizer and the initial model that a run's settings name, so that mistakes are found before training."""

from __future__ import annotations

from sparsegpt2.config import require, to_dict
from sparsegpt2.errors import UserError
from sparsegpt2.model.checkpoint import load_model, model_info
from sparsegpt2.model.gpt import GPT
from sparsegpt2.text.tokenizer import Tokenizer
from train.config import TrainConfig
from train.folder import differences, plain


def check_vocabulary(config: TrainConfig) -> None:
    """`UserError` unless the tokenizer and the model have a vocabulary of the same size.

    The tokenizer is the one that `data.tokenizer` names. Without that setting, one of `data.vocab_size` tokens will be
    trained later.
    """
    given, wanted = config.data.tokenizer, config.model.vocab_size
    tokens = config.data.vocab_size if given is None else Tokenizer.load(given).vocab_size
    require(
        tokens == wanted,
        f"the tokenizer has {tokens} tokens, the model vocab_size={wanted}; make them equal: "
        f"--model.vocab_size {tokens}",
    )


def initial_model(config: TrainConfig) -> GPT | None:
    """The model that the setting `init` names; None if `init` is empty.

    `UserError` if the model has another shape than this run, or was trained with another tokenizer than the one that
    `data.tokenizer` names.
    """
    if not config.init:
        return None
    source = load_model(config.init)
    for key, theirs, ours in differences(plain(to_dict(source.config)), plain(to_dict(config.model))):
        raise UserError(
            f"init: {config.init} has model.{key} {theirs}, this run {ours}; use the shape of that model "
            f"(--model.{key} {theirs})"
        )
    if config.data.tokenizer is not None:
        check_tokenizer(config.init, Tokenizer.load(config.data.tokenizer))
    return source


def check_tokenizer(init: str, tokenizer: Tokenizer) -> None:
    """`UserError` if the model `init` was trained with a tokenizer other than `tokenizer`, that of the run's data.

    A model that does not record its tokenizer passes.
    """
    theirs = model_info(init).get("tokenizer")
    if theirs not in (None, tokenizer.fingerprint):
        raise UserError(
            f"init: {init} has another tokenizer than the data; prepare the data with --data.tokenizer {init}"
        )
