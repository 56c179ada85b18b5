"""Text for looking at a model: where it comes from, and what can be wrong with it."""

from __future__ import annotations

import pytest
import torch

from sparsegpt2 import GPT, GPTConfig, save_model
from sparsegpt2.errors import UserError
from sparsegpt2.text.corpus import CorpusConfig
from sparsegpt2.text.sample import corpus_config, sample_windows, text_to_look_at


def test_windows_are_the_corpus_s_documents_one_after_the_other(tmp_path, tokenizer):
    (tmp_path / "a.py").write_text("one = 1\n" * 30)
    windows = sample_windows(CorpusConfig(name="files", path=str(tmp_path)), tokenizer, 3, 16)
    assert windows.shape == (3, 16) and windows.dtype == torch.int64
    assert windows[0, 0] == tokenizer.end_of_text
    assert tokenizer.decode(windows.flatten().tolist()[1:]).startswith("one = 1\none = 1\n")


def test_without_a_run_or_a_corpus_text_is_generated(tmp_path, tokenizer):
    save_model(GPT(GPTConfig(context=16, d_model=16, n_layer=1)), tmp_path / "model", tokenizer=tokenizer)
    windows, said = text_to_look_at(tmp_path / "model", 5, 16)
    assert windows.shape == (5, 16) and said == "corpus tinypython"
    assert torch.equal(windows, text_to_look_at(tmp_path / "model", 5, 16, "tinypython")[0])


def test_too_little_text_is_one_sentence(tmp_path, tokenizer):
    (tmp_path / "a.txt").write_text("short")
    with pytest.raises(UserError, match="a window needs 16"):
        sample_windows(CorpusConfig(name="files", path=str(tmp_path / "a.txt")), tokenizer, 3, 16)


def test_an_unknown_corpus_lists_those_there_are():
    with pytest.raises(UserError, match="tinypython"):
        corpus_config("juggling")
