"""Configs that ship with the package are named by folder and file, and the user's own come first."""

from __future__ import annotations

import pytest

from sparsegpt2 import UserError, configs


def test_a_shipped_config_is_named_with_or_without_suffix(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = configs.FOLDER / "quickstart" / "sparse-256.yaml"
    assert configs.find("quickstart/sparse-256") == configs.find("quickstart/sparse-256.yaml") == shipped
    assert configs.is_config("quickstart/sparse-256") and configs.is_config("my.yml")
    assert not configs.is_config("runs/mine") and not configs.is_config("quickstart")
    assert configs.name_of("main/memory-512-98k") == "memory-512-98k"
    (tmp_path / "quickstart").mkdir()
    own = tmp_path / "quickstart" / "sparse-256.yaml"
    own.write_text("tokens: 7\n")
    assert configs.find("quickstart/sparse-256.yaml").resolve() == own
    assert configs.find("quickstart/sparse-256") == shipped


def test_a_shipped_folder_is_named_and_the_users_own_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert configs.find_folder("main") == configs.FOLDER / "main"
    (tmp_path / "main").mkdir()
    assert configs.find_folder("main").resolve() == tmp_path / "main"


@pytest.mark.parametrize("name", ["nowhere.yaml", "quickstart/../quickstart/dense-32.yaml", "quickstart/none"])
def test_an_unknown_config_is_one_sentence(name):
    with pytest.raises(UserError, match=r"config file .* does not exist, and the package has no config file"):
        configs.find(name)


def test_an_unknown_folder_says_which_there_are():
    with pytest.raises(UserError, match=r"folder nowhere .* the folders family, main, quickstart"):
        configs.find_folder("nowhere")


def test_commands_take_the_names(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, err = command("train", "quickstart/dense-32", "--tokens", "-1")
    assert status == 2 and "tokens" in err and "config file" not in err
    status, _, err = command("train", "quickstart/danse.yaml")
    assert status == 2 and err.startswith("sparsegpt2: error: config file quickstart/danse.yaml does not exist")
    status, _, err = command("family", "nowhere", "--dry_run")
    assert status == 2 and "folder nowhere does not exist" in err
