"""GPT-2 from Hugging Face files: the logits and the tokens of `transformers` and `tokenizers`."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from sparsegpt2 import UserError, load_model
from sparsegpt2.interop import data_gym, gpt2
from sparsegpt2.model.checkpoint import model_info
from sparsegpt2.text.tokenizer import Tokenizer

SMALL = {"vocab_size": 60, "n_positions": 16, "n_embd": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.3}
SMALL |= {"bos_token_id": 0, "eos_token_id": 0}
TOKENS = torch.randint(60, (3, 16), generator=torch.Generator().manual_seed(1))


def save_theirs(directory, **options):
    """A random GPT-2 of `transformers`, saved by it; biases and norms random too, so that a swap would show."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(**(SMALL | options))).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    model.save_pretrained(directory)
    return model


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n_inner": 48, "activation_function": "gelu", "layer_norm_epsilon": 1e-3},
        {"activation_function": "relu", "tie_word_embeddings": False},
        {"reorder_and_upcast_attn": True, "n_layer": 1, "n_head": 1},
    ],
)
def test_logits_are_those_of_transformers(tmp_path, options):
    theirs = save_theirs(tmp_path, **options)
    ours = gpt2.load(tmp_path)
    with torch.no_grad():
        assert (ours(TOKENS) - theirs(TOKENS).logits).abs().max() < 1e-4
    assert ours.config.tied_unembedding == options.get("tie_word_embeddings", True)


def edit(directory, change):
    tensors = load_file(directory / "model.safetensors")
    tensors = change(tensors) or tensors
    save_file(tensors, directory / "model.safetensors")


