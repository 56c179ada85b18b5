"""Exported models in `transformers`: loaded with trust_remote_code, logits equal, generate and the tokenizer work."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from sparsegpt2 import GPT, GPTConfig, save_model
from sparsegpt2.interop import transformers as interop

VARIANTS = [
    {},
    {"positions": "concat_sinusoidal", "d_pos": 5, "activation_density": 0.5},
    {"positions": "learned", "norm": "layer", "tied_unembedding": True},
    {"logits_bias": True, "sink": False, "n_head": 3},
    {"norm": "none", "bigram_table": False, "bias": False},
]
TOKENS = torch.randint(40, (3, 12), generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def own_modules(tmp_path, monkeypatch):
    """transformers copies modelling files into a cache; a fresh one shows that the exported file is enough."""
    from transformers import dynamic_module_utils

    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))


def random_model(options) -> GPT:
    torch.manual_seed(0)
    model = GPT(GPTConfig(**({"vocab_size": 40, "context": 12, "d_model": 32} | options))).eval()
    with torch.no_grad():
        for tensor in [*model.parameters(), *([] if model.logits_bias is None else [model.logits_bias])]:
            tensor.add_(0.3 * torch.randn_like(tensor))
    return model


def load(directory):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(directory, trust_remote_code=True)


@pytest.mark.parametrize("options", VARIANTS)
def test_logits_are_equal_also_after_saving_there(tmp_path, options):
    model = random_model(options)
    interop.export(model, tmp_path / "out")
    theirs = load(tmp_path / "out")
    assert torch.equal(theirs(TOKENS).logits, model(TOKENS))
    assert (theirs.gpt.unembed.weight is theirs.gpt.wte.weight) == model.config.tied_unembedding
    theirs.save_pretrained(tmp_path / "again")
    assert torch.equal(load(tmp_path / "again")(TOKENS).logits, model(TOKENS))


def test_generate_is_greedy_decoding_also_past_the_context(tmp_path):
    model = random_model({})
    interop.export(model, tmp_path / "out")
    made = load(tmp_path / "out").generate(TOKENS[:, :5], max_new_tokens=15, do_sample=False)
    expected = TOKENS[:, :5]
    with torch.no_grad():
        for _ in range(15):
            expected = torch.cat([expected, model(expected[:, -12:])[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(made, expected)


def test_labels_give_the_next_token_loss(tmp_path):
    model = random_model({})
    interop.export(model, tmp_path / "out")
    labels = TOKENS.clone()
    labels[:, :4] = -100
    loss = load(tmp_path / "out")(TOKENS, labels=labels).loss
    assert torch.allclose(loss, F.cross_entropy(model(TOKENS)[:, 3:-1].flatten(0, 1), TOKENS[:, 4:].flatten()))


def test_padding_on_the_right_changes_nothing_and_on_the_left_is_refused(tmp_path):
    model = random_model({})
    interop.export(model, tmp_path / "out")
    theirs = load(tmp_path / "out")
    mask = torch.ones_like(TOKENS)
    mask[0, 7:] = 0
    assert torch.equal(theirs(TOKENS, attention_mask=mask).logits[0, :7], model(TOKENS)[0, :7])
    with pytest.raises(ValueError, match="no padding before text"):
        theirs(TOKENS, attention_mask=mask.flip(1))


def test_the_command_writes_model_and_tokenizer(tmp_path, tokenizer, command):
    from transformers import AutoTokenizer

    torch.manual_seed(0)
    model = GPT(GPTConfig(context=64, n_layer=1, d_model=16)).eval()
    save_model(model, tmp_path / "model", tokenizer=tokenizer)
    status, _, err = command("export", "transformers", tmp_path / "model", "--out", tmp_path / "out")
    assert status == 0, err
    theirs = AutoTokenizer.from_pretrained(tmp_path / "out", trust_remote_code=True)
    text = "def total(values):\n    result = 'été'\n    for value in values:\n"
    ids = theirs(text, return_tensors="pt").input_ids
    assert ids[0].tolist() == tokenizer.encode(text) and theirs.decode(ids[0]) == text
    assert theirs.eos_token_id == tokenizer.end_of_text
    loaded = load(tmp_path / "out")
    assert torch.equal(loaded(ids).logits, model(ids)) and loaded.generation_config.eos_token_id == 2047


def test_mistakes_are_one_sentence(tmp_path, command):
    status, _, err = command("export", "transformers", tmp_path / "nowhere", "--out", tmp_path / "out")
    assert status == 2 and "does not exist" in err and err.count("\n") == 1 and not (tmp_path / "out").exists()


def test_end_of_text_inside_a_text_is_text_for_both(tmp_path, tokenizer):
    from transformers import AutoTokenizer

    model = GPT(GPTConfig(vocab_size=tokenizer.vocab_size, context=16, n_layer=1, d_model=16))
    interop.export(model, tmp_path / "out", tokenizer=tokenizer)
    theirs = AutoTokenizer.from_pretrained(tmp_path / "out")
    for text in ("x = '<|endoftext|>'\n", "<|endoftext|>", "def f():\n<|endoftext|><|endoftext|>"):
        assert theirs(text).input_ids == tokenizer.encode(text)
        assert tokenizer.end_of_text not in theirs(text).input_ids
        assert theirs.decode(theirs(text).input_ids) == text
    assert theirs.eos_token_id == tokenizer.end_of_text


def test_the_export_says_what_end_of_text_means(tmp_path, tokenizer, command):
    model = GPT(GPTConfig(vocab_size=tokenizer.vocab_size, context=16, n_layer=1, d_model=16))
    save_model(model, tmp_path / "model", tokenizer=tokenizer)
    status, out, _ = command("export", "transformers", tmp_path / "model", "--out", tmp_path / "out")
    assert status == 0 and "<|endoftext|> inside a text is ordinary text" in out
