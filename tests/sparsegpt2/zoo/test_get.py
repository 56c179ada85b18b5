"""Models of the zoo that did not come with the package: released, listed, fetched, and refused when damaged."""

from __future__ import annotations

import http.server
import json
import shutil
import threading
from functools import partial
from pathlib import Path
from zipfile import ZipFile

import pytest
import torch

from sparsegpt2 import GPT, GPTConfig, UserError, load_model, save_model
from sparsegpt2.locate import zoo
from sparsegpt2.zoo.get import get
from sparsegpt2.zoo.release import make_index, release

NAME = "small"


@pytest.fixture
def released(tmp_path, monkeypatch) -> Path:
    """A release of one model, and a package that knows the model but does not hold it."""
    torch.manual_seed(0)
    monkeypatch.setattr(zoo, "FOLDER", tmp_path / "clone")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SPARSEGPT2_ZOO", raising=False)
    model = GPT(GPTConfig(vocab_size=20, context=8, n_layer=1, d_model=16))
    save_model(model, tmp_path / "clone" / NAME, info={"held_out_loss": 1.25})
    assert [path.name for path in release(tmp_path / "release")] == [f"{NAME}.zip"]
    (tmp_path / "package").mkdir()
    shutil.copy(tmp_path / "clone" / zoo.INDEX, tmp_path / "package")
    monkeypatch.setattr(zoo, "FOLDER", tmp_path / "package")
    return tmp_path / "release"


@pytest.fixture
def server(released):
    """Address of a web server for the release."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=released)
    handler.func.log_message = lambda *arguments: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


def left(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("form", ["{folder}", "{folder}/", "file://{folder}", "{server}"])
def test_a_model_is_fetched_whole_and_then_found(released, server, tmp_path, form):
    with pytest.raises(UserError, match="zoo:small is not on this machine; get it with `sparsegpt2 zoo --get small`"):
        load_model("zoo:small")
    assert zoo.names() == [NAME] and zoo.here(NAME) is None
    found = get(NAME, form.format(folder=released, server=server))
    assert found == zoo.directory("zoo:small") and found.is_relative_to(tmp_path / "cache")
    for file in (tmp_path / "clone" / NAME).iterdir():
        assert (found / file.name).read_bytes() == file.read_bytes()
    assert load_model("zoo:small").config.d_model == 16
    assert get(NAME) == found, "what is here needs no address"


def test_the_command(released, command, monkeypatch):
    status, out, _ = command("zoo")
    assert status == 0 and out.splitlines()[1].split()[:3] == [NAME, "1", "16"]
    assert "1.250" in out and out.splitlines()[1].endswith("sparsegpt2 zoo --get small")
    monkeypatch.setenv("SPARSEGPT2_ZOO", str(released))
    status, out, err = command("zoo", "--get", NAME)
    assert status == 0 and Path(out.strip(), "model.safetensors").is_file(), err
    assert command("zoo")[1].splitlines()[1].endswith(" here")
    status, _, err = command("zoo", "--get", "smell")
    assert status == 2 and "there is no model 'smell' in the zoo; there are small" in err
    status, _, err = command("zoo", "--release", released)
    assert status == 2 and "make a release in a clone" in err and err.count("\n") == 1


def truncated(release: Path) -> None:
    path = release / f"{NAME}.zip"
    path.write_bytes(path.read_bytes()[:-200])


def flipped(release: Path) -> None:
    path = release / f"{NAME}.zip"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def no_text_for_a_name(release: Path) -> None:
    with ZipFile(release / f"{NAME}.zip", "w") as archive:
        archive.writestr("\N{POUND SIGN}", b"")
    content = (release / f"{NAME}.zip").read_bytes()
    (release / f"{NAME}.zip").write_bytes(content.replace("\N{POUND SIGN}".encode(), b"\xa5\xa5"))


def rewritten(change, release: Path) -> None:
    with ZipFile(release / f"{NAME}.zip") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with ZipFile(release / f"{NAME}.zip", "w") as archive:
        for name, content in change(members).items():
            archive.writestr(name, content)


def other_config(members):
    return {**members, f"{NAME}/config.json": members[f"{NAME}/config.json"].replace(b"1.25", b"1.26")}


def no_weights(members):
    return {name: content for name, content in members.items() if "model" not in name}


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (truncated, "is damaged or not an archive"),
        (flipped, "is damaged or"),
        (no_text_for_a_name, "is damaged or not an archive"),
        (
            lambda release: (release / f"{NAME}.zip").write_text("<html>not found</html>"),
            "is damaged or not an archive",
        ),
        (lambda release: (release / f"{NAME}.zip").write_bytes(bytes(1 << 20)), "is larger than the model"),
        (partial(rewritten, other_config), "is damaged or of another version: config.json has the wrong checksum"),
        (partial(rewritten, no_weights), "is damaged or not an archive .*small/model.safetensors"),
        (lambda release: (release / f"{NAME}.zip").unlink(), "cannot be read: No such file"),
    ],
    ids=["truncated", "flipped", "a name", "a page", "too large", "other version", "a file lacks", "nothing there"],
)
def test_what_is_damaged_is_one_sentence_and_leaves_nothing(released, tmp_path, damage, sentence):
    damage(released)
    with pytest.raises(UserError, match=f"small.zip {sentence}"):
        get(NAME, str(released))
    assert not left(tmp_path / "cache") and zoo.here(NAME) is None


def test_addresses_that_lead_nowhere_are_one_sentence(released, server, tmp_path):
    for address, sentence in (
        ("", "give the folder or address of the release with --from or in SPARSEGPT2_ZOO"),
        (f"{server}/elsewhere", "the server answers 404"),
        ("http://127.0.0.1:9", "cannot be fetched"),
        ("ftp://example.org", "a release is a folder or a file://, http:// or https:// address"),
        ("http://[", "cannot be fetched"),
    ):
        with pytest.raises(UserError, match=sentence):
            get(NAME, address)
    (tmp_path / "cache").write_text("a file where the cache should be")
    with pytest.raises(UserError, match=r"cache is a file; name a folder"):
        get(NAME, str(released))


def test_another_version_of_a_model_is_not_taken_for_this_one(released):
    get(NAME, str(released))
    index = json.loads((zoo.FOLDER / zoo.INDEX).read_text())
    index["models"][NAME]["files"]["config.json"]["sha256"] = "0" * 64
    (zoo.FOLDER / zoo.INDEX).write_text(json.dumps(index))
    assert zoo.here(NAME) is None


def test_archives_are_the_same_bytes_every_time(released, tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "FOLDER", tmp_path / "clone")
    release(tmp_path / "again")
    assert (tmp_path / "again" / f"{NAME}.zip").read_bytes() == (released / f"{NAME}.zip").read_bytes()


def test_the_index_of_the_package_says_what_its_models_are():
    assert make_index()["models"] == zoo.index(), "run `sparsegpt2 zoo --release FOLDER` after a change of a model"