def test_files_of_older_versions_load(tmp_path):
    """Names without the prefix, causal masks, the tied unembedding written out."""
    theirs = save_theirs(tmp_path)

    def age(tensors):
        old = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
        for layer in range(2):
            old[f"h.{layer}.attn.bias"] = torch.ones(1, 1, 16, 16).tril()
            old[f"h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
        return old | {"lm_head.weight": old["wte.weight"].clone()}

    edit(tmp_path, age)
    with torch.no_grad():
        assert (gpt2.load(tmp_path)(TOKENS) - theirs(TOKENS).logits).abs().max() < 1e-4


def test_the_command_makes_a_model_of_ours(tmp_path, command):
    theirs = save_theirs(tmp_path / "theirs")
    status, out, err = command("import", "gpt2", tmp_path / "theirs", "--out", tmp_path / "ours")
    assert status == 0, err
    assert "has no tokenizer" in out
    with torch.no_grad():
        assert (load_model(tmp_path / "ours")(TOKENS) - theirs(TOKENS).logits).abs().max() < 1e-4


def set_key(key, value):
    def change(directory):
        config = json.loads((directory / "config.json").read_text())
        config[key] = value
        (directory / "config.json").write_text(json.dumps(config))

    return change


DAMAGES = {
    "missing": (lambda d: edit(d, lambda t: t.__delitem__("transformer.ln_f.bias")), "lacks the tensor 'ln_f.bias'"),
    "extra": (lambda d: edit(d, lambda t: t.update(surprise=torch.ones(1))), "unexpected tensor 'surprise'"),
    "shape": (
        lambda d: edit(d, lambda t: t.update({"transformer.wpe.weight": torch.ones(2, 2)})),
        r"wpe.weight has shape \[2, 2\], but the config needs \[16, 32\]",
    ),
    "not_tied": (lambda d: edit(d, lambda t: t.update({"lm_head.weight": torch.ones(60, 32)})), "is tied"),
    "truncated": (
        lambda d: (d / "model.safetensors").write_bytes((d / "model.safetensors").read_bytes()[:-9]),
        "truncated",
    ),
    "no_weights": (lambda d: (d / "model.safetensors").unlink(), "does not exist"),
    "no_config": (lambda d: (d / "config.json").unlink(), "does not exist"),
    "kind": (set_key("model_type", "llama"), "model_type is 'llama'"),
    "scaling": (set_key("scale_attn_by_inverse_layer_idx", True), "scale_attn_by_inverse_layer_idx is True"),
    "activation": (set_key("activation_function", "silu"), "activation_function is 'silu'"),
    "heads": (set_key("n_head", 5), "not a multiple of n_head"),
    "number": (set_key("n_layer", "two"), "n_layer is 'two'"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_one_sentence_and_status_2(tmp_path, command, name):
    import re

    damage, sentence = DAMAGES[name]
    save_theirs(tmp_path / "bad")
    damage(tmp_path / "bad")
    status, _, err = command("import", "gpt2", tmp_path / "bad", "--out", tmp_path / "model")
    assert status == 2 and err.startswith("sparsegpt2: error: ") and err.count("\n") == 1
    assert re.search(sentence, err) and not (tmp_path / "model").exists()


def test_a_name_that_is_none_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="neither a folder nor a name on the hub"):
        gpt2.load(tmp_path / "no such model")


# --- The tokenizer --------------------------------------------------------------------------------------------------

TEXT = "It's 1234 o'clock,  isn't it?\n\n\tdef été(x): return x  # ok\n"


@pytest.fixture
def gpt2_files(tmp_path):
    """GPT-2's kind of tokenizer, trained by `tokenizers` on a little text and saved in both ways."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    trainable = Tokenizer(models.BPE())
    trainable.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainable.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    trainable.train_from_iterator([TEXT * 20, "def clock(is): return it\n" * 20], trainer)
    trainable.add_special_tokens(["<|endoftext|>"])
    (tmp_path / "one").mkdir()
    trainable.save(str(tmp_path / "one" / "tokenizer.json"))
    content = json.loads((tmp_path / "one" / "tokenizer.json").read_text())
    (tmp_path / "two").mkdir()
    vocab = content["model"]["vocab"] | {"<|endoftext|>": trainable.get_vocab_size() - 1}
    (tmp_path / "two" / "vocab.json").write_text(json.dumps(vocab))
    merges = "\n".join(["#version: 0.2", *(" ".join(pair) for pair in content["model"]["merges"])]) + "\n"
    (tmp_path / "two" / "merges.txt").write_text(merges)
    return trainable, tmp_path


def test_both_kinds_of_tokenizer_files_give_the_same_tokens(gpt2_files):
    theirs, folder = gpt2_files
    for kind in ("one", "two"):
        ours = gpt2.load_tokenizer(folder / kind)
        assert ours.encode(TEXT) == theirs.encode(TEXT).ids, kind
        assert ours.vocab_size == theirs.get_vocab_size() and ours.decode(ours.encode(TEXT)) == TEXT
    assert data_gym.find(folder / "two")[0].name == "merges.txt"


def test_another_kind_of_tokenizer_is_refused(gpt2_files):
    _, folder = gpt2_files
    path = folder / "one" / "tokenizer.json"
    content = json.loads(path.read_text())
    for change in (
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"model": {"type": "WordPiece", "vocab": {}, "merges": []}},
    ):
        path.write_text(json.dumps(content | change))
        with pytest.raises(UserError, match="not GPT-2's"):
            gpt2.load_tokenizer(folder / "one")
    path.write_text(json.dumps({"model": {}}))
    with pytest.raises(UserError, match="not a byte-level BPE"):
        gpt2.load_tokenizer(folder / "one")


def padded(folder, vocab_size):
    """A GPT-2 with a byte tokenizer (257 tokens) and more ids than that."""
    save_theirs(folder, vocab_size=vocab_size)
    letters = Tokenizer({bytes([byte]): byte for byte in range(256)}).letters()
    (folder / "vocab.json").write_text(json.dumps(letters | {"<|endoftext|>": 256}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return gpt2.load(folder)


def test_a_padded_vocabulary_is_imported_without_its_padding(tmp_path, command):
    whole = padded(tmp_path / "theirs", 320)
    status, out, err = command("import", "gpt2", tmp_path / "theirs", "--out", tmp_path / "ours", "--corpus", "none")
    assert status == 0, err
    assert "63 ids more than its tokenizer's 257" in out
    ours = load_model(tmp_path / "ours")
    assert ours.config.vocab_size == 257 and ours.unembed.weight is ours.wte.weight
    assert torch.equal(ours(TOKENS), whole(TOKENS)[..., :257])
    assert model_info(tmp_path / "ours")["padding_dropped"] == 63


@pytest.mark.parametrize("vocab_size", [256, 2048])
def test_another_tokenizer_is_no_padding(tmp_path, command, vocab_size):
    padded(tmp_path / "theirs", vocab_size)
    status, _, err = command("import", "gpt2", tmp_path / "theirs", "--out", tmp_path / "ours", "--corpus", "none")
    assert status == 2 and f"the tokenizer has 257 tokens and the model {vocab_size};" in err
    assert not (tmp_path / "ours").exists()
