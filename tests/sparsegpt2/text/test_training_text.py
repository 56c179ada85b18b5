"""Finding the text a model was trained on."""

from __future__ import annotations

import torch
import yaml

from sparsegpt2 import GPT, GPTConfig, save_model
from sparsegpt2.text.corpus import CorpusConfig
from sparsegpt2.text.data import DataConfig, TokenData, prepare
from sparsegpt2.text.tokenizer import Tokenizer
from sparsegpt2.text.training_text import training_text


def test_windows_of_the_runs_own_train_split(tmp_path):
    (tmp_path / "corpus").mkdir()
    for index in range(30):
        (tmp_path / "corpus" / f"{index}.txt").write_text(f"x{index} = {index} + 1\n" * 20)
    corpus = CorpusConfig(name="files", path=str(tmp_path / "corpus" / "*.txt"))
    data = prepare(
        DataConfig(corpora=[corpus], tokens=2000, vocab_size=270, held_out_fraction=0.1),
        tmp_path / "data" / "prepared",
        progress=False,
    )
    model = GPT(GPTConfig(vocab_size=data.vocab_size, context=16, d_model=16, n_layer=1))
    run = tmp_path / "run"
    save_model(model, run / "best", tokenizer=data.tokenizer)
    assert training_text(run / "best", 4, 16) is None  # nothing says where its text lies
    (run / "config.yaml").write_text(yaml.safe_dump({"data_folder": str(tmp_path / "data")}))
    found = training_text(run / "best", 4, 16)
    assert found is not None and found.shape == (4, 16)
    assert torch.equal(found, TokenData(tmp_path / "data" / "prepared").batch("train", 0, 4, 16, 0)[0])
    save_model(model, run / "best", tokenizer=Tokenizer({bytes([byte]): byte for byte in range(256)}))
    assert training_text(run / "best", 4, 16) is None  # another tokenizer's
    (run / "config.yaml").write_text(yaml.safe_dump({"data_folder": str(tmp_path / "gone")}))
    assert training_text(run / "best", 4, 16) is None
