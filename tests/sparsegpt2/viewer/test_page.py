"""The file that is written: complete, inert, and what notes and run folders may be."""

from __future__ import annotations

import json
import re

import pytest

from sparsegpt2.errors import UserError
from sparsegpt2.viewer import circuit_files, is_run, page_data, read_notes, run_data, run_results
from sparsegpt2.viewer.page import LIBRARIES, SCRIPTS, page_html
from sparsegpt2.viewer.schema import FORMAT


def data_in(html: str):
    return re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL).group(1)


def test_the_data_comes_back_and_holds_no_markup(planted_data, planted):
    html = page_html(page_data([planted_data], title="<b>&"))
    text = data_in(html)
    assert not set("<>&") & set(text)
    assert json.loads(text)["circuits"][0]["texts"]["256"] == planted.hostile
    assert "<title>&lt;b&gt;&amp;</title>" in html
    assert html.count("</script>") == 2 + len(LIBRARIES)


def test_nothing_is_loaded_from_elsewhere(planted_data):
    html = page_html(page_data([planted_data]))
    assert "default-src 'none'" in html
    markup = re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL)
    assert not re.search(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=", markup)


def test_libraries_come_with_their_licences():
    from importlib.resources import files

    vendor = files("sparsegpt2.viewer").joinpath("assets", "vendor")
    for library in LIBRARIES:
        assert "ermission" in vendor.joinpath(f"{library.split('.')[0]}.LICENSE.txt").read_text()
    scripts = {path.name for path in files("sparsegpt2.viewer").joinpath("assets").iterdir()}
    assert {name for name in scripts if name.endswith(".js")} == set(SCRIPTS)


def test_python_and_javascript_agree_on_the_format():
    from importlib.resources import files

    main = files("sparsegpt2.viewer").joinpath("assets", "main.js").read_text()
    assert f"const PAGE_FORMAT = {FORMAT};" in main


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "not valid JSON"),
        ('{"kind": "sparsegpt2 notes", "format": 2}', "not a notes file of format 1"),
        ('{"kind": "sparsegpt2 notes", "format": 1, "circuits": {"a": {"n": {"label": 3}}}}', "must hold"),
        ('{"kind": "sparsegpt2 notes", "format": 1, "circuits": {"a": {"n": {"colour": "red"}}}}', "must hold"),
        ('{"kind": "sparsegpt2 notes", "format": 1, "circuits": {"a": {"n": {"label": "x"}}}}', "notes on 'a'"),
    ],
)
def test_bad_notes_are_one_sentence(tmp_path, content, sentence):
    (tmp_path / "notes.json").write_text(content)
    with pytest.raises(UserError, match=re.escape(sentence)):
        read_notes(tmp_path / "notes.json", ["b"])


def test_a_run_folder_gives_its_curves(tmp_path):
    assert not is_run(tmp_path)
    with pytest.raises(UserError, match=r"neither metrics\.jsonl nor results\.jsonl"):
        run_data(tmp_path, [], {})
    (tmp_path / "one").mkdir()
    lines = [{"step": 1, "tokens": 8, "loss": 3.0, "density": 1.0}, {"step": 2, "tokens": 16, "loss": 2.5, "l0": 7}]
    (tmp_path / "one" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert is_run(tmp_path) and is_run(tmp_path / "one")
    run = run_data(tmp_path, run_results(tmp_path), {})
    assert run["training"]["one"]["loss"] == [[1, 3.0], [2, 2.5]]
    assert run["training"]["one"]["l0"] == [[2, 7.0]] and run["models"] == []


def test_results_lead_to_the_circuit_files_that_are_there(row, written, tmp_path):
    folder = written(
        tmp_path, [row(circuit="circuits/there.json"), row(task="with_open", circuit="circuits/gone.json")]
    )
    there = folder / "circuits" / "there.json"
    there.parent.mkdir()
    there.write_text("{}")
    rows = run_results(folder)
    assert circuit_files(folder, rows) == [there]
    run = run_data(folder, rows, {str(there): 0})
    cells = {cell["task"]: cell for cell in run["models"][0]["cells"]}
    assert cells["for_while"]["circuits"] == [0] and cells["with_open"]["circuits"] == []
    assert run["shared"] == ["for_while", "with_open"]
