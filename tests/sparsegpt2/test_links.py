"""Symbolic links: a link that the user names as --out works or is one sentence, always; none inside is followed."""

from __future__ import annotations

import pytest
import torch

from sparsegpt2 import GPT, GPTConfig, UserError, save_model
from sparsegpt2.files import clear_all_leftovers, inside, make_folder, write_text
from sparsegpt2.interop import openai, transformers
from sparsegpt2.lock import LOCK, appending, locked
from train.config import TrainConfig
from train.folder import check_folder

MODEL = GPTConfig(vocab_size=40, context=8, d_model=16, n_layer=1)


@pytest.fixture
def place(tmp_path):
    """(a folder to write to, a folder beside it with one file that nobody may touch)."""
    (tmp_path / "out").mkdir()
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "dear").write_text("untouched\n")
    yield tmp_path / "out", tmp_path / "beside"
    assert [path.name for path in (tmp_path / "beside").iterdir()] == ["dear"]
    assert (tmp_path / "beside" / "dear").read_text() == "untouched\n"


@pytest.mark.parametrize("write", [save_model, openai.export, transformers.export])
def test_folders_are_not_written_through_a_link_however_often(place, write):
    out, beside = place
    (out / "link").symlink_to(beside)
    torch.manual_seed(0)
    for _ in range(3):
        with pytest.raises(UserError, match=r"link is a symbolic link; name the folder itself, .*beside"):
            write(GPT(MODEL), out / "link")
    assert (out / "link").is_symlink()


def test_a_file_replaces_no_folder_and_no_link_to_one(place):
    out, beside = place
    (out / "link").symlink_to(beside)
    for path in (out, out / "link"):
        for _ in range(2):
            with pytest.raises(UserError, match="is a folder; name a file"):
                write_text(path, "text")
    assert (out / "link").is_symlink()


def test_a_link_to_a_file_is_replaced_and_not_followed(place):
    out, beside = place
    (out / "page.html").symlink_to(beside / "dear")
    for text in ("one", "two"):
        write_text(out / "page.html", text)
        assert (out / "page.html").read_text() == text and not (out / "page.html").is_symlink()


def test_a_link_to_nothing_is_one_sentence(place):
    out, _ = place
    (out / "link").symlink_to(out / "nowhere")
    for path in (out / "link", out / "link" / "deeper"):
        with pytest.raises(UserError, match=r"link is a symbolic link to .*nowhere, which does not exist"):
            make_folder(path)


def test_what_the_user_names_may_be_a_link_and_what_is_in_it_may_not(place):
    out, beside = place
    (out / "real").mkdir()
    (out / "named").symlink_to(out / "real")
    with locked(out / "named", "results folder"), appending(out / "named" / "results.jsonl") as descriptor:
        assert descriptor and inside(out / "named", "a", "b.json") == out / "named" / "a" / "b.json"
    for name in ("circuits", "results.jsonl"):
        (out / "real" / name).unlink(missing_ok=True)
        (out / "real" / name).symlink_to(beside / ("dear" if "." in name else "."))
    with pytest.raises(UserError, match="circuits is a symbolic link, through which nothing is written"):
        inside(out / "named", "circuits/model/x.json")
    with (
        pytest.raises(UserError, match=r"results\.jsonl is a symbolic link"),
        appending(out / "real" / "results.jsonl"),
    ):
        pass


def test_a_lock_that_is_a_link_is_one_sentence(place):
    out, beside = place
    (out / LOCK).symlink_to(beside / "dear")
    with pytest.raises(UserError, match="is a symbolic link"), locked(out, "run folder"):
        pass


@pytest.mark.parametrize("name", ["metrics.jsonl", "tensorboard", "best", "last"])
def test_a_run_follows_no_link(place, name):
    out, beside = place
    (out / name).symlink_to(beside / "dear" if "." in name else beside)
    with pytest.raises(UserError, match=f"{name} is a symbolic link"):
        check_folder(out, TrainConfig(model=MODEL))


def test_links_named_like_leftovers_are_left_alone(place):
    out, beside = place
    for name in (".a.previous", ".b.0123abcd.tmp"):
        (out / name).symlink_to(beside)
    clear_all_leftovers(out)
    assert (out / ".a.previous").is_symlink() and not (out / "a").exists()


def test_prune_writes_no_circuit_through_a_link(place, command, tokenizer):
    out, beside = place
    model = GPT(GPTConfig(vocab_size=tokenizer.vocab_size, context=64, d_model=16, n_layer=1))
    save_model(model, out / "run" / "best", tokenizer=tokenizer)
    (out / "run" / "circuits").symlink_to(beside)
    status, _, err = command("prune", out / "run", "--task", "for_while")
    assert status == 2 and "circuits is a symbolic link" in err
