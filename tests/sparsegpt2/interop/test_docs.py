"""The pages of docs/interop: their shell and Python examples, run in order."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch

from sparsegpt2 import GPT, GPTConfig, save_model
from sparsegpt2.cli import COMMANDS
from sparsegpt2.interop import data_gym
from sparsegpt2.model.sites import node_sites
from sparsegpt2.settings import run

DOCS = Path(__file__).parents[3] / "docs" / "interop"
PAGES = sorted(path.stem for path in DOCS.glob("*.md") if path.stem != "README")


@pytest.fixture(scope="session")
def mine(tmp_path_factory, tokenizer):
    """A model of ours as the pages call it, and a benchmark of it: a folder with runs/mine and results."""
    folder = tmp_path_factory.mktemp("docs")
    torch.manual_seed(0)
    model = GPT(GPTConfig(context=96, n_layer=1, d_model=32))
    model.means = {site: torch.zeros(width) for site, width in node_sites(model.config).items()}
    save_model(model, folder / "runs" / "mine", tokenizer=tokenizer)
    arguments = ["--tasks", '["for_while"]', "--target_losses", "[20]", "--test_pairs", "8", "--prune.steps", "2"]
    bench = [str(folder / "runs" / "mine"), *arguments, "--out", str(folder / "results")]
    assert run(COMMANDS["bench"], bench) == 0
    return folder


@pytest.fixture
def here(mine, published, tokenizer, tmp_path, monkeypatch, stand_in):
    """A working directory with everything that the pages name."""
    from transformers import GPT2Config, GPT2LMHeadModel, dynamic_module_utils

    for name in ("runs", "results"):
        (tmp_path / name).mkdir()
        for item in (mine / name).iterdir():
            (tmp_path / name / item.name).symlink_to(item)
    (tmp_path / "circuit.json").symlink_to(next((mine / "results" / "circuits").rglob("*.json")))
    settings = published.small | {"vocab_size": 2048, "block_size": 96, "rms_norm": True, "sink": True, "afrac": 0.25}
    state = published.random_state(settings, zero_positions=True)
    published.write(tmp_path / "published", settings, state)
    size = {"vocab_size": 2048, "n_positions": 96, "n_embd": 32, "n_layer": 2, "n_head": 4}
    GPT2LMHeadModel(GPT2Config(**size, bos_token_id=2047, eos_token_id=2047)).save_pretrained(tmp_path / "gpt2-files")
    for folder, names in (("published", data_gym.NAMES[0]), ("gpt2-files", data_gym.NAMES[1][:2])):
        for name, text in zip(names, data_gym.files(tokenizer).values(), strict=True):
            (tmp_path / folder / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_run(page, here):
    if page == "transformer_lens":
        pytest.importorskip("transformer_lens", reason="optional: pip install 'sparsegpt2[lens]'")
    text = (DOCS / f"{page}.md").read_text()
    blocks = re.findall(r"^```(sh|python)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert blocks, "a page has an example"
    names: dict[str, object] = {}
    for language, code in blocks:
        if language == "python":
            exec(compile(code, f"{page}.md", "exec"), names)
            continue
        for line in code.strip().split("\n"):
            program, command, *arguments = shlex.split(line)
            assert program == "sparsegpt2" and run(COMMANDS[command], arguments) == 0, line


def test_the_index_names_every_page():
    index = (DOCS / "README.md").read_text()
    assert sorted(re.findall(r"\]\((\w+)\.md\)", index)) == PAGES
