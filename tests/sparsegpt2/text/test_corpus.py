"""Corpora: the registry, mixing by weight, the standard library, the hub, what is said if something is missing."""

from __future__ import annotations

import sys

import pytest

from sparsegpt2.errors import UserError
from sparsegpt2.text.corpus import CORPORA, CorpusConfig, corpus, corpus_names, mixed_documents, open_corpus


class Listed:
    """A corpus of given documents."""

    def __init__(self, texts):
        self.texts = texts

    def documents(self, seed):
        return iter(self.texts)

    def identity(self):
        return ""


def read(**settings) -> list[str]:
    return list(open_corpus(CorpusConfig(**settings)).documents(seed=0))


# --- Registry and mixture -------------------------------------------------------------------------------------------


def test_the_corpora_there_are():
    assert corpus_names() == ["files", "hub", "stdlib", "tinypython"]


def test_an_unknown_corpus_is_told_with_the_known_ones():
    with pytest.raises(UserError, match=r"no corpus 'tinypyton'; there are files, hub, stdlib, tinypython"):
        open_corpus(CorpusConfig(name="tinypyton"))


def test_a_corpus_of_ones_own_is_one_function(monkeypatch):
    monkeypatch.delitem(CORPORA.introduced, "mine", raising=False)
    corpus("mine")(lambda config: Listed([config.path]))
    assert read(name="mine", path="a text") == ["a text"]


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan")])
def test_a_weight_must_be_above_zero(weight):
    with pytest.raises(UserError, match=r"must be above 0|needs a finite number"):
        CorpusConfig(weight=weight)


def test_a_wrong_unit_of_documents_is_told():
    with pytest.raises(UserError, match="document, paragraph or line"):
        CorpusConfig(sample_by="word")


def test_a_mixture_follows_the_weights_in_bytes_at_every_point():
    short, long = Listed(["é" * 5] * 1000), Listed(["b" * 70] * 1000)  # 10 and 70 bytes each
    given = {"é": 0, "b": 0}
    for text in list(mixed_documents([(short, 3.0), (long, 1.0)], seed=0))[:500]:
        given[text[0]] += len(text.encode())
        assert abs(given["é"] / 3 - given["b"]) <= 70
    assert given["é"] > 1000


def test_a_corpus_that_ends_leaves_the_mixture_and_none_is_repeated():
    texts = list(mixed_documents([(Listed(["a1", "a2"]), 1.0), (Listed(["b1", "b2", "b3", "b4"]), 1.0)], seed=0))
    assert sorted(texts) == ["a1", "a2", "b1", "b2", "b3", "b4"]
    assert texts[:4] == ["a1", "b1", "a2", "b2"]


# --- The standard library -------------------------------------------------------------------------------------------


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A standard library of a few files, in place of the interpreter's."""
    (tmp_path / "lib" / "site-packages").mkdir(parents=True)
    for name in ("a", "b", "c", "d", "e"):
        (tmp_path / "lib" / f"{name}.py").write_text(f"{name} = 1\n")
    (tmp_path / "lib" / "bad.py").write_bytes(b"\xff\xfe")
    (tmp_path / "lib" / "empty.py").write_text("")
    (tmp_path / "lib" / "huge.py").write_text("x = 1\n" * 100_000)
    (tmp_path / "lib" / "site-packages" / "package.py").write_text("package = 1\n")
    folders = {"stdlib": tmp_path / "lib", "purelib": tmp_path / "lib" / "site-packages"}
    monkeypatch.setattr("sysconfig.get_path", lambda key: str(folders[key]))
    return tmp_path / "lib"


def test_stdlib_leaves_out_what_is_empty_huge_or_not_text(library):
    assert sorted(read(name="stdlib")) == ["a = 1\n", "b = 1\n", "c = 1\n", "d = 1\n", "e = 1\n"]


def test_stdlib_takes_packages_on_request(library):
    assert "package = 1\n" in read(name="stdlib", site_packages=True)


def test_stdlib_orders_by_the_seed_alone(library):
    source = open_corpus(CorpusConfig(name="stdlib"))
    orders = {tuple(source.documents(seed)) for seed in range(5)}
    assert len(orders) > 1
    assert list(source.documents(3)) == list(source.documents(3))


def test_stdlib_without_sources_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("sysconfig.get_path", lambda key: str(tmp_path))
    with pytest.raises(UserError, match="no Python sources"):
        read(name="stdlib")


def test_the_real_library_has_sources():
    assert len(open_corpus(CorpusConfig(name="stdlib")).paths()) > 100


# --- The hub --------------------------------------------------------------------------------------------------------


def test_a_hub_data_set_is_streamed_by_name(monkeypatch):
    import datasets

    asked = {}

    def load_dataset(path, **settings):
        asked.update(settings, path=path)
        return datasets.Dataset.from_dict({"code": ["a", "b", ""]}).to_iterable_dataset()

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    texts = read(name="hub", path="owner/name", subset="python", split="validation", text_field="code")
    assert sorted(texts) == ["a", "b"]
    assert asked == {"path": "owner/name", "name": "python", "split": "validation", "streaming": True}


def test_the_hub_without_a_network_or_name_is_told(monkeypatch):
    import datasets

    def load_dataset(path, **settings):
        raise ConnectionError(f"Couldn't reach {path}\nand more")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(UserError, match="hub data set owner/name cannot be read: is there a network"):
        read(name="hub", path="owner/name")
    with pytest.raises(UserError, match="needs a path"):
        read(name="hub")


def test_heavy_packages_are_not_imported_before_they_are_used():
    import subprocess

    code = (
        "import sys, sparsegpt2.text.data; "
        "print([name for name in ('datasets', 'tokenizers', 'rich') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
